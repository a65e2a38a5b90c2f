//! The caller's mistakes: each is told as what it is and says what to do, before anything is sent
//! where that can be known, and without a password or a token in any message.

use std::fmt::{Debug, Display};
use std::time::Duration;

use tenure_redis::{ConfigError, ConnectError, KeyError, LockError, Locks, OptionsError};
use tenure_tests::live::clients::{calls, connect, connected, locked, patient, refused, value};
use tenure_tests::live::{Options, Proxy, RedisServer, servers_available, within};

const PASSWORD: &str = "hunter2secret";

/// The text of an error. Neither `Debug` nor `Display` shows the password.
fn discreet(error: &(impl Debug + Display)) -> String {
    let text = format!("{error}\n{error:?}");
    assert!(!text.contains(PASSWORD), "{text}");
    text
}

#[tokio::test]
async fn a_wrong_password_is_quoted_from_the_server_and_not_shown() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new().password("right")).await;
    let url = server.url_with("default", PASSWORD, 0);
    let error = within("an answer", patient().node(&url).connect()).await;
    let error = error.expect_err("the password is wrong");
    assert!(error.is_misuse() && !error.is_outage(), "{error}");
    assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
    let text = discreet(&error);
    assert!(
        text.contains("WRONGPASS") && text.contains("password"),
        "{text}"
    );

    let lazy = patient().node(&url).connect_lazy().expect("built");
    for answer in [
        within("an answer", lazy.try_lock("k")).await,
        within("waiting cannot mend it", lazy.lock("k")).await,
    ] {
        let error = answer.expect_err("the password is wrong");
        assert!(matches!(error, LockError::Rejected { .. }), "{error}");
        assert!(error.is_misuse() && !error.is_outage(), "{error}");
        assert!(discreet(&error).contains("WRONGPASS"), "{error}");
    }
    let error = within("an answer", lazy.inspect("k")).await;
    discreet(&error.expect_err("nor looking"));
    discreet(&format!("{lazy:?} {:?}", patient().node(&url)));
    assert_eq!(calls(&server, "evalsha").await, 0);
}

