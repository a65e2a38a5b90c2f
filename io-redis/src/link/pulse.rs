//! Whether anybody is still at the other end of a connection that was idle.
//!
//! A network may forget a connection, or lose its way, and tell neither end. Whoever asks then
//! waits for nothing. So an idle connection is asked now and then, and what is asked first on one
//! that was idle must be answered while there is time left to ask it again on a new connection.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tenure_core::{Instant, Rng};

use crate::link::interface::LinkConfig;
use crate::link::woken::Woken;
use crate::runtime::Clock;

/// A busy server says nothing for so long now and then. It is not taken for dead for that.
const A_MOMENT: Duration = Duration::from_millis(200);
/// How many round trips it takes to ask again on a new connection: it is made, greets, is set up,
/// and ends the one before.
const AGAIN: u32 = 6;

/// What a connection needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// To be asked whether it lives.
    Ask,
    /// To be given up: nobody answered.
    Dead,
}

/// Watches one connection of the link's own.
pub(crate) struct Pulse {
    clock: Arc<dyn Clock>,
    rng: Rng,
    /// How long a request is waited for. A connection that was quiet for longer is idle.
    patience: Duration,
    /// An idle connection is asked after this time, or a little earlier.
    ask_after: Duration,
    /// When something was heard last.
    heard: Instant,
    /// When the present silence was broken by a question.
    asked: Option<Instant>,
    next: Timer,
    trial: Option<Trial>,
}

/// The time by which something must be heard.
struct Trial {
    timer: Timer,
    /// What the node was given.
    given: Duration,
    /// It was given a little more, because this process was late itself.
    extended: bool,
}

struct Timer {
    due: Instant,
    sleep: Woken<()>,
}

impl Timer {
    fn new(clock: &dyn Clock, due: Instant) -> Self {
        let sleep = Woken::new(clock.sleep_until(due));
        Self { due, sleep }
    }
}

impl Pulse {
    /// For a connection that was heard of now.
    pub(crate) fn new(clock: &Arc<dyn Clock>, config: &LinkConfig, mut rng: Rng) -> Self {
        let now = clock.now();
        let wait = jittered(config.ask_after, &mut rng);
        Self {
            next: Timer::new(&**clock, now + wait),
            clock: Arc::clone(clock),
            rng,
            patience: config.request_timeout,
            ask_after: config.ask_after,
            heard: now,
            asked: None,
            trial: None,
        }
    }

    /// Something was heard. Says after how long, if a question broke the silence before it.
    pub(crate) fn heard(&mut self, now: Instant) -> Option<Duration> {
        self.heard = now;
        self.trial = None;
        Some(now.saturating_since(self.asked.take()?))
    }

    /// Something is asked that is waited for until `deadline`, and nobody waits for anything else.
    // Law: Progress
    pub(crate) fn asked(&mut self, now: Instant, deadline: Instant, round_trip: Duration) {
        self.asked.get_or_insert(now);
        if now.saturating_since(self.heard) < self.patience {
            return;
        }
        let left = deadline.saturating_since(now).min(2 * self.patience);
        let given = (left / 2).max(2 * round_trip).max(A_MOMENT);
        let due = now + given;
        // To ask again takes a new connection. If the node is so far away, or the request so
        // short, that there would be no time for that, there is nothing to gain.
        if left < given + A_MOMENT.max(AGAIN * round_trip)
            || self
                .trial
                .as_ref()
                .is_some_and(|trial| trial.timer.due <= due)
        {
            return;
        }
        self.trial = Some(Trial {
            timer: Timer::new(&*self.clock, due),
            given,
            extended: false,
        });
    }

    /// Ready when [`beat`](Self::beat) is to be called.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let trial = self.trial.as_mut().map(|trial| &mut trial.timer);
        for timer in trial.into_iter().chain([&mut self.next]) {
            if timer.sleep.poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// A timer has fired. Says what is needed, if anything is.
    // Law: Bounded work
    pub(crate) fn beat(&mut self, now: Instant) -> Option<Beat> {
        if let Some(trial) = &mut self.trial
            && trial.timer.due <= now
        {
            let late = now.saturating_since(trial.timer.due) > trial.given / 4;
            if !late || trial.extended {
                return Some(Beat::Dead);
            }
            // This process was paused, and the answer may be waiting to be read.
            trial.extended = true;
            trial.timer = Timer::new(&*self.clock, now + trial.given / 4);
        }
        if self.next.due > now {
            return None;
        }
        let wait = jittered(self.ask_after, &mut self.rng);
        let due = self.heard + wait;
        if due > now {
            self.next = Timer::new(&*self.clock, due);
            return None;
        }
        self.next = Timer::new(&*self.clock, now + wait);
        Some(Beat::Ask)
    }
}

/// A random time from the last quarter of `span`, so that many clients that connected together do
/// not ask together.
fn jittered(span: Duration, rng: &mut Rng) -> Duration {
    span - rng.below(span / 4)
}
