//! A bell that anybody may ring, and that one task hears.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Rung before anybody listens, it is heard as soon as somebody does. Rung several times, it is
/// heard once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    listener: AtomicWaker,
}

impl Bell {
    pub(crate) fn ring(&self) {
        // If it is rung already, the listener was woken and has not looked yet.
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.listener.wake();
        }
    }

    /// Ready once for each time that it was rung, or for several.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.rung.load(Ordering::SeqCst) {
            self.listener.register(cx.waker());
            // It may have been rung before the waker was there.
            if !self.rung.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        self.rung.store(false, Ordering::SeqCst);
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_was_rung_before_is_heard_once() {
        let bell = Bell::default();
        let mut nobody = Context::from_waker(Waker::noop());
        bell.ring();
        bell.ring();
        assert!(bell.poll(&mut nobody).is_ready());
        assert!(bell.poll(&mut nobody).is_pending());
    }

    #[tokio::test]
    async fn a_listener_is_woken() {
        let bell = Arc::new(Bell::default());
        let rings = Arc::clone(&bell);
        let ringer = tokio::spawn(async move {
            tokio::task::yield_now().await;
            rings.ring();
        });
        poll_fn(|cx| bell.poll(cx)).await;
        ringer.await.expect("it does not panic");
    }
}
