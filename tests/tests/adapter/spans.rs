//! The span of each acquire: one from the call to its answer, inside the span of the caller, with
//! its attempts, its place, how long it took and what it came to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tenure_redis::{LockError, Locks};
use tenure_sim::memory_net::{Connecting, World};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Level, Metadata, Subscriber, info_span};

use crate::support::{Outcome, builder, listen, ms, nodes, secs};

type Fields = BTreeMap<&'static str, String>;

/// A span, as it is now.
#[derive(Clone, Default)]
struct Span {
    name: &'static str,
    parent: Option<u64>,
    fields: Fields,
    over: bool,
}

/// Keeps every span up to a level.
#[derive(Clone)]
struct Spans {
    level: Level,
    all: Arc<Mutex<BTreeMap<u64, Span>>>,
    entered: Arc<Mutex<Vec<u64>>>,
    next: Arc<AtomicU64>,
}

impl Spans {
    fn new(level: Level) -> Self {
        Self {
            level,
            all: Arc::default(),
            entered: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        let mut all = self.all.lock().expect("no panic");
        change(all.entry(id.into_u64()).or_default());
    }

    /// The spans of acquires, in the order in which they began.
    fn acquires(&self) -> Vec<Span> {
        let all = self.all.lock().expect("no panic");
        let acquires = all.values().filter(|span| span.name == "acquire");
        acquires.cloned().collect()
    }

    /// The fields of the last acquire, which is over.
    #[track_caller]
    fn last(&self) -> Fields {
        let last = self.acquires().pop().expect("there is one");
        assert!(last.over, "{:?}", last.fields);
        last.fields
    }
}

struct Noted<'a>(&'a mut Fields);

impl Visit for Noted<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = Id::from_u64(self.next.fetch_add(1, Ordering::SeqCst));
        let around = self.entered.lock().expect("no panic").last().copied();
        self.change(&id, |new| {
            new.name = span.metadata().name();
            new.parent = around.filter(|_| span.is_contextual());
            span.record(&mut Noted(&mut new.fields));
        });
        id
    }

    fn record(&self, id: &Id, fields: &Record<'_>) {
        self.change(id, |span| fields.record(&mut Noted(&mut span.fields)));
    }

    fn try_close(&self, id: Id) -> bool {
        self.change(&id, |span| span.over = true);
        true
    }

    fn enter(&self, id: &Id) {
        self.entered.lock().expect("no panic").push(id.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.entered.lock().expect("no panic").pop();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
}

/// Runs a world of one node, in which requests and answers take 5 ms each.
fn spanned(spans: &Spans, body: impl AsyncFnOnce(World, Locks) -> Outcome) -> Outcome {
    let _listening = listen(spans);
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        one.link("a").set_latency(ms(5), ms(5));
        let locks = builder(&one).max_leases(4).connect().await?;
        body(world, locks).await
    })
}

fn fields(wanted: &[(&'static str, &str)]) -> Fields {
    let wanted = wanted.iter();
    let wanted = wanted.map(|(name, value)| (*name, (*value).to_owned()));
    wanted.collect()
}

#[test]
fn a_grant_at_once_is_a_span_inside_that_of_the_caller() -> Outcome {
    let spans = Spans::new(Level::DEBUG);
    spanned(&spans, async |_, locks| {
        let caller = info_span!("caller");
        let id = caller.id().map(|id| id.into_u64());
        let guard = locks.lock("orders").instrument(caller).await?;
        let wanted = [
            ("key", "\"orders\""),
            ("attempts", "1"),
            ("waited_ms", "10"),
            ("outcome", "\"granted\""),
        ];
        assert_eq!(spans.last(), fields(&wanted));
        assert!(id.is_some());
        assert_eq!(spans.acquires()[0].parent, id);
        guard.release().await?;
        assert_eq!(spans.acquires().len(), 1);
        Ok(())
    })
}

#[test]
fn the_span_of_one_in_line_has_its_last_place_and_its_wait() -> Outcome {
    let spans = Spans::new(Level::DEBUG);
    spanned(&spans, async |world, locks| {
        let first = locks.lock("orders").await?;
        let waiting = ["second", "third"].map(|_| {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock("orders").await })
        });
        world.sleep(secs(2)).await;
        assert!(spans.acquires()[1..].iter().all(|span| !span.over));
        first.release().await?;
        let [second, third] = waiting;
        drop(second.await??);
        let guard = third.await??;
        let place = |span: &Span| {
            let field = |name| span.fields.get(name).cloned().unwrap_or_default();
            [field("attempts"), field("ahead")]
        };
        let places: Vec<_> = spans.acquires().iter().map(place).collect();
        assert_eq!(places, [["1", ""], ["1", "0"], ["1", "1"]]);
        let waited = guard.waited().as_millis().to_string();
        assert_eq!(spans.last()["waited_ms"], waited);
        Ok(())
    })
}

