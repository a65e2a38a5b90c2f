//! What is logged: every turn of a lease, with its key and outcome, always with the target that
//! filters name, and never a token. And what a subscriber may do: panic.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use tenure_redis::ConnectError;
use tenure_sim::memory_net::{Connecting, World};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::support::{Outcome, TTL, builder, client, listen, ms, nodes, secs};

/// Keeps every span and event as a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Log {
    fn keep(&self, line: Line) {
        self.0.lock().expect("no test panicked").push(line.0);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no test panicked").clone()
    }

    /// Whether a line has all of these parts.
    fn has(&self, parts: &[&str]) -> bool {
        self.lines()
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tenure_redis"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        self.keep(line);
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.keep(line);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A log of what this thread does, as long as what comes with it lives.
fn listening() -> (Log, (Dispatch, DefaultGuard)) {
    let log = Log::default();
    let listening = listen(&log);
    (log, listening)
}

#[test]
fn every_turn_of_a_lease_is_logged_with_its_key_and_without_its_token() -> Outcome {
    let (log, _listening) = listening();
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let guard = locks.lock("orders").await?;
        let token = node.server().peek("orders").expect("it is held");
        let token = String::from_utf8(token)?;
        assert!(log.has(&["DEBUG", "acquired", "key=\"orders\"", "fence="]));

        guard.renewed().await?;
        assert!(log.has(&["DEBUG", "key=\"orders\"", "outcome=\"renewed\""]));
        guard.renew().await?;

        one.link("a").stall();
        world.sleep(TTL).await;
        assert!(log.has(&["WARN", "suspect", "key=\"orders\""]));
        let lost = ["WARN", "lost", "key=\"orders\"", "Expired", "held="];
        assert!(log.has(&lost), "{:?}", log.lines());
        one.link("a").heal();

        world.sleep(secs(20)).await;
        let guard = locks.try_lock("orders").await?;
        guard.release().await?;
        assert!(log.has(&["DEBUG", "released", "key=\"orders\""]));

        let secret = token.rsplit(':').nth(1).expect("a token has parts");
        assert!(
            !log.lines().iter().any(|line| line.contains(secret)),
            "a token was logged"
        );
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

/// Panics wherever it is called.
#[derive(Default)]
struct Panics {
    /// Whether it begins spans before it panics.
    begins: bool,
    lines: AtomicUsize,
    spans: AtomicUsize,
    entered: AtomicUsize,
}

impl Subscriber for &'static Panics {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tenure_redis"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        if self.begins {
            return Id::from_u64(1);
        }
        self.spans.fetch_add(1, Ordering::SeqCst);
        panic!("of the subscriber, at a span")
    }

    fn event(&self, _: &Event<'_>) {
        self.lines.fetch_add(1, Ordering::SeqCst);
        panic!("of the subscriber, at a line")
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panic!("of the subscriber, at a field")
    }

    fn try_close(&self, _: Id) -> bool {
        self.spans.fetch_add(1, Ordering::SeqCst);
        panic!("of the subscriber, at the end of a span")
    }

    fn enter(&self, _: &Id) {
        self.entered.fetch_add(1, Ordering::SeqCst);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// In the tasks of the client and in those of its callers. A span that is entered is left in the
/// caller's, where a panic cannot be kept from it, so none is.
#[test]
fn a_subscriber_that_panics_harms_no_caller_and_no_lock() -> Outcome {
    static AT_ONCE: LazyLock<Panics> = LazyLock::new(Panics::default);
    static LATER: LazyLock<Panics> = LazyLock::new(|| Panics {
        begins: true,
        ..Panics::default()
    });
    for panics in [&AT_ONCE, &LATER] {
        let panics: &'static Panics = panics;
        let _second = Dispatch::new(panics);
        let _here = tracing::subscriber::set_default(panics);
        World::run(1, async |world| {
            let node = nodes(&world, 1).remove(0);
            let one = world.client("one");
            let locks = builder(&one).connect().await?;
            let guard = locks.lock("k").await?;
            guard.renewed().await?;
            guard.renew().await?;
            // The connection before cannot be killed, since the server has forgotten it: at DEBUG.
            one.link("a").cut();
            guard.renewed().await?;
            locks.inspect("k").await?;
            guard.release().await?;
            let guard = locks.try_lock("k").await?;
            one.link("a").stall();
            guard.lost().await;
            one.link("a").heal();
            locks.lock("k").await?.release().await?;
            drop(node);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
        let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
        assert!(count(&panics.lines) >= 5);
        assert!(count(&panics.spans) >= 3);
        assert_eq!(count(&panics.entered), 0);
    }
    Ok(())
}

/// However many wait, and for however long.
#[test]
fn a_key_without_an_expiry_is_warned_of_once() -> Outcome {
    let (log, _listening) = listening();
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let warnings = |key: &str| {
            let parts = ["WARN", "no expiry", &format!("key={key:?}")];
            let of_it = |line: &&String| parts.iter().all(|part| line.contains(part));
            log.lines().iter().filter(of_it).count()
        };
        for round in 1..3 {
            for key in ["jobs", "users"] {
                node.server().call(&["SET", key, "for ever"]);
            }
            let waiting = ["jobs", "jobs", "users"].map(|key| {
                let locks = locks.clone();
                tokio::spawn(async move {
                    let guard = locks.lock(key).await.expect("nobody gives up here");
                    guard.release().await
                })
            });
            world.sleep(secs(100)).await;
            assert_eq!((warnings("jobs"), warnings("users")), (round, round));
            for key in ["jobs", "users"] {
                node.server().call(&["DEL", key]);
            }
            // Once it was taken, it is worth a word again.
            for taken in waiting {
                taken.await??;
            }
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

/// Of more keys than the lines of a second are, the others are named later on.
#[test]
fn each_of_many_keys_without_an_expiry_is_warned_of_once() -> Outcome {
    let (log, _listening) = listening();
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let keys: Vec<_> = (0..10).map(|number| format!("k{number}")).collect();
        for key in &keys {
            node.server().call(&["SET", key, "for ever"]);
            let (locks, key) = (locks.clone(), key.clone());
            tokio::spawn(async move { locks.lock(key).await });
        }
        world.sleep(secs(100)).await;
        for key in &keys {
            let parts = ["WARN", "no expiry", &format!("key={key:?}")];
            let of_it = |line: &&String| parts.iter().all(|part| line.contains(part));
            let warnings = log.lines().iter().filter(of_it).count();
            assert_eq!(warnings, 1, "{key}");
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

/// What hundreds meet at once is said three times a second, with a count of the rest.
#[test]
fn an_outage_with_many_waiters_is_a_few_lines_a_second_and_a_count() -> Outcome {
    const MANY: usize = 500;
    let (log, _listening) = listening();
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        one.link("a").set_connecting(Connecting::Refused);
        one.link("a").cut();
        let waiting: Vec<_> = (0..MANY)
            .map(|index| {
                let locks = locks.clone();
                tokio::spawn(async move { locks.lock(format!("k{index}")).await })
            })
            .collect();
        world.sleep(secs(10)).await;
        let lines = log.lines();
        let warned = lines.iter().filter(|line| line.starts_with("WARN"));
        let warned: Vec<_> = warned.collect();
        // Each second, three of each of two kinds and a count of each.
        assert!(warned.len() <= 11 * 8, "{} lines", warned.len());
        assert!(warned[0].contains("not connected"), "{}", warned[0]);
        let counts = warned.iter().filter_map(|line| {
            let (_, count) = line.split_once("left_out=")?;
            count.split(' ').next()?.parse::<usize>().ok()
        });
        assert!(counts.sum::<usize>() > 2 * MANY, "{warned:?}");
        one.link("a").heal();
        for waiting in waiting {
            drop(waiting.await??);
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

#[test]
fn a_node_that_refuses_to_serve_is_warned_of_once_and_done_without() -> Outcome {
    let (log, _listening) = listening();
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let one = world.client("one");
        nodes[1].server().set_password("sesame");
        let locks = builder(&one).connect().await?;
        let guard = locks.lock("orders").await?;
        world.sleep(secs(100)).await;
        assert!(guard.is_valid());
        guard.release().await?;
        let refusals = |name: &str| {
            let parts = ["WARN", "refuses to serve", "NOAUTH", &format!("{name}:")];
            let of_it = |line: &&String| parts.iter().all(|part| line.contains(part));
            log.lines().iter().filter(of_it).count()
        };
        assert_eq!(
            ["a", "b", "c"].map(refusals),
            [0, 1, 0],
            "{:?}",
            log.lines()
        );

        // Beside a node that is away there is no quorum, and both are named.
        nodes[0].server().set_down(true);
        let error = builder(&one).connect().await.expect_err("one of three");
        let ConnectError::Outage { nodes: silent } = &error else {
            panic!("{error}");
        };
        assert_eq!(silent.len(), 2, "{error}");
        assert!(error.to_string().contains("NOAUTH"), "{error}");
        nodes[2].server().set_password("sesame");
        let error = builder(&one).connect().await.expect_err("nobody serves");
        assert!(matches!(error, ConnectError::Rejected { .. }), "{error}");
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

#[test]
fn the_warnings_of_an_outage_carry_the_last_words_of_each_node() -> Outcome {
    let (log, _listening) = listening();
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let guard = locks.lock("orders").await?;
        one.link("a").set_connecting(Connecting::Refused);
        one.link("a").cut();
        let words = "NOREPLICAS Not enough good replicas to write";
        nodes[1].server().set_write_error(Some(words));
        let hasty = locks.with(|options| options.give_up_after(secs(5)))?;
        hasty.lock("users").await.expect_err("too few serve");
        assert!(guard.renew().await.is_err());
        assert!(guard.release().await.is_err());
        world.sleep(secs(3)).await;
        let refused = ["WARN", "a:6379", "refused", words];
        for what in [
            "waiting: not enough nodes answer",
            "suspect: the renewal was not confirmed",
            "not released: not enough nodes answer",
        ] {
            let parts = [&[what][..], &refused].concat();
            assert!(log.has(&parts), "{what}: {:?}", log.lines());
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

/// It waits for itself, since a lock cannot be taken twice. That others of the same process wait is
/// said in other words, and only once.
#[test]
fn a_task_that_asks_for_a_key_that_it_holds_is_warned_once() -> Outcome {
    let (log, _listening) = listening();
    let warned = || {
        let lines = log.lines();
        let about = |line: &&String| line.contains("WARN") && line.contains("waits for itself");
        lines.iter().filter(about).count()
    };
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one)
            .options(|options| options.give_up_after(secs(1)))
            .connect()
            .await?;
        let guard = locks.lock("orders").await?;
        let elsewhere = locks.clone();
        let waiting = tokio::spawn(async move { elsewhere.lock("orders").await.map(drop) });
        waiting.await?.expect_err("it is held");
        assert_eq!(warned(), 0, "another task waits");
        assert!(log.has(&["WARN", "in another task", "orders"]));
        locks.lock("orders").await.expect_err("it is held");
        assert_eq!(warned(), 1);
        assert!(log.has(&["WARN", "waits for itself", "orders"]));

        guard.release().await?;
        drop(locks.lock("orders").await?);
        assert_eq!(warned(), 1, "it let go");
        let locks = tokio::spawn(async move {
            let first = locks.lock("orders").await.expect("it is free");
            locks.lock("orders").await.expect_err("it is held");
            drop(first);
            locks
        });
        drop(locks.await?);
        assert_eq!(warned(), 2);
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

/// It may be meant so, and it may be a task that waits for ever.
#[test]
fn a_client_that_waits_for_a_key_of_its_own_is_warned_once_for_the_key() -> Outcome {
    let (log, _listening) = listening();
    let warned = || {
        let lines = log.lines();
        let about = |line: &&String| line.contains("WARN") && line.contains("in another task");
        lines.iter().filter(about).count()
    };
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        for _ in 0..3 {
            let held = locks.lock("orders").await?;
            let other = locks.lock("invoices").await?;
            let waiting: Vec<_> = ["orders", "orders", "invoices"]
                .map(|key| {
                    let locks = locks.clone();
                    tokio::spawn(async move { locks.lock(key).await.map(drop) })
                })
                .into();
            world.sleep(ms(100)).await;
            drop((held, other));
            for waiter in waiting {
                waiter.await??;
            }
        }
        assert_eq!(warned(), 2, "{:?}", log.lines());
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}
