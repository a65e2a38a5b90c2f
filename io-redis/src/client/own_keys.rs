//! Which task holds which key of this client. Who asks for a key that it holds itself waits for
//! itself, and is warned.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use tenure_core::Key;

use crate::client::cell::Cell;
use crate::runtime::Clock;

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
pub(crate) struct OwnKeys(Mutex<BTreeSet<Own>>);

/// A key for which a guard was made. Two of them are the same if their keys are: a client may hold
/// many, and the cell knows its key.
#[derive(Debug)]
struct Own {
    cell: Arc<Cell>,
    who: Who,
}

impl Borrow<Key> for Own {
    fn borrow(&self) -> &Key {
        self.cell.key()
    }
}

impl Ord for Own {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cell.key().cmp(other.cell.key())
    }
}

impl PartialOrd for Own {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Own {}

impl OwnKeys {
    /// A guard is made, by whoever runs this.
    pub(crate) fn took(&self, cell: &Arc<Cell>) {
        if let Some(who) = Who::here() {
            let cell = Arc::clone(cell);
            // The guard before it, of a lease that is over, is forgotten.
            let before = self.keys().replace(Own { cell, who });
            drop(before);
        }
    }

    /// A guard is gone.
    pub(crate) fn dropped(&self, cell: &Arc<Cell>) {
        let mut keys = self.keys();
        let own = keys.take(cell.key());
        // The key may have been taken since by another guard.
        if let Some(other) = own.filter(|own| !Arc::ptr_eq(&own.cell, cell)) {
            keys.insert(other);
        }
    }

    /// Whether whoever runs this made a guard of the key that is still valid.
    pub(crate) fn held_here(&self, key: &Key, clock: &dyn Clock) -> bool {
        let keys = self.keys();
        let Some(own) = keys.get(key) else {
            return false;
        };
        clock.now() < own.cell.valid_until() && Who::here() == Some(own.who)
    }

    fn keys(&self) -> MutexGuard<'_, BTreeSet<Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
