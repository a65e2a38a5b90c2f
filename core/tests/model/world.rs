//! A small world around two or more real leases, for the model checker: what may happen, and what
//! must hold.
//!
//! Two clients want one key, or three or four where they wait in its queue. Time goes in ticks of a
//! second, and a process may stand still for any number of ticks. Each client has a link to each
//! node, which keeps the order of requests and replies. These may take any time.
//!
//! Where the world loses replies, a client may be told *unknown* at any moment, and the request or
//! its reply may still arrive later. Where it loses connections, all requests in flight become
//! unknown at once, and what was queued waits. The node may still execute what was written to the
//! old connection, until the new connection kills the old one.
//!
//! A push may come at any time after it was sent, before or after any reply. Where the world loses
//! pushes or doubles them, it may come never or twice. Those of a connection that was lost never
//! come.
//!
//! In every state, the validity of each lease is compared with what the nodes hold.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stateright::{Model, Property};
use tenure_core::{
    AcquireFailure, Answer, Backoff, Config, Context, Doubt, Drift, EventKind, Instant, Key, Law,
    Lease, LeaseOptions, LeaseOptionsBuilder, Loss, NodeId, Op, Outputs, RenewalPolicy, Reply, Rng,
    Secret, ServerClock, Token, Words,
};

use tenure_sim::node::{Arrived, Entry, Exact, Fences, Node, Pushed, Shown, Value};

/// What is marked as each client acquires.
const ACQUIRES: [&str; 4] = [
    "the first acquires",
    "the second acquires",
    "the third acquires",
    "the fourth acquires",
];

/// The number of the key that all want.
const KEY: usize = 0;

const fn ticks(ticks: u8) -> Duration {
    Duration::from_secs(ticks as u64)
}

/// The number of a lease is that of its client, and each byte of its secret.
fn lease_of(token: &Token) -> u32 {
    token.secret.expose()[0].into()
}

/// Whether a key holds a token of a lease.
fn is_of(entry: &Entry, lease: u32) -> bool {
    matches!(entry.value, Value::Token { lease: its, .. } if its == lease)
}

