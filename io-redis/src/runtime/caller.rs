//! The timer of a caller's runtime, for what must not depend on the client's own tasks, which may
//! not run: on a runtime that is blocked, for example, or in a forked child.
//!
//! tokio panics where a timer is made on a runtime that has none (`enable_time`), and cannot be
//! asked before. So that panic is caught, once for each such runtime, and the caller goes on
//! without a timer. tokio's words reach the panic hook nevertheless. A program that is built to
//! abort on panics ends there.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tenure_core::Instant;
use tokio::runtime::{Handle, Id};

use crate::runtime::traits::{BoxFuture, Clock};

/// Ends when the clock shows an instant, by a timer of the runtime that polls it. Never ends
/// outside of a tokio runtime, or on one without a timer.
pub(crate) struct CallerTimer {
    clock: Arc<dyn Clock>,
    at: Instant,
    timer: Timer,
}

enum Timer {
    /// It was not polled yet.
    New,
    Set(BoxFuture<'static, ()>),
    None,
}

impl CallerTimer {
    pub(crate) fn new(clock: &Arc<dyn Clock>, at: Instant) -> Self {
        Self {
            clock: Arc::clone(clock),
            at,
            timer: Timer::New,
        }
    }

    /// Whether it was polled and never ends, since there is no timer.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self.timer, Timer::None)
    }
}

/// The tokio runtime that polls the caller. None if there is none, or if it is known to have no
/// timer.
pub(crate) fn caller_runtime() -> Option<Handle> {
    let runtime = Handle::try_current().ok()?;
    (!WITHOUT_TIMER.has(runtime.id())).then_some(runtime)
}

/// From here on it counts as a runtime without a timer.
pub(crate) fn gives_no_timer(runtime: Id) {
    WITHOUT_TIMER.add(runtime);
}

impl Future for CallerTimer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.timer, Timer::New) {
            self.timer = match caller_runtime() {
                Some(_) => Timer::Set(self.clock.sleep_until(self.at)),
                None => Timer::None,
            };
        }
        let Timer::Set(sleep) = &mut self.timer else {
            return Poll::Pending;
        };
        match catch_unwind(AssertUnwindSafe(|| sleep.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(_) => {
                if let Ok(runtime) = Handle::try_current() {
                    WITHOUT_TIMER.add(runtime.id());
                }
                self.timer = Timer::None;
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for CallerTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerTimer")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

static WITHOUT_TIMER: Runtimes = Runtimes {
    any: AtomicBool::new(false),
    ids: Mutex::new(VecDeque::new()),
};

/// The runtimes that are known to have no timer. In most programs there is none.
struct Runtimes {
    any: AtomicBool,
    ids: Mutex<VecDeque<Id>>,
}

impl Runtimes {
    /// How many are remembered. A program that makes more of them has the panic more often.
    const MOST: usize = 64;

    fn has(&self, id: Id) -> bool {
        self.any.load(Ordering::Acquire) && self.ids().contains(&id)
    }

    fn add(&self, id: Id) {
        let mut ids = self.ids();
        if ids.len() == Self::MOST {
            ids.pop_front();
        }
        ids.push_back(id);
        self.any.store(true, Ordering::Release);
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, VecDeque<Id>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;
    use crate::runtime::BootClock;

    /// A timer that is over already, and whether it ends when it is polled once.
    fn ends_at_once() -> bool {
        let clock: Arc<dyn Clock> = Arc::new(BootClock::new());
        let mut timer = CallerTimer::new(&clock, clock.now() + Duration::from_nanos(1));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while clock.now() <= timer.at {}
        Pin::new(&mut timer).poll(&mut cx).is_ready()
    }

    /// A timer that is not over is polled once, which makes a timer of the runtime.
    fn is_set() -> bool {
        let clock: Arc<dyn Clock> = Arc::new(BootClock::new());
        let mut timer = CallerTimer::new(&clock, clock.now() + Duration::from_secs(60));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled = Pin::new(&mut timer).poll(&mut cx);
        assert!(polled.is_pending());
        matches!(timer.timer, Timer::Set(_))
    }

    #[test]
    fn a_runtime_without_a_timer_is_found_out_once_and_nothing_panics() {
        assert!(!is_set(), "there is no runtime here");
        let with = Builder::new_current_thread().enable_time().build();
        with.expect("a runtime").block_on(async {
            assert!(is_set() && ends_at_once());
        });
        let without = Builder::new_current_thread().build().expect("a runtime");
        without.block_on(async {
            let id = Handle::current().id();
            assert!(!WITHOUT_TIMER.has(id));
            assert!(!is_set());
            assert!(WITHOUT_TIMER.has(id));
            assert!(!is_set() && !ends_at_once());
        });
    }
}
