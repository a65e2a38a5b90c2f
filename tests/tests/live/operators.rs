//! What an operator asks of a real server and does there: which locks there are, and to take one
//! away by force. Leases of these tests are renewed after minutes, so that no renewal finds what is
//! told at once.

use std::collections::BTreeSet;

use redis::cluster::ClusterClient;
use tenure_redis::{BreakError, BreakOutcome, Holder, Inspection, Locks, Loss, ScanError, Seen};
use tenure_tests::live::clients::{connect, connected, freed, locked, patient, value};
use tenure_tests::live::{Cluster, Options, RedisServer, servers_available, within};

use crate::queue::{clean, enter, granted, in_line, quiet, released};
use crate::told::watched;

async fn inspected(locks: &Locks, key: &str) -> Inspection {
    within("an answer", locks.inspect(key)).await.expect("seen")
}

async fn seen(locks: &Locks, key: &str) -> Seen {
    inspected(locks, key)
        .await
        .seen()
        .expect("somebody holds it")
}

/// Breaks the lock for this holder. Says what the only node did.
async fn broken(locks: &Locks, key: &str, seen: Seen) -> BreakOutcome {
    let report = within("an answer", locks.break_lock(key, seen)).await;
    let report = report.expect("an answer");
    report.nodes[0].outcome.clone()
}

/// The keys that a scan finds.
async fn scanned(locks: &Locks, pattern: &str) -> Result<BTreeSet<String>, ScanError> {
    let mut scan = locks.scan(pattern)?;
    let mut keys = BTreeSet::new();
    while let Some(lock) = within("an answer", scan.next()).await? {
        keys.insert(String::from_utf8_lossy(lock.key.as_bytes()).into_owned());
    }
    Ok(keys)
}

#[tokio::test]
async fn a_holder_that_awaits_the_loss_is_told_of_a_break_at_once() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let another = connect(quiet(), server.url()).await;
    // The server does not push what a connection does itself.
    for operator in [&another, &locks] {
        let guard = locked(&locks, "k").await;
        let force = async {
            watched(&server, 1).await;
            assert!(locks.held()[0].watched);
            let shown = seen(operator, "k").await;
            assert_eq!(broken(operator, "k", shown).await, BreakOutcome::Deleted);
        };
        let told = within("it is told", guard.lost());
        let (lost, ()) = futures_util::future::join(told, force).await;
        assert_eq!(lost.loss, Loss::Gone);
        assert!(locks.held().is_empty());
        drop(guard);
        watched(&server, 0).await;
    }
}

#[tokio::test]
async fn a_broken_lock_is_handed_to_who_waits_and_broken_for_no_other() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    let waiters = connect(quiet(), server.url()).await;
    let guard = locked(&locks, "k").await;
    let first = enter(&server, &waiters, "k").await;
    let second = enter(&server, &waiters, "k").await;
    let shown = seen(&locks, "k").await;
    assert_eq!(broken(&locks, "k", shown).await, BreakOutcome::HandedOn);
    let next = granted(first).await;
    assert!(next.fence() > guard.fence());
    // The one that was seen has it no more.
    assert_eq!(
        broken(&locks, "k", shown).await,
        BreakOutcome::AnotherHolder
    );
    assert!(next.renew().await.is_ok());
    let error = guard.renew().await.expect_err("it was taken");
    assert!(error.is_loss(), "{error}");
    in_line(&server, "k", 1).await;
    released(next).await;
    released(granted(second).await).await;
    clean(&server, "k").await;
    assert_eq!(broken(&locks, "k", shown).await, BreakOutcome::Free);
}

#[tokio::test]
async fn a_real_server_breaks_keys_without_an_expiry_and_no_other_types() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet(), server.url()).await;
    server.cmd::<()>(&["SET", "k", "for ever"]).await;
    let inspection = inspected(&locks, "k").await;
    assert_eq!(inspection.holder(), &Holder::Foreign);
    let waiting = enter(&server, &locks, "k").await;
    // As an operator's tool may have sent it from one process to another.
    let shown = inspection.seen().expect("a string").to_string();
    let shown = shown.parse().expect("as it is shown");
    assert_eq!(broken(&locks, "k", shown).await, BreakOutcome::HandedOn);
    let guard = granted(waiting).await;
    released(guard).await;
    freed(&server, "k").await;
    server.cmd::<()>(&["HSET", "k", "f", "v"]).await;
    let outcome = broken(&locks, "k", shown).await;
    assert!(matches!(&outcome, BreakOutcome::WrongType { holds } if holds == "a hash"));
    assert!(server.cmd::<bool>(&["EXISTS", "k"]).await);
}

