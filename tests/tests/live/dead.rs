//! Connections that were dead before anything was asked on them: closed, reset or forgotten while
//! they were idle. One attempt is not spent on finding that out.

use std::time::Duration;

use redis::Client;
use redis::aio::ConnectionManager;
use tenure_redis::{Builder, Holder, LockOptions, Locks};
use tenure_tests::live::clients::{LONG, connect, connected, freed, locked, patient, serves};
use tenure_tests::live::proxy::every_second;
use tenure_tests::live::wait::nobody_asks_for;
use tenure_tests::live::{
    Fate, Options, Proxy, RedisServer, Rewrite, eventually, servers_available, within,
};

/// How long a request of these tests is waited for: half of it is enough for a new connection, also
/// on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(3);

fn watchful() -> Builder {
    patient().request_timeout(TIMEOUT)
}

async fn through_a_proxy() -> (RedisServer, Proxy) {
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    (server, proxy)
}

/// Takes a free key with one attempt.
async fn taken(locks: &Locks, key: &str) {
    let guard = within("an answer", locks.try_lock(key)).await;
    let guard = guard.expect("the key is free, and the server is well");
    guard.release().await.expect("it was held");
}

/// Makes each call that a guard or a handle has, on connections that met this fate while they were
/// idle. Ten clients that try a free key are all granted.
async fn every_call_is_answered(url: &str, dress: impl Fn(Builder) -> Builder, die: impl Fn()) {
    let client = || async { connect(dress(watchful()), url).await };
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(client().await);
    }
    let [renewing, ensuring, releasing, inspecting] = [
        client().await,
        client().await,
        client().await,
        client().await,
    ];
    let held = |locks: &Locks, key: &'static str| {
        let once = locks.with(LockOptions::without_renewal);
        async move { locked(&once.expect("it can work"), key).await }
    };
    let renewed = held(&renewing, "renewed").await;
    let ensured = held(&ensuring, "ensured").await;
    let released = held(&releasing, "released").await;
    // A connection that is not idle is not quiet for so long.
    nobody_asks_for(TIMEOUT + TIMEOUT / 10).await;
    die();
    let tries = clients.iter().enumerate().map(|(index, locks)| async move {
        taken(locks, &format!("k{index}")).await;
    });
    let calls = async {
        within("renewed", renewed.renew()).await.expect("renewed");
        let most = LONG - Duration::from_secs(10);
        within("ensured", ensured.ensure(most))
            .await
            .expect("ensured");
        within("released", released.release())
            .await
            .expect("it was held");
        let seen = within("an answer", inspecting.inspect("renewed")).await;
        assert_ne!(*seen.expect("seen").holder(), Holder::Free);
    };
    futures_util::future::join(futures_util::future::join_all(tries), calls).await;
}

#[tokio::test]
async fn one_attempt_is_enough_on_a_connection_that_is_reset_at_the_next_byte() {
    if !servers_available() {
        return;
    }
    let (_server, proxy) = through_a_proxy().await;
    let die = || proxy.doom(Fate::ResetAtNextByte);
    every_call_is_answered(&proxy.url(), |builder| builder, die).await;
}

#[tokio::test]
async fn one_attempt_is_enough_on_a_connection_that_the_network_forgot() {
    if !servers_available() {
        return;
    }
    let (_server, proxy) = through_a_proxy().await;
    let die = || proxy.doom(Fate::Swallowed);
    every_call_is_answered(&proxy.url(), |builder| builder, die).await;
}

/// Nothing shows then that it is dead, before it is asked.
#[tokio::test]
async fn one_attempt_is_enough_where_ping_is_forbidden() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new().user("app on >pw ~* &* +@all -ping")).await;
    let proxy = Proxy::start(server.addr()).await;
    let die = || proxy.doom(Fate::Swallowed);
    let url = proxy.url_with("app", "pw", 0);
    every_call_is_answered(&url, |builder| builder, die).await;
}

