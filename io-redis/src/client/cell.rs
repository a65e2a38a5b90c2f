//! What a guard and the hub share of one lease: the end of its validity, and the stage it is in.
//!
//! The hub writes it while it holds its own lock, in the order of the core's events. Guards read it
//! without asking the hub. A stage that ends the lease is final: no later event changes it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

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
    /// When it was asked for; once it is held, since when.
    pub(crate) since: Instant,
    /// How many renewals were confirmed. It begins again when it cannot grow.
    pub(crate) renewed: u16,
    /// How many renewals failed. It begins again when it cannot grow.
    pub(crate) failed: u16,
    wait: Wait,
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

/// What an acquire has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// For its first attempt alone.
    Nothing,
    /// It was told to wait, but not that somebody else holds the key.
    Something,
    /// Somebody else held the key.
    Owner,
}

/// What an event changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Who must be [woken](Cell::wake), once no lock is held.
    pub(crate) concerns: Option<Concerns>,
    /// What it was in the course of the lease.
    pub(crate) course: Option<Course>,
}

/// A turn in the course of a lease, with what is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It waits for another owner, for the first time.
    Contended,
    /// It is held, so long after it was asked for.
    Granted {
        waited: Duration,
        /// Whether its first attempt did it, without a place in a queue.
        at_once: bool,
    },
    /// It ended without having been held.
    Failed {
        waited: Duration,
        /// Whether it was told before that somebody else holds the key.
        contended: bool,
    },
    /// A renewal was confirmed when so much of the validity was left.
    Renewed { left: Duration },
    /// It is not held any more.
    Over(Hold),
}

/// From when and until when a lease could be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    since: Instant,
    until: Instant,
}

impl Hold {
    /// How long it lasted, if it ends now. A process that stood still past the end of validity held
    /// nothing meanwhile.
    pub(crate) fn lasted(self, now: Instant) -> Duration {
        now.min(self.until).saturating_since(self.since)
    }
}

/// What a lease was until it was ended from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// Asked for, since this instant.
    Asked(Instant),
    Held(Hold),
    /// Its owner was releasing it.
    LetGo,
}

