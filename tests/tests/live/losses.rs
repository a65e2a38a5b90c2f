//! What happens to the key or its server under a holder: the loss is told with its reason, nothing
//! that is not ours is touched, and nothing that was lost comes back.

use std::time::Duration;

use tenure_core::STREAM_SEQUENCES;
use tenure_redis::{Guard, Locks, Loss, ReleaseError, RenewError};
use tenure_tests::live::clients::{
    LONG, SHORT, brief, connect, freed, locked, patient, pttl, refused, renewed, script_on, value,
};
use tenure_tests::live::{
    Fault, Options, Proxy, RedisServer, eventually, eventually_some, servers_available, within,
};

async fn holder(key: &str) -> (RedisServer, Locks, Guard) {
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let guard = locked(&locks, key).await;
    (server, locks, guard)
}

/// Waits for the loss, and demands that everything that can be asked agrees about it.
async fn loss(guard: Guard) -> Loss {
    let lost = within("the loss is told", guard.lost()).await;
    assert!(!guard.is_valid());
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert_eq!(guard.renew().await, Err(RenewError::Lost(lost.clone())));
    assert_eq!(guard.run(async {}).await, Err(lost.clone()));
    assert_eq!(
        guard.release().await,
        Err(ReleaseError::Lost(lost.clone())),
        "what was lost cannot be released"
    );
    lost.loss
}

#[tokio::test]
async fn a_key_deleted_under_its_holder_is_told_gone_and_not_created_again() {
    if !servers_available() {
        return;
    }
    let (server, locks, guard) = holder("deleted").await;
    server.cmd::<()>(&["DEL", "deleted"]).await;
    assert_eq!(loss(guard).await, Loss::Gone);
    locks.close().await;
    assert_eq!(value(&server, "deleted").await, None);
}

/// The next fence is larger all the same.
#[tokio::test]
async fn a_flushed_server_tells_the_holder_gone() {
    if !servers_available() {
        return;
    }
    let (server, locks, guard) = holder("flushed").await;
    let fence = guard.fence();
    server.cmd::<()>(&["FLUSHALL"]).await;
    assert_eq!(loss(guard).await, Loss::Gone);
    let next = locked(&locks, "flushed").await;
    assert!(next.fence() > fence, "the stream was flushed, too");
}

/// As after its clock was set back, with many grants since: the last id is ahead of the clock.
#[tokio::test]
async fn a_stream_whose_millisecond_is_used_up_goes_on_in_the_next() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let mut last = locked(&locks, "k").await.fence();
    let (now, _): (u64, u64) = server.cmd(&["TIME"]).await;
    for (turn, left) in (1..).zip([3, 1, 0]) {
        let ms = 1_000 * (now + 60 * turn);
        let id = format!("{ms}-{}", STREAM_SEQUENCES - 1 - left);
        let draw = ["XADD", "tenure:fence", "MAXLEN", "0", &id, "", ""];
        server.cmd::<String>(&draw).await;
        for grant in 0..6 {
            let guard = locked(&locks, "other").await;
            assert!(guard.fence() > last, "{} {last}", guard.fence());
            last = guard.fence();
            assert_eq!(last / 2_000, ms + u64::from(grant >= left));
            guard.release().await.expect("it was held");
        }
    }
}

#[tokio::test]
async fn a_key_that_another_token_overwrote_is_told_taken_and_left_alone() {
    if !servers_available() {
        return;
    }
    let (server, locks, guard) = holder("taken").await;
    server
        .cmd::<()>(&["SET", "taken", "theirs", "PX", "500000"])
        .await;
    assert_eq!(loss(guard).await, Loss::Taken);
    locks.close().await;
    assert_eq!(value(&server, "taken").await.as_deref(), Some("theirs"));
    let left = pttl(&server, "taken").await;
    assert!(left > 0 && left <= 500_000, "nor its expiry: {left}");
}

