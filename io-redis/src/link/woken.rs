//! A future that is polled only if it was woken.
//!
//! A session waits for many things in one task. The task is woken by one of them, and to poll all
//! the others each time would cost more than what there is to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use crate::runtime::BoxFuture;

/// See the module.
pub(crate) struct Woken<T> {
    future: BoxFuture<'static, T>,
    state: Arc<State>,
    /// Wakes `state`.
    inner: Waker,
    /// The same that `state` has.
    outer: Option<Waker>,
}

struct State {
    woken: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order: `poll` leaves its waker here before it looks whether it was woken.
        self.woken.store(true, Ordering::SeqCst);
        // A waker may be code of the program, so it is not called under the lock.
        let outer = {
            let slot = self.outer.lock().unwrap_or_else(PoisonError::into_inner);
            slot.clone()
        };
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

impl<T> Woken<T> {
    pub(crate) fn new(future: BoxFuture<'static, T>) -> Self {
        let state = Arc::new(State {
            woken: AtomicBool::new(true),
            outer: Mutex::new(None),
        });
        Self {
            future,
            inner: Waker::from(Arc::clone(&state)),
            state,
            outer: None,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let outer = cx.waker();
        if !self.outer.as_ref().is_some_and(|it| it.will_wake(outer)) {
            self.outer = Some(outer.clone());
            let mut slot = self
                .state
                .outer
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            slot.clone_from(&self.outer);
        }
        if !self.state.woken.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.state.woken.store(false, Ordering::SeqCst);
        let output = ready!(
            self.future
                .as_mut()
                .poll(&mut Context::from_waker(&self.inner))
        );
        // Whoever asks once more is answered by the future itself.
        self.state.woken.store(true, Ordering::SeqCst);
        Poll::Ready(output)
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

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// A future that counts its polls and leaves its waker; and both.
    fn counted() -> (Woken<()>, Arc<Count>, Arc<Mutex<Option<Waker>>>) {
        let (polls, waker) = (
            Arc::<Count>::default(),
            Arc::<Mutex<Option<Waker>>>::default(),
        );
        let (counts, leaves) = (Arc::clone(&polls), Arc::clone(&waker));
        let future = poll_fn(move |cx| {
            Arc::clone(&counts).wake();
            *leaves.lock().expect("nobody panics") = Some(cx.waker().clone());
            Poll::Pending
        });
        (Woken::new(Box::pin(future)), polls, waker)
    }

    #[test]
    fn it_is_polled_at_first_and_then_only_if_it_was_woken() {
        let (mut future, polls, waker) = counted();
        let outside = Arc::<Count>::default();
        let task = Waker::from(Arc::clone(&outside));
        let mut poll = || future.poll(&mut Context::from_waker(&task)).is_pending();
        for _ in 0..3 {
            assert!(poll());
            assert_eq!(polls.get(), 1);
        }
        let inner = waker.lock().expect("nobody panics").clone();
        inner.expect("it was polled").wake();
        assert_eq!(outside.get(), 1, "the task is woken");
        assert!(poll() && poll());
        assert_eq!(polls.get(), 2);
    }

    #[test]
    fn a_task_that_moved_on_is_woken_by_its_new_waker() {
        let (mut future, _, waker) = counted();
        let (old, new) = (Arc::<Count>::default(), Arc::<Count>::default());
        for outside in [&old, &new] {
            let task = Waker::from(Arc::clone(outside));
            assert!(future.poll(&mut Context::from_waker(&task)).is_pending());
        }
        let inner = waker.lock().expect("nobody panics").clone();
        inner.expect("it was polled").wake();
        assert_eq!((old.get(), new.get()), (0, 1));
    }
}
