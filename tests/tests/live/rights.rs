//! What a user may do: the lines of `docs/redis.md` are enough and leave no denial behind, each
//! right that is missing is told on connecting, and what is only wanted is done without.

use std::time::Duration;

use futures_util::future::join;
use redis::Value;
use tenure_redis::{Builder, ConnectError, Holder, InspectError, LockError, Quarantine};
use tenure_tests::live::clients::{connect, connected, freed, locked, patient, refused, value};
use tenure_tests::live::{Options, RedisServer, servers_available, within};
use tenure_tests::tree;

use crate::queue::in_line;
use crate::told::watched;

/// The lines of the documentation that make the user: who, what is needed, what is needed over one
/// node, what is wanted, what is wanted for pushes, what is wanted over several nodes, what only
/// newer servers know.
fn lines() -> [String; 7] {
    let page = std::fs::read_to_string(tree::root().join("docs/redis.md")).expect("a page");
    let lines = page.lines().filter(|line| line.starts_with("ACL SETUSER"));
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    lines.try_into().expect("seven lines")
}

/// The rights that a line gives: its words behind the name of the user.
fn rights(line: &str) -> Vec<&str> {
    line.split(' ').skip(3).collect()
}

/// Makes the user of the documentation, but without these rights.
async fn make_user(server: &RedisServer, without: &[&str]) {
    server.cmd::<i64>(&["ACL", "DELUSER", "locks"]).await;
    for line in lines() {
        let words = line.split(' ').filter(|word| !without.contains(word));
        let made = server.try_cmd::<()>(&words.collect::<Vec<_>>()).await;
        // The page says that a server before 7.2 does not know the library's name.
        assert!(made.is_ok() || line.ends_with("+client|setinfo"), "{line}");
    }
    server.cmd::<()>(&["ACL", "LOG", "RESET"]).await;
}

fn url(server: &RedisServer) -> String {
    server.url_with("locks", "PASSWORD", 0)
}

fn client(server: &RedisServer) -> Builder {
    patient().prefix("locks:").node(url(server))
}

/// What was denied.
async fn denials(server: &RedisServer) -> usize {
    match server.cmd::<Value>(&["ACL", "LOG"]).await {
        Value::Array(entries) => entries.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_rights_that_the_documentation_names_are_enough_and_used() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    make_user(&server, &[]).await;
    server.cmd::<()>(&["HSET", "locks:hashed", "f", "v"]).await;
    let locks = connected(client(&server)).await;
    let guard = locked(&locks, "k").await;
    guard.renew().await.expect("it is held");
    refused(&locks, "k").await;
    within("an answer", locks.inspect("k")).await.expect("seen");
    let error = within("an answer", locks.try_lock("hashed")).await;
    let error = error.expect_err("a hash is no lock");
    assert!(error.to_string().contains("a hash"), "{error}");
    // A connection that is lost is ended on the next one.
    server
        .cmd::<i64>(&["CLIENT", "KILL", "USER", "locks"])
        .await;
    locked(&locks, "l").await.release().await.expect("held");
    let waiting = locked(&locks, "k");
    let release = async {
        in_line(&server, "locks:k", 1).await;
        guard.release().await.expect("it was held");
    };
    let (guard, ()) = join(waiting, release).await;
    let lose = async {
        watched(&server, 1).await;
        server.cmd::<i64>(&["DEL", "locks:k"]).await;
    };
    join(within("it is told", guard.lost()), lose).await;
    let log: Value = server.cmd(&["ACL", "LOG"]).await;
    assert_eq!(denials(&server).await, 0, "{log:?}");
}

#[tokio::test]
async fn over_several_nodes_the_same_rights_are_enough() {
    if !servers_available() {
        return;
    }
    let mut servers = Vec::new();
    for _ in 0..3 {
        let server = RedisServer::start(Options::new()).await;
        make_user(&server, &[]).await;
        servers.push(server);
    }
    let ttl = Duration::from_secs(2);
    let builder = tenure_redis::Locks::builder()
        .ttl(ttl)
        .prefix("locks:")
        .quarantine(Quarantine::On)
        .nodes(servers.iter().map(url));
    let locks = connected(builder).await;
    let guard = locked(&locks, "k").await;
    guard.renew().await.expect("it is held");
    guard.release().await.expect("it was held");
    for server in &servers {
        let log: Value = server.cmd(&["ACL", "LOG"]).await;
        assert_eq!(denials(server).await, 0, "{log:?}");
    }
}

#[tokio::test]
async fn each_right_that_is_needed_is_named_if_it_is_missing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let [_, needed, of_one_node, wanted @ ..] = lines();
    for right in [needed, of_one_node].iter().flat_map(|line| rights(line)) {
        make_user(&server, &[right]).await;
        let error = within("an answer", client(&server).connect()).await;
        let Err(error) = error else {
            panic!("{right} is needed");
        };
        let ConnectError::Rejected { words, .. } = &error else {
            panic!("{right}: {error}");
        };
        assert!(words.contains("NOPERM"), "{right}: {words}");
        // A server before 7.0 names the command without its subcommand.
        let command = right[1..].split('|').next().unwrap_or_default();
        assert!(words.contains(&format!("'{command}")), "{right}: {words}");
        assert!(error.is_misuse(), "{error}");

        let lazy = client(&server).connect_lazy().expect("built");
        let answer = within("waiting cannot mend it", lazy.lock("k")).await;
        let error = answer.expect_err("it may not");
        assert!(matches!(error, LockError::Rejected { .. }), "{error}");
        assert_eq!(value(&server, "locks:k").await, None, "{right}");
    }
    for right in wanted.iter().flat_map(|line| rights(line)) {
        make_user(&server, &[right]).await;
        let locks = connected(client(&server)).await;
        locked(&locks, "k").await.release().await.expect("held");
    }
}

