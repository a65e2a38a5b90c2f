//! A node whose primary Sentinels know: three real ones, a primary and a replica.

use std::time::Duration;

use tenure_redis::seams::{BootClock, Clock as _};
use tenure_redis::{Builder, ConnectError, Guard, LockError, Locks, Loss, Quarantine};
use tenure_tests::live::clients::{
    calls, connect, connected, connections, freed, hasty, locked, patient, refused, renewed, value,
};
use tenure_tests::live::{Group, Options, eventually, eventually_some, servers_available, within};
use tenure_tests::tree;

/// A Sentinel that pushes nothing is asked again no earlier than this after it was connected to.
const ASKED_AGAIN: Duration = Duration::from_millis(7_500);

async fn start() -> Group {
    Group::start(Options::new(), Options::new(), Options::new()).await
}

fn of(builder: Builder, group: &Group) -> Builder {
    builder.sentinel(group.url(), group.sentinels())
}

async fn not_connected(builder: Builder) -> ConnectError {
    let answer = within("an answer", builder.connect()).await;
    answer.expect_err("it cannot be connected to")
}

/// Takes the lock `followed` as soon as there is a server that grants it, and frees it.
async fn follows(locks: &Locks) {
    let guard = eventually_some("the client follows", || async {
        within("an answer", locks.try_lock("followed")).await.ok()
    })
    .await;
    guard.release().await.expect("it was held");
}

/// Waits until the client locks at the second server.
async fn follows_to(locks: &Locks, group: &Group) {
    eventually("the client follows", || async {
        let guard = within("an answer", locks.try_lock("followed")).await;
        guard.is_ok() && value(group.server(1), "followed").await.is_some()
    })
    .await;
}

/// Waits until the lock `held` is in the hands of this server.
async fn replicated(group: &Group, server: usize) {
    eventually("the replica has the lock", || async {
        value(group.server(server), "held").await.is_some()
    })
    .await;
}

#[tokio::test]
async fn locks_are_served_by_the_primary_that_sentinels_name() {
    if !servers_available() {
        return;
    }
    let group = start().await;
    let locks = connected(of(patient(), &group)).await;
    let guard = locked(&locks, "held").await;
    replicated(&group, 1).await;
    refused(&locks, "held").await;
    renewed(&guard, 2).await;
    guard.release().await.expect("it was held");
    freed(group.server(0), "held").await;
    // Half a dozen renewals have passed, and one connection has served.
    assert_eq!(
        connections(group.sentinel(0)).await,
        3,
        "two are of Sentinels"
    );
    drop(locks);
    eventually("the connection to the Sentinel is closed", || async {
        connections(group.sentinel(0)).await == 2
    })
    .await;
}

#[tokio::test]
async fn a_lock_that_the_replica_has_is_kept_when_the_primary_dies() {
    if !servers_available() {
        return;
    }
    let mut group = start().await;
    let locks = connected(of(hasty(), &group)).await;
    let guard = locked(&locks, "held").await;
    replicated(&group, 1).await;
    group.hurry().await;
    group.server_mut(0).kill();
    follows(&locks).await;
    assert_eq!(
        group.server(1).info("role").await.as_deref(),
        Some("master")
    );
    renewed(&guard, 1).await;
    let other = connected(of(patient(), &group)).await;
    refused(&other, "held").await;
    guard.release().await.expect("it was held");
    drop(locked(&other, "held").await);
}

/// What a failover may cost with one group: the replica has not heard of the lock.
#[tokio::test]
async fn a_lock_that_the_replica_has_not_is_told_as_lost() {
    if !servers_available() {
        return;
    }
    let mut group = start().await;
    let locks = connected(of(hasty(), &group)).await;
    group.server(1).pause();
    let cut = ["CLIENT", "KILL", "TYPE", "replica"];
    group.server(0).cmd::<i64>(&cut).await;
    let guard = locked(&locks, "held").await;
    group.hurry().await;
    group.server_mut(0).kill();
    group.server(1).resume();
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Gone);
    assert!(!guard.is_valid());
    let again = locked(&locks, "held").await;
    assert!(again.fence() > guard.fence(), "fences go on");
}

