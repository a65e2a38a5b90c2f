//! What a new connection learns of its node, and how failures to connect are told.

use redis::Value;
use tenure_core::Words;

use crate::link::connect::DialError;
use crate::link::identity;
use crate::link::tests::mocked::{connection, error, one_node, word};
use crate::protocol::decode::CommandResult;
use crate::protocol::marker::NodeSet;
use crate::protocol::stream::FenceStream;

fn text(text: &str) -> CommandResult {
    Ok(Value::BulkString(text.as_bytes().to_vec()))
}

/// The answers of Redis 7.0 over RESP2, with one setting changed.
fn answers(from: &str, to: &str) -> Vec<CommandResult> {
    let change = |answer: &str| text(&answer.replace(from, to));
    let setting = |name: &str, value: &str| {
        let parts =
            [name, value].map(|part| Value::BulkString(part.replace(from, to).into_bytes()));
        Ok(Value::Array(parts.into()))
    };
    vec![
        change("# Server\r\nredis_version:7.0.15\r\nrun_id:11aa\r\ntcp_port:6379\r\n"),
        change(
            "# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_replid:22bb\r\n\
             master_replid2:0000000000000000000000000000000000000000\r\n",
        ),
        change(
            "# Persistence\r\naof_enabled:1\r\naof_rewrite_in_progress:0\r\n\
             aof_rewrite_scheduled:0\r\naof_last_bgrewrite_status:ok\r\n\
             aof_last_write_status:ok\r\n",
        ),
        setting("appendfsync", "always"),
        setting("no-appendfsync-on-rewrite", "no"),
    ]
}

fn node_set() -> NodeSet {
    NodeSet {
        prefix: b"app:".to_vec(),
        max_ttl: std::time::Duration::from_secs(30),
        nodes: 3,
        name: None,
    }
}

fn is_durable(answers: &[CommandResult]) -> bool {
    let node = identity::identity(answers);
    node.marker(&node_set()).expect("it says who it is").durable
}

#[test]
fn a_node_is_durable_only_if_all_that_makes_it_so_is_known() {
    assert!(is_durable(&answers("", "")));
    for (from, to) in [
        ("always", "everysec"),
        ("aof_enabled:1", "aof_enabled:0"),
        ("aof_rewrite_in_progress:0", "aof_rewrite_in_progress:1"),
        ("aof_rewrite_scheduled:0", "aof_rewrite_scheduled:1"),
        ("aof_last_write_status:ok", "aof_last_write_status:err"),
        (
            "aof_last_bgrewrite_status:ok",
            "aof_last_bgrewrite_status:err",
        ),
        ("connected_slaves:0", "connected_slaves:1"),
        ("role:master", "role:slave"),
        ("replid2:0000", "replid2:0c00"),
        ("master_replid2", "unheard_of"),
    ] {
        assert!(!is_durable(&answers(from, to)), "{from} is {to}");
    }
    // What the user may not ask counts as not known.
    for hidden in 2..5 {
        let mut answers = answers("", "");
        let denied = redis::parse_redis_value(b"-NOPERM no rights\r\n").expect("an error");
        answers[hidden] = Ok(denied);
        assert!(!is_durable(&answers), "answer {hidden}");
    }
    let mut answers = answers("", "");
    answers[4] = Ok(Value::Array(vec![
        Value::Nil,
        Value::BulkString(b"yes".to_vec()),
    ]));
    assert!(
        !is_durable(&answers),
        "the disk is not waited for during a rewrite"
    );
}

/// Redis and Valkey name it differently. One that does not say so is asked by another command.
#[test]
fn whether_it_is_a_cluster_is_read_from_redis_and_from_valkey() {
    for (line, told) in [
        ("redis_mode:standalone", Some(false)),
        ("redis_mode:cluster", Some(true)),
        ("server_mode:standalone", Some(false)),
        ("server_mode:cluster", Some(true)),
        ("mode:cluster", None),
    ] {
        let node = identity::identity(&answers("tcp_port:6379", line));
        assert_eq!(node.is_cluster, told, "{line}");
    }
}

#[test]
fn settings_are_read_from_a_map_too() {
    let mut answers = answers("", "");
    for (at, value) in [(3, "always"), (4, "no")] {
        let pair = (Value::Nil, Value::BulkString(value.into()));
        answers[at] = Ok(Value::Map(vec![pair]));
    }
    assert!(is_durable(&answers));
}

