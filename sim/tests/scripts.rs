//! Scripts in the embedded server run as in Redis 7.0: the same values and the same errors.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use tenure_sim::server::{ManualClock, Protocol, Reply, Server};

fn server() -> Server {
    Server::new(ManualClock::default())
}

fn eval(server: &Server, script: &str) -> Reply {
    server.call(&["EVAL", script, "0"])
}

fn error(server: &Server, script: &str) -> String {
    match eval(server, script) {
        Reply::Error(text) => text,
        other => panic!("{script}: {other:?}"),
    }
}

#[test]
fn the_value_of_a_script_becomes_the_same_reply_as_in_redis() {
    let server = server();
    let cases = [
        ("return 3.99", Reply::Int(3)),
        ("return -3.99", Reply::Int(-3)),
        ("return 2^63", Reply::Int(i64::MIN)),
        ("return 0/0", Reply::Int(i64::MIN)),
        ("return true", Reply::Int(1)),
        ("return false", Reply::Null),
        ("return nil", Reply::Null),
        ("return", Reply::Null),
        ("return 'a'", Reply::bulk("a")),
        (
            "return {1, {2, {3}}, 'x', nil, 5}",
            Reply::Array(vec![
                Reply::Int(1),
                Reply::Array(vec![Reply::Int(2), Reply::Array(vec![Reply::Int(3)])]),
                Reply::bulk("x"),
            ]),
        ),
        ("return {ok = 'fine'}", Reply::Status("fine".into())),
        ("return {err = 'MY words'}", Reply::Error("MY words".into())),
        (
            "return redis.error_reply('foo')",
            Reply::Error("ERR foo".into()),
        ),
        (
            "return redis.error_reply('-MY words')",
            Reply::Error("MY words".into()),
        ),
        ("return redis.status_reply('x')", Reply::Status("x".into())),
        ("return function() end", Reply::Null),
        (
            "return redis.sha1hex('')",
            Reply::bulk("da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ),
        ("return redis.log(redis.LOG_WARNING, 'x')", Reply::Null),
    ];
    for (script, expected) in cases {
        assert_eq!(eval(&server, script), expected, "{script}");
    }
}

#[test]
fn replies_inside_a_script_are_in_resp2_on_every_connection() {
    let server = server();
    let mut session = server.session();
    session.call(&["HELLO", "3"]);
    session.call(&["HSET", "h", "b", "1", "a", "2"]);
    let script = "local t = redis.call('hgetall', KEYS[1])
        return {#t, t[1], t[3], type(redis.call('get', 'none')), redis.call('type', 'h').ok,
                redis.call('set', 'k', 'v').ok, redis.call('strlen', 'k') + 1}";
    let expected = vec![
        Reply::Int(4),
        Reply::bulk("b"),
        Reply::bulk("a"),
        Reply::bulk("boolean"),
        Reply::bulk("hash"),
        Reply::bulk("OK"),
        Reply::Int(2),
    ];
    assert_eq!(
        session.call(&["EVAL", script, "1", "h"]),
        Reply::Array(expected)
    );
}

#[test]
fn the_outer_reply_is_in_the_protocol_of_the_connection() {
    let server = server();
    let mut session = server.session();
    let eval = b"*3\r\n$4\r\nEVAL\r\n$12\r\nreturn false\r\n$1\r\n0\r\n";
    assert_eq!(session.exchange(eval).expect("well formed"), b"$-1\r\n");
    session.call(&["HELLO", "3"]);
    assert_eq!(session.exchange(eval).expect("well formed"), b"_\r\n");
    let mut wire = Vec::new();
    Reply::Null.encode(Protocol::Resp3, &mut wire);
    assert_eq!(wire, b"_\r\n");
}

/// Scripts that fail, with the error of each and the line in which it happens.
const ERRORS: [(&str, &str, usize); 17] = [
    (
        "return redis.call('nosuch')",
        "ERR Unknown Redis command called from script",
        1,
    ),
    (
        "\n\nlocal x = redis.call('incr', 'a', 'b')",
        "ERR Wrong number of args calling Redis command from script",
        3,
    ),
    (
        "local function f()\n return redis.call('get') end\nf()",
        "ERR Wrong number of args calling Redis command from script",
        2,
    ),
    (
        "return redis.call()",
        "ERR Please specify at least one argument for this redis lib call",
        1,
    ),
    (
        "return redis.call({})",
        "ERR Lua redis lib command arguments must be strings or integers",
        1,
    ),
    (
        "return redis.call('eval', 'return 1', 0)",
        "ERR This Redis command is not allowed from script",
        1,
    ),
    ("error('boo')", "ERR user_script:1: boo", 1),
    ("error({err = 'XX boo'})", "XX boo", 1),
    ("error(redis.error_reply('WRONG foo'))", "WRONG foo", 1),
    ("error()", "ERR nil", 1),
    (
        "return nosuch",
        "ERR user_script:1: Script attempted to access nonexistent global variable 'nosuch'",
        1,
    ),
    (
        "x = 1",
        "ERR user_script:1: Attempt to modify a readonly table",
        1,
    ),
    (
        "redis.x = 1",
        "ERR user_script:1: Attempt to modify a readonly table",
        1,
    ),
    (
        "string.x = 1",
        "ERR user_script:1: Attempt to modify a readonly table",
        1,
    ),
    (
        "rawset(_G, 'a', 1)",
        "ERR Attempt to modify a readonly table",
        1,
    ),
    (
        "return os.time()",
        "ERR user_script:1: Script attempted to access nonexistent global variable 'os'",
        1,
    ),
    (
        "#!lua flags=no-writes\nreturn redis.call('set', 'a', 'b')",
        "ERR Write commands are not allowed from read-only scripts.",
        2,
    ),
];

#[test]
fn an_error_names_its_code_the_script_and_the_line() {
    let server = server();
    let sha = |script: &str| match server.call(&["SCRIPT", "LOAD", script]) {
        Reply::Bulk(sha) => String::from_utf8(sha).expect("hexadecimal"),
        other => panic!("{other:?}"),
    };
    for (script, text, line) in ERRORS {
        let expected = format!("{text} script: {}, on @user_script:{line}.", sha(script));
        assert_eq!(error(&server, script), expected, "{script}");
    }
}

#[test]
fn a_protected_call_gives_the_error_instead_of_raising_it() {
    let server = server();
    server.call(&["HSET", "h", "f", "v"]);
    let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(
        eval(&server, "return redis.pcall('get', 'h')"),
        Reply::Error(wrong.into())
    );
    assert_eq!(
        eval(&server, "return redis.pcall('get', 'h').err"),
        Reply::bulk(wrong)
    );
    // Lua's own pcall gives the text of the error, and not a table.
    let text = "local ok, e = pcall(redis.call, 'get', 'h') return {tostring(ok), type(e), e}";
    let expected = vec![
        Reply::bulk("false"),
        Reply::bulk("string"),
        Reply::bulk(wrong),
    ];
    assert_eq!(eval(&server, text), Reply::Array(expected));
    // Writes before the error stay: Lua does not roll back.
    eval(
        &server,
        "redis.call('set', 'a', '1') redis.call('get', 'h')",
    );
    assert_eq!(server.peek("a"), Some(b"1".to_vec()));
}

#[test]
fn numbers_reach_commands_with_all_their_digits() {
    let server = server();
    for (number, stored) in [
        ("2^53", "9007199254740992"),
        ("0.1", "0.10000000000000001"),
        ("1e17", "1e+17"),
        ("-1", "-1"),
    ] {
        eval(&server, &format!("redis.call('set', 'n', {number})"));
        assert_eq!(
            server.peek("n"),
            Some(stored.as_bytes().to_vec()),
            "{number}"
        );
    }
}

#[test]
fn a_script_is_known_by_its_sha_until_it_is_flushed() {
    let server = server();
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"; // return 1
    let unknown = server.call(&["EVALSHA", sha, "0"]);
    assert_eq!(unknown.error_code(), Some("NOSCRIPT"));
    assert_eq!(
        server.call(&["SCRIPT", "LOAD", "return 1"]),
        Reply::bulk(sha)
    );
    assert_eq!(
        server.call(&["EVALSHA", &sha.to_uppercase(), "0"]),
        Reply::Int(1)
    );
    assert_eq!(
        server.call(&["SCRIPT", "EXISTS", sha, "x"]),
        Reply::Array(vec![Reply::Int(1), Reply::Int(0)])
    );
    server.call(&["SCRIPT", "FLUSH"]);
    assert_eq!(
        server.call(&["EVALSHA", sha, "0"]).error_code(),
        Some("NOSCRIPT")
    );
}

#[test]
fn keys_need_not_be_declared_and_binary_ones_are_kept_whole() {
    let server = server();
    let script: &[u8] =
        b"redis.call('set', ARGV[1], KEYS[1] .. '\\0' .. #KEYS .. #ARGV) return ARGV[1]";
    let reply = server.call(&[&b"EVAL"[..], script, b"1", b"\xff\0\r\n", b"k"]);
    assert_eq!(reply, Reply::bulk("k"));
    assert_eq!(server.peek("k"), Some(b"\xff\0\r\n\x0011".to_vec()));
}

#[test]
fn a_script_cannot_change_what_later_scripts_see() {
    let server = server();
    for attempt in [
        "a = 1",
        "string.rep = nil",
        "_G.a = 1",
        "rawset(string, 'rep', 1)",
        "getmetatable('').__index.rep = 1",
    ] {
        eval(&server, attempt);
    }
    assert_eq!(
        eval(&server, "return string.rep('x', 2) .. ('y'):rep(2)"),
        Reply::bulk("xxyy")
    );
    assert_eq!(
        eval(&server, "return type(rawget(_G, 'a'))"),
        Reply::bulk("nil")
    );
}

#[test]
fn select_inside_a_script_does_not_move_the_caller() {
    let server = server();
    let mut session = server.session();
    session.call(&[
        "EVAL",
        "redis.call('select', 3) redis.call('set', 'k', 'three')",
        "0",
    ]);
    assert_eq!(session.call(&["GET", "k"]), Reply::Null);
    session.call(&["SELECT", "3"]);
    assert_eq!(session.call(&["GET", "k"]), Reply::bulk("three"));
}

#[test]
fn an_endless_loop_ends_in_an_error() {
    let server = server();
    assert!(error(&server, "while true do end").contains("too many steps"));
    assert!(
        error(
            &server,
            "while true do pcall(function() while true do end end) end"
        )
        .contains("too many steps")
    );
    assert_eq!(eval(&server, "return 1"), Reply::Int(1));
}

#[test]
fn random_numbers_in_scripts_are_the_same_at_every_server() {
    let draw = "return {tostring(math.random()), math.random(10)}";
    let expected = Reply::Array(vec![Reply::bulk("0.39646477363839"), Reply::Int(9)]);
    assert_eq!(eval(&server(), draw), expected);
    assert_eq!(eval(&server(), draw), expected);
}
