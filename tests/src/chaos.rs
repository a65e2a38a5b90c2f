//! Bad days: faults that are drawn from choices, begin, and end after a while.
//!
//! First it is drawn which kinds of faults a day has, and how often they come. So some days have a
//! single kind, and often. Clocks stay within the drift bound, beyond which no law is promised.

use std::time::Duration;

use tenure_redis::seams::Script;
use tenure_sim::choice::{Choices, Draws, Subject};
use tenure_sim::memory_net::{Forgotten, Node, SimClock};
use tenure_sim::observe::fact::fault::{Hits, Illness, Meddling, NetworkFault, NodeEvent, Process};
use tenure_sim::observe::fact::{Fact, Fault};

pub use tenure_sim::observe::fact::fault::Way;
use tenure_sim::server::{Lost, Snapshot};
use tenure_sim::turmoil_net::Memory;

use crate::witness::Witness;

/// A world in which there are bad days.
pub trait Ground {
    /// The nodes.
    fn nodes(&self) -> &[Node];
    /// How many clients there are.
    fn clients(&self) -> usize;
    /// A client's clock.
    fn clock(&self, client: usize) -> SimClock;
    /// The way between a client and a node fails.
    fn close(&mut self, client: usize, node: usize, way: Way);
    /// The way works again. What was lost stays lost.
    fn open(&mut self, client: usize, node: usize, way: Way);
    /// A node goes down.
    fn crash_node(&mut self, node: usize);
    /// A node that was down comes back, with this memory.
    fn start_node(&mut self, node: usize, memory: &Memory);
    /// A client's process dies.
    fn crash_client(&mut self, client: usize);
    /// A client's process begins again after it died.
    fn start_client(&mut self, client: usize);
    /// A client's process stands still.
    fn pause(&mut self, client: usize);
    /// The tasks of a client stand still, while its application goes on.
    fn stall(&mut self, client: usize);
    /// A client's process, or its tasks, go on after they stood still.
    fn resume(&mut self, client: usize);
    /// A client's connections to a node are dead from now on, which shows only when something is
    /// sent on them.
    fn forget(&mut self, client: usize, node: usize, by: Forgotten);
}

/// The faults that can be made here, and how each is made.
fn made_here() -> impl Iterator<Item = (Fault, NetworkFault)> {
    let made = |fault: &Fault| Some((*fault, fault.row().network?));
    Fault::ALL.iter().filter_map(made)
}

/// Those that are made here, of which each may strike at once.
fn kinds(wanted: impl Fn(Fault) -> bool) -> Vec<Kind> {
    let kinds = made_here().filter(|(fault, _)| wanted(*fault));
    let next = Duration::ZERO;
    kinds
        .map(|(fault, how)| Kind { fault, how, next })
        .collect()
}

/// A kind of fault of a run, and when it strikes next.
#[derive(Clone, Copy, Debug)]
struct Kind {
    fault: Fault,
    how: NetworkFault,
    next: Duration,
}

/// A kind of fault waits for so many times the pause that was drawn, since there are others. (A day
/// has about nine kinds.)
const PAUSES: u32 = 5;

/// The faults of a run.
#[derive(Debug)]
pub struct Chaos {
    choices: Choices,
    witness: Witness,
    kinds: Vec<Kind>,
    /// The longest pause between two faults of one kind, and the longest that one lasts.
    pause: Duration,
    last: Duration,
    undo: Vec<(Duration, Undo)>,
    /// What has a fault already, and gets no second one.
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
    /// A node is well again; if it was down, or is restored, then with this memory.
    Node(Fault, usize, Illness, Memory),
    Client(Fault, usize),
}

