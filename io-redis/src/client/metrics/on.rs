//! What a client counts and measures. It has its handles from the recorder that is there when it is
//! built, so that to count is one atomic operation in most recorders.
//!
//! A recorder is code of the program: no lock is held while one is called, and a panic of its ends
//! there.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};
use tenure_core::{
    AcquireFailure, EventKind, Instant, NodeId, Release, RenewalFailure, Reply, RequestId, Silence,
};

use crate::client::cell::{Change, Course, Former};
use crate::client::outcome::{End, Outcome, Reason};
use crate::error::Loss;
use crate::log_target::contained;
use crate::metrics as table;
use crate::runtime::Clock;

/// The metrics of one client.
pub(crate) struct Metrics {
    acquire: Vec<Histogram>,
    wait: Histogram,
    ahead: Histogram,
    hold: Histogram,
    renewal_left: Histogram,
    held: Gauge,
    grants: Counter,
    contention: Counter,
    losses: Vec<Counter>,
    late: Counter,
    nodes: Vec<OfNode>,
    /// The instant that the driver sleeps for, in nanoseconds.
    sleeps: AtomicI64,
    /// By how much it may be late.
    patience: Duration,
}

/// Those of one node.
struct OfNode {
    outages: Counter,
    unknown: Counter,
    reconnects: Counter,
    queued: Gauge,
    /// Whether it was connected before.
    known: AtomicBool,
    /// How many leases have something to send to it, and how many the gauge was told of.
    depth: AtomicI64,
    told: AtomicI64,
}

impl OfNode {
    fn new(name: &str) -> Self {
        let label = [(table::NODE, name.to_owned())];
        Self {
            outages: table::OUTAGES.counter(&label),
            unknown: table::UNKNOWN_OUTCOMES.counter(&label),
            reconnects: table::RECONNECTS.counter(&label),
            queued: table::OUTBOX_DEPTH.gauge(&label),
            known: AtomicBool::new(false),
            depth: AtomicI64::new(0),
            told: AtomicI64::new(0),
        }
    }

    /// Tells the gauge how the depth has changed since it was told last. Clients share the gauge of
    /// a node, so each adds and takes away its own.
    fn tell_queued(&self) {
        loop {
            let depth = self.depth.load(Ordering::SeqCst);
            let before = self.told.swap(depth, Ordering::SeqCst);
            if depth != before {
                self.queued.increment((depth - before) as f64);
            }
            // Another thread may have noted a newer one, and told it before this one.
            if self.depth.load(Ordering::SeqCst) == depth {
                return;
            }
        }
    }
}

impl Metrics {
    /// For the nodes with these names. The driver is late if it wakes later than this after its
    /// deadline.
    pub(crate) fn new(names: &[String], patience: Duration) -> Self {
        contained(table::describe);
        let outcome = |outcome: Outcome| {
            let label = [(table::OUTCOME, outcome.name().to_owned())];
            table::ACQUIRE.histogram(&label)
        };
        let loss = |reason: Reason| {
            let label = [(table::REASON, reason.name().to_owned())];
            table::LOSSES.counter(&label)
        };
        Self {
            acquire: Outcome::ALL.map(outcome).into(),
            wait: table::WAIT.histogram(&[]),
            ahead: table::PLACES_AHEAD.histogram(&[]),
            hold: table::HOLD.histogram(&[]),
            renewal_left: table::RENEWAL_LEFT.histogram(&[]),
            held: table::HELD_LEASES.gauge(&[]),
            grants: table::GRANTS.counter(&[]),
            contention: table::CONTENTION.counter(&[]),
            losses: Reason::ALL.map(loss).into(),
            late: table::LATE_DEADLINES.counter(&[]),
            nodes: names.iter().map(|name| OfNode::new(name)).collect(),
            sleeps: AtomicI64::new(Instant::MAX.as_nanos()),
            patience,
        }
    }

    /// What happened to a lease, and what that changed.
    pub(crate) fn event(&self, now: Instant, kind: &EventKind, change: Change) {
        contained(|| {
            if let Some(course) = change.course {
                self.course(now, kind, course);
            }
            self.silence(kind);
            // A loss that nobody was told of is none.
            if let (Some(_), Some(loss)) = (change.concerns, loss(kind)) {
                self.losses[Reason::from(&Loss::from(loss.clone())) as usize].increment(1);
            }
        });
    }

    fn course(&self, now: Instant, kind: &EventKind, course: Course) {
        match course {
            Course::Contended => {
                self.contention.increment(1);
                if let EventKind::Queued { ahead, .. } = kind {
                    self.ahead.record(f64::from(*ahead));
                }
            }
            Course::Granted { waited, at_once } => {
                self.grants.increment(1);
                self.held.increment(1.0);
                self.acquire[Outcome::Granted as usize].record(waited);
                if !at_once {
                    self.wait.record(waited);
                }
            }
            Course::Failed { waited, contended } => {
                let EventKind::Failed { cause, .. } = kind else {
                    return;
                };
                self.acquire[Outcome::from(cause) as usize].record(waited);
                let of_others = matches!(
                    cause,
                    AcquireFailure::Contended { .. } | AcquireFailure::QueueFull { .. }
                );
                if of_others && !contended {
                    self.contention.increment(1);
                }
            }
            Course::Renewed { left } => self.renewal_left.record(left),
            Course::Over(hold) => self.over(hold.lasted(now)),
        }
    }

