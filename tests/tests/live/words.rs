//! The last words of a node: whatever it says instead of serving, each operation tells it. "In
//! time" is said only where time has passed.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tenure_redis::{Builder, Locks, Quarantine};
use tenure_tests::live::clients::{connected, locked, patient};
use tenure_tests::live::{
    Command, Options, Proxy, RedisServer, Rewrite, eventually, eventually_some, servers_available,
    within,
};

/// What servers say that cannot serve now, and what nobody foresaw.
const WORDS: [&str; 9] = [
    "BUSY Redis is busy running a script",
    "NOREPLICAS Not enough good replicas to write",
    "MISCONF Redis is configured to save RDB snapshots",
    "CLUSTERDOWN The cluster is down",
    "MOVED 3999 127.0.0.1:6381",
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica",
    "ERR a text that nobody foresaw",
    "WHATEVER is said by a proxy",
];

/// The TTL of these tests: long enough for no lease to end.
const TTL: Duration = Duration::from_secs(120);

async fn servers(count: usize) -> Vec<RedisServer> {
    let starts = (0..count).map(|_| RedisServer::start(Options::new()));
    join_all(starts).await
}

async fn proxies(servers: &[RedisServer]) -> Vec<Proxy> {
    join_all(servers.iter().map(|server| Proxy::start(server.addr()))).await
}

/// Nodes that answer at once, whatever they answer. A release waits for two of its timeouts.
fn builder(proxies: &[Proxy]) -> Builder {
    Locks::builder()
        .ttl(TTL)
        .request_timeout(Duration::from_secs(3))
        .quarantine(Quarantine::Off)
        .nodes(proxies.iter().map(Proxy::url))
}

/// The switch of what refuses these commands with this line at every node.
fn refuse(proxies: &[Proxy], what: fn(&Command) -> bool, words: &str) -> Arc<AtomicBool> {
    let refuses = Arc::new(AtomicBool::new(false));
    for proxy in proxies {
        let (refuses, line) = (Arc::clone(&refuses), format!("-{words}"));
        let _rewriting = proxy.rewrite(move |command| {
            let refused = refuses.load(Ordering::SeqCst) && what(command);
            refused.then(|| Rewrite::Refuse(line.clone()))
        });
    }
    refuses
}

fn tells(words: &str, what: &str, error: &impl Display) {
    let text = error.to_string();
    assert!(text.contains(words), "{what}, {words}: {text}");
    assert!(!text.contains("in time"), "{what}, {words}: {text}");
}

/// Each operation of a client whose nodes say this to every script.
async fn each_operation(servers: &[RedisServer], words: &str) {
    let proxies = proxies(servers).await;
    let scripts = |command: &Command| {
        ["EVALSHA", "EVAL", "SET"]
            .iter()
            .any(|name| command.is(name))
    };
    let refuses = refuse(&proxies, scripts, words);
    let locks = connected(builder(&proxies)).await;
    let held = locked(&locks, format!("held: {words}")).await;
    let free = format!("free: {words}");
    refuses.store(true, Ordering::SeqCst);

    let error = within("an answer", locks.try_lock(&free)).await;
    tells(words, "try_lock", &error.expect_err("nobody serves"));
    let waiter = locks.with(|options| options.give_up_after(Duration::from_millis(300)));
    let waiter = waiter.expect("these options work");
    let error = within("it gives up", waiter.lock(&free)).await;
    tells(words, "lock", &error.expect_err("nobody serves"));
    let error = within("an answer", held.renew()).await;
    tells(words, "renew", &error.expect_err("nobody serves"));
    // A little less than a renewal gives.
    let much = TTL * 98 / 100;
    let error = eventually_some("it must be renewed", || async {
        held.ensure(much).await.err()
    });
    tells(words, "ensure", &error.await);
    let error = within("an answer", locks.inspect(&free)).await;
    tells(words, "inspect", &error.expect_err("nobody serves"));
    let error = within("an answer", held.release()).await;
    tells(words, "release", &error.expect_err("nobody serves"));
}

#[tokio::test]
async fn whatever_a_node_says_instead_of_serving_is_told_by_each_operation() {
    if !servers_available() {
        return;
    }
    for count in [1, 3] {
        let servers = servers(count).await;
        join_all(WORDS.map(|words| each_operation(&servers, words))).await;
    }
}

