//! The network: its hosts, its time, and what may happen to it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tenure_core::Rng;
use turmoil::Sim;

use super::machine::{Life, Machine};
use super::stream::{Rows, Tape, listen};
use crate::memory_net::{Node, SimClock, TrueTime, WallClock};
use crate::server::{Server, Snapshot};

/// The step of time. Latencies and timers have the same granularity.
const TICK: Duration = Duration::from_millis(1);
/// The longest that a scenario may take.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A simulated network of hosts; see the [module](super).
pub struct Network {
    sim: Sim<'static>,
    time: TrueTime,
    outside: Arc<AtomicU64>,
    tape: Tape,
    rows: Rows,
    rng: Rng,
    machines: u32,
}

/// What a server knows after a crash.
#[derive(Clone, Debug)]
pub enum Memory {
    /// Everything: each write was on its disk before it was acknowledged.
    Kept,
    /// What a snapshot held: its disk lagged.
    Stale(Snapshot),
    /// Nothing.
    Lost,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now())
            .field("tape", &self.tape)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// A network without hosts, in which a segment travels for one to so many milliseconds.
    #[must_use]
    pub fn new(seed: u64, latency: Duration) -> Self {
        let mut rng = Rng::new(seed);
        let sim = turmoil::Builder::new()
            .rng_seed(rng.next_u64())
            // Only ever read by turmoil itself; the default is the machine's clock.
            .epoch(SystemTime::UNIX_EPOCH)
            .tick_duration(TICK)
            .simulation_duration(LONGEST)
            .min_message_latency(TICK)
            .max_message_latency(latency.max(TICK))
            .build();
        let outside = Arc::new(AtomicU64::new(0));
        let time = TrueTime::of_hosts(Arc::clone(&outside));
        Self {
            sim,
            tape: Tape::new(time.clone()),
            rows: Rows::default(),
            time,
            outside,
            rng,
            machines: 0,
        }
    }

    /// Adds an empty server that is reached as `redis://name`.
    pub fn node(&mut self, name: &str) -> Node {
        let clock = WallClock::new(self.time.clone());
        let server = Server::with_seed(clock.clone(), self.rng.next_u64());
        let (theirs, tape, host) = (server.clone(), self.tape.clone(), name.to_owned());
        self.sim.host(name, move || {
            let listening = listen(host.clone(), theirs.clone(), tape.clone());
            async move { Ok(listening.await?) }
        });
        Node::new(name, server, clock)
    }

    /// Adds a host on which nobody listens.
    pub fn deserted(&mut self, name: &str) {
        self.sim.host(name, std::future::pending::<turmoil::Result>);
    }

    /// From now on `name` stands for these hosts in a row, as a name does that has several
    /// addresses. It may be the name of one of them.
    pub fn row(&mut self, name: &str, hosts: &[&str]) {
        self.rows.insert(name, hosts);
    }

    /// Adds a machine on which this software runs; it begins again when the machine is
    /// [started](Self::start) after a crash.
    ///
    /// The software's end is not that of the process: what it left behind goes on.
    pub fn machine<F, Fut>(&mut self, name: &str, software: F) -> Machine
    where
        F: Fn(Life) -> Fut + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let seed = self.rng.next_u64();
        // Clocks of different machines have different origins.
        self.machines += 1;
        let shows = Duration::from_secs(1_000) * self.machines;
        let clock = SimClock::new(self.time.clone(), shows);
        let (time, tape, rows) = (self.time.clone(), self.tape.clone(), self.rows.clone());
        let machine = Machine::new(name, clock, time, tape, rows, seed);
        let (theirs, software) = (machine.clone(), Arc::new(software));
        self.sim.host(name, move || {
            let (machine, software) = (theirs.clone(), Arc::clone(&software));
            machine.run(move |life| software(life))
        });
        machine
    }

    /// Steps by one millisecond.
    ///
    /// # Panics
    /// If the software of a host panicked.
    pub fn step(&mut self) {
        if let Err(error) = self.sim.step() {
            panic!("at {:?}: {error}", self.now());
        }
        let now = u64::try_from(self.sim.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.outside.store(now, Ordering::Relaxed);
    }

    /// Its true time.
    #[must_use]
    pub const fn time(&self) -> &TrueTime {
        &self.time
    }

    /// What has passed in true time since the network began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.time.now()
    }

    /// A digest of every byte that was put on a wire or taken off it, where and when.
    #[must_use]
    pub fn digest(&self) -> String {
        self.tape.digest()
    }

    /// How many bytes that were.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tape.bytes()
    }

    /// How many connections were opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.tape.connections()
    }

    // ---- what may happen ----

    /// What is sent between two hosts is lost, both ways; also what travels now.
    pub fn partition(&mut self, one: &str, other: &str) {
        self.sim.partition(one, other);
    }

    /// As [`partition`](Self::partition), one way only. Who connects against that way is let in,
    /// and hears nothing; who connects along it is refused.
    pub fn partition_one_way(&mut self, from: &str, to: &str) {
        self.sim.partition_oneway(from, to);
    }

    /// Ends a partition of either kind. What was lost stays lost.
    pub fn repair(&mut self, one: &str, other: &str) {
        self.sim.repair(one, other);
    }

    /// What is sent between two hosts waits, both ways; also what travels now.
    pub fn hold(&mut self, one: &str, other: &str) {
        self.sim.hold(one, other);
    }

    /// What waited arrives.
    pub fn release(&mut self, one: &str, other: &str) {
        self.sim.release(one, other);
    }

    /// How long a segment travels between two hosts, either way, from now on.
    pub fn set_latency(&mut self, one: &str, other: &str, latency: Duration) {
        self.sim.set_link_latency(one, other, latency.max(TICK));
    }

    /// A server crashes: all that ran on its host is gone, and its connections are closed.
    pub fn crash_node(&mut self, node: &Node) {
        self.sim.crash(node.name());
    }

    /// The process on a machine crashes: all that ran in it is gone, and its connections are
    /// closed. It takes a step of time.
    pub fn crash(&mut self, machine: &Machine) {
        if machine.crash() {
            self.step();
        }
        self.sim.crash(machine.name());
    }

    /// A machine that crashed starts again.
    pub fn start(&mut self, machine: &Machine) {
        self.sim.bounce(machine.name());
    }

    /// A server that crashed starts again, and this is what it knows.
    pub fn start_node(&mut self, node: &Node, memory: &Memory) {
        match memory {
            Memory::Kept => node.server().restart_with_data(),
            Memory::Stale(snapshot) => node.server().restart_from(snapshot),
            Memory::Lost => node.server().restart_empty(),
        }
        self.sim.bounce(node.name());
    }
}
