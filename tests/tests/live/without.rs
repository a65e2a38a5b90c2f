//! Servers that forbid a part of what Tenure uses: what works there all the same, and what is lost.
//! `docs/redis.md` names these tests.

use std::time::Duration;

use futures_util::future::join;
use tenure_redis::{ConnectError, Locks, Loss, Quarantine};
use tenure_tests::live::clients::{
    calls, connect, connected, connections, freed, hasty, locked, patient, renewed, request_on,
    serves,
};
use tenure_tests::live::wait::nobody_asks_for;
use tenure_tests::live::{
    Fault, Fsync, Options, Proxy, RedisServer, Rewrite, eventually, eventually_some,
    servers_available, within,
};

use crate::queue::{enter, granted, quiet, released};

/// What a server says of scripts that it does not know.
const FORGOTTEN: &str = "-NOSCRIPT No matching script. Please use EVAL.";

/// A server whose user `app` may do everything but this.
fn without(rights: &str) -> Options {
    Options::new().user(&format!("app on >pw ~* &* +@all {rights}"))
}

fn url(server: &RedisServer) -> String {
    server.url_with("app", "pw", 0)
}

/// A loss that is awaited, and that the node does not tell: a client that renews often hears of it,
/// and one that does not waits on.
async fn told_by_a_renewal_only(server: &RedisServer, url: &str) {
    let seldom = connect(quiet(), url).await;
    let often = connect(patient(), url).await;
    let [late, soon] = [locked(&seldom, "late").await, locked(&often, "soon").await];
    let waiting = tokio::spawn(async move { late.lost().await.loss });
    let lose = async {
        // What asks to have a key watched is asked before the next renewal.
        renewed(&soon, 1).await;
        server.cmd::<i64>(&["DEL", "soon", "late"]).await;
    };
    let told = async { within("it is told", soon.lost()).await.loss };
    let (told, ()) = join(told, lose).await;
    assert_eq!(told, Loss::Gone);
    nobody_asks_for(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished(), "the node has told it");
    waiting.abort();
}

/// Who waits is told that the lock is theirs all the same.
#[tokio::test]
async fn without_client_commands_a_loss_is_told_by_the_next_renewal() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(without("-client")).await;
    let locks = connect(patient(), url(&server)).await;
    serves(&locks, &server).await;
    told_by_a_renewal_only(&server, &url(&server)).await;
    let silent = connect(quiet(), url(&server)).await;
    let holder = locked(&silent, "k").await;
    let waiting = enter(&server, &silent, "k").await;
    released(holder).await;
    released(granted(waiting).await).await;
    freed(&server, "k").await;
}

/// With them it is killed: `an_acquire_that_travels_on_is_killed_with_its_connection`. The release
/// that was sent behind the late acquire frees its key.
#[tokio::test]
async fn without_client_commands_what_was_given_up_may_be_applied_late() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(without("-client")).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(hasty(), proxy.url_with("app", "pw", 0)).await;
    let late = proxy.on(request_on("k"), Fault::HoldRequest);
    let error = within("an answer", locks.try_lock("k")).await;
    let error = error.expect_err("nothing answers");
    late.hit().await;
    assert!(error.is_outage(), "{error}");
    // It serves over another connection, and the server has the one before, too.
    released(locked(&locks, "other").await).await;
    assert!(connections(&server).await >= 2);
    let before = calls(&server, "set").await;
    late.release();
    eventually("the late request is applied", || async {
        calls(&server, "set").await > before
    })
    .await;
    freed(&server, "k").await;
}

/// Nothing shows there whether it was restarted.
#[tokio::test]
async fn without_info_one_node_serves_and_quarantine_does_not() {
    if !servers_available() {
        return;
    }
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(RedisServer::start(without("-info")).await);
    }
    let one = connect(patient(), url(&servers[0])).await;
    serves(&one, &servers[0]).await;
    let several = || patient().prefix("p:").nodes(servers.iter().map(url));
    let error = within("an answer", several().connect()).await;
    let error = error.expect_err("nothing shows a restart");
    assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("INFO"), "{error}");
    let locks = connected(several().quarantine(Quarantine::Off)).await;
    released(locked(&locks, "k").await).await;
}

/// With the right, they count again at once:
/// `nodes_with_every_write_on_disk_come_back_without_quarantine`.
#[tokio::test]
async fn without_config_a_restart_is_a_loss_though_each_write_was_synced() {
    if !servers_available() {
        return;
    }
    let mut servers = Vec::new();
    for _ in 0..3 {
        let options = without("-config").append_only(Fsync::Always);
        servers.push(RedisServer::start(options).await);
    }
    let ttl = Duration::from_secs(4);
    let locks = Locks::builder().nodes(servers.iter().map(url)).ttl(ttl);
    let locks = connected(locks.request_timeout(Duration::from_secs(1))).await;
    released(locked(&locks, "first").await).await;
    servers[1].restart_with_data().await;
    servers[2].restart_with_data().await;
    let error = eventually_some("the nodes answer", || async {
        match locks.try_lock("again").await {
            Err(error) if error.is_outage() && !is_quarantine(&error) => None,
            answer => Some(answer),
        }
    })
    .await;
    let error = error.expect_err("they may have forgotten");
    assert!(is_quarantine(&error), "{error}");
    released(locked(&locks, "again").await).await;
}

fn is_quarantine(error: &tenure_redis::LockError) -> bool {
    matches!(error, tenure_redis::LockError::Quarantined { .. })
}

/// Where it forgets them each time it can serve nobody.
#[tokio::test]
async fn without_eval_scripts_that_were_flushed_are_loaded_again() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(without("-eval")).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(patient(), proxy.url_with("app", "pw", 0)).await;
    serves(&locks, &server).await;
    let guard = locked(&locks, "k").await;
    server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
    guard.renew().await.expect("it is held");
    released(guard).await;
    let forgets = proxy.rewrite(|command| {
        let asked = command.is("EVALSHA");
        asked.then(|| Rewrite::Refuse(FORGOTTEN.to_owned()))
    });
    let guard = locked(&locks, "k").await;
    let error = within("an answer", guard.renew()).await;
    let error = error.expect_err("no script can be run");
    assert!(error.to_string().contains("forgot the scripts"), "{error}");
    forgets.stop();
}

/// A server, or a proxy before it, that does not know `HELLO`.
#[tokio::test]
async fn without_hello_the_older_protocol_serves_and_pushes_nothing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let unknown = "-ERR unknown command 'HELLO'";
    let _old = proxy.rewrite(|command| {
        let asked = command.is("HELLO");
        asked.then(|| Rewrite::Refuse(unknown.to_owned()))
    });
    let locks = connect(patient(), proxy.url()).await;
    serves(&locks, &server).await;
    told_by_a_renewal_only(&server, &proxy.url()).await;
}
