//! Bad days: faults that are drawn from choices, begin, and end after a while.
//!
//! Which kinds there are on a day is drawn first, and how often they come; so some days know one fault
//! only, and often. Clocks stay within the drift bound: the laws are not promised beyond it.

use std::time::Duration;

use tenure_sim::choice::Choices;
use tenure_sim::memory_net::{Node, SimClock};
use tenure_sim::observe::fact::{Fact, Fault};
use tenure_sim::server::{Lost, Snapshot};
use tenure_sim::turmoil_net::Memory;

use crate::witness::Witness;

/// What may become of the way between a client and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What is sent is lost, both ways.
    Cut,
    /// What the client sends is lost.
    CutOut,
    /// What the node sends is lost.
    CutIn,
    /// What is sent waits until the way is open again.
    Held,
}

/// A world in which there are bad days.
pub trait Ground {
    /// The nodes.
    fn nodes(&self) -> &[Node];
    /// How many clients there are.
    fn clients(&self) -> usize;
    /// A client's clock.
    fn clock(&self, client: usize) -> SimClock;
    /// A way goes bad.
    fn close(&mut self, client: usize, node: usize, way: Way);
    /// It is open again. What was lost stays lost.
    fn open(&mut self, client: usize, node: usize, way: Way);
    /// A node goes down.
    fn crash_node(&mut self, node: usize);
    /// It comes back, and knows this.
    fn start_node(&mut self, node: usize, memory: &Memory);
    /// A client's process dies.
    fn crash_client(&mut self, client: usize);
    /// It begins again.
    fn start_client(&mut self, client: usize);
    /// A client's process stands still.
    fn pause(&mut self, client: usize);
    /// It goes on.
    fn resume(&mut self, client: usize);
}

/// The kinds of faults that there are here.
pub const KINDS: [Fault; 26] = [
    Fault::Cut,
    Fault::CutOut,
    Fault::CutIn,
    Fault::Isolate,
    Fault::Slow,
    Fault::LostReply,
    Fault::Reset,
    Fault::CrashKept,
    Fault::CrashEmpty,
    Fault::CrashStale,
    Fault::Failover,
    Fault::Replaced,
    Fault::Deleted,
    Fault::Overwritten,
    Fault::Persisted,
    Fault::Flushed,
    Fault::ScriptsFlushed,
    Fault::Loading,
    Fault::ReadOnly,
    Fault::OutOfMemory,
    Fault::Refusal,
    Fault::ClientCrash,
    Fault::Pause,
    Fault::ClientStep,
    Fault::NodeStep,
    Fault::LostRequest,
];

/// The faults of a run.
#[derive(Debug)]
pub struct Chaos {
    choices: Choices,
    witness: Witness,
    kinds: Vec<Fault>,
    /// The longest pause between two faults, and the longest that one lasts.
    pause: Duration,
    last: Duration,
    next: Duration,
    undo: Vec<(Duration, Undo)>,
    /// What is not well already, and so is left alone.
    ways: Vec<(usize, usize)>,
    sick_nodes: Vec<usize>,
    sick_clients: Vec<usize>,
    /// When clocks were stepped last.
    stepped: Duration,
    /// What a replica of a node knows, which falls behind.
    replicas: Vec<Option<Snapshot>>,
    happened: Vec<Fault>,
}

#[derive(Debug)]
enum Undo {
    Way(Fault, usize, usize, Way),
    Node(Fault, usize, Ill),
    Client(Fault, usize),
}

#[derive(Debug)]
enum Ill {
    Down(Memory),
    Paused,
    Loading,
    ReadOnly,
    Full,
    Refusing,
}

impl Chaos {
    /// Draws what kind of days these are. A fault lasts for up to `last`.
    #[must_use]
    pub fn new(mut choices: Choices, witness: Witness, last: Duration) -> Self {
        let mut kinds: Vec<Fault> = KINDS.into_iter().filter(|_| choices.chance(350)).collect();
        if kinds.is_empty() {
            kinds.push(choices.pick(&KINDS));
        }
        let pause = last * u32::try_from(choices.within(1, 6)).unwrap_or(1) / 3;
        Self {
            choices,
            witness,
            kinds,
            pause,
            last,
            next: Duration::ZERO,
            undo: Vec::new(),
            ways: Vec::new(),
            sick_nodes: Vec::new(),
            sick_clients: Vec::new(),
            stepped: Duration::ZERO,
            replicas: Vec::new(),
            happened: Vec::new(),
        }
    }

