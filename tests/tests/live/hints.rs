//! Waiting over several real servers: who is told that the lock is free, what that costs, and what
//! is left behind.

use tenure_redis::{Builder, Guard, Locks};
use tenure_tests::live::clients::{LONG, calls, connected, freed};
use tenure_tests::live::{Options, RedisServer, eventually, servers_available, within};
use tokio::task::JoinHandle;

use crate::queue::{granted, places, queue_of, quiet, released};

async fn servers(count: usize) -> Vec<RedisServer> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(RedisServer::start(Options::new()).await);
    }
    servers
}

/// A client over all of them, whose leases outlive the test. Who waits asks again after more time
/// than the test has, unless it is told. The servers have forgotten nothing.
fn over(servers: &[RedisServer]) -> Builder {
    quiet()
        .nodes(servers.iter().map(RedisServer::url))
        .quarantine(tenure_redis::Quarantine::Off)
}

/// Begins to wait, until each server has so many places.
async fn waits(servers: &[RedisServer], locks: &Locks, count: usize) -> JoinHandle<Guard> {
    let locks = locks.clone();
    let waiting = tokio::spawn(async move {
        match locks.lock("k").await {
            Ok(guard) => guard,
            Err(error) => panic!("{error}"),
        }
    });
    for server in servers {
        eventually(format!("{count} places"), || async {
            places(server, "k").await == count
        })
        .await;
    }
    waiting
}

async fn clean(servers: &[RedisServer]) {
    for server in servers {
        freed(server, "k").await;
        freed(server, &queue_of("k")).await;
    }
}

/// How many scripts the servers have executed.
async fn asked(servers: &[RedisServer]) -> u64 {
    let mut sum = 0;
    for server in servers {
        sum += calls(server, "evalsha").await;
    }
    sum
}

#[tokio::test]
async fn who_waits_over_three_servers_is_told_when_the_lock_is_free() {
    if !servers_available() {
        return;
    }
    let servers = servers(3).await;
    let first = connected(over(&servers)).await;
    let second = connected(over(&servers)).await;
    let mut holder = within("it is free", first.lock("k"))
        .await
        .expect("granted");
    for round in 0..20 {
        let other = if round % 2 == 0 { &second } else { &first };
        let waiting = waits(&servers, other, 1).await;
        let before = asked(&servers).await;
        tenure_tests::live::wait::nobody_asks_for(std::time::Duration::from_millis(300)).await;
        assert_eq!(asked(&servers).await, before, "nobody asks while it waits");
        released(holder).await;
        holder = granted(waiting).await;
        assert!(holder.remaining() > LONG / 2);
    }
    released(holder).await;
    clean(&servers).await;
}

/// An acquire that meets no rival, and its release, are ten requests.
#[tokio::test]
async fn of_twenty_who_wait_over_five_servers_each_costs_25_requests_at_most() {
    if !servers_available() {
        return;
    }
    let servers = servers(5).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(connected(over(&servers)).await);
    }
    let holder = within("it is free", clients[0].lock("k"))
        .await
        .expect("granted");
    let mut waiters = Vec::new();
    for number in 0..20 {
        let waiting = waits(&servers, &clients[number % 5], number + 1).await;
        waiters.push(tokio::spawn(async move {
            released(granted(waiting).await).await;
        }));
    }
    let before = asked(&servers).await;
    released(holder).await;
    for waiter in waiters {
        within("it is served", waiter).await.expect("no panic");
    }
    clean(&servers).await;
    let each = (asked(&servers).await - before) / 20;
    assert!(each <= 25, "{each} requests for each grant");
}

#[tokio::test]
async fn who_stops_waiting_over_three_servers_leaves_no_place() {
    if !servers_available() {
        return;
    }
    let servers = servers(3).await;
    let first = connected(over(&servers)).await;
    let second = connected(over(&servers)).await;
    for _ in 0..10 {
        let holder = within("it is free", first.lock("k"))
            .await
            .expect("granted");
        let stops = waits(&servers, &second, 1).await;
        let next = waits(&servers, &first, 2).await;
        let release = tokio::spawn(holder.release());
        tokio::task::yield_now().await;
        stops.abort();
        within("an answer", release)
            .await
            .expect("no panic")
            .expect("it was held");
        released(granted(next).await).await;
        clean(&servers).await;
    }
}

#[tokio::test]
async fn who_waits_is_told_also_by_a_server_that_was_away() {
    if !servers_available() {
        return;
    }
    let mut servers = servers(3).await;
    let first = connected(over(&servers)).await;
    let second = connected(over(&servers)).await;
    let holder = within("it is free", first.lock("k"))
        .await
        .expect("granted");
    let waiting = waits(&servers, &second, 1).await;
    // With it goes its place. Who waits asks again once the server is back.
    servers[2].kill();
    servers[2].restart_empty().await;
    for server in &servers {
        eventually("it has its place again", || async {
            places(server, "k").await == 1
        })
        .await;
    }
    released(holder).await;
    released(granted(waiting).await).await;
}
