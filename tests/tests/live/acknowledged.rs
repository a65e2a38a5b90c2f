//! Grants that real replicas acknowledge, or do not.

use std::time::Duration;

use futures_util::future::{join, join_all};
use tenure_redis::{Builder, Concern, ConnectError, Gravity, LockError, Locks};
use tenure_tests::live::clients::{
    calls, connect, connected, connections, freed, hasty, locked, patient, renewed, value,
};
use tenure_tests::live::{
    Group, Options, RedisServer, eventually, eventually_some, servers_available, within,
};

use crate::queue::in_line;

/// A primary with a replica that is in sync.
async fn pair() -> (RedisServer, RedisServer) {
    let primary = RedisServer::start(Options::new()).await;
    let replica = RedisServer::start(Options::new().replica_of(primary.addr())).await;
    replica.in_sync().await;
    (primary, replica)
}

fn by_one(builder: Builder) -> Builder {
    builder.acknowledged_by(1)
}

async fn refusal(locks: &Locks, key: &str) -> LockError {
    let answer = within("an answer", locks.try_lock(key)).await;
    answer.expect_err("no replica acknowledges")
}

/// The error that says how many replicas had acknowledged. On a busy machine the server may say it
/// too late, which is an outage, and told otherwise.
async fn too_few(locks: &Locks, key: &str) -> LockError {
    eventually_some("it is said how many acknowledged", || async {
        match refusal(locks, key).await {
            LockError::Outage { .. } => None,
            error => Some(error),
        }
    })
    .await
}

/// So many of so many replicas.
async fn told(locks: &Locks, key: &str) -> (u32, u32) {
    match too_few(locks, key).await {
        LockError::Unacknowledged {
            replicas, demanded, ..
        } => (replicas, demanded),
        other => panic!("expected Unacknowledged: {other}"),
    }
}

/// Waits until a grant waits for replicas.
async fn is_waited_for(primary: &RedisServer) {
    eventually("a grant waits for replicas", || async {
        blocked(primary).await == 1
    })
    .await;
}

async fn blocked(server: &RedisServer) -> u64 {
    let blocked = server.info("blocked_clients").await.expect("it says so");
    blocked.parse().expect("a number")
}

#[tokio::test]
async fn when_a_lock_is_granted_the_replica_has_it() {
    if !servers_available() {
        return;
    }
    let (primary, replica) = pair().await;
    let locks = connect(by_one(patient()), primary.url()).await;
    for turn in 0..50 {
        let key = format!("k{turn}");
        let guard = locked(&locks, &key).await;
        let held = value(&replica, &key).await;
        assert!(held.is_some(), "turn {turn}");
        assert_eq!(held, value(&primary, &key).await);
        drop(guard);
    }
    // One for locks, one for replicas, one of the test.
    assert_eq!(connections(&primary).await, 2);
    drop(locks);
    eventually("both connections are closed", || async {
        connections(&primary).await == 0
    })
    .await;
}

#[tokio::test]
async fn grants_that_come_together_share_what_is_asked() {
    if !servers_available() {
        return;
    }
    let (primary, replica) = pair().await;
    let locks = connect(by_one(patient()), primary.url()).await;
    let keys = (0..500).map(|key| format!("k{key}"));
    let guards = keys.map(|key| {
        let locks = &locks;
        async move { locked(locks, key).await }
    });
    let guards = join_all(guards).await;
    assert_eq!(guards.len(), 500);
    assert!(value(&replica, "k499").await.is_some());
    let waits = calls(&primary, "wait").await;
    assert!((1..=100).contains(&waits), "{waits} for 500 grants");
}

#[tokio::test]
async fn without_the_replica_nothing_is_granted_and_all_is_given_back() {
    if !servers_available() {
        return;
    }
    let (primary, replica) = pair().await;
    let locks = connect(by_one(hasty()), primary.url()).await;
    replica.pause();
    assert_eq!(told(&locks, "k").await, (0, 1));
    let error = too_few(&locks, "k").await;
    assert!(error.is_outage(), "{error}");
    let text = error.to_string();
    for part in [
        "0 of 1 replicas",
        "k",
        "given back",
        "Builder::acknowledged_by",
    ] {
        assert!(text.contains(part), "{text}");
    }
    freed(&primary, "k").await;
    // Who goes on waiting has it as soon as the replica is back.
    let waits = async { locked(&locks, "k").await };
    let mends = async {
        is_waited_for(&primary).await;
        replica.resume();
    };
    let (guard, ()) = join(waits, mends).await;
    assert!(guard.is_valid());
    assert!(value(&replica, "k").await.is_some());
}