    /// Only faults of this kind, one after the other.
    #[must_use]
    pub fn only(mut self, kind: Fault) -> Self {
        self.kinds = vec![kind];
        self
    }

    /// No faults of this kind. Where they were to be the only ones, there are all others.
    #[must_use]
    pub fn without(mut self, kind: Fault) -> Self {
        self.kinds.retain(|other| *other != kind);
        if self.kinds.is_empty() {
            self.kinds = KINDS.into_iter().filter(|other| *other != kind).collect();
        }
        self
    }

    /// The faults that happened, in order.
    #[must_use]
    pub fn happened(&self) -> &[Fault] {
        &self.happened
    }

    /// When something is due.
    #[must_use]
    pub fn due(&self) -> Duration {
        let undo = self.undo.iter().map(|(at, _)| *at).min();
        undo.map_or(self.next, |at| at.min(self.next))
    }

    /// Ends what is due to end, and begins what is due to begin.
    pub fn act(&mut self, now: Duration, ground: &mut impl Ground) {
        if now < self.due() {
            return;
        }
        self.mend(now, ground);
        if now >= self.next {
            self.begin(now, ground);
            self.next = now + self.up_to(self.pause);
            self.replicas.resize(ground.nodes().len(), None);
            let node = self.one_of(self.replicas.len());
            self.replicas[node] = Some(ground.nodes()[node].server().snapshot());
        }
        // What a stranger did is not taken for the doing of the next request.
        self.witness.look();
    }

    /// Ends everything, for good.
    pub fn heal(&mut self, ground: &mut impl Ground) {
        self.rest(ground);
        self.witness.tell(Fact::Healed, None, None);
    }

