//! Replies that are lost after the server applied the command, requests that arrive late, networks
//! that are cut: nothing is orphaned, nothing is lost that could be kept.

use tenure_redis::{Guard, LockOptions, Locks, Loss, ReleaseError};
use tenure_tests::live::clients::{
    SHORT, brief, calls, connect, connections, freed, hasty, locked, patient, refused, renewed,
    request_on, requests_on, script_on, value,
};
use tenure_tests::live::{
    Direction, Fault, Match, Options, Proxy, RedisServer, eventually, servers_available, within,
};

const LOST: [Fault; 2] = [Fault::LoseReplyAndClose, Fault::LoseReplyAndBlackHole];
const UNSENT: [Fault; 2] = [Fault::LoseRequestAndClose, Fault::LoseRequestAndBlackHole];

async fn through_a_proxy() -> (RedisServer, Proxy, Locks) {
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(hasty(), proxy.url()).await;
    (server, proxy, locks)
}

#[tokio::test]
async fn an_acquire_whose_reply_is_lost_is_granted_on_a_later_attempt() {
    if !servers_available() {
        return;
    }
    for fault in LOST.into_iter().chain(UNSENT) {
        let (server, proxy, locks) = through_a_proxy().await;
        let lost = proxy.on(request_on("k"), fault.clone());
        let guard = locked(&locks, "k").await;
        assert!(lost.has_hit(), "{fault:?}");
        assert!(requests_on(&proxy, "k").len() > 1, "{fault:?}");
        renewed(&guard, 1).await;
        guard.release().await.expect("it was held");
        freed(&server, "k").await;
    }
}

#[tokio::test]
async fn a_try_whose_connection_goes_silent_is_an_outage_and_leaves_nothing() {
    if !servers_available() {
        return;
    }
    let (server, proxy, locks) = through_a_proxy().await;
    let lost = proxy.on(request_on("k"), Fault::LoseReplyAndBlackHole);
    let error = within("an answer", locks.try_lock("k")).await;
    let error = error.expect_err("its outcome is unknown");
    lost.hit().await;
    assert!(error.is_outage() && !error.is_contention(), "{error}");
    // Its TTL is ten minutes, so it was freed, not expired.
    freed(&server, "k").await;
}

/// An idle connection may be dead for long before somebody asks. That must not cost the attempt.
#[tokio::test]
async fn a_try_whose_connection_breaks_is_granted_on_the_next_connection() {
    if !servers_available() {
        return;
    }
    for fault in [Fault::LoseReplyAndClose, Fault::LoseRequestAndClose] {
        let (server, proxy, locks) = through_a_proxy().await;
        let lost = proxy.on(request_on("k"), fault.clone());
        let guard = within("an answer", locks.try_lock("k")).await;
        let guard = guard.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert!(lost.has_hit(), "{fault:?}");
        guard.release().await.expect("it was held");
        freed(&server, "k").await;
    }
}

#[tokio::test]
async fn a_renewal_whose_reply_is_lost_is_retried_and_the_lease_is_kept() {
    if !servers_available() {
        return;
    }
    for fault in LOST.into_iter().chain(UNSENT) {
        let (server, proxy, locks) = through_a_proxy().await;
        let guard = locked(&locks, "k").await;
        let token = value(&server, "k").await;
        let lost = proxy.on(script_on("k"), fault.clone());
        lost.hit().await;
        renewed(&guard, 2).await;
        assert_eq!(value(&server, "k").await, token, "{fault:?}");
        guard.release().await.expect("it was held all the time");
        freed(&server, "k").await;
    }
}

#[tokio::test]
async fn a_release_whose_outcome_is_unknown_is_retried_until_the_key_is_free() {
    if !servers_available() {
        return;
    }
    for fault in LOST.into_iter().chain(UNSENT) {
        let server = RedisServer::start(Options::new()).await;
        let proxy = Proxy::start(server.addr()).await;
        // Without renewals, so that the second call about the key is the release.
        let builder = hasty().options(LockOptions::without_renewal);
        let locks = connect(builder, proxy.url()).await;
        let guard = locked(&locks, "k").await;
        let lost = proxy.on(script_on("k"), fault.clone());
        match within("an answer", guard.release()).await {
            Ok(()) | Err(ReleaseError::Unknown { .. }) => {}
            Err(error) => panic!("{fault:?}: {error}"),
        }
        lost.hit().await;
        freed(&server, "k").await;
        locked(&locks, "k").await.release().await.expect("held");
    }
}

#[tokio::test]
async fn a_guard_that_is_dropped_while_its_replies_are_lost_frees_its_key() {
    if !servers_available() {
        return;
    }
    for fault in LOST {
        let (server, proxy, locks) = through_a_proxy().await;
        let guard = locked(&locks, "k").await;
        let lost = proxy.on(script_on("k"), fault);
        drop(guard);
        lost.hit().await;
        freed(&server, "k").await;
    }
}

