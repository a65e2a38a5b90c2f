//! The stage: real managers, model nodes and simple links on one clock, moved by a scene. What
//! happens is told in the words of `tenure_sim::observe::fact`, judged, and written down.
//!
//! All clocks show true time, a message travels for 10 ms, and there is one key.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use tenure_core::{
    Answer, Config, Doubt, EventKind, Fence, Instant, Key, LeaseId, LeaseOptions,
    LeaseOptionsBuilder, Manager, NodeId, Op, Refusal, Reply, Request, RequestId, Secret, Token,
    Words,
};
use tenure_sim::judge::{Judge, Rules};
use tenure_sim::node::{Arrived, Exact, Fences, Node, Pushed, SetOfNodes, Shown, Value};
use tenure_sim::observe::fact::{Fact, Fault, Freed, Holder, Link, Nanos, Outcome, Record, Why};

/// No reply will come.
const UNKNOWN: Reply = Reply::Unknown(Doubt::Silent);
const MS: Nanos = 1_000_000;
/// How long a link waits for a node that says nothing.
const PATIENCE: Nanos = 2_000 * MS;

/// The one key, as the nodes number it.
const KEY: usize = 0;
/// In nanoseconds.
const MAX_TTL: i64 = 10_000_000_000;

const CLIENTS: [&str; 2] = ["one", "two"];
const NODES: [&str; 3] = ["a", "b", "c"];

/// A lease of a scene.
pub(crate) type Lease = usize;

pub(crate) struct Stage {
    now: Nanos,
    nodes: Vec<Node<Exact>>,
    /// By node: how far its wall clock is ahead, in microseconds.
    ahead: Vec<u64>,
    clients: Vec<Client>,
    leases: Vec<(usize, LeaseId, Secret)>,
    queue: BTreeMap<(Nanos, u64), Event>,
    events: u64,
    judge: Judge,
    text: String,
}

struct Client {
    manager: Manager,
    links: Vec<Wire>,
    /// The leases whose key a node watches for this client.
    watched: Vec<Lease>,
    paused: bool,
    inbox: Vec<Event>,
}

struct Wire {
    latency: Nanos,
    up: bool,
    /// Nothing passes, and nobody is told.
    cut: bool,
    /// The next reply is lost with the connection.
    lossy: bool,
    /// The next push is lost.
    loses_push: bool,
    in_flight: Vec<Request>,
}

enum Event {
    Arrive(usize, Request),
    Back(usize, Request, Reply),
    Silence(usize, RequestId),
    Up(usize, usize),
    Pushed(usize, usize, Pushed),
    Touched(usize, Lease),
}

impl Stage {
    /// `queues`: leases wait in the queue of the key at each node, and all clients hear pushes.
    pub(crate) fn new(nodes: usize, clients: usize, queues: bool) -> Self {
        let config = Config::builder(nodes).takes(queues).queues(queues);
        let config = config.build().unwrap();
        let rules = rules_of(&config, nodes);
        let wire = || Wire {
            latency: 10 * MS,
            up: true,
            cut: false,
            lossy: false,
            loses_push: false,
            in_flight: Vec::new(),
        };
        let hands_on = config.queues();
        let fences = match hands_on {
            true => Fences::Stream,
            false => Fences::Counters,
        };
        let mut node = Node::new(1, fences);
        let long_ago = Shown {
            ticks: -MAX_TTL,
            micros: 0,
        };
        node.mark(long_ago, set_of(nodes));
        if hands_on {
            node.keep_stream(Shown::wall::<Exact>(0));
        }
        if queues {
            node.channels = (0..clients as u32).collect();
        }
        let manager = |seed| {
            let mut manager = Manager::new(config.clone(), seed);
            for node in 0..nodes {
                manager.handle_node_pushes(NodeId::new(node), queues);
            }
            manager
        };
        Self {
            now: 0,
            nodes: vec![node; nodes],
            ahead: vec![0; nodes],
            clients: (0..clients)
                .map(|seed| Client {
                    manager: manager(seed as u64),
                    watched: Vec::new(),
                    links: (0..nodes).map(|_| wire()).collect(),
                    paused: false,
                    inbox: Vec::new(),
                })
                .collect(),
            leases: Vec::new(),
            queue: BTreeMap::new(),
            events: 0,
            judge: Judge::new(rules),
            text: String::new(),
        }
    }

