//! What this client holds now.

use std::time::Duration;

use tenure_core::Key;

use crate::api::locks::Locks;
use crate::client::cell::Stage;

/// A lock that this client holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldLock {
    /// The key that was asked for, without the client's prefix.
    pub key: Key,
    /// The fencing token: [`Guard::fence`](crate::Guard::fence).
    pub fence: u64,
    /// For how long it is held, from the moment at which this client heard of it.
    pub held_for: Duration,
    /// How long it is held from now if no renewal succeeds, which is not zero:
    /// [`Guard::remaining`](crate::Guard::remaining).
    pub left: Duration,
    /// Whether the last renewal failed, or nobody knows what became of it. The lock is held all the
    /// same.
    pub suspect: bool,
    /// Whether the nodes were asked to watch the key, since somebody awaits the loss of the lock
    /// ([`Guard::lost`](crate::Guard::lost), `run`, `renewed`).
    pub watched: bool,
}

impl Locks {
    /// The locks that this client holds now, for all of its handles, sorted by key. Asks no node.
    ///
    /// Each is told as [`Guard::is_valid`](crate::Guard::is_valid) would tell it, by this process's
    /// own clock. They are read one after the other, so the list may show what was never so at one
    /// instant. A lock is on it once its guard exists. Of two guards of one key, of which the nodes
    /// have lost the first, the later is told.
    ///
    /// It costs memory and time for each of them: of 100,000 locks some 12 MB, and some tens of
    /// milliseconds of the caller's thread. Nothing else waits for that: 256 guards at a time are
    /// read under the lock which the taking and dropping of guards needs, and that under which the
    /// client works is not taken. From a task that must not keep its thread so long, call it in
    /// `spawn_blocking`.
    ///
    /// ```no_run
    /// # fn example(locks: tenure_redis::Locks) {
    /// for lock in locks.held() {
    ///     println!("{} for {:?}, {:?} left", lock.key, lock.held_for, lock.left);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn held(&self) -> Vec<HeldLock> {
        let client = self.client();
        let (own_keys, clock) = (client.own_keys(), client.hub().clock());
        let mut held = Vec::new();
        let mut last = None;
        loop {
            let guards = own_keys.after(last.as_ref());
            let Some(cell) = guards.last() else {
                return held;
            };
            last = Some(cell.key().clone());
            for cell in guards {
                let state = cell.state();
                let now = clock.now();
                let left = cell.valid_until().saturating_since(now);
                if let Stage::Held(fence) = state.stage
                    && !left.is_zero()
                {
                    held.push(HeldLock {
                        key: Key::new(&cell.key().as_bytes()[client.prefix_len()..]),
                        fence: fence.get(),
                        held_for: now.saturating_since(state.since),
                        left,
                        suspect: state.suspect,
                        watched: state.watched,
                    });
                }
            }
        }
    }
}
