//! Waiting in the queue of a key on one real server: who is next, what becomes of places and of a
//! hand-off when processes and connections die, and what waits where nothing can be pushed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_redis::{Builder, Guard, LockError, Locks, ReleaseError};
use tenure_tests::live::clients::{
    LONG, brief, connect, freed, locked, pttl, refused, script_on, value,
};
use tenure_tests::live::wait::nobody_asks_for;
use tenure_tests::live::{
    Fault, Fsync, Options, Proxy, RedisServer, eventually, servers_available, within,
};
use tokio::task::JoinHandle;

/// Where a child process finds its server.
const URL: &str = "TENURE_TEST_URL";

/// A client whose leases outlive the test, and are not renewed in it: nobody asks again unless
/// something is wrong.
pub(super) fn quiet() -> Builder {
    Locks::builder()
        .ttl(LONG)
        .request_timeout(Duration::from_secs(5))
}

/// A client that keeps its places every four seconds: the longest that it waits for a lock that it
/// has, or could have, and was not told of.
pub(super) fn keeping() -> Builder {
    quiet().ttl(Duration::from_secs(6))
}

/// The name of the queue of a key without braces.
pub(super) fn queue_of(key: &str) -> String {
    format!("{key}:tenure:queue:{{{key}}}")
}

/// How many places the queue of the key has.
pub(super) async fn places(server: &RedisServer, key: &str) -> usize {
    let members: usize = server.cmd(&["ZCARD", &queue_of(key)]).await;
    members / 2
}

/// Waits until the queue of the key has so many places.
pub(super) async fn in_line(server: &RedisServer, key: &str, count: usize) {
    eventually(format!("{count} places"), || async {
        places(server, key).await == count
    })
    .await;
}

/// Waits until nothing is left of the key and of its queue.
pub(super) async fn clean(server: &RedisServer, key: &str) {
    freed(server, key).await;
    freed(server, &queue_of(key)).await;
}

/// Enters a place, behind as many as there are.
pub(super) async fn enter(
    server: &RedisServer,
    locks: &Locks,
    key: &'static str,
) -> JoinHandle<Guard> {
    let before = places(server, key).await;
    let locks = locks.clone();
    let waiting = tokio::spawn(async move {
        match locks.lock(key).await {
            Ok(guard) => guard,
            Err(error) => panic!("{error}"),
        }
    });
    in_line(server, key, before + 1).await;
    waiting
}

pub(super) async fn granted(waiting: JoinHandle<Guard>) -> Guard {
    let guard = within("the lock is granted", waiting).await;
    let guard = guard.expect("no panic");
    assert!(guard.is_valid());
    guard
}

pub(super) async fn released(guard: Guard) {
    within("an answer", guard.release())
        .await
        .expect("it was held");
}

#[tokio::test]
async fn fifty_who_wait_at_four_clients_are_granted_in_their_order() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let holder = locked(&connect(quiet(), server.url()).await, "k").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(quiet(), server.url()).await);
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..50 {
        let waiting = enter(&server, &clients[number % 4], "k").await;
        let order = Arc::clone(&order);
        waiters.push(tokio::spawn(async move {
            let guard = granted(waiting).await;
            let fence = guard.fence();
            order.lock().expect("no panic").push((number, fence));
            released(guard).await;
        }));
    }
    released(holder).await;
    for waiter in waiters {
        within("it is served", waiter).await.expect("no panic");
    }
    let order = order.lock().expect("no panic").clone();
    let numbers: Vec<_> = order.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert!(order.is_sorted_by_key(|(_, fence)| *fence), "{order:?}");
    clean(&server, "k").await;
}

/// Not a test by itself: a process that takes the lock `k`, or waits for it, until it is killed.
#[tokio::test]
#[ignore = "what the tests below run in a process of its own"]
async fn asks_for_the_lock_until_it_is_killed() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let locks = connect(brief(), url).await;
    let _guard = locks.lock("k").await.expect("granted at last");
    // Not `println!`, which libtest captures.
    writeln!(std::io::stdout().lock(), "\nholds").expect("a pipe to the test");
    std::future::pending::<()>().await;
}

/// A process of its own. Dropped, it is killed.
struct Process(Child);

impl Process {
    fn asks(server: &RedisServer) -> Self {
        let child = Command::new(std::env::current_exe().expect("this test's own program"))
            .args([
                "queue::asks_for_the_lock_until_it_is_killed",
                "--exact",
                "--ignored",
            ])
            .env(URL, server.url())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test's own program runs");
        Self(child)
    }

    /// Waits until it holds the lock.
    fn holds(&mut self) {
        let lines = BufReader::new(self.0.stdout.take().expect("its output")).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line == "holds"), "it ended");
    }

    fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