    // ---- what a scene does ----

    /// Plays until so many milliseconds have passed since the beginning.
    pub(crate) fn until(&mut self, millis: u64) {
        let end = millis * MS;
        loop {
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let timers = self.clients.iter().enumerate();
            let due = timers
                .filter(|(_, client)| !client.paused)
                .filter_map(|(index, client)| Some((client.manager.poll_timeout()?, index)))
                .map(|(at, index)| (at.as_nanos().max(0) as Nanos, index))
                .min();
            match (queued, due) {
                (Some(at), _) if at <= end && due.is_none_or(|(due, _)| at <= due) => {
                    self.now = self.now.max(at);
                    let (_, event) = self.queue.pop_first().unwrap();
                    self.happen(event);
                }
                (_, Some((at, client))) if at <= end => {
                    self.now = self.now.max(at);
                    let now = self.instant();
                    self.clients[client].manager.handle_timeout(now);
                    self.settle(client);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    pub(crate) fn wants(&mut self, client: usize) -> Lease {
        self.wants_with(client, LeaseOptions::builder())
    }

    pub(crate) fn wants_with(&mut self, client: usize, options: LeaseOptionsBuilder) -> Lease {
        let lease = self.leases.len();
        let manager = &mut self.clients[client].manager;
        let options = Arc::new(options.build(manager.config()).unwrap());
        let ttl = options.ttl().as_nanos() as Nanos;
        let mut secret = [0; 16];
        secret[0] = lease as u8 + 1;
        let secret = Secret::new(secret);
        let now = Instant::from_nanos(self.now as i64);
        let id = manager.acquire(now, Key::new(*b"k"), secret, options);
        self.leases.push((client, id.unwrap(), secret));
        self.tell(Some(client), None, Some(lease), Fact::Wanted { ttl });
        self.settle(client);
        lease
    }

    pub(crate) fn releases(&mut self, lease: Lease) {
        let (client, id, _) = self.leases[lease];
        self.tell(Some(client), None, Some(lease), Fact::Release);
        let now = self.instant();
        self.clients[client].manager.release(now, id);
        self.settle(client);
    }

    pub(crate) fn drops(&mut self, lease: Lease) {
        let (client, id, _) = self.leases[lease];
        self.tell(Some(client), None, Some(lease), Fact::Cancel);
        let now = self.instant();
        self.clients[client].manager.cancel(now, id);
        self.settle(client);
    }

    pub(crate) fn set_latency(&mut self, client: usize, node: usize, millis: u64) {
        self.clients[client].links[node].latency = millis * MS;
    }

    /// The wall clock of a node is so far ahead of the others.
    pub(crate) fn set_ahead(&mut self, node: usize, micros: u64) {
        self.ahead[node] = micros;
    }

    /// The next reply on a link is lost with the connection; it is connected again at once.
    pub(crate) fn lose_next_reply(&mut self, client: usize, node: usize) {
        self.clients[client].links[node].lossy = true;
    }

    /// The next push to a client is lost.
    pub(crate) fn lose_next_push(&mut self, client: usize, node: usize) {
        self.clients[client].links[node].loses_push = true;
    }

    /// The owner of a lease waits to be told of its loss.
    pub(crate) fn watches(&mut self, lease: Lease) {
        let (client, id, _) = self.leases[lease];
        self.tell(Some(client), None, Some(lease), Fact::Watched);
        let now = self.instant();
        self.clients[client].manager.watch(now, id, true);
        self.settle(client);
    }

    /// The machine of a client loses its power. Nobody closes its connections.
    pub(crate) fn loses_power(&mut self, client: usize) {
        self.clients[client].paused = true;
        self.tell(Some(client), None, None, Fact::Fault(Fault::ClientCrash));
    }

    /// Nothing passes between a client and a node from now on, and nobody is told.
    pub(crate) fn cut(&mut self, client: usize, node: usize) {
        self.clients[client].links[node].cut = true;
        self.tell(Some(client), Some(node), None, Fact::Fault(Fault::Cut));
    }

    /// The end of a cut; what was lost is lost.
    pub(crate) fn mend(&mut self, client: usize, node: usize) {
        let link = &mut self.clients[client].links[node];
        link.cut = false;
        let after = 4 * link.latency;
        let up = link.up;
        self.tell(Some(client), Some(node), None, Fact::Mended(Fault::Cut));
        if !up {
            self.schedule(after, Event::Up(client, node));
        }
    }

    /// The node is down from the beginning to the end; who connects is refused.
    pub(crate) fn dies(&mut self, node: usize) {
        self.tell(None, Some(node), None, Fact::Fault(Fault::CrashKept));
        for client in 0..self.clients.len() {
            self.goes_down(client, node);
        }
    }

    /// A crash and a start without a memory: nothing is counted for one max TTL.
    pub(crate) fn restarts_empty(&mut self, node: usize) {
        let from = self.holder(node);
        let (now, set) = (self.shown(node), set_of(self.nodes.len()));
        self.nodes[node].forget();
        self.nodes[node].mark(now, set);
        self.tell(None, Some(node), None, Fact::Fault(Fault::CrashEmpty));
        self.tell_key(node, None, from);
        self.tell(None, Some(node), None, Fact::Mended(Fault::CrashEmpty));
    }

    /// Somebody deletes the key without looking whose it is.
    pub(crate) fn deleted(&mut self, node: usize) {
        let from = self.holder(node);
        self.nodes[node].set(KEY, None);
        // As the judge has it, such a fault is of a key.
        let record = self.record(None, Some(node), None, Fact::Fault(Fault::Deleted));
        self.write(Record {
            key: Some(0),
            ..record
        });
        self.tell_key(node, None, from);
        for client in 0..self.clients.len() {
            for lease in std::mem::take(&mut self.clients[client].watched) {
                let latency = self.clients[client].links[node].latency;
                self.schedule(latency, Event::Touched(client, lease));
            }
        }
    }

    /// The process of a client stands still.
    pub(crate) fn pauses(&mut self, client: usize) {
        self.clients[client].paused = true;
        self.tell(Some(client), None, None, Fact::Fault(Fault::Pause));
    }

    /// It goes on: first with what is due, then with what has come.
    pub(crate) fn resumes(&mut self, client: usize) {
        self.clients[client].paused = false;
        self.tell(Some(client), None, None, Fact::Mended(Fault::Pause));
        let now = self.instant();
        self.clients[client].manager.handle_timeout(now);
        self.settle(client);
        for event in std::mem::take(&mut self.clients[client].inbox) {
            self.happen(event);
        }
    }

    /// What was written down.
    pub(crate) fn finish(mut self) -> String {
        self.judge.finish(self.now);
        assert_eq!(self.judge.violation(), None, "\n{}", self.text);
        assert!(self.judge.checks().requests > 0);
        self.text
    }

    // ---- what happens ----

    fn instant(&self) -> Instant {
        Instant::from_nanos(self.now as i64)
    }

    /// What the clock of a node shows.
    fn shown(&self, node: usize) -> Shown {
        Shown {
            ticks: self.now as i64,
            micros: (self.ahead[node] + self.now / 1_000) as i64,
        }
    }

    fn schedule(&mut self, after: Nanos, event: Event) {
        self.events += 1;
        self.queue.insert((self.now + after, self.events), event);
    }

    fn happen(&mut self, event: Event) {
        let client = match &event {
            Event::Arrive(client, request) => return self.arrive(*client, request.clone()),
            Event::Back(client, ..)
            | Event::Silence(client, _)
            | Event::Up(client, _)
            | Event::Pushed(client, ..)
            | Event::Touched(client, _) => *client,
        };
        if self.clients[client].paused {
            return self.clients[client].inbox.push(event);
        }
        match event {
            Event::Back(_, request, reply) => self.back(client, &request, reply),
            Event::Silence(_, id) => self.silence(client, id),
            Event::Up(_, node) => {
                let link = &mut self.clients[client].links[node];
                if link.cut {
                    return;
                }
                link.up = true;
                self.tell(Some(client), Some(node), None, Fact::Link(Link::Up));
                let now = self.instant();
                let time = self.shown(node).server_time();
                let manager = &mut self.clients[client].manager;
                manager.handle_node_up(now, NodeId::new(node), Some(time));
                self.settle(client);
            }
            Event::Pushed(_, node, push) => {
                let lease = push.lease as usize;
                let (now, place) = (self.instant(), push.place.id);
                let said = match push.granted {
                    Some((_, fence)) => Fact::Pushed { fence: fence.get() },
                    None => Fact::Hinted,
                };
                self.tell(Some(client), Some(node), Some(lease), said);
                let (manager, its) = (&mut self.clients[client].manager, NodeId::new(node));
                match push.granted {
                    Some((serial, fence)) => manager.handle_push(now, its, place, serial, fence),
                    None => manager.handle_hint(now, its, place),
                }
                self.settle(client);
            }
            Event::Touched(_, lease) => {
                self.tell(Some(client), Some(0), Some(lease), Fact::Doubted);
                let (now, id) = (self.instant(), self.leases[lease].1);
                let manager = &mut self.clients[client].manager;
                manager.handle_doubt(now, NodeId::new(0), id);
                self.settle(client);
            }
            Event::Arrive(..) => {}
        }
    }

    /// The node does what is asked, and answers.
    fn arrive(&mut self, client: usize, request: Request) {
        let node = request.id.node.index();
        let link = &self.clients[client].links[node];
        if link.cut || !link.in_flight.iter().any(|r| r.id == request.id) {
            return;
        }
        let from = self.holder(node);
        let lease = self.lease_of(&request.token);
        let arrived = Arrived {
            key: KEY,
            lease: lease as u32,
            attempt: request.token.attempt,
            op: request.op,
            channel: Some(client as u32),
            marker: Some((self.nodes[node].identity, set_of(self.nodes.len()))),
        };
        let now = self.shown(node);
        let before = self.places(node);
        let answer = self.nodes[node].apply(now, &arrived);
        let answer = answer.expect("it is marked, and not full");
        let to = self.holder(node);
        let holds = to == Holder::Lease(lease as u32);
        let wrote = matches!(answer, Answer::Granted { .. } | Answer::Done);
        let until = self.expiry(node).filter(|_| wrote && holds);
        let did = Fact::Did {
            ask: request.op.kind(),
            serial: request.id.serial,
            answer: (&answer).into(),
            until,
            late: false,
        };
        self.tell(Some(client), Some(node), Some(lease), did);
        match to {
            Holder::Lease(next) if from != to && next != lease as u32 => {
                self.tell_hand_off(node, next as Lease);
            }
            _ => {}
        }
        if wrote && !matches!(request.op, Op::Confirm { .. } | Op::Watch) || from != to {
            self.tell_key(node, Some((client, lease)), from);
        }
        self.tell_places(node, &before);
        self.send_pushes(node);
        if request.op == Op::Watch {
            self.clients[client].watched.push(lease);
        }
        let link = &mut self.clients[client].links[node];
        let latency = link.latency;
        if std::mem::take(&mut link.lossy) {
            let lost = Fact::Fault(Fault::LostReply);
            self.tell(Some(client), Some(node), None, lost);
            return self.schedule(latency, Event::Back(client, request, UNKNOWN));
        }
        self.schedule(
            latency,
            Event::Back(client, request, Reply::Applied(answer)),
        );
    }

    /// The places in the queue: whose, and from when on each is dead.
    fn places(&self, node: usize) -> Vec<(Lease, Nanos)> {
        let waiters = self.nodes[node].waiters(KEY).iter();
        waiters
            .map(|it| (it.lease as Lease, it.until as Nanos))
            .collect()
    }

    fn tell_places(&mut self, node: usize, before: &[(Lease, Nanos)]) {
        let after = self.places(node);
        let gone = before
            .iter()
            .filter(|(lease, _)| after.iter().all(|it| it.0 != *lease));
        let gone = gone.map(|(lease, _)| (*lease, None));
        let kept = after.iter().filter(|it| !before.contains(it));
        let kept = kept.map(|(lease, until)| (*lease, Some(*until)));
        for (lease, until) in gone.chain(kept) {
            let (client, channel) = (self.leases[lease].0, true);
            let place = Fact::Place { until, channel };
            self.tell(Some(client), Some(node), Some(lease), place);
        }
    }

    /// The lock was handed on to a lease that waits.
    fn tell_hand_off(&mut self, node: usize, next: Lease) {
        // One of several keeps the key for a lease, and grants nothing by that.
        if self.nodes.len() > 1 {
            return;
        }
        let last = self.nodes[node].stream_kept(self.shown(node));
        let ((millis, sequence), _) = last.expect("a fence was drawn");
        let fence = Fence::of_stream(millis.unsigned_abs(), sequence.unsigned_abs());
        let handed = Fact::HandedOn {
            fence: fence.unwrap().get(),
            until: self.expiry(node).unwrap(),
        };
        self.tell(Some(self.leases[next].0), Some(node), Some(next), handed);
    }

    fn send_pushes(&mut self, node: usize) {
        for push in std::mem::take(&mut self.nodes[node].pushes) {
            let client = push.channel as usize;
            let link = &mut self.clients[client].links[node];
            let latency = link.latency;
            if std::mem::take(&mut link.loses_push) {
                let lost = Fact::Fault(Fault::LostPush);
                self.tell(Some(client), Some(node), None, lost);
            } else {
                self.schedule(latency, Event::Pushed(client, node, push));
            }
        }
    }

    fn back(&mut self, client: usize, request: &Request, reply: Reply) {
        let node = request.id.node.index();
        let link = &mut self.clients[client].links[node];
        let before = link.in_flight.len();
        link.in_flight.retain(|flying| flying.id != request.id);
        if link.cut || link.in_flight.len() == before {
            return;
        }
        self.outcome(client, request, reply);
        self.settle(client);
    }

    fn silence(&mut self, client: usize, id: RequestId) {
        let node = id.node.index();
        let link = &self.clients[client].links[node];
        if link.in_flight.iter().any(|request| request.id == id) {
            self.goes_down(client, node);
        }
    }

    /// The connection is over, and another cannot be had.
    fn goes_down(&mut self, client: usize, node: usize) {
        let link = &mut self.clients[client].links[node];
        link.up = false;
        let in_flight = std::mem::take(&mut link.in_flight);
        self.tell(Some(client), Some(node), None, Fact::Link(Link::Down));
        for request in in_flight {
            self.outcome(client, &request, UNKNOWN);
        }
        let now = self.instant();
        let manager = &mut self.clients[client].manager;
        manager.handle_node_down(now, NodeId::new(node), Words::fixed("down"));
        self.settle(client);
    }

    fn outcome(&mut self, client: usize, request: &Request, reply: Reply) {
        let lease = self.lease_of(&request.token);
        let outcome = match &reply {
            Reply::Applied(answer) => Outcome::Answered(answer.into()),
            Reply::NotApplied(_) => Outcome::NotSent,
            Reply::Unknown(_) => Outcome::Unknown,
        };
        let heard = Fact::Heard {
            ask: request.op.kind(),
            serial: request.id.serial,
            outcome,
        };
        let node = request.id.node.index();
        self.tell(Some(client), Some(node), Some(lease), heard);
        let now = self.instant();
        let manager = &mut self.clients[client].manager;
        manager.handle_reply(now, request.id, reply);
    }

    /// Carries out what the core put out, until nothing is left.
    fn settle(&mut self, client: usize) {
        loop {
            let manager = &mut self.clients[client].manager;
            if let Some(event) = manager.poll_event() {
                let mut leases = self.leases.iter();
                let lease = leases.position(|(its, id, _)| *its == client && *id == event.lease);
                self.tell(Some(client), None, lease, fact_of(&event.kind));
                continue;
            }
            let ready = manager.poll_ready();
            if ready.is_empty() {
                return;
            }
            for node in ready.iter() {
                let mut batch = Vec::new();
                let manager = &mut self.clients[client].manager;
                while manager.poll_requests(node, 16, &mut batch) > 0 {}
                for request in batch {
                    self.send(client, request);
                }
            }
        }
    }

    fn send(&mut self, client: usize, request: Request) {
        let node = request.id.node.index();
        let now = self.instant();
        let link = &mut self.clients[client].links[node];
        if !link.up {
            let reply = Reply::NotApplied(Refusal::NotSent);
            let manager = &mut self.clients[client].manager;
            return manager.handle_reply(now, request.id, reply);
        }
        link.in_flight.push(request.clone());
        let latency = link.latency;
        let lease = self.lease_of(&request.token);
        let sent = Fact::Sent {
            ask: request.op.kind(),
            attempt: request.token.attempt,
            serial: request.id.serial,
        };
        self.tell(Some(client), Some(node), Some(lease), sent);
        self.schedule(PATIENCE, Event::Silence(client, request.id));
        self.schedule(latency, Event::Arrive(client, request));
    }

    // ---- what is told ----

    fn lease_of(&self, token: &Token) -> Lease {
        let mut leases = self.leases.iter();
        leases
            .position(|(.., secret)| *secret == token.secret)
            .expect("each token is of a lease of the scene")
    }

    fn holder(&self, node: usize) -> Holder {
        let entry = self.nodes[node].entry(self.shown(node), KEY);
        match entry.map(|entry| entry.value) {
            None => Holder::Nobody,
            Some(Value::Token { lease, .. }) => Holder::Lease(lease),
            Some(Value::Other | Value::WrongType) => Holder::Foreign,
        }
    }

    fn expiry(&self, node: usize) -> Option<Nanos> {
        let entry = self.nodes[node].entry(self.shown(node), KEY)?;
        entry.until.map(|until| until as Nanos)
    }

    fn tell_key(&mut self, node: usize, by: Option<(usize, Lease)>, from: Holder) {
        let (to, until) = (self.holder(node), self.expiry(node));
        let until = until.filter(|_| to != Holder::Nobody);
        let fact = Fact::Key { from, to, until };
        let client = by.map(|(client, _)| client);
        let record = self.record(client, Some(node), by.map(|(_, lease)| lease), fact);
        self.write(Record {
            key: Some(0),
            ..record
        });
    }

    fn tell(
        &mut self,
        client: Option<usize>,
        node: Option<usize>,
        lease: Option<Lease>,
        fact: Fact,
    ) {
        let record = self.record(client, node, lease, fact);
        self.write(record);
    }

    fn record(
        &self,
        client: Option<usize>,
        node: Option<usize>,
        lease: Option<Lease>,
        fact: Fact,
    ) -> Record {
        Record {
            local: client.map(|_| self.instant()),
            client: client.map(|client| client as u8),
            node: node.map(|node| node as u8),
            key: lease.map(|_| 0),
            lease: lease.map(|lease| lease as u32),
            ..Record::new(self.now, fact)
        }
    }

    /// A line: true time, where, which lease, what.
    fn write(&mut self, record: Record) {
        self.judge.hear(&record);
        let client = record.client.map(|client| CLIENTS[usize::from(client)]);
        let node = record.node.map(|node| NODES[usize::from(node)]);
        let place = match (client, node, record.fact) {
            (_, Some(node), Fact::Did { .. } | Fact::Key { .. }) => node.to_owned(),
            (_, Some(node), Fact::Place { .. } | Fact::HandedOn { .. }) => node.to_owned(),
            (Some(client), Some(node), Fact::Pushed { .. } | Fact::Hinted | Fact::Doubted) => {
                format!("{client} <- {node}")
            }
            (Some(client), Some(node), Fact::Sent { .. }) => format!("{client} -> {node}"),
            (Some(client), Some(node), Fact::Heard { .. }) => format!("{client} <- {node}"),
            (Some(client), Some(node), _) => format!("{client} -- {node}"),
            (Some(client), None, _) => client.to_owned(),
            (None, Some(node), _) => node.to_owned(),
            (None, None, _) => String::new(),
        };
        let lease = record.lease.map(|lease| format!("lease {lease}"));
        let (secs, micros) = (record.at / 1_000_000_000, record.at / 1_000 % 1_000_000);
        let _ = writeln!(
            self.text,
            "{:>9} {place:<8} {:<7}  {}",
            format!("{secs}.{micros:06}"),
            lease.unwrap_or_default(),
            record.fact
        );
    }
}

/// What is promised in a scene.
fn rules_of(config: &Config, nodes: usize) -> Rules {
    Rules {
        nodes,
        quorum: config.quorum(),
        max_ttl: config.max_ttl().as_nanos() as Nanos,
        exclusion: true,
        promises: true,
        prompt: true,
        quarantine: true,
        excuses: true,
        fencing: true,
        late_expiry: 0,
        told_within: 0,
        asked_while_stalled: false,
        granted_within: None,
        pace: 0,
        renewals: 2,
        kills: false,
        freed_within: 0,
        bare_releases: false,
        recalled_within: 0,
        acknowledged: 0,
        idle_within: None,
        hold: 0,
        doubted_within: 0,
    }
}

/// What all clients of a scene agree on.
const fn set_of(nodes: usize) -> SetOfNodes {
    SetOfNodes {
        max_ttl: MAX_TTL,
        nodes,
    }
}

fn fact_of(kind: &EventKind) -> Fact {
    let nanos = |instant: &Instant| instant.as_nanos() as Nanos;
    match kind {
        EventKind::Acquired { fence, valid_until } => Fact::Granted {
            fence: fence.get(),
            until: nanos(valid_until),
        },
        EventKind::Renewed { valid_until } => Fact::Until {
            until: nanos(valid_until),
            why: Why::Renewed,
        },
        EventKind::Shortened { valid_until } => Fact::Until {
            until: nanos(valid_until),
            why: Why::Shortened,
        },
        EventKind::Suspect { .. } => Fact::Suspect,
        EventKind::Queued { ahead, .. } => Fact::Queued { ahead: *ahead },
        EventKind::Waiting { cause, .. } => Fact::Waiting(cause.into()),
        EventKind::Failed { cause, gave_up } => Fact::Failed {
            cause: cause.into(),
            gave_up: *gave_up,
        },
        EventKind::Lost { loss } => Fact::Lost(loss.into()),
        EventKind::Released { outcome } => Fact::Released(match outcome {
            tenure_core::Release::Released => Freed::Released,
            tenure_core::Release::Lost(_) => Freed::Lost,
            tenure_core::Release::Rejected { .. } => Freed::Rejected,
            tenure_core::Release::Unknown { .. } => Freed::Unknown,
        }),
    }
}
