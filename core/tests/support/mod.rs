//! A small world for a manager: model nodes, a clock that the test moves, and links whose requests
//! and replies the test can withhold, lose and repeat.
//!
//! In every test it checks that a lease has at most one request in flight at each node and one
//! release behind it, that no request changes the key of another lease, that fences grow, and that
//! nothing follows the last event of a lease.
#![allow(dead_code, reason = "each test file uses its part of the harness")]

mod node;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use node::Node;
use tenure_core::{
    Answer, Config, Doubt, Event, EventKind, Instant, Key, Law, LeaseId, LeaseOptions,
    LeaseOptionsBuilder, Manager, NodeId, OpKind, Refusal, Reply, Request, RequestId, Secret,
    Silence, Token, Words,
};
use tenure_sim::node::{Fences, Pushed};

/// How long a lease with the default TTL of 10 s is valid: the TTL less 1 % and 2 ms.
pub(crate) const VALID_FOR: Duration = Duration::from_millis(9_898);
/// After how long it is renewed.
pub(crate) const RENEW_AFTER: Duration = Duration::from_nanos(6_666_666_666);
/// How long its rounds are waited for.
pub(crate) const ROUND: Duration = Duration::from_secs(1);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn at(span: Duration) -> Instant {
    Instant::ORIGIN + span
}

pub(crate) fn id(node: usize) -> NodeId {
    NodeId::new(node)
}

/// A node that did not answer, and said nothing.
pub(crate) fn silence(node: usize) -> Silence {
    let (node, words) = (id(node), None);
    Silence { node, words }
}

/// A node that did not serve, and what was said of it.
pub(crate) fn said(node: usize, words: Words) -> Silence {
    let (node, words) = (id(node), Some(words));
    Silence { node, words }
}

/// Why a node is down.
pub(crate) const fn down() -> Words {
    Words::fixed("nobody listens there")
}

/// How a node refuses that may serve later.
pub(crate) fn cannot_serve() -> Refusal {
    Refusal::Unavailable(Words::fixed(
        "LOADING Redis is loading the dataset in memory",
    ))
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.as_bytes())
}

/// One manager and its nodes.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) manager: Manager,
    pub(crate) nodes: Vec<Node>,
    /// By node: whether requests arrive and are answered as soon as they are written.
    pub(crate) prompt: Vec<bool>,
    /// By node: the requests that were written and have not arrived yet.
    pub(crate) wire: Vec<VecDeque<Request>>,
    /// By node: the pushes that are on their way, if they take time.
    pub(crate) pushes: Vec<VecDeque<Pushed>>,
    /// Whether pushes arrive as soon as they are sent, before any reply.
    pub(crate) pushed_at_once: bool,
    /// Every request that was written.
    pub(crate) written: Vec<(Instant, Request)>,
    /// Every event that was told.
    pub(crate) told: Vec<(Instant, Event)>,
    /// Whether the validity of each lease is compared with what the nodes hold. This cannot be done
    /// where a test lets a node forget, since a lease learns of that only when it asks.
    pub(crate) judged: bool,
    owners: BTreeMap<LeaseId, (Key, Secret)>,
    /// By lease: the attempt that was written last, and the largest fence of its key that had been
    /// told before.
    floors: BTreeMap<LeaseId, (u32, u64)>,
    fences: BTreeMap<Key, BTreeSet<u64>>,
    in_flight: BTreeMap<(LeaseId, NodeId), Vec<(u32, bool)>>,
    over: BTreeSet<LeaseId>,
    read: usize,
    secrets: u64,
}

