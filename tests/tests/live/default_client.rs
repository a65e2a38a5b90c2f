//! The default client of a program. It is set once for the whole process, so this is one test, and
//! no other test of this binary uses the default.

use tenure_redis::{Guard, LockError, default_locks, set_default};
use tenure_tests::live::clients::{connected, patient, renewed, value};
use tenure_tests::live::{Options, RedisServer, servers_available, within};

/// Runs this on a new runtime, as every test of a suite does.
fn on_a_runtime_of_its_own<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// It has a thread of its own. While none is set, each call says what to do.
#[test]
fn the_default_client_serves_several_runtimes() {
    if !servers_available() {
        return;
    }
    let harness = tokio::runtime::Runtime::new().expect("a runtime for the harness");
    let server = harness.block_on(RedisServer::start(Options::new()));

    on_a_runtime_of_its_own(async {
        assert!(default_locks().is_none());
        for error in [
            tenure_redis::lock("k").await,
            tenure_redis::try_lock("k").await,
        ] {
            let error = error.expect_err("there is no default");
            assert!(matches!(error, LockError::NoDefault { .. }), "{error}");
            assert!(error.is_misuse(), "{error}");
            assert!(error.to_string().contains("set_default"), "{error}");
        }
    });
    on_a_runtime_of_its_own(async {
        let locks = connected(patient().own_thread().node(server.url())).await;
        set_default(locks.clone()).expect("the first");
        let again = set_default(locks).expect_err("the second");
        assert!(again.to_string().contains("once"), "{again}");
    });

    let mut fence = 0;
    let mut kept: Option<Guard> = None;
    for round in 0..3 {
        kept = on_a_runtime_of_its_own(async {
            if let Some(kept) = kept.take() {
                renewed(&kept, 1).await;
                kept.release().await.expect("held across runtimes");
            }
            let guard = within("granted", tenure_redis::lock("k"))
                .await
                .expect("free");
            assert!(guard.fence() > fence, "round {round}");
            fence = guard.fence();
            let refused = within("an answer", tenure_redis::try_lock("k")).await;
            assert!(refused.expect_err("held").is_contention());
            Some(guard)
        });
    }
    drop(kept);
    on_a_runtime_of_its_own(async {
        default_locks().expect("it was set").close().await;
        let closed = tenure_redis::try_lock("k").await.expect_err("closed");
        assert!(matches!(closed, LockError::Closed { .. }), "{closed}");
    });
    assert_eq!(harness.block_on(value(&server, "k")), None);
}
