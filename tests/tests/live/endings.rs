//! Every way in which a lock can end or never begin: dropped futures, guards and handles, a closed
//! client, a runtime that ends. Keys live ten minutes here, so what is freed was released.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tenure_redis::{Guard, LockError, Locks, Loss, ReleaseError, RenewError};
use tenure_tests::live::clients::{
    SHORT, brief, calls, connect, connections, freed, hasty, locked, patient, refused, renewed,
    request_on, requests, requests_on, value,
};
use tenure_tests::live::{
    Fault, Options, Proxy, RedisServer, eventually, servers_available, within,
};

/// Polls a future so many times, while everything else goes on in between, and drops it.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn an_acquire_dropped_after_any_number_of_polls_leaves_nothing_held() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let mut keys = Vec::new();
    let (mut polls, mut granted) = (0, 0);
    // Until the drop came after the grant a few times, however many polls a round trip takes.
    while granted < 5 {
        let key = format!("dropped:{polls}");
        if let Some(answer) = dropped_after(polls, locks.lock(&key)).await {
            drop(answer.expect("nobody else wants it"));
            granted += 1;
        }
        keys.push(key);
        polls += 1 + polls / 16;
    }
    assert!(keys.len() > 5, "at least the first was dropped before");
    for key in &keys {
        freed(&server, key).await;
    }
    // And nothing takes the key later.
    locks.close().await;
    for key in &keys {
        assert_eq!(value(&server, key).await, None, "{key}");
    }
}

/// Its request, or the reply to it.
#[tokio::test]
async fn an_acquire_dropped_while_its_messages_travel_leaves_nothing_held() {
    if !servers_available() {
        return;
    }
    for fault in [Fault::HoldRequest, Fault::HoldReply] {
        let server = RedisServer::start(Options::new()).await;
        let proxy = Proxy::start(server.addr()).await;
        let locks = connect(patient(), proxy.url()).await;
        let before = requests(&server).await;
        let travelling = proxy.on(request_on("k"), fault.clone());
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { locked(&locks, "k").await }
        });
        travelling.hit().await;
        waiting.abort();
        assert!(waiting.await.expect_err("aborted").is_cancelled());
        travelling.release();
        eventually("the acquire and its release are applied", || async {
            requests(&server).await >= before + 2
        })
        .await;
        freed(&server, "k").await;
        locks.close().await;
        assert_eq!(value(&server, "k").await, None, "{fault:?}");
    }
}

#[tokio::test]
async fn an_acquire_that_is_dropped_before_there_is_a_connection_sends_nothing() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    proxy.partition();
    let locks = patient().node(proxy.url()).connect_lazy().expect("built");
    assert!(dropped_after(3, locks.lock("k")).await.is_none());
    proxy.heal();
    locked(&locks, "other").await.release().await.expect("held");
    assert_eq!(requests_on(&proxy, "other").len(), 2);
    assert!(requests_on(&proxy, "k").is_empty());
    assert_eq!(value(&server, "k").await, None);
}

#[tokio::test]
async fn a_waiter_that_is_dropped_disturbs_neither_holder_nor_next_waiter() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let held = locked(&locks, "k").await;
    let token = value(&server, "k").await;
    let waiter = tokio::spawn({
        let locks = locks.clone();
        async move { locked(&locks, "k").await }
    });
    let before = calls(&server, "evalsha").await;
    eventually("the waiter asks", || async {
        calls(&server, "evalsha").await > before
    })
    .await;
    waiter.abort();
    renewed(&held, 2).await;
    assert_eq!(value(&server, "k").await, token);
    held.release().await.expect("it was held all the time");
    locked(&locks, "k").await.release().await.expect("held");
}

#[tokio::test]
async fn a_guard_that_is_dropped_frees_its_key() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let guards = (0..100).map(|n| {
        let locks = locks.clone();
        async move { locked(&locks, format!("k:{n}")).await }
    });
    drop(futures_util::future::join_all(guards).await);
    for n in 0..100 {
        freed(&server, &format!("k:{n}")).await;
    }
}

#[tokio::test]
async fn a_release_that_is_not_waited_for_frees_the_key_all_the_same() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    for polls in 0..4 {
        let guard = locked(&locks, "k").await;
        let _ = dropped_after(polls, guard.release()).await;
        freed(&server, "k").await;
    }
}

/// It is renewed meanwhile.
#[tokio::test]
async fn a_guard_outlives_all_handles_and_the_connection_ends_with_it() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let guard = locked(&locks, "k").await;
    drop(locks);
    renewed(&guard, 2).await;
    drop(guard);
    freed(&server, "k").await;
    eventually("the connection is closed", || async {
        connections(&server).await == 0
    })
    .await;
}