    /// Ends everything, for now.
    pub fn rest(&mut self, ground: &mut impl Ground) {
        self.mend(Duration::MAX, ground);
        for node in ground.nodes() {
            let server = node.server();
            server.clear_planted();
            for key in self.witness.keys() {
                // Without an expiry it is foreign, and would stay.
                if server.peek(key).is_some() && server.peek_expiry_ms(key).is_none() {
                    server.call(&["PEXPIRE", key, "1"]);
                }
            }
        }
        self.witness.look();
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.choices.within(1, longest))
    }

    fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.choices.below(count as u64)).unwrap_or(0)
    }

    /// One of the nodes that are well.
    fn node(&mut self, ground: &impl Ground) -> Option<usize> {
        let node = self.one_of(ground.nodes().len());
        (!self.sick_nodes.contains(&node)).then_some(node)
    }

    fn client(&mut self, ground: &impl Ground) -> Option<usize> {
        let client = self.one_of(ground.clients());
        (!self.sick_clients.contains(&client)).then_some(client)
    }

    /// None if whom it would meet is ill already.
    fn begin(&mut self, now: Duration, ground: &mut impl Ground) -> Option<()> {
        let kinds = self.kinds.clone();
        let fault = self.choices.pick(&kinds);
        let until = now + self.up_to(self.last);
        match fault {
            Fault::Cut | Fault::CutOut | Fault::CutIn => {
                let way = match fault {
                    Fault::CutOut => Way::CutOut,
                    Fault::CutIn => Way::CutIn,
                    _ => Way::Cut,
                };
                let (client, node) = (self.one_of(ground.clients()), self.node(ground)?);
                self.close(fault, client, node, way, until, ground);
            }
            // TCP sends a lost request again, later.
            Fault::LostRequest => {
                let (client, node) = (self.one_of(ground.clients()), self.node(ground)?);
                self.close(fault, client, node, Way::Held, until, ground);
            }
            Fault::Isolate => {
                let way = self
                    .choices
                    .pick(&[Way::Cut, Way::Held, Way::CutOut, Way::CutIn]);
                if self.choices.chance(500) {
                    let client = self.one_of(ground.clients());
                    for node in 0..ground.nodes().len() {
                        self.close(fault, client, node, way, until, ground);
                    }
                } else {
                    let node = self.node(ground)?;
                    for client in 0..ground.clients() {
                        self.close(fault, client, node, way, until, ground);
                    }
                }
            }
            Fault::Slow => self.node_ill(fault, Ill::Paused, until, ground)?,
            Fault::Loading => self.node_ill(fault, Ill::Loading, until, ground)?,
            Fault::ReadOnly => self.node_ill(fault, Ill::ReadOnly, until, ground)?,
            Fault::OutOfMemory => self.node_ill(fault, Ill::Full, until, ground)?,
            Fault::Refusal => self.node_ill(fault, Ill::Refusing, until, ground)?,
            Fault::CrashKept => self.node_ill(fault, Ill::Down(Memory::Kept), until, ground)?,
            Fault::CrashEmpty => self.node_ill(fault, Ill::Down(Memory::Lost), until, ground)?,
            // What is written from now until it is down is what its disk does not have.
            Fault::CrashStale => {
                let node = self.node(ground)?;
                let stale = Memory::Stale(ground.nodes()[node].server().snapshot());
                self.make_ill(fault, node, Ill::Down(stale), until, ground);
            }
            Fault::Failover
            | Fault::Replaced
            | Fault::Flushed
            | Fault::ScriptsFlushed
            | Fault::Reset => {
                let node = self.node(ground)?;
                self.at_once(fault, node, ground);
            }
            Fault::LostReply => {
                let node = self.node(ground)?;
                let how = self.choices.pick(&[Lost::Cut, Lost::Mute]);
                ground.nodes()[node]
                    .server()
                    .lose_reply(Some("evalsha"), how);
                self.tell(fault, None, Some(node), None);
            }
            Fault::Deleted | Fault::Overwritten | Fault::Persisted => {
                let (node, key) = (self.node(ground)?, self.one_of(self.witness.keys().len()));
                self.meddle(fault, node, key, ground);
            }
            Fault::ClientCrash => {
                let client = self.client(ground)?;
                self.sick_clients.push(client);
                self.witness.crashes(client);
                self.happened.push(fault);
                ground.crash_client(client);
                self.undo.push((until, Undo::Client(fault, client)));
            }
            Fault::Pause => {
                let client = self.client(ground)?;
                self.sick_clients.push(client);
                self.tell(fault, Some(client), None, None);
                ground.pause(client);
                self.undo.push((until, Undo::Client(fault, client)));
            }
            Fault::ClientStep | Fault::NodeStep => self.step(fault, now, ground)?,
            Fault::Freeze => {}
        }
        Some(())
    }

    fn tell(
        &mut self,
        fault: Fault,
        client: Option<usize>,
        node: Option<usize>,
        key: Option<usize>,
    ) {
        self.happened.push(fault);
        self.witness.tell_of(Fact::Fault(fault), client, node, key);
    }

    fn close(
        &mut self,
        fault: Fault,
        client: usize,
        node: usize,
        way: Way,
        until: Duration,
        ground: &mut impl Ground,
    ) {
        if self.ways.contains(&(client, node)) {
            return;
        }
        self.ways.push((client, node));
        self.tell(fault, Some(client), Some(node), None);
        ground.close(client, node, way);
        self.undo.push((until, Undo::Way(fault, client, node, way)));
    }

    fn node_ill(
        &mut self,
        fault: Fault,
        ill: Ill,
        until: Duration,
        ground: &mut impl Ground,
    ) -> Option<()> {
        let node = self.node(ground)?;
        self.make_ill(fault, node, ill, until, ground);
        Some(())
    }

    fn make_ill(
        &mut self,
        fault: Fault,
        node: usize,
        ill: Ill,
        until: Duration,
        ground: &mut impl Ground,
    ) {
        self.sick_nodes.push(node);
        self.tell(fault, None, Some(node), None);
        let server = ground.nodes()[node].server().clone();
        match &ill {
            Ill::Down(Memory::Stale(_)) => {}
            Ill::Down(_) => ground.crash_node(node),
            Ill::Paused => server.pause(),
            Ill::Loading => server.set_loading(true),
            Ill::ReadOnly => server.set_readonly(true),
            Ill::Full => server.set_oom(true),
            Ill::Refusing => server.deny_default_user(&["evalsha"]),
        }
        self.undo.push((until, Undo::Node(fault, node, ill)));
    }

    fn at_once(&mut self, fault: Fault, node: usize, ground: &impl Ground) {
        let server = ground.nodes()[node].server();
        match fault {
            Fault::Failover | Fault::Replaced => {
                let replica = self.replicas.get(node).and_then(Option::as_ref);
                let replica = replica.cloned().unwrap_or_else(|| server.snapshot());
                match fault {
                    Fault::Failover => server.promote_stale(&replica),
                    _ => server.replace_in_place(&replica),
                }
            }
            Fault::Flushed => drop(server.call(&["FLUSHALL"])),
            Fault::ScriptsFlushed => drop(server.call(&["SCRIPT", "FLUSH"])),
            _ => server.kill_connections(),
        }
        self.tell(fault, None, Some(node), None);
    }

    /// Somebody who knows nothing of locks.
    fn meddle(&mut self, fault: Fault, node: usize, key: usize, ground: &impl Ground) {
        let server = ground.nodes()[node].server();
        let name = self.witness.keys()[key].clone();
        let ttl = if self.choices.chance(500) { "PX" } else { "EX" };
        match fault {
            Fault::Deleted => drop(server.call(&["DEL", &name])),
            Fault::Overwritten => drop(server.call(&["SET", &name, "a stranger's", ttl, "1"])),
            _ => drop(server.call(&["PERSIST", &name])),
        }
        self.tell(fault, None, Some(node), Some(key));
    }

    /// By no more than half of the drift bound of the shortest TTL, and not again before that is over;
    /// the other half is for the rates.
    fn step(&mut self, fault: Fault, now: Duration, ground: &impl Ground) -> Option<()> {
        if now < self.stepped + self.last {
            return None;
        }
        self.stepped = now;
        let by = Duration::from_micros(self.choices.within(1, 500));
        if fault == Fault::ClientStep {
            let client = self.one_of(ground.clients());
            ground.clock(client).step(by);
            self.tell(fault, Some(client), None, None);
        } else {
            let node = self.one_of(ground.nodes().len());
            let clock = ground.nodes()[node].clock();
            if self.choices.chance(500) {
                clock.step(by);
            } else {
                clock.step_back(by);
            }
            self.tell(fault, None, Some(node), None);
        }
        Some(())
    }

    fn mend(&mut self, now: Duration, ground: &mut impl Ground) {
        while let Some(at) = self.undo.iter().position(|(at, _)| *at <= now) {
            match self.undo.remove(at).1 {
                Undo::Way(fault, client, node, way) => {
                    ground.open(client, node, way);
                    self.ways.retain(|sick| *sick != (client, node));
                    self.mended(fault, Some(client), Some(node));
                }
                Undo::Node(fault, node, ill) => {
                    let server = ground.nodes()[node].server().clone();
                    match ill {
                        Ill::Down(memory @ Memory::Stale(_)) => {
                            ground.crash_node(node);
                            ground.start_node(node, &memory);
                        }
                        Ill::Down(memory) => ground.start_node(node, &memory),
                        Ill::Paused => server.resume(),
                        Ill::Loading => server.set_loading(false),
                        Ill::ReadOnly => server.set_readonly(false),
                        Ill::Full => server.set_oom(false),
                        Ill::Refusing => server.deny_default_user(&[]),
                    }
                    self.sick_nodes.retain(|sick| *sick != node);
                    self.mended(fault, None, Some(node));
                }
                Undo::Client(fault, client) => {
                    if fault == Fault::Pause {
                        ground.resume(client);
                    } else {
                        ground.start_client(client);
                    }
                    self.sick_clients.retain(|sick| *sick != client);
                    self.mended(fault, Some(client), None);
                }
            }
        }
    }

    fn mended(&self, fault: Fault, client: Option<usize>, node: Option<usize>) {
        self.witness.tell(Fact::Mended(fault), client, node);
    }
}
