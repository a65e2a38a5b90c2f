//! The engine: takes events from the queue in true time, and hands each to the client, link or node
//! that it concerns.

use std::hash::{Hash, Hasher};

use super::client::Client;
use super::drawn::{Assumption, Drawn, nanos};
use super::hash::Mix;
use super::link::{Message, Push, broken};
use super::queue::{Event, Queue};
use super::report::{ClockLine, Report};
use crate::choice::{Choices, Draws, Subject};
use crate::clock::Clock;
use crate::judge::{Judge, Law};
use crate::node::Fences;
use crate::observe::fact::{Fact, Fault, MS, Nanos, Record, SEC};
use crate::observe::marks::Marks;
use crate::world::node::Node;

/// The phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Faults may strike.
    Faulty,
    /// All faults have ended, and applications go on.
    Healthy,
    /// Applications have dropped everything, and want nothing more.
    Quiet,
}

/// What the world knows of a lease without asking the core.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseInfo {
    pub(super) client: u8,
    pub(super) slot: u8,
    pub(super) key: u8,
    pub(super) fence: u64,
    /// Its owner waits to be told of its loss.
    pub(super) watched: bool,
}

/// The resource behind a lock: it refuses fences that are smaller than one it has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Store {
    fence: u64,
    value: u64,
}

