//! The event queue: what will happen, in true time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::observe::fact::Nanos;

/// What the queue holds. A `client`, a `node` of that client and an `epoch` name one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A request arrives at its node.
    Arrive(u32),
    /// A node that was busy comes to a request.
    Serve(u32),
    /// A reply arrives at its client.
    Back(u32),
    /// A link gives a request up that nobody will answer.
    GiveUp(u32),
    /// A client's timer.
    Due { client: u8, generation: u32 },
    /// An application's next step.
    App { client: u8, slot: u8, step: u32 },
    /// An application renews by hand.
    Hand { client: u8, slot: u8, step: u32 },
    /// A connection is set up, or turns out not to be.
    Dialled { client: u8, node: u8, epoch: u32 },
    /// A link tries again.
    Redial { client: u8, node: u8, epoch: u32 },
    /// Has a node been silent for too long?
    Silence { client: u8, node: u8, epoch: u32 },
    /// A connection was reset.
    Reset { client: u8, node: u8, epoch: u32 },
    /// A link asks again who the node is.
    Reread { client: u8, node: u8, epoch: u32 },
    /// A link has loaded the scripts, or marked the node.
    Mended { client: u8, node: u8, epoch: u32 },
    /// A holder's read or write arrives at the resource behind the lock.
    Store { lease: u32, write: Option<u64> },
    /// A fault strikes: its place among those of the world.
    Strike(u32),
    /// A fault strikes that was prepared.
    Struck(u32),
    /// A fault ends.
    End(u32),
    /// Clocks turn.
    Turn,
    /// The faults end for good.
    Heal,
    /// All want something.
    Rush,
    /// Nothing more is wanted.
    Quiet,
    /// All that was dropped must be gone.
    Swept,
    /// The run ends.
    Stop,
}

/// An event in the queue, which is a heap of the largest: the earliest is made that. What is due at one
/// instant happens in the order in which it was scheduled.
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
