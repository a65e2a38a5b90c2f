//! Nothing is counted and nothing measured: the feature `metrics` is off.

use std::time::Duration;

use tenure_core::{EventKind, Instant, NodeId, Reply, RequestId};

use crate::client::cell::{Change, Former};
use crate::client::outcome::End;
use crate::runtime::Clock;

/// Has the methods of that which counts, and does nothing.
#[derive(Debug)]
pub(crate) struct Metrics;

impl Metrics {
    #[inline]
    pub(crate) fn new(_: &[String], _: Duration) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn event(&self, _: Instant, _: &EventKind, _: Change) {}

    #[inline]
    pub(crate) fn ended(&self, _: &dyn Clock, _: Former, _: End) {}

    #[inline]
    pub(crate) fn replies(&self, _: &[(RequestId, Reply)]) {}

    #[inline]
    pub(crate) fn connected(&self, _: NodeId) {}

    #[inline]
    pub(crate) fn sleeps(&self, _: Instant) {}

    #[inline]
    pub(crate) fn wakes(&self, _: &dyn Clock) {}

    #[inline]
    pub(crate) fn note_queued(&self, _: impl Fn(NodeId) -> usize) {}

    #[inline]
    pub(crate) fn tell_queued(&self) {}
}