#[tokio::test]
async fn those_in_line_are_served_in_order_when_the_holder_is_killed() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let mut holder = Process::asks(&server);
    holder.holds();
    let locks = connect(quiet(), server.url()).await;
    let first = enter(&server, &locks, "k").await;
    let second = enter(&server, &locks, "k").await;
    holder.kill();
    let guard = granted(first).await;
    assert!(!second.is_finished());
    released(guard).await;
    released(granted(second).await).await;
    clean(&server, "k").await;
}

/// The node knows that nobody listens at its channel.
#[tokio::test]
async fn who_was_killed_in_line_is_passed_over() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let holder = locked(&locks, "k").await;
    let listeners = async || {
        server
            .cmd::<Vec<String>>(&["PUBSUB", "CHANNELS"])
            .await
            .len()
    };
    let head = Process::asks(&server);
    in_line(&server, "k", 1).await;
    assert_eq!(listeners().await, 2);
    let next = enter(&server, &locks, "k").await;
    head.kill();
    eventually("the server notices", async || listeners().await == 1).await;
    released(holder).await;
    released(granted(next).await).await;
    clean(&server, "k").await;
}

/// Its reservation ends, and with it the lock that it was handed.
#[tokio::test]
async fn who_stands_still_at_the_head_costs_the_others_its_reservation() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(keeping(), server.url()).await;
    let lame = connect(brief(), proxy.url()).await;
    let holder = locked(&locks, "k").await;
    let head = enter(&server, &lame, "k").await;
    let next = enter(&server, &locks, "k").await;
    proxy.partition();
    released(holder).await;
    let guard = granted(next).await;
    proxy.heal();
    eventually("it is in line again", || async {
        places(&server, "k").await == 1
    })
    .await;
    assert!(!head.is_finished());
    released(guard).await;
    released(granted(head).await).await;
    clean(&server, "k").await;
}

#[tokio::test]
async fn a_waiter_whose_connection_is_cut_at_the_hand_off_gets_the_lock() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    for round in 0..20 {
        let proxy = Proxy::start(server.addr()).await;
        let waiter = connect(quiet(), proxy.url()).await;
        let holder = locked(&locks, "k").await;
        let waiting = enter(&server, &waiter, "k").await;
        let kill = ["CLIENT", "KILL", "TYPE", "pubsub"];
        match round % 3 {
            // The server closes before, after, and the network at the same time.
            0 => {
                let _: i64 = server.cmd(&kill).await;
                released(holder).await;
            }
            1 => {
                released(holder).await;
                let _: i64 = server.cmd(&kill).await;
            }
            _ => {
                futures_util::future::join(proxy.cut(), released(holder)).await;
            }
        }
        released(granted(waiting).await).await;
        clean(&server, "k").await;
    }
}

#[tokio::test]
async fn a_holder_whose_connection_is_cut_at_the_hand_off_hands_on_once() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let holding = connect(quiet(), proxy.url()).await;
    let locks = connect(quiet(), server.url()).await;
    for fault in [Fault::LoseReplyAndClose, Fault::LoseRequestAndClose] {
        for _ in 0..5 {
            let holder = locked(&holding, "k").await;
            let first = enter(&server, &locks, "k").await;
            let second = enter(&server, &locks, "k").await;
            let cut = proxy.on(script_on("k"), fault.clone());
            let end = within("an answer", holder.release()).await;
            assert!(
                matches!(
                    end,
                    Ok(()) | Err(ReleaseError::Lost(_) | ReleaseError::Unknown { .. })
                ),
                "{end:?}"
            );
            cut.hit().await;
            let guard = granted(first).await;
            assert_eq!(places(&server, "k").await, 1);
            assert!(!second.is_finished());
            released(guard).await;
            released(granted(second).await).await;
            clean(&server, "k").await;
        }
    }
}

#[tokio::test]
async fn a_waiter_that_misses_its_push_has_the_lock_when_it_keeps_its_place() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(quiet(), server.url()).await;
    let deaf = connect(keeping(), proxy.url()).await;
    proxy.lose_pushes(true);
    for turn in 1..=3 {
        let holder = locked(&locks, "k").await;
        let waiting = enter(&server, &deaf, "k").await;
        let behind = enter(&server, &locks, "k").await;
        released(holder).await;
        released(granted(waiting).await).await;
        assert_eq!(proxy.lost_pushes(), turn);
        released(granted(behind).await).await;
    }
    clean(&server, "k").await;
}

/// Nobody hands on then, so the first in line asks.
#[tokio::test]
async fn a_foreign_holder_that_ends_leaves_the_lock_to_those_in_line() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    for expiry in [&["PX", "500"][..], &[], &["PX", "600000"]] {
        let set = [&["SET", "k", "theirs"], expiry].concat();
        server.cmd::<()>(&set).await;
        let first = enter(&server, &locks, "k").await;
        let second = enter(&server, &locks, "k").await;
        if expiry.last() != Some(&"500") {
            server.cmd::<i64>(&["DEL", "k"]).await;
        }
        let guard = granted(first).await;
        assert!(!second.is_finished());
        released(guard).await;
        released(granted(second).await).await;
        clean(&server, "k").await;
    }
}

