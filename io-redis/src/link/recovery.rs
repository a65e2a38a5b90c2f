//! What a session does for itself before it takes more requests: load the scripts again, look again
//! who the node is and mark it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Instant, Refusal, Words};

use crate::link::LinkConfig;
use crate::link::connect::{self, DialError, Node};
use crate::link::connection::{Wire, exchange};
use crate::protocol::decode;
use crate::protocol::encode::{Script, mark};
use crate::runtime::seams::{BoxFuture, Clock};

/// If the same is needed again within this, something undoes it: then requests wait for a backoff
/// instead of being asked again at once.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Something that must be mended before more requests are taken.
#[derive(Default)]
pub(crate) struct Mending {
    /// How often it was done on this connection.
    pub(crate) count: u32,
    pub(crate) needed: bool,
    last: Option<Instant>,
}

impl Mending {
    /// A reply says that it is needed; the request was written when it had been done `count` times.
    /// Says what becomes of that request.
    pub(crate) fn ask(&mut self, count: u32, now: Instant) -> Refusal {
        if self.count != count {
            return Refusal::Again;
        }
        self.needed = true;
        match self.last {
            Some(last) if now.saturating_since(last) < AGAIN_AFTER => Refusal::Unavailable,
            _ => Refusal::Again,
        }
    }

    pub(crate) fn done(&mut self, now: Instant) {
        self.count += 1;
        self.needed = false;
        self.last = Some(now);
    }
}

/// Under way, and how it ends.
pub(crate) type Chore = BoxFuture<'static, Result<Done, Words>>;

/// What the session did for itself.
pub(crate) enum Done {
    Loaded,
    Identified(Box<Node>),
}

/// Loads the scripts.
pub(crate) fn load(wire: &Arc<dyn Wire>, clock: &dyn Clock, config: &LinkConfig) -> Chore {
    let wire = Arc::clone(wire);
    bounded(clock, config, async move {
        let commands = Script::ALL.map(Script::load).into();
        for result in exchange(&*wire, commands).await {
            connect::loaded(Some(result)).map_err(DialError::into_words)?;
        }
        Ok(Done::Loaded)
    })
}

/// Asks who the node is, and marks it.
pub(crate) fn identify(wire: &Arc<dyn Wire>, clock: &dyn Clock, config: &Arc<LinkConfig>) -> Chore {
    let wire = Arc::clone(wire);
    let quarantine = config.quarantine.clone();
    bounded(clock, config, async move {
        let commands = connect::identity_commands(quarantine.is_some());
        let node = connect::identity(&exchange(&*wire, commands).await);
        node.usable().map_err(DialError::into_words)?;
        if let Some(quarantine) = &quarantine {
            let marker = node.marker(quarantine).map_err(DialError::into_words)?;
            for result in exchange(&*wire, vec![mark(&marker)]).await {
                result.map_err(|error| decode::words(&error.to_string()))?;
            }
        }
        Ok(Done::Identified(Box::new(node)))
    })
}

/// It takes no longer than a dial.
fn bounded(
    clock: &dyn Clock,
    config: &LinkConfig,
    chore: impl Future<Output = Result<Done, Words>> + Send + 'static,
) -> Chore {
    let timer = clock.sleep_until(clock.now() + config.dial_timeout);
    Box::pin(async move {
        match select(Box::pin(chore), timer).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Words::new("the node does not answer")),
        }
    })
}