#[tokio::test]
async fn a_replica_that_died_and_comes_back_acknowledges_again() {
    if !servers_available() {
        return;
    }
    let (primary, mut replica) = pair().await;
    let locks = connect(by_one(hasty()), primary.url()).await;
    drop(locked(&locks, "k").await);
    replica.kill();
    assert_eq!(told(&locks, "k").await, (0, 1));
    freed(&primary, "k").await;
    replica.restart_empty().await;
    replica.in_sync().await;
    let guard = locked(&locks, "k").await;
    assert!(value(&replica, "k").await.is_some());
    drop(guard);
    // More than there are.
    let two = connect(hasty().acknowledged_by(2), primary.url()).await;
    assert_eq!(told(&two, "l").await, (1, 2));
}

#[tokio::test]
async fn a_lock_that_is_handed_on_is_acknowledged_too() {
    if !servers_available() {
        return;
    }
    let (primary, replica) = pair().await;
    let locks = connect(
        by_one(patient().options(|options| options.label("first"))),
        primary.url(),
    )
    .await;
    let other = connect(
        by_one(hasty().options(|options| options.label("second"))),
        primary.url(),
    )
    .await;
    for paused in [false, true] {
        let guard = locked(&locks, "k").await;
        let waits = async {
            let guard = locked(&other, "k").await;
            // Read at once.
            let held = value(&replica, "k").await.expect("the replica has it");
            assert!(held.starts_with("second:"), "{held}");
            guard
        };
        let hands_on = async {
            in_line(&primary, "k", 1).await;
            if paused {
                replica.pause();
            }
            guard.release().await.expect("it was held");
            if paused {
                is_waited_for(&primary).await;
                replica.resume();
            }
        };
        let (second, ()) = join(waits, hands_on).await;
        assert!(second.is_valid());
        second.release().await.expect("it was held");
    }
}

#[tokio::test]
async fn nothing_else_is_held_up_while_replicas_are_waited_for() {
    if !servers_available() {
        return;
    }
    let (primary, replica) = pair().await;
    // It is waited for much longer than the rest of the test takes.
    let minutes = Duration::from_secs(120);
    let locks = connect(by_one(patient().request_timeout(minutes)), primary.url()).await;
    let held = locked(&locks, "held").await;
    let done = locked(&locks, "done").await;
    replica.pause();
    let waits = async { locked(&locks, "waited").await };
    let others = async {
        is_waited_for(&primary).await;
        renewed(&held, 2).await;
        done.release().await.expect("it was held");
        freed(&primary, "done").await;
        let seen = within("an answer", locks.inspect("held")).await;
        assert!(seen.expect("it answers").left().is_some());
        assert_eq!(blocked(&primary).await, 1, "it is waited for still");
        replica.resume();
    };
    let (guard, ()) = join(waits, others).await;
    assert!(guard.is_valid());
}

#[tokio::test]
async fn a_connection_for_replicas_that_was_killed_is_made_anew() {
    if !servers_available() {
        return;
    }
    let (primary, _replica) = pair().await;
    let locks = connect(by_one(patient()), primary.url()).await;
    drop(locked(&locks, "k").await);
    let clients: String = primary.cmd(&["CLIENT", "LIST"]).await;
    let line = clients.lines().find(|line| line.contains("cmd=wait"));
    let line = line.expect("a connection waited for replicas");
    let id = line.split(' ').next().and_then(|id| id.strip_prefix("id="));
    let kill = ["CLIENT", "KILL", "ID", id.expect("it has an id")];
    primary.cmd::<i64>(&kill).await;
    drop(locked(&locks, "k").await);
}

