//! How long a caller waits: for the client's own tasks, and between two requests of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tenure_core::Instant;

use crate::client::alarm::{Alarms, Place};

/// The least time that is granted beyond a bound: a busy machine may be late by so much.
const SHORTEST_GRACE: Duration = Duration::from_millis(20);

/// Waits for an answer that the client's own tasks give within `bound`, if they run. None if it has
/// not come after a quarter more (20 ms at least), by an alarm on the caller's runtime. So a bound
/// that those tasks keep does not depend on them.
///
/// A caller on a runtime without a timer, or on none, waits on.
pub(crate) async fn within<T>(
    alarms: &Arc<Alarms>,
    bound: Duration,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = pin!(answer);
    let grace = (bound / 4).max(SHORTEST_GRACE) / 2;
    let mut until = alarms.now() + bound + grace;
    // If the whole process stood still, its tasks did as well: they get half of the grace from the
    // moment at which this one ran again.
    for _ in 0..2 {
        let mut wait = Wait::new(alarms, until);
        let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => wait.poll(cx).map(|()| None),
        });
        if let Some(answer) = answered.await {
            return Some(answer);
        }
        until = alarms.now() + grace;
    }
    None
}

/// Lets a span pass on the caller's runtime. On one without a timer, none passes.
pub(crate) async fn pause(alarms: &Arc<Alarms>, span: Duration) {
    let mut wait = Wait::new(alarms, alarms.now() + span);
    let passed = poll_fn(|cx| match wait.poll(cx) {
        Poll::Pending if wait.place.is_none() => Poll::Ready(()),
        polled => polled,
    });
    if !span.is_zero() {
        passed.await;
    }
}

/// A wait that ends when an instant has come.
struct Wait<'a> {
    alarms: &'a Arc<Alarms>,
    until: Instant,
    /// None before it is polled, and where there is no timer.
    place: Option<Place>,
}

impl<'a> Wait<'a> {
    const fn new(alarms: &'a Arc<Alarms>, until: Instant) -> Self {
        Self {
            alarms,
            until,
            place: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = self.place {
            if self.alarms.now() >= self.until {
                return Poll::Ready(());
            }
            if self.alarms.waits_on(place, cx.waker()) {
                return Poll::Pending;
            }
        }
        // The alarm may have ended with its runtime. This caller may run on another one by now.
        self.place = self.alarms.wait(self.until, cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.alarms.unwait(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use futures_util::future::{FutureExt, join_all};
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::client::testing::MovedClock;
    use crate::runtime::{BootClock, Clock};

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn alarms() -> (Arc<Alarms>, Arc<MovedClock>) {
        let clock = Arc::new(MovedClock::default());
        (Alarms::new(&(Arc::clone(&clock) as _)), clock)
    }

    fn runtime() -> Runtime {
        let builder = Builder::new_current_thread().enable_time().build();
        builder.expect("a runtime")
    }

    /// Others on the runtime get their turn.
    fn turns(runtime: &Runtime) {
        runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Polls it on the runtime. Returns whether it has ended.
    fn ends<T>(
        runtime: &Runtime,
        waiting: &mut std::pin::Pin<Box<dyn Future<Output = T> + '_>>,
        counts: &Arc<Counts>,
    ) -> bool {
        let _here = runtime.enter();
        let waker = Waker::from(Arc::clone(counts));
        let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
        turns(runtime);
        polled.is_ready()
    }

    fn advance(clock: &MovedClock, span: Duration, runtime: &Runtime) {
        clock.set(clock.now() + span);
        turns(runtime);
    }

    #[test]
    fn one_task_bounds_all_waits_and_ends_after_them() {
        let ((alarms, clock), runtime) = (alarms(), runtime());
        let tasks = || runtime.metrics().num_alive_tasks();
        let counts: Arc<Counts> = Arc::default();
        let bounds = (1..=600).map(|count| SECOND * count);
        let all = bounds.map(|bound| within(&alarms, bound, pending::<()>()));
        let mut all = Box::pin(join_all(all)) as _;
        assert!(!ends(&runtime, &mut all, &counts));
        assert_eq!(tasks(), 1);
        for _ in 0..2 {
            advance(&clock, SECOND * 800, &runtime);
            assert!(counts.0.load(Ordering::SeqCst) > 0);
            assert_eq!(tasks(), 1, "they still wait");
            if ends(&runtime, &mut all, &counts) {
                advance(&clock, SECOND, &runtime);
                assert_eq!(tasks(), 0);
                return;
            }
        }
        panic!("they wait on");
    }

    #[test]
    fn a_shorter_wait_than_those_before_ends_in_its_time() {
        let ((alarms, clock), runtime) = (alarms(), runtime());
        let (long, short) = (Arc::<Counts>::default(), Arc::<Counts>::default());
        let mut hour = Box::pin(within(&alarms, SECOND * 3600, pending::<()>())) as _;
        assert!(!ends(&runtime, &mut hour, &long));
        let mut moment = Box::pin(within(&alarms, SECOND / 100, pending::<()>())) as _;
        assert!(!ends(&runtime, &mut moment, &short));
        for _ in 0..2 {
            advance(&clock, SECOND / 50, &runtime);
            assert!(short.0.load(Ordering::SeqCst) > 0);
            let _ = ends(&runtime, &mut moment, &short).then_some(&runtime);
        }
        assert_eq!(long.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn who_waits_beyond_the_end_of_its_runtime_is_bounded_elsewhere() {
        let ((alarms, clock), first, second) = (alarms(), runtime(), runtime());
        let counts = Arc::<Counts>::default();
        let mut waiting = Box::pin(within(&alarms, SECOND, pending::<()>())) as _;
        assert!(!ends(&first, &mut waiting, &counts));
        drop(first);
        assert_eq!(counts.0.load(Ordering::SeqCst), 1, "it must find an alarm");
        assert!(!ends(&second, &mut waiting, &counts));
        for _ in 0..2 {
            advance(&clock, SECOND * 2, &second);
            if ends(&second, &mut waiting, &counts) {
                return;
            }
        }
        panic!("it waits on");
    }

    #[test]
    fn without_a_timer_the_answer_still_comes() {
        let without = Builder::new_current_thread().build().expect("a runtime");
        let clock: Arc<dyn Clock> = Arc::new(BootClock::new());
        let (alarms, counts) = (Alarms::new(&clock), Arc::<Counts>::default());
        let answer = Mutex::new(None);
        let answered = poll_fn(|_| match *answer.lock().expect("no panic") {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        });
        let mut waiting = Box::pin(within(&alarms, SECOND, answered)) as _;
        for _ in 0..3 {
            assert!(!ends(&without, &mut waiting, &counts));
            assert_eq!(without.metrics().num_alive_tasks(), 0);
        }
        *answer.lock().expect("no panic") = Some(7);
        assert_eq!(waiting.now_or_never(), Some(Some(7)));
    }

    /// Its task may have moved.
    #[test]
    fn the_waker_of_the_last_poll_is_woken() {
        let ((alarms, clock), runtime) = (alarms(), runtime());
        let (old, new) = (Arc::<Counts>::default(), Arc::<Counts>::default());
        let mut waiting = Box::pin(within(&alarms, SECOND, pending::<()>())) as _;
        for counts in [&old, &new] {
            assert!(!ends(&runtime, &mut waiting, counts));
        }
        advance(&clock, SECOND * 2, &runtime);
        let woken = |counts: &Counts| counts.0.load(Ordering::SeqCst);
        assert_eq!((woken(&old), woken(&new)), (0, 1));
    }
}