/// What may happen in a world.
pub(crate) struct World {
    config: Config,
    /// Whether leases wait in the queue of the key.
    queueing: bool,
    /// The options of each client. All but the first have simpler ones, since otherwise there are
    /// too many states.
    options: Vec<Arc<LeaseOptions>>,
    nodes: usize,
    /// How many ticks there are.
    pub(crate) end: u8,
    /// How often a client may be told *unknown*.
    pub(crate) losses: u8,
    /// Whether only confirmations can be lost.
    pub(crate) spares: bool,
    /// How many pushes may be lost, and how many may come twice.
    pub(crate) lost_pushes: u8,
    pub(crate) doubled_pushes: u8,
    /// How often a connection of the first client may be lost.
    pub(crate) resets: u8,
    /// Whether a new connection kills the old one.
    pub(crate) kills: bool,
    /// Whether replies take no time. With several nodes and ticks there are too many states
    /// otherwise.
    pub(crate) prompt: bool,
    /// Whether a client may still get the reply to a request that it was told *unknown* of.
    pub(crate) late_replies: bool,
    /// By how many ticks the clock of a client may be slow, and that of a node fast.
    pub(crate) skew: [u8; 2],
    /// Whether the first client may release, and in a queue each.
    pub(crate) releases: bool,
    /// Whether the first client may cancel, and in a queue the second, in whatever state its lease
    /// is.
    pub(crate) cancels: bool,
    /// Whether the second client never begins.
    pub(crate) alone: bool,
    /// How many grants are acknowledged by too few replicas.
    pub(crate) lags: u8,
    key: Key,
    fences: Fences,
    /// What happened in some state.
    pub(crate) marks: Mutex<BTreeSet<&'static str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    time: u8,
    losses: u8,
    resets: u8,
    lost_pushes: u8,
    doubled_pushes: u8,
    lags: u8,
    clients: Vec<Client>,
    nodes: Vec<Node<Exact>>,
    /// How far each node's clock is ahead.
    ahead: Vec<u8>,
    /// The fences that were told, in order.
    told: Vec<u64>,
    /// A law that was broken on the way to this state.
    broken: Option<Law>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Client {
    lease: Option<Lease>,
    clock: ServerClock,
    ahead: u8,
    /// Whether the last event of the lease was told, or it was cancelled.
    over: bool,
    /// Whether the lease has ended.
    done: bool,
    /// The attempt that was sent last, and the largest fence that had been told before.
    attempt: u32,
    floor: u64,
    /// Whether it has heard that replicas have what this attempt was granted.
    acknowledged: bool,
    links: Vec<Link>,
    /// The pushes that are on their way. Only over one node.
    pushes: Vec<Pushed>,
}

/// The way from a client to a node and back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Link {
    status: Status,
    /// The serials of the requests that are not answered yet.
    open: VecDeque<u32>,
    there: VecDeque<(u32, Token, Op)>,
    back: VecDeque<(u32, Answer)>,
    /// Requests on a connection that was lost, which may still be executed.
    old: VecDeque<(Token, Op)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Status {
    #[default]
    Up,
    /// A new connection is on its way, and requests wait for it.
    Dialling,
    Down,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Time passes. The clock of one client may stand still, or that of one node may make two
    /// ticks.
    Tick(Option<(bool, usize)>),
    Start(usize),
    /// A client handles what is due.
    Run(usize),
    Release(usize),
    Cancel(usize),
    Arrive(usize, usize),
    /// The same, and too few replicas acknowledge.
    ArriveAhead(usize, usize),
    Answer(usize, usize),
    /// The client is told *unknown* of its oldest request. The request or its reply may still
    /// arrive.
    Unknown(usize, usize),
    /// The same, and the request never arrives.
    Lose(usize, usize),
    /// The connection is lost. Requests on it may still be executed, and are never answered.
    Reset(usize, usize),
    ArriveOld(usize, usize),
    /// The node cannot be reached.
    Refuse(usize, usize),
    Connect(usize, usize),
    /// A push comes, one that came stays on its way, or one is lost.
    Push(usize, usize),
    PushTwice(usize, usize),
    LosePush(usize, usize),
}

impl World {
    pub(crate) fn new(
        nodes: usize,
        ttl: u8,
        margin: u8,
        first: fn(LeaseOptionsBuilder) -> LeaseOptionsBuilder,
    ) -> Self {
        Self::of(2, nodes, ttl, margin, first, Fences::Counters)
    }

    /// One node, whose stream of fences is missing at first. First attempts are takes.
    pub(crate) fn taking(ttl: u8, first: fn(LeaseOptionsBuilder) -> LeaseOptionsBuilder) -> Self {
        Self::of(2, 1, ttl, 0, first, Fences::Stream)
    }

    /// One node. So many clients wait in the queue of the key, while one of them holds it.
    pub(crate) fn queueing(
        clients: usize,
        ttl: u8,
        first: fn(LeaseOptionsBuilder) -> LeaseOptionsBuilder,
    ) -> Self {
        let mut world = Self::of(clients, 1, ttl, 0, first, Fences::Stream);
        let config = Config::builder(1)
            .drift(world.config.drift())
            .takes(false)
            .queues(true)
            .request_timeout(ticks(2));
        world.config = config.build().unwrap();
        world.queueing = true;
        let options = LeaseOptions::builder()
            .ttl(ticks(ttl))
            .renewal(RenewalPolicy::Off)
            .backoff(Backoff::new(
                Duration::from_nanos(1),
                Duration::from_nanos(1),
            ));
        let build = |options: LeaseOptionsBuilder| Arc::new(options.build(&world.config).unwrap());
        world.options = vec![build(options.clone()); clients];
        world.options[0] = build(first(options));
        world
    }