#[tokio::test]
async fn the_right_to_wait_is_missed_in_words_and_by_the_check() {
    if !servers_available() {
        return;
    }
    let (primary, _replica) = pair().await;
    let user = "ACL SETUSER locks on >pass ~* &* +@all -wait";
    let user: Vec<_> = user.split(' ').collect();
    primary.cmd::<()>(&user).await;
    let url = primary.url_with("locks", "pass", 0);
    let locks = connect(by_one(patient()), &url).await;
    match refusal(&locks, "k").await {
        LockError::Rejected { words, .. } => {
            assert!(
                words.contains("NOPERM") && words.contains("wait"),
                "{words}"
            );
        }
        other => panic!("{other}"),
    }
    freed(&primary, "k").await;
    let check = within("an answer", locks.check()).await;
    let concerns = check.findings.iter().map(|finding| &finding.concern);
    let found: Vec<_> = concerns
        .filter(|it| matches!(it, Concern::CannotWait { .. }))
        .collect();
    assert_eq!(found.len(), 1, "{check}");
    assert_eq!(found[0].gravity(), Gravity::Danger);
    assert!(found[0].remedy().contains("+wait"));
    // Who demands no replicas misses nothing.
    let locks = connect(patient(), &url).await;
    drop(locked(&locks, "k").await);
    let check = within("an answer", locks.check()).await;
    assert!(!check.to_string().contains("wait, by which"), "{check}");
}

#[tokio::test]
async fn a_check_says_that_fewer_replicas_are_connected_than_demanded() {
    if !servers_available() {
        return;
    }
    let (primary, _replica) = pair().await;
    for (demanded, few) in [(1, false), (2, true)] {
        let builder = patient().acknowledged_by(demanded);
        let locks = connect(builder, primary.url()).await;
        let check = within("an answer", locks.check()).await;
        let expected = Concern::FewReplicas {
            replicas: 1,
            demanded,
        };
        let mut concerns = check.findings.iter().map(|finding| &finding.concern);
        assert_eq!(concerns.any(|concern| *concern == expected), few, "{check}");
        // All that there are have it.
        let ahead = |finding: &tenure_redis::Finding| {
            matches!(finding.concern, Concern::AheadOfReplicas { .. })
        };
        assert!(!check.findings.iter().any(ahead), "{check}");
    }
}

async fn misuse(builder: Builder) -> ConnectError {
    let answer = within("an answer", builder.connect()).await;
    let error = answer.expect_err("it is a mistake");
    assert!(error.is_misuse(), "{error}");
    error
}

#[tokio::test]
async fn where_replicas_cannot_be_asked_it_is_a_mistake_told_in_words() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let before = connections(&server).await;
    for replicas in [0, 101] {
        let error = misuse(patient().node(server.url()).acknowledged_by(replicas)).await;
        assert!(error.to_string().contains("give 1 to 100"), "{error}");
    }
    let several = patient().nodes([server.url(), server.url(), server.url()]);
    let error = misuse(several.acknowledged_by(1)).await;
    assert!(error.to_string().contains("quorum"), "{error}");
    let connection = server.connect().await;
    let given = Locks::builder().connection(connection.clone());
    let error = misuse(given.acknowledged_by(1)).await;
    assert_eq!(error, ConnectError::AcknowledgedOverConnection);
    drop(connection);
    eventually("nothing was connected to", || async {
        connections(&server).await == before
    })
    .await;
    let cluster = RedisServer::start(Options::new().cluster()).await;
    let by_one_url = misuse(by_one(patient().node(cluster.url()))).await;
    let by_all = misuse(by_one(patient().cluster([cluster.url()]))).await;
    assert_eq!(by_all, ConnectError::AcknowledgedOverCluster);
    for error in [by_one_url, by_all] {
        assert!(error.to_string().contains("it is a cluster"), "{error}");
    }
}

#[tokio::test]
async fn in_a_group_the_primary_of_the_moment_asks_its_own_replicas() {
    if !servers_available() {
        return;
    }
    let mut group = Group::start(Options::new(), Options::new(), Options::new()).await;
    let builder = hasty().sentinel(group.url(), group.sentinels());
    let locks = connected(by_one(builder)).await;
    let guard = locked(&locks, "held").await;
    assert!(value(group.server(1), "held").await.is_some());
    group.hurry().await;
    group.server_mut(0).kill();
    // The new primary has the lock, and no replica.
    eventually("the client follows", || async {
        let answer = within("an answer", locks.try_lock("k")).await;
        let answer = answer.expect_err("there is no replica");
        matches!(answer, LockError::Unacknowledged { replicas: 0, .. })
    })
    .await;
    renewed(&guard, 1).await;
    group.server_mut(0).restart_empty().await;
    let primary = group.server(1).addr();
    let (host, port) = (primary.ip().to_string(), primary.port().to_string());
    let follow = ["REPLICAOF", &host, &port];
    group.server(0).cmd::<()>(&follow).await;
    let again = locked(&locks, "k").await;
    assert!(value(group.server(0), "k").await.is_some());
    assert!(again.is_valid());
}
