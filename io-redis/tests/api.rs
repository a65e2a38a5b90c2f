//! What the types promise to the compiler: handles and guards move between threads, and so do the
//! futures of every operation. And the errors that come before anything is sent.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "tests")]

use tenure_redis::seams::Seams;
use tenure_redis::{
    AddressError, Builder, ConnectError, Guard, InspectError, Inspection, LockError, LockOptions,
    Locks, Lost, ReleaseError, RenewError,
};

fn send<T: Send>(_: &T) {}
fn send_sync<T: Send + Sync + 'static>() {}
fn error<T: std::error::Error + Clone + PartialEq + Send + Sync + 'static>() {}

#[test]
fn handles_and_guards_are_send_and_sync() {
    send_sync::<Locks>();
    send_sync::<Guard>();
    send_sync::<LockOptions>();
    send_sync::<Inspection>();
    send_sync::<Seams>();
}

#[test]
fn errors_are_errors_that_can_be_kept_compared_and_sent() {
    error::<ConnectError>();
    error::<LockError>();
    error::<Lost>();
    error::<RenewError>();
    error::<ReleaseError>();
    error::<InspectError>();
}

#[test]
fn the_futures_of_every_operation_are_send() {
    fn of_a_handle(locks: &Locks) {
        send(&locks.lock("k"));
        send(&locks.try_lock(b"k"));
        send(&locks.inspect("k".to_owned()));
        send(&locks.close());
        send(&tenure_redis::lock("k"));
        send(&tenure_redis::try_lock("k"));
    }
    fn of_a_guard(guard: Guard) {
        send(&guard.lost());
        send(&guard.renew());
        send(&guard.ensure(std::time::Duration::ZERO));
        send(&guard.run(async {}));
        send(&guard.release());
    }
    fn of_a_builder(builder: Builder) {
        send(&builder.connect());
    }
    // Compiling them is the test.
    let _ = (
        of_a_handle as fn(&Locks),
        of_a_guard as fn(Guard),
        of_a_builder as fn(Builder),
    );
}

#[tokio::test]
async fn bad_input_is_told_before_anything_is_sent() {
    // Nothing listens there, and nothing is sent there.
    let locks = Locks::builder()
        .node("redis://127.0.0.1:1")
        .connect_lazy()
        .expect("builds");
    for key in [
        b"".to_vec(),
        vec![b'k'; 512 * 1024],
        b"orders:tenure:fence".to_vec(),
    ] {
        let error = locks.try_lock(&key).await.expect_err("refused");
        assert!(error.is_misuse(), "{error}");
        assert!(matches!(error, LockError::Key { .. }), "{error}");
    }
    for (ttl, says) in [
        (std::time::Duration::ZERO, "too short"),
        (std::time::Duration::from_micros(999), "too short"),
        (std::time::Duration::from_secs(10 * 365 * 24 * 3600), "over"),
    ] {
        let error = locks.with(|options| options.ttl(ttl)).expect_err("refused");
        assert!(error.to_string().contains(says), "{error}");
        let error = Locks::builder()
            .node("redis://127.0.0.1:1")
            .ttl(ttl)
            .connect_lazy();
        assert!(error.expect_err("refused").is_misuse());
    }
    let error = locks
        .with(|options| options.label("a\tb"))
        .expect_err("refused");
    assert!(error.to_string().contains("at byte 1"), "{error}");
}

#[test]
fn without_a_runtime_the_error_says_what_to_do() {
    let error = Locks::builder()
        .node("redis://127.0.0.1:1")
        .connect_lazy()
        .expect_err("no runtime");
    assert_eq!(error, ConnectError::NoRuntime);
    assert!(error.to_string().contains("own_thread"), "{error}");
}

#[test]
fn several_connections_of_ones_own_demand_a_decision_about_quarantine() {
    // That there is no node is told first.
    let error = Locks::builder().connect_lazy().expect_err("no node");
    assert_eq!(error, ConnectError::NoNodes);
}

#[test]
fn a_password_shows_in_no_error_and_no_debug() {
    let url = "redis://user:hunter2@127.0.0.1:1/0";
    let builder = Locks::builder().node(url).own_thread();
    assert!(!format!("{builder:?}").contains("hunter2"));
    let locks = builder.connect_lazy().expect("builds");
    assert!(!format!("{locks:?}").contains("hunter2"));
    let error = Locks::builder()
        .node("nonsense://hunter2@")
        .connect_lazy()
        .expect_err("refused");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}

