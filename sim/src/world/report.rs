//! What came of a run.

use crate::choice::Decision;
use crate::judge::{Checks, Violation};
use crate::observe::fact::{Fault, Nanos};
use crate::observe::marks::Marks;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// The first law that was broken.
    pub violation: Option<Violation>,
    /// The hash of all facts: the same for the same scenario.
    pub hash: u64,
    /// How many leases were granted.
    pub grants: u64,
    /// How many inputs the cores took: commands, replies, time-outs.
    pub events: u64,
    /// How many facts were told.
    pub facts: u64,
    /// How much true time passed in the world.
    pub virtual_time: Nanos,
    /// How often each fault struck, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// The rare situations that the run came to.
    pub marks: Marks,
    /// What the judge looked at.
    pub checks: Checks,
    /// How the clocks went.
    pub clocks: Vec<ClockLine>,
    /// What was decided, if the choices were [written down](crate::choice::Choices::written_down).
    pub decisions: Vec<Decision>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            violation: None,
            hash: 0,
            grants: 0,
            events: 0,
            facts: 0,
            virtual_time: 0,
            faults: [0; Fault::ALL.len()],
            marks: Marks::default(),
            checks: Checks::default(),
            clocks: Vec::new(),
            decisions: Vec::new(),
        }
    }
}

/// How a clock goes from an instant on, until its next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockLine {
    /// Of which client.
    pub client: Option<u8>,
    /// Of which node.
    pub node: Option<u8>,
    /// From when on, in true time.
    pub since: Nanos,
    /// What it shows then, in nanoseconds.
    pub shows: i64,
    /// How much faster than true time it goes, in millionths.
    pub ppm: i64,
}