/// It travels on after its client gave the connection up.
#[tokio::test]
async fn an_acquire_that_travels_on_is_killed_with_its_connection() {
    if !servers_available() {
        return;
    }
    let (server, proxy, locks) = through_a_proxy().await;
    let late = proxy.on(request_on("k"), Fault::HoldRequest);
    let error = within("an answer", locks.try_lock("k")).await;
    let error = error.expect_err("nothing answers");
    late.hit().await;
    assert!(error.is_outage(), "{error}");
    // The connection is given up for its silence, and the next one ends it on the server's side.
    eventually("the old connection is killed", || async {
        let killed =
            |words: &tenure_tests::live::Command| words.is("CLIENT") && words.has_arg("KILL");
        proxy.commands().iter().any(killed) && connections(&server).await == 1
    })
    .await;
    late.release();
    // What the server reads from now on comes after whatever was still on its way.
    let other = connect(patient(), server.url()).await;
    let guard = locked(&other, "k").await;
    let token = value(&server, "k").await;
    renewed(&guard, 2).await;
    assert_eq!(value(&server, "k").await, token);
    guard.release().await.expect("it was held all the time");
    freed(&server, "k").await;
}

#[tokio::test]
async fn what_arrives_after_the_next_owner_took_the_key_does_not_touch_its_lock() {
    if !servers_available() {
        return;
    }
    for release in [false, true] {
        let server = RedisServer::start(Options::new()).await;
        let proxy = Proxy::start(server.addr()).await;
        let builder = brief().options(LockOptions::without_renewal);
        let slow = connect(builder, proxy.url()).await;
        let other = connect(patient(), server.url()).await;
        let guard = match release {
            true => Some(locked(&slow, "k").await),
            false => None,
        };
        let late = proxy.on(request_on("k"), Fault::HoldRequest);
        // No other request of the client gets through, and no other connection ends this one.
        proxy.refuse().await;
        match guard {
            Some(guard) => {
                let unknown = within("an answer", guard.release()).await;
                assert!(unknown.expect_err("nothing answers").is_outage());
            }
            None => {
                let error = within("an answer", slow.try_lock("k")).await;
                assert!(error.expect_err("nothing answers").is_outage());
            }
        }
        late.hit().await;
        let next = locked(&other, "k").await;
        let token = value(&server, "k").await;
        let before = calls(&server, "evalsha").await;
        late.release();
        renewed(&next, 2).await;
        assert!(calls(&server, "evalsha").await >= before + 2);
        assert_eq!(value(&server, "k").await, token, "release: {release}");
        // Nor does the release that is still owed, once it can be sent.
        proxy.accept().await;
        within("the client closes", slow.close()).await;
        renewed(&next, 1).await;
        assert_eq!(value(&server, "k").await, token, "release: {release}");
    }
}

#[tokio::test]
async fn replies_that_come_late_confirm_nothing_that_was_given_up() {
    if !servers_available() {
        return;
    }
    let (server, proxy, locks) = through_a_proxy().await;
    let late = proxy.on(request_on("k"), Fault::HoldReply);
    let error = within("an answer", locks.try_lock("k")).await;
    let error = error.expect_err("the reply is held back");
    late.hit().await;
    assert!(error.is_outage(), "{error}");
    late.release();
    freed(&server, "k").await;
    let guard = locked(&locks, "k").await;
    renewed(&guard, 1).await;
}

/// It does not disturb the next owner.
#[tokio::test]
async fn a_holder_behind_a_cut_network_is_told_in_time() {
    if !servers_available() {
        return;
    }
    for one_way in [None, Some(Direction::Up), Some(Direction::Down)] {
        let server = RedisServer::start(Options::new()).await;
        let proxy = Proxy::start(server.addr()).await;
        let cut_off = connect(brief(), proxy.url()).await;
        let other = connect(patient(), server.url()).await;
        let guard = locked(&cut_off, "k").await;
        match one_way {
            None => proxy.partition(),
            Some(direction) => proxy.partition_one_way(direction),
        }
        let lost = within("the loss is told", guard.lost()).await;
        assert_eq!(lost.loss, Loss::Expired, "{one_way:?}");
        let next = locked(&other, "k").await;
        assert!(next.fence() > guard.fence());
        let token = value(&server, "k").await;
        proxy.heal();
        refused(&other, "k").await;
        drop(guard);
        // Once the network works, the holder learns what became of the key.
        eventually("the cut-off client is served", || async {
            cut_off
                .try_lock("k")
                .await
                .expect_err("it is held")
                .is_contention()
        })
        .await;
        assert_eq!(value(&server, "k").await, token, "{one_way:?}");
        next.release().await.expect("it was held all the time");
    }
}

