//! The proxy: each fault seen from the client's end and from the server's.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult};
use tenure_tests::live::server::connect;
use tenure_tests::live::{
    Direction, Fault, Match, Options, Proxy, RedisServer, eventually, servers_available, within,
};

/// Long enough for a real reply on a busy machine, and short enough to wait for one that never
/// comes.
const IMPATIENT: Duration = Duration::from_secs(1);

pub(super) async fn server_and_proxy() -> (RedisServer, Proxy) {
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    (server, proxy)
}

/// A client that gives up on a reply soon.
pub(super) async fn impatient(proxy: &Proxy) -> MultiplexedConnection {
    let soon = AsyncConnectionConfig::new().set_response_timeout(Some(IMPATIENT));
    let client = Client::open(proxy.url()).expect("a URL");
    client
        .get_multiplexed_async_connection_with_config(&soon)
        .await
        .expect("a connection")
}

pub(super) async fn incr(link: &MultiplexedConnection) -> RedisResult<u64> {
    Cmd::new()
        .arg("INCR")
        .arg("n")
        .query_async(&mut link.clone())
        .await
}

async fn echo(link: &MultiplexedConnection, text: &str) -> RedisResult<String> {
    Cmd::new()
        .arg("ECHO")
        .arg(text)
        .query_async(&mut link.clone())
        .await
}

pub(super) async fn counter(server: &RedisServer) -> u64 {
    server.cmd::<Option<u64>>(&["GET", "n"]).await.unwrap_or(0)
}

pub(super) fn closed(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

#[tokio::test]
async fn without_a_fault_everything_passes_and_is_counted() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    for n in 1..=3 {
        assert_eq!(incr(&link).await.expect("INCR"), n);
    }
    let large = "x".repeat(1 << 20);
    assert_eq!(echo(&link, &large).await.expect("ECHO"), large);
    assert_eq!(counter(&server).await, 3);
    assert_eq!((proxy.count("incr"), proxy.count("echo")), (3, 1));
    assert_eq!((proxy.accepted(), proxy.open()), (1, 1));
    let last = proxy.commands().pop().expect("commands");
    assert_eq!((last.name().as_str(), last.connection()), ("ECHO", 0));
    drop(link);
    eventually("a client that leaves is closed", || async {
        proxy.open() == 0
    })
    .await;
}

#[tokio::test]
async fn a_lost_reply_leaves_the_command_applied_and_the_connection_closed() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let fault = proxy.on(
        Match::command("INCR").arg("n").nth(2),
        Fault::LoseReplyAndClose,
    );
    incr(&link).await.expect("only the second is lost");
    assert!(!fault.has_hit());
    let error = incr(&link).await.expect_err("its reply is lost");
    fault.hit().await;
    assert!(closed(&error), "{error}");
    assert_eq!(
        counter(&server).await,
        2,
        "applied, though the client cannot know"
    );
    let again = connect(&proxy.url()).await;
    assert_eq!(incr(&again).await.expect("the fault is spent"), 3);
}

#[tokio::test]
async fn a_reply_lost_in_a_black_hole_silences_that_connection_only() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let (link, other) = (impatient(&proxy).await, impatient(&proxy).await);
    let fault = proxy.on(Match::command("INCR"), Fault::LoseReplyAndBlackHole);
    let error = incr(&link).await.expect_err("its reply is lost");
    fault.hit().await;
    assert!(error.is_timeout(), "{error}");
    assert_eq!(counter(&server).await, 1);
    let error = incr(&link).await.expect_err("nothing passes any more");
    assert!(error.is_timeout(), "not closed either: {error}");
    assert_eq!(counter(&server).await, 1, "nor in the other direction");
    assert_eq!(incr(&other).await.expect("another connection"), 2);
}

#[tokio::test]
async fn a_held_reply_comes_when_it_is_released_and_later_ones_behind_it() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let fault = proxy.on(Match::command("INCR"), Fault::HoldReply);
    let mut both = std::pin::pin!(async { tokio::join!(incr(&link), incr(&link)) });
    #[allow(
        clippy::disallowed_methods,
        reason = "that nothing comes can only be seen for a while"
    )]
    let early = tokio::time::timeout(IMPATIENT, &mut both).await;
    assert!(early.is_err(), "{early:?}");
    fault.hit().await;
    assert_eq!(counter(&server).await, 2, "both were applied");
    fault.release();
    let (first, second) = within("the held replies", both).await;
    assert_eq!((first.expect("first"), second.expect("second")), (1, 2));
}