    fn over(&self, held: Duration) {
        self.held.decrement(1.0);
        self.hold.record(held);
    }

    /// Counts the nodes that were silent in a round that too few answered.
    fn silence(&self, kind: &EventKind) {
        for Silence { node, .. } in silent(kind) {
            self.nodes[node.index()].outages.increment(1);
        }
    }

    /// A lease was ended other than by an event of the core.
    pub(crate) fn ended(&self, clock: &dyn Clock, former: Former, end: End) {
        let now = clock.now();
        contained(|| match former {
            Former::Asked(since) => {
                self.acquire[end.outcome() as usize].record(now.saturating_since(since));
            }
            Former::Held(hold) => {
                self.over(hold.lasted(now));
                if let Some(reason) = end.loss() {
                    self.losses[reason as usize].increment(1);
                }
            }
            Former::LetGo => {}
        });
    }

    /// Counts the outcomes that are not known.
    pub(crate) fn replies(&self, replies: &[(RequestId, Reply)]) {
        for (request, reply) in replies {
            if matches!(reply, Reply::Unknown(_)) {
                contained(|| self.nodes[request.node.index()].unknown.increment(1));
            }
        }
    }

    /// A connection to the node was opened.
    pub(crate) fn connected(&self, node: NodeId) {
        let node = &self.nodes[node.index()];
        if node.known.swap(true, Ordering::Relaxed) {
            contained(|| node.reconnects.increment(1));
        }
    }

    /// The driver sleeps until then.
    pub(crate) fn sleeps(&self, until: Instant) {
        self.sleeps.store(until.as_nanos(), Ordering::Relaxed);
    }

    /// The driver wakes. Counts it if that is late.
    pub(crate) fn wakes(&self, clock: &dyn Clock) {
        let slept = self.sleeps.swap(Instant::MAX.as_nanos(), Ordering::Relaxed);
        if clock.now().saturating_since(Instant::from_nanos(slept)) > self.patience {
            contained(|| self.late.increment(1));
        }
    }

    /// Notes how many leases have something to send to each node.
    pub(crate) fn note_queued(&self, queued: impl Fn(NodeId) -> usize) {
        for (index, node) in self.nodes.iter().enumerate() {
            let depth = queued(NodeId::new(index));
            let depth = i64::try_from(depth).unwrap_or(i64::MAX);
            node.depth.store(depth, Ordering::SeqCst);
        }
    }

    /// Tells what was noted. No lock may be held.
    pub(crate) fn tell_queued(&self) {
        for node in &self.nodes {
            contained(|| node.tell_queued());
        }
    }
}

/// The loss that an event tells.
fn loss(kind: &EventKind) -> Option<&tenure_core::Loss> {
    match kind {
        EventKind::Lost { loss }
        | EventKind::Released {
            outcome: Release::Lost(loss),
        } => Some(loss),
        EventKind::Acquired { .. }
        | EventKind::Queued { .. }
        | EventKind::Waiting { .. }
        | EventKind::Failed { .. }
        | EventKind::Renewed { .. }
        | EventKind::Shortened { .. }
        | EventKind::Suspect { .. }
        | EventKind::Released { .. } => None,
    }
}

/// The nodes that were silent in the round that the event tells of.
fn silent(kind: &EventKind) -> &[Silence] {
    match kind {
        EventKind::Waiting {
            cause: AcquireFailure::Outage { silent },
            ..
        }
        | EventKind::Failed {
            cause: AcquireFailure::Outage { silent },
            ..
        }
        | EventKind::Suspect {
            cause: RenewalFailure::Outage { silent },
            ..
        }
        | EventKind::Released {
            outcome: Release::Unknown { silent },
        } => silent,
        EventKind::Acquired { .. }
        | EventKind::Queued { .. }
        | EventKind::Waiting { .. }
        | EventKind::Failed { .. }
        | EventKind::Renewed { .. }
        | EventKind::Shortened { .. }
        | EventKind::Suspect { .. }
        | EventKind::Lost { .. }
        | EventKind::Released { .. } => &[],
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::client::shared::tests::client;
    use crate::client::testing::Recorder;

    /// The core has said nothing of it. With a runtime of one thread it always does, before.
    #[test]
    fn a_lease_whose_guard_finds_its_time_over_is_counted_as_lost() {
        let told = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&told);
        let recorder = Recorder::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let (client, _, lease, cell) = ::metrics::with_local_recorder(&recorder, client);
        for wanted in [4, 0] {
            let before = told.load(Ordering::SeqCst);
            client.hub().expire(lease, &cell);
            // That one less is held, for how long it was, why it is lost, and that a release waits.
            assert_eq!(told.load(Ordering::SeqCst) - before, wanted);
        }
    }
}
