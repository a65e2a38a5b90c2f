//! Runtimes that cannot serve a client, and connections that panic: everybody who waits is told in
//! words that fit, and no task stays behind.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "tests")]

use std::sync::mpsc;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};
use tenure_redis::{Builder, ConnectError, InspectError, LockError, Locks, Quarantine, RuntimeEnd};
use tokio::runtime::Runtime;

/// Runs it on a thread of its own, which must not stand still: a runtime without timers bounds
/// nothing.
fn in_time(what: &'static str, run: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    let ended = ended.recv_timeout(Duration::from_secs(60));
    assert_ne!(
        ended,
        Err(mpsc::RecvTimeoutError::Timeout),
        "{what}: it hangs"
    );
    thread.join().unwrap_or_else(|_| panic!("{what}: panicked"));
}

/// A runtime of one thread with or without timers and I/O.
fn runtime(timers: bool, io: bool) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if timers {
        builder.enable_time();
    }
    if io {
        builder.enable_io();
    }
    builder.build().expect("a runtime")
}

fn nobody() -> Builder {
    Locks::builder().node("redis://127.0.0.1:1")
}

/// The message of the panic that ended the client.
fn message(why: &RuntimeEnd) -> &str {
    match why {
        RuntimeEnd::Panicked { message } => message,
        other => panic!("{other:?}"),
    }
}

/// Waits until the tasks of the client have ended, without a timer.
async fn no_task_is_left(what: &str) {
    let metrics = tokio::runtime::Handle::current().metrics();
    for _ in 0..10_000 {
        if metrics.num_alive_tasks() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what}: {} tasks are left", metrics.num_alive_tasks());
}

/// Each operation of a client that cannot work says why, at once.
async fn is_told(what: &'static str, builder: impl Fn() -> Builder, words: &'static str) {
    let error = builder().connect().await.expect_err("it cannot work");
    assert!(error.is_misuse(), "{what}: {error}");
    assert!(error.to_string().contains(words), "{what}: {error}");
    let ConnectError::RuntimeEnded { why } = &error else {
        panic!("{what}: {error:?}");
    };
    assert!(message(why).contains(words), "{what}: {why:?}");
    no_task_is_left(what).await;

    let locks = builder().connect_lazy().expect("nothing ran yet");
    for _ in 0..2 {
        let error = locks.lock("k").await.expect_err("it cannot work");
        assert!(error.is_misuse(), "{what}: {error}");
        let LockError::RuntimeEnded { why, .. } = &error else {
            panic!("{what}: {error:?}");
        };
        assert!(message(why).contains(words), "{what}: {why:?}");
    }
    let error = locks.inspect("k").await.expect_err("it cannot work");
    assert!(
        matches!(error, InspectError::RuntimeEnded { .. }),
        "{what}: {error:?}"
    );
    // While the handle still lives.
    no_task_is_left(what).await;
    locks.close().await;
}

#[test]
fn a_runtime_without_timers_or_io_is_told_in_tokios_words() {
    for (what, timers, io, words) in [
        ("no timers", false, true, "enable_time"),
        ("no I/O", true, false, "enable_io"),
        ("neither", false, false, "enable_"),
    ] {
        in_time(what, move || {
            runtime(timers, io).block_on(is_told(what, nobody, words));
        });
    }
}

/// A connection of the program's own with a mistake.
#[derive(Clone)]
struct Panics;

impl ConnectionLike for Panics {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async { panic!("no more of redis://me:hunter2@db\nis left.") })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async { panic!("nor of several") })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Answers nothing, ever.
#[derive(Clone)]
struct Silent;

impl ConnectionLike for Silent {
    fn req_packed_command<'a>(&'a mut self, _: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(std::future::pending())
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(std::future::pending())
    }

    fn get_db(&self) -> i64 {
        0
    }
}

#[test]
fn a_connection_that_panics_ends_the_client_and_is_quoted() {
    in_time("one connection", || {
        let one = || Locks::builder().connection(Panics);
        let told = is_told("one connection", one, "redis://…@db is left");
        runtime(true, true).block_on(told);
    });
    in_time("one of three", || {
        let three = || {
            let builder = Locks::builder().quarantine(Quarantine::Off);
            let builder = builder.connection(Silent).connection(Panics);
            builder.connection(Silent)
        };
        let told = is_told("one of three", three, "redis://…@db is left");
        runtime(true, true).block_on(told);
    });
}

/// On a thread of the client's own too: it ends, and its runtime with it.
#[test]
fn a_panic_on_a_thread_of_the_clients_own_is_told() {
    in_time("own thread", || {
        let locks = Locks::builder()
            .connection(Panics)
            .own_thread()
            .connect_lazy()
            .expect("nothing ran yet");
        let bare = runtime(false, false);
        let error = bare.block_on(locks.lock("k")).expect_err("it cannot work");
        assert!(error.to_string().contains("is left"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        bare.block_on(locks.close());
    });
}