#[tokio::test]
async fn over_three_servers_a_lock_is_broken_at_each_and_a_waiter_has_it() {
    if !servers_available() {
        return;
    }
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(RedisServer::start(Options::new()).await);
    }
    let client = || {
        let nodes = servers.iter().map(RedisServer::url);
        quiet()
            .quarantine(tenure_redis::Quarantine::Off)
            .nodes(nodes)
    };
    let (locks, waiters) = (connected(client()).await, connected(client()).await);
    let guard = locked(&locks, "k").await;
    let waiting = tokio::spawn(async move { waiters.lock("k").await });
    for server in &servers {
        in_line(server, "k", 1).await;
    }
    let shown = seen(&locks, "k").await;
    let report = within("an answer", locks.break_lock("k", shown)).await;
    let report = report.expect("all answer");
    assert!(report.is_broken(), "{report:?}");
    assert_eq!(report.nodes.len(), 3);
    let next = within("it is hinted at", waiting).await.expect("no panic");
    let next = next.expect("it is free");
    assert!(next.fence() > guard.fence());
    assert!(guard.renew().await.is_err_and(|error| error.is_loss()));
    released(next).await;
}

#[tokio::test]
async fn a_scan_of_a_real_server_finds_its_locks_page_by_page() {
    const MANY: usize = 1_000;
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(quiet().prefix("l[o]cks:"), server.url()).await;
    let labelled = locks.with(|options| options.label("10.0.0.7:80"));
    let labelled = labelled.expect("a label");
    let mut guards = Vec::new();
    for number in 0..MANY {
        guards.push(locked(&labelled, format!("k{number}")).await);
    }
    let waiting = labelled.clone();
    let waiting = tokio::spawn(async move { waiting.lock("k7").await });
    in_line(&server, "l[o]cks:k7", 1).await;
    for (name, words) in [
        ("l[o]cks:hash", &["HSET", "l[o]cks:hash", "f", "v"][..]),
        ("counter", &["SET", "l[o]cks:k1:tenure:fence", "7"]),
        ("marker", &["SET", "l[o]cks:tenure:node", "x"]),
        ("another prefix", &["SET", "locks:k1", "x"]),
    ] {
        let done = server.try_cmd::<()>(words).await;
        done.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // A large value is no lock, and does not travel.
    let large = "x".repeat(1_000_000);
    server.cmd::<()>(&["SET", "l[o]cks:large", &large]).await;

    let keys = scanned(&locks, "*").await.expect("all is told");
    let expected = (0..MANY).map(|number| format!("k{number}"));
    let expected: BTreeSet<_> = expected.chain(["large".to_owned()]).collect();
    assert_eq!(keys, expected);
    let before = server.info("total_net_output_bytes").await;
    let mut scan = locks.scan("large").expect("a pattern");
    let found = within("an answer", scan.next()).await.expect("told");
    let found = found.expect("it is there");
    assert_eq!((found.at.holder, found.at.seen), (Holder::Foreign, None));
    let after = server.info("total_net_output_bytes").await;
    let bytes = |said: Option<String>| said.and_then(|said| said.parse::<u64>().ok());
    let sent = bytes(after).expect("a number") - bytes(before).expect("a number");
    assert!(sent < 500_000, "{sent}");

    let mut scan = locks.scan("k7").expect("a pattern");
    let found = within("an answer", scan.next()).await.expect("told");
    let found = found.expect("it is there");
    let label = Some("10.0.0.7:80".to_owned());
    assert_eq!(found.at.holder, Holder::Lease { label });
    assert_eq!(found.at.queue.expect("it has one").waiting, 1);
    let shown = found.at.seen.expect("a token");
    let outcome = broken(&locks, &found.key.to_string(), shown).await;
    assert_eq!(outcome, BreakOutcome::HandedOn);
    let next = within("it is handed on", waiting).await.expect("no panic");
    assert!(next.is_ok());
    drop(guards);
}

/// Without the right to `SCAN` a client has locks all the same, and nobody is denied anything on
/// connecting. A user who may read and scan can look, and break nothing.
#[tokio::test]
async fn the_right_to_scan_is_needed_by_who_scans_alone() {
    if !servers_available() {
        return;
    }
    let rules = "app on >pw ~* &* +@all -scan";
    let onlooker = "onlooker on >pw ~* -@all +get +pttl +type +scan";
    let options = Options::new().user(rules).user(onlooker);
    let server = RedisServer::start(options).await;
    let locks = connect(patient(), server.url_with("app", "pw", 0)).await;
    let guard = locked(&locks, "k").await;
    let denied: Vec<redis::Value> = server.cmd(&["ACL", "LOG"]).await;
    assert!(denied.is_empty(), "{denied:?}");
    let error = scanned(&locks, "*").await.expect_err("it may not");
    assert!(
        matches!(&error, ScanError::Rejected { key: None, .. }),
        "{error}"
    );
    assert!(
        error.is_misuse() && error.to_string().contains("NOPERM"),
        "{error}"
    );

    let url = server.url_with("onlooker", "pw", 0);
    let reader = patient().node(url).connect_lazy().expect("built");
    let keys = scanned(&reader, "*").await.expect("it may look");
    assert_eq!(keys, BTreeSet::from(["k".to_owned()]));
    assert_eq!(inspected(&reader, "k").await.seen(), None);
    let shown = seen(&locks, "k").await;
    let refused = within("an answer", reader.break_lock("k", shown)).await;
    let error = refused.expect_err("it may not");
    assert!(matches!(error, BreakError::Rejected { .. }), "{error}");
    assert!(error.is_misuse(), "{error}");
    assert!(value(&server, "k").await.is_some());
    released(guard).await;
}

/// A key of the prefix that the user may not read is told, and the others after it.
#[tokio::test]
async fn a_key_that_may_not_be_inspected_does_not_end_the_scan() {
    if !servers_available() {
        return;
    }
    let rules = "app on >pw ~app:* ~tenure:fence &* +@all";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let locks = connect(patient(), server.url_with("app", "pw", 0)).await;
    for key in ["app:1", "other", "app:2"] {
        server.cmd::<()>(&["SET", key, "x"]).await;
    }
    let mut scan = locks.scan("*").expect("a pattern");
    let (mut found, mut refused) = (BTreeSet::new(), BTreeSet::new());
    loop {
        match within("an answer", scan.next()).await {
            Ok(Some(lock)) => drop(found.insert(lock.key.to_string())),
            Ok(None) => break,
            Err(ScanError::Rejected { key: Some(key), .. }) => {
                refused.insert(key.to_string());
            }
            Err(error) => panic!("{error}"),
        }
    }
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, named(&["app:1", "app:2"]));
    assert_eq!(refused, named(&["other"]));
}

