//! What a guard and the hub share of one lease: the end of its validity, and the stage it is in.
//!
//! The hub writes it while it holds its own lock, in the order of the core's events. Guards read it
//! without asking the hub. A stage that ends the lease is final: no later event changes it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use tenure_core::{AcquireFailure, EventKind, Fence, Instant, Key, Release, RenewalFailure};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::{Ended, Loss};
use crate::log_target::contained;

/// The shared state of one lease.
#[derive(Debug)]
pub(crate) struct Cell {
    key: Key,
    /// The end of validity, kept apart so that a guard reads it without a lock. `Instant::MIN`
    /// unless the lease is held.
    valid_until: AtomicI64,
    state: Mutex<LeaseState>,
    /// Notified at every change of the state.
    changed: Notify,
    /// Notified when validity has ended, or ends sooner than before.
    sooner: Notify,
    /// The end of validity under which the alarms list it, if they do. Only they use it, under
    /// their lock.
    listed: AtomicI64,
}

/// Who must look again at a lease that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// Who waits for an answer. Who awaits the loss sleeps on: there are many of them, and renewals
    /// come again and again.
    Askers,
    /// Everybody: validity has ended, or ends sooner than before.
    All,
}

/// Where a lease stands and how its renewals went.
#[derive(Clone, Debug)]
pub(crate) struct LeaseState {
    pub(crate) stage: Stage,
    /// How many renewals were confirmed. It begins again when it cannot grow.
    pub(crate) renewed: u32,
    /// How many renewals failed. It begins again when it cannot grow.
    pub(crate) failed: u16,
    /// Whether the nodes were asked to watch the key.
    pub(crate) watched: bool,
    /// Whether the last renewal failed, and none was confirmed since.
    pub(crate) suspect: bool,
    /// Why the last of them failed. None if none has, or if the client's tasks have ended.
    pub(crate) failure: Option<Box<RenewalFailure>>,
}

/// Where a lease stands, as its owner sees it. What few leases come to is boxed, since a client may
/// hold many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No answer yet.
    Acquiring,
    /// Held, as long as the validity lasts.
    Held(Fence),
    /// It failed without having been held.
    Failed(Box<AcquireFailure>),
    /// It was being acquired or released when the tasks of the client ended, so the outcome is not
    /// known.
    Abandoned(Box<Ended>),
    /// The owner asked for the release and waits.
    Releasing,
    /// The owner asked for the release, and it was done.
    Released,
    /// The owner asked for the release and has another answer.
    NotReleased(Box<Release>),
    /// The owner dropped it and asks for nothing.
    Dropped,
    /// It was held, and ended in another way.
    Lost(Box<Loss>),
}

