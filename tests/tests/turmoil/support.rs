//! What the tests share: a network with nodes, clients and a judge, which a test steps through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tenure_redis::Quarantine;
use tenure_sim::choice::Choices;
use tenure_sim::judge::{Checks, Judge, Rules};
use tenure_sim::memory_net::{Forgotten, Node, SimClock};
use tenure_sim::observe::fact::{Answer, Fact, Fault, Nanos, Outcome, Record};
use tenure_sim::observe::marks::Marks;
use tenure_sim::turmoil_net::{Life, Machine, Memory, Network};
use tenure_tests::chaos::{Ground, Way};
use tenure_tests::rivals::{self, Habits};
use tenure_tests::variables::number;
use tenure_tests::witness::Witness;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The largest TTL of all clients.
pub(crate) const MAX_TTL: Duration = secs(1);

pub(crate) const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
pub(crate) const CLIENTS: [&str; 4] = ["one", "two", "three", "four"];

/// What a scenario is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) clients: usize,
    pub(crate) keys: &'static [&'static str],
    pub(crate) latency: Duration,
    pub(crate) quarantine: Quarantine,
    /// What becomes of the first of two addresses that each node has, if it has two.
    pub(crate) first_address: Option<FirstAddress>,
    pub(crate) habits: Habits,
}

/// What becomes of who connects to an address at which no node is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FirstAddress {
    /// It is refused.
    Refuses,
    /// It hears nothing.
    Swallows,
}

impl Plan {
    /// Three nodes, three clients with two workers each, two keys.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            nodes: 3,
            clients: 3,
            keys: &["k", "l"],
            latency: ms(4),
            quarantine: Quarantine::On,
            first_address: None,
            habits: Habits {
                workers: 2,
                max_ttl: MAX_TTL,
                hold: ms(1_500),
                pause: ms(300),
                gives_up: true,
            },
        }
    }
}

/// Puts an address at which no node is before that of each node.
fn add_first_addresses(net: &mut Network, plan: &Plan, what: FirstAddress) {
    for node in &NODES[..plan.nodes] {
        let deserted = format!("{node}-deserted");
        net.deserted(&deserted);
        net.row(node, &[&deserted, node]);
        if let FirstAddress::Swallows = what {
            for client in &CLIENTS[..plan.clients] {
                net.hold(client, &deserted);
            }
        }
    }
}

/// A network with applications that want the same locks, and the judge.
pub(crate) struct Stage {
    pub(crate) net: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) witness: Witness,
    judge: Judge,
    /// The rare situations that it came to.
    pub(crate) marks: Marks,
    /// Everything that was told.
    pub(crate) told: Vec<Record>,
}

/// What the judge demands.
fn rules(plan: &Plan) -> Rules {
    Rules {
        nodes: plan.nodes,
        quorum: plan.nodes / 2 + 1,
        max_ttl: nanos(plan.habits.max_ttl),
        exclusion: true,
        promises: true,
        prompt: false,
        quarantine: plan.quarantine == Quarantine::On,
        excuses: true,
        fencing: true,
        late_expiry: 0,
        // The observer looks once in a millisecond.
        told_within: nanos(ms(2)),
        asked_while_stalled: true,
        granted_within: Some(nanos(plan.habits.hold + plan.habits.max_ttl * 4)),
        pace: nanos(ms(12)),
        // Failed renewals are not told here, so they cannot be counted.
        renewals: 0,
        kills: false,
        freed_within: 0,
        bare_releases: true,
        recalled_within: 0,
        acknowledged: 0,
        idle_within: None,
        hold: 0,
        doubted_within: 0,
    }
}