#[tokio::test]
async fn a_key_that_became_a_hash_is_told_taken_and_left_alone() {
    if !servers_available() {
        return;
    }
    let (server, locks, guard) = holder("typed").await;
    server.cmd::<()>(&["DEL", "typed"]).await;
    server.cmd::<()>(&["HSET", "typed", "theirs", "1"]).await;
    let told = loss(guard).await;
    // A renewal may have come between the two commands.
    assert!(matches!(told, Loss::Taken | Loss::Gone), "{told:?}");
    locks.close().await;
    assert_eq!(
        server.cmd::<String>(&["HGET", "typed", "theirs"]).await,
        "1"
    );
    assert_eq!(pttl(&server, "typed").await, -1);
}

#[tokio::test]
async fn a_key_made_persistent_gets_its_expiry_back_by_the_next_renewal() {
    if !servers_available() {
        return;
    }
    let (server, _locks, guard) = holder("persisted").await;
    let made = server.cmd::<bool>(&["PERSIST", "persisted"]).await;
    assert!(made, "it had an expiry");
    eventually("the expiry is back", || async {
        pttl(&server, "persisted").await > 0
    })
    .await;
    assert!(guard.is_valid());
    guard.release().await.expect("it was held all the time");
    freed(&server, "persisted").await;
}

#[tokio::test]
async fn scripts_that_are_flushed_under_a_holder_cost_it_nothing() {
    if !servers_available() {
        return;
    }
    let (server, _locks, guard) = holder("scripts").await;
    let token = value(&server, "scripts").await;
    for _ in 0..3 {
        server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
        renewed(&guard, 1).await;
    }
    assert_eq!(value(&server, "scripts").await, token);
    server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
    guard.release().await.expect("it was held all the time");
    freed(&server, "scripts").await;
}

#[tokio::test]
async fn scripts_that_are_flushed_before_a_single_try_do_not_make_it_fail() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
    let guard = within("an answer", locks.try_lock("scripts")).await;
    let guard = guard.expect("the scripts are loaded again and the same attempt asked again");
    guard.release().await.expect("it was held");
}

/// It revives nothing when it goes on.
#[tokio::test]
async fn a_server_that_stands_still_past_the_validity_costs_the_lock() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(brief(), server.url()).await;
    let guard = locked(&locks, "paused").await;
    let (fence, token) = (guard.fence(), value(&server, "paused").await);
    server.pause();
    // While the server stands still, only the client's own clock can tell.
    let lost = within("the loss is told while the server sleeps", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Expired);
    assert!(!guard.is_valid());
    server.resume();

    let next = locked(&locks, "paused").await;
    assert!(next.fence() > fence);
    assert_ne!(value(&server, "paused").await, token);
    assert!(!guard.is_valid(), "the late renewal revived it");
    assert_eq!(guard.lost().await, lost, "what was told stays told");
    drop(guard);
    renewed_briefly(&next).await;
    next.release().await.expect("it was held");
    freed(&server, "paused").await;
}

/// Renews by hand, since a lease with a short TTL may be lost before its own renewal comes.
async fn renewed_briefly(guard: &Guard) {
    match guard.renew().await {
        Ok(left) => assert!(left <= SHORT),
        Err(error) => assert!(
            !matches!(&error, RenewError::Lost(lost) if lost.loss != Loss::Expired),
            "{error}"
        ),
    }
}

/// Neither the next owner's lock, nor what the old guard says.
#[tokio::test]
async fn a_renewal_that_arrives_after_the_loss_changes_nothing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let slow = connect(brief(), proxy.url()).await;
    let quick = connect(patient(), server.url()).await;
    let guard = locked(&slow, "late").await;
    let held_up = proxy.on(script_on("late"), Fault::HoldRequest);
    held_up.hit().await;
    // Otherwise it would be renewed over another connection.
    proxy.refuse().await;
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Expired);
    let next = locked(&quick, "late").await;
    assert!(next.fence() > guard.fence());
    let token = value(&server, "late").await;
    held_up.release();
    renewed(&next, 2).await;
    assert_eq!(value(&server, "late").await, token);
    assert!(!guard.is_valid());
    drop(guard);
    // Now the release that the old owner still owes can reach the server.
    proxy.accept().await;
    within("the client closes", slow.close()).await;
    renewed(&next, 2).await;
    assert_eq!(value(&server, "late").await, token);
}