#[tokio::test]
async fn a_connection_to_a_cluster_breaks_locks_and_cannot_be_scanned() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let client = ClusterClient::new(cluster.urls()).expect("URLs");
    let connection = client.get_async_connection().await.expect("connected");
    let locks = connected(quiet().connection(connection)).await;
    for key in ["a", "b", "c"] {
        let guard = locked(&locks, key).await;
        let shown = seen(&locks, key).await;
        assert_eq!(broken(&locks, key, shown).await, BreakOutcome::Deleted);
        assert!(guard.renew().await.is_err_and(|error| error.is_loss()));
    }
    let error = scanned(&locks, "*").await.expect_err("it sees a part");
    assert!(matches!(error, ScanError::Cluster { .. }), "{error}");
    assert!(error.is_misuse(), "{error}");
}

/// A connection of the program's own to one server can be scanned.
#[tokio::test]
async fn a_connection_of_the_programs_own_is_scanned() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let client = redis::Client::open(server.url()).expect("a URL");
    let connection = redis::aio::ConnectionManager::new(client).await;
    let locks = connected(quiet().connection(connection.expect("connected"))).await;
    let guard = locked(&locks, "k").await;
    let keys = scanned(&locks, "*").await.expect("all is told");
    assert_eq!(keys, BTreeSet::from(["k".to_owned()]));
    let shown = seen(&locks, "k").await;
    assert_eq!(broken(&locks, "k", shown).await, BreakOutcome::Deleted);
    drop(guard);
}