pub(super) struct World<'a> {
    pub(super) now: Nanos,
    pub(super) phase: Phase,
    pub(super) drawn: &'a Drawn,
    pub(super) choices: Choices,
    pub(super) clients: Vec<Client>,
    pub(super) nodes: Vec<Node>,
    pub(super) messages: Vec<Message>,
    pub(super) free: Vec<u32>,
    pub(super) pushes: Vec<Push>,
    pub(super) leases: Vec<LeaseInfo>,
    /// Faults that have begun, with what ends them.
    pub(super) ongoing: Vec<super::fault::Ongoing>,
    /// Counts the lives of nodes, so that no two share a run id.
    pub(super) lives: u32,
    pub(super) report: Report,
    pub(super) requests: Vec<tenure_core::Request>,
    stores: Vec<Store>,
    queue: Queue,
    pub(super) judge: Judge,
    marks: Marks,
    hash: Mix,
    listen: &'a mut dyn FnMut(&Record),
    stopped: bool,
    /// The run is stopped after this many facts.
    pub(super) most: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(
        drawn: &'a Drawn,
        mut choices: Choices,
        listen: &'a mut dyn FnMut(&Record),
    ) -> Self {
        let c = &mut choices.about(Subject::Clocks);
        let nodes: Vec<_> = (0..drawn.servers)
            .map(|index| {
                // One server's wall clock starts anywhere. Those of several agree within the bound.
                let ahead = match drawn.wall_bound {
                    Some(bound) => match c.below(4) {
                        0 => 0,
                        1 => bound as i64,
                        2 => -(bound as i64),
                        _ => c.within(0, 2 * bound) as i64 - bound as i64,
                    },
                    None => c.within(0, 300 * SEC) as i64,
                };
                let clock = Clock::new(EPOCH + ahead, 0);
                let fences = if drawn.nodes > 1 {
                    Fences::Counters
                } else {
                    Fences::Stream
                };
                let mut node = Node::new(clock, fences, drawn.keys, drawn.clients, index as u32);
                node.model.durable = drawn.durable[index];
                node.model.most_places = drawn.most_places;
                node
            })
            .collect();
        let clients = (0..drawn.clients)
            .map(|index| Client::new(drawn, index, &mut choices))
            .collect();
        Self {
            now: 0,
            phase: Phase::Faulty,
            drawn,
            choices,
            clients,
            lives: nodes.len() as u32,
            nodes,
            messages: Vec::new(),
            free: Vec::new(),
            pushes: Vec::new(),
            leases: Vec::new(),
            ongoing: Vec::new(),
            report: Report::default(),
            requests: Vec::new(),
            stores: vec![Store::default(); drawn.keys],
            queue: Queue::default(),
            judge: Judge::new(drawn.rules()),
            marks: Marks::new(),
            hash: Mix::default(),
            listen,
            stopped: false,
            most: u64::MAX,
        }
    }

    pub(super) fn run(mut self) -> Report {
        let drawn = self.drawn;
        let heal = drawn.faulty;
        let quiet = heal + drawn.healthy;
        self.schedule(heal, Event::Heal);
        let rush = self.application().within(MS, 200 * MS);
        self.schedule(quiet - rush, Event::Rush);
        self.schedule(quiet, Event::Quiet);
        self.schedule(quiet + drawn.sweep, Event::Swept);
        self.schedule(quiet + drawn.max_ttl * 3 / 2 + 2 * SEC, Event::Stop);
        self.schedule(0, Event::Turn);
        for index in 0..drawn.faults.len() as u32 {
            self.plan_strike(index);
        }
        if drawn.apart {
            self.set_apart();
        }
        for client in 0..self.clients.len() as u8 {
            self.start_client(client);
        }
        while !self.stopped
            && self.report.facts <= self.most
            && self.judge.violation().is_none()
            && let Some((at, event)) = self.queue.pop()
        {
            self.now = at;
            self.happen(event);
        }
        self.report.checks = self.judge.checks();
        self.report.violation = self.judge.violation().cloned();
        self.report.marks = self.marks;
        self.report.hash = self.hash.finish();
        self.report.virtual_time = self.now;
        self.report.decisions = self.choices.into_decisions();
        self.report
    }

    /// The decisions about applications.
    pub(super) const fn application(&mut self) -> Draws<'_> {
        self.choices.about(Subject::Application)
    }

    const fn clocks(&mut self) -> Draws<'_> {
        self.choices.about(Subject::Clocks)
    }

    pub(super) fn schedule(&mut self, at: Nanos, event: Event) {
        self.queue.push(at.max(self.now), event);
    }

    /// Tells a fact to all who listen.
    pub(super) fn tell(&mut self, record: &Record) {
        record.hash(&mut self.hash);
        self.report.facts += 1;
        self.judge.hear(record);
        self.marks.hear(record);
        (self.listen)(record);
    }

    pub(super) fn tell_of_lease(&mut self, lease: u32, node: Option<u8>, fact: Fact) {
        let info = self.leases[lease as usize];
        let clock = &self.clients[usize::from(info.client)].clock;
        let record = Record {
            at: self.now,
            local: Some(clock.instant(self.now)),
            client: Some(info.client),
            node,
            key: Some(info.key),
            lease: Some(lease),
            fact,
        };
        self.tell(&record);
    }

    pub(super) fn tell_of(&mut self, client: Option<u8>, node: Option<u8>, fact: Fact) {
        let clock = client.map(|client| &self.clients[usize::from(client)].clock);
        let record = Record {
            local: clock.map(|clock| clock.instant(self.now)),
            client,
            node,
            ..Record::new(self.now, fact)
        };
        self.tell(&record);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(message) => self.arrive(message),
            Event::Serve(message) => self.serve(message),
            Event::Draw(message) => self.draw(message),
            Event::Store { lease, write } => self.at_the_store(lease, write),
            Event::Strike(index) => self.strike(index),
            Event::Struck(ongoing) => self.struck(ongoing),
            Event::End(ongoing) => self.end_fault(ongoing),
            Event::Turn => self.turn_clocks(),
            Event::Heal => self.heal(),
            Event::Rush => {
                for client in 0..self.clients.len() as u8 {
                    self.rush(client);
                }
            }
            Event::Quiet => self.quiet(),
            Event::Swept => self.tell_of(None, None, Fact::Swept),
            Event::Stop => self.stop(),
            Event::Back(message) => {
                let client = self.messages[message as usize].client;
                self.at_client(client, event);
            }
            Event::Pushed(push) => {
                let client = self.pushes[push as usize].client;
                self.at_client(client, event);
            }
            Event::Closed {
                client,
                server,
                epoch,
            } => self.closed(client, server, epoch),
            Event::GiveUp(message) => {
                let client = self.messages[message as usize].client;
                self.at_client(client, event);
            }
            Event::Due { client, .. }
            | Event::App { client, .. }
            | Event::Hand { client, .. }
            | Event::Dialled { client, .. }
            | Event::Redial { client, .. }
            | Event::Silence { client, .. }
            | Event::Trial { client, .. }
            | Event::Reset { client, .. }
            | Event::Reread { client, .. }
            | Event::Mended { client, .. } => self.at_client(client, event),
        }
    }

    /// An event at a client waits while its process stands still. If only the driver and the links
    /// do, the application goes on.
    fn at_client(&mut self, client: u8, event: Event) {
        let state = &mut self.clients[usize::from(client)];
        let of_application = matches!(event, Event::App { .. } | Event::Hand { .. });
        if state.is_still() || (state.away.is_some() && !of_application) {
            state.inbox.push(event);
            return;
        }
        self.handle(client, event);
    }

    pub(super) fn handle(&mut self, client: u8, event: Event) {
        match event {
            Event::Back(message) => self.back(message),
            Event::Pushed(push) => self.pushed(push),
            Event::GiveUp(message) => self.give_up(message),
            Event::Due { generation, .. } => self.due(client, generation),
            Event::App { slot, step, .. } => self.app(client, slot, step),
            Event::Hand { slot, step, .. } => self.renew_by_hand(client, slot, step),
            Event::Dialled {
                node, epoch, late, ..
            } => self.dialled(client, node, epoch, late),
            Event::Redial { node, epoch, .. } => self.redial(client, node, epoch),
            Event::Silence { node, epoch, .. } => self.silence(client, node, epoch),
            Event::Trial {
                node, epoch, since, ..
            } => self.trial(client, node, epoch, since),
            Event::Reset { node, epoch, .. } => {
                if self.link(client, node).epoch == epoch {
                    self.lose_link(client, node, &broken());
                    self.settle(client);
                }
            }
            Event::Reread { node, epoch, .. } => self.reread(client, node, epoch),
            Event::Mended { node, epoch, .. } => self.mended(client, node, epoch),
            _ => unreachable!("it is no event of a client"),
        }
    }

    /// Reads from or writes to the resource behind the lock, which checks the fence.
    fn at_the_store(&mut self, lease: u32, write: Option<u64>) {
        let info = self.leases[lease as usize];
        let store = &mut self.stores[usize::from(info.key)];
        let fence = info.fence;
        let accepted = fence >= store.fence;
        if accepted {
            store.fence = fence;
        }
        match write {
            None => {
                let value = store.value;
                self.tell_of_lease(
                    lease,
                    None,
                    Fact::Read {
                        fence,
                        accepted,
                        value,
                    },
                );
                if accepted {
                    let late = self.application().pick(&[1, 1, 10, 100]);
                    let most = self.drawn.max_ttl * late / 50;
                    let delay = self.application().below(most);
                    let write = Some(value + 1);
                    self.schedule(self.now + delay, Event::Store { lease, write });
                }
            }
            Some(value) => {
                // Each holder writes once. Its second write would look like a lost one.
                if accepted {
                    store.value = value;
                }
                self.tell_of_lease(
                    lease,
                    None,
                    Fact::Wrote {
                        fence,
                        accepted,
                        value,
                    },
                );
            }
        }
    }

    /// Clocks go at another rate from time to time, within what the world allows.
    fn turn_clocks(&mut self) {
        let (now, drawn) = (self.now, self.drawn);
        for client in 0..self.clients.len() as u8 {
            let ppm = self.rate(drawn.client_ppm);
            let ppm = match drawn.broken {
                Some(Assumption::ClientClocks) => -(drawn.client_ppm.min(900_000) as i64),
                _ => ppm,
            };
            let state = &mut self.clients[usize::from(client)];
            if state.away.is_none() {
                state.clock.turn(now, ppm);
                self.clock_changed(client);
            }
        }
        for node in 0..self.nodes.len() {
            let mut ppm = self.rate(drawn.node_ppm);
            if drawn.broken == Some(Assumption::ServerClocks) {
                ppm = drawn.node_ppm as i64;
            }
            if let Some(bound) = drawn.wall_bound {
                let ahead = self.wall_ahead(node);
                // It turns back before the bound is reached.
                if ahead.unsigned_abs() > bound / 2 {
                    ppm = -ppm.abs() * ahead.signum();
                }
            }
            self.nodes[node].clock.turn(now, ppm);
            self.note_clock(None, Some(node as u8));
            self.tell_keys(node as u8, false);
        }
        let every = self.clocks().within(drawn.max_ttl / 4, drawn.max_ttl / 2);
        self.schedule(now + every, Event::Turn);
    }

    fn rate(&mut self, most: u64) -> i64 {
        let most = most.min(900_000);
        if most == 0 {
            return 0;
        }
        match self.clocks().below(4) {
            0 => 0,
            1 => most as i64,
            2 => -(most as i64),
            _ => self.clocks().within(0, 2 * most) as i64 - most as i64,
        }
    }

    /// How far a server's clock is ahead of true time.
    pub(super) fn wall_ahead(&self, node: usize) -> i64 {
        self.nodes[node].clock.nanos(self.now) - EPOCH - self.now as i64
    }

    /// Notes that a clock was turned or stepped.
    pub(super) fn note_clock(&mut self, client: Option<u8>, node: Option<u8>) {
        let clock = match (client, node) {
            (Some(client), _) => self.clients[usize::from(client)].clock,
            (None, Some(node)) => self.nodes[usize::from(node)].clock,
            (None, None) => return,
        };
        self.report.clocks.push(ClockLine {
            client,
            node,
            since: self.now,
            shows: clock.nanos(self.now),
            ppm: clock.ppm(),
        });
    }

    /// A client's clock was turned or stepped. So its validities end at other true times, and its
    /// timer fires at another.
    pub(super) fn clock_changed(&mut self, client: u8) {
        self.note_clock(Some(client), None);
        let held = std::mem::take(&mut self.clients[usize::from(client)].held);
        for held in &held {
            let clock = &self.clients[usize::from(client)].clock;
            let fact = Fact::Until {
                until: clock.when(held.until.as_nanos()),
                why: crate::observe::fact::Why::Clock,
            };
            self.tell_of_lease(held.lease, None, fact);
        }
        self.clients[usize::from(client)].held = held;
        self.rearm(client);
    }

    fn quiet(&mut self) {
        self.phase = Phase::Quiet;
        self.tell_of(None, None, Fact::Quiet);
        for client in 0..self.clients.len() as u8 {
            self.drop_all(client);
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.judge.finish(self.now);
        for client in 0..self.clients.len() {
            let left = self.clients[client].manager.len();
            if left > 0 {
                let sentence = format!("client {client} still cares for {left} leases");
                self.judge.accuse(Law::NoOrphan, self.now, None, sentence);
            }
        }
    }

    /// How long a link waits for a silent node.
    pub(super) fn patience(&self) -> Nanos {
        nanos(self.drawn.config.request_timeout()) * 2
    }

    pub(super) fn count_fault(&mut self, fault: Fault) {
        self.report.faults[fault as usize] += 1;
    }
}

/// Where wall clocks begin, in nanoseconds: some day in 2025.
const EPOCH: i64 = 1_750_000_000 * SEC as i64 + 123 * MS as i64;
