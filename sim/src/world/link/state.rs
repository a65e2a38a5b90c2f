//! What is known of a link, and of a message that travels on it.

use std::time::Duration;

use tenure_core::{Doubt, OpKind, Patience, Refusal, Reply, RequestId, Words};

use crate::node::{Arrived, Identity};
use crate::observe::fact::{Nanos, SEC};
use crate::world::node::Signal;

/// If the same must be restored again within this, requests wait for a backoff.
const AGAIN_AFTER: Nanos = SEC;

/// How a direction of a network fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world) enum Cut {
    /// What is sent arrives when the cut ends.
    Stall,
    /// What is sent is lost, and the connection with it.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    Up,
    Down,
    /// The server refuses our user.
    Rejected,
}

/// What becomes of the requests of a connection that ended.
pub(in crate::world) const fn broken() -> Doubt {
    Doubt::Broken(Words::fixed("the connection ended"))
}

/// Something that is restored before more requests are sent: the scripts, or the marker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mending {
    pub(super) count: u32,
    pub(super) needed: bool,
    pub(super) last: Option<Nanos>,
}

impl Mending {
    pub(super) fn ask(&mut self, count: u32, now: Nanos) -> Refusal {
        if self.count != count {
            return Refusal::Again;
        }
        self.needed = true;
        if self.was_undone(count, now) {
            return Refusal::Unavailable(Words::fixed("mended a moment ago"));
        }
        Refusal::Again
    }

    /// Whether something undid it a moment after it was done.
    pub(super) fn was_undone(&self, count: u32, now: Nanos) -> bool {
        self.count == count && self.last.is_some_and(|last| now - last < AGAIN_AFTER)
    }

    pub(super) const fn done(&mut self, now: Nanos) {
        self.count += 1;
        self.needed = false;
        self.last = Some(now);
    }
}

#[derive(Debug)]
pub(in crate::world) struct Link {
    /// The node at its other end.
    pub(in crate::world) server: u8,
    /// Counts connections.
    pub(in crate::world) epoch: u32,
    pub(super) state: State,
    pub(super) latency: [Nanos; 2],
    /// When the last message of this connection arrives, there and back. No message overtakes
    /// another.
    pub(super) arrives: [Nanos; 2],
    pub(in crate::world) cut: [Option<Cut>; 2],
    /// Messages that wait until a cut ends, there and back.
    pub(super) stalled: [Vec<Carried>; 2],
    /// Nothing will ever arrive on this connection.
    pub(in crate::world) doomed: bool,
    /// The node has forgotten this connection: the next request breaks it.
    pub(in crate::world) forgotten: bool,
    pub(in crate::world) in_flight: Vec<u32>,
    pub(super) heard: Nanos,
    /// When a reply came last, or the connection began.
    pub(super) answered: Nanos,
    /// Until when it may be silent, as it was planned last.
    pub(super) watched: Option<Nanos>,
    /// When the request was sent whose answer shows how long a round trip takes.
    pub(super) probed: Option<Nanos>,
    pub(super) patience: Patience,
    pub(super) boot: u32,
    pub(super) identity: Identity,
    pub(super) previous: Option<(u32, u32)>,
    pub(super) scripts: Mending,
    /// Until when scripts are sent as texts.
    pub(super) by_text_until: Nanos,
    pub(super) marker: Mending,
    pub(super) failures: u32,
    pub(super) up_since: Nanos,
    /// Whether this connection listens to pushes.
    pub(super) hears: bool,
}

/// What a network carries.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) enum Carried {
    Message(u32),
    Push(u32),
}

impl Link {
    pub(in crate::world) const fn new(
        server: u8,
        latency: [Nanos; 2],
        request_timeout: Duration,
    ) -> Self {
        let nobody = Identity {
            run: u32::MAX,
            replication: u32::MAX,
        };
        Self {
            server,
            epoch: 0,
            state: State::Connecting,
            latency,
            arrives: [0; 2],
            cut: [None; 2],
            stalled: [Vec::new(), Vec::new()],
            doomed: false,
            forgotten: false,
            in_flight: Vec::new(),
            heard: 0,
            answered: 0,
            watched: None,
            probed: None,
            patience: Patience::new(request_timeout),
            boot: 0,
            identity: nobody,
            previous: None,
            scripts: Mending {
                count: 0,
                needed: false,
                last: None,
            },
            by_text_until: 0,
            marker: Mending {
                count: 0,
                needed: false,
                last: None,
            },
            failures: 0,
            up_since: 0,
            hears: false,
        }
    }

    /// A new process does not know the connections of the one before.
    pub(in crate::world) const fn forget(&mut self, request_timeout: Duration) {
        self.previous = None;
        self.failures = 0;
        self.patience = Patience::new(request_timeout);
    }

    pub(in crate::world) fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

/// A request on its way there, or its reply on its way back.
#[derive(Debug)]
pub(in crate::world) struct Message {
    pub(in crate::world) client: u8,
    pub(in crate::world) node: u8,
    pub(super) server: u8,
    pub(super) epoch: u32,
    pub(super) boot: u32,
    pub(super) process: u32,
    pub(super) id: RequestId,
    pub(super) ask: OpKind,
    pub(super) arrived: Arrived,
    pub(super) sent: Nanos,
    pub(super) counts: [u32; 2],
    pub(super) by_text: bool,
    /// Of a take whose fence is still to be drawn: until when the node keeps the key that it set.
    pub(super) kept: Option<Nanos>,
    pub(super) reply: Option<(Reply, Option<Signal>)>,
    /// Whether the core was told its outcome.
    pub(super) answered: bool,
    /// Whether no event is scheduled for it.
    pub(super) parked: bool,
}