#[tokio::test]
async fn a_full_server_keeps_and_frees_locks_and_is_an_outage_to_newcomers() {
    if !servers_available() {
        return;
    }
    let (server, locks, guard) = holder("full").await;
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    server
        .cmd::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .await;
    server.cmd::<()>(&full).await;
    let write = server.try_cmd::<()>(&["SET", "any", "thing"]).await;
    assert!(write.is_err(), "the server takes writes still");

    renewed(&guard, 2).await;
    let error = within("an answer", locks.try_lock("newcomer")).await;
    let error = error.expect_err("nothing can be written");
    assert!(error.is_outage() && !error.is_contention(), "{error}");
    assert_eq!(value(&server, "newcomer").await, None, "nor half of it");
    guard.release().await.expect("a release takes no memory");
    freed(&server, "full").await;

    server.cmd::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let newcomer = locked(&locks, "newcomer").await;
    newcomer.release().await.expect("it was held");
}

#[tokio::test]
async fn a_replica_is_an_outage_and_never_says_that_a_key_is_free_or_gone() {
    if !servers_available() {
        return;
    }
    let primary = RedisServer::start(Options::new()).await;
    let replica = RedisServer::start(Options::new().replica_of(primary.addr())).await;
    replica.in_sync().await;
    let error = patient()
        .node(replica.url())
        .connect()
        .await
        .expect_err("a replica serves nobody");
    assert!(error.is_outage(), "{error}");
    assert!(error.to_string().contains("replica"), "{error}");

    let lazy = patient().node(replica.url()).connect_lazy().expect("built");
    let error = lazy.try_lock("any").await.expect_err("a replica");
    assert!(error.is_outage(), "{error}");
    assert_eq!(value(&primary, "any").await, None);

    // Promoted, it serves, and nobody has to restart anything.
    replica.cmd::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    locked(&lazy, "any")
        .await
        .release()
        .await
        .expect("it was held");
}

/// The lease goes on with the next promotion.
#[tokio::test]
async fn a_demotion_under_the_holder_is_never_told_as_gone() {
    if !servers_available() {
        return;
    }
    let (server, _locks, guard) = holder("demoted").await;
    let token = value(&server, "demoted").await;
    // A replica of a primary that does not answer: it keeps its data, and refuses writes.
    let nowhere = Proxy::start(server.addr()).await;
    nowhere.refuse().await;
    let (ip, port) = (
        nowhere.addr().ip().to_string(),
        nowhere.addr().port().to_string(),
    );
    server.cmd::<()>(&["REPLICAOF", &ip, &port]).await;
    let failed = eventually_some("a renewal fails", || async { guard.renew().await.err() }).await;
    assert!(failed.is_outage(), "not lost, only not confirmed: {failed}");
    assert!(guard.is_valid());
    server.cmd::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    renewed(&guard, 2).await;
    assert_eq!(value(&server, "demoted").await, token);
    guard.release().await.expect("it was held all the time");
    freed(&server, "demoted").await;
}

#[tokio::test]
async fn a_demotion_that_lasts_costs_the_lock_by_time_not_by_a_replicas_word() {
    if !servers_available() {
        return;
    }
    let primary = RedisServer::start(Options::new()).await;
    let server = RedisServer::start(Options::new()).await;
    // Mostly longer than the copy from the primary takes, so that the answers of a replica are
    // tested.
    let builder = Locks::builder().ttl(Duration::from_secs(4));
    let locks = connect(builder, server.url()).await;
    let guard = locked(&locks, "demoted").await;
    // Its data is replaced by that of its primary, where there is no such key.
    let (ip, port) = (
        primary.addr().ip().to_string(),
        primary.addr().port().to_string(),
    );
    server.cmd::<()>(&["REPLICAOF", &ip, &port]).await;
    server.in_sync().await;
    assert_eq!(value(&server, "demoted").await, None);
    match guard.renew().await {
        Err(RenewError::Outage { .. }) => {}
        Err(RenewError::Lost(lost)) if lost.loss == Loss::Expired => {}
        other => panic!("a replica's word was taken for the truth: {other:?}"),
    }
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Expired, "a replica's word was taken");
}