    /// The same, and a replica must acknowledge each grant.
    pub(crate) fn acknowledged(mut self) -> Self {
        let config = Config::builder(self.nodes)
            .drift(self.config.drift())
            .takes(self.config.takes())
            .queues(self.config.queues())
            .request_timeout(ticks(2))
            .acknowledged_by(1);
        self.config = config.build().unwrap();
        self
    }

    fn of(
        clients: usize,
        nodes: usize,
        ttl: u8,
        margin: u8,
        first: fn(LeaseOptionsBuilder) -> LeaseOptionsBuilder,
        fences: Fences,
    ) -> Self {
        let drift = Drift::from_ppm(0).with_granularity(ticks(margin));
        let config = Config::builder(nodes)
            .drift(drift)
            .takes(fences == Fences::Stream)
            .request_timeout(ticks(2));
        let config = config.build().unwrap();
        let options = LeaseOptions::builder()
            .ttl(ticks(ttl))
            .renewal(RenewalPolicy::Off)
            .attempts(Some(1))
            // So short that the next attempt begins with the next tick.
            .backoff(Backoff::new(
                Duration::from_nanos(1),
                Duration::from_nanos(1),
            ));
        let build = |options: LeaseOptionsBuilder| Arc::new(options.build(&config).unwrap());
        let mut all = vec![build(options.clone()); clients];
        all[0] = build(first(options));
        Self {
            options: all,
            queueing: false,
            config,
            nodes,
            end: 3,
            losses: 0,
            lost_pushes: 0,
            doubled_pushes: 0,
            spares: false,
            resets: 0,
            kills: true,
            prompt: false,
            late_replies: false,
            skew: [0, 0],
            releases: true,
            cancels: false,
            alone: false,
            lags: 0,
            key: Key::new(*b"k"),
            fences,
            marks: Mutex::default(),
        }
    }

    fn mark(&self, mark: &'static str) {
        self.marks.lock().unwrap().insert(mark);
    }

