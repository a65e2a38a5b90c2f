//! What a session repairs before it takes more requests: it loads the scripts again, or it asks
//! again who the node is and writes the marker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Instant, Refusal, Words};

use crate::link::connect::DialError;
use crate::link::connection::{Connection, exchange};
use crate::link::identity::{self, NodeInfo};
use crate::link::interface::LinkConfig;
use crate::protocol::marker::Marker;
use crate::protocol::scripts::{Fences, Script};
use crate::protocol::words::printable;
use crate::runtime::{BoxFuture, Clock};

/// If the same repair is needed again within this time, something undoes it. Then requests wait for
/// a backoff instead of being sent again at once.
// Law: Bounded work
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A repair that must be done before more requests are taken.
#[derive(Default)]
pub(crate) struct Recovery {
    /// How often it was done on this connection.
    pub(crate) count: u32,
    pub(crate) needed: bool,
    last: Option<Instant>,
}

impl Recovery {
    /// A reply says that it is needed. When the request was written, it had been done `count`
    /// times. Returns how the request is refused, with `why` if it was done a moment ago.
    pub(crate) fn ask(&mut self, count: u32, now: Instant, why: &'static str) -> Refusal {
        if self.count != count {
            return Refusal::Again;
        }
        self.needed = true;
        if self.was_undone(count, now) {
            return Refusal::Unavailable(Words::fixed(why));
        }
        Refusal::Again
    }

    /// Whether a reply that says it is needed shows that something undid it a moment after it was
    /// done.
    pub(crate) fn was_undone(&self, count: u32, now: Instant) -> bool {
        let recent = |last| now.saturating_since(last) < AGAIN_AFTER;
        self.count == count && self.last.is_some_and(recent)
    }

    pub(crate) fn done(&mut self, now: Instant) {
        self.count += 1;
        self.needed = false;
        self.last = Some(now);
    }
}

/// A repair that is under way, and its result.
pub(crate) type RecoveryTask = BoxFuture<'static, Result<Recovered, Words>>;

/// What was repaired.
pub(crate) enum Recovered {
    Loaded,
    Identified(Box<(NodeInfo, Option<Marker>)>),
}

/// Loads the scripts.
pub(crate) fn load(
    connection: &Arc<dyn Connection>,
    clock: &dyn Clock,
    fences: Fences,
    within: Duration,
) -> RecoveryTask {
    let connection = Arc::clone(connection);
    bounded(clock, within, async move {
        let commands = Script::of(fences).map(Script::load).collect();
        for result in exchange(&*connection, commands).await {
            identity::loaded(Some(result)).map_err(DialError::into_words)?;
        }
        Ok(Recovered::Loaded)
    })
}

/// Asks who the node is, and writes its marker.
pub(crate) fn identify(
    connection: &Arc<dyn Connection>,
    clock: &dyn Clock,
    config: &LinkConfig,
    within: Duration,
) -> RecoveryTask {
    let connection = Arc::clone(connection);
    let node_set = config.node_set.clone();
    bounded(clock, within, async move {
        let commands = identity::identity_commands(node_set.is_some());
        let node = identity::identity(&exchange(&*connection, commands).await);
        node.usable().map_err(DialError::into_words)?;
        let marker = node_set.map(|node_set| node.marker(&node_set)).transpose();
        let mut marker = marker.map_err(DialError::into_words)?;
        if let Some(marker) = &mut marker {
            for result in identity::mark_node(&*connection, Vec::new(), marker).await {
                result.map_err(|error| printable(&error.to_string()))?;
            }
        }
        Ok(Recovered::Identified(Box::new((node, marker))))
    })
}

/// Bounds a repair.
fn bounded(
    clock: &dyn Clock,
    within: Duration,
    task: impl Future<Output = Result<Recovered, Words>> + Send + 'static,
) -> RecoveryTask {
    let timer = clock.sleep_until(clock.now() + within);
    Box::pin(async move {
        match select(Box::pin(task), timer).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Words::new("the node does not answer")),
        }
    })
}
