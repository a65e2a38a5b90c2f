//! The futures of a guard that end with its lock: until it is lost, and work that runs until then.
//!
//! A program may have one for each of many guards, so they are no larger than they must be.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::futures::Notified;

use crate::api::guard::Guard;
use crate::client::alarm::AlarmId;
use crate::error::Lost;

pin_project! {
    // Ends when the lock is lost.
    #[project = UntilLostProjection]
    pub(super) struct UntilLost<'a> {
        guard: &'a Guard,
        #[pin]
        sooner: Notified<'a>,
        alarm: Option<AlarmId>,
        // Whether that was asked for since the last change.
        is_set: bool,
    }

    impl PinnedDrop for UntilLost<'_> {
        fn drop(this: Pin<&mut Self>) {
            this.project().unset();
        }
    }
}

impl UntilLostProjection<'_, '_> {
    /// Nothing has to be told at the end.
    fn unset(&mut self) {
        *self.is_set = false;
        if let Some(alarm) = self.alarm.take() {
            let Guard {
                client,
                lease,
                cell,
                ..
            } = *self.guard;
            client.alarms().unset(alarm, *lease, cell);
        }
    }
}

impl<'a> UntilLost<'a> {
    pub(super) fn new(guard: &'a Guard) -> Self {
        Self {
            guard,
            sooner: guard.cell.sooner(),
            alarm: None,
            is_set: false,
        }
    }
}

impl Future for UntilLost<'_> {
    type Output = Lost;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lost> {
        let mut this = self.project();
        let guard = *this.guard;
        loop {
            // The clock is read at each poll: work that keeps the runtime busy keeps its timers
            // from firing.
            // Law: Loss is told
            if let Some(lost) = guard.lost_now() {
                return Poll::Ready(lost);
            }
            if this.sooner.as_mut().poll(cx).is_ready() {
                // Made before the clock is read again, so that no change in between is missed.
                this.sooner.set(guard.cell.sooner());
                this.unset();
                continue;
            }
            // By a task on the caller's runtime, since the client's own may not get to run.
            // Law: Loss is told
            if !std::mem::replace(this.is_set, true) {
                guard.watch();
                *this.alarm = guard.client.alarms().set(guard.lease, &guard.cell);
            }
            return Poll::Pending;
        }
    }
}

pin_project! {
    // Work that runs until the lock is lost.
    pub(super) struct Run<'a, W> {
        #[pin]
        lost: UntilLost<'a>,
        // None once it is done or cut.
        #[pin]
        work: Option<W>,
    }
}

impl<'a, W: Future> Run<'a, W> {
    pub(super) fn new(guard: &'a Guard, work: W) -> Self {
        Self {
            lost: UntilLost::new(guard),
            work: Some(work),
        }
    }
}

impl<W: Future> Future for Run<'_, W> {
    type Output = Result<W::Output, Lost>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let guard = this.lost.guard;
        // Loss first: if the lock is lost and the work is ready, the answer is the loss.
        if let Some(lost) = guard.lost_now() {
            this.work.set(None);
            return Poll::Ready(Err(lost));
        }
        let work = this.work.as_mut().as_pin_mut();
        match work.expect("it has not ended").poll(cx) {
            // This one poll of the work may have taken long.
            Poll::Ready(done) => {
                this.work.set(None);
                Poll::Ready(match guard.lost_now() {
                    Some(lost) => Err(lost),
                    None => Ok(done),
                })
            }
            // Work that never rests has no use for an alarm, and this reads the clock too.
            Poll::Pending => {
                let lost = this.lost.poll(cx).map(Err);
                if lost.is_ready() {
                    this.work.set(None);
                }
                lost
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::hint::black_box;
    use std::pin::pin;
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::api::guard::tests::guard_on;
    use crate::client::testing::MovedClock;
    use crate::runtime::Clock;

    fn guard() -> (Guard, Arc<MovedClock>) {
        let clock = Arc::new(MovedClock::default());
        (guard_on(Arc::clone(&clock) as _), clock)
    }

    /// tokio makes tasks of 128, 256, 384, … bytes, a hundred of which are its own. So there is
    /// some room for what else a task has.
    #[test]
    fn a_task_that_awaits_a_loss_or_runs_work_is_small() {
        let (guard, _) = guard();
        let task = async move {
            guard.lost().await;
        };
        assert!(size_of_val(&task) <= 144, "{}", size_of_val(&task));
        let (guard, _) = self::guard();
        let task = async move { guard.run(pending::<()>()).await };
        assert!(size_of_val(&task) <= 152, "{}", size_of_val(&task));
    }

    #[test]
    fn a_run_has_room_for_its_work_once() {
        let (guard, _) = guard();
        let room = |work: usize, run: usize| run - work;
        let small = async {
            let kept = [1_u8; 8];
            pending::<()>().await;
            black_box(&kept);
        };
        let large = async {
            let kept = [1_u8; 4_096];
            pending::<()>().await;
            black_box(&kept);
        };
        let of_small = room(size_of_val(&small), size_of_val(&guard.run(small)));
        let of_large = room(size_of_val(&large), size_of_val(&guard.run(large)));
        assert!(of_large <= of_small + 8, "{of_large} {of_small}");
    }

    /// Also if the future of `run` lives on.
    #[test]
    fn work_is_dropped_when_it_is_done_and_when_the_lock_is_lost() {
        let (guard, clock) = guard();
        let seat = Arc::new(());
        let theirs = Arc::clone(&seat);
        let mut done = pin!(guard.run(async move { drop(theirs.clone()) }));
        assert_eq!(done.as_mut().now_or_never(), Some(Ok(())));
        assert_eq!(Arc::strong_count(&seat), 1);

        let theirs = Arc::clone(&seat);
        let mut cut = pin!(guard.run(async move {
            pending::<()>().await;
            drop(theirs);
        }));
        assert!(cut.as_mut().now_or_never().is_none());
        assert_eq!(Arc::strong_count(&seat), 2);
        clock.set(clock.now() + guard.remaining());
        assert!(cut.as_mut().now_or_never().is_some_and(|ran| ran.is_err()));
        assert_eq!(Arc::strong_count(&seat), 1);
    }

    /// Its own poll takes longer than the lock is held.
    #[test]
    fn work_that_rests_after_the_end_is_dropped_at_once() {
        let (guard, clock) = guard();
        let seat = Arc::new(());
        let theirs = Arc::clone(&seat);
        let mut cut = pin!(guard.run(async {
            clock.set(clock.now() + guard.remaining());
            pending::<()>().await;
            drop(theirs);
        }));
        assert!(cut.as_mut().now_or_never().is_some_and(|ran| ran.is_err()));
        assert_eq!(Arc::strong_count(&seat), 1);
    }
}