#[test]
fn a_span_says_what_an_acquire_in_vain_came_to() -> Outcome {
    let spans = Spans::new(Level::DEBUG);
    spanned(&spans, async |world, locks| {
        let came_to = |outcome: &str, attempts: &str, waited: &str| {
            let last = spans.last();
            let of = ["outcome", "attempts", "waited_ms"].map(|name| last[name].as_str());
            assert_eq!(of, [&format!("{outcome:?}"), attempts, waited]);
        };
        let held = locks.lock("orders").await?;
        locks.try_lock("orders").await.expect_err("it is held");
        came_to("contended", "1", "20");

        let dropped = tokio::spawn({
            let locks = locks.clone();
            async move { locks.lock("orders").await.map(drop) }
        });
        world.sleep(ms(500)).await;
        dropped.abort();
        world.sleep(ms(1)).await;
        came_to("cancelled", "1", "500");

        world.sleep(ms(100)).await;
        let mut guards = Vec::new();
        for key in ["a", "b", "c"] {
            guards.push(locks.lock(key).await?);
        }
        let error = locks.try_lock("d").await.expect_err("it has four leases");
        assert!(matches!(error, LockError::AtCapacity { .. }), "{error}");
        came_to("misuse", "0", "0");
        drop(guards);

        world.sleep(ms(100)).await;
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { locks.lock("orders").await.map(drop) }
        });
        world.sleep(ms(100)).await;
        locks.close().await;
        waiting.await?.expect_err("the client is closed");
        came_to("closed", "1", "100");
        drop(held);
        Ok(())
    })
}

#[test]
fn a_span_ends_with_the_tasks_of_its_client() -> Outcome {
    let spans = Spans::new(Level::DEBUG);
    let _listening = listen(&spans);
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let held = locks.lock("orders").await?;
        let waiting = locks.clone();
        let waiting = tokio::spawn(async move { waiting.lock("orders").await.map(drop) });
        world.sleep(ms(100)).await;
        one.crash();
        waiting.await?.expect_err("nobody will answer");
        let last = spans.last();
        assert_eq!(last["outcome"], "\"runtime_ended\"");
        assert_eq!(last["waited_ms"], "100");
        drop(held);
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

#[test]
fn the_attempts_of_an_outage_are_counted_in_the_span() -> Outcome {
    let spans = Spans::new(Level::DEBUG);
    let _listening = listen(&spans);
    World::run(1, async |world| {
        nodes(&world, 3);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        for name in ["a", "b"] {
            one.link(name).set_connecting(Connecting::Refused);
            one.link(name).cut();
        }
        world.sleep(secs(1)).await;
        let hasty = locks.with(|options| options.give_up_after(secs(5)))?;
        hasty.lock("orders").await.expect_err("too few answer");
        let last = spans.last();
        assert_eq!(last["outcome"], "\"outage\"");
        assert_eq!(last["waited_ms"], "5000");
        assert!(last["attempts"].parse::<u32>()? > 2, "{last:?}");
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}

#[test]
fn who_listens_at_info_only_pays_for_no_span() -> Outcome {
    let spans = Spans::new(Level::INFO);
    spanned(&spans, async |_, locks| {
        locks.lock("orders").await?.release().await?;
        assert!(spans.acquires().is_empty());
        Ok(())
    })
}