impl Stage {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut net = Network::new(plan.seed, plan.latency);
        let witness = Witness::new(net.time().clone(), plan.keys);
        let nodes: Vec<Node> = NODES[..plan.nodes]
            .iter()
            .map(|name| net.node(name))
            .collect();
        nodes.iter().for_each(|node| witness.watch(node));
        let urls: Vec<String> = nodes.iter().map(Node::url).collect();
        let machines = (0..plan.clients)
            .map(|client| {
                let (witness, plan, urls) = (witness.clone(), plan.clone(), urls.clone());
                net.machine(CLIENTS[client], move |life: Life| {
                    let (diary, time) = (
                        witness.diary(client, life.machine().clock()),
                        life.time().clone(),
                    );
                    let seams = witness.listen(&diary, life.seams());
                    let mut builder = tenure_redis::Locks::builder().seams(seams).nodes(&urls);
                    if urls.len() > 1 {
                        builder = builder.quarantine(plan.quarantine);
                    }
                    let choices = Choices::from_seed(life.seed());
                    let app = rivals::live(diary, time, builder, plan.habits.clone(), choices);
                    async move {
                        let locks = app.await;
                        // The client lives on, and pays what it still owes.
                        std::mem::forget(locks);
                    }
                })
            })
            .collect();
        if let Some(first) = plan.first_address {
            add_first_addresses(&mut net, plan, first);
        }
        let judge = Judge::new(rules(plan));
        Self {
            net,
            nodes,
            machines,
            witness,
            judge,
            marks: Marks::default(),
            told: Vec::new(),
        }
    }

    /// Grants since the beginning, of all clients or of one.
    pub(crate) fn grants(&self, client: Option<usize>) -> usize {
        self.count(client, |fact| matches!(fact, Fact::Granted { .. }))
    }

    /// Losses since the beginning, of all clients or of one.
    pub(crate) fn losses(&self, client: Option<usize>) -> usize {
        self.count(client, |fact| matches!(fact, Fact::Lost(_)))
    }

    /// Losses since the beginning of leases that every node had a copy of. Where a rival's token or
    /// a silence has left a lease on two of three nodes, one of these may cost it.
    pub(crate) fn losses_in_full(&self) -> usize {
        let mut copies: BTreeMap<u32, (u32, BTreeSet<u8>)> = BTreeMap::new();
        let mut losses = 0;
        for record in &self.told {
            let Some(lease) = record.lease else { continue };
            let (newest, nodes) = copies.entry(lease).or_default();
            match (record.fact, record.node) {
                (Fact::Sent { attempt, .. }, _) if attempt > *newest => {
                    (*newest, *nodes) = (attempt, BTreeSet::new());
                }
                (Fact::Heard { ask, outcome, .. }, Some(node)) if !ask.frees() => match outcome {
                    Outcome::Answered(Answer::Granted(_) | Answer::Done) => {
                        nodes.insert(node);
                    }
                    Outcome::Answered(_) => {
                        nodes.remove(&node);
                    }
                    Outcome::NotSent | Outcome::Unknown => {}
                },
                (Fact::Lost(_), _) => losses += usize::from(nodes.len() == self.nodes.len()),
                _ => {}
            }
        }
        losses
    }

    /// Whether the client holds a lock, as far as it was told.
    pub(crate) fn holds(&self, client: usize) -> bool {
        let mut held = BTreeSet::new();
        let ours = |record: &&Record| record.client.map(usize::from) == Some(client);
        for record in self.told.iter().filter(ours) {
            match record.fact {
                Fact::Granted { .. } => held.insert(record.lease),
                Fact::Lost(_) | Fact::Release | Fact::Cancel => held.remove(&record.lease),
                _ => false,
            };
        }
        !held.is_empty()
    }

    /// The hand-offs to waiting leases since the beginning: when each was, and to whom.
    pub(crate) fn hand_offs(&self) -> impl Iterator<Item = &Record> {
        let hands_on = |record: &&Record| matches!(record.fact, Fact::HandedOn { .. });
        self.told.iter().filter(hands_on)
    }

    /// How many of these hand-offs came to their leases by a push, and how many did not.
    pub(crate) fn pushes(&self) -> (usize, usize) {
        let fence = |record: &Record| match record.fact {
            Fact::Pushed { fence } => Some((record.lease, fence)),
            _ => None,
        };
        let came: BTreeSet<_> = self.told.iter().filter_map(fence).collect();
        let is_heard = |record: &&Record| match record.fact {
            Fact::HandedOn { fence, .. } => came.contains(&(record.lease, fence)),
            _ => false,
        };
        let heard = self.hand_offs().filter(is_heard).count();
        (heard, self.hand_offs().count() - heard)
    }

    /// The client whose lease it is.
    pub(crate) fn client_of(&self, lease: Option<u32>) -> Option<usize> {
        let mut of_lease = self.told.iter().filter(|record| record.lease == lease);
        of_lease.find_map(|record| record.client.map(usize::from))
    }

    pub(crate) fn count(&self, client: Option<usize>, is: impl Fn(&Fact) -> bool) -> usize {
        let of = |record: &&Record| client.is_none() || record.client.map(usize::from) == client;
        self.told
            .iter()
            .filter(of)
            .filter(|record| is(&record.fact))
            .count()
    }

    pub(crate) fn now(&self) -> Duration {
        self.net.now()
    }

    /// Steps by one millisecond, and gives the judge what was told.
    pub(crate) fn step(&mut self) {
        self.net.step();
        self.witness.look();
        self.hear();
    }

    fn hear(&mut self) {
        for record in self.witness.take() {
            self.judge.hear(&record);
            self.marks.hear(&record);
            self.told.push(record);
            self.acquit();
        }
    }

    fn acquit(&self) {
        if let Some(violation) = self.judge.violation() {
            panic!("{}\n{violation}", self.last());
        }
    }

    /// The last facts, for the report of a failure. `TENURE_TURMOIL_FACTS=n` shows so many.
    fn last(&self) -> String {
        let shown = number("TENURE_TURMOIL_FACTS").unwrap_or(200);
        let shown = usize::try_from(shown).unwrap_or(usize::MAX);
        let last = &self.told[self.told.len().saturating_sub(shown)..];
        let lines: Vec<String> = last.iter().map(Record::to_string).collect();
        lines.join("\n")
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.net.now() + span;
        while self.net.now() < until {
            self.step();
        }
    }

    /// Steps until the condition holds.
    pub(crate) fn until(&mut self, within: Duration, mut so: impl FnMut(&Self) -> bool) {
        let until = self.net.now() + within;
        while !so(self) {
            if self.net.now() >= until {
                panic!("{}\nnot so within {within:?}", self.last());
            }
            self.step();
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault, client: Option<usize>, node: Option<usize>) {
        self.witness.tell(Fact::Fault(fault), client, node);
    }

    pub(crate) fn mended(&mut self, fault: Fault, client: Option<usize>, node: Option<usize>) {
        self.witness.tell(Fact::Mended(fault), client, node);
    }

    /// Ends the run after all faults are over: first wanted keys must be granted; then nobody wants
    /// anything, and nothing may be left at the nodes. Says what the judge compared.
    pub(crate) fn end(&mut self) -> Checks {
        self.run(secs(6));
        self.witness.calm_down();
        self.until(secs(60), |stage| stage.witness.is_idle());
        self.witness.tell(Fact::Quiet, None, None);
        // A lease that was cancelled while a request was on its way owes a release.
        self.run(ms(200));
        self.witness.tell(Fact::Swept, None, None);
        self.run(MAX_TTL);
        self.judge.finish(nanos(self.net.now()));
        self.acquit();
        let checks = self.judge.checks();
        assert!(checks.beside > 0, "a counter was seen");
        checks
    }

    /// As [`end`](Self::end), where a test ended the faults itself.
    pub(crate) fn heal_and_end(&mut self) -> Checks {
        self.witness.tell(Fact::Healed, None, None);
        self.end()
    }
}

