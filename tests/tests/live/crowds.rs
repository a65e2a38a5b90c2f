//! Ten thousand that wait at one server, for one key and for a hundred: what they cost while they
//! wait, and that all are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_redis::seams::{BootClock, Clock as _};
use tenure_redis::{Guard, Locks};
use tenure_tests::live::clients::{LONG, calls, connect, freed, locked};
use tenure_tests::live::wait::nobody_asks_for;
use tenure_tests::live::{Options, RedisServer, servers_available, within};
use tokio::task::JoinSet;

use crate::queue::{in_line, queue_of};

const WAITERS: usize = 10_000;
const TTL: Duration = Duration::from_secs(6);
/// How often a place is kept.
const KEEP: Duration = Duration::from_secs(4);
/// How many places are kept by one request.
const BATCH: usize = 128;

async fn all_in_line(server: &RedisServer, keys: usize) {
    for key in 0..keys {
        in_line(server, &format!("k{key}"), WAITERS / keys).await;
    }
}

async fn a_crowd_waits_quietly_and_is_served(keys: usize) {
    let clock = BootClock::new();
    let server = RedisServer::start(Options::new()).await;
    let holding = connect(Locks::builder().ttl(LONG), server.url()).await;
    let mut guards: Vec<Guard> = Vec::new();
    for key in 0..keys {
        guards.push(locked(&holding, format!("k{key}")).await);
    }
    let builder = Locks::builder().ttl(TTL);
    let locks = connect(builder, server.url()).await;
    let served = Arc::new(AtomicUsize::new(0));
    let mut waiting = JoinSet::new();
    for number in 0..WAITERS {
        let (locks, served) = (locks.clone(), Arc::clone(&served));
        waiting.spawn(async move {
            let guard = locks.lock(format!("k{}", number % keys)).await;
            served.fetch_add(1, Ordering::SeqCst);
            guard.expect("granted").release().await.expect("held");
        });
    }
    all_in_line(&server, keys).await;

    let (before, began) = (calls(&server, "evalsha").await, clock.now());
    nobody_asks_for(2 * KEEP).await;
    let kept = calls(&server, "evalsha").await - before;
    let waited = clock.now().saturating_since(began);
    let intervals = waited.div_duration_f64(KEEP) + 1.0;
    let calls_each = WAITERS.div_ceil(BATCH) as f64;
    println!("{kept} calls in {intervals:.1} intervals of {calls_each}");
    assert!(kept > 0, "it was long enough");
    assert!(kept as f64 <= 2.0 * intervals * calls_each, "{kept} calls");
    assert_eq!(served.load(Ordering::SeqCst), 0);

    drop(guards);
    while let Some(done) = within("the next is served", waiting.join_next()).await {
        done.expect("no panic");
    }
    assert_eq!(served.load(Ordering::SeqCst), WAITERS);
    for key in 0..keys {
        freed(&server, &format!("k{key}")).await;
        freed(&server, &queue_of(&format!("k{key}"))).await;
    }
}

#[tokio::test]
async fn ten_thousand_wait_for_one_key_quietly_and_all_are_served() {
    if servers_available() {
        a_crowd_waits_quietly_and_is_served(1).await;
    }
}

#[tokio::test]
async fn ten_thousand_wait_for_a_hundred_keys_quietly_and_all_are_served() {
    if servers_available() {
        a_crowd_waits_quietly_and_is_served(100).await;
    }
}
