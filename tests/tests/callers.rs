//! Clients and callers on runtimes of their own, in real time, against the embedded server: a
//! runtime that is blocked, one without a timer, and threads that race.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::thread::Thread;
use std::time::Duration;

use tenure_redis::{Builder, LockError, Locks, Loss, ReleaseError, RenewError};
use tenure_sim::server::{Listening, Server, SystemClock};
use tokio::runtime::Runtime;

const REQUEST_TIMEOUT: Duration = Duration::from_millis(50);

/// A server on a runtime of its own.
struct Redis {
    server: Server,
    listening: Listening,
    _runtime: Runtime,
}

impl Redis {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let server = Server::with_seed(SystemClock, 1);
        let listening = {
            let _inside = runtime.enter();
            server.listen_loopback().expect("a free port")
        };
        Self {
            server,
            listening,
            _runtime: runtime,
        }
    }

    fn builder(&self) -> Builder {
        Locks::builder()
            .node(format!("redis://{}", self.listening.address()))
            .request_timeout(REQUEST_TIMEOUT)
    }
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

/// Runs a future outside of tokio.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
        thread::park();
    }
}

/// The tasks of the client are on that runtime, so nobody answers. If a bound depended on them,
/// this test would hang.
#[test]
fn a_runtime_that_joins_a_thread_does_not_hang_the_locks_of_that_thread() {
    let redis = Redis::start();
    runtime().block_on(async {
        let locks = redis.builder().connect().await.expect("it serves");
        let guard = locks.lock("held").await.expect("it is free");
        let theirs = locks.clone();
        let other = thread::spawn(move || {
            runtime().block_on(async {
                let hasty = theirs.with(|options| options.give_up_after(REQUEST_TIMEOUT * 2));
                let hasty = hasty.expect("good options");
                let is_outage = |error: LockError| error.is_outage();
                assert!(hasty.lock("k").await.is_err_and(is_outage));
                assert!(theirs.try_lock("k").await.is_err_and(is_outage));
                let renewed = guard.renew().await;
                assert!(
                    matches!(renewed, Err(RenewError::Outage { .. })),
                    "{renewed:?}"
                );
                let released = guard.release().await;
                assert!(
                    matches!(released, Err(ReleaseError::Unknown { .. })),
                    "{released:?}"
                );
                // It has the longest bound, longer than the TTL.
                assert!(
                    theirs
                        .inspect("k")
                        .await
                        .is_err_and(|error| error.is_outage())
                );
            });
        });
        other.join().expect("it ends, as told");
        // What was not sent is sent now, or was given up.
        let guard = locks.lock("held").await.expect("it was released");
        guard.release().await.expect("it was held");
        let guard = locks.try_lock("k").await.expect("nobody has it");
        guard.release().await.expect("it was held");
    });
}

async fn take_keep_and_free(locks: &Locks) {
    let guard = locks.lock("k").await.expect("it is free");
    let hasty = locks.with(|options| options.give_up_after(Duration::ZERO));
    let refused = hasty.expect("good options").lock("k").await;
    assert!(refused.is_err_and(|error| error.is_contention()));
    let refused = locks.try_lock("k").await;
    assert!(refused.is_err_and(|error| error.is_contention()));
    locks.inspect("k").await.expect("it serves");
    guard.renew().await.expect("it serves");
    let ensured = guard.ensure(Duration::from_secs(9)).await;
    ensured.expect("it serves");
    assert_eq!(guard.run(async { 7 }).await, Ok(7));
    guard.release().await.expect("it was held");
}

/// tokio panics where a timer is made on such a runtime.
#[test]
fn on_a_runtime_without_a_timer_and_outside_of_one_everything_works() {
    let redis = Redis::start();
    let tokio_without_timer = |test: &dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(test());
    };
    let test = || -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        let builder = redis.builder().own_thread();
        Box::pin(async move {
            let locks = builder.connect().await.expect("it serves");
            take_keep_and_free(&locks).await;
            let guard = locks.lock("k").await.expect("it is free");
            let theirs = locks.clone();
            let closing = thread::spawn(move || block_on(theirs.close()));
            assert_eq!(guard.lost().await.loss, Loss::Closed);
            let lost = guard.run(std::future::pending::<()>()).await;
            assert!(lost.is_err_and(|lost| lost.loss == Loss::Closed));
            closing.join().expect("it closes");
            locks.close().await;
        })
    };
    tokio_without_timer(&test);
    block_on(test());
}

#[test]
fn a_release_that_races_the_close_of_its_client_says_what_became_of_it() {
    let redis = Redis::start();
    let (mut freed, mut closed) = (0, 0);
    for round in 0..300 {
        let key = format!("k{round}");
        let locks = block_on(redis.builder().own_thread().connect()).expect("it serves");
        let guard = block_on(locks.lock(&key)).expect("it is free");
        let both = std::sync::Barrier::new(2);
        let released = thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                block_on(locks.close());
            });
            both.wait();
            block_on(guard.release())
        });
        match released {
            Ok(()) => freed += 1,
            Err(ReleaseError::Lost(lost)) if lost.loss == Loss::Closed => closed += 1,
            Err(error) => panic!("round {round}: {error}"),
        }
        assert_eq!(redis.server.peek(&key), None, "round {round}");
    }
    println!("{freed} were freed by the release, {closed} by the close");
}
