//! Restarts of one node and of several. A lease that is forgotten is told as lost, or the node is
//! in quarantine until it is over; and a quorum serves as long as there is one.

use std::time::Duration;

use tenure_redis::{Builder, ConnectError, Guard, Holder, LockError, Locks, Loss, Quarantine};
use tenure_tests::live::clients::{
    connect, connected, freed, locked, patient, refused, renewed, value,
};
use tenure_tests::live::{
    Fsync, Options, RedisServer, eventually, eventually_some, servers_available, within,
};

/// Also the length of a quarantine.
const MAX_TTL: Duration = Duration::from_secs(4);

async fn nodes(count: usize, options: &Options) -> Vec<RedisServer> {
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(RedisServer::start(options.clone()).await);
    }
    servers
}

fn quorum(servers: &[RedisServer], ttl: Duration) -> Builder {
    Locks::builder()
        .nodes(servers.iter().map(RedisServer::url))
        .ttl(ttl)
        .options(|options| options.renew_after(Duration::from_millis(300)))
        .request_timeout(Duration::from_secs(1))
}

/// Tries until an answer is neither an outage nor a grant that came too late.
async fn verdict(locks: &Locks, key: &str) -> Result<Guard, LockError> {
    eventually_some("the nodes answer", || async {
        match locks.try_lock(key).await {
            Err(LockError::Outage { .. }) => None,
            answer => Some(answer),
        }
    })
    .await
}

async fn holders(servers: &[RedisServer], key: &str) -> usize {
    let mut count = 0;
    for server in servers {
        count += usize::from(value(server, key).await.is_some());
    }
    count
}

#[tokio::test]
async fn the_only_node_restarted_empty_costs_the_lock_and_the_loss_is_told() {
    if !servers_available() {
        return;
    }
    let mut server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let guard = locked(&locks, "forgotten").await;
    let fence = guard.fence();
    server.kill();
    server.restart_empty().await;
    assert_eq!(
        within("the loss is told", guard.lost()).await.loss,
        Loss::Gone
    );
    let next = locked(&locks, "forgotten").await;
    assert!(next.fence() > fence, "the stream was forgotten, too");
}

#[tokio::test]
async fn the_only_node_restarted_with_every_write_on_its_disk_keeps_the_lock() {
    if !servers_available() {
        return;
    }
    let options = Options::new().append_only(Fsync::Always);
    let mut server = RedisServer::start(options).await;
    let locks = connect(patient(), server.url()).await;
    let guard = locked(&locks, "kept").await;
    let token = value(&server, "kept").await;
    server.restart_with_data().await;
    renewed(&guard, 2).await;
    assert_eq!(value(&server, "kept").await, token);
    refused(&locks, "kept").await;
    guard.release().await.expect("it was held all the time");
    freed(&server, "kept").await;
}

