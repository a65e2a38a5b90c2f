//! A task whose parts wake each other without waking the task.
//!
//! A link polls the I/O future of its own connection: what the link writes wakes that future, and
//! what the future reads wakes the link. Both are parts of one task that is running already. If the
//! runtime were told, it would run the task once more for nothing after each request, perhaps on
//! another core.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// How often the parts may wake each other before other tasks get their turn. A request or a reply
/// needs two; more is a sign that the runtime wants the task to yield.
// Law: Bounded work
const ROUNDS: usize = 4;

/// Runs the future with a waker that only remembers a wake which comes while the future is polled.
pub(crate) struct LocalWake<F> {
    future: Pin<Box<F>>,
    state: Arc<WakeState>,
    waker: Waker,
}

#[derive(Default)]
struct WakeState {
    /// The future is being polled, so a wake need not reach the runtime.
    inside: AtomicBool,
    woken: AtomicBool,
    outside: AtomicWaker,
}

impl Wake for WakeState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // No wake is lost, because of the order of these two and of their counterparts in `poll`:
        // either this call sees that the poll is over, or the poll sees that it was woken.
        self.woken.store(true, Ordering::SeqCst);
        if !self.inside.load(Ordering::SeqCst) {
            self.outside.wake();
        }
    }
}

impl<F: Future> LocalWake<F> {
    pub(crate) fn new(future: F) -> Self {
        let state = Arc::<WakeState>::default();
        Self {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }
}

impl<F: Future> Future for LocalWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.state.outside.register(cx.waker());
        let mut inner = Context::from_waker(&this.waker);
        for _ in 0..ROUNDS {
            this.state.inside.store(true, Ordering::SeqCst);
            this.state.woken.swap(false, Ordering::SeqCst);
            if let Poll::Ready(output) = this.future.as_mut().poll(&mut inner) {
                return Poll::Ready(output);
            }
            this.state.inside.store(false, Ordering::SeqCst);
            if !this.state.woken.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn poll<F: Future>(task: &mut LocalWake<F>, outside: &Arc<Count>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(outside));
        Pin::new(task).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn a_wake_from_inside_is_heard_without_telling_the_runtime() {
        let outside = Arc::<Count>::default();
        let mut turns = 0;
        let mut task = LocalWake::new(poll_fn(|cx| {
            turns += 1;
            if turns == 1 {
                cx.waker().wake_by_ref();
            }
            if turns == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(poll(&mut task, &outside), Poll::Ready(()));
        assert_eq!(outside.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_wake_from_outside_reaches_the_runtime() {
        let outside = Arc::<Count>::default();
        let mut inside = None;
        let mut task = LocalWake::new(poll_fn(|cx| {
            inside = Some(cx.waker().clone());
            Poll::<()>::Pending
        }));
        assert_eq!(poll(&mut task, &outside), Poll::Pending);
        drop(task);
        inside.expect("it was polled").wake();
        assert_eq!(outside.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn one_that_wakes_itself_for_ever_gives_way_to_others() {
        let outside = Arc::<Count>::default();
        let mut task = LocalWake::new(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        assert_eq!(poll(&mut task, &outside), Poll::Pending);
        assert_eq!(outside.0.load(Ordering::SeqCst), 1);
    }
}