#[tokio::test]
async fn whatever_a_node_says_as_it_is_connected_to_is_told() {
    if !servers_available() {
        return;
    }
    for count in [1, 3] {
        let servers = servers(count).await;
        let connects = WORDS.map(async |words| {
            let proxies = proxies(&servers).await;
            refuse(&proxies, |command| command.is("SCRIPT"), words).store(true, Ordering::SeqCst);
            let error = within("an answer", builder(&proxies).connect()).await;
            tells(words, "connect", &error.expect_err("nobody serves"));
        });
        join_all(connects).await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_a_login_is_quoted() {
    if !servers_available() {
        return;
    }
    let guarded = RedisServer::start(Options::new().password("right")).await;
    let open = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(guarded.addr()).await;
    let greets_nobody = proxy.rewrite(|command| {
        let unknown = || Rewrite::Refuse("-ERR unknown command 'HELLO'".to_owned());
        command.is("HELLO").then(unknown)
    });
    let wrong = "WRONGPASS invalid username-password pair";
    let none = "called without any password configured";
    let resp2 = |url: String| format!("{url}?protocol=resp2");
    for (url, words) in [
        (guarded.url_with("", "wrong", 0), wrong),
        (guarded.url_with("nobody", "wrong", 0), wrong),
        (resp2(guarded.url_with("", "wrong", 0)), wrong),
        (resp2(guarded.url_with("nobody", "wrong", 0)), wrong),
        (proxy.url_with("", "wrong", 0), wrong),
        (resp2(open.url_with("", "wrong", 0)), none),
    ] {
        let error = within("an answer", patient().node(&url).connect()).await;
        let error = error.expect_err("it is wrong");
        tells(words, &url, &error);
        assert!(error.is_misuse(), "{error}");
        assert!(error.to_string().contains("Check the user"), "{error}");
    }
    assert_eq!(greets_nobody.count(), 1);
}

#[tokio::test]
async fn a_server_with_too_many_clients_says_so_and_is_waited_for() {
    if !servers_available() {
        return;
    }
    let options = Options::new().password("right").config("maxclients 1");
    let server = RedisServer::start(options).await;
    let only = eventually_some("its only client", || async {
        let client = redis::Client::open(server.url()).expect("a URL");
        client.get_multiplexed_async_connection().await.ok()
    })
    .await;
    let mut waiting = Vec::new();
    for protocol in ["", "?protocol=resp2", "?protocol=resp3"] {
        let url = format!("{}{protocol}", server.url());
        let error = within("an answer", patient().node(&url).connect()).await;
        let error = error.expect_err("it has one client");
        tells("max number of clients", protocol, &error);
        assert!(error.is_outage(), "{error}");
        let locks = patient().node(&url).connect_lazy().expect("built");
        waiting.push(locks);
    }
    let error = within("an answer", waiting[0].try_lock("k")).await;
    tells(
        "max number of clients",
        "try_lock",
        &error.expect_err("no room"),
    );
    let lock = waiting.swap_remove(0);
    let asked = lock.lock("k");
    drop((only, waiting));
    let guard = within("there is room again", asked).await;
    guard
        .expect("it serves")
        .release()
        .await
        .expect("it was held");
}

/// A node each, and a third that serves: too few.
#[tokio::test]
async fn each_of_several_nodes_is_told_with_its_own_words() {
    if !servers_available() {
        return;
    }
    let servers = servers(3).await;
    let proxies = proxies(&servers).await;
    let locks = connected(builder(&proxies)).await;
    let scripts = |command: &Command| {
        ["EVALSHA", "EVAL", "SET"]
            .iter()
            .any(|name| command.is(name))
    };
    for (proxy, words) in proxies.iter().zip(WORDS).take(2) {
        refuse(std::slice::from_ref(proxy), scripts, words).store(true, Ordering::SeqCst);
    }
    let error = within("an answer", locks.try_lock("k")).await;
    let text = error.expect_err("one of three serves").to_string();
    for (proxy, words) in proxies.iter().zip(WORDS).take(2) {
        assert!(
            text.contains(&format!("{}/0: {words}", proxy.addr())),
            "{text}"
        );
    }
    assert!(!text.contains(&proxies[2].addr().to_string()), "{text}");
}

#[tokio::test]
async fn a_server_that_is_out_of_memory_says_so_and_keeps_what_is_held() {
    if !servers_available() {
        return;
    }
    for count in [1, 3] {
        let servers = servers(count).await;
        let proxies = proxies(&servers).await;
        let locks = connected(builder(&proxies)).await;
        let held = locked(&locks, "held").await;
        for server in &servers {
            let limit = ["CONFIG", "SET", "maxmemory", "1"];
            server.cmd::<()>(&limit).await;
        }
        let error = within("an answer", locks.try_lock("k")).await;
        tells("OOM", "try_lock", &error.expect_err("there is no room"));
        let waiter = locks.with(|options| options.give_up_after(Duration::from_millis(300)));
        let waiter = waiter.expect("these options work");
        let error = within("it gives up", waiter.lock("k")).await;
        tells("OOM", "lock", &error.expect_err("there is no room"));
        held.renew().await.expect("it takes no room");
        within("seen", locks.inspect("held")).await.expect("seen");
        held.release().await.expect("it takes no room");
    }
}

/// It does not come back by itself.
#[tokio::test]
async fn a_connection_of_the_users_that_is_broken_is_told_as_that() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let connection = server.connect().await;
    let locks = connected(patient().connection(connection)).await;
    let held = locked(&locks, "held").await;
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    server.cmd::<i64>(&kill).await;
    let broken = |what: &str, error: &dyn Display| {
        let text = error.to_string();
        assert!(!text.contains("in time"), "{what}: {text}");
        assert!(text.contains("connection 0: "), "{what}: {text}");
    };
    let error = within("an answer", locks.try_lock("k")).await;
    broken("try_lock", &error.expect_err("it is broken"));
    let error = within("an answer", held.renew()).await;
    broken("renew", &error.expect_err("it is broken"));
    let error = within("an answer", locks.inspect("k")).await;
    broken("inspect", &error.expect_err("it is broken"));
    let error = within("an answer", held.release()).await;
    broken("release", &error.expect_err("it is broken"));
}

#[tokio::test]
async fn a_node_that_says_nothing_is_said_not_to_answer_in_time() {
    if !servers_available() {
        return;
    }
    let servers = servers(1).await;
    let proxies = proxies(&servers).await;
    let locks = connected(builder(&proxies).request_timeout(Duration::from_millis(500))).await;
    proxies[0].partition();
    let error = within("an answer", locks.try_lock("k")).await;
    let text = error.expect_err("nobody answers").to_string();
    assert!(text.contains("in time"), "{text}");
    proxies[0].heal();
    eventually("it answers again", || async {
        locks.try_lock("k").await.is_ok()
    })
    .await;
}
