//! Faults of the embedded server: each has the effect that its name says, and no other.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::time::Duration;

use tenure_sim::server::{Lost, ManualClock, Reply, Server, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

fn server() -> (Server, ManualClock) {
    let clock = ManualClock::default();
    (Server::with_seed(clock.clone(), 1), clock)
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn info(server: &Server, section: &str, field: &str) -> String {
    let all = text(&server.call(&["INFO", section]));
    let line = all
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {all}"))
        .to_owned()
}

fn client_id(session: &mut Session) -> i64 {
    match session.call(&["CLIENT", "ID"]) {
        Reply::Int(id) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_restart_forgets_data_scripts_and_connections_and_has_new_ids() {
    let (server, _) = server();
    let mut session = server.remote_session();
    session.call(&["SET", "k", "v"]);
    server.call(&["SCRIPT", "LOAD", "return 1"]);
    let (run_id, replication_id) = (server.run_id(), server.replication_id());
    server.restart_empty();
    assert!(session.is_closed());
    assert_eq!(session.call(&["PING"]).error_code(), Some("CLOSED"));
    assert_eq!(server.peek("k"), None);
    assert_eq!(
        server
            .call(&["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"])
            .error_code(),
        Some("NOSCRIPT")
    );
    assert_ne!(server.run_id(), run_id);
    assert_ne!(server.replication_id(), replication_id);
    assert_eq!(info(&server, "server", "run_id"), server.run_id());
    assert_eq!(
        info(&server, "replication", "master_replid"),
        server.replication_id()
    );
    assert_eq!(server.run_id().len(), 40);
}

#[test]
fn handles_can_move_between_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    fn copies<T: Clone>() {}
    crosses::<Server>();
    crosses::<Session>();
    crosses::<ManualClock>();
    copies::<Server>();
    copies::<Reply>();
}

#[test]
fn the_same_requests_at_the_same_times_write_the_same_bytes() {
    let history = || {
        let (server, clock) = server();
        let mut session = server.remote_session();
        let mut written = Vec::new();
        for request in [
            "hello 3",
            "set k v px 50",
            "info all",
            "client list",
            "config get *",
            "eval 'return redis.call(\"time\")' 0",
            "eval 'return tostring(math.random())' 0",
            "eval 'local t = {} \
             for k in pairs({a = 1, b = 2, c = 3}) do t[#t + 1] = k end return t' 0",
            "keys *",
            "get k",
        ] {
            clock.advance(Duration::from_millis(7));
            let bytes = session.exchange(format!("{request}\r\n").as_bytes());
            written.extend(bytes.expect("well formed"));
        }
        written
    };
    let first = history();
    assert!(first.len() > 1000);
    assert_eq!(first, history());
}

#[test]
fn ids_come_from_the_seed_alone() {
    let lives = |seed| {
        let server = Server::with_seed(ManualClock::default(), seed);
        let first = (server.run_id(), server.replication_id());
        server.restart_empty();
        (first, (server.run_id(), server.replication_id()))
    };
    assert_eq!(lives(5), lives(5));
    assert_ne!(lives(5).0, lives(6).0);
}

#[test]
fn a_restart_with_data_keeps_the_data_and_nothing_else() {
    let (server, _) = server();
    let run_id = server.run_id();
    server.call(&["SET", "k", "v"]);
    server.call(&["SCRIPT", "LOAD", "return 1"]);
    server.restart_with_data();
    assert_eq!(server.peek("k"), Some(b"v".to_vec()));
    assert_ne!(server.run_id(), run_id);
    assert_eq!(
        server
            .call(&["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"])
            .error_code(),
        Some("NOSCRIPT")
    );
    // Client ids start over, so an old id may belong to another client now.
    assert_eq!(client_id(&mut server.remote_session()), 2);
}

#[test]
fn a_stale_replica_has_the_old_data_and_the_old_replication_id() {
    let (server, _) = server();
    server.call(&["SET", "k", "old"]);
    let snapshot = server.snapshot();
    let replication_id = server.replication_id();
    server.call(&["SET", "k", "new"]);
    server.promote_stale(&snapshot);
    assert_eq!(server.peek("k"), Some(b"old".to_vec()));
    assert_eq!(
        info(&server, "replication", "master_replid2"),
        replication_id
    );
    assert_ne!(server.replication_id(), replication_id);
}

#[test]
fn a_change_in_place_shows_only_in_the_replication_id() {
    let (server, _) = server();
    let mut session = server.remote_session();
    let snapshot = server.snapshot();
    let (run_id, replication_id) = (server.run_id(), server.replication_id());
    session.call(&["SET", "k", "v"]);
    server.replace_in_place(&snapshot);
    assert_eq!(session.call(&["GET", "k"]), Reply::Null);
    assert_eq!(server.run_id(), run_id);
    assert_ne!(server.replication_id(), replication_id);
}

#[test]
fn a_replica_refuses_writes_also_from_scripts_and_getex_is_a_write() {
    let (server, _) = server();
    server.call(&["SET", "k", "v"]);
    server.set_readonly(true);
    for write in [
        &["SET", "k", "w"][..],
        &["GETEX", "k"],
        &["EVAL", "redis.call('getex', 'k')", "0"],
        &["EVAL", "#!lua\nreturn 1", "0"],
    ] {
        assert_eq!(
            server.call(write).error_code(),
            Some("READONLY"),
            "{write:?}"
        );
    }
    assert_eq!(
        server.call(&["EVAL", "return redis.call('get', 'k')", "0"]),
        Reply::bulk("v")
    );
    assert_eq!(info(&server, "replication", "role"), "slave");
    server.set_readonly(false);
    assert_eq!(server.call(&["GETEX", "k"]), Reply::bulk("v"));
    assert_eq!(info(&server, "replication", "role"), "master");
}

#[test]
fn out_of_memory_stops_a_script_only_before_its_first_write() {
    let (server, _) = server();
    server.call(&["SET", "k", "v"]);
    server.set_oom(true);
    assert_eq!(server.call(&["SET", "k", "w"]).error_code(), Some("OOM"));
    assert_eq!(
        server
            .call(&["EVAL", "return redis.call('set', 'k', 'w')", "0"])
            .error_code(),
        Some("OOM")
    );
    assert_eq!(
        server.call(&["EVAL", "return redis.call('pexpire', 'k', 1000)", "0"]),
        Reply::Int(1)
    );
    let wrote = "redis.call('del', 'k') return redis.call('set', 'k', 'w').ok";
    assert_eq!(server.call(&["EVAL", wrote, "0"]), Reply::bulk("OK"));
    assert_eq!(
        server.call(&["EVAL", "#!lua\nreturn 1", "0"]).error_code(),
        Some("OOM")
    );
    assert_eq!(
        server.call(&[
            "EVAL",
            "#!lua flags=allow-oom\nreturn redis.call('incr', 'n')",
            "0"
        ]),
        Reply::Int(1)
    );
    assert_eq!(server.call(&["DEL", "k"]), Reply::Int(1));
}

#[test]
fn a_loading_server_answers_only_what_needs_no_data() {
    let (server, _) = server();
    server.set_loading(true);
    for refused in [
        &["GET", "k"][..],
        &["PING"],
        &["EVAL", "return 1", "0"],
        &["SCRIPT", "LOAD", "return 1"],
    ] {
        assert_eq!(
            server.call(refused).error_code(),
            Some("LOADING"),
            "{refused:?}"
        );
    }
    assert_eq!(info(&server, "persistence", "loading"), "1");
    assert!(matches!(server.call(&["HELLO", "3"]), Reply::Map(_)));
    assert!(matches!(server.call(&["CLIENT", "ID"]), Reply::Int(_)));
}

#[test]
fn a_write_error_affects_writes_only() {
    let (server, _) = server();
    server.set_write_error(Some("MISCONF errors writing to disk"));
    assert_eq!(
        server.call(&["SET", "k", "v"]).error_code(),
        Some("MISCONF")
    );
    assert_eq!(
        server
            .call(&["EVAL", "return redis.call('set', 'k', 'v')", "0"])
            .error_code(),
        Some("MISCONF")
    );
    assert_eq!(server.call(&["GET", "k"]), Reply::Null);
    server.set_write_error(None);
    assert_eq!(server.call(&["SET", "k", "v"]), Reply::ok());
}

#[test]
fn only_the_named_command_loses_its_reply_and_it_was_executed() {
    let (server, _) = server();
    server.lose_reply(Some("SET"), Lost::Cut);
    let mut session = server.remote_session();
    assert_eq!(session.call(&["GET", "k"]), Reply::Null);
    assert_eq!(
        server.call(&["SET", "a", "v"]),
        Reply::ok(),
        "a caller inside the process loses no reply"
    );
    assert_eq!(
        session.call(&["SET", "k", "v"]).error_code(),
        Some("CLOSED")
    );
    assert!(session.is_closed());
    assert_eq!(server.peek("k"), Some(b"v".to_vec()));
    assert_eq!(
        server.remote_session().call(&["SET", "k", "w"]),
        Reply::ok(),
        "it happens once"
    );
}

#[test]
fn a_mute_connection_executes_and_never_answers() {
    let (server, _) = server();
    server.lose_reply(None, Lost::Mute);
    let mut session = server.remote_session();
    assert_eq!(
        session
            .exchange(b"incr n\r\nincr n\r\n")
            .expect("well formed"),
        b""
    );
    assert!(!session.is_closed());
    assert_eq!(server.peek("n"), Some(b"2".to_vec()));
    assert_eq!(server.remote_session().call(&["INCR", "n"]), Reply::Int(3));
}

#[test]
fn a_planted_answer_is_given_once_and_nothing_is_executed() {
    let (server, _) = server();
    let moved = Reply::Error("MOVED 1 127.0.0.1:1".into());
    server.answer_next("INCR", moved.clone());
    let mut session = server.remote_session();
    assert_eq!(session.call(&["INCR", "n"]), moved);
    assert_eq!(session.call(&["INCR", "n"]), Reply::Int(1));
}

#[test]
fn a_user_without_the_permission_is_refused() {
    let (server, _) = server();
    server.set_password("sesame");
    server.set_user("bob", "hammer", &["EVALSHA", "set"]);
    let mut session = server.remote_session();
    assert_eq!(session.call(&["GET", "k"]).error_code(), Some("NOAUTH"));
    assert_eq!(session.call(&["HELLO", "3"]).error_code(), Some("NOAUTH"));
    assert_eq!(
        session.call(&["AUTH", "wrong"]).error_code(),
        Some("WRONGPASS")
    );
    assert!(matches!(
        session.call(&["HELLO", "3", "AUTH", "bob", "hammer", "SETNAME", "b"]),
        Reply::Map(_)
    ));
    assert_eq!(session.call(&["CLIENT", "GETNAME"]), Reply::bulk("b"));
    assert_eq!(
        session.call(&["EVALSHA", "x", "0"]).error_code(),
        Some("NOPERM")
    );
    assert_eq!(
        session
            .call(&["EVAL", "return redis.call('set', 'k', 'v')", "0"])
            .error_code(),
        Some("ERR")
    );
    assert_eq!(session.call(&["GET", "k"]), Reply::Null);
    assert_eq!(session.call(&["AUTH", "sesame"]), Reply::ok());
    assert_eq!(session.call(&["SET", "k", "v"]), Reply::ok());
    assert!(!format!("{server:?} {session:?}").contains("sesame"));
}

#[test]
fn a_client_kills_another_by_its_id_and_not_itself() {
    let (server, _) = server();
    let (mut one, mut two) = (server.remote_session(), server.remote_session());
    let (first, second) = (
        client_id(&mut one).to_string(),
        client_id(&mut two).to_string(),
    );
    assert_eq!(one.call(&["CLIENT", "KILL", "ID", &first]), Reply::Int(0));
    assert_eq!(one.call(&["CLIENT", "KILL", "ID", &second]), Reply::Int(1));
    assert_eq!(one.call(&["CLIENT", "KILL", "ID", &second]), Reply::Int(0));
    assert!(two.is_closed() && !one.is_closed());
    assert_eq!(
        text(&one.call(&["CLIENT", "LIST", "ID", &first, &second]))
            .lines()
            .count(),
        1
    );
    assert_eq!(
        one.call(&["CLIENT", "KILL", "ID", &first, "SKIPME", "no"]),
        Reply::Int(1)
    );
    assert!(one.is_closed());
}

#[test]
fn statistics_count_commands_also_inside_scripts_until_they_are_reset() {
    let (server, _) = server();
    server.call(&["EVAL", "redis.call('get', 'a') redis.call('get', 'b')", "0"]);
    server.call(&["EVALSHA", "x", "0"]);
    assert_eq!(
        (
            server.calls("get"),
            server.calls("EVAL"),
            server.calls("evalsha")
        ),
        (2, 1, 1)
    );
    assert!(info(&server, "commandstats", "cmdstat_get").starts_with("calls=2,"));
    assert!(info(&server, "commandstats", "cmdstat_evalsha").contains("failed_calls=1"));
    server.call(&["CONFIG", "RESETSTAT"]);
    assert_eq!(server.calls("get"), 0);
}

#[test]
fn config_set_changes_all_of_its_parameters_or_none() {
    let (server, _) = server();
    assert_eq!(info(&server, "persistence", "aof_enabled"), "0");
    assert_eq!(
        server.call(&[
            "CONFIG",
            "SET",
            "appendonly",
            "YES",
            "appendfsync",
            "always"
        ]),
        Reply::ok()
    );
    assert_eq!(info(&server, "persistence", "aof_enabled"), "1");
    let fsync = Reply::Map(vec![(Reply::bulk("appendfsync"), Reply::bulk("always"))]);
    assert_eq!(server.call(&["CONFIG", "GET", "appendf*c"]), fsync);
    for nonsense in [
        ["appendonly", "maybe"],
        ["nosuch", "1"],
        ["maxmemory", "-1"],
    ] {
        let [name, value] = nonsense;
        assert_eq!(
            server
                .call(&["CONFIG", "SET", "appendfsync", "no", name, value])
                .error_code(),
            Some("ERR"),
            "{name}"
        );
    }
    assert_eq!(server.call(&["CONFIG", "GET", "appendfsync"]), fsync);
}

async fn send(stream: &mut DuplexStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("the pipe is open");
}

async fn expect(stream: &mut DuplexStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).await.expect("a reply comes");
    assert_eq!(got, bytes);
}

#[tokio::test(start_paused = true)]
async fn a_paused_server_serves_what_it_took_even_if_the_client_left() {
    let (server, _) = server();
    let (mut near, far) = tokio::io::duplex(1024);
    tokio::spawn(server.serve(far));
    send(&mut near, b"incr n\r\n").await;
    expect(&mut near, b":1\r\n").await;
    server.pause();
    send(&mut near, b"incr n\r\n").await;
    #[allow(
        clippy::disallowed_methods,
        reason = "to see that nothing comes takes some time"
    )]
    let silence = tokio::time::timeout(Duration::from_secs(60), near.read_u8()).await;
    assert!(silence.is_err(), "nothing is said while it is paused");
    assert_eq!(server.peek("n"), Some(b"1".to_vec()));
    drop(near);
    server.resume();
    // The task needs a turn or two. On a paused clock a timeout would not wait for it.
    for _ in 0..1000 {
        if server.connections() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(server.peek("n"), Some(b"2".to_vec()));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_restart_closes_streams_and_a_server_that_is_down_takes_none() {
    let (server, _) = server();
    let (mut near, far) = tokio::io::duplex(1024);
    tokio::spawn(server.serve(far));
    send(&mut near, b"ping\r\n").await;
    expect(&mut near, b"+PONG\r\n").await;
    server.restart_empty();
    assert_eq!(
        near.read(&mut [0; 1]).await.expect("an end, not an error"),
        0
    );
    server.set_down(true);
    let (mut near, far) = tokio::io::duplex(1024);
    server.serve(far).await;
    assert_eq!(
        near.read(&mut [0; 1]).await.expect("an end, not an error"),
        0
    );
    server.set_down(false);
    let (mut near, far) = tokio::io::duplex(1024);
    tokio::spawn(server.serve(far));
    send(&mut near, b"ping\r\n").await;
    expect(&mut near, b"+PONG\r\n").await;
}

#[tokio::test]
async fn quit_and_protocol_errors_are_answered_before_the_close() {
    let (server, _) = server();
    for (request, answer) in [
        (&b"quit\r\n"[..], &b"+OK\r\n"[..]),
        (
            b"*1\r\n:1\r\n",
            b"-ERR Protocol error: expected '$', got ':'\r\n",
        ),
    ] {
        let (mut near, far) = tokio::io::duplex(3);
        tokio::spawn(server.serve(far));
        send(&mut near, request).await;
        expect(&mut near, answer).await;
        assert_eq!(
            near.read(&mut [0; 1]).await.expect("an end, not an error"),
            0
        );
    }
}
