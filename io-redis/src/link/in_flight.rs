//! What is in flight on one connection: writes whose replies are still to come, and what each was
//! for, so that it can be answered even if they never do.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{RedisError, Value};

use crate::link::handle::Look;
use crate::protocol::batch::Batch;
use crate::runtime::seams::BoxFuture;

/// The replies to one write.
pub(crate) type Replies = Result<Vec<Value>, RedisError>;

/// One write and its replies to come.
struct Flight {
    serial: u64,
    replies: BoxFuture<'static, Replies>,
}

impl Future for Flight {
    type Output = (u64, Replies);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replies = ready!(self.replies.as_mut().poll(cx));
        Poll::Ready((self.serial, replies))
    }
}

/// What a write was for.
pub(crate) enum Cargo {
    Requests {
        batch: Batch,
        /// How often the scripts had been loaded when it was written.
        loads: u32,
        /// How often the node had been marked.
        marks: u32,
    },
    Look {
        look: Look,
        /// How often the scripts had been loaded when it was written.
        loads: u32,
    },
}

/// See the module.
#[derive(Default)]
pub(crate) struct Flights {
    replies: FuturesUnordered<Flight>,
    /// Oldest first; the first has the serial `oldest`.
    cargo: VecDeque<Option<Cargo>>,
    oldest: u64,
}

impl Flights {
    pub(crate) fn is_empty(&self) -> bool {
        self.cargo.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.cargo.len()
    }

    /// Adds a write; it is made when it is first polled, after those that were added before.
    pub(crate) fn launch(&mut self, cargo: Cargo, replies: BoxFuture<'static, Replies>) {
        let serial = self.oldest + self.cargo.len() as u64;
        self.cargo.push_back(Some(cargo));
        self.replies.push(Flight { serial, replies });
    }

    /// The next write whose replies have come.
    pub(crate) fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<(Cargo, Replies)> {
        while let Poll::Ready(Some((serial, replies))) = self.replies.poll_next_unpin(cx) {
            if let Some(cargo) = self.unload(serial) {
                return Poll::Ready((cargo, replies));
            }
        }
        Poll::Pending
    }

    /// The next write whose replies are already there.
    pub(crate) fn landed(&mut self) -> Option<(Cargo, Replies)> {
        let (serial, replies) = self.replies.next().now_or_never()??;
        Some((self.unload(serial)?, replies))
    }

    fn unload(&mut self, serial: u64) -> Option<Cargo> {
        let at = usize::try_from(serial.checked_sub(self.oldest)?).ok()?;
        let cargo = self.cargo.get_mut(at)?.take();
        while let Some(None) = self.cargo.front() {
            self.cargo.pop_front();
            self.oldest += 1;
        }
        cargo
    }

    /// Gives up what is still in flight: what it was for, oldest first.
    pub(crate) fn abandon(self) -> impl Iterator<Item = Cargo> {
        self.cargo.into_iter().flatten()
    }
}