impl World {
    /// A client with the defaults and `nodes` nodes, all of which answer at once.
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(Config::builder(nodes).build().unwrap(), 7)
    }

    pub(crate) fn with(config: Config, seed: u64) -> Self {
        let nodes = config.nodes();
        let fences = if config.takes() || config.queues() {
            Fences::Stream
        } else {
            Fences::Counters
        };
        let mut manager = Manager::new(config, seed);
        for node in 0..nodes {
            manager.handle_node_pushes(id(node), true);
        }
        Self {
            now: Instant::ORIGIN,
            manager,
            nodes: vec![Node::new(fences); nodes],
            prompt: vec![true; nodes],
            wire: vec![VecDeque::new(); nodes],
            pushes: vec![VecDeque::new(); nodes],
            pushed_at_once: true,
            written: Vec::new(),
            told: Vec::new(),
            judged: false,
            owners: BTreeMap::new(),
            floors: BTreeMap::new(),
            fences: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            over: BTreeSet::new(),
            read: 0,
            secrets: 0,
        }
    }

    /// A client over so many nodes whose leases have places there while they wait.
    pub(crate) fn hinting(nodes: usize) -> Self {
        let config = Config::builder(nodes).queues(true).build().unwrap();
        Self::with(config, 7)
    }

    /// A lease of "k" that asks all nodes at the same time.
    pub(crate) fn joins(&mut self) -> LeaseId {
        let nodes = 0..self.nodes.len();
        self.withhold(nodes.clone());
        let lease = self.acquire("k");
        self.resume(nodes);
        lease
    }

    /// A stranger's lease holds "k" at this node for so long.
    pub(crate) fn held_by(&mut self, node: usize, lease: u8, span: Duration) {
        let token = Token {
            label: None,
            secret: Secret::new([lease; 16]),
            attempt: 1,
        };
        let until = self.now + span;
        self.nodes[node].put(&key("k"), &token, until);
    }

    /// From here on, requests to these nodes wait on the wire until the test lets them arrive.
    pub(crate) fn withhold(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.prompt[node] = false;
        }
    }

    /// These links work again, beginning with what waits on them.
    pub(crate) fn resume(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.prompt[node] = true;
        }
        self.pump();
    }

    pub(crate) fn acquire(&mut self, name: &str) -> LeaseId {
        self.acquire_with(name, LeaseOptions::builder())
    }

    pub(crate) fn acquire_with(&mut self, name: &str, options: LeaseOptionsBuilder) -> LeaseId {
        let options = Arc::new(options.build(self.manager.config()).unwrap());
        self.try_acquire(name, options).unwrap()
    }

    pub(crate) fn try_acquire(
        &mut self,
        name: &str,
        options: Arc<LeaseOptions>,
    ) -> Result<LeaseId, tenure_core::AtCapacity> {
        self.secrets += 1;
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&self.secrets.to_be_bytes());
        let lease = self
            .manager
            .acquire(self.now, key(name), Secret::new(secret), options);
        if let Ok(lease) = lease {
            self.owners.insert(lease, (key(name), Secret::new(secret)));
        }
        self.pump();
        lease
    }

    pub(crate) fn release(&mut self, lease: LeaseId) {
        self.manager.release(self.now, lease);
        self.pump();
    }

    pub(crate) fn cancel(&mut self, lease: LeaseId) {
        self.manager.cancel(self.now, lease);
        self.pump();
    }

    pub(crate) fn renew(&mut self, lease: LeaseId) -> bool {
        let held = self.manager.renew(self.now, lease);
        self.pump();
        held
    }

    /// The connection to a node is lost, with all requests in flight, and cannot be had again.
    pub(crate) fn down(&mut self, node: usize) {
        self.prompt[node] = false;
        while let Some(request) = self.wire[node].pop_front() {
            self.reply(request.id, Reply::Unknown(Doubt::Silent));
        }
        self.manager.handle_node_down(self.now, id(node), down());
        self.pump();
    }

    pub(crate) fn up(&mut self, node: usize) {
        self.prompt[node] = true;
        self.manager.handle_node_up(self.now, id(node), None);
        self.pump();
    }

    /// Carries out everything that is to be done at this instant.
    pub(crate) fn pump(&mut self) {
        loop {
            let mut busy = false;
            for node in 0..self.nodes.len() {
                self.write(node);
                while self.prompt[node] && !self.wire[node].is_empty() {
                    busy = true;
                    self.deliver(node);
                }
            }
            let _ = self.manager.poll_ready();
            while let Some(event) = self.manager.poll_event() {
                assert!(
                    !self.over.contains(&event.lease),
                    "{}: {event:?} follows the last event",
                    Law::NoResurrection
                );
                if event.kind.is_final() {
                    self.over.insert(event.lease);
                }
                self.judge_fence(&event);
                self.told.push((self.now, event));
            }
            if !busy {
                if self.judged {
                    self.judge();
                }
                return;
            }
        }
    }

    /// The fence is larger than those that were told before the acquire was sent, and is told once.
    fn judge_fence(&mut self, event: &Event) {
        let EventKind::Acquired { fence, .. } = event.kind else {
            return;
        };
        let Some((key, _)) = self.owners.get(&event.lease) else {
            return;
        };
        let floor = self.floors[&event.lease].1;
        assert!(
            fence.get() > floor,
            "{}: {fence} is not above {floor}",
            Law::Fencing
        );
        let told = self.fences.entry(key.clone()).or_default();
        assert!(
            told.insert(fence.get()),
            "{}: {fence} was told twice",
            Law::Fencing
        );
    }

    /// Compares the validity of each lease with the others and with what the nodes hold.
    fn judge(&self) {
        let mut acting: BTreeMap<&Key, LeaseId> = BTreeMap::new();
        for lease in self.manager.leases() {
            let Some((key, secret)) = self.owners.get(&lease) else {
                continue;
            };
            let Some(until) = self.manager.valid_until(lease) else {
                continue;
            };
            assert!(
                !self.over.contains(&lease),
                "{}: {lease:?}",
                Law::NoResurrection
            );
            if self.now >= until {
                continue;
            }
            if let Some(other) = acting.insert(key, lease) {
                panic!(
                    "{}: {lease:?} and {other:?} both act on {key}",
                    Law::Exclusion
                );
            }
            let lasting = self.nodes.iter().filter(|node| {
                let lock = node.lock(self.now, key);
                lock.is_some_and(|(token, expiry)| token.secret == *secret && expiry >= until)
            });
            assert!(
                lasting.count() >= self.manager.config().quorum(),
                "{}: no quorum holds {lease:?} until {until:?}",
                Law::HonestValidity
            );
        }
    }

    /// Writes what is queued for a node.
    pub(crate) fn write(&mut self, node: usize) {
        let mut batch = Vec::new();
        while self.manager.poll_requests(id(node), 64, &mut batch) > 0 {}
        for request in batch {
            let release = request.op.kind().frees();
            let seat = self
                .in_flight
                .entry((request.id.lease, id(node)))
                .or_default();
            assert!(
                seat.is_empty() || (seat.len() == 1 && !seat[0].1 && release),
                "{}: {request:?} is behind {seat:?}",
                Law::BoundedWork
            );
            seat.push((request.id.serial, release));
            if request.op.kind().acquires() {
                let told = self.fences.get(&request.key);
                let floor = told.and_then(|told| told.last().copied()).unwrap_or(0);
                let entry = self.floors.entry(request.id.lease).or_default();
                if entry.0 < request.token.attempt {
                    *entry = (request.token.attempt, floor);
                }
            }
            self.written.push((self.now, request.clone()));
            self.wire[node].push_back(request);
        }
    }

    /// The oldest request on the wire arrives and is applied. Its reply does not come back yet.
    pub(crate) fn apply(&mut self, node: usize) -> (RequestId, Answer) {
        let request = self.wire[node]
            .pop_front()
            .expect("nothing is on the wire to this node");
        let before = self.nodes[node].holder(self.now, &request.key);
        let answer = self.nodes[node].apply(self.now, &request);
        if let Some(held) = before.filter(|held| !node::same_lease(held, &request.token)) {
            let after = self.nodes[node].holder(self.now, &request.key);
            assert_eq!(after, Some(held), "{}", Law::Ownership);
        }
        let pushed = self.nodes[node].pushed();
        self.pushes[node].extend(pushed);
        while self.pushed_at_once && self.push(node) {}
        (request.id, answer)
    }

    /// The oldest push of a node arrives, if one is on its way.
    pub(crate) fn push(&mut self, node: usize) -> bool {
        let Some(push) = self.pushes[node].pop_front() else {
            return false;
        };
        self.arrives(node, push);
        true
    }

    /// A push arrives.
    pub(crate) fn arrives(&mut self, node: usize, push: Pushed) {
        let (node, place) = (id(node), push.place.id);
        match push.granted {
            Some((serial, fence)) => {
                self.manager
                    .handle_push(self.now, node, place, serial, fence);
            }
            None => self.manager.handle_hint(self.now, node, place),
        }
    }

    /// The oldest request on the wire arrives, and its answer comes back.
    pub(crate) fn deliver(&mut self, node: usize) {
        let (request, answer) = self.apply(node);
        self.answer(request, Reply::Applied(answer));
    }

    /// The oldest request on the wire arrives, and its reply is lost.
    pub(crate) fn lose_reply(&mut self, node: usize) {
        let (request, _) = self.apply(node);
        self.reply(request, Reply::Unknown(Doubt::Silent));
    }

    /// The oldest request on the wire is lost.
    pub(crate) fn lose_request(&mut self, node: usize) {
        let request = self.wire[node].pop_front().unwrap();
        self.reply(request.id, Reply::Unknown(Doubt::Silent));
    }

    /// The connection of the oldest request on the wire ends before its reply comes.
    pub(crate) fn break_connection(&mut self, node: usize) {
        let request = self.wire[node].pop_front().unwrap();
        let words = Words::fixed("connection reset");
        self.reply(request.id, Reply::Unknown(Doubt::Broken(words)));
    }

    /// The oldest request on the wire arrives, and its connection ends before its reply comes.
    pub(crate) fn break_answer(&mut self, node: usize) {
        let (request, _) = self.apply(node);
        let words = Words::fixed("connection reset");
        self.reply(request, Reply::Unknown(Doubt::Broken(words)));
    }

    /// The node refuses the oldest request on the wire.
    pub(crate) fn refuse(&mut self, node: usize, refusal: Refusal) {
        let request = self.wire[node].pop_front().unwrap();
        self.reply(request.id, Reply::NotApplied(refusal));
    }

    /// A reply comes back.
    pub(crate) fn reply(&mut self, request: RequestId, reply: Reply) {
        self.answer(request, reply);
        self.pump();
    }

    fn answer(&mut self, request: RequestId, reply: Reply) {
        if let Some(seat) = self.in_flight.get_mut(&(request.lease, request.node)) {
            seat.retain(|(serial, _)| *serial != request.serial);
        }
        self.manager.handle_reply(self.now, request, reply);
    }

    /// Time passes, and what is due is handled when it is due.
    pub(crate) fn advance(&mut self, span: Duration) {
        self.advance_to(self.now + span);
    }

    pub(crate) fn advance_to(&mut self, until: Instant) {
        let mut idle = 0;
        while let Some(due) = self.manager.poll_timeout().filter(|due| *due <= until) {
            idle = if due > self.now { 0 } else { idle + 1 };
            assert!(idle < 1_000, "busy loop at {:?}", self.now);
            self.now = self.now.max(due);
            self.manager.handle_timeout(self.now);
            self.pump();
        }
        self.now = self.now.max(until);
    }

    /// Time passes and nothing is handled, as if the process stood still.
    pub(crate) fn stall(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    pub(crate) fn timeout(&mut self) {
        self.manager.handle_timeout(self.now);
        self.pump();
    }

    /// Whether the holder may act now.
    pub(crate) fn may_act(&self, lease: LeaseId) -> bool {
        self.manager
            .valid_until(lease)
            .is_some_and(|until| self.now < until)
    }

    /// The events that were told since the last call.
    pub(crate) fn events(&mut self) -> Vec<EventKind> {
        let news = self.told[self.read..].iter();
        let news = news.map(|(_, event)| event.kind.clone()).collect();
        self.read = self.told.len();
        news
    }

    /// The one event that was told since the last call.
    pub(crate) fn event(&mut self) -> EventKind {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// The kinds of the requests that wait on the wire to a node, oldest first.
    pub(crate) fn waiting(&self, node: usize) -> Vec<OpKind> {
        self.wire[node].iter().map(|r| r.op.kind()).collect()
    }

    /// The kinds of all requests that were written to a node.
    pub(crate) fn ops(&self, node: usize) -> Vec<OpKind> {
        let to_it = self.written.iter().filter(|(_, r)| r.id.node == id(node));
        to_it.map(|(_, request)| request.op.kind()).collect()
    }

    /// Whether any node holds the key.
    pub(crate) fn is_locked(&self, name: &str) -> bool {
        (0..self.nodes.len()).any(|node| self.holds(node, name))
    }

    pub(crate) fn holds(&self, node: usize, name: &str) -> bool {
        self.nodes[node].holder(self.now, &key(name)).is_some()
    }
}