#[test]
fn over_several_nodes_one_that_does_not_say_who_it_is_will_not_do() {
    let node = identity::identity(&answers("run_id", "hidden"));
    match node.marker(&node_set()) {
        Err(DialError::Rejected(words)) => assert!(words.as_str().contains("INFO"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replica_cannot_be_used_now() {
    let node = identity::identity(&answers("role:master", "role:slave"));
    assert!(matches!(node.usable(), Err(DialError::Unavailable(_))));
    assert_eq!(node.identity().run_id, Some(Words::new("11aa")));
}

/// What locks need, beginning with what scripts need.
const NEEDED: [&str; 12] = [
    "SCRIPT",
    "EVALSHA",
    "GETEX",
    "GET",
    "PTTL",
    "TYPE",
    "TIME",
    "SET",
    "PEXPIRE",
    "PEXPIREAT",
    "DEL",
    "XADD",
];

/// The result of the set-up with a node that answers OK to each command but one, and this error to
/// that one.
async fn set_up(
    prefix: &[u8],
    command: &'static str,
    words: &'static str,
) -> Result<identity::NodeInfo, DialError> {
    let answer = move |asked: &[String]| match asked[0] == command {
        true => error(words),
        false => Value::Okay,
    };
    set_up_of(prefix, false, answer).await
}

/// The same with a node that answers so to each command. It has served the client before or not.
async fn set_up_with(
    served: bool,
    answer: impl FnMut(&[String]) -> Value + Send + 'static,
) -> Result<identity::NodeInfo, DialError> {
    set_up_of(b"app:", served, answer).await
}

async fn set_up_of(
    prefix: &[u8],
    served: bool,
    mut answer: impl FnMut(&[String]) -> Value + Send + 'static,
) -> Result<identity::NodeInfo, DialError> {
    let (connection, mut written) = connection(true);
    let node = tokio::spawn(async move {
        while let Some(asked) = written.recv().await {
            let answers: Vec<_> = asked.commands.iter().map(|asked| answer(asked)).collect();
            asked.answer(answers);
        }
    });
    let mut config = one_node();
    config.prefix = prefix.to_vec();
    let result = identity::set_up(&connection, &config, served).await;
    drop(connection);
    node.await.expect("no panic");
    result
}

/// Whether a command tries the fence stream.
fn tries_the_stream(asked: &[String]) -> bool {
    asked.iter().any(|word| word == "tenure:fence")
}

#[tokio::test]
async fn each_right_that_locks_need_is_told_on_connecting_if_it_is_missing() {
    for command in NEEDED {
        for words in [
            "NOPERM User app has no permissions to run the 'x' command",
            "NOPERM this user has no permissions to run the 'x' command or its subcommand",
            // A server before 6.2, or one that renamed the command.
            "ERR unknown command `x`, with args beginning with: `:tenure:fence`, ",
            "ERR unknown command 'x', with args beginning with: ':tenure:fence' ",
        ] {
            let refused = set_up(b"app:", command, words).await;
            assert!(
                matches!(refused, Err(DialError::Rejected(_))),
                "{command}, {words}: {refused:?}"
            );
        }
    }
}

/// Nothing that this client locks is outside of its prefix. Without one, other keys may be
/// permitted.
#[tokio::test]
async fn a_prefix_that_the_user_has_no_right_to_is_told_on_connecting() {
    for words in [
        "NOPERM No permissions to access a key",
        "NOPERM this user has no permissions to access one of the keys used as arguments",
    ] {
        for command in &NEEDED[2..] {
            let refused = set_up(b"lock:", command, words).await;
            assert!(
                matches!(refused, Err(DialError::Rejected(_))),
                "{command}, {words}: {refused:?}"
            );
            assert!(set_up(b"", command, words).await.is_ok(), "{command}");
        }
    }
}

#[tokio::test]
async fn a_probe_refused_for_now_does_not_matter() {
    for words in [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots",
        "LOADING Redis is loading the dataset in memory",
    ] {
        for command in &NEEDED[2..] {
            let made = set_up(b"app:", command, words).await;
            assert!(made.is_ok(), "{command}, {words}");
        }
    }
}

/// Its user may not ask it who it is, so it looks like a primary in all else.
#[tokio::test]
async fn a_node_that_refuses_a_write_as_a_replica_cannot_be_used_now() {
    let words = "READONLY You can't write against a read only replica.";
    for command in ["SET", "DEL", "PEXPIRE"] {
        let refused = set_up(b"app:", command, words).await;
        assert_eq!(
            refused.err(),
            Some(DialError::unavailable(words)),
            "{command}"
        );
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_used_is_told_on_connecting_and_later_not() {
    let denied = "NOPERM this user has no permissions to access one of the keys used as arguments";
    let cases = [
        (error(denied), "~tenure:fence"),
        (word(&format!("-{denied}")), "~tenure:fence"),
        (word("wrong stream hash"), "holds a hash under tenure:fence"),
    ];
    for (said, part) in cases {
        let answer = move |said: &Value| {
            let said = said.clone();
            move |asked: &[String]| match tries_the_stream(asked) {
                true => said.clone(),
                false => Value::Okay,
            }
        };
        match set_up_with(false, answer(&said)).await {
            Err(DialError::Rejected(words)) => {
                for part in [part, "Builder::fence_stream"] {
                    assert!(words.as_str().contains(part), "{part} in {words}");
                }
            }
            other => panic!("{said:?}: {other:?}"),
        }
        // It may hold locks, which need no stream.
        assert!(set_up_with(true, answer(&said)).await.is_ok(), "{said:?}");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_used_now_does_not_keep_from_connecting() {
    for words in [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots",
    ] {
        for said in [error(words), word(&format!("-{words}"))] {
            let answer = move |asked: &[String]| match tries_the_stream(asked) {
                true => said.clone(),
                false => Value::Okay,
            };
            assert!(set_up_with(false, answer).await.is_ok(), "{words}");
        }
    }
}

#[tokio::test]
async fn a_server_that_forgets_scripts_is_sent_the_text_that_tries_the_stream() {
    let (said, heard) = std::sync::mpsc::channel();
    let answer = move |asked: &[String]| match tries_the_stream(asked) {
        true => {
            said.send(asked[0].clone()).expect("it is heard");
            match asked[0].as_str() {
                "EVALSHA" => error("NOSCRIPT No matching script. Please use EVAL."),
                _ => word("wrong stream list"),
            }
        }
        false => Value::Okay,
    };
    let refused = set_up_with(false, answer).await;
    assert!(matches!(refused, Err(DialError::Rejected(_))));
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["EVALSHA", "EVAL"]);
}

/// Also by a user who may not ask INFO: all clients of a key must draw from one stream.
#[tokio::test]
async fn over_a_cluster_the_stream_of_a_slot_is_tried() {
    for may_ask_info in [true, false] {
        let (said, heard) = std::sync::mpsc::channel();
        let answer = move |asked: &[String]| {
            if let Some(name) = asked.iter().find(|word| word.starts_with("tenure:fence")) {
                said.send(name.clone()).expect("it is heard");
                return word("1700-0");
            }
            match asked[0].as_str() {
                "INFO" if !may_ask_info => error("NOPERM no permissions to run 'info'"),
                "INFO" if asked[1] == "server" => word("# Server\r\nredis_mode:cluster\r\n"),
                "HELLO" => Value::Array(vec![word("mode"), word("cluster")]),
                _ => Value::Okay,
            }
        };
        let set_up = set_up_with(false, answer).await;
        set_up.expect("it can be used");
        let mut expected = Vec::new();
        let stream = FenceStream::default();
        stream.split();
        stream.write_for(b"app::tenure:fence:00", &mut expected);
        let expected = String::from_utf8(expected).expect("text");
        let heard: Vec<_> = heard.iter().collect();
        assert_eq!(heard, ["tenure:fence", &expected]);
    }
}

/// Nor is one installed into the process: the program may do that at any time.
#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn tls_needs_no_provider_of_the_users_and_fails_as_an_error() {
    use std::sync::Arc;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    // A server that does not speak TLS: it closes each connection at once.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for fragment in ["", "#insecure"] {
        let url = format!("rediss://127.0.0.1:{port}{fragment}");
        let address = crate::link::address::Address::parse(&url).expect("an address");
        let connector = Arc::new(crate::runtime::TokioConnector);
        let clock = Arc::new(crate::runtime::BootClock::new());
        let mut dialer = crate::link::connect::Dialer::new(address, None, connector, clock);
        assert!(matches!(
            dialer.dial().await,
            Err(DialError::Unavailable(_))
        ));
    }
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