#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn one_attempt_is_enough_over_tls_too() {
    use tenure_tests::live::tls;

    if !tls::available() {
        return;
    }
    let (certificates, addr) = (tls::Certificates::new(), tls::addr());
    let options = Options::new().tls(addr, &certificates, false);
    let _server = RedisServer::start(options).await;
    let proxy = Proxy::start(addr).await;
    let url = format!("rediss://{}/", proxy.addr());
    let dress = |builder: Builder| builder.root_certificates(certificates.read("authority.pem"));
    for fate in [Fate::ResetAtNextByte, Fate::Swallowed] {
        every_call_is_answered(&url, dress, || proxy.doom(fate)).await;
    }
}

/// Nobody asks. The link does, and the next caller is served at once.
#[tokio::test]
async fn a_connection_that_the_network_forgot_is_found_by_the_link() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = through_a_proxy().await;
    let asks_soon = patient().request_timeout(Duration::from_millis(500));
    let locks = connect(asks_soon, proxy.url()).await;
    taken(&locks, "k").await;
    proxy.doom(Fate::Swallowed);
    eventually("the link connects again", || async {
        proxy.accepted() == 2
    })
    .await;
    let asked = proxy.commands();
    assert!(asked.iter().any(|command| command.is("PING")), "{asked:?}");
    taken(&locks, "k").await;
    freed(&server, "k").await;
}

#[tokio::test]
async fn one_attempt_is_enough_over_a_connection_manager_too() {
    if !servers_available() {
        return;
    }
    let (_server, proxy) = through_a_proxy().await;
    let client = Client::open(proxy.url()).expect("a URL");
    let manager = ConnectionManager::new(client).await.expect("connected");
    let locks = connected(watchful().connection(manager)).await;
    let guard = locked(&locks, "held").await;
    for _ in 0..10 {
        proxy.doom(Fate::ResetAtNextByte);
        taken(&locks, "k").await;
        proxy.doom(Fate::ResetAtNextByte);
        let seen = within("an answer", locks.inspect("held")).await;
        assert_ne!(*seen.expect("seen").holder(), Holder::Free);
    }
    guard.release().await.expect("it was held");
}

#[tokio::test]
async fn a_users_connection_that_does_not_come_back_is_told_as_that() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let connection = server.connect().await;
    let locks = connected(patient().connection(connection)).await;
    serves(&locks, &server).await;
    let kill = ["CLIENT", "KILL", "USER", "default"];
    server.cmd::<()>(&kill).await;
    for _ in 0..18 {
        let error = within("an answer", locks.try_lock("k")).await;
        let error = error.expect_err("it does not come back");
        assert!(error.is_outage(), "{error}");
        let said = error.to_string();
        assert!(said.contains("ConnectionManager"), "{said}");
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgets_again_and_again_cost_no_attempt() {
    if !servers_available() {
        return;
    }
    let (server, proxy) = through_a_proxy().await;
    let locks = connect(patient(), proxy.url()).await;
    let unknown = "-NOSCRIPT No matching script. Please use EVAL.";
    let forgets = proxy.rewrite(every_second("EVALSHA", unknown));
    for _ in 0..20 {
        taken(&locks, "k").await;
        let seen = within("an answer", locks.inspect("k")).await;
        assert_eq!(*seen.expect("seen").holder(), Holder::Free);
    }
    assert!(forgets.count() >= 2, "{}", forgets.count());
    forgets.stop();

    let always = proxy.rewrite(|command| {
        let line = "-NOSCRIPT No matching script. Please use EVAL.";
        command
            .is("EVALSHA")
            .then(|| Rewrite::Refuse(line.to_owned()))
    });
    for _ in 0..20 {
        taken(&locks, "k").await;
    }
    always.stop();

    let other = connect(patient(), server.url()).await;
    for _ in 0..20 {
        server.cmd::<()>(&["SCRIPT", "FLUSH"]).await;
        taken(&other, "k").await;
    }
}
