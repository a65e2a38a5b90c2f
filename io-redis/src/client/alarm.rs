//! Who awaits a loss is woken at the end of validity by an alarm, and who waits for an answer is
//! woken at the end of that wait: one task for all of them, on the runtime of the caller, since the
//! client's own tasks may not get to run.
//!
//! A timer for each would have to be set again at each renewal. The alarm knows of each lease when
//! it ended as it was last looked at. Renewals only move that to later, so it looks again when that
//! time is near, and if validity was shortened it is told. Once a second it compares clocks, since
//! timers stand still while the machine sleeps.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tenure_core::{Instant, LeaseId};
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

use crate::client::cell::Cell;
use crate::client::waits::Waits;
use crate::log_target::contained;
use crate::runtime::{CallerTimer, Clock, caller_runtime, gives_no_timer};

/// How often an alarm compares clocks. An end that is further away is not looked at.
const TICK: Duration = Duration::from_secs(1);

/// How many leases an alarm looks at in one step.
// Law: Bounded work
const STEP_MAX: usize = 256;

/// The alarms of one client, the leases whose loss somebody awaits, and who waits for an answer.
#[derive(Debug)]
pub(crate) struct Alarms {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the end that was last seen, which [`Cell::listed`] knows. `Instant::MAX` for those whose
    /// end has been told.
    listed: BTreeMap<(Instant, LeaseId), Arc<Cell>>,
    /// How many more than one await the loss of a lease. Most are awaited by one.
    more: BTreeMap<LeaseId, usize>,
    /// One for each runtime on which somebody waits, or did a moment ago.
    alarms: Vec<Alarm>,
    /// The alarm that was made last.
    last: Option<AlarmId>,
}

/// Which alarm of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlarmId(NonZeroU64);

#[derive(Debug)]
struct Alarm {
    id: AlarmId,
    runtime: Id,
    /// How many on this runtime await a loss.
    callers: usize,
    /// Those on this runtime who wait for an answer.
    waits: Waits,
    /// The instant that it sleeps for.
    armed: Instant,
    /// Rung for an earlier instant, and at the end.
    bell: Arc<Notify>,
}

/// What an alarm does next.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There is more to look at. Others get their turn first.
    Again,
    /// Nothing has to be looked at before this instant.
    At(Instant),
    /// Nobody on this runtime waits.
    Over,
}

/// Where an alarm has a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    alarm: AlarmId,
    at: usize,
}

/// Who must be woken, once the lock is given back.
#[derive(Debug, Default)]
struct Woken {
    cells: Vec<Arc<Cell>>,
    wakers: Vec<Waker>,
}

