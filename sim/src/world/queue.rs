//! The event queue: what will happen, in the order of true time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::observe::fact::Nanos;

/// What will happen. A `client`, a `node` of that client and an `epoch` name one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A request arrives at its node.
    Arrive(u32),
    /// A node that was busy handles a request.
    Serve(u32),
    /// A node draws the fence of a take that has set its key.
    Draw(u32),
    /// A reply arrives at its client.
    Back(u32),
    /// A push arrives at its client.
    Pushed(u32),
    /// A node hears that connections of a client are closed, up to this one.
    Closed { client: u8, server: u8, epoch: u32 },
    /// A link gives up a request whose message was lost.
    GiveUp(u32),
    /// A client's timer.
    Due { client: u8, generation: u32 },
    /// An application's next step.
    App { client: u8, slot: u8, step: u32 },
    /// An application renews by hand.
    Hand { client: u8, slot: u8, step: u32 },
    /// An attempt to connect succeeds or fails.
    Dialled {
        client: u8,
        node: u8,
        epoch: u32,
        /// The time for it was over before it was done.
        late: bool,
    },
    /// A link tries again.
    Redial { client: u8, node: u8, epoch: u32 },
    /// A link checks whether its node has been silent for too long.
    Silence { client: u8, node: u8, epoch: u32 },
    /// A link checks whether a connection that had been idle was heard since then.
    Trial {
        client: u8,
        node: u8,
        epoch: u32,
        since: Nanos,
    },
    /// A connection was reset.
    Reset { client: u8, node: u8, epoch: u32 },
    /// A link asks again who the node is.
    Reread { client: u8, node: u8, epoch: u32 },
    /// A link has loaded the scripts, or marked the node.
    Mended { client: u8, node: u8, epoch: u32 },
    /// A holder's read or write arrives at the resource behind the lock.
    Store { lease: u32, write: Option<u64> },
    /// A fault may strike: its place in the list of those of the world.
    Strike(u32),
    /// A fault that was prepared strikes.
    Struck(u32),
    /// A fault ends.
    End(u32),
    /// The rates of clocks change.
    Turn,
    /// The faults end for good.
    Heal,
    /// Idle tasks want a lock.
    Rush,
    /// The applications drop everything.
    Quiet,
    /// What was dropped must be gone from the nodes.
    Swept,
    /// The run ends.
    Stop,
}

/// An event in the queue. A binary heap pops the largest, so the earliest compares as the largest.
/// Events of the same instant keep the order in which they were scheduled.
#[derive(Debug, PartialEq, Eq)]
struct Queued {
    order: u128,
    event: Event,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.cmp(&self.order)
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Queued>,
    sequence: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Nanos, event: Event) {
        self.sequence += 1;
        let order = u128::from(at) << 64 | u128::from(self.sequence);
        self.heap.push(Queued { order, event });
    }

    pub(super) fn pop(&mut self) -> Option<(Nanos, Event)> {
        let next = self.heap.pop()?;
        Some(((next.order >> 64) as Nanos, next.event))
    }
}