#[tokio::test]
async fn a_server_that_withdraws_the_rights_of_a_holder_is_quoted_in_the_loss() {
    if !servers_available() {
        return;
    }
    let rules = "app on >hunter2 ~* &* +@all";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let builder = Locks::builder().ttl(Duration::from_secs(3));
    let locks = connect(builder, server.url_with("app", "hunter2", 0)).await;
    let guard = locked(&locks, "withdrawn").await;
    server
        .cmd::<()>(&["ACL", "SETUSER", "app", "-evalsha"])
        .await;
    let lost = within("the loss is told", guard.lost()).await;
    let Loss::Rejected(words) = &lost.loss else {
        panic!("{lost}");
    };
    assert!(
        words.contains("NOPERM") || words.contains("permission"),
        "{words}"
    );
    assert!(!format!("{lost} {lost:?}").contains("hunter2"));
}

/// It is told at once, in the server's words, and the lock is held until its time ends.
#[tokio::test]
async fn renew_ensure_and_release_without_rights_are_refused_in_its_words() {
    if !servers_available() {
        return;
    }
    let rules = "app on >hunter2 ~* &* +@all";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let locks = connect(patient(), server.url_with("app", "hunter2", 0)).await;
    let guard = locked(&locks, "withdrawn").await;
    server
        .cmd::<()>(&["ACL", "SETUSER", "app", "-evalsha"])
        .await;
    let refuses = |words: &str| words.contains("NOPERM") || words.contains("permission");
    let Err(RenewError::TooMuch { most, .. }) = guard.ensure(LONG).await else {
        panic!("no renewal gives as much as a whole TTL");
    };
    let more_than_is_left = most - Duration::from_nanos(1);
    for asked in [guard.renew().await, guard.ensure(more_than_is_left).await] {
        match asked {
            Err(RenewError::Rejected { words, .. }) => assert!(refuses(&words), "{words}"),
            other => panic!("the user may not: {other:?}"),
        }
        assert!(guard.is_valid());
    }
    match within("the release is refused", guard.release()).await {
        Err(ReleaseError::Rejected { words, .. }) => assert!(refuses(&words), "{words}"),
        other => panic!("the user may not: {other:?}"),
    }
    assert!(
        pttl(&server, "withdrawn").await > 0,
        "it is left to its TTL"
    );
}

#[tokio::test]
async fn a_hold_that_is_capped_ends_at_the_cap_although_it_could_be_renewed() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let cap = Duration::from_millis(700);
    let builder = patient().options(|options| options.max_hold(cap));
    let locks = connect(builder, server.url()).await;
    let guard = locked(&locks, "capped").await;
    assert!(guard.remaining() <= cap);
    assert_eq!(within("the cap", guard.lost()).await.loss, Loss::Capped);
    freed(&server, "capped").await;
    assert!(LONG > cap, "it was not the TTL that freed it");
}

#[tokio::test]
async fn work_under_a_guard_is_dropped_the_moment_the_lock_is_lost() {
    if !servers_available() {
        return;
    }
    let (server, locks, guard) = holder("worked").await;
    let (dropped, was_dropped) = tokio::sync::oneshot::channel::<()>();
    let work = async move {
        let _dropped_with_the_work = dropped;
        std::future::pending::<()>().await;
    };
    let running = tokio::spawn(async move { guard.run(work).await });
    server
        .cmd::<()>(&["SET", "worked", "theirs", "PX", "500000"])
        .await;
    let result = within("the work is dropped", running)
        .await
        .expect("no panic");
    assert_eq!(result.expect_err("it never ends").loss, Loss::Taken);
    assert!(was_dropped.await.is_err());
    refused(&locks, "worked").await;
}
