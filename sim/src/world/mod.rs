//! The world: an event queue in true time around the real core. It runs thousands of seeds in a few
//! seconds.
//!
//! A client is a real [`Manager`](tenure_core::Manager) with a clock of its own and an application
//! that acquires locks and writes to a resource behind them. A node is the [model](crate::node) of
//! what the Lua scripts do. A link between them delays, loses, cuts and reconnects as the adapter
//! and its network would.
//!
//! The seed first draws the world: how many clients and nodes there are, which faults exist, how
//! long locks are held, how wrong clocks are. Then the world runs in three phases. While there are
//! faults, the safety laws must hold. After they have healed, wanted locks must be granted. At last
//! the applications drop everything, and nothing may be left at the nodes.
//!
//! ```
//! use tenure_sim::world::{Scenario, run};
//!
//! let report = run(&Scenario::from_seed(7), &mut |_| {});
//! assert_eq!(report.violation, None);
//! assert_eq!(report.hash, run(&Scenario::from_seed(7), &mut |_| {}).hash);
//! ```

mod client;
mod drawn;
mod engine;
mod fault;
mod hash;
mod link;
mod node;
mod places;
mod queue;
mod report;
mod small;

use std::collections::VecDeque;
use std::fmt::Write;

pub use drawn::{Assumption, Drawn};
pub use report::{ClockLine, Report};

use crate::choice::{Choices, Input};
use crate::observe::fact::fault::Hits;
use crate::observe::fact::{Fault, Record, SEC};

/// How many facts a [failure](explain) shows.
const SHOWN: usize = 40;

/// A world that was drawn, and the decisions that will be taken in it.
#[derive(Clone, Debug)]
pub struct Scenario {
    drawn: Drawn,
    choices: Choices,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
    Seed(u64),
    Bytes(Vec<u8>),
    Small(usize),
    Choices,
}

impl Scenario {
    /// The world of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::draw(Choices::from_seed(seed), None, Origin::Seed(seed))
    }

    /// The world of these bytes. Fewer and smaller ones make a calmer world.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::draw(
            Choices::from_bytes(bytes),
            None,
            Origin::Bytes(bytes.to_vec()),
        )
    }

    /// The world of a seed in which an assumption of the laws is broken.
    #[must_use]
    pub fn breaking(seed: u64, broken: Assumption) -> Self {
        Self::draw(Choices::from_seed(seed), Some(broken), Origin::Seed(seed))
    }

    /// The same world, in which the judge demands neither Exclusion nor Progress. So the run goes
    /// on when two hold a lock, and the other laws are checked then.
    #[must_use]
    pub const fn whoever_holds(mut self) -> Self {
        self.drawn.exclusion = false;
        self
    }

    /// The same world, as if there were no faults of this kind.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        self.drawn.faults.retain(|(other, _)| *other != fault);
        if let Hits::Message(way) = fault.row().hits {
            self.drawn.lost[way] = 0;
        }
        if let Hits::Push(way) = fault.row().hits {
            self.drawn.pushes[way] = 0;
        }
        self
    }

    /// The world that these choices draw, in which an assumption of the laws may be broken.
    #[must_use]
    pub fn from_choices(choices: Choices, broken: Option<Assumption>) -> Self {
        Self::draw(choices, broken, Origin::Choices)
    }

    /// A small world, in which these choices decide all that happens. Two clients take turns on one
    /// lock, for a few TTLs. Each message may be lost, late or answered twice, and a few faults may
    /// strike. It is small enough to [go through all of its runs](crate::explore::exhaust).
    ///
    /// # Panics
    /// If `nodes` is not from 1 to 5.
    #[must_use]
    pub fn small(nodes: usize, choices: Choices) -> Self {
        Self {
            drawn: Drawn::small(nodes),
            choices,
            origin: Origin::Small(nodes),
        }
    }

    fn draw(mut choices: Choices, broken: Option<Assumption>, origin: Origin) -> Self {
        let drawn = Drawn::draw(&mut choices, broken);
        Self {
            drawn,
            choices,
            origin,
        }
    }

    /// The arguments that name it on the command line: its seed, or the bytes that decide what
    /// happens. None if only its [choices](Self::from_choices) are known.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let hex = |bytes: &[u8]| {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            if digits.is_empty() {
                "''".to_owned()
            } else {
                digits
            }
        };
        let mut name = match &self.origin {
            Origin::Seed(seed) => seed.to_string(),
            Origin::Bytes(bytes) => format!("--bytes {}", hex(bytes)),
            Origin::Small(nodes) => {
                let mut written = self.clone();
                written.choices = written.choices.written_down();
                let decisions = run(&written, &mut |_| {}).decisions;
                let bytes = Input::of(&decisions).to_bytes();
                format!("--small {nodes} --bytes {}", hex(&bytes))
            }
            Origin::Choices => return None,
        };
        if let Some(broken) = self.drawn.broken {
            let _ = write!(name, " --break {}", broken.name());
        }
        Some(name)
    }

    /// What was drawn. It can be displayed.
    #[must_use]
    pub const fn drawn(&self) -> &Drawn {
        &self.drawn
    }
}

/// Runs a scenario to its end, or to the first violation. `listen` hears every fact.
pub fn run(scenario: &Scenario, listen: &mut dyn FnMut(&Record)) -> Report {
    engine::World::new(&scenario.drawn, scenario.choices.clone(), listen).run()
}

/// Runs a scenario, but stops soon after so many facts.
pub fn run_at_most(scenario: &Scenario, facts: u64) -> Report {
    let listen = &mut |_: &Record| {};
    let mut world = engine::World::new(&scenario.drawn, scenario.choices.clone(), listen);
    world.most = facts;
    world.run()
}

/// Explains a broken law: the world, the law, the last facts about that key, and the command that
/// shows it again. None if no law is broken in this scenario.
#[must_use]
pub fn explain(scenario: &Scenario) -> Option<String> {
    let violation = run(scenario, &mut |_| {}).violation?;
    let mut last = VecDeque::new();
    let listen = &mut |record: &Record| {
        let about = record.key.is_none() || violation.key.is_none() || record.key == violation.key;
        if about && record.at <= violation.at {
            if last.len() == SHOWN {
                last.pop_front();
            }
            last.push_back(*record);
        }
    };
    let _ = run(scenario, listen);
    let mut text = String::new();
    let at = violation.at;
    let _ = writeln!(text, "{violation}\n({}.{:09} s)", at / SEC, at % SEC);
    let _ = write!(text, "{}", scenario.drawn);
    for record in last {
        let _ = writeln!(text, "{record}");
    }
    if let Some(name) = scenario.name() {
        let _ = write!(text, "cargo run --release -p tenure-sim -- replay {name}");
    }
    Some(text)
}