#[tokio::test]
async fn a_waiter_behind_a_cut_network_is_granted_the_lock_after_it_heals() {
    if !servers_available() {
        return;
    }
    let (_server, proxy, locks) = through_a_proxy().await;
    proxy.partition();
    let waiting = tokio::spawn(async move { locked(&locks, "k").await });
    // The client has noticed, and connects again.
    eventually("a new connection is tried", || async {
        proxy.accepted() > 1
    })
    .await;
    proxy.heal();
    let guard: Guard = within("granted", waiting).await.expect("no panic");
    assert!(guard.is_valid());
}

#[tokio::test]
async fn a_lease_survives_a_network_that_is_cut_again_and_again() {
    if !servers_available() {
        return;
    }
    let (server, proxy, locks) = through_a_proxy().await;
    let guard = locked(&locks, "k").await;
    let token = value(&server, "k").await;
    for _ in 0..3 {
        proxy.cut().await;
        renewed(&guard, 1).await;
        proxy.refuse().await;
        proxy.cut().await;
        proxy.accept().await;
        renewed(&guard, 1).await;
    }
    assert_eq!(value(&server, "k").await, token);
    guard.release().await.expect("it was held all the time");
    freed(&server, "k").await;
}

#[tokio::test]
async fn an_outage_is_not_a_storm() {
    if !servers_available() {
        return;
    }
    let (_server, proxy, locks) = through_a_proxy().await;
    let waiting: Vec<_> = (0..50)
        .map(|n| {
            let locks = locks.clone();
            tokio::spawn(async move { locked(&locks, format!("k:{n}")).await })
        })
        .collect();
    proxy.partition();
    let before = proxy.accepted();
    eventually("some reconnections", || async {
        proxy.accepted() >= before + 2
    })
    .await;
    // Nothing answers, so only the commands that begin a connection are sent.
    let scripts = proxy.count("EVALSHA");
    assert!(scripts <= 50 * 2, "{scripts} calls that nobody answers");
    proxy.heal();
    for waiter in waiting {
        let _guard = within("granted", waiter).await.expect("no panic");
    }
}

#[tokio::test]
async fn a_script_forgotten_between_load_and_call_is_loaded_again() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(patient(), proxy.url()).await;
    let unknown = "-NOSCRIPT No matching script. Please use EVAL.";
    let forgot = proxy.on(script_on("k"), Fault::RefuseWith(unknown));
    // It is taken by plain commands.
    let guard = within("an answer", locks.try_lock("k")).await;
    let guard = guard.expect("nobody else wants it");
    assert!(!forgot.has_hit());
    let renewed = within("an answer", guard.renew()).await;
    renewed.expect("the same renewal is asked again");
    assert!(forgot.has_hit());
    guard.release().await.expect("it was held");
    freed(&server, "k").await;
}

/// Holders notice nothing.
#[tokio::test]
async fn errors_before_a_write_are_an_outage_to_newcomers_only() {
    if !servers_available() {
        return;
    }
    let refusals = [
        "-LOADING Redis is loading the dataset in memory",
        "-BUSY Redis is busy running a script.",
        "-READONLY You can't write against a read only replica.",
        "-MASTERDOWN Link with MASTER is down.",
        "-CLUSTERDOWN The cluster is down",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-MISCONF Redis is configured to save RDB snapshots",
        "-NOREPLICAS Not enough good replicas to write.",
        "-ERR something that nobody has seen before",
    ];
    let (server, proxy, locks) = through_a_proxy().await;
    let guard = locked(&locks, "held").await;
    for refusal in refusals {
        let newcomer = proxy.on(request_on("new"), Fault::RefuseWith(refusal));
        let error = within("an answer", locks.try_lock("new")).await;
        let error = error.expect_err("it is refused");
        newcomer.hit().await;
        assert!(
            error.is_outage() && !error.is_contention(),
            "{refusal}: {error}"
        );
        let renewal = proxy.on(script_on("held"), Fault::RefuseWith(refusal));
        renewal.hit().await;
        renewed(&guard, 1).await;
    }
    freed(&server, "new").await;
    guard.release().await.expect("it was held all the time");
}

#[tokio::test]
async fn a_lease_whose_node_is_silent_ends_on_time_although_connected() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(brief(), proxy.url()).await;
    let guard = locked(&locks, "k").await;
    let hole = proxy.on(Match::command("EVALSHA"), Fault::LoseRequestAndBlackHole);
    proxy.refuse().await;
    let left = guard.remaining();
    assert!(left <= SHORT);
    let lost = within("the loss is told", guard.lost()).await;
    assert!(hole.has_hit());
    assert_eq!(lost.loss, Loss::Expired);
    freed(&server, "k").await;
}