#[tokio::test]
async fn those_in_line_are_served_by_a_server_that_comes_back_empty() {
    if !servers_available() {
        return;
    }
    let mut server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let holder = locked(&locks, "k").await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(enter(&server, &locks, "k").await);
    }
    server.restart_empty().await;
    // Their order is forgotten.
    let waiting = waiting.into_iter().map(|waiting| async {
        released(granted(waiting).await).await;
    });
    futures_util::future::join_all(waiting).await;
    drop(holder);
    clean(&server, "k").await;
}

#[tokio::test]
async fn a_server_that_comes_back_with_its_data_knows_the_order() {
    if !servers_available() {
        return;
    }
    let mut server = RedisServer::start(Options::new().append_only(Fsync::Always)).await;
    let locks = connect(quiet(), server.url()).await;
    let holder = locked(&locks, "k").await;
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(enter(&server, &locks, "k").await);
    }
    server.restart_with_data().await;
    assert_eq!(places(&server, "k").await, 5);
    released(holder).await;
    while !waiting.is_empty() {
        let guard = granted(waiting.remove(0)).await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        released(guard).await;
    }
    clean(&server, "k").await;
}

/// Clients whose leases are not renewed in the test, on a way on which nothing can be pushed.
async fn those_in_line_ask(server: &RedisServer, url: &str) {
    let holder = locked(&connect(quiet(), server.url()).await, "k").await;
    let locks = connect(quiet(), url).await;
    let first = enter(server, &locks, "k").await;
    let second = enter(server, &locks, "k").await;
    released(holder).await;
    released(granted(first).await).await;
    released(granted(second).await).await;
    clean(server, "k").await;
}

#[tokio::test]
async fn those_who_may_not_listen_are_served_by_asking() {
    if !servers_available() {
        return;
    }
    for forbidden in ["resetchannels", "&* -subscribe -publish -pubsub"] {
        let rules = format!("app on >hunter2 ~* +@all {forbidden}");
        let server = RedisServer::start(Options::new().user(&rules)).await;
        those_in_line_ask(&server, &server.url_with("app", "hunter2", 0)).await;
        // Nor does it matter that the holder may not publish.
        let mute = connect(quiet(), server.url_with("app", "hunter2", 0)).await;
        let holder = locked(&mute, "k").await;
        let waiting = enter(&server, &connect(keeping(), server.url()).await, "k").await;
        released(holder).await;
        released(granted(waiting).await).await;
    }
}

#[tokio::test]
async fn those_in_line_over_the_older_protocol_are_served_by_asking() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let url = format!("{}?protocol=resp2", server.url());
    those_in_line_ask(&server, &url).await;
}

#[tokio::test]
async fn a_queue_of_another_type_is_told_and_the_lock_is_freed_all_the_same() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let holder = locked(&locks, "k").await;
    server.cmd::<()>(&["SET", &queue_of("k"), "theirs"]).await;
    match within("an answer", locks.lock("k")).await {
        Err(LockError::WrongType { name, holds, .. }) => {
            assert_eq!(name.as_bytes(), queue_of("k").as_bytes());
            assert_eq!(holds, "a string");
        }
        other => panic!("{other:?}"),
    }
    refused(&locks, "k").await;
    released(holder).await;
    freed(&server, "k").await;
    released(locked(&locks, "k").await).await;
    assert_eq!(
        value(&server, &queue_of("k")).await.as_deref(),
        Some("theirs")
    );
    assert_eq!(pttl(&server, &queue_of("k")).await, -1);
}

/// One that comes back at once does not keep out another that waits: they take turns.
#[tokio::test]
async fn who_asks_again_at_once_and_who_waits_take_turns() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let turns = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (who, held) in [(0, Duration::from_millis(5)), (1, Duration::ZERO)] {
        let locks = connect(Locks::builder(), server.url()).await;
        let turns = Arc::clone(&turns);
        tasks.push(tokio::spawn(async move {
            loop {
                let guard = locked(&locks, "k").await;
                {
                    let mut turns = turns.lock().expect("no panic");
                    turns.push(who);
                    if turns.len() >= 600 {
                        return;
                    }
                }
                nobody_asks_for(held).await;
                released(guard).await;
            }
        }));
    }
    for task in tasks {
        within("they take turns", task).await.expect("no panic");
    }
    let turns = turns.lock().expect("no panic").clone();
    let both = turns.iter().position(|who| *who != turns[0]);
    let turns = &turns[both.expect("both are served")..];
    let grants = |of: i32| turns.iter().filter(|who| **who == of).count();
    let (first, second) = (grants(0), grants(1));
    // Who is late with asking again, on a busy machine, finds the other one served twice.
    assert!(
        first.abs_diff(second) <= turns.len() / 10,
        "{first} {second}"
    );
}