impl Cell {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            valid_until: AtomicI64::new(Instant::MIN.as_nanos()),
            state: Mutex::new(LeaseState {
                stage: Stage::Acquiring,
                renewed: 0,
                failed: 0,
                watched: false,
                suspect: false,
                failure: None,
            }),
            changed: Notify::new(),
            sooner: Notify::new(),
            listed: AtomicI64::new(Instant::MAX.as_nanos()),
        }
    }

    /// The key, as it stands on the nodes.
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Until when the lease is valid; `Instant::MIN` unless it is held.
    pub(crate) fn valid_until(&self) -> Instant {
        Instant::from_nanos(self.valid_until.load(Ordering::Acquire))
    }

    /// A copy of the state.
    pub(crate) fn state(&self) -> LeaseState {
        self.lock().clone()
    }

    /// Applies an event of the core. An event that comes after the end of the lease changes
    /// nothing. Returns who must be [woken](Self::wake), once no lock is held.
    // Law: No resurrection
    pub(crate) fn apply(&self, event: &EventKind) -> Option<Concerns> {
        let mut state = self.lock();
        let mut concerns = Concerns::All;
        match (event, &state.stage) {
            (EventKind::Acquired { fence, valid_until }, Stage::Acquiring) => {
                state.stage = Stage::Held(*fence);
                self.set_valid_until(*valid_until);
                // There is no guard yet.
                concerns = Concerns::Askers;
            }
            (EventKind::Failed { cause, .. }, Stage::Acquiring) => {
                state.stage = Stage::Failed(Box::new(cause.clone()));
            }
            (EventKind::Renewed { valid_until }, Stage::Held(_)) => {
                state.renewed = state.renewed.wrapping_add(1);
                state.suspect = false;
                self.set_valid_until(*valid_until);
                concerns = Concerns::Askers;
            }
            (EventKind::Shortened { valid_until }, Stage::Held(_)) => {
                self.set_valid_until(*valid_until);
            }
            (EventKind::Suspect { cause, .. }, Stage::Held(_)) => {
                state.failed = state.failed.wrapping_add(1);
                state.suspect = true;
                state.failure = Some(Box::new(cause.clone()));
                concerns = Concerns::Askers;
            }
            (EventKind::Lost { loss }, Stage::Held(_)) => {
                self.end(&mut state, Stage::Lost(Box::new(loss.clone().into())));
            }
            // The owner released it just before the loss was known.
            (EventKind::Lost { loss }, Stage::Releasing) => {
                let lost = Box::new(Release::Lost(loss.clone()));
                self.end(&mut state, Stage::NotReleased(lost));
            }
            (EventKind::Released { outcome }, Stage::Releasing) => {
                self.end(
                    &mut state,
                    match outcome {
                        Release::Released => Stage::Released,
                        outcome => Stage::NotReleased(Box::new(outcome.clone())),
                    },
                );
                // The guard is gone.
                concerns = Concerns::Askers;
            }
            // An event that is only logged, or that comes after the lease ended for its owner.
            _ => return None,
        }
        Some(concerns)
    }

    /// Wakes those who must look again. No lock may be held: a waker is code of the program.
    pub(crate) fn wake(&self, concerns: Concerns) {
        contained(|| self.changed.notify_waiters());
        if concerns == Concerns::All {
            contained(|| self.sooner.notify_waiters());
        }
    }

    /// Wakes whoever waits for this lease. No lock may be held: a waker is code of the program.
    pub(crate) fn wake_all(&self) {
        self.wake(Concerns::All);
    }

    /// Ends the validity and sets the final stage, unless the lease is over already. Returns
    /// whether it did. It wakes, so no lock may be held.
    pub(crate) fn finish(&self, stage: Stage) -> bool {
        let mut state = self.lock();
        let open = matches!(
            state.stage,
            Stage::Acquiring | Stage::Held(_) | Stage::Releasing
        );
        if open {
            self.end(&mut state, stage);
            drop(state);
            self.wake_all();
        }
        open
    }

    /// The client closes. Whoever waits for the outcome of a release goes on waiting for it; any
    /// other lease ends here, and its owner must be [woken](Self::wake), once no lock is held.
    /// Returns whether its owner is releasing it.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        match state.stage {
            Stage::Releasing => return true,
            Stage::Acquiring | Stage::Held(_) => {
                self.end(&mut state, Stage::Lost(Box::new(Loss::Closed)));
            }
            _ => {}
        }
        false
    }

    /// The owner releases: validity ends here, before the request is queued. Returns whether the
    /// lease was held.
    // Law: No resurrection
    pub(crate) fn let_go(&self) -> bool {
        let mut state = self.lock();
        let held = matches!(state.stage, Stage::Held(_));
        if held {
            self.end(&mut state, Stage::Releasing);
        }
        held
    }

    /// The tasks of the client have ended, so no request will be answered any more. A held lease
    /// stays valid until its time ends. It wakes, so no lock may be held.
    pub(crate) fn abandon(&self, ended: Ended) {
        let mut state = self.lock();
        match state.stage {
            Stage::Acquiring | Stage::Releasing => {
                state.stage = Stage::Abandoned(Box::new(ended));
            }
            // A renewal that somebody waits for will not be answered.
            Stage::Held(_) => {
                state.failed = state.failed.wrapping_add(1);
                state.suspect = true;
                state.failure = None;
            }
            _ => return,
        }
        drop(state);
        self.wake(Concerns::Askers);
    }

    /// Ends when validity has ended, or ends sooner than it did when this was called.
    pub(crate) fn sooner(&self) -> Notified<'_> {
        self.sooner.notified()
    }

    /// Where the alarms list it. `Instant::MAX` if they do not, or if they have told its end.
    pub(crate) fn listed(&self) -> Instant {
        Instant::from_nanos(self.listed.load(Ordering::Relaxed))
    }

    /// Notes that the nodes are asked to watch the key. True the first time.
    pub(crate) fn watch(&self) -> bool {
        !std::mem::replace(&mut self.lock().watched, true)
    }

    pub(crate) fn set_listed(&self, at: Instant) {
        self.listed.store(at.as_nanos(), Ordering::Relaxed);
    }

    /// Waits until `look` returns an answer. It is called at once and after every change.
    pub(crate) async fn wait_for<T>(&self, mut look: impl FnMut(&LeaseState) -> Option<T>) -> T {
        // It hears of each change from here on, also before it is polled, so that none is missed
        // between a look and that.
        let mut changed = std::pin::pin!(self.changed.notified());
        poll_fn(|cx| {
            loop {
                if let Some(answer) = look(&self.lock()) {
                    return Poll::Ready(answer);
                }
                ready!(changed.as_mut().poll(cx));
                changed.set(self.changed.notified());
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, state: &mut LeaseState, stage: Stage) {
        state.stage = stage;
        self.set_valid_until(Instant::MIN);
    }

    /// Call it only with the state locked: otherwise a renewal that crosses a release could make
    /// the lease valid again.
    // Law: No resurrection
    fn set_valid_until(&self, at: Instant) {
        self.valid_until.store(at.as_nanos(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn held() -> Cell {
        let cell = Cell::new(Key::new(*b"k"));
        let fence = Fence::new(1).expect("not zero");
        cell.apply(&EventKind::Acquired {
            fence,
            valid_until: at(10),
        });
        assert_eq!(cell.valid_until(), at(10));
        cell
    }

    #[test]
    fn validity_ends_before_a_release_is_queued() {
        let cell = held();
        assert!(cell.let_go());
        assert_eq!(cell.valid_until(), Instant::MIN);
    }

    #[test]
    fn a_renewal_that_crosses_a_release_revives_nothing() {
        let cell = held();
        cell.let_go();
        cell.apply(&EventKind::Renewed {
            valid_until: at(20),
        });
        assert_eq!(cell.valid_until(), Instant::MIN);
        assert_eq!(cell.state().stage, Stage::Releasing);
    }

    #[test]
    fn a_renewal_after_a_loss_revives_nothing() {
        let cell = held();
        cell.apply(&EventKind::Lost {
            loss: tenure_core::Loss::Gone,
        });
        cell.apply(&EventKind::Renewed {
            valid_until: at(20),
        });
        assert_eq!(cell.valid_until(), Instant::MIN);
        assert_eq!(cell.state().stage, Stage::Lost(Box::new(Loss::Gone)));
    }

    #[test]
    fn validity_may_go_down_as_well_as_up() {
        let cell = held();
        cell.apply(&EventKind::Renewed {
            valid_until: at(20),
        });
        assert_eq!(cell.valid_until(), at(20));
        cell.apply(&EventKind::Shortened {
            valid_until: at(15),
        });
        assert_eq!(cell.valid_until(), at(15));
    }

    #[test]
    fn closing_ends_a_lease_unless_its_owner_is_releasing_it() {
        let cell = held();
        assert!(!cell.close());
        assert_eq!(cell.state().stage, Stage::Lost(Box::new(Loss::Closed)));
        assert_eq!(cell.valid_until(), Instant::MIN);
        let cell = held();
        cell.let_go();
        assert!(cell.close());
        assert_eq!(cell.state().stage, Stage::Releasing);
    }

    #[test]
    fn after_the_tasks_ended_held_stays_valid_and_asked_is_answered() {
        let ended = Ended::RuntimeEnded(crate::error::RuntimeEnd::Ended);
        let cell = held();
        cell.abandon(ended.clone());
        assert_eq!(cell.valid_until(), at(10));
        assert_eq!(cell.state().failed, 1);
        let cell = Cell::new(Key::new(*b"k"));
        cell.abandon(ended.clone());
        let abandoned = Stage::Abandoned(Box::new(ended.clone()));
        assert_eq!(cell.state().stage, abandoned);
        let cell = held();
        cell.let_go();
        cell.abandon(ended);
        assert_eq!(cell.state().stage, abandoned);
    }

    /// A client holds 100,000 of them.
    #[test]
    fn a_cell_is_small() {
        assert!(size_of::<Cell>() <= 136, "{}", size_of::<Cell>());
    }
}