/// The former primary is well, refuses nothing and closes nothing. Only a push says it. Returns
/// whether that can be told apart from a Sentinel that was asked.
async fn is_followed_by_the_push() -> bool {
    let stays = Options::new().config("rename-command SLAVEOF \"\"");
    let group = Group::start(stays, Options::new(), Options::new()).await;
    let clock = BootClock::new();
    let began = clock.now();
    let locks = connected(of(patient(), &group)).await;
    let guard = locked(&locks, "held").await;
    replicated(&group, 1).await;
    group.fail_over(1).await;
    follows_to(&locks, &group).await;
    let took = clock.now().saturating_since(began);
    let former = group.server(0);
    assert_eq!(former.info("role").await.as_deref(), Some("master"));
    assert_eq!(calls(former, "client|kill").await, 0);
    renewed(&guard, 1).await;
    refused(&locks, "held").await;
    println!("followed {took:?} after it began to connect");
    took < ASKED_AGAIN
}

#[tokio::test]
async fn a_planned_failover_is_followed_by_the_push_within_seconds() {
    if !servers_available() {
        return;
    }
    for _ in 0..5 {
        if is_followed_by_the_push().await {
            return;
        }
    }
    panic!("never before the Sentinel was asked again: nothing is pushed, or heard");
}

/// As Sentinels do it: the former primary becomes a replica after some seconds.
#[tokio::test]
async fn a_planned_failover_costs_no_lock_that_the_replica_has() {
    if !servers_available() {
        return;
    }
    let group = start().await;
    let locks = connected(of(patient(), &group)).await;
    let guard = locked(&locks, "held").await;
    replicated(&group, 1).await;
    group.fail_over(0).await;
    eventually("the former primary is a replica", || async {
        group.server(0).info("role").await.as_deref() == Some("slave")
    })
    .await;
    renewed(&guard, 2).await;
    refused(&locks, "held").await;
    follows(&locks).await;
}

/// Else it would go on granting to whoever has not heard of the failover.
#[tokio::test]
async fn a_former_primary_that_demands_a_replica_grants_nothing() {
    if !servers_available() {
        return;
    }
    let stays = Options::new()
        .config("rename-command SLAVEOF \"\"")
        .config("min-replicas-to-write 1")
        .config("min-replicas-max-lag 1");
    let group = Group::start(stays, Options::new(), Options::new()).await;
    let has_not_heard = connect(patient(), group.server(0).url()).await;
    drop(locked(&has_not_heard, "k").await);
    group.fail_over(0).await;
    eventually("it refuses", || async {
        let answer = within("an answer", has_not_heard.try_lock("k")).await;
        answer.is_err_and(|error| error.is_outage() && error.to_string().contains("NOREPLICAS"))
    })
    .await;
    let locks = connected(of(patient(), &group)).await;
    drop(locked(&locks, "k").await);
}

/// The user of the documentation, who may do nothing else at the Sentinels.
#[tokio::test]
async fn the_rights_that_are_documented_for_sentinels_are_enough() {
    if !servers_available() {
        return;
    }
    let page = std::fs::read_to_string(tree::root().join("docs/redis.md")).expect("a page");
    let code = page
        .split('`')
        .find(|code| code.starts_with("ACL SETUSER asker"));
    let words: Vec<_> = code.expect("it is there").split_whitespace().collect();
    let group = start().await;
    for index in 0..3 {
        group.sentinel(index).cmd::<()>(&words).await;
        let newer = ["ACL", "SETUSER", "asker", "+client|setinfo"];
        // A Sentinel before 7.2 does not know it.
        let _ = group.sentinel(index).try_cmd::<()>(&newer).await;
    }
    let urls = [0, 1, 2].map(|index| group.sentinel(index).url_with("asker", "PASSWORD", 0));
    let locks = connected(patient().sentinel(group.url(), &urls)).await;
    drop(locked(&locks, "k").await);
    group.fail_over(0).await;
    follows_to(&locks, &group).await;
    for index in 0..3 {
        let denied: Vec<redis::Value> = group.sentinel(index).cmd(&["ACL", "LOG"]).await;
        assert!(denied.is_empty(), "{denied:?}");
    }
}

