//! Places in a queue at one real server that end before their turn, and waiters that everything
//! seems to have forgotten.

use std::time::Duration;

use tenure_redis::LockError;
use tenure_tests::live::clients::{calls, connect, freed, locked};
use tenure_tests::live::{
    Fate, Options, Proxy, RedisServer, eventually, servers_available, within,
};

use crate::queue::{clean, enter, granted, in_line, queue_of, quiet, released};

#[tokio::test]
async fn who_stops_waiting_leaves_the_line() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let holder = locked(&connect(quiet(), server.url()).await, "k").await;
    let locks = connect(quiet(), server.url()).await;

    let dropped = enter(&server, &locks, "k").await;
    dropped.abort();
    freed(&server, &queue_of("k")).await;

    let soon = locks.with(|options| options.give_up_after(Duration::from_millis(300)));
    let error = within("it gives up", soon.expect("it can work").lock("k")).await;
    match error {
        Err(LockError::Contended { ahead, .. }) => assert_eq!(ahead, Some(0)),
        other => panic!("{other:?}"),
    }
    freed(&server, &queue_of("k")).await;

    let closed = connect(quiet(), server.url()).await;
    let waiting = tokio::spawn({
        let closed = closed.clone();
        async move { closed.lock("k").await }
    });
    in_line(&server, "k", 1).await;
    let behind = enter(&server, &locks, "k").await;
    within("the client closes", closed.close()).await;
    in_line(&server, "k", 1).await;
    let error = within("it is told", waiting).await.expect("no panic");
    assert!(error.is_err(), "{error:?}");
    released(holder).await;
    released(granted(behind).await).await;
    clean(&server, "k").await;
}

#[tokio::test]
async fn a_lock_that_is_handed_to_who_just_stopped_waiting_goes_on_to_the_next() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let first = connect(quiet(), server.url()).await;
    let second = connect(quiet(), server.url()).await;
    for _ in 0..50 {
        let holder = locked(&second, "k").await;
        let stops = enter(&server, &first, "k").await;
        let next = enter(&server, &second, "k").await;
        let release = tokio::spawn(holder.release());
        tokio::task::yield_now().await;
        stops.abort();
        within("an answer", release)
            .await
            .expect("no panic")
            .expect("it was held");
        released(granted(next).await).await;
        clean(&server, "k").await;
    }
}

/// Who listens to a pattern is no client that waits, although a message would reach it.
#[tokio::test]
async fn a_monitor_of_all_channels_makes_no_dead_waiter_look_alive() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let mut monitor = redis::Client::open(server.url())
        .expect("a URL")
        .get_async_pubsub()
        .await
        .expect("connected");
    monitor.psubscribe("*").await.expect("it listens");
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(quiet(), server.url()).await;
    let holder = locked(&locks, "k").await;
    let lame = connect(quiet(), proxy.url()).await;
    let head = enter(&server, &lame, "k").await;
    let next = enter(&server, &locks, "k").await;
    proxy.refuse().await;
    let channels = async || {
        let channels: Vec<String> = server.cmd(&["PUBSUB", "CHANNELS"]).await;
        channels.len()
    };
    assert_eq!(channels().await, 2);
    proxy.cut().await;
    eventually("the server notices", async || channels().await == 1).await;
    released(holder).await;
    let guard = granted(next).await;
    proxy.accept().await;
    released(guard).await;
    released(granted(head).await).await;
    clean(&server, "k").await;
}

#[tokio::test]
async fn scripts_that_are_flushed_hold_up_nobody_in_line() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let others = connect(quiet(), server.url()).await;
    let mut holder = locked(&locks, "k").await;
    let mut waiting = enter(&server, &others, "k").await;
    for _ in 0..10 {
        server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
        let next = enter(&server, &others, "k").await;
        server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
        released(holder).await;
        holder = granted(waiting).await;
        waiting = next;
    }
    released(holder).await;
    released(granted(waiting).await).await;
    clean(&server, "k").await;
}

/// The server knows nothing of it, and hands the lock to who waits there.
#[tokio::test]
async fn who_waits_on_a_connection_that_the_network_forgot_gets_the_lock() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(quiet(), server.url()).await;
    // It asks an idle connection soon whether it lives, and its places only after minutes.
    let asks_soon = quiet().request_timeout(Duration::from_millis(500));
    let waiter = connect(asks_soon, proxy.url()).await;
    for _ in 0..2 {
        let holder = locked(&locks, "k").await;
        let waiting = enter(&server, &waiter, "k").await;
        proxy.doom(Fate::Swallowed);
        released(holder).await;
        released(granted(waiting).await).await;
        clean(&server, "k").await;
    }
}

#[tokio::test]
async fn a_server_that_stands_still_for_a_while_serves_those_in_line() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let brisk = || quiet().request_timeout(Duration::from_millis(300));
    let holder = locked(&connect(brisk(), server.url()).await, "k").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let locks = connect(brisk(), server.url()).await;
        waiting.push(enter(&server, &locks, "k").await);
    }
    server.pause();
    let stuck = within("nobody answers", holder.release()).await;
    assert!(stuck.is_err(), "{stuck:?}");
    server.resume();
    let served = waiting.into_iter().map(|waiting| async {
        released(granted(waiting).await).await;
    });
    futures_util::future::join_all(served).await;
    clean(&server, "k").await;
}

/// Its place names a channel at which it cannot listen any more, so it asks.
#[tokio::test]
async fn who_may_not_listen_any_more_while_it_waits_is_served_by_asking() {
    if !servers_available() {
        return;
    }
    let rules = "app on >hunter2 ~* &* +@all";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let holder = locked(&connect(quiet(), server.url()).await, "k").await;
    let locks = connect(quiet(), server.url_with("app", "hunter2", 0)).await;
    let waiting = enter(&server, &locks, "k").await;
    // The server ends connections that listen where they may not.
    let withdrawn = ["ACL", "SETUSER", "app", "resetchannels"];
    let kept = calls(&server, "zadd").await;
    server.cmd::<()>(&withdrawn).await;
    eventually("its place is kept over a new connection", async || {
        calls(&server, "zadd").await > kept
    })
    .await;
    released(holder).await;
    released(granted(waiting).await).await;
    clean(&server, "k").await;
}