/// Their clients say so.
#[tokio::test]
async fn nodes_restarted_empty_are_in_quarantine_for_one_max_ttl() {
    if !servers_available() {
        return;
    }
    let mut servers = nodes(3, &Options::new()).await;
    let locks = connected(quorum(&servers, MAX_TTL)).await;
    // A new node may have forgotten leases, so the first use of nodes costs one max TTL.
    let guard = locked(&locks, "first").await;
    guard.release().await.expect("it was held");

    servers[0].restart_empty().await;
    servers[1].restart_empty().await;
    let error = match verdict(&locks, "again").await {
        Ok(_) => panic!("two of three may have forgotten whom they granted the key"),
        Err(error) => error,
    };
    let LockError::Quarantined { node, left, .. } = &error else {
        panic!("{error}");
    };
    assert!(error.is_outage() && !error.is_contention() && !error.is_misuse());
    assert!(*left <= MAX_TTL, "{left:?}");
    let port = |server: &RedisServer| server.addr().port().to_string();
    let named = servers[..2]
        .iter()
        .any(|server| node.contains(&port(server)));
    assert!(named, "{node} is not one that was restarted");
    let text = error.to_string();
    for part in [
        node.as_str(),
        "Builder::quarantine(Quarantine::Off)",
        "may have forgotten",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // A waiter is granted the lock when the quarantine is over.
    let guard = locked(&locks, "again").await;
    assert!(guard.is_valid());
}

#[tokio::test]
async fn with_quarantine_turned_off_fresh_nodes_grant_at_once() {
    if !servers_available() {
        return;
    }
    let mut servers = nodes(3, &Options::new()).await;
    let builder = quorum(&servers, Duration::from_secs(600)).quarantine(Quarantine::Off);
    let locks = connected(builder).await;
    locked(&locks, "now").await.release().await.expect("held");
    servers[0].restart_empty().await;
    servers[1].restart_empty().await;
    // Far sooner than one max TTL.
    locked(&locks, "now").await.release().await.expect("held");
}

/// Its copy on that node is put back.
#[tokio::test]
async fn a_lease_outlives_the_loss_of_one_node_of_three() {
    if !servers_available() {
        return;
    }
    let mut servers = nodes(3, &Options::new()).await;
    let builder = quorum(&servers, Duration::from_secs(8)).quarantine(Quarantine::Off);
    let locks = connected(builder).await;
    let guard = locked(&locks, "repaired").await;
    eventually("all three hold it", || async {
        holders(&servers, "repaired").await == 3
    })
    .await;
    servers[2].restart_empty().await;
    eventually("the copy is put back", || async {
        holders(&servers, "repaired").await == 3
    })
    .await;
    assert!(guard.is_valid());
    assert_eq!(
        value(&servers[2], "repaired").await,
        value(&servers[0], "repaired").await
    );
    guard.release().await.expect("it was held all the time");
    for server in &servers {
        freed(server, "repaired").await;
    }
}

/// They keep the lease.
#[tokio::test]
async fn nodes_with_every_write_on_disk_come_back_without_quarantine() {
    if !servers_available() {
        return;
    }
    let options = Options::new().append_only(Fsync::Always);
    let mut servers = nodes(3, &options).await;
    // Long enough for three restarts on a busy machine; it is waited for once.
    let locks = connected(quorum(&servers, Duration::from_secs(10))).await;
    let guard = locked(&locks, "durable").await;
    for server in &mut servers {
        server.restart_with_data().await;
    }
    let before = guard.remaining();
    eventually("a renewal succeeds", || async {
        assert!(guard.is_valid(), "lost");
        guard.remaining() > before
    })
    .await;
    match verdict(&locks, "other").await {
        Ok(other) => other.release().await.expect("it was held"),
        Err(error) => panic!("{error}"),
    }
    guard.release().await.expect("it was held all the time");
}

#[tokio::test]
async fn nodes_that_write_to_disk_each_second_are_quarantined_at_restart() {
    if !servers_available() {
        return;
    }
    let options = Options::new().append_only(Fsync::EverySecond);
    let mut servers = nodes(3, &options).await;
    let locks = connected(quorum(&servers, MAX_TTL)).await;
    locked(&locks, "first").await.release().await.expect("held");
    servers[1].restart_with_data().await;
    servers[2].restart_with_data().await;
    match verdict(&locks, "again").await {
        Err(LockError::Quarantined { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the last second of writes may be missing"),
    }
    locked(&locks, "again").await.release().await.expect("held");
}

#[tokio::test]
async fn five_nodes_serve_with_two_dead_fail_with_three_away_and_serve_again() {
    if !servers_available() {
        return;
    }
    let mut servers = nodes(5, &Options::new()).await;
    let locks = connected(quorum(&servers, MAX_TTL)).await;
    let guard = locked(&locks, "five").await;
    let mut fence = guard.fence();
    guard.release().await.expect("it was held");

    servers[0].kill();
    servers[1].kill();
    let guard = locked(&locks, "five").await;
    assert!(guard.fence() > fence);
    fence = guard.fence();

    // Held by three; now by one that answers.
    servers[2].pause();
    servers[3].pause();
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Expired);
    let error = within("an answer", locks.try_lock("five")).await;
    let error = error.expect_err("one of five");
    let LockError::Outage { nodes, .. } = &error else {
        panic!("{error}");
    };
    assert!(nodes.len() >= 3, "{error}");
    assert!(error.is_outage() && !error.is_contention());

    // One that was killed comes back empty, and does not count before its quarantine ends. One that
    // only stood still counts at once.
    servers[0].restart_empty().await;
    servers[2].resume();
    let guard = locked(&locks, "five").await;
    assert!(guard.fence() > fence);
    servers[3].resume();
    guard.release().await.expect("it was held");
    for server in &servers[2..] {
        freed(server, "five").await;
    }
}

#[tokio::test]
async fn a_lease_over_five_nodes_lives_through_the_death_of_two_of_them() {
    if !servers_available() {
        return;
    }
    let mut servers = nodes(5, &Options::new()).await;
    let builder = quorum(&servers, Duration::from_secs(8)).quarantine(Quarantine::Off);
    let locks = connected(builder).await;
    let guard = locked(&locks, "survives").await;
    servers[4].kill();
    servers[3].pause();
    // So many renewals that the other three nodes must have confirmed them.
    let start = guard.remaining();
    for _ in 0..3 {
        guard
            .ensure(start.min(Duration::from_secs(6)))
            .await
            .expect("three of five confirm");
    }
    assert!(guard.is_valid());
    let seen = locks.inspect("survives");
    servers[3].resume();
    let seen = within("an answer", seen).await.expect("three answer");
    assert_eq!(seen.holder(), &Holder::Lease { label: None });
    assert!(!seen.silent.is_empty(), "one is dead: {seen:?}");
    guard.release().await.expect("it was held all the time");
}

/// Each gets its turn.
#[tokio::test]
async fn rivals_over_three_nodes_never_hold_a_key_at_the_same_time() {
    const RIVALS: usize = 6;
    const ROUNDS: usize = 4;
    if !servers_available() {
        return;
    }
    let servers = nodes(3, &Options::new()).await;
    let inside = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut rivals = tokio::task::JoinSet::new();
    for _ in 0..RIVALS {
        let builder = quorum(&servers, Duration::from_secs(600))
            .quarantine(Quarantine::Off)
            .options(|options| {
                options.backoff(Duration::from_millis(5), Duration::from_millis(100))
            });
        let locks = connected(builder).await;
        let inside = std::sync::Arc::clone(&inside);
        rivals.spawn(async move {
            let mut fences = Vec::new();
            for _ in 0..ROUNDS {
                let guard = locked(&locks, "rivals").await;
                // A validity of ten minutes does not end here, so no clock has to be compared.
                let others = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert_eq!(others, 0, "two hold the key");
                tokio::task::yield_now().await;
                fences.push(guard.fence());
                inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                guard.release().await.expect("it was held");
            }
            fences
        });
    }
    let mut all = Vec::new();
    while let Some(fences) = rivals.join_next().await {
        let fences = fences.expect("a rival ends well");
        assert!(fences.is_sorted(), "{fences:?}");
        all.extend(fences);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), RIVALS * ROUNDS, "no two grants share a fence");
}

#[tokio::test]
async fn one_server_that_is_named_twice_is_refused() {
    if !servers_available() {
        return;
    }
    let servers = nodes(2, &Options::new()).await;
    let port = servers[0].addr().port();
    let error = Locks::builder()
        .node(servers[0].url())
        .node(servers[1].url())
        .node(format!("redis://localhost:{port}/1"))
        .connect()
        .await
        .expect_err("two votes of one server are not a quorum");
    assert!(matches!(error, ConnectError::SameServer { .. }), "{error}");
    assert!(error.is_misuse(), "{error}");
    assert!(error.to_string().contains("one server"), "{error}");
}

/// They disagree on the max TTL, or on the set of nodes.
#[tokio::test]
async fn clients_that_disagree_are_told_and_not_served() {
    if !servers_available() {
        return;
    }
    let servers = nodes(3, &Options::new()).await;
    let ttl = Duration::from_millis(1_000);
    let locks = connected(quorum(&servers, ttl).node_set("a")).await;
    locked(&locks, "agreed")
        .await
        .release()
        .await
        .expect("held");

    let other_ttl = quorum(&servers, ttl).max_ttl(ttl * 2).node_set("a");
    let other_name = quorum(&servers, ttl).node_set("b");
    let other_number = quorum(&servers[..2], ttl).node_set("a");
    for (builder, word) in [
        (other_ttl, "max TTL"),
        (other_name, "name"),
        (other_number, "nodes"),
    ] {
        let odd = builder.connect_lazy().expect("built");
        let error = match verdict(&odd, "agreed").await {
            Ok(_) => panic!("granted to a client with another {word}"),
            Err(error) => error,
        };
        assert!(matches!(error, LockError::Misconfigured { .. }), "{error}");
        assert!(error.is_misuse() && !error.is_outage(), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    locked(&locks, "agreed")
        .await
        .release()
        .await
        .expect("held");
}