#[tokio::test]
async fn sentinels_that_are_dead_or_stand_still_are_passed_over() {
    if !servers_available() {
        return;
    }
    let mut group = start().await;
    group.sentinel_mut(0).kill();
    let locks = connected(of(patient(), &group)).await;
    let guard = locked(&locks, "held").await;
    replicated(&group, 1).await;
    // At which the client listens.
    group.sentinel(1).pause();
    group.fail_over(2).await;
    follows_to(&locks, &group).await;
    renewed(&guard, 1).await;
    let other = connected(of(patient(), &group)).await;
    refused(&other, "held").await;
}

#[tokio::test]
async fn what_sentinels_do_not_know_is_told_in_words() {
    if !servers_available() {
        return;
    }
    let mut group = start().await;
    let wrong = patient().sentinel("redis://:pa55word@invoices", group.sentinels());
    let error = not_connected(wrong).await;
    assert!(error.is_misuse(), "{error}");
    let text = error.to_string();
    assert!(text.contains("no primary of the name invoices"), "{text}");
    assert!(!text.contains("pa55word"), "{text}");
    // A server is no Sentinel.
    let wrong = patient().sentinel(group.url(), [group.server(0).url()]);
    let error = not_connected(wrong).await;
    assert!(error.is_misuse(), "{error}");
    assert!(error.to_string().contains("SENTINEL"), "{error}");
    for index in 0..3 {
        group.sentinel_mut(index).kill();
    }
    let error = not_connected(of(patient(), &group)).await;
    assert!(error.is_outage(), "{error}");
    let text = error.to_string();
    assert!(text.contains("no Sentinel names a primary"), "{text}");
}

/// The servers have another one.
#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    if !servers_available() {
        return;
    }
    let server = || Options::new().password("server0word");
    let sentinel = Options::new().password("sentinel0word");
    let group = Group::start(server(), server(), sentinel).await;
    let url = format!("redis://:server0word@{}", Group::NAME);
    let bare = |url: &String| url.replace(":sentinel0word@", "");
    let wrong = |url: &String| url.replace("sentinel0word", "an0ther0word");
    for (sentinels, part) in [
        (
            group.sentinels().iter().map(bare).collect::<Vec<_>>(),
            "NOAUTH",
        ),
        (group.sentinels().iter().map(wrong).collect(), "WRONGPASS"),
    ] {
        let error = not_connected(patient().sentinel(&url, sentinels)).await;
        assert!(error.is_misuse(), "{error}");
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains("0word"), "{text}");
    }
    let locks = connected(patient().sentinel(&url, group.sentinels())).await;
    let guard = locked(&locks, "held").await;
    renewed(&guard, 1).await;
    let shown = format!("{locks:?}");
    assert!(!shown.contains("0word"), "{shown}");
    let error = not_connected(of(patient(), &group)).await;
    assert!(
        error.is_misuse() && error.to_string().contains("NOAUTH"),
        "{error}"
    );
}

/// The run id of the new primary is another, so its marker does not fit. Nothing is granted until
/// every lease that it may have forgotten is over.
#[tokio::test]
async fn with_quarantine_a_failover_grants_nothing_for_one_max_ttl() {
    if !servers_available() {
        return;
    }
    let mut group = start().await;
    let builder = Locks::builder()
        .ttl(Duration::from_secs(4))
        .quarantine(Quarantine::On);
    let locks = connected(of(builder, &group)).await;
    let guard: Guard = locked(&locks, "held").await;
    group.server(1).pause();
    let cut = ["CLIENT", "KILL", "TYPE", "replica"];
    group.server(0).cmd::<i64>(&cut).await;
    // The replica has not heard of this one.
    let unheard = locked(&locks, "unheard").await;
    group.hurry().await;
    group.server_mut(0).kill();
    group.server(1).resume();
    let granted = eventually_some("it is granted again", || async {
        match within("an answer", locks.try_lock("unheard")).await {
            Ok(again) => {
                assert!(!unheard.is_valid(), "granted to two");
                Some(again)
            }
            Err(LockError::Rejected { words, .. }) => panic!("{words}"),
            Err(_) => None,
        }
    })
    .await;
    assert!(granted.fence() > unheard.fence());
    drop(guard);
    let run = group.server(1).info("run_id").await.expect("it says so");
    let marker = value(group.server(1), "tenure:node").await;
    assert!(marker.expect("it is marked").contains(&run));
}
