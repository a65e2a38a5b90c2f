//! The writes of one connection that wait for their replies, and what each was for, so that its
//! requests can be answered even if no reply comes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{RedisError, Value};

use crate::link::handle::Inquiry;
use crate::protocol::batch::Batch;
use crate::runtime::BoxFuture;

/// The replies to one write.
pub(crate) type Replies = Result<Vec<Value>, RedisError>;

/// One write and its replies to come.
struct PendingReplies {
    serial: u64,
    replies: BoxFuture<'static, Replies>,
}

impl Future for PendingReplies {
    type Output = (u64, Replies);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replies = ready!(self.replies.as_mut().poll(cx));
        Poll::Ready((self.serial, replies))
    }
}

/// How things stood when something was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// How often the scripts had been loaded.
    pub(crate) loads: u32,
    /// How often the marker had been written.
    pub(crate) marks: u32,
    /// How often in a row a connection of the user's had failed.
    pub(crate) breaks: u32,
    /// Whether scripts were sent as texts.
    pub(crate) by_text: bool,
    /// Whether each slot of the cluster had a fence stream of its own.
    pub(crate) split: bool,
}

/// What a write was for.
pub(crate) enum Purpose {
    Requests(Batch),
    Inquiry(Inquiry),
    /// To hear whether the connection lives.
    Ping,
    /// To keep the stream of the node.
    Keep,
}

impl Purpose {
    /// Whether nobody waits for it.
    const fn is_unwanted(&self) -> bool {
        matches!(self, Self::Ping | Self::Keep)
    }
}

/// A write whose replies have come.
pub(crate) type Answered = (Purpose, Written, Replies);

/// The writes that wait for their replies.
#[derive(Default)]
pub(crate) struct InFlight {
    replies: FuturesUnordered<PendingReplies>,
    /// Oldest first. The first has the serial number `oldest`.
    purposes: VecDeque<Option<(Purpose, Written)>>,
    /// How many of them nobody waits for.
    unwanted: usize,
    oldest: u64,
}

impl InFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.purposes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.purposes.len()
    }

    /// Whether nobody waits for any of them.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.purposes.iter().flatten().count() == self.unwanted
    }

    /// Adds a write. It is made when it is first polled, after those that were added before.
    pub(crate) fn add(
        &mut self,
        purpose: Purpose,
        written: Written,
        replies: BoxFuture<'static, Replies>,
    ) {
        let serial = self.oldest + self.purposes.len() as u64;
        self.unwanted += usize::from(purpose.is_unwanted());
        self.purposes.push_back(Some((purpose, written)));
        self.replies.push(PendingReplies { serial, replies });
    }

    /// The next write whose replies have come.
    pub(crate) fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Answered> {
        while let Poll::Ready(Some((serial, replies))) = self.replies.poll_next_unpin(cx) {
            if let Some((purpose, written)) = self.take_purpose(serial) {
                return Poll::Ready((purpose, written, replies));
            }
        }
        Poll::Pending
    }

    /// The next write whose replies are already there.
    pub(crate) fn answered_now(&mut self) -> Option<Answered> {
        let (serial, replies) = self.replies.next().now_or_never()??;
        let (purpose, written) = self.take_purpose(serial)?;
        Some((purpose, written, replies))
    }

    fn take_purpose(&mut self, serial: u64) -> Option<(Purpose, Written)> {
        let at = usize::try_from(serial.checked_sub(self.oldest)?).ok()?;
        let purpose = self.purposes.get_mut(at)?.take();
        if purpose
            .as_ref()
            .is_some_and(|(purpose, _)| purpose.is_unwanted())
        {
            self.unwanted -= 1;
        }
        while let Some(None) = self.purposes.front() {
            self.purposes.pop_front();
            self.oldest += 1;
        }
        purpose
    }

    /// Gives up. Returns what the unanswered writes were for, oldest first.
    pub(crate) fn into_purposes(self) -> impl Iterator<Item = Purpose> {
        let purposes = self.purposes.into_iter().flatten();
        purposes.map(|(purpose, _)| purpose)
    }
}