/// By reads alone: with the rights that the documentation names, or with all rights but for keys
/// that it may only read.
#[tokio::test]
async fn a_user_who_may_only_read_can_inspect_and_take_nothing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let page = std::fs::read_to_string(tree::root().join("docs/redis.md")).expect("a page");
    let line = page
        .split('`')
        .find(|code| code.starts_with("ACL SETUSER onlooker"));
    let documented: Vec<_> = line.expect("the line").split_whitespace().collect();
    let all_commands = [
        "ACL",
        "SETUSER",
        "onlooker",
        "on",
        ">PASSWORD",
        "%R~locks:*",
        "+@all",
    ];
    let holders = patient().prefix("locks:").node(server.url());
    let holders = connected(holders.options(|options| options.label("10.0.0.7:80"))).await;
    let _guard = locked(&holders, "held").await;
    server.cmd::<()>(&["HSET", "locks:hashed", "f", "v"]).await;
    for line in [&documented[..], &all_commands] {
        server.cmd::<i64>(&["ACL", "DELUSER", "onlooker"]).await;
        server.cmd::<()>(&["ACL", "LOG", "RESET"]).await;
        if server.try_cmd::<()>(line).await.is_err() {
            // A server before 7.0 knows no keys that may only be read.
            continue;
        }
        let url = server.url_with("onlooker", "PASSWORD", 0);
        let onlooker = patient().prefix("locks:").node(url).connect_lazy();
        let onlooker = onlooker.expect("built");
        let seen = within("an answer", onlooker.inspect("held")).await;
        let seen = seen.expect("it may be read");
        // As many as the page says, however often it has tried.
        let denied = denials(&server).await;
        let least = if line == &documented[..] { 8 } else { 1 };
        assert!((least..=14).contains(&denied), "{denied}");
        let label = Some("10.0.0.7:80".to_owned());
        assert_eq!(seen.holder(), &Holder::Lease { label });
        assert!(seen.left().is_some() && !seen.nodes[0].from_primary);
        assert_eq!(seen.nodes[0].queue, None, "it may not be able to read it");
        assert_eq!(seen.fence(), None, "one node keeps none for a key");
        let free = within("an answer", onlooker.inspect("free")).await;
        assert_eq!(free.expect("it may be read").holder(), &Holder::Free);
        let hashed = within("an answer", onlooker.inspect("hashed")).await;
        let hashed = hashed.expect("it may be read");
        assert!(matches!(hashed.holder(), Holder::WrongType { holds, .. } if holds == "a hash"));
        let error = within("an answer", onlooker.try_lock("free")).await;
        let error = error.expect_err("it may not");
        assert!(matches!(error, LockError::Rejected { .. }), "{error}");
        assert_eq!(value(&server, "locks:free").await, None);
    }
    let seen = within("an answer", holders.inspect("held")).await;
    let seen = seen.expect("it may write");
    assert!(seen.nodes[0].from_primary);
    let waiting = seen.nodes[0].queue.as_ref().map(|queue| queue.waiting);
    assert_eq!(waiting, Some(0));
}