impl Alarms {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::clone(clock),
            state: Mutex::default(),
        })
    }

    /// Sees to it that the owners of the cell are [woken](Cell::wake_all) when its validity has
    /// ended, until it is [unset](Self::unset). None outside of a tokio runtime, or on one without
    /// a timer.
    // Law: Loss is told
    pub(crate) fn set(self: &Arc<Self>, lease: LeaseId, cell: &Arc<Cell>) -> Option<AlarmId> {
        let (alarm, ()) = self.join(|state, at| {
            state.alarms[at].callers += 1;
            (state.list(lease, cell), ())
        })?;
        Some(alarm)
    }

    /// Somebody waits at the alarm of this runtime, which is begun if there is none: `add` notes
    /// who, and says until when.
    fn join<T>(
        self: &Arc<Self>,
        add: impl FnOnce(&mut State, usize) -> (Instant, T),
    ) -> Option<(AlarmId, T)> {
        let runtime = caller_runtime()?;
        let mut state = self.lock();
        let mut alarms = state.alarms.iter();
        if let Some(at) = alarms.position(|alarm| alarm.runtime == runtime.id()) {
            let (until, added) = add(&mut state, at);
            let id = state.alarms[at].id;
            let bell = state.alarms[at].arm(until);
            drop(state);
            ring(bell);
            return Some((id, added));
        }
        let (id, bell) = state.begin(runtime.id());
        let last = state.alarms.len() - 1;
        let (_, added) = add(&mut state, last);
        drop(state);
        self.start(&runtime, id, bell);
        Some((id, added))
    }

    /// One less awaits the loss of the cell, by an alarm that was set for it.
    pub(crate) fn unset(&self, id: AlarmId, lease: LeaseId, cell: &Cell) {
        let mut state = self.lock();
        state.unlist(lease, cell);
        // If nobody else awaits a loss there, the alarm ends when it has slept: the next call of
        // `run` may be near.
        if let Some(alarm) = state.alarm(id) {
            alarm.callers -= 1;
        }
    }

    /// The time now, on the client's clock.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Wakes who waits for an answer when this instant has come, until the wait is [taken
    /// back](Self::unwait). None outside of a tokio runtime, or on one without a timer.
    pub(crate) fn wait(self: &Arc<Self>, until: Instant, waker: &Waker) -> Option<Place> {
        // A waker may be code of the program, so it is not copied under the lock.
        let waker = waker.clone();
        let (alarm, at) = self.join(|state, alarm| {
            let at = state.alarms[alarm].waits.add(until, waker);
            (until, at)
        })?;
        Some(Place { alarm, at })
    }

    /// Who waits there goes on waiting. Returns false if that alarm has ended.
    pub(crate) fn waits_on(&self, place: Place, waker: &Waker) -> bool {
        let mut state = self.lock();
        let Some(alarm) = state.alarm(place.alarm) else {
            return false;
        };
        if alarm.waits.wakes(place.at, waker) {
            return true;
        }
        drop(state);
        // A waker may be code of the program, so it is neither copied nor dropped under the lock.
        let (waker, mut state) = (waker.clone(), self.lock());
        let alarm = state.alarm(place.alarm);
        let before = alarm.map(|alarm| alarm.waits.replace(place.at, waker));
        drop(state);
        before.is_some()
    }

    /// Takes a wait back.
    pub(crate) fn unwait(&self, place: Place) {
        let mut state = self.lock();
        let alarm = state.alarm(place.alarm);
        let waker = alarm.map(|alarm| alarm.waits.remove(place.at));
        drop(state);
        drop(waker);
    }

    /// The client is gone, and so are its guards. The alarms need not sleep to the end.
    pub(crate) fn end(&self) {
        let state = self.lock();
        let bells: Vec<_> = state
            .alarms
            .iter()
            .map(|alarm| alarm.bell.clone())
            .collect();
        drop(state);
        bells.into_iter().for_each(|bell| ring(Some(bell)));
    }

    /// Starts the task of an alarm. The lock must not be held: a runtime that is being shut down
    /// drops the task at once.
    fn start(self: &Arc<Self>, runtime: &Handle, id: AlarmId, bell: Arc<Notify>) {
        let mut duty = Duty {
            alarms: Arc::clone(self),
            id,
            runtime: runtime.id(),
            began: false,
        };
        runtime.spawn(async move {
            duty.began = true;
            loop {
                match duty.alarms.step(duty.id) {
                    Turn::Over => return,
                    Turn::Again => tokio::task::yield_now().await,
                    Turn::At(at) => {
                        if !sleep(&duty.alarms.clock, at, &bell).await {
                            return;
                        }
                    }
                }
            }
        });
    }

    /// Wakes those for whom it is time, in one bounded step.
    fn step(&self, id: AlarmId) -> Turn {
        let mut state = self.lock();
        let now = self.clock.now();
        let (woken, turn) = state.step(id, now);
        drop(state);
        woken.wake();
        turn
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Woken {
    /// No lock may be held: a waker is code of the program.
    fn wake(self) {
        self.cells.iter().for_each(|cell| cell.wake_all());
        for waker in self.wakers {
            contained(|| waker.wake());
        }
    }
}

impl State {
    fn alarm(&mut self, id: AlarmId) -> Option<&mut Alarm> {
        self.alarms.iter_mut().find(|alarm| alarm.id == id)
    }

    /// The last alarm is a new one from here on. Its task must be started.
    fn begin(&mut self, runtime: Id) -> (AlarmId, Arc<Notify>) {
        let before = self.last;
        let id = before.map_or(NonZeroU64::MIN, |last| last.0.saturating_add(1));
        let (id, bell) = (AlarmId(id), Arc::<Notify>::default());
        self.last = Some(id);
        self.alarms.push(Alarm {
            id,
            runtime,
            callers: 0,
            waits: Waits::default(),
            armed: Instant::MIN,
            bell: Arc::clone(&bell),
        });
        (id, bell)
    }

    /// One more awaits the loss of the cell. Returns the end of its validity.
    fn list(&mut self, lease: LeaseId, cell: &Arc<Cell>) -> Instant {
        let known = self.listed.remove(&(cell.listed(), lease));
        if known.is_some() {
            *self.more.entry(lease).or_default() += 1;
        }
        let end = cell.valid_until();
        self.put(end, lease, known.unwrap_or_else(|| Arc::clone(cell)));
        end
    }

    fn unlist(&mut self, lease: LeaseId, cell: &Cell) {
        if let Some(more) = self.more.get_mut(&lease) {
            *more -= 1;
            if *more == 0 {
                self.more.remove(&lease);
            }
            return;
        }
        self.listed.remove(&(cell.listed(), lease));
        cell.set_listed(Instant::MAX);
    }

    fn put(&mut self, at: Instant, lease: LeaseId, cell: Arc<Cell>) {
        cell.set_listed(at);
        self.listed.insert((at, lease), cell);
    }

    /// Finds what is over, and what this alarm does next.
    fn step(&mut self, id: AlarmId, now: Instant) -> (Woken, Turn) {
        let mut woken = Woken::default();
        let alarm = self.alarms.iter().position(|alarm| alarm.id == id);
        let Some(alarm) = alarm.filter(|at| self.alarms[*at].is_wanted()) else {
            return (woken, Turn::Over);
        };
        let waits = &mut self.alarms[alarm].waits;
        let wait = waits.look(now, STEP_MAX, &mut woken.wakers);
        let lease = (0..STEP_MAX).find_map(|_| self.look(now, &mut woken.cells));
        let (armed, turn) = match (wait, lease) {
            (Some(wait), Some(lease)) => (wait.min(lease), Turn::At(wait.min(lease))),
            _ => (Instant::MIN, Turn::Again),
        };
        self.alarms[alarm].armed = armed;
        (woken, turn)
    }

    /// Looks at the lease whose end is nearest. Returns when to look again, if not at once.
    fn look(&mut self, now: Instant, over: &mut Vec<Arc<Cell>>) -> Option<Instant> {
        let tick = now + TICK;
        let first = self.listed.first_entry();
        let Some(first) = first.filter(|first| first.key().0 <= tick) else {
            return Some(tick);
        };
        let (seen, lease) = *first.key();
        let end = first.get().valid_until();
        if end == seen && now < end {
            return Some(end);
        }
        let cell = first.remove();
        if now < end {
            self.put(end, lease, cell);
        } else {
            over.push(Arc::clone(&cell));
            self.put(Instant::MAX, lease, cell);
        }
        None
    }
}

impl Alarm {
    fn is_wanted(&self) -> bool {
        self.callers > 0 || !self.waits.is_empty()
    }

    /// Sees to it that it looks at this instant. Returns what must be rung.
    fn arm(&mut self, at: Instant) -> Option<Arc<Notify>> {
        let late = at < self.armed;
        late.then(|| {
            // It is not rung twice: it sets this again when it has run.
            self.armed = Instant::MIN;
            Arc::clone(&self.bell)
        })
    }
}

/// Rings the bell of an alarm. The lock must not be held.
fn ring(bell: Option<Arc<Notify>>) {
    if let Some(bell) = bell {
        contained(|| bell.notify_one());
    }
}

/// Waits for the instant, or for the bell. Returns false if there is no timer on this runtime.
async fn sleep(clock: &Arc<dyn Clock>, at: Instant, bell: &Notify) -> bool {
    let mut rung = pin!(bell.notified());
    let mut timer = CallerTimer::new(clock, at);
    poll_fn(|cx| {
        if rung.as_mut().poll(cx).is_ready() || Pin::new(&mut timer).poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if timer.is_missing() {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await
}

/// Owned by the task of an alarm. However that ends, it is known.
struct Duty {
    alarms: Arc<Alarms>,
    id: AlarmId,
    runtime: Id,
    /// Whether the task was polled.
    began: bool,
}

impl Drop for Duty {
    /// Who is left without an alarm is woken, and sets another one on the runtime that it is polled
    /// on by then.
    fn drop(&mut self) {
        if !self.began {
            // It is being shut down. Another alarm would end like this one.
            gives_no_timer(self.runtime);
        }
        let mut state = self.alarms.lock();
        let mut alarms = state.alarms.iter();
        let Some(at) = alarms.position(|alarm| alarm.id == self.id) else {
            return;
        };
        let alarm = state.alarms.remove(at);
        let mut woken = Woken::default();
        if alarm.callers > 0 {
            woken.cells.extend(state.listed.values().cloned());
        }
        drop(state);
        woken.wakers = alarm.waits.into_wakers();
        woken.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use futures_util::future::FutureExt;
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::api::guard::Guard;
    use crate::api::guard::tests::guard_on;
    use crate::client::testing::MovedClock;
    use crate::error::{Loss, Lost};
    use crate::runtime::BootClock;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    type Waiting<'a> = Pin<Box<dyn Future<Output = Lost> + 'a>>;

    fn guard() -> (Guard, Arc<MovedClock>) {
        let clock = Arc::new(MovedClock::default());
        (guard_on(Arc::clone(&clock) as _), clock)
    }

    fn runtime() -> Runtime {
        let builder = Builder::new_current_thread().enable_time().build();
        builder.expect("a runtime")
    }

    fn tasks(runtime: &Runtime) -> usize {
        runtime.metrics().num_alive_tasks()
    }

    /// Others on the runtime get their turn.
    fn turns(runtime: &Runtime) {
        runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Polls it once on the runtime. Pending is what it must be.
    fn sleeps(runtime: &Runtime, lost: &mut Waiting<'_>, counts: &Arc<Counts>) {
        let _here = runtime.enter();
        let waker = Waker::from(Arc::clone(counts));
        let polled = lost.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        turns(runtime);
    }

    fn woken(counts: &Counts) -> usize {
        counts.0.load(Ordering::SeqCst)
    }

    fn end(guard: &Guard, clock: &MovedClock) -> Instant {
        clock.now() + guard.remaining()
    }

    #[test]
    fn an_alarm_has_one_task_which_ends_within_a_second_of_the_last_wait() {
        let ((guard, clock), runtime) = (guard(), runtime());
        let counts = Arc::default();
        let (mut one, mut two): (Waiting<'_>, Waiting<'_>) =
            (Box::pin(guard.lost()), Box::pin(guard.lost()));
        for lost in [&mut one, &mut two] {
            sleeps(&runtime, lost, &counts);
            assert_eq!(tasks(&runtime), 1);
        }
        drop(one);
        clock.set(clock.now() + TICK);
        turns(&runtime);
        assert_eq!(tasks(&runtime), 1, "one still waits");
        drop(two);
        clock.set(clock.now() + TICK);
        turns(&runtime);
        assert_eq!((tasks(&runtime), woken(&counts)), (0, 0));

        let mut three: Waiting<'_> = Box::pin(guard.lost());
        sleeps(&runtime, &mut three, &counts);
        assert_eq!(tasks(&runtime), 1, "and another begins");
        clock.set(end(&guard, &clock));
        turns(&runtime);
        assert_eq!(woken(&counts), 1);
        let lost = three.now_or_never().expect("it is over");
        assert_eq!(lost.loss, Loss::Expired);
    }

    #[test]
    fn an_alarm_ends_with_its_client_and_forgets_what_it_listed() {
        let ((guard, _clock), runtime) = (guard(), runtime());
        let mut lost: Waiting<'_> = Box::pin(guard.lost());
        sleeps(&runtime, &mut lost, &Arc::default());
        drop(lost);
        assert_eq!(tasks(&runtime), 1);
        drop(guard);
        turns(&runtime);
        assert_eq!(tasks(&runtime), 0);
    }

    /// Each caller has an alarm on its own runtime, which does not depend on the others.
    #[test]
    fn a_runtime_that_stands_still_keeps_nobody_on_another_waiting() {
        let ((guard, clock), blocked, runs) = (guard(), runtime(), runtime());
        let (mut one, mut two): (Waiting<'_>, Waiting<'_>) =
            (Box::pin(guard.lost()), Box::pin(guard.lost()));
        let (first, second) = (Arc::default(), Arc::default());
        sleeps(&blocked, &mut one, &first);
        sleeps(&runs, &mut two, &second);
        assert_eq!((tasks(&blocked), tasks(&runs)), (1, 1));
        clock.set(end(&guard, &clock));
        assert_eq!(woken(&second), 0);
        turns(&runs);
        assert_eq!(woken(&second), 1);
    }

    #[test]
    fn who_awaits_a_loss_beyond_the_end_of_its_runtime_is_told_elsewhere() {
        let ((guard, clock), first, second) = (guard(), runtime(), runtime());
        let mut lost: Waiting<'_> = Box::pin(guard.lost());
        let counts = Arc::default();
        sleeps(&first, &mut lost, &counts);
        assert_eq!(woken(&counts), 0);
        drop(first);
        assert_eq!(woken(&counts), 1, "it must find another alarm");
        sleeps(&second, &mut lost, &counts);
        clock.set(end(&guard, &clock));
        turns(&second);
        assert_eq!(woken(&counts), 2);
        assert!(lost.now_or_never().is_some());
    }

    /// An alarm that its runtime drops at once is not set again and again.
    #[test]
    fn a_runtime_that_is_being_shut_down_is_asked_for_an_alarm_once() {
        let ((guard, clock), runtime) = (guard(), runtime());
        let mut lost: Waiting<'_> = Box::pin(guard.lost());
        let handle = runtime.handle().clone();
        drop(runtime);
        let _here = handle.enter();
        let counts: Arc<Counts> = Arc::default();
        let waker = Waker::from(Arc::clone(&counts));
        for _ in 0..3 {
            let polled = lost.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            assert_eq!(woken(&counts), 1);
        }
        clock.set(end(&guard, &clock));
        assert!(
            lost.now_or_never().is_some(),
            "and still it reads the clock"
        );
    }

    #[test]
    fn a_runtime_without_a_timer_gets_no_alarm_that_stays() {
        let without = Builder::new_current_thread().build().expect("a runtime");
        let guard = guard_on(Arc::new(BootClock::new()));
        let counts = Arc::default();
        for _ in 0..3 {
            let mut lost: Waiting<'_> = Box::pin(guard.lost());
            sleeps(&without, &mut lost, &counts);
            assert_eq!(tasks(&without), 0);
        }
    }

    /// Two are told, and one of them has not gone yet when a third begins to wait.
    #[test]
    fn who_has_been_told_and_goes_later_takes_nobody_else_off_the_list() {
        let ((guard, clock), runtime) = (guard(), runtime());
        let (alarms, lease, cell) = guard.parts();
        let _here = runtime.enter();
        let early = alarms.set(lease, cell).expect("there is a runtime");
        turns(&runtime);
        let first = end(&guard, &clock);
        clock.set(first);
        turns(&runtime);
        assert_eq!(cell.listed(), Instant::MAX, "its end is told");
        let late = alarms.set(lease, cell).expect("there is a runtime");
        assert_eq!(cell.listed(), first);
        alarms.unset(early, lease, cell);
        assert_eq!(cell.listed(), first, "somebody still waits");
        alarms.unset(late, lease, cell);
        assert_eq!(cell.listed(), Instant::MAX);
        assert!(alarms.lock().listed.is_empty());
    }
}
