//! Which task holds which key of this client. A task that asks for a key that it holds waits for
//! itself, and is warned. A client that waits for a key that another of its tasks holds is warned
//! once.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
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
pub(crate) struct OwnKeys(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    held: BTreeSet<Own>,
    /// Those that another task of the client held as they were asked for.
    warned: HashSet<Key>,
}

impl Keys {
    /// How many are remembered that were warned of. Beyond that they are all forgotten, and warned
    /// of again.
    // Law: Bounded work
    const MOST: usize = 1_024;
    /// How many guards are listed at a time.
    const AT_ONCE: usize = 256;
}

/// Whose key it is that a client asks for and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the task that asks.
    SameTask,
    /// That of another task, or of who knows which.
    OtherTask,
}

/// A key for which a guard was made. Two of them are the same if their keys are: a client may hold
/// many, and the cell knows its key.
#[derive(Debug)]
struct Own {
    cell: Arc<Cell>,
    who: Option<Who>,
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
        let (cell, who) = (Arc::clone(cell), Who::here());
        // The guard before it, of a lease that is over, is forgotten.
        let before = self.keys().held.replace(Own { cell, who });
        drop(before);
    }

    /// The next guards behind this key, in the order of their keys: so few that no other caller
    /// waits long for the lock.
    // Law: Bounded work
    pub(crate) fn after(&self, key: Option<&Key>) -> Vec<Arc<Cell>> {
        let begin = key.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.keys();
        let next = keys.held.range::<Key, _>((begin, Bound::Unbounded));
        let next = next.take(Keys::AT_ONCE);
        next.map(|own| Arc::clone(&own.cell)).collect()
    }

    /// A guard is gone.
    pub(crate) fn dropped(&self, cell: &Arc<Cell>) {
        let mut keys = self.keys();
        let own = keys.held.take(cell.key());
        // The key may have been taken since by another guard.
        if let Some(other) = own.filter(|own| !Arc::ptr_eq(&own.cell, cell)) {
            keys.held.insert(other);
        }
    }

    /// Whoever runs this asks for the key. If there is a valid guard of it, and that is to be
    /// warned of: whose it is.
    pub(crate) fn to_warn(&self, key: &Key, now: Instant) -> Option<Whose> {
        let mut keys = self.keys();
        let own = keys.held.get(key)?;
        if now >= own.cell.valid_until() {
            return None;
        }
        if own.who.is_some() && Who::here() == own.who {
            return Some(Whose::SameTask);
        }
        if keys.warned.contains(key) {
            return None;
        }
        if keys.warned.len() >= Keys::MOST {
            keys.warned.clear();
        }
        keys.warned.insert(key.clone());
        Some(Whose::OtherTask)
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