    /// Runs one transition of a client's lease, and carries out its outputs.
    fn step(
        &self,
        state: &mut State,
        client: usize,
        transition: impl FnOnce(Option<Lease>, Instant, &mut Context<'_>) -> Lease,
    ) {
        let now = state.now(client);
        let me = &mut state.clients[client];
        let mut out = Outputs::default();
        let down = |node: &usize| me.links[*node].status == Status::Down;
        let mut ctx = Context {
            config: &self.config,
            takes: self.config.takes(),
            down: (0..self.nodes).filter(down).map(NodeId::new).collect(),
            pushing: (0..self.nodes).map(NodeId::new).collect(),
            why_down: &[const { Words::fixed("down") }; 3],
            rng: &mut Rng::new(0),
            server_clock: &me.clock,
            out: &mut out,
        };
        me.lease = Some(transition(me.lease.take(), now, &mut ctx));
        for node in out.nodes {
            self.write(state, client, node.index());
        }
        for event in out.events {
            self.tell(state, client, &event);
        }
        let me = &mut state.clients[client];
        if me.over && me.lease.as_ref().is_some_and(|l| l.valid_until().is_some()) {
            state.broken = Some(Law::NoResurrection);
        }
    }

    /// Writes the queued requests, if there is a connection.
    fn write(&self, state: &mut State, client: usize, node: usize) {
        let told = state.told.iter().copied().max().unwrap_or(0);
        let me = &mut state.clients[client];
        let link = &mut me.links[node];
        let (Status::Up, Some(lease)) = (link.status, &mut me.lease) else {
            return;
        };
        lease.take(NodeId::new(node), |serial, op, token, _| {
            if op.kind().acquires() && token.attempt > me.attempt {
                me.attempt = token.attempt;
                me.floor = told;
                me.acknowledged = false;
                if token.attempt > 1 {
                    self.mark("a second attempt");
                }
            }
            match op {
                Op::Take { .. } => self.mark("a take"),
                Op::Wait { serial, .. } if serial.get() > 1 => self.mark("a place kept"),
                Op::Confirm { .. } => self.mark("a fence confirmed"),
                Op::Repair { .. } => self.mark("a lost copy put back"),
                Op::Acknowledge => self.mark("a grant to be acknowledged"),
                _ => {}
            }
            link.open.push_back(serial);
            link.there.push_back((serial, token, op));
        });
    }

    fn tell(&self, state: &mut State, client: usize, event: &EventKind) {
        let me = &mut state.clients[client];
        if me.over {
            state.broken = Some(Law::NoResurrection);
        }
        me.over |= event.is_final();
        match event {
            EventKind::Acquired { fence, .. } => {
                self.mark(ACQUIRES[client]);
                if !me.acknowledged && self.config.acknowledged_by() > 0 {
                    state.broken = Some(Law::HonestValidity);
                }
                if fence.get() <= me.floor || state.told.contains(&fence.get()) {
                    state.broken = Some(Law::Fencing);
                }
                state.told.push(fence.get());
            }
            EventKind::Renewed { .. } => self.mark("renewed"),
            EventKind::Suspect { .. } => self.mark("suspect"),
            EventKind::Lost {
                loss: Loss::Expired,
            } => self.mark("expired"),
            EventKind::Lost { .. } => self.mark("lost otherwise"),
            EventKind::Released { .. } => self.mark("released"),
            EventKind::Failed { cause, .. } | EventKind::Waiting { cause, .. }
                if matches!(cause, AcquireFailure::Unacknowledged { .. }) =>
            {
                self.mark("too few replicas");
            }
            EventKind::Failed { .. } => self.mark("failed"),
            EventKind::Queued { .. } | EventKind::Waiting { .. } | EventKind::Shortened { .. } => {}
        }
    }

    fn start(&self, state: &mut State, client: usize) {
        self.step(state, client, |_, now, ctx| {
            let secret = Secret::new([client as u8; 16]);
            Lease::acquire(
                now,
                self.key.clone(),
                secret,
                self.options[client].clone(),
                ctx,
            )
        });
    }

    /// Runs one transition of a lease that has begun.
    fn act(
        &self,
        state: &mut State,
        client: usize,
        transition: impl FnOnce(&mut Lease, Instant, &mut Context<'_>),
    ) {
        self.step(state, client, |lease, now, ctx| {
            let mut lease = lease.unwrap();
            transition(&mut lease, now, ctx);
            lease
        });
    }

    fn reply(&self, state: &mut State, client: usize, node: usize, serial: u32, reply: Reply) {
        state.clients[client].links[node]
            .open
            .retain(|open| *open != serial);
        if let Reply::Applied(
            Answer::Granted { server_time, .. } | Answer::Held { server_time, .. },
        ) = reply
            && self.nodes > 1
        {
            let now = state.now(client);
            state.clients[client].clock.observe(now, server_time);
        }
        if reply == Reply::Applied(Answer::Acknowledged { replicas: 1 }) {
            state.clients[client].acknowledged = true;
        }
        self.act(state, client, |lease, now, ctx| {
            lease.handle_reply(now, NodeId::new(node), serial, reply, ctx);
        });
    }

    /// A node executes a request. It must not change the key of another lease.
    fn perform(&self, state: &mut State, node: usize, token: &Token, op: &Op) -> Answer {
        let now = state.shown(node);
        let arrived = Arrived {
            key: KEY,
            lease: lease_of(token),
            attempt: token.attempt,
            op: *op,
            channel: Some(lease_of(token)),
            marker: None,
        };
        let model = &mut state.nodes[node];
        // Otherwise two states could differ only by a key that has expired.
        model.expire(now);
        let before = model.entry(now, KEY);
        let first = self.first_in_line(model, now, arrived.lease);
        let answer = model.apply(now, &arrived).expect("it is not full");
        match answer {
            Answer::Busy => self.mark("busy"),
            Answer::Unfenced => self.mark("unfenced"),
            Answer::Waiting { .. } => self.mark("a place"),
            _ => {}
        }
        let pushes = std::mem::take(&mut model.pushes);
        let after = model.entry(now, KEY);
        if let Some(push) = pushes.first() {
            self.mark("handed on");
            if first != Some(push.lease) {
                state.broken = Some(Law::Fairness);
            }
        }
        for push in pushes {
            state.clients[push.channel as usize].pushes.push(push);
        }
        if before.is_some_and(|held| !is_of(&held, arrived.lease) && after != Some(held)) {
            state.broken = Some(Law::Ownership);
        }
        answer
    }

    /// Who is the first in line whose place lives and whose client listens, if the lease that asks
    /// or gives the key back were not there.
    fn first_in_line(&self, node: &Node<Exact>, now: Shown, asker: u32) -> Option<u32> {
        let live = node.waiters(KEY).iter().filter(|it| it.until > now.ticks);
        let mut others = live.filter(|it| it.lease != asker);
        let heard = |channel: &u32| node.channels.contains(channel);
        let first = others
            .clone()
            .find(|it| it.channel.as_ref().is_none_or(heard));
        first.or_else(|| others.next()).map(|it| it.lease)
    }

    /// A push comes.
    fn push(&self, state: &mut State, client: usize, at: usize, stays: bool) {
        let push = state.clients[client].pushes[at];
        if stays {
            state.doubled_pushes += 1;
            self.mark("a push twice");
        } else {
            state.clients[client].pushes.remove(at);
        }
        let waits = |lease: &Lease| lease.valid_until().is_none();
        let me = &state.clients[client];
        if me.lease.is_none() || me.over {
            self.mark("a push for a lease that is over");
            if me.lease.is_none() {
                return;
            }
        }
        let waited = me.lease.as_ref().is_some_and(waits);
        let in_flight = !me.links[0].open.is_empty();
        self.act(state, client, |lease, now, ctx| {
            let (serial, fence) = push.granted.expect("it is over one node");
            lease.handle_push(now, NodeId::new(0), serial, fence, ctx);
        });
        let held = state.clients[client].lease.as_ref();
        if waited && held.is_some_and(|lease| !waits(lease)) {
            self.mark(
                ["granted by push", "granted by push before the reply"][usize::from(in_flight)],
            );
        }
    }

    fn cancel(&self, state: &mut State, client: usize) {
        let me = &mut state.clients[client];
        let lease = me.lease.as_ref().unwrap();
        self.mark(match lease.valid_until() {
            Some(_) if lease.is_suspect() => "a cancel while suspect",
            Some(_) => "a cancel while held",
            None => "a cancel while not held",
        });
        me.over = true;
        self.act(state, client, |lease, now, ctx| lease.cancel(now, ctx));
    }

    /// The oldest request on a link arrives. So many replicas acknowledge.
    fn arrive(&self, state: &mut State, client: usize, node: usize, replicas: u32) {
        let link = &mut state.clients[client].links[node];
        let (serial, token, op) = link.there.pop_front().unwrap();
        state.nodes[node].replicas = replicas;
        let answer = self.perform(state, node, &token, &op);
        state.nodes[node].replicas = 0;
        // A reply that nobody waits for changes nothing. One world checks that, so the others can
        // do without it.
        let me = &mut state.clients[client];
        let link = &mut me.links[node];
        let awaited = link.open.contains(&serial);
        if awaited && self.prompt {
            self.reply(state, client, node, serial, Reply::Applied(answer));
        } else if awaited || (self.late_replies && me.lease.is_some()) {
            link.back.push_back((serial, answer));
        }
    }

    /// The oldest request on a connection that was lost is executed after all.
    fn arrive_late(&self, state: &mut State, client: usize, node: usize) {
        let link = &mut state.clients[client].links[node];
        let (token, op) = link.old.pop_front().unwrap();
        self.perform(state, node, &token, &op);
        self.mark("executed on a connection that was lost");
    }

    /// The oldest answer on a link comes back.
    fn answer(&self, state: &mut State, client: usize, node: usize) {
        let link = &mut state.clients[client].links[node];
        let (serial, answer) = link.back.pop_front().unwrap();
        if !link.open.contains(&serial) {
            self.mark("a late reply");
        }
        self.reply(state, client, node, serial, Reply::Applied(answer));
    }

    /// The outcome of the oldest open request is taken for unknown.
    fn give_up(&self, state: &mut State, client: usize, node: usize) {
        state.losses += 1;
        let serial = state.clients[client].links[node].open[0];
        let link = &mut state.clients[client].links[node];
        if !self.late_replies {
            link.back.retain(|(answered, _)| *answered != serial);
        }
        self.reply(state, client, node, serial, Reply::Unknown(Doubt::Silent));
    }

    /// The oldest request on a link is lost.
    fn lose(&self, state: &mut State, client: usize, node: usize) {
        state.losses += 1;
        let link = &mut state.clients[client].links[node];
        let (serial, ..) = link.there.pop_front().unwrap();
        self.reply(state, client, node, serial, Reply::Unknown(Doubt::Silent));
    }

    fn reset(&self, state: &mut State, client: usize, node: usize) {
        state.resets += 1;
        let me = &mut state.clients[client];
        let held = me.lease.as_ref().is_some_and(|l| l.valid_until().is_some());
        self.mark(["a reset while not held", "a reset while held"][usize::from(held)]);
        me.pushes.clear();
        let link = &mut me.links[node];
        link.status = Status::Dialling;
        link.back.clear();
        state.nodes[node]
            .channels
            .retain(|channel| *channel as usize != client);
        let link = &mut state.clients[client].links[node];
        let unread = link.there.drain(..).map(|(_, token, op)| (token, op));
        link.old.extend(unread);
        for serial in link.open.clone() {
            let why = Words::fixed("the connection is lost");
            let reply = Reply::Unknown(Doubt::Broken(why));
            self.reply(state, client, node, serial, reply);
        }
    }

    fn connect(&self, state: &mut State, client: usize, node: usize) {
        let link = &mut state.clients[client].links[node];
        link.status = Status::Up;
        if self.queueing && !state.nodes[node].channels.contains(&(client as u32)) {
            state.nodes[node].channels.push(client as u32);
            state.nodes[node].channels.sort_unstable();
        }
        let link = &mut state.clients[client].links[node];
        if self.kills && !link.old.is_empty() {
            self.mark("killed with bytes unread");
            link.old.clear();
        }
        if let Some(lease) = &state.clients[client].lease {
            if lease.is_suspect() {
                self.mark("connected while suspect");
            }
            self.act(state, client, |lease, now, ctx| {
                lease.handle_up(now, NodeId::new(node), ctx);
            });
        }
        self.write(state, client, node);
    }

    /// What may happen on a link.
    fn on_link(&self, state: &State, index: usize, node: usize, actions: &mut Vec<Action>) {
        let link = &state.clients[index].links[node];
        if !link.there.is_empty() {
            actions.push(Action::Arrive(index, node));
            let asks = matches!(link.there.front(), Some((.., Op::Acknowledge)));
            if asks && state.lags < self.lags {
                actions.push(Action::ArriveAhead(index, node));
            }
        }
        if !link.old.is_empty() {
            actions.push(Action::ArriveOld(index, node));
        }
        if !link.back.is_empty() {
            actions.push(Action::Answer(index, node));
        }
        if link.status != Status::Up {
            actions.push(Action::Connect(index, node));
        }
        let living = state.clients[index].lease.is_some();
        if living && link.status == Status::Dialling {
            actions.push(Action::Refuse(index, node));
        }
        if living && link.status == Status::Up && index == 0 && state.resets < self.resets {
            actions.push(Action::Reset(index, node));
        }
        if state.losses == self.losses || link.open.is_empty() {
            return;
        }
        let oldest = link.there.front();
        let oldest = oldest.filter(|(serial, ..)| *serial == link.open[0]);
        if !self.spares {
            actions.push(Action::Unknown(index, node));
        }
        if oldest.is_some_and(|(.., op)| !self.spares || matches!(op, Op::Confirm { .. })) {
            actions.push(Action::Lose(index, node));
        }
    }
}

impl State {
    fn now(&self, client: usize) -> Instant {
        Instant::ORIGIN + ticks(self.time + self.clients[client].ahead)
    }

    fn may_act(&self, client: usize) -> bool {
        let lease = self.clients[client].lease.as_ref();
        let until = lease.and_then(Lease::valid_until);
        until.is_some_and(|until| self.now(client) < until)
    }

    /// What the clock of a node shows. For fences it stands still, so that they count by one. The
    /// clock of the first node is ahead of the others.
    fn shown(&self, node: usize) -> Shown {
        Shown {
            ticks: (Instant::ORIGIN + ticks(self.time + self.ahead[node])).as_nanos(),
            micros: if node == 0 { 7 } else { 1 },
        }
    }

    /// Whether a node holds a token of a client.
    fn has_copy(&self, client: usize, node: usize) -> bool {
        let entry = self.nodes[node].entry(self.shown(node), KEY);
        entry.is_some_and(|entry| is_of(&entry, client as u32))
    }

    /// How many nodes hold the token of a client's present attempt.
    fn copies(&self, client: usize) -> usize {
        let mine = Value::Token {
            lease: client as u32,
            attempt: self.clients[client].attempt,
        };
        let holds = |node: &usize| {
            let entry = self.nodes[*node].entry(self.shown(*node), KEY);
            entry.is_some_and(|entry| entry.value == mine)
        };
        (0..self.nodes.len()).filter(holds).count()
    }

    /// Whether a node has a live place of a client.
    fn has_place(&self, client: usize, node: usize) -> bool {
        let now = self.shown(node).ticks;
        let mut waiters = self.nodes[node].waiters(KEY).iter();
        waiters.any(|it| it.lease == client as u32 && it.until > now)
    }

    /// Whether a lease that has ended left its token or its place at a node, although the link
    /// works and no request is on its way. After one TTL this may be so: then the lease owes no
    /// release any more.
    fn is_orphaned(&self, client: usize, world: &World) -> bool {
        let me = &self.clients[client];
        let debts_live = ticks(self.time) < world.options[client].ttl();
        let quiet =
            |link: &Link| link.status == Status::Up && link.there.is_empty() && link.old.is_empty();
        let nodes = 0..self.nodes.len();
        me.done
            && debts_live
            && nodes
                .filter(|node| quiet(&me.links[*node]))
                .any(|node| self.has_copy(client, node) || self.has_place(client, node))
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let client = Client {
            lease: None,
            clock: ServerClock::new(self.config.max_ttl(), self.config.drift()),
            ahead: self.skew[0],
            over: false,
            done: false,
            attempt: 0,
            floor: 0,
            acknowledged: false,
            links: vec![Link::default(); self.nodes],
            pushes: Vec::new(),
        };
        let mut model = Node::new(1, self.fences);
        if self.queueing {
            model.channels = (0..self.options.len() as u32).collect();
        }
        let mut state = State {
            time: 0,
            losses: 0,
            resets: 0,
            lost_pushes: 0,
            doubled_pushes: 0,
            lags: 0,
            clients: vec![client; self.options.len()],
            nodes: vec![model; self.nodes],
            ahead: vec![0; self.nodes],
            told: Vec::new(),
            broken: None,
        };
        // The client that begins is called the first, and time begins with it.
        self.start(&mut state, 0);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.time < self.end {
            actions.push(Action::Tick(None));
            let slow = |client: &usize| state.clients[*client].ahead > 0;
            let fast = |node: &usize| state.ahead[*node] < self.skew[1];
            let clients = 0..state.clients.len();
            actions.extend(clients.filter(slow).map(|c| Action::Tick(Some((false, c)))));
            actions.extend(
                (0..self.nodes)
                    .filter(fast)
                    .map(|n| Action::Tick(Some((true, n)))),
            );
        }
        for (index, client) in state.clients.iter().enumerate() {
            for at in 0..client.pushes.len() {
                actions.push(Action::Push(index, at));
                if state.doubled_pushes < self.doubled_pushes {
                    actions.push(Action::PushTwice(index, at));
                }
                if state.lost_pushes < self.lost_pushes {
                    actions.push(Action::LosePush(index, at));
                }
            }
            for node in 0..self.nodes {
                self.on_link(state, index, node, actions);
            }
            let Some(lease) = &client.lease else {
                if !client.done && !self.alone {
                    actions.push(Action::Start(index));
                }
                continue;
            };
            if lease
                .deadline()
                .is_some_and(|(due, _)| due <= state.now(index))
            {
                actions.push(Action::Run(index));
            }
            let may = index == 0 || self.queueing;
            if self.releases && may && lease.valid_until().is_some() {
                actions.push(Action::Release(index));
            }
            let may = index == usize::from(self.queueing);
            if self.cancels && may && !client.over {
                actions.push(Action::Cancel(index));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick(skewed) => {
                state.time += 1;
                match skewed {
                    None => {}
                    Some((false, client)) => state.clients[client].ahead -= 1,
                    Some((true, node)) => state.ahead[node] += 1,
                }
            }
            Action::Start(client) => self.start(&mut state, client),
            Action::Run(client) => self.act(&mut state, client, |lease, now, ctx| {
                lease.handle_timeout(now, Duration::ZERO, ctx);
            }),
            Action::Release(client) => self.act(&mut state, client, |lease, now, ctx| {
                lease.release(now, ctx);
            }),
            Action::Cancel(client) => self.cancel(&mut state, client),
            Action::Arrive(client, node) => self.arrive(&mut state, client, node, 1),
            Action::ArriveAhead(client, node) => {
                state.lags += 1;
                self.arrive(&mut state, client, node, 0);
            }
            Action::ArriveOld(client, node) => self.arrive_late(&mut state, client, node),
            Action::Answer(client, node) => self.answer(&mut state, client, node),
            Action::Unknown(client, node) => self.give_up(&mut state, client, node),
            Action::Lose(client, node) => self.lose(&mut state, client, node),
            Action::Reset(client, node) => self.reset(&mut state, client, node),
            Action::Refuse(client, node) => {
                state.clients[client].links[node].status = Status::Down;
                self.act(&mut state, client, |lease, now, ctx| {
                    lease.handle_down(now, NodeId::new(node), ctx);
                });
            }
            Action::Connect(client, node) => self.connect(&mut state, client, node),
            Action::Push(client, at) => self.push(&mut state, client, at, false),
            Action::PushTwice(client, at) => self.push(&mut state, client, at, true),
            Action::LosePush(client, at) => {
                state.lost_pushes += 1;
                state.clients[client].pushes.remove(at);
                self.mark("a push lost");
            }
        }
        // The lease has ended. What differs in its client makes no difference any more.
        for client in &mut state.clients {
            if client.lease.as_ref().is_some_and(Lease::is_ended) {
                client.clock = ServerClock::new(self.config.max_ttl(), self.config.drift());
                client.lease = None;
                client.done = true;
                client.attempt = 0;
                client.floor = 0;
                client.acknowledged = false;
                for link in &mut client.links {
                    link.back.clear();
                }
                client.pushes.clear();
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Law::Exclusion.name(), |_, state: &State| {
                let acting = (0..state.clients.len()).filter(|client| state.may_act(*client));
                acting.count() <= 1
            }),
            Property::always(Law::HonestValidity.name(), |world: &Self, state: &State| {
                (0..state.clients.len()).all(|client| {
                    !state.may_act(client) || state.copies(client) >= world.config.quorum()
                })
            }),
            Property::always(Law::NoOrphan.name(), |world: &Self, state: &State| {
                !(0..state.clients.len()).any(|client| state.is_orphaned(client, world))
            }),
            Property::always("no law broken on the way", |_, state: &State| {
                state.broken.is_none()
            }),
        ]
    }
}
