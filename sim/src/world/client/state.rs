//! What is known of a client: a process with the real core in it, and a clock of its own.

use std::sync::Arc;

use tenure_core::{Config, Instant, Key, LeaseId, LeaseOptions, Manager, Secret};

use crate::choice::{Choices, Subject};
use crate::clock::Clock;
use crate::observe::fact::Nanos;
use crate::observe::fact::fault::Process;
use crate::world::drawn::{Assumption, Drawn};
use crate::world::link::Link;
use crate::world::queue::Event;

pub(in crate::world) struct Client {
    pub(in crate::world) clock: Clock,
    pub(in crate::world) manager: Manager,
    /// How the process stands still or is dead, if it is.
    pub(in crate::world) away: Option<Process>,
    pub(in crate::world) away_since: Nanos,
    /// Events that came while the process, or its driver and links, stood still.
    pub(in crate::world) inbox: Vec<Event>,
    pub(in crate::world) links: Vec<Link>,
    pub(in crate::world) slots: Vec<Slot>,
    /// By [`LeaseId::index`].
    pub(super) table: Vec<Option<(LeaseId, u32)>>,
    /// The leases that the core has not finished with.
    pub(super) living: Vec<(LeaseId, u32)>,
    /// The leases that the application was told it holds.
    pub(in crate::world) held: Vec<Held>,
    /// When the timer fires, on the client's clock.
    pub(super) armed: Instant,
    pub(super) generation: u32,
    pub(super) due_at: (Instant, u32),
    /// When its clock was stepped last.
    pub(in crate::world) stepped: Nanos,
    /// Counts its processes. A new one knows nothing of the requests of the one before.
    pub(in crate::world) process: u32,
    pub(in crate::world) config: Config,
    options: Vec<Arc<LeaseOptions>>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Held {
    pub(in crate::world) id: LeaseId,
    pub(in crate::world) lease: u32,
    pub(in crate::world) until: Instant,
}

impl Client {
    pub(in crate::world) fn new(drawn: &Drawn, index: usize, choices: &mut Choices) -> Self {
        let start = choices.about(Subject::Clocks).below(1 << 50) as i64 - (1 << 20);
        let seed = choices.about(Subject::Core).below(u64::MAX);
        let (config, options) = match &drawn.other {
            Some(other) if index % 2 == 1 => other.clone(),
            _ => (drawn.config.clone(), drawn.options.clone()),
        };
        let request_timeout = config.request_timeout();
        let links = (0..drawn.nodes).map(|node| {
            // If the assumption of one set of nodes is broken, odd clients use another third node.
            let odd = drawn.broken == Some(Assumption::NodeSet) && index % 2 == 1 && node == 2;
            let server = if odd { 3 } else { node };
            let latency = drawn.latency[index * drawn.servers + server];
            Link::new(server as u8, latency, request_timeout)
        });
        Self {
            clock: Clock::new(start, 0),
            manager: Manager::new(config.clone(), seed),
            away: None,
            away_since: 0,
            inbox: Vec::new(),
            links: links.collect(),
            slots: vec![Slot::default(); drawn.slots],
            table: Vec::new(),
            living: Vec::new(),
            held: Vec::new(),
            armed: Instant::MAX,
            generation: 0,
            due_at: (Instant::MIN, 0),
            stepped: 0,
            process: 0,
            config,
            options,
        }
    }

    /// Whether nothing of the process runs.
    pub(in crate::world) fn is_still(&self) -> bool {
        self.away.is_some_and(|how| how != Process::Stalls)
    }

    /// The options of leases. The last waits until it is granted.
    pub(in crate::world) fn options(&self) -> &[Arc<LeaseOptions>] {
        &self.options
    }

    /// Begins a lease, which the world knows by this number. None if the core has as many as it
    /// may.
    pub(in crate::world) fn acquire(
        &mut self,
        now: Instant,
        key: Key,
        lease: u32,
        options: Arc<LeaseOptions>,
    ) -> Option<LeaseId> {
        let mut secret = [0; 16];
        secret[..4].copy_from_slice(&lease.to_le_bytes());
        let begun = self.manager.acquire(now, key, Secret::new(secret), options);
        let id = begun.ok()?;
        if self.table.len() <= id.index() {
            self.table.resize(id.index() + 1, None);
        }
        self.table[id.index()] = Some((id, lease));
        self.living.push((id, lease));
        Some(id)
    }
}

/// A task of the application. It acquires a lock, holds it, releases it, and begins again.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::world) struct Slot {
    /// Counts its steps, so that an event that was scheduled for an older one does nothing.
    pub(in crate::world) step: u32,
    pub(in crate::world) lease: Option<(LeaseId, u32)>,
    pub(in crate::world) stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::world) enum Stage {
    #[default]
    Idle,
    Wanting,
    Holding,
    Releasing,
}