#[tokio::test]
async fn the_last_handle_that_is_dropped_ends_the_connection() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let second = locks.clone();
    drop(locks);
    locked(&second, "k").await.release().await.expect("held");
    drop(second);
    eventually("the connection is closed", || async {
        connections(&server).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_closed_client_frees_its_keys_tells_its_guards_and_takes_no_more() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let other = connect(patient(), server.url()).await;
    let _theirs = locked(&other, "wanted").await;
    let guard = locked(&locks, "k").await;
    let waiting = tokio::spawn({
        let locks = locks.clone();
        async move { locks.lock("wanted").await }
    });
    let before = calls(&server, "evalsha").await;
    eventually("the waiter asks", || async {
        calls(&server, "evalsha").await > before
    })
    .await;

    within("the client closes", locks.close()).await;
    assert_eq!(value(&server, "k").await, None, "freed when it returns");
    assert!(!guard.is_valid());
    assert_eq!(within("told", guard.lost()).await.loss, Loss::Closed);
    assert!(matches!(
        guard.release().await,
        Err(ReleaseError::Lost(lost)) if lost.loss == Loss::Closed
    ));
    let waited = within("the waiter ends", waiting).await.expect("no panic");
    assert!(
        matches!(waited, Err(LockError::Closed { .. })),
        "{waited:?}"
    );
    let error = locks.try_lock("k").await.expect_err("closed");
    assert!(matches!(error, LockError::Closed { .. }), "{error}");
    assert!(
        error.is_misuse() && error.to_string().contains("closed"),
        "{error}"
    );
    within("again", locks.close()).await;
    refused(&other, "wanted").await;
}

#[tokio::test]
async fn a_client_closes_although_its_server_stands_still() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(hasty(), server.url()).await;
    let guard = locked(&locks, "k").await;
    server.pause();
    within("the client closes", locks.close()).await;
    assert_eq!(within("told", guard.lost()).await.loss, Loss::Closed);
    server.resume();
}

/// Builds something on a runtime of its own, which has ended when this returns.
fn on_a_runtime_that_ends<T, F>(build: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let thread = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(build())
    });
    thread.join().expect("it ends well")
}

/// Its keys end with their TTL.
#[tokio::test]
async fn a_client_whose_runtime_ended_says_so_at_once() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let url = server.url();
    let (locks, guard): (Locks, Guard) = on_a_runtime_that_ends(move || async move {
        let locks = connect(brief(), url).await;
        let guard = locked(&locks, "k").await;
        (locks, guard)
    });
    // What is held stays valid for the rest of its time: nobody else can be granted it.
    assert!(guard.remaining() <= SHORT);
    let error = within("at once", locks.try_lock("other")).await;
    let error = error.expect_err("nobody is there to ask");
    assert!(matches!(error, LockError::RuntimeEnded { .. }), "{error}");
    assert!(
        error.is_misuse() && error.to_string().contains("own_thread"),
        "{error}"
    );
    let error = within("at once", locks.lock("other")).await;
    assert!(matches!(error, Err(LockError::RuntimeEnded { .. })));
    match within("at once", guard.renew()).await {
        Err(RenewError::RuntimeEnded { .. } | RenewError::Lost(_)) => {}
        other => panic!("{other:?}"),
    }
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Expired);
    assert!(within("at once", guard.release()).await.is_err());
    within("at once", locks.close()).await;
    freed(&server, "k").await;
}

#[tokio::test]
async fn a_waiter_whose_clients_runtime_ends_is_told_at_once() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let holder = connect(patient(), server.url()).await;
    let _held = locked(&holder, "k").await;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (give, given) = tokio::sync::oneshot::channel();
    let url = server.url();
    let thread = std::thread::spawn(move || {
        on_a_runtime_that_ends(move || async move {
            let locks = connect(patient(), url).await;
            assert!(give.send(locks).is_ok(), "the test waits for it");
            let _ = ended.await;
        });
    });
    let locks: Locks = within("built", given).await.expect("sent");
    let before = calls(&server, "evalsha").await;
    let waiting = tokio::spawn(async move { locks.lock("k").await });
    eventually("the waiter asks", || async {
        calls(&server, "evalsha").await > before
    })
    .await;
    end.send(()).expect("the runtime waits for it");
    let answer = within("told", waiting).await.expect("no panic");
    assert!(
        matches!(answer, Err(LockError::RuntimeEnded { .. })),
        "{answer:?}"
    );
    thread.join().expect("it ends well");
}

#[tokio::test]
async fn a_client_with_a_thread_of_its_own_outlives_the_runtime_that_built_it() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let url = server.url();
    let (locks, guard) = on_a_runtime_that_ends(move || async move {
        let locks = connect(patient().own_thread(), url).await;
        let guard = locked(&locks, "k").await;
        (locks, guard)
    });
    renewed(&guard, 2).await;
    guard.release().await.expect("it was held all the time");
    locked(&locks, "k").await.release().await.expect("held");
    drop(locks);
    eventually("the connection is closed", || async {
        connections(&server).await == 0
    })
    .await;
}

#[test]
fn a_client_with_a_thread_of_its_own_needs_no_tokio_runtime_at_all() {
    if !servers_available() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime for the harness");
    let server = runtime.block_on(RedisServer::start(Options::new()));
    let url = server.url();
    let (fence, lost) = std::thread::spawn(move || {
        futures_executor(async move {
            let locks = patient()
                .own_thread()
                .node(url)
                .connect()
                .await
                .expect("it connects");
            let guard = locks.lock("k").await.expect("it is free");
            guard.renew().await.expect("it is held");
            let fence = guard.fence();
            locks.close().await;
            (fence, guard.lost().await.loss)
        })
    })
    .join()
    .expect("no panic");
    assert!(fence > 0);
    assert_eq!(lost, Loss::Closed);
    runtime.block_on(freed(&server, "k"));
}

/// The simplest executor there is: it parks its thread.
fn futures_executor<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_client_with_neither_runtime_nor_own_thread_is_not_built() {
    let error = Locks::builder()
        .node("redis://127.0.0.1:1")
        .connect_lazy()
        .expect_err("nobody would run it");
    assert!(error.is_misuse(), "{error}");
    assert!(error.to_string().contains("own_thread"), "{error}");
}
