//! Inspections for a user who may only read: by plain commands, since the script that inspects
//! counts as a write.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::Words;

use crate::link::connect::Connected;
use crate::link::connection::{Connection, exchange};
use crate::link::handle::{InspectRequest, NoAnswer, NodeAnswer};
use crate::protocol::decode;
use crate::protocol::encode::looks_at;
use crate::protocol::scripts::Fences;
use crate::protocol::words::NOT_IN_TIME;
use crate::runtime::{BoxFuture, Clock};

/// How many looks may be under way.
// Law: Bounded work
const MOST: usize = 64;

/// The looks that are under way on one connection.
#[derive(Default)]
pub(crate) struct Looks(Vec<(InspectRequest, BoxFuture<'static, NodeAnswer>)>);

impl Looks {
    /// Looks at the key of the request, which is answered within this time.
    pub(crate) fn add(
        &mut self,
        request: InspectRequest,
        connection: &Arc<dyn Connection>,
        fences: Fences,
        clock: &dyn Clock,
        within: Duration,
    ) {
        if self.0.len() >= MOST {
            return request.refuse(Words::fixed("too many keys are being inspected"));
        }
        let (connection, key) = (Arc::clone(connection), request.key.clone());
        let look = async move {
            let results = exchange(&*connection, looks_at(&key, fences)).await;
            decode::look(&results).map_err(|why| match decode::is_refusal(&why) {
                true => NoAnswer::refused(why),
                false => NoAnswer::now(why),
            })
        };
        let timer = clock.sleep_until(clock.now() + within);
        let bounded = async move {
            match select(Box::pin(look), timer).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(NoAnswer::now(Words::fixed(NOT_IN_TIME))),
            }
        };
        self.0.push((request, Box::pin(bounded)));
    }

    /// Answers what has been seen.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while at < self.0.len() {
            match self.0[at].1.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(answer) => {
                    let (request, _) = self.0.swap_remove(at);
                    // The caller may have gone.
                    let _ = request.answer.send(answer);
                }
            }
        }
    }

    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives up. Returns what was asked and is not answered.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = InspectRequest> + use<> {
        let looks = std::mem::take(&mut self.0);
        looks.into_iter().map(|(request, _)| request)
    }
}

/// A connection that serves no locks, since the user lacks a right that they need. It is kept until
/// the next one, to look at keys.
pub(crate) struct Onlooker {
    connected: Connected,
    fences: Fences,
    looks: Looks,
}

impl Onlooker {
    pub(crate) fn new(connected: Connected, fences: Fences) -> Self {
        Self {
            connected,
            fences,
            looks: Looks::default(),
        }
    }

    /// Looks at a key.
    pub(crate) fn look(&mut self, request: InspectRequest, clock: &dyn Clock, within: Duration) {
        let connection = &self.connected.connection;
        self.looks
            .add(request, connection, self.fences, clock, within);
    }

    /// Drives the connection. It is ready when that has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before the I/O future, for what is to be written, and after it, for what it has read.
        self.looks.poll(cx);
        let io = self.connected.io.as_mut();
        let ended = io.map_or(Poll::Pending, |io| io.as_mut().poll(cx));
        self.looks.poll(cx);
        ended
    }

    /// Ends the connection. Returns what was asked and is not answered.
    pub(crate) fn end(mut self) -> impl Iterator<Item = InspectRequest> + use<> {
        self.looks.take()
    }
}