/// The key is named, and what to allow. Nothing was taken.
#[tokio::test]
async fn a_user_without_the_key_of_the_stream_is_told_on_connecting() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    make_user(&server, &["~tenure:fence"]).await;
    let error = within("an answer", client(&server).connect()).await;
    let error = error.expect_err("no fence can be drawn");
    assert!(error.is_misuse(), "{error}");
    assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
    for part in ["NOPERM", "~tenure:fence", "Builder::fence_stream"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let lazy = client(&server).connect_lazy().expect("built");
    let error = within("an answer", lazy.try_lock("k")).await;
    let error = error.expect_err("no fence can be drawn");
    assert!(matches!(error, LockError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("~tenure:fence"), "{error}");
    assert_eq!(value(&server, "locks:k").await, None);
    // Under the prefix it may have another.
    let locks = client(&server).fence_stream("locks:tenure:fence");
    let locks = connected(locks).await;
    locked(&locks, "k").await.release().await.expect("held");
    // Over several nodes there is none.
    let mut servers = vec![server];
    for _ in 0..2 {
        let server = RedisServer::start(Options::new()).await;
        make_user(&server, &["~tenure:fence", "+xadd"]).await;
        servers.push(server);
    }
    make_user(&servers[0], &["~tenure:fence", "+xadd"]).await;
    let builder = patient()
        .prefix("locks:")
        .quarantine(Quarantine::Off)
        .nodes(servers.iter().map(url));
    let locks = connected(builder).await;
    locked(&locks, "k").await.release().await.expect("held");
}

/// The right is withdrawn, or the stream replaced, while a client is connected.
#[tokio::test]
async fn a_stream_that_is_lost_later_is_told_at_the_next_lock() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    make_user(&server, &[]).await;
    let locks = connected(client(&server)).await;
    let held = locked(&locks, "held").await;
    let withdrawn = ["ACL", "SETUSER", "locks", "resetkeys", "~locks:*"];
    server.cmd::<()>(&withdrawn).await;
    let error = within("an answer", locks.lock("k")).await;
    let error = error.expect_err("no fence can be drawn");
    assert!(matches!(error, LockError::Rejected { .. }), "{error}");
    for part in ["NOPERM", "the fence stream", "~tenure:fence"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    freed(&server, "locks:k").await;
    let given = ["ACL", "SETUSER", "locks", "~tenure:fence", "-xadd"];
    server.cmd::<()>(&given).await;
    let error = within("an answer", locks.lock("k")).await;
    let error = error.expect_err("no fence can be drawn");
    assert!(matches!(error, LockError::Rejected { .. }), "{error}");
    for part in ["the fence stream tenure:fence", "XADD"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    freed(&server, "locks:k").await;
    held.renew().await.expect("it needs no fence");
    let given = ["ACL", "SETUSER", "locks", "+xadd"];
    server.cmd::<()>(&given).await;
    server.cmd::<i64>(&["DEL", "tenure:fence"]).await;
    server.cmd::<i64>(&["RPUSH", "tenure:fence", "x"]).await;
    let error = within("an answer", locks.lock("k")).await;
    let error = error.expect_err("no fence can be drawn");
    assert!(matches!(error, LockError::WrongType { .. }), "{error}");
    for part in ["tenure:fence", "a list"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    freed(&server, "locks:k").await;
    server.cmd::<i64>(&["DEL", "tenure:fence"]).await;
    let next = locked(&locks, "k").await;
    assert!(next.fence() > held.fence());
    held.release().await.expect("it was held");
}

/// Waiting does not mend it.
#[tokio::test]
async fn a_user_of_other_keys_is_told_at_its_first_lock() {
    if !servers_available() {
        return;
    }
    let rules = "app on >pw ~other:* ~tenure:fence &* +@all";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let locks = connect(patient(), server.url_with("app", "pw", 0)).await;
    let answer = within("waiting cannot mend it", locks.lock("k")).await;
    let error = answer.expect_err("it may not");
    assert!(matches!(error, LockError::Rejected { .. }), "{error}");
    assert!(error.is_misuse(), "{error}");
    assert!(error.to_string().contains("permission"), "{error}");
    assert_eq!(value(&server, "k").await, None);
    let seen = within("an answer", locks.inspect("k")).await;
    let error = seen.expect_err("it may not");
    assert!(matches!(error, InspectError::Rejected { .. }), "{error}");
    assert!(error.is_misuse(), "{error}");
}

/// Such as a prefix that was mistyped: no key of this client could ever be locked.
#[tokio::test]
async fn a_prefix_that_the_user_may_not_use_is_told_on_connecting() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    make_user(&server, &[]).await;
    let mistyped = || patient().prefix("lock:").node(url(&server));
    let error = within("an answer", mistyped().connect()).await;
    let error = error.expect_err("it may not");
    assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("permission"), "{error}");
    assert!(error.is_misuse(), "{error}");
    let lazy = mistyped().connect_lazy().expect("built");
    let error = within("waiting cannot mend it", lazy.lock("k")).await;
    let error = error.expect_err("it may not");
    assert!(matches!(error, LockError::Rejected { .. }), "{error}");
}

#[tokio::test]
async fn a_key_that_may_not_be_used_is_told_to_its_caller_and_to_no_other() {
    if !servers_available() {
        return;
    }
    let rules = "app on >pw ~app:* ~tenure:fence &* +@all";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let locks = connect(patient(), server.url_with("app", "pw", 0)).await;
    let asked = async {
        tokio::join!(
            locks.try_lock("app:1"),
            locks.try_lock("other"),
            locks.try_lock("app:2")
        )
    };
    let (first, refused, second) = within("answers", asked).await;
    let error = refused.expect_err("it may not");
    assert!(matches!(error, LockError::Rejected { .. }), "{error}");
    for guard in [first, second] {
        let guard = guard.expect("it may");
        guard.release().await.expect("it was held");
    }
}