impl Chaos {
    /// Draws what kind of days these are. A fault lasts for up to `last`.
    #[must_use]
    pub fn new(mut choices: Choices, witness: Witness, last: Duration) -> Self {
        let kind = |(fault, how)| {
            let next = Duration::ZERO;
            Kind { fault, how, next }
        };
        let mut exists = |fault| choices.about(Subject::Fault(fault)).chance(350);
        let kinds = made_here().filter(|(fault, _)| exists(*fault));
        let mut kinds: Vec<Kind> = kinds.map(kind).collect();
        let mut draws = choices.about(Subject::World);
        if kinds.is_empty() {
            let all: Vec<_> = made_here().collect();
            kinds.push(kind(draws.pick(&all)));
        }
        let pause = last * u32::try_from(draws.within(1, 6)).unwrap_or(1) / 3;
        let mut chaos = Self {
            choices,
            witness,
            kinds,
            pause: pause * PAUSES,
            last,
            undo: Vec::new(),
            ways: Vec::new(),
            sick_nodes: Vec::new(),
            sick_clients: Vec::new(),
            stepped: Duration::ZERO,
            replicas: Vec::new(),
            happened: Vec::new(),
        };
        for index in 0..chaos.kinds.len() {
            chaos.plan(index, Duration::ZERO);
        }
        chaos
    }

    /// Plans when a kind of fault strikes next.
    fn plan(&mut self, index: usize, now: Duration) {
        let (fault, pause) = (self.kinds[index].fault, self.pause);
        self.kinds[index].next = now + self.up_to(fault, pause);
    }

    /// Only faults of this kind, one after the other.
    ///
    /// # Panics
    /// If there are none of this kind here.
    #[must_use]
    pub fn only(mut self, kind: Fault) -> Self {
        self.kinds = kinds(|fault| fault == kind);
        assert!(!self.kinds.is_empty(), "{kind} is not made here");
        self.pause /= PAUSES;
        self
    }

    /// No faults of this kind. Where they were to be the only ones, there are all others.
    #[must_use]
    pub fn without(mut self, kind: Fault) -> Self {
        self.kinds.retain(|other| other.fault != kind);
        if self.kinds.is_empty() {
            self.kinds = kinds(|fault| fault != kind);
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
        let undo = self.undo.iter().map(|(at, _)| *at);
        let next = self.kinds.iter().map(|kind| kind.next);
        undo.chain(next).min().unwrap_or(Duration::MAX)
    }

    /// Ends what is due to end, and begins what is due to begin.
    pub fn act(&mut self, now: Duration, ground: &mut impl Ground) {
        if now < self.due() {
            return;
        }
        self.mend(now, ground);
        for index in 0..self.kinds.len() {
            if now < self.kinds[index].next {
                continue;
            }
            self.begin(index, now, ground);
            self.plan(index, now);
            self.replicas.resize(ground.nodes().len(), None);
            let node = self.one_of(self.kinds[index].fault, self.replicas.len());
            self.replicas[node] = Some(ground.nodes()[node].server().snapshot());
        }
        // Looked at now, what a stranger did is not taken for what the next request did.
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

    /// What decides about a kind of fault.
    const fn draws(&mut self, fault: Fault) -> Draws<'_> {
        self.choices.about(Subject::Fault(fault))
    }

    fn up_to(&mut self, fault: Fault, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.draws(fault).within(1, longest))
    }

    fn one_of(&mut self, fault: Fault, count: usize) -> usize {
        usize::try_from(self.draws(fault).below(count as u64)).unwrap_or(0)
    }

    /// One of the nodes that are well.
    fn node(&mut self, fault: Fault, ground: &impl Ground) -> Option<usize> {
        let node = self.one_of(fault, ground.nodes().len());
        (!self.sick_nodes.contains(&node)).then_some(node)
    }

    fn client(&mut self, fault: Fault, ground: &impl Ground) -> Option<usize> {
        let client = self.one_of(fault, ground.clients());
        (!self.sick_clients.contains(&client)).then_some(client)
    }