#[tokio::test]
async fn a_lost_request_is_not_applied() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let fault = proxy.on(Match::command("INCR"), Fault::LoseRequestAndClose);
    let error = incr(&link).await.expect_err("lost");
    fault.hit().await;
    assert!(closed(&error), "{error}");

    let link = impatient(&proxy).await;
    let fault = proxy.on(Match::command("INCR"), Fault::LoseRequestAndBlackHole);
    let error = incr(&link).await.expect_err("lost");
    fault.hit().await;
    assert!(error.is_timeout(), "{error}");
    assert_eq!(counter(&server).await, 0);
}

#[tokio::test]
async fn a_held_request_lands_late_even_if_its_client_has_left() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = impatient(&proxy).await;
    let fault = proxy.on(Match::command("INCR"), Fault::HoldRequest);
    incr(&link).await.expect_err("held");
    fault.hit().await;
    drop(link);
    assert_eq!(counter(&server).await, 0);
    fault.release();
    eventually("the request lands", || async {
        counter(&server).await == 1
    })
    .await;
    eventually("and then the connection ends", || async {
        proxy.open() == 0
    })
    .await;
}

#[tokio::test]
async fn a_held_request_dies_with_a_connection_that_the_server_has_killed() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = impatient(&proxy).await;
    let id: u64 = Cmd::new()
        .arg("CLIENT")
        .arg("ID")
        .query_async(&mut link.clone())
        .await
        .expect("the connection's id at the server");
    let fault = proxy.on(Match::command("INCR"), Fault::HoldRequest);
    incr(&link).await.expect_err("held");
    server
        .cmd::<u64>(&["CLIENT", "KILL", "ID", &id.to_string()])
        .await;
    fault.release();
    eventually("the connection ends", || async { proxy.open() == 0 }).await;
    assert_eq!(counter(&server).await, 0);
}

#[tokio::test]
async fn a_reply_can_be_replaced_with_or_without_the_command_applied() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let refused = proxy.on(Match::command("INCR"), Fault::RefuseWith("-LOADING wait"));
    let (error, after) = tokio::join!(incr(&link), echo(&link, "after"));
    refused.hit().await;
    assert_eq!(error.expect_err("refused").code(), Some("LOADING"));
    assert_eq!(after.expect("its own reply"), "after");
    assert_eq!(counter(&server).await, 0);

    let answered = proxy.on(Match::command("INCR"), Fault::AnswerWith("-ODD reply"));
    let error = incr(&link).await.expect_err("answered with an error");
    answered.hit().await;
    assert_eq!(error.code(), Some("ODD"), "{error}");
    assert_eq!(counter(&server).await, 1);
}

#[tokio::test]
async fn the_right_reply_is_struck_among_pipelined_commands_and_pushes() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let (pushes, mut pushed) = tokio::sync::mpsc::unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_push_sender(pushes)
        .set_response_timeout(None);
    let client = Client::open(format!("{}?protocol=resp3", proxy.url())).expect("a URL");
    let mut link = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .expect("a connection of protocol version 3");
    // Confirmed by two pushes and no reply; the messages are pushes too.
    link.subscribe(&["a", "b"]).await.expect("subscribed");
    server.cmd::<u64>(&["PUBLISH", "a", "before"]).await;
    let fault = proxy.on(
        Match::command("ECHO").arg("2"),
        Fault::AnswerWith("+struck"),
    );
    let other = proxy.on(Match::command("ECHO").arg("9"), Fault::LoseReplyAndClose);
    let (one, two, three, ()) = tokio::join!(
        echo(&link, "1"),
        echo(&link, "2"),
        echo(&link, "3"),
        async {
            server.cmd::<u64>(&["PUBLISH", "b", "during"]).await;
        }
    );
    fault.hit().await;
    assert_eq!(
        [one, two, three].map(|reply| reply.expect("a reply")),
        ["1", "struck", "3"]
    );
    assert!(!other.has_hit(), "its command was never sent");

    // The command waits for the list, so the push certainly comes before its reply.
    let blocked = proxy.on(Match::command("BLPOP"), Fault::AnswerWith("+struck"));
    let mut waiting = link.clone();
    let mut pop = Cmd::new();
    pop.arg("BLPOP").arg("list").arg(0);
    let (popped, ()) = tokio::join!(pop.query_async::<String>(&mut waiting), async {
        eventually("the client waits for the list", || async {
            server.info("blocked_clients").await.as_deref() == Some("1")
        })
        .await;
        server.cmd::<u64>(&["PUBLISH", "a", "between"]).await;
        server.cmd::<u64>(&["RPUSH", "list", "x"]).await;
    });
    blocked.hit().await;
    assert_eq!(popped.expect("a reply"), "struck");

    let mut messages = 0;
    while messages < 3 {
        let push = within("every message arrives", pushed.recv())
            .await
            .expect("a push");
        messages += usize::from(push.kind == redis::PushKind::Message);
    }
}