#[test]
fn sentinels_that_cannot_be_asked_are_named_with_what_to_do() {
    let cases: [(&str, &[&str], AddressError); 4] = [
        ("orders", &["redis://s"], AddressError::NotAGroup),
        (
            "redis://u:hunter2@orders:6379",
            &["redis://s"],
            AddressError::NotAGroup,
        ),
        (
            "redis://orders",
            &["redis://:hunter2@s/1"],
            AddressError::NotASentinel,
        ),
        ("redis://u:hunter2@orders", &[], AddressError::NoSentinels),
    ];
    for (primary, sentinels, why) in cases {
        let builder = Locks::builder().node("redis://h").own_thread();
        let built = builder.sentinel(primary, sentinels).connect_lazy();
        let error = built.expect_err(primary);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            matches!(&error, ConnectError::Address { position: 2, error, .. } if *error == why),
            "{primary}: {error}"
        );
    }
    let builder = Locks::builder().sentinel("redis://u:hunter2@orders", ["redis://:hunter2@s"]);
    assert!(!format!("{builder:?}").contains("hunter2"));
    let locks = builder.own_thread().connect_lazy().expect("it can be");
    assert!(!format!("{locks:?}").contains("hunter2"));
}

/// It ends before the tasks of the client ran at all.
#[test]
fn a_runtime_that_ends_early_is_told_and_nothing_hangs() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let built_on = runtime();
    let locks = {
        let _inside = built_on.enter();
        Locks::builder()
            .node("redis://127.0.0.1:1")
            .connect_lazy()
            .expect("builds")
    };
    drop(built_on);
    runtime().block_on(async {
        let error = locks.lock("k").await.expect_err("nobody is there to ask");
        assert!(matches!(error, LockError::RuntimeEnded { .. }), "{error}");
        assert!(
            locks
                .inspect("k")
                .await
                .expect_err("nobody is there to ask")
                .is_misuse()
        );
        locks.close().await;
    });
}

/// Without quarantine the nodes keep no marker, so nothing would compare the name.
#[test]
fn a_node_set_without_quarantine_is_refused() {
    let one = Locks::builder()
        .node("redis://127.0.0.1:1")
        .node_set("blue")
        .own_thread();
    assert_eq!(
        one.connect_lazy().expect_err("refused"),
        ConnectError::NodeSetUnchecked
    );
}

#[test]
fn a_name_of_a_node_set_has_a_bound_and_a_bad_address_is_named() {
    let named = |len| {
        let nodes = ["redis://127.0.0.1:1", "redis://127.0.0.1:2"];
        let builder = Locks::builder().nodes(nodes).own_thread();
        builder.node_set("x".repeat(len)).connect_lazy()
    };
    named(256).expect("it fits");
    let error = named(257).expect_err("it is too long");
    assert_eq!(error, ConnectError::NodeSetTooLong(257));
    assert!(error.is_misuse() && error.to_string().contains("256"));

    let nodes = ["redis://a", "redis://app:hunter2@b:x", "redis://c"];
    let error = Locks::builder().nodes(nodes).own_thread().connect_lazy();
    let error = error.expect_err("the second has no port");
    let text = error.to_string();
    assert!(text.starts_with("node 2, redis://***@b:***: "), "{text}");
    assert!(error.is_misuse() && !format!("{error:?}").contains("hunter2"));
}

/// What the client needs of TLS is its own. It installs nothing into the process, neither when it
/// is built nor when it connects.
#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn a_program_may_install_its_cryptography_after_it_has_connected() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let _locks = Locks::builder()
        .node(format!("rediss://127.0.0.1:{port}"))
        .connect_lazy()
        .expect("an address");
    // It closes each connection at once. When the second comes, the first handshake is over.
    for _ in 0..2 {
        listener.accept().await.expect("the client dials");
    }
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().expect("none is installed");
}

/// A waker is code of the program: an executor may drop a future where it wakes another.
#[test]
fn a_waker_that_drops_another_lock_does_not_stop_the_client() {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex, mpsc};
    use std::task::{Context, Wake, Waker};

    type Lock = Pin<Box<dyn Future<Output = Result<Guard, LockError>> + Send>>;

    struct DropsIt(Mutex<Option<Lock>>);

    impl Wake for DropsIt {
        fn wake(self: Arc<Self>) {
            let dropped = self.0.lock().expect("no panic").take();
            drop(dropped);
        }
    }

    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let locks = Locks::builder()
            .node("redis://127.0.0.1:1")
            .own_thread()
            .connect_lazy()
            .expect("builds");
        let lock = |key: &'static str| {
            let locks = locks.clone();
            Box::pin(async move { locks.lock(key).await }) as Lock
        };
        let (mut first, mut second) = (lock("a"), lock("b"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        let drops = Arc::new(DropsIt(Mutex::new(Some(second))));
        let waker = Waker::from(Arc::clone(&drops));
        let mut cx = Context::from_waker(&waker);
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let mut close = Box::pin(locks.close());
        let _ = close.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(drops.0.lock().expect("no panic").is_none());
        let _ = done.send(());
    });
    let ended = ended.recv_timeout(std::time::Duration::from_secs(30));
    assert_eq!(ended, Ok(()), "the client stands still");
}
