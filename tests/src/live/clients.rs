//! Clients under test, and what a test asks a server about them.
//!
//! No test depends on a fast machine. A lease that must survive has a TTL of ten minutes, so that
//! what is freed was released and did not expire; it is renewed several times a second, so that no
//! test waits long for a renewal. A lease that must expire has a short TTL.

use std::time::Duration;

use tenure_redis::seams::{BootClock, Clock as _};
use tenure_redis::{Builder, Guard, LockError, Locks};

use super::proxy::{Command, Match, Proxy};
use super::server::RedisServer;
use super::wait::{eventually, eventually_some, within};

/// The TTL of a lease that must not expire while the test runs.
pub const LONG: Duration = Duration::from_secs(600);

/// The TTL of a lease that must expire while the test waits.
pub const SHORT: Duration = Duration::from_millis(1_500);

/// A client whose leases outlive the test and are renewed three times a second. It waits so long
/// for a reply that a late one is not taken for a lost one.
pub fn patient() -> Builder {
    Locks::builder()
        .ttl(LONG)
        .options(|options| options.renew_after(Duration::from_millis(300)))
        .request_timeout(Duration::from_secs(5))
}

/// Like [`patient`], but it soon takes a reply for lost. On a busy machine its attempts may fail,
/// but not its leases.
pub fn hasty() -> Builder {
    patient().request_timeout(Duration::from_millis(500))
}

/// A client whose leases end soon without renewal.
pub fn brief() -> Builder {
    Locks::builder().ttl(SHORT)
}

/// A client of one node, connected.
///
/// # Panics
/// When it cannot connect.
pub async fn connect(builder: Builder, url: impl AsRef<str>) -> Locks {
    connected(builder.node(url)).await
}

/// A client, connected.
///
/// # Panics
/// When it cannot connect.
pub async fn connected(builder: Builder) -> Locks {
    match within("the client connects", builder.connect()).await {
        Ok(locks) => locks,
        Err(error) => panic!("the client does not connect: {error}"),
    }
}

/// Takes a lock that nobody holds for long.
///
/// # Panics
/// When it is not granted in time.
pub async fn locked(locks: &Locks, key: impl AsRef<[u8]>) -> Guard {
    match within("the lock is granted", locks.lock(key)).await {
        Ok(guard) => guard,
        Err(error) => panic!("{error}"),
    }
}

/// Demands that someone else holds the key; gives what is left to them.
///
/// # Panics
/// When it is granted, or refused for another reason.
pub async fn refused(locks: &Locks, key: impl AsRef<[u8]>) -> Duration {
    match within("an answer", locks.try_lock(key)).await {
        Err(LockError::Contended { left, .. }) => left,
        Err(error) => panic!("not contention but: {error}"),
        Ok(guard) => panic!("granted to two: {guard:?}"),
    }
}

/// Waits until so many renewals of this guard were confirmed: each moves the end of its validity.
///
/// # Panics
/// When the lock is lost meanwhile.
pub async fn renewed(guard: &Guard, times: u32) {
    let clock = BootClock::new();
    let until = || clock.now() + guard.remaining();
    let mut seen = until();
    for _ in 0..times {
        // More than two readings of one instant can differ, and less than a renewal adds.
        let noise = Duration::from_millis(50);
        seen = eventually_some("a renewal is confirmed", || async {
            assert!(guard.is_valid(), "lost instead of renewed");
            let now = until();
            (now > seen + noise).then_some(now)
        })
        .await;
    }
}

/// Takes the lock `k`, renews it once and frees it again, on the database that the harness looks
/// at.
///
/// # Panics
/// When one of these fails.
pub async fn serves(locks: &Locks, server: &RedisServer) {
    let guard = locked(locks, "k").await;
    assert!(value(server, "k").await.is_some());
    refused(locks, "k").await;
    renewed(&guard, 1).await;
    guard.release().await.expect("it was held");
    freed(server, "k").await;
}

/// Waits until nothing is left of the key.
pub async fn freed(server: &RedisServer, key: &str) {
    eventually("the key is freed", || async {
        !server.cmd::<bool>(&["EXISTS", key]).await
    })
    .await;
}

/// What the key holds, if it is a string or absent.
pub async fn value(server: &RedisServer, key: &str) -> Option<String> {
    server.cmd(&["GET", key]).await
}

/// How long the key still lives, in milliseconds; −1 without an expiry, −2 if it is absent.
pub async fn pttl(server: &RedisServer, key: &str) -> i64 {
    server.cmd(&["PTTL", key]).await
}

/// How often a server has been called by this name, as `INFO commandstats` counts.
pub async fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.info(&format!("cmdstat_{command}")).await;
    let calls = stats.as_deref().and_then(|stats| {
        let (calls, _) = stats.strip_prefix("calls=")?.split_once(',')?;
        calls.parse().ok()
    });
    calls.unwrap_or(0)
}

/// How many connections a server has, without the harness' own.
pub async fn connections(server: &RedisServer) -> usize {
    let list: String = server.cmd(&["CLIENT", "LIST"]).await;
    // The harness is a user of its own.
    list.lines()
        .filter(|line| !line.contains("user=harness"))
        .count()
}

/// A call of a script about this key.
pub fn script_on(key: &str) -> Match {
    Match::command("EVALSHA").arg(key)
}

/// A request of a lock about this key: a call of a script, or the plain command that takes it.
pub fn request_on(key: &'static str) -> Match {
    Match::when(move |command| is_request_on(command, key))
}

/// The requests of locks about this key that have come to the proxy.
pub fn requests_on(proxy: &Proxy, key: &str) -> Vec<Command> {
    let about = |command: &Command| is_request_on(command, key);
    proxy.commands().into_iter().filter(about).collect()
}

fn is_request_on(command: &Command, key: &str) -> bool {
    (command.is("EVALSHA") || command.is("SET")) && command.has_arg(key)
}

/// How many requests of locks the server has executed. Over one node the first of each lock is a
/// plain command.
pub async fn requests(server: &RedisServer) -> u64 {
    // Behind the plain commands of each write, one draws their fence.
    let mut sum = 0;
    for command in ["evalsha", "xadd"] {
        sum += calls(server, command).await;
    }
    sum
}