impl Cell {
    /// For a lease that is asked for now.
    pub(crate) fn new(key: Key, now: Instant) -> Self {
        Self {
            key,
            valid_until: AtomicI64::new(Instant::MIN.as_nanos()),
            state: Mutex::new(LeaseState {
                stage: Stage::Acquiring,
                since: now,
                renewed: 0,
                failed: 0,
                wait: Wait::Nothing,
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
    /// nothing.
    // Law: No resurrection
    pub(crate) fn apply(&self, now: Instant, event: &EventKind) -> Change {
        let mut state = self.lock();
        let waited = now.saturating_since(state.since);
        let (concerns, course) = match (event, &state.stage) {
            (EventKind::Acquired { fence, valid_until }, Stage::Acquiring) => {
                let at_once = state.wait == Wait::Nothing;
                state.stage = Stage::Held(*fence);
                state.since = now;
                self.set_valid_until(*valid_until);
                // There is no guard yet.
                let concerns = Some(Concerns::Askers);
                (concerns, Some(Course::Granted { waited, at_once }))
            }
            (EventKind::Failed { cause, .. }, Stage::Acquiring) => {
                let contended = state.wait == Wait::Owner;
                state.stage = Stage::Failed(Box::new(cause.clone()));
                let concerns = Some(Concerns::All);
                (concerns, Some(Course::Failed { waited, contended }))
            }
            (EventKind::Queued { left, .. }, Stage::Acquiring) => {
                (None, state.told_to_wait(left.is_some()))
            }
            (EventKind::Waiting { cause, .. }, Stage::Acquiring) => {
                let contended = matches!(cause, AcquireFailure::Contended { .. });
                (None, state.told_to_wait(contended))
            }
            (EventKind::Renewed { valid_until }, Stage::Held(_)) => {
                state.renewed = state.renewed.wrapping_add(1);
                state.suspect = false;
                let left = self.valid_until().saturating_since(now);
                self.set_valid_until(*valid_until);
                (Some(Concerns::Askers), Some(Course::Renewed { left }))
            }
            (EventKind::Shortened { valid_until }, Stage::Held(_)) => {
                self.set_valid_until(*valid_until);
                (Some(Concerns::All), None)
            }
            (EventKind::Suspect { cause, .. }, Stage::Held(_)) => {
                state.failed = state.failed.wrapping_add(1);
                state.suspect = true;
                state.failure = Some(Box::new(cause.clone()));
                (Some(Concerns::Askers), None)
            }
            (EventKind::Lost { loss }, Stage::Held(_)) => {
                let over = Course::Over(self.hold(&state));
                self.end(&mut state, Stage::Lost(Box::new(loss.clone().into())));
                (Some(Concerns::All), Some(over))
            }
            // The owner released it just before the loss was known.
            (EventKind::Lost { loss }, Stage::Releasing) => {
                let lost = Box::new(Release::Lost(loss.clone()));
                self.end(&mut state, Stage::NotReleased(lost));
                (Some(Concerns::All), None)
            }
            (EventKind::Released { outcome }, Stage::Releasing) => {
                let stage = match outcome {
                    Release::Released => Stage::Released,
                    outcome => Stage::NotReleased(Box::new(outcome.clone())),
                };
                self.end(&mut state, stage);
                // The guard is gone.
                (Some(Concerns::Askers), None)
            }
            // It comes after the lease ended for its owner.
            _ => (None, None),
        };
        Change { concerns, course }
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

    /// Ends the validity and sets the final stage, unless the lease is over already. Returns what
    /// the lease was, if this ended it. It wakes, so no lock may be held.
    pub(crate) fn finish(&self, stage: Stage) -> Option<Former> {
        let mut state = self.lock();
        let former = self.former(&state)?;
        self.end(&mut state, stage);
        drop(state);
        self.wake_all();
        Some(former)
    }

    /// The client closes. Whoever waits for the outcome of a release goes on waiting for it; any
    /// other lease ends here, and its owner must be [woken](Self::wake), once no lock is held.
    /// Returns what the lease was, if it was not over.
    pub(crate) fn close(&self) -> Option<Former> {
        let mut state = self.lock();
        let former = self.former(&state)?;
        if former != Former::LetGo {
            self.end(&mut state, Stage::Lost(Box::new(Loss::Closed)));
        }
        Some(former)
    }

    /// The owner releases: validity ends here, before the request is queued. Says how long the
    /// lease could be held, if it was held.
    // Law: No resurrection
    pub(crate) fn let_go(&self) -> Option<Hold> {
        let mut state = self.lock();
        let Former::Held(hold) = self.former(&state)? else {
            return None;
        };
        self.end(&mut state, Stage::Releasing);
        Some(hold)
    }

    /// The tasks of the client have ended, so no request will be answered any more. A held lease
    /// stays valid until its time ends. Returns what the lease was, if this ended it. It wakes, so
    /// no lock may be held.
    pub(crate) fn abandon(&self, ended: Ended) -> Option<Former> {
        let mut state = self.lock();
        let former = self.former(&state)?;
        let over = match former {
            Former::Asked(_) | Former::LetGo => {
                state.stage = Stage::Abandoned(Box::new(ended));
                Some(former)
            }
            // A renewal that somebody waits for will not be answered.
            Former::Held(_) => {
                state.failed = state.failed.wrapping_add(1);
                state.suspect = true;
                state.failure = None;
                None
            }
        };
        drop(state);
        self.wake(Concerns::Askers);
        over
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

    /// What the lease is. None if it is over.
    fn former(&self, state: &LeaseState) -> Option<Former> {
        match state.stage {
            Stage::Acquiring => Some(Former::Asked(state.since)),
            Stage::Held(_) => Some(Former::Held(self.hold(state))),
            Stage::Releasing => Some(Former::LetGo),
            Stage::Failed(_)
            | Stage::Abandoned(_)
            | Stage::Released
            | Stage::NotReleased(_)
            | Stage::Dropped
            | Stage::Lost(_) => None,
        }
    }

    /// Of a held lease.
    fn hold(&self, state: &LeaseState) -> Hold {
        Hold {
            since: state.since,
            until: self.valid_until(),
        }
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

impl LeaseState {
    /// An acquire is told to wait. Says whether it is the first time for another owner.
    fn told_to_wait(&mut self, contended: bool) -> Option<Course> {
        let before = self.wait;
        self.wait = match (before, contended) {
            (Wait::Owner, _) | (_, true) => Wait::Owner,
            (Wait::Nothing | Wait::Something, false) => Wait::Something,
        };
        (self.wait == Wait::Owner && before != Wait::Owner).then_some(Course::Contended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn held() -> Cell {
        let cell = Cell::new(Key::new(*b"k"), at(1));
        let fence = Fence::new(1).expect("not zero");
        cell.apply(
            at(5),
            &EventKind::Acquired {
                fence,
                valid_until: at(10),
            },
        );
        assert_eq!(cell.valid_until(), at(10));
        cell
    }

    #[test]
    fn validity_ends_before_a_release_is_queued() {
        let cell = held();
        assert!(cell.let_go().is_some());
        assert_eq!(cell.valid_until(), Instant::MIN);
    }

    #[test]
    fn a_renewal_that_crosses_a_release_revives_nothing() {
        let cell = held();
        cell.let_go();
        cell.apply(
            at(5),
            &EventKind::Renewed {
                valid_until: at(20),
            },
        );
        assert_eq!(cell.valid_until(), Instant::MIN);
        assert_eq!(cell.state().stage, Stage::Releasing);
    }

    #[test]
    fn a_renewal_after_a_loss_revives_nothing() {
        let cell = held();
        cell.apply(
            at(5),
            &EventKind::Lost {
                loss: tenure_core::Loss::Gone,
            },
        );
        cell.apply(
            at(5),
            &EventKind::Renewed {
                valid_until: at(20),
            },
        );
        assert_eq!(cell.valid_until(), Instant::MIN);
        assert_eq!(cell.state().stage, Stage::Lost(Box::new(Loss::Gone)));
    }

    #[test]
    fn validity_may_go_down_as_well_as_up() {
        let cell = held();
        cell.apply(
            at(5),
            &EventKind::Renewed {
                valid_until: at(20),
            },
        );
        assert_eq!(cell.valid_until(), at(20));
        cell.apply(
            at(5),
            &EventKind::Shortened {
                valid_until: at(15),
            },
        );
        assert_eq!(cell.valid_until(), at(15));
    }

    #[test]
    fn closing_ends_a_lease_unless_its_owner_is_releasing_it() {
        let cell = held();
        assert!(matches!(cell.close(), Some(Former::Held(_))));
        assert_eq!(cell.state().stage, Stage::Lost(Box::new(Loss::Closed)));
        assert_eq!(cell.valid_until(), Instant::MIN);
        let cell = held();
        cell.let_go();
        assert_eq!(cell.close(), Some(Former::LetGo));
        assert_eq!(cell.state().stage, Stage::Releasing);
    }

    #[test]
    fn after_the_tasks_ended_held_stays_valid_and_asked_is_answered() {
        let ended = Ended::RuntimeEnded(crate::error::RuntimeEnd::Ended);
        let cell = held();
        cell.abandon(ended.clone());
        assert_eq!(cell.valid_until(), at(10));
        assert_eq!(cell.state().failed, 1);
        let cell = Cell::new(Key::new(*b"k"), at(1));
        cell.abandon(ended.clone());
        let abandoned = Stage::Abandoned(Box::new(ended.clone()));
        assert_eq!(cell.state().stage, abandoned);
        let cell = held();
        cell.let_go();
        cell.abandon(ended);
        assert_eq!(cell.state().stage, abandoned);
    }

    #[test]
    fn each_turn_of_a_lease_tells_how_long_it_took_to_come_there() {
        let cell = Cell::new(Key::new(*b"k"), at(1));
        let apply = |now, event| cell.apply(at(now), &event).course;
        let queued = |left| EventKind::Queued {
            node: tenure_core::NodeId::new(0),
            ahead: 1,
            left,
            holder: None,
            until: at(9),
        };
        assert_eq!(apply(2, queued(None)), None, "by nobody that is known");
        let left = Some(Duration::from_nanos(1));
        assert_eq!(apply(2, queued(left)), Some(Course::Contended));
        assert_eq!(apply(3, queued(left)), None, "it is told once");
        let fence = Fence::new(1).expect("not zero");
        let acquired = EventKind::Acquired {
            fence,
            valid_until: at(10),
        };
        let waited = Duration::from_nanos(3);
        let at_once = false;
        assert_eq!(
            apply(4, acquired),
            Some(Course::Granted { waited, at_once })
        );
        let renewed = EventKind::Renewed {
            valid_until: at(20),
        };
        let left = Duration::from_nanos(2);
        assert_eq!(apply(8, renewed), Some(Course::Renewed { left }));
        let loss = tenure_core::Loss::Expired;
        let Some(Course::Over(hold)) = apply(25, EventKind::Lost { loss }) else {
            panic!("it was held");
        };
        assert_eq!(hold.lasted(at(12)), Duration::from_nanos(8));
        assert_eq!(
            hold.lasted(at(25)),
            Duration::from_nanos(16),
            "and not longer than it was valid"
        );
        assert_eq!(cell.finish(Stage::Dropped), None, "it is over");
    }

    /// A client holds 100,000 of them.
    #[test]
    fn a_cell_is_small() {
        assert!(size_of::<Cell>() <= 144, "{}", size_of::<Cell>());
    }
}
