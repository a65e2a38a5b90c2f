//! Where pushes of a connection wait until the session hands them on: redis-rs puts them here as it
//! reads them, before it answers what it reads behind them.

use std::sync::{Arc, Mutex, PoisonError};

use redis::PushInfo;

/// The pushes of one connection.
#[derive(Clone, Default)]
pub(crate) struct Mailbox(Arc<Mutex<Vec<PushInfo>>>);

impl Mailbox {
    /// Puts a push behind the others.
    pub(crate) fn put(&self, push: PushInfo) {
        self.letters().push(push);
    }

    /// Takes all of them, in the order in which they were read. Gives an empty buffer for them.
    pub(crate) fn take(&self, letters: &mut Vec<PushInfo>) {
        std::mem::swap(&mut *self.letters(), letters);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters().is_empty()
    }

    fn letters(&self) -> std::sync::MutexGuard<'_, Vec<PushInfo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
