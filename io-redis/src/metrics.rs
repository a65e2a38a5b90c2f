//! What a client counts and measures: the names, units and labels (feature `metrics`).
//!
//! They go to the recorder of the [`metrics`](https://docs.rs/metrics) facade that is installed
//! when a client is built, so **install the recorder first**. Without one they go nowhere. What
//! several clients of a process count is added up. The repository's `docs/metrics.md` has
//! the table, and a dashboard beside it.
//!
//! A key is never a label, since there may be millions of them. A node is named as errors name it:
//! its address without the password. Times are those of the client's own clock.
//!
//! A recorder that panics loses what it was told, and harms no lock.
//!
//! ```
//! for metric in tenure_redis::metrics::ALL {
//!     println!("{} ({}): {}", metric.name, metric.unit, metric.meaning);
//! }
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often each size came.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In which unit: `seconds`, or `count`.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

/// The label that says what an acquire came to.
pub(crate) const OUTCOME: &str = "outcome";
/// The label that says how a lease was lost.
pub(crate) const REASON: &str = "reason";
/// The label that names a node.
pub(crate) const NODE: &str = "node";

const SECONDS: &str = "seconds";
const COUNT: &str = "count";

pub(crate) const ACQUIRE: Metric = Metric {
    name: "tenure_acquire_seconds",
    kind: Kind::Histogram,
    unit: SECONDS,
    labels: &[OUTCOME],
    meaning: "From the call for a lock to its answer, by what that was.",
};

pub(crate) const WAIT: Metric = Metric {
    name: "tenure_wait_seconds",
    kind: Kind::Histogram,
    unit: SECONDS,
    labels: &[],
    meaning: "From the call for a lock to its grant, of those that were told to wait first.",
};

pub(crate) const PLACES_AHEAD: Metric = Metric {
    name: "tenure_places_ahead",
    kind: Kind::Histogram,
    unit: COUNT,
    labels: &[],
    meaning: "How many were ahead as an acquire was first told its place in a queue.",
};

pub(crate) const HOLD: Metric = Metric {
    name: "tenure_hold_seconds",
    kind: Kind::Histogram,
    unit: SECONDS,
    labels: &[],
    meaning: "From a grant to the end of its validity, by release, drop or loss.",
};

pub(crate) const RENEWAL_LEFT: Metric = Metric {
    name: "tenure_renewal_left_seconds",
    kind: Kind::Histogram,
    unit: SECONDS,
    labels: &[],
    meaning: "How much validity was left as a renewal was confirmed.",
};

pub(crate) const HELD_LEASES: Metric = Metric {
    name: "tenure_held_leases",
    kind: Kind::Gauge,
    unit: COUNT,
    labels: &[],
    meaning: "Leases that are held.",
};

pub(crate) const GRANTS: Metric = Metric {
    name: "tenure_grants_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[],
    meaning: "Acquires that were granted.",
};

pub(crate) const CONTENTION: Metric = Metric {
    name: "tenure_contention_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[],
    meaning: "Acquires that were told that somebody else holds the key, each once.",
};

pub(crate) const LOSSES: Metric = Metric {
    name: "tenure_losses_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[REASON],
    meaning: "Leases that ended other than by their owner's release, by how.",
};

pub(crate) const OUTAGES: Metric = Metric {
    name: "tenure_outages_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[NODE],
    meaning: "Rounds that too few nodes answered, by node that did not. An acquire that gives up \
              counts its last round again.",
};

pub(crate) const UNKNOWN_OUTCOMES: Metric = Metric {
    name: "tenure_unknown_outcomes_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[NODE],
    meaning: "Requests that were sent and will have no answer, by node.",
};

pub(crate) const RECONNECTS: Metric = Metric {
    name: "tenure_reconnects_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[NODE],
    meaning: "Connections to a node after the first.",
};

pub(crate) const OUTBOX_DEPTH: Metric = Metric {
    name: "tenure_outbox_depth",
    kind: Kind::Gauge,
    unit: COUNT,
    labels: &[NODE],
    meaning: "Leases whose requests wait until the connection to the node takes them.",
};

pub(crate) const LATE_DEADLINES: Metric = Metric {
    name: "tenure_late_deadlines_total",
    kind: Kind::Counter,
    unit: COUNT,
    labels: &[],
    meaning: "Times that the client's tasks ran more than a request timeout after a deadline: its \
              clock jumped, the machine slept, or the process or its runtime stood still.",
};

/// All metrics.
pub const ALL: &[Metric] = &[
    ACQUIRE,
    WAIT,
    PLACES_AHEAD,
    HOLD,
    RENEWAL_LEFT,
    HELD_LEASES,
    GRANTS,
    CONTENTION,
    LOSSES,
    OUTAGES,
    UNKNOWN_OUTCOMES,
    RECONNECTS,
    OUTBOX_DEPTH,
    LATE_DEADLINES,
];

/// Tells the recorder what each metric means.
pub(crate) fn describe() {
    for metric in ALL {
        let unit = Unit::from_string(metric.unit).unwrap_or(Unit::Count);
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.meaning),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.meaning),
            Kind::Histogram => describe_histogram!(metric.name, unit, metric.meaning),
        }
    }
}

impl Metric {
    /// With these labels, whose names must be those of the table.
    fn labels(&self, labels: &[(&'static str, String)]) -> Vec<Label> {
        assert!(
            labels.iter().map(|(name, _)| name).eq(self.labels),
            "{} has other labels",
            self.name
        );
        let label = |(name, value): &(&'static str, String)| Label::new(*name, value.clone());
        labels.iter().map(label).collect()
    }

    pub(crate) fn counter(&self, labels: &[(&'static str, String)]) -> Counter {
        let labels = self.labels(labels);
        had(|| counter!(self.name, labels)).unwrap_or_else(Counter::noop)
    }

    pub(crate) fn gauge(&self, labels: &[(&'static str, String)]) -> Gauge {
        let labels = self.labels(labels);
        had(|| gauge!(self.name, labels)).unwrap_or_else(Gauge::noop)
    }

    pub(crate) fn histogram(&self, labels: &[(&'static str, String)]) -> Histogram {
        let labels = self.labels(labels);
        had(|| histogram!(self.name, labels)).unwrap_or_else(Histogram::noop)
    }
}

/// A handle, which a recorder that panics does not give.
fn had<T>(handle: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(handle)).ok()
}
