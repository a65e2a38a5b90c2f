//! Credentials that change while locks are held: each new connection logs in with what is given
//! then.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_redis::{Builder, Credentials, Locks};
use tenure_tests::live::clients::{connected, locked, renewed};
use tenure_tests::live::{Options, RedisServer, eventually, servers_available, within};

/// What a token service gives, and how often it was asked.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<(String, u32)>>);

impl Service {
    fn set(&self, password: &str) {
        password.clone_into(&mut self.0.lock().expect("no panic").0);
    }

    fn asked(&self) -> u32 {
        self.0.lock().expect("no panic").1
    }

    fn give(&self) -> Credentials {
        let mut state = self.0.lock().expect("no panic");
        state.1 += 1;
        Credentials::new("app", &*state.0)
    }

    /// A client of this server that asks it.
    fn client(&self, server: &RedisServer) -> Builder {
        let service = self.clone();
        Locks::builder()
            .node(format!("redis://{}", server.addr()))
            .credentials(move || ready(Ok::<_, Infallible>(service.give())))
            .ttl(Duration::from_secs(4))
    }
}

/// The user may log in with this password only, and its connections end.
async fn change(server: &RedisServer, password: &str) {
    let password = format!(">{password}");
    server
        .cmd::<()>(&[
            "ACL",
            "SETUSER",
            "app",
            "on",
            "resetpass",
            &password,
            "~*",
            "&*",
            "+@all",
        ])
        .await;
    server.cmd::<i64>(&["CLIENT", "KILL", "USER", "app"]).await;
}

#[tokio::test]
async fn a_password_that_changes_again_and_again_costs_no_lock() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let service = Service::default();
    service.set("word-0");
    change(&server, "word-0").await;
    let locks = connected(service.client(&server)).await;
    let guard = locked(&locks, "k").await;
    for round in 1..5 {
        let before = service.asked();
        let password = format!("word-{round}");
        service.set(&password);
        change(&server, &password).await;
        renewed(&guard, 1).await;
        assert!(service.asked() > before, "each connection asks");
    }
    within("an answer", guard.release())
        .await
        .expect("it was held");
}

#[tokio::test]
async fn a_token_that_comes_late_is_waited_for() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let service = Service::default();
    service.set("first");
    change(&server, "first").await;
    let locks = connected(service.client(&server)).await;
    let guard = locked(&locks, "k").await;
    change(&server, "second").await;
    eventually("the old one is refused", || async {
        let error = locks.try_lock("other").await.expect_err("nobody serves it");
        error.to_string().contains("WRONGPASS")
    })
    .await;
    service.set("second");
    renewed(&guard, 1).await;
}

#[tokio::test]
async fn a_service_that_fails_is_quoted_and_asked_again() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    change(&server, "word").await;
    let failing = Arc::new(Mutex::new(true));
    let state = Arc::clone(&failing);
    let locks = Locks::builder()
        .node(format!("redis://{}", server.addr()))
        .credentials(move || {
            ready(match *state.lock().expect("no panic") {
                true => Err("the vault is sealed"),
                false => Ok(Credentials::new("app", "word")),
            })
        });
    let locks = locks.connect_lazy().expect("it can work");
    eventually("the error is quoted", || async {
        let error = locks.try_lock("k").await.expect_err("there is no node");
        assert!(error.is_outage(), "{error}");
        error.to_string().contains("the vault is sealed")
    })
    .await;
    *failing.lock().expect("no panic") = false;
    locked(&locks, "k")
        .await
        .release()
        .await
        .expect("it was held");
}
