//! Which task holds which key of this client. Who asks for a key that it holds itself waits for
//! itself, and is warned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use tenure_core::{Instant, Key};

use crate::client::cell::Cell;

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Task(tokio::task::Id),
    /// The thread that runs the future of `block_on`, which is no task.
    Thread(ThreadId),
}

impl Who {
    /// None outside of tokio: many tasks of another executor may share a thread.
    fn here() -> Option<Self> {
        let thread = || {
            let inside = tokio::runtime::Handle::try_current().is_ok();
            inside.then(|| Self::Thread(std::thread::current().id()))
        };
        tokio::task::try_id().map(Self::Task).or_else(thread)
    }
}

/// The keys that guards were made for, and by whom.
#[derive(Debug, Default)]
pub(crate) struct OwnKeys(Mutex<BTreeMap<Key, (Who, Arc<Cell>)>>);

impl OwnKeys {
    /// A guard is made, by whoever runs this.
    pub(crate) fn took(&self, cell: &Arc<Cell>) {
        if let Some(who) = Who::here() {
            let taken = (who, Arc::clone(cell));
            // The guard before it, of a lease that is over, is forgotten.
            let before = self.keys().insert(cell.key().clone(), taken);
            drop(before);
        }
    }

    /// A guard is gone.
    pub(crate) fn dropped(&self, cell: &Arc<Cell>) {
        let mut keys = self.keys();
        let is_this = |(_, known): &(Who, Arc<Cell>)| Arc::ptr_eq(known, cell);
        if keys.get(cell.key()).is_some_and(is_this) {
            keys.remove(cell.key());
        }
    }

    /// Whether whoever runs this made a guard of the key that is still valid.
    pub(crate) fn held_here(&self, key: &Key, now: Instant) -> bool {
        let keys = self.keys();
        let Some((who, cell)) = keys.get(key) else {
            return false;
        };
        now < cell.valid_until() && Who::here() == Some(*who)
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<Key, (Who, Arc<Cell>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