#[tokio::test]
async fn a_refused_subscription_takes_no_other_commands_reply() {
    if !servers_available() {
        return;
    }
    let options = Options::new().user("quiet on >quiet ~* resetchannels +@all");
    let server = RedisServer::start(options).await;
    let proxy = Proxy::start(server.addr()).await;
    let mut link = connect(&format!(
        "{}?protocol=resp3",
        proxy.url_with("quiet", "quiet", 0)
    ))
    .await;
    link.subscribe("c")
        .await
        .expect_err("no channel is allowed");
    let fault = proxy.on(
        Match::command("ECHO").arg("2"),
        Fault::AnswerWith("+struck"),
    );
    let replies = tokio::join!(echo(&link, "1"), echo(&link, "2"));
    fault.hit().await;
    assert_eq!(replies.0.expect("a reply"), "1");
    assert_eq!(replies.1.expect("a reply"), "struck");
}

#[tokio::test]
async fn a_cut_closes_every_connection_and_welcomes_new_ones() {
    if !servers_available() {
        return;
    }
    let (_server, proxy) = server_and_proxy().await;
    let links = [connect(&proxy.url()).await, connect(&proxy.url()).await];
    assert_eq!(proxy.open(), 2);
    proxy.cut().await;
    assert_eq!(proxy.open(), 0);
    for link in &links {
        let error = incr(link).await.expect_err("cut");
        assert!(closed(&error), "{error}");
    }
    incr(&connect(&proxy.url()).await)
        .await
        .expect("a new connection");
}

#[tokio::test]
async fn a_partition_is_silence_and_what_was_sent_meanwhile_lands_later() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = impatient(&proxy).await;
    proxy.partition();
    let error = incr(&link).await.expect_err("partitioned");
    assert!(error.is_timeout(), "{error}");
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(IMPATIENT));
    let client = Client::open(proxy.url()).expect("a URL");
    let dialled = client
        .get_multiplexed_async_connection_with_config(&config)
        .await;
    assert!(dialled.is_err(), "nothing answers a new connection either");
    assert_eq!(counter(&server).await, 0);
    assert_eq!(proxy.count("INCR"), 1, "counted, though it did not pass");

    proxy.heal();
    eventually("the request lands", || async {
        counter(&server).await == 1
    })
    .await;
    assert_eq!(incr(&link).await.expect("healed"), 2);
}

#[tokio::test]
async fn a_cut_during_a_partition_loses_what_was_sent() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = impatient(&proxy).await;
    proxy.partition();
    incr(&link).await.expect_err("partitioned");
    proxy.cut().await;
    proxy.heal();
    incr(&connect(&proxy.url()).await).await.expect("healed");
    assert_eq!(counter(&server).await, 1);
}

#[tokio::test]
async fn a_one_way_partition_lets_the_other_direction_pass() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = server_and_proxy().await;
    let link = impatient(&proxy).await;
    proxy.partition_one_way(Direction::Down);
    let error = incr(&link).await.expect_err("no reply passes");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(counter(&server).await, 1, "the request passed");
    proxy.heal();
    proxy.partition_one_way(Direction::Up);
    let error = incr(&link).await.expect_err("no request passes");
    assert!(error.is_timeout(), "{error}");
    assert_eq!(counter(&server).await, 1);
}

#[tokio::test]
async fn a_refusing_proxy_keeps_connections_and_accepts_again_where_it_was() {
    if !servers_available() {
        return;
    }
    let (_server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    let client = Client::open(proxy.url()).expect("a URL");
    proxy.refuse().await;
    let error = client
        .get_multiplexed_async_connection()
        .await
        .expect_err("refused");
    assert!(error.is_connection_refusal(), "{error}");
    incr(&link).await.expect("an old connection");
    proxy.accept().await;
    incr(&connect(&proxy.url()).await)
        .await
        .expect("a new connection");
}

/// The successor is reached at once, at the same address.
#[tokio::test]
async fn a_killed_server_closes_connections_and_its_successor_is_reached() {
    if !servers_available() {
        return;
    }
    let (mut server, proxy) = server_and_proxy().await;
    let link = connect(&proxy.url()).await;
    server.kill();
    let error = incr(&link).await.expect_err("killed");
    assert!(closed(&error), "{error}");
    server.restart_empty().await;
    assert_eq!(
        incr(&connect(&proxy.url()).await)
            .await
            .expect("the successor"),
        1
    );
}