    /// Begins a fault. None if what it would hit has one already.
    fn begin(&mut self, index: usize, now: Duration, ground: &mut impl Ground) -> Option<()> {
        let Kind { fault, how, .. } = self.kinds[index];
        let until = now + self.up_to(fault, self.last);
        match how {
            NetworkFault::Close(way) => {
                let (client, node) = (
                    self.one_of(fault, ground.clients()),
                    self.node(fault, ground)?,
                );
                self.close(fault, client, node, way, until, ground);
            }
            NetworkFault::Isolate => self.isolate(fault, until, ground)?,
            NetworkFault::LoseReply => {
                let node = self.node(fault, ground)?;
                let how = self.draws(fault).pick(&[Lost::Cut, Lost::Mute]);
                ground.nodes()[node]
                    .server()
                    .lose_reply(Some("evalsha"), how);
                self.tell(fault, None, Some(node), None);
            }
            NetworkFault::Forget => {
                let (client, node) = (
                    self.one_of(fault, ground.clients()),
                    self.node(fault, ground)?,
                );
                let by = self
                    .draws(fault)
                    .pick(&[Forgotten::ByTheEnd, Forgotten::ByTheNetwork]);
                self.tell(fault, Some(client), Some(node), None);
                ground.forget(client, node, by);
            }
            NetworkFault::Ill(illness) => {
                let node = self.node(fault, ground)?;
                self.make_ill(fault, node, illness, until, ground);
            }
            NetworkFault::Once(event) => {
                let node = self.node(fault, ground)?;
                self.at_once(fault, node, event, ground);
            }
            NetworkFault::Meddle(how) => {
                let (node, key) = (
                    self.node(fault, ground)?,
                    self.one_of(fault, self.witness.keys().len()),
                );
                self.meddle(fault, node, key, how, ground);
            }
            NetworkFault::Process => {
                let client = self.client(fault, ground)?;
                self.sick_clients.push(client);
                self.away(fault, client, ground);
                self.undo.push((until, Undo::Client(fault, client)));
            }
            NetworkFault::StepClock => self.step(fault, now, ground)?,
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

    /// Closes all ways of a client, or of a node.
    fn isolate(&mut self, fault: Fault, until: Duration, ground: &mut impl Ground) -> Option<()> {
        let way = self
            .draws(fault)
            .pick(&[Way::Cut, Way::Held, Way::CutOut, Way::CutIn]);
        if self.draws(fault).chance(500) {
            let client = self.one_of(fault, ground.clients());
            for node in 0..ground.nodes().len() {
                self.close(fault, client, node, way, until, ground);
            }
        } else {
            let node = self.node(fault, ground)?;
            for client in 0..ground.clients() {
                self.close(fault, client, node, way, until, ground);
            }
        }
        Some(())
    }

    fn make_ill(
        &mut self,
        fault: Fault,
        node: usize,
        illness: Illness,
        until: Duration,
        ground: &mut impl Ground,
    ) {
        self.sick_nodes.push(node);
        let server = ground.nodes()[node].server().clone();
        let memory = match illness {
            // What is written from now until it is restarted is what its disk does not have.
            Illness::RestoredLater => Memory::Stale(server.snapshot()),
            Illness::DownAndEmpty => Memory::Lost,
            Illness::Down
            | Illness::Paused
            | Illness::Loading
            | Illness::ReadOnly
            | Illness::Full
            | Illness::Refusing => Memory::Kept,
        };
        self.tell(fault, None, Some(node), None);
        match illness {
            Illness::RestoredLater => {}
            Illness::Down | Illness::DownAndEmpty => ground.crash_node(node),
            Illness::Paused => server.pause(),
            Illness::Loading => server.set_loading(true),
            Illness::ReadOnly => server.set_readonly(true),
            Illness::Full => server.set_oom(true),
            Illness::Refusing => server.deny_default_user(&["evalsha"]),
        }
        self.undo
            .push((until, Undo::Node(fault, node, illness, memory)));
    }

    fn cure(node: usize, illness: Illness, memory: &Memory, ground: &mut impl Ground) {
        let server = ground.nodes()[node].server().clone();
        match illness {
            Illness::RestoredLater => {
                ground.crash_node(node);
                ground.start_node(node, memory);
            }
            Illness::Down | Illness::DownAndEmpty => ground.start_node(node, memory),
            Illness::Paused => server.resume(),
            Illness::Loading => server.set_loading(false),
            Illness::ReadOnly => server.set_readonly(false),
            Illness::Full => server.set_oom(false),
            Illness::Refusing => server.deny_default_user(&[]),
        }
    }

    fn at_once(&mut self, fault: Fault, node: usize, event: NodeEvent, ground: &impl Ground) {
        let server = ground.nodes()[node].server();
        let replica = self.replicas.get(node).and_then(Option::as_ref);
        let replica = || replica.cloned().unwrap_or_else(|| server.snapshot());
        match event {
            NodeEvent::Failover => server.promote_stale(&replica()),
            NodeEvent::Replaced => server.replace_in_place(&replica()),
            NodeEvent::Flush => drop(server.call(&["FLUSHALL"])),
            NodeEvent::FlushScripts => drop(server.call(&["SCRIPT", "FLUSH"])),
            NodeEvent::Reset => server.kill_connections(),
        }
        self.tell(fault, None, Some(node), None);
    }

    /// A stranger changes a key.
    fn meddle(
        &mut self,
        fault: Fault,
        node: usize,
        key: usize,
        how: Meddling,
        ground: &impl Ground,
    ) {
        let server = ground.nodes()[node].server();
        let name = self.witness.keys()[key].clone();
        let ttl = if self.draws(fault).chance(500) {
            "PX"
        } else {
            "EX"
        };
        match how {
            Meddling::Delete => drop(server.call(&["DEL", &name])),
            Meddling::Overwrite => drop(server.call(&["SET", &name, "a stranger's", ttl, "1"])),
            Meddling::Persist => drop(server.call(&["PERSIST", &name])),
            // Nobody is robbed of what nobody holds.
            Meddling::Rob if server.peek(&name).is_none() => return,
            Meddling::Rob => {
                drop(server.call(&["DEL", &name]));
                let release = match ground.nodes().len() {
                    1 => Script::ReleaseOne,
                    _ => Script::Release,
                };
                server.lose_reply(Some(release.sha()), Lost::Cut);
            }
        }
        self.tell(fault, None, Some(node), Some(key));
    }

    /// A client's process dies, or stands still.
    fn away(&mut self, fault: Fault, client: usize, ground: &mut impl Ground) {
        match fault.row().process {
            Process::Dies => {
                self.witness.crashes(client);
                self.happened.push(fault);
                ground.crash_client(client);
            }
            Process::Stops => {
                self.tell(fault, Some(client), None, None);
                ground.pause(client);
            }
            Process::Stalls => {
                self.tell(fault, Some(client), None, None);
                ground.stall(client);
            }
            Process::Freezes | Process::GoesOn => panic!("{fault} is not made here"),
        }
    }

    /// Steps a clock by at most half of the drift bound of the shortest TTL, and not again before
    /// that TTL is over. The other half of the bound is for the rates of clocks.
    fn step(&mut self, fault: Fault, now: Duration, ground: &impl Ground) -> Option<()> {
        if now < self.stepped + self.last {
            return None;
        }
        self.stepped = now;
        let by = Duration::from_micros(self.draws(fault).within(1, 500));
        if fault.row().hits == Hits::Client {
            let client = self.one_of(fault, ground.clients());
            ground.clock(client).step(by);
            self.tell(fault, Some(client), None, None);
        } else {
            let node = self.one_of(fault, ground.nodes().len());
            let clock = ground.nodes()[node].clock();
            if self.draws(fault).chance(500) {
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
                Undo::Node(fault, node, illness, memory) => {
                    Self::cure(node, illness, &memory, ground);
                    self.sick_nodes.retain(|sick| *sick != node);
                    self.mended(fault, None, Some(node));
                }
                Undo::Client(fault, client) => {
                    match fault.row().process {
                        Process::Dies => ground.start_client(client),
                        Process::Stops | Process::Stalls | Process::Freezes | Process::GoesOn => {
                            ground.resume(client);
                        }
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
