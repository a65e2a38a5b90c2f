//! Inspections for a user who may only read: by plain commands, since the script that inspects
//! counts as a write.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::Words;

use crate::link::connect::Connected;
use crate::link::connection::{Connection, exchange};
use crate::link::handle::Inquiry;
use crate::protocol::decode::CommandResult;
use crate::protocol::scripts::Fences;
use crate::protocol::words::NOT_IN_TIME;
use crate::runtime::{BoxFuture, Clock};

/// How many looks may be under way.
// Law: Bounded work
const MOST: usize = 64;

/// What came back; none if that took too long.
type Look = BoxFuture<'static, Option<Vec<CommandResult>>>;

/// The looks that are under way on one connection.
#[derive(Default)]
pub(crate) struct Looks(Vec<(Inquiry, Look)>);

impl Looks {
    /// Looks at what the inquiry is about, which is answered within this time; or refuses it in
    /// these words, if it cannot be answered by a look.
    pub(crate) fn add(
        &mut self,
        inquiry: Inquiry,
        connection: &Arc<dyn Connection>,
        fences: Fences,
        clock: &dyn Clock,
        within: Duration,
        refusal: Words,
    ) {
        let Some(commands) = inquiry.look(fences, &**connection) else {
            return inquiry.rejected(refusal);
        };
        if self.0.len() >= MOST {
            return inquiry.refuse(Words::fixed("too many keys are being inspected"));
        }
        let connection = Arc::clone(connection);
        let look = async move { exchange(&*connection, commands).await };
        let timer = clock.sleep_until(clock.now() + within);
        let bounded = async move {
            match select(Box::pin(look), timer).await {
                Either::Left((results, _)) => Some(results),
                Either::Right(_) => None,
            }
        };
        self.0.push((inquiry, Box::pin(bounded)));
    }

    /// Answers what has been seen.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        let mut at = 0;
        while at < self.0.len() {
            match self.0[at].1.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(results) => {
                    let (inquiry, _) = self.0.swap_remove(at);
                    match results {
                        Some(results) => inquiry.looked(results),
                        None => inquiry.refuse(Words::fixed(NOT_IN_TIME)),
                    }
                }
            }
        }
    }

    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives up. Returns what was asked and is not answered.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Inquiry> + use<> {
        let looks = std::mem::take(&mut self.0);
        looks.into_iter().map(|(inquiry, _)| inquiry)
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

    /// Looks at a key, or looks for locks. What needs more is refused in these words.
    pub(crate) fn look(
        &mut self,
        inquiry: Inquiry,
        clock: &dyn Clock,
        within: Duration,
        refusal: Words,
    ) {
        let connection = &self.connected.connection;
        self.looks
            .add(inquiry, connection, self.fences, clock, within, refusal);
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
    pub(crate) fn end(mut self) -> impl Iterator<Item = Inquiry> + use<> {
        self.looks.take()
    }
}