impl Ground for Stage {
    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn clients(&self) -> usize {
        self.machines.len()
    }

    fn clock(&self, client: usize) -> SimClock {
        self.machines[client].clock().clone()
    }

    fn close(&mut self, client: usize, node: usize, way: Way) {
        let (client, node) = (CLIENTS[client], NODES[node]);
        match way {
            Way::Cut => self.net.partition(client, node),
            Way::CutOut => self.net.partition_one_way(client, node),
            Way::CutIn => self.net.partition_one_way(node, client),
            Way::Held => self.net.hold(client, node),
        }
    }

    fn open(&mut self, client: usize, node: usize, way: Way) {
        let (client, node) = (CLIENTS[client], NODES[node]);
        match way {
            Way::Held => self.net.release(client, node),
            Way::Cut | Way::CutOut | Way::CutIn => self.net.repair(client, node),
        }
    }

    fn crash_node(&mut self, node: usize) {
        self.net.crash_node(&self.nodes[node]);
    }

    fn start_node(&mut self, node: usize, memory: &Memory) {
        self.net.start_node(&self.nodes[node], memory);
        self.witness.look();
    }

    fn crash_client(&mut self, client: usize) {
        self.net.crash(&self.machines[client]);
    }

    fn start_client(&mut self, client: usize) {
        self.net.start(&self.machines[client]);
    }

    fn pause(&mut self, client: usize) {
        self.machines[client].pause();
    }

    fn stall(&mut self, client: usize) {
        self.machines[client].stall();
    }

    fn resume(&mut self, client: usize) {
        self.machines[client].resume();
    }

    fn forget(&mut self, client: usize, node: usize, by: Forgotten) {
        self.machines[client].forget(NODES[node], by);
    }
}

pub(crate) fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
