//! A world that is small enough to go through all of its runs.

use super::drawn::{Drawn, NODES};
use crate::choice::Choices;
use crate::observe::fact::fault::Hits;
use crate::observe::fact::{Fault, SEC};

/// For how many TTLs faults may strike.
const TTLS: u64 = 3;

impl Drawn {
    /// Two clients with a task each, one key, TTLs of 240 ms. Over one node they wait in a queue.
    /// Chances are one in a thousand: only the largest number of such a decision means yes, and an
    /// enumerator tries the smallest and the largest.
    ///
    /// # Panics
    /// If there are no such worlds of so many nodes.
    pub(super) fn small(nodes: usize) -> Self {
        let nodes = NODES.iter().position(|count| *count == nodes);
        let nodes = nodes.expect("a world has 1 to 5 nodes") as u64;
        // In the order of `draw`: nodes, clients, keys, tasks, the TTL's magnitude, the TTL.
        let size = [nodes, 1, 0, 0, 0, 90];
        let mut drawn = Self::draw(&mut Choices::from_numbers(&size), None);
        let ttl = drawn.max_ttl;
        drawn.faulty = TTLS * ttl;
        drawn.fault_length = ttl;
        // No node forgets, and quarantine would take a third of the run.
        drawn.quarantine = false;
        // Lost messages are drawn below.
        let strikes = |fault: &&Fault| {
            let row = fault.row();
            row.small && !matches!(row.hits, Hits::Message(_) | Hits::Push(_))
        };
        let faults = Fault::ALL.iter().filter(strikes);
        drawn.faults = faults.map(|fault| (*fault, ttl / 2)).collect();
        drawn.lost = [1; 2];
        drawn.spike = 1;
        drawn.repeated = 1;
        drawn.torn = 1;
        if nodes == 0 {
            drawn.wait_in_queues();
            drawn.pushes = [1; 3];
        }
        drawn.pause_after_grant = 1;
        drawn.cancelled = 1;
        // Long enough that it is renewed.
        drawn.hold = [ttl, ttl];
        drawn.think = [ttl / 8, ttl / 8];
        drawn.think_healthy = [2 * SEC, 0];
        drawn
    }
}