#[tokio::test]
async fn no_password_where_one_is_demanded_is_quoted_from_the_server() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new().password(PASSWORD)).await;
    let url = format!("redis://{}/", server.addr());
    let error = within("an answer", patient().node(url).connect()).await;
    let error = error.expect_err("a password is demanded");
    assert!(error.is_misuse(), "{error}");
    assert!(discreet(&error).contains("NOAUTH"), "{error}");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_an_outage_that_names_it() {
    let proxy = Proxy::start(([127, 0, 0, 1], 9).into()).await;
    proxy.refuse().await;
    // A label of a name has at most 63 letters, so no resolver has to be asked.
    let unknown = format!("redis://{}:6379/", "x".repeat(70));
    for (url, named) in [
        (proxy.url(), proxy.addr().to_string()),
        (unknown, "xxx".to_owned()),
    ] {
        let error = within("an answer", patient().node(&url).connect()).await;
        let error = error.expect_err("nobody is there");
        assert!(error.is_outage() && !error.is_misuse(), "{error}");
        assert!(error.to_string().contains(&named), "{error}");
        let lazy = patient().node(&url).connect_lazy().expect("built");
        let error = within("an answer", lazy.try_lock("k")).await;
        let error = error.expect_err("nobody is there");
        assert!(error.is_outage() && !error.is_misuse(), "{error}");
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[test]
fn what_is_not_an_address_is_refused_without_being_repeated() {
    for url in [
        String::new(),
        format!("http://user:{PASSWORD}@localhost"),
        format!("redis://user:{PASSWORD}@localhost:notaport"),
        format!("redis://user:{PASSWORD}@localhost/notadatabase"),
        #[cfg(not(feature = "tls-rustls"))]
        format!("rediss://user:{PASSWORD}@localhost"),
    ] {
        let error = Locks::builder().node(&url).own_thread().connect_lazy();
        let error = error.expect_err("not an address");
        assert!(error.is_misuse(), "{error}");
        assert!(discreet(&error).contains("redis"), "{error}");
    }
    let error = Locks::builder().own_thread().connect_lazy();
    assert_eq!(error.expect_err("no node"), ConnectError::NoNodes);
}

/// The error has the value.
#[tokio::test]
async fn a_ttl_that_cannot_work_is_refused_before_anything_is_sent() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    for (ttl, shown) in [
        (Duration::ZERO, "0ns"),
        (Duration::from_micros(999), "999µs"),
        (year * 10, "315360000s"),
    ] {
        let error = Locks::builder().node(proxy.url()).ttl(ttl).connect().await;
        let error = error.expect_err("it cannot work");
        assert!(
            matches!(
                error,
                ConnectError::Config(
                    ConfigError::TtlTooShort { .. } | ConfigError::TtlTooLong { .. }
                )
            ),
            "{error}"
        );
        assert!(
            error.is_misuse() && error.to_string().contains(shown),
            "{error}"
        );
    }
    assert_eq!(proxy.accepted(), 0, "nobody was even connected to");

    let locks = connect(patient(), proxy.url()).await;
    let before = proxy.count("EVALSHA");
    let error = locks.with(|options| options.ttl(Duration::from_secs(601)));
    let error = error.expect_err("over the client's max TTL");
    assert!(
        matches!(error, OptionsError::Config(ConfigError::TtlAboveMax { .. })),
        "{error}"
    );
    let error = locks.with(|options| options.label("a\nb"));
    let error = error.expect_err("a label is one line");
    assert!(matches!(error, OptionsError::Label(_)), "{error}");
    let error = locks.with(|options| options.renew_after(Duration::from_secs(600)));
    assert!(error.is_err(), "after validity has ended");
    assert_eq!(proxy.count("EVALSHA"), before);
}

#[tokio::test]
async fn a_key_that_cannot_be_locked_is_refused_before_anything_is_sent() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(patient(), proxy.url()).await;
    let before = (proxy.commands().len(), calls(&server, "evalsha").await);
    let long = vec![b'k'; 512 * 1024];
    for (key, why) in [
        (&b""[..], KeyError::Empty),
        (&long, KeyError::TooLong(long.len())),
        (b"orders:tenure:fence", KeyError::Reserved),
        (b"orders:tenure:fence:{orders}", KeyError::Reserved),
        (b"orders:tenure:fence:17", KeyError::Reserved),
        (b"tenure:node", KeyError::Reserved),
        (b"tenure:fence", KeyError::Reserved),
        (b"tenure:fence:{17}", KeyError::Reserved),
    ] {
        for answer in [locks.lock(key).await, locks.try_lock(key).await] {
            let error = answer.expect_err("it cannot be locked");
            let LockError::Key { error: told, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(told, &why);
            assert!(error.is_misuse() && !error.is_outage(), "{error}");
            assert!(
                error.to_string().len() < 500,
                "the key is not repeated in full"
            );
        }
        let error = locks.inspect(key).await.expect_err("nor looked at");
        assert!(error.is_misuse(), "{error}");
    }
    let after = (proxy.commands().len(), calls(&server, "evalsha").await);
    assert_eq!(after, before);
}

#[tokio::test]
async fn any_other_bytes_are_a_key() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let long = vec![b'k'; 64 * 1024];
    let every: Vec<u8> = (0..=255).collect();
    for key in [
        &b"\0"[..],
        b"\xff\xfe\r\n$-1\r\n",
        b" ",
        b"a}b",
        b"{a}b}",
        b"{}",
        b"{",
        b"}{",
        b"{user}:1",
        b"tenure:nodes",
        b"tenure:fences",
        &every,
        &long,
    ] {
        let guard = locked(&locks, key).await;
        assert_eq!(guard.key(), key);
        guard.renew().await.expect("it is held");
        let held: Option<Vec<u8>> = redis::cmd("GET")
            .arg(key)
            .query_async(&mut server.connect().await)
            .await
            .expect("GET");
        assert!(held.is_some_and(|token| token.len() >= 34), "{key:?}");
        refused(&locks, key).await;
        let fence = guard.fence();
        guard.release().await.expect("it was held");
        let next = locked(&locks, key).await;
        assert!(next.fence() > fence);
        next.release().await.expect("it was held");
    }
    let keys: Vec<Vec<u8>> = server.cmd(&["KEYS", "*"]).await;
    for key in keys {
        let left: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut server.connect().await)
            .await
            .expect("PTTL");
        assert!(left > 0, "without an expiry: {}", key.escape_ascii());
    }
}

#[tokio::test]
async fn a_name_that_holds_something_else_is_misuse_that_names_it() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    server.cmd::<()>(&["RPUSH", "typed", "theirs"]).await;
    server.cmd::<()>(&["SET", "tenure:fence", "twelve"]).await;
    for (key, name, holds) in [
        ("typed", "typed", "a list"),
        ("words", "tenure:fence", "a string"),
    ] {
        for answer in [
            within("an answer", locks.try_lock(key)).await,
            within("waiting cannot mend it", locks.lock(key)).await,
        ] {
            let error = answer.expect_err("it is not ours to take");
            assert!(
                matches!(error, LockError::WrongType { .. }),
                "{key}: {error}"
            );
            assert!(error.is_misuse() && !error.is_contention(), "{error}");
            let text = error.to_string();
            for part in [name, holds, "not touched"] {
                assert!(text.contains(part), "{text}");
            }
        }
    }
    assert_eq!(server.cmd::<i64>(&["LLEN", "typed"]).await, 1);
    assert_eq!(value(&server, "words").await, None, "nor half of it taken");
    let stream = value(&server, "tenure:fence").await;
    assert_eq!(stream.as_deref(), Some("twelve"));
}

#[tokio::test]
async fn a_client_at_its_capacity_says_so_and_sends_nothing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connected(patient().node(server.url()).max_leases(2)).await;
    let first = locked(&locks, "k:1").await;
    let _second = locked(&locks, "k:2").await;
    let error = locks.try_lock("k:3").await.expect_err("two are two");
    assert!(matches!(error, LockError::AtCapacity { .. }), "{error}");
    assert!(!error.is_outage() && !error.is_contention(), "{error}");
    assert_eq!(value(&server, "k:3").await, None);
    first.release().await.expect("it was held");
    locked(&locks, "k:3").await.release().await.expect("held");
}
