//! A server that is killed while many leases are due to be renewed, and comes back with its data.

use std::time::Duration;

use futures_util::future::join_all;
use tenure_redis::{Guard, Locks};
use tenure_tests::live::clients::{connect, locked};
use tenure_tests::live::{Fsync, Options, RedisServer, eventually, servers_available};

const LEASES: usize = 1_000;

/// What is left of a lease with the default TTL of 10 s when its renewal is due: a third of the
/// TTL, less the drift margin.
const LEFT: Duration = Duration::from_millis(3_231);

/// How long before that the server may be killed. It is a multiple of the pauses between two looks
/// of `eventually`, so that one of them falls into it.
const IN_A_MOMENT: Duration = Duration::from_millis(500);

/// How long the server is away.
const AWAY: Duration = Duration::from_secs(2);

/// How much must be left of the leases when the server is back, so that the test is about this
/// client and not about how long a loaded machine takes to start a server.
const LEFT_AT_LEAST: Duration = Duration::from_millis(1_000);

async fn hold(locks: &Locks, round: usize) -> Vec<Guard> {
    let keys = (0..LEASES).map(|number| format!("k{round}-{number}"));
    join_all(keys.map(|key| async move { locked(locks, &key).await })).await
}

fn shortest(guards: &[Guard]) -> Duration {
    let left = guards.iter().map(Guard::remaining).min();
    left.unwrap_or_default()
}

#[tokio::test]
async fn a_killed_server_that_is_away_for_two_seconds_costs_no_lease() {
    if !servers_available() {
        return;
    }
    let options = Options::new().append_only(Fsync::Always);
    let mut server = RedisServer::start(options).await;
    for round in 0..5 {
        let locks = connect(Locks::builder(), server.url()).await;
        let guards = hold(&locks, round).await;
        eventually("renewals are due in a moment", || async {
            shortest(&guards) <= LEFT + IN_A_MOMENT
        })
        .await;
        server.kill();
        eventually("the server was away for long enough", || async {
            shortest(&guards) <= LEFT - AWAY
        })
        .await;
        server.restart_with_data().await;
        let left = shortest(&guards);
        if left < LEFT_AT_LEAST {
            println!("{left:?} is left when the server is back: once more");
            continue;
        }
        eventually("all were renewed, or some were lost", || async {
            let renewed = |guard: &Guard| guard.remaining() > LEFT || !guard.is_valid();
            guards.iter().all(renewed)
        })
        .await;
        let kept = guards.iter().filter(|guard| guard.is_valid()).count();
        assert_eq!(kept, LEASES, "of those that had {left:?} left");
        return;
    }
    panic!("this machine takes too long to start a server");
}
