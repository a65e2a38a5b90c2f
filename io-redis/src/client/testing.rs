//! What the tests of the client share: a hub of one node on a clock that the test sets, and a
//! subscriber of the log.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tenure_core::{Config, Instant, Key, LeaseId, LeaseOptions, Manager, NodeId, Secret};
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::client::cell::Cell;
use crate::client::hub::Hub;
use crate::link::interface::{Identity, LinkStatus, Work};
use crate::log_target::LOG_TARGET;
use crate::runtime::{BoxFuture, Clock};

/// Shows what the test sets.
#[derive(Debug, Default)]
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn set(&self, now: Instant) {
        self.0.store(now.as_nanos(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Shows what the test sets, and wakes who sleeps on it, on whatever runtime.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(Arc<Moved>);

#[derive(Debug, Default)]
struct Moved {
    shows: AtomicI64,
    moved: Notify,
}

impl MovedClock {
    pub(crate) fn set(&self, now: Instant) {
        self.0.shows.store(now.as_nanos(), Ordering::SeqCst);
        self.0.moved.notify_waiters();
    }
}

impl Moved {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.shows.load(Ordering::SeqCst))
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let clock = Arc::clone(&self.0);
        Box::pin(async move {
            loop {
                let moved = clock.moved.notified();
                if clock.now() >= at {
                    return;
                }
                moved.await;
            }
        })
    }
}

/// The only node.
pub(crate) fn node() -> NodeId {
    NodeId::new(0)
}

/// A hub of one node, which is up.
pub(crate) fn hub() -> (Arc<Hub>, Arc<SetClock>) {
    let config = Config::builder(1).build().expect("the defaults");
    let clock = Arc::new(SetClock::default());
    let manager = Manager::new(config, 0);
    let hub = Hub::new(manager, vec!["a".to_owned()], Arc::clone(&clock) as _);
    hub.status(node(), LinkStatus::Up(Identity::default()));
    (Arc::new(hub), clock)
}

/// Asks for a lock.
pub(crate) fn acquire(hub: &Hub) -> (LeaseId, Arc<Cell>) {
    let options = LeaseOptions::builder().build(hub.config());
    let options = Arc::new(options.expect("the defaults"));
    hub.acquire(Key::new(*b"k"), Secret::new([0; 16]), options)
        .expect("there is room")
}

type Act = Box<dyn FnMut(Option<&str>) + Send>;

/// A subscriber of the log. It acts when it is asked whether it listens, when it is told a line,
/// and at each turn of a span.
pub(crate) struct Says(Mutex<Act>);

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// What was logged since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

impl Says {
    pub(crate) fn new(act: impl FnMut(Option<&str>) + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(act)))
    }

    /// One that keeps the lines.
    pub(crate) fn lines() -> (Self, Lines) {
        let lines = Lines::default();
        let kept = lines.clone();
        let keep = move |line: Option<&str>| {
            let mut kept = kept.0.lock().expect("no panic");
            kept.extend(line.map(ToOwned::to_owned));
        };
        (Self::new(keep), lines)
    }

    fn act(&self, line: Option<&str>) {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(line);
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Says {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target() == LOG_TARGET;
        if ours {
            self.act(None);
        }
        ours
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.act(None);
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Fields(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.act(Some(&line.0));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        self.act(None);
    }

    fn try_close(&self, _: Id) -> bool {
        self.act(None);
        true
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Runs it with this subscriber on this thread.
pub(crate) fn log_to(says: Says, run: impl FnOnce()) {
    tracing::dispatcher::with_default(&Dispatch::new(says), run);
}

/// A recorder of metrics. It acts whenever it is told something.
#[cfg(feature = "metrics")]
pub(crate) struct Recorder(Arc<Recorded>);

#[cfg(feature = "metrics")]
struct Recorded(Box<dyn Fn() + Send + Sync>);

#[cfg(feature = "metrics")]
mod recorder {
    use std::sync::Arc;

    use ::metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
        SharedString, Unit,
    };

    use super::{Recorded, Recorder};

    impl Recorder {
        pub(crate) fn new(act: impl Fn() + Send + Sync + 'static) -> Self {
            Self(Arc::new(Recorded(Box::new(act))))
        }
    }

    impl CounterFn for Recorded {
        fn increment(&self, _: u64) {
            (self.0)();
        }
        fn absolute(&self, _: u64) {}
    }

    impl GaugeFn for Recorded {
        fn increment(&self, _: f64) {
            (self.0)();
        }
        fn decrement(&self, _: f64) {
            (self.0)();
        }
        fn set(&self, _: f64) {}
    }

    impl HistogramFn for Recorded {
        fn record(&self, _: f64) {
            (self.0)();
        }
    }

    impl ::metrics::Recorder for Recorder {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Arc::clone(&self.0))
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Arc::clone(&self.0))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(Arc::clone(&self.0))
        }
    }
}
