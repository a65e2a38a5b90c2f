//! The state machine of all leases of a client. This is what a driver talks to.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::config::Config;
use crate::event::Event;
#[cfg(doc)]
use crate::event::EventKind;
use crate::id::{LeaseId, NodeId, NodeSet, RequestId};
use crate::lease::{Context, Due, Lease, Outputs};
use crate::math::ServerClock;
use crate::options::LeaseOptions;
use crate::place::{PlaceId, Serial};
use crate::recall::Recall;
use crate::request::{Answer, Op, Reply, Request, ServerTime, Words};
use crate::rng::Rng;
use crate::slots::Slots;
use crate::time::Instant;
use crate::timers::Timers;
use crate::token::{Fence, Key, Secret};

/// How many leases one call of [`Manager::handle_timeout`] or [`Manager::handle_node_down`] handles
/// at most. If 100,000 leases are due after a long pause of the process, they are handled in many
/// steps, and whoever shares a thread with the client gets its turn between them.
// Law: Bounded work
const WORK_MAX: usize = 256;

/// How many of these may have kept their place in a queue. There may be thousands of them at any
/// time, and behind them come rounds that are over and releases that are owed.
// Law: Bounded work
const PLACES_MAX: usize = WORK_MAX / 2;

/// For how many entries a queue keeps its memory when it is empty.
const QUEUE_KEPT: usize = 256;

/// By how much a renewal may begin before its time, so that it is sent together with others.
const EARLY_MAX: Duration = Duration::from_millis(10);

/// All leases of one client.
///
/// It does no I/O, reads no clock and never sleeps. A driver calls three kinds of methods. It
/// passes the present instant, by a clock that never goes back:
///
/// - **Commands** of the application: [`acquire`](Self::acquire), [`renew`](Self::renew),
///   [`watch`](Self::watch), [`release`](Self::release), [`cancel`](Self::cancel).
/// - **Events** of the world: [`handle_reply`](Self::handle_reply),
///   [`handle_push`](Self::handle_push), [`handle_hint`](Self::handle_hint),
///   [`handle_doubt`](Self::handle_doubt),
///   [`handle_doubt_of_all`](Self::handle_doubt_of_all), [`handle_timeout`](Self::handle_timeout),
///   [`handle_node_up`](Self::handle_node_up), [`handle_node_pushes`](Self::handle_node_pushes),
///   [`handle_node_down`](Self::handle_node_down).
/// - **Outputs**. After each of the calls above they are polled until they are empty, in any order:
///   [`poll_event`](Self::poll_event); [`poll_ready`](Self::poll_ready), and, when the link of that
///   node can write, [`poll_requests`](Self::poll_requests). [`poll_timeout`](Self::poll_timeout)
///   says when `handle_timeout` is due.
///
/// Extra calls do nothing. A late `handle_timeout` delays work, but breaks no promise: whoever asks
/// [`valid_until`](Self::valid_until) compares it with the present instant.
///
/// ```
/// use std::sync::Arc;
/// use tenure_core::{
///     Answer, Config, EventKind, Fence, Instant, Key, LeaseOptions, Manager, NodeId, Reply,
///     Secret, ServerTime,
/// };
///
/// let config = Config::builder(1).build()?;
/// let options = Arc::new(LeaseOptions::builder().build(&config)?);
/// let mut manager = Manager::new(config, 7);
/// let now = Instant::ORIGIN;
///
/// let key = Key::new(*b"orders/42");
/// let lease = manager.acquire(now, key, Secret::new([1; 16]), options)?;
/// let mut requests = Vec::new();
/// manager.poll_requests(NodeId::new(0), 16, &mut requests);
/// let granted = Answer::Granted {
///     fence: Fence::new(1).unwrap(),
///     server_time: ServerTime::from_micros(1),
/// };
/// manager.handle_reply(now, requests[0].id, Reply::Applied(granted));
///
/// assert!(matches!(manager.poll_event().unwrap().kind, EventKind::Acquired { .. }));
/// assert!(manager.valid_until(lease) > Some(now));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Manager {
    config: Config,
    slots: Slots,
    timers: Timers,
    recall: Recall,
    /// By node: the slots of the leases that have something to send to it. A slot has at most one
    /// entry, however many leases come and go in it.
    outboxes: Vec<VecDeque<u32>>,
    ready: NodeSet,
    /// The slots of the leases that wait for a push.
    places: BTreeMap<PlaceId, u32>,
    /// How many of them wait for each key.
    waiters: BTreeMap<Key, usize>,
    /// The nodes whose pushes are heard.
    pushing: NodeSet,
    doubts: Option<Doubts>,
    /// When all leases were doubted last.
    doubted: Instant,
    down: NodeSet,
    /// By node: why it went down last.
    why_down: Vec<Words>,
    events: VecDeque<Event>,
    server_clock: ServerClock,
    rng: Rng,
    outputs: Outputs,
}

/// Nodes that may have lost all keys.
#[derive(Debug)]
struct Doubts {
    nodes: NodeSet,
    /// When they are asked about the leases.
    from: Instant,
    /// The slot of the first lease that they were not asked about.
    slot: u32,
    /// Those that said so again since they were asked about the first: they are asked once more.
    again: NodeSet,
}

/// The client has as many leases as its configuration allows, those included that are being
/// released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtCapacity {
    /// The bound, from [`Config::max_leases`].
    pub max_leases: usize,
}

impl fmt::Display for AtCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this client has {} leases, as many as it may: release some, or raise max_leases",
            self.max_leases
        )
    }
}

impl core::error::Error for AtCapacity {}

impl Manager {
    /// A client without leases. `seed` is used for jitter only.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            outboxes: (0..config.nodes()).map(|_| VecDeque::new()).collect(),
            slots: Slots::default(),
            timers: Timers::default(),
            recall: Recall::new(),
            ready: NodeSet::EMPTY,
            places: BTreeMap::new(),
            waiters: BTreeMap::new(),
            pushing: NodeSet::EMPTY,
            doubts: None,
            doubted: Instant::MIN,
            down: NodeSet::EMPTY,
            why_down: alloc::vec![Words::fixed("it was never reached"); config.nodes()],
            events: VecDeque::new(),
            server_clock: ServerClock::new(config.max_ttl(), config.drift()),
            config,
            // Law: Replay
            rng: Rng::new(seed),
            outputs: Outputs::default(),
        }
    }

    /// What is the same for all leases.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Begins a lease on `key`. It ends with an event that [is final](EventKind::is_final), or
    /// without an event by [`cancel`](Self::cancel).
    ///
    /// `secret` must be unguessable, and used for one lease only. `options` must have been built
    /// against the configuration of this client.
    ///
    /// # Errors
    /// [`AtCapacity`] if the client has as many leases as it may.
    pub fn acquire(
        &mut self,
        now: Instant,
        key: Key,
        secret: Secret,
        options: Arc<LeaseOptions>,
    ) -> Result<LeaseId, AtCapacity> {
        // Law: Bounded work
        if self.slots.len() >= self.config.max_leases() {
            return Err(AtCapacity {
                max_leases: self.config.max_leases(),
            });
        }
        // A take would find the key busy.
        let takes = self.config.takes() && !self.waiters.contains_key(&key);
        let lease = Lease::acquire(
            now,
            key,
            secret,
            options,
            &mut Context {
                config: &self.config,
                takes,
                down: self.down,
                pushing: self.pushing,
                why_down: &self.why_down,
                rng: &mut self.rng,
                server_clock: &self.server_clock,
                out: &mut self.outputs,
            },
        );
        let id = self.slots.insert(lease);
        self.collect(id);
        Ok(id)
    }

    /// Renews a held lease now. The answer is [`EventKind::Renewed`], [`EventKind::Suspect`] or
    /// [`EventKind::Lost`]. If a renewal is already running, its answer is the answer to this one.
    /// Returns whether the lease is held.
    pub fn renew(&mut self, now: Instant, lease: LeaseId) -> bool {
        self.step(lease, |lease, ctx| lease.renew(now, ctx));
        self.valid_until(lease).is_some()
    }

    /// Gives a held lease back. Its validity ends at once. The answer is [`EventKind::Released`],
    /// or [`EventKind::Lost`] if it was lost before. A lease that is not held yet is cancelled.
    pub fn release(&mut self, now: Instant, lease: LeaseId) {
        self.step(lease, |lease, ctx| lease.release(now, ctx));
    }

    /// Ends a lease in whatever state it is. It may always be called, never fails, and causes no
    /// event. What is or may be at a node is released in the background.
    pub fn cancel(&mut self, now: Instant, lease: LeaseId) {
        self.step(lease, |lease, ctx| lease.cancel(now, ctx));
    }

    /// Handles the outcome of a request. A reply that comes too late or twice changes nothing.
    pub fn handle_reply(&mut self, now: Instant, request: RequestId, reply: Reply) {
        if let Reply::Applied(
            Answer::Granted { server_time, .. } | Answer::Held { server_time, .. },
        ) = reply
        {
            self.server_clock.observe(now, server_time);
        }
        self.step(request.lease, |lease, ctx| {
            lease.handle_reply(now, request.node, request.serial, reply, ctx);
        });
    }

    /// A node has handed a lock on to a place that it keeps for this client, as the request with
    /// this serial had it kept. One that comes late, twice, or for a place that nobody waits at any
    /// more does no harm. The link passes it before each reply that it reads later, and passes none
    /// of a connection that was replaced.
    pub fn handle_push(
        &mut self,
        now: Instant,
        node: NodeId,
        place: PlaceId,
        serial: Serial,
        fence: Fence,
    ) {
        if let Some(slot) = self.places.get(&place) {
            let id = self.slots.id(*slot);
            self.step(id, |lease, ctx| {
                lease.handle_push(now, node, serial, fence, ctx);
            });
        }
    }

    /// A node says that the lock is free there for which a lease of this client has a place. One
    /// that comes late, twice, or for a place that nobody has any more does no harm.
    pub fn handle_hint(&mut self, now: Instant, node: NodeId, place: PlaceId) {
        if let Some(slot) = self.places.get(&place) {
            let id = self.slots.id(*slot);
            self.step(id, |lease, ctx| lease.handle_hint(now, node, ctx));
        }
    }

    /// Lets the nodes watch the key of a lease while it is held, or not any more. A loss is told
    /// then as soon as a node says that somebody has touched the key, and else at the next renewal.
    pub fn watch(&mut self, now: Instant, lease: LeaseId, watched: bool) {
        self.step(lease, |lease, ctx| lease.watch(now, watched, ctx));
    }

    /// A node says that somebody may have touched the key of this lease. The lease asks by a
    /// renewal, and the answer decides.
    pub fn handle_doubt(&mut self, now: Instant, node: NodeId, lease: LeaseId) {
        self.step(lease, |lease, ctx| {
            lease.handle_doubt(now, node, false, ctx)
        });
    }

    /// A node says that it may have lost all keys. It is asked about each lease that is held, in
    /// bounded steps of [`handle_timeout`](Self::handle_timeout). What it says again within a
    /// request timeout counts once, and at the end of that time.
    pub fn handle_doubt_of_all(&mut self, now: Instant, node: NodeId) {
        match &mut self.doubts {
            Some(doubts) if doubts.slot > 0 => doubts.again.insert(node),
            Some(doubts) => doubts.nodes.insert(node),
            None => self.plan_doubts(now, [node].into_iter().collect()),
        }
    }

    /// Plans that nodes are asked about all leases: now, but a request timeout after the last time.
    // Law: Bounded work
    fn plan_doubts(&mut self, now: Instant, nodes: NodeSet) {
        self.doubts = (!nodes.is_empty()).then(|| Doubts {
            nodes,
            from: now.max(self.doubted + self.config.request_timeout()),
            slot: 0,
            again: NodeSet::EMPTY,
        });
    }

    /// Asks about leases that a node doubts, so many at most. Returns about how many it did.
    fn doubt(&mut self, now: Instant, max: usize) -> usize {
        let mut work = 0;
        while work < max
            && let Some(doubts) = &mut self.doubts
            && doubts.from <= now
        {
            if doubts.slot == 0 {
                self.doubted = now;
            }
            let Some(id) = self.slots.from(doubts.slot) else {
                let again = doubts.again;
                self.plan_doubts(now, again);
                break;
            };
            doubts.slot = id.slot + 1;
            let nodes = doubts.nodes;
            work += 1;
            for node in nodes.iter() {
                self.step(id, |lease, ctx| lease.handle_doubt(now, node, true, ctx));
            }
        }
        work
    }

    /// Whether the link to a node hears its pushes. It says so before the node is up, where it
    /// knows; at first it does not.
    pub fn handle_node_pushes(&mut self, node: NodeId, heard: bool) {
        if heard {
            self.pushing.insert(node);
        } else {
            self.pushing.remove(node);
        }
    }

    /// The link to a node is up: it is connected, and the node is ready to serve. `server_time` is
    /// the time that the server told, if it did.
    ///
    /// What leases have put off because it failed at this node is due at once: first the renewals
    /// of suspect leases, in the order in which their validity ends, then places in queues, since
    /// pushes may have been lost, then releases that are owed.
    /// [`handle_timeout`](Self::handle_timeout) begins them, in bounded steps. Each is tried once.
    /// If it fails again, the usual pauses follow.
    pub fn handle_node_up(&mut self, now: Instant, node: NodeId, server_time: Option<ServerTime>) {
        self.handle_node_connecting(node);
        // Law: Progress
        self.recall.begin(now, node);
        if let Some(time) = server_time {
            self.server_clock.observe(now, time);
        }
    }

    /// The link to a node takes requests: it connects, and they wait; or it answers them itself.
    /// Whether the node serves is not known, so nothing that was put off is tried for it.
    pub fn handle_node_connecting(&mut self, node: NodeId) {
        self.recall.withdraw(node);
        self.down.remove(node);
        if !self.outboxes[node.index()].is_empty() {
            self.ready.insert(node);
        }
    }

    /// A node cannot be reached, for this reason. What is queued for it is answered as not applied,
    /// and it is not asked until it is up. It handles a bounded number of leases, and leaves the
    /// others to [`handle_timeout`](Self::handle_timeout).
    pub fn handle_node_down(&mut self, now: Instant, node: NodeId, why: Words) {
        self.recall.withdraw(node);
        self.down.insert(node);
        self.why_down[node.index()] = why;
        self.answer_unsent(now, WORK_MAX);
    }

    /// Answers what is queued for nodes that are down, for so many leases at most. Returns for how
    /// many it did.
    fn answer_unsent(&mut self, now: Instant, max: usize) -> usize {
        let mut work = 0;
        for node in self.down.iter() {
            while work < max
                && let Some(slot) = pop(&mut self.outboxes[node.index()])
            {
                work += 1;
                if let Some(id) = self.slots.dequeue(slot, node) {
                    self.step(id, |lease, ctx| lease.handle_down(now, node, ctx));
                }
            }
        }
        work
    }

    /// Whether something is queued for a node that is down.
    fn is_unsent(&self) -> bool {
        let mut down = self.down.iter();
        down.any(|node| !self.outboxes[node.index()].is_empty())
    }

    /// Handles what is due: first the leases whose validity ends, then renewals in the order of
    /// their time, then places in queues, then what is queued for nodes that are down, then
    /// retries. Of renewals and of retries, those come first that were put off until [a node came
    /// up](Self::handle_node_up). It handles a bounded number of leases. If more are due,
    /// [`poll_timeout`](Self::poll_timeout) still says an instant in the past.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Renewals that fall due within this time of the first begin together with it, as one
        // batch.
        let early = (self.config.max_ttl() / 1_000).min(EARLY_MAX);
        // Nobody's validity hangs on when a place is kept, and thousands may wait for one key.
        let early_place = self.config.max_ttl() / 24;
        let mut work = 0;
        // Law: Loss is told
        for due in [Due::Expiry, Due::Renewal, Due::Place, Due::Retry] {
            let mut horizon = now;
            if due == Due::Renewal {
                work += self.doubt(now, WORK_MAX - work);
            }
            if due == Due::Retry {
                work += self.answer_unsent(now, WORK_MAX - work);
            }
            let most = match due {
                Due::Place => WORK_MAX.min(work + PLACES_MAX),
                _ => WORK_MAX,
            };
            while work < most
                && let Some(slot) = self.recall.next(due)
            {
                work += 1;
                self.call(now, slot);
            }
            // Each lease is handled once. If that makes it due again, it waits for the next call.
            let mut done = None;
            while work < most
                && let Some(entry) = self.timers.due(due, horizon, done)
            {
                done = Some(entry);
                let slot = entry.1;
                match due {
                    Due::Renewal => horizon = now + early,
                    Due::Place => horizon = now + early_place,
                    _ => {}
                }
                work += 1;
                let id = self.slots.id(slot);
                let span = horizon.saturating_since(now);
                self.step(id, |lease, ctx| lease.handle_timeout(now, span, ctx));
            }
        }
    }

    /// Calls a lease that had put something off, for the nodes that have come up since.
    fn call(&mut self, now: Instant, slot: u32) {
        let nodes = self.recall.call(self.slots.put_off(slot));
        let id = self.slots.id(slot);
        for node in nodes.iter() {
            self.step(id, |lease, ctx| lease.handle_up(now, node, ctx));
        }
    }

    /// Handles what is due for one lease, before all others: for an owner who asks about it.
    pub fn catch_up(&mut self, now: Instant, lease: LeaseId) {
        self.step(lease, |lease, ctx| {
            lease.handle_timeout(now, Duration::ZERO, ctx);
        });
    }

    /// Takes at most `max` requests for a node and appends them to `out`, in the order in which
    /// they must be written. From here on they count as sent. Returns how many it took.
    ///
    /// Requests that no longer matter are not handed out: the renewal of a lease that was released
    /// meanwhile, or an acquire that was cancelled.
    pub fn poll_requests(&mut self, node: NodeId, max: usize, out: &mut Vec<Request>) -> usize {
        let before = out.len();
        // A lease hands out at most two: a request, and a release behind it.
        while out.len() - before < max
            && let Some(slot) = pop(&mut self.outboxes[node.index()])
        {
            let Some(id) = self.slots.dequeue(slot, node) else {
                continue;
            };
            let Some(lease) = self.slots.get_mut(id) else {
                continue;
            };
            let key = lease.key().clone();
            lease.take(node, |serial, op, token, deadline| {
                let id = RequestId {
                    lease: id,
                    node,
                    serial,
                };
                out.push(Request {
                    id,
                    key: key.clone(),
                    token,
                    op,
                    deadline,
                });
            });
        }
        out.len() - before
    }

    /// Whether a request that was just taken must not be sent any more: it would prolong a lease
    /// whose validity has ended, although [`handle_timeout`](Self::handle_timeout) was not called
    /// since then. Its reply is *not applied*.
    // Law: No resurrection
    #[must_use]
    pub fn is_too_late(&self, now: Instant, request: &Request) -> bool {
        let prolongs = matches!(request.op, Op::Renew { .. } | Op::Repair { .. });
        let until = || self.valid_until(request.id.lease);
        prolongs && until().is_none_or(|until| until <= now)
    }

    /// Takes the next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }

    /// The nodes for which something was queued since the last call. The driver wakes their links.
    #[must_use]
    pub fn poll_ready(&mut self) -> NodeSet {
        core::mem::take(&mut self.ready)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next. None if it is not.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_unsent() {
            return Some(Instant::MIN);
        }
        let recall = self.recall.due().map(|(since, _)| since);
        let doubts = self.doubts.as_ref().map(|doubts| doubts.from);
        let others = recall.into_iter().chain(doubts);
        self.timers.first().into_iter().chain(others).min()
    }

    /// What is due at [`poll_timeout`](Self::poll_timeout), for a log or a test.
    #[must_use]
    pub fn timeout_reason(&self) -> Option<Due> {
        if self.is_unsent() {
            return Some(Due::Round);
        }
        let first = self.poll_timeout()?;
        if self
            .doubts
            .as_ref()
            .is_some_and(|doubts| doubts.from == first)
        {
            return Some(Due::Renewal);
        }
        if let Some((since, due)) = self.recall.due()
            && since == first
        {
            return Some(due);
        }
        self.slots
            .iter()
            .filter_map(|(_, due)| due)
            .find(|(at, _)| *at == first)
            .map(|(_, due)| due)
    }

    /// Until when the holder of a lease may act. None unless it is held.
    #[must_use]
    pub fn valid_until(&self, lease: LeaseId) -> Option<Instant> {
        self.slots.get(lease)?.valid_until()
    }

    /// The fence of a held lease.
    #[must_use]
    pub fn fence(&self, lease: LeaseId) -> Option<Fence> {
        self.slots.get(lease)?.fence()
    }

    /// How many leases have something to send to a node. Each has at most one request to it and a
    /// release behind that.
    #[must_use]
    pub fn queued(&self, node: NodeId) -> usize {
        self.outboxes[node.index()].len()
    }

    /// A lease. It is there until no node is owed a release any more.
    #[must_use]
    pub fn lease(&self, lease: LeaseId) -> Option<&Lease> {
        self.slots.get(lease)
    }

    /// The shortest TTL of all leases that there are, those included that are still being released.
    /// None if there are none.
    #[must_use]
    pub fn shortest_ttl(&self) -> Option<Duration> {
        self.slots.shortest_ttl()
    }

    /// How many leases there are, those included that are still being released.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no lease is left: none is held, wanted or being released.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All leases. The order has no meaning, but is the same in each run.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.slots.iter().map(|(id, _)| id)
    }

    /// For how many leases, entries of outboxes and events there is memory now, for the tests that
    /// see it given back.
    #[doc(hidden)]
    #[must_use]
    pub fn capacity(&self) -> usize {
        let outboxes: usize = self.outboxes.iter().map(VecDeque::capacity).sum();
        self.slots.capacity() + outboxes + self.events.capacity()
    }

    /// Runs one transition of one lease, and collects its outputs.
    fn step(&mut self, id: LeaseId, transition: impl FnOnce(&mut Lease, &mut Context<'_>)) {
        let Some(lease) = self.slots.get_mut(id) else {
            return;
        };
        let mut ctx = Context {
            config: &self.config,
            takes: self.config.takes(),
            down: self.down,
            pushing: self.pushing,
            why_down: &self.why_down,
            rng: &mut self.rng,
            server_clock: &self.server_clock,
            out: &mut self.outputs,
        };
        transition(lease, &mut ctx);
        self.collect(id);
    }

    /// Passes on what a transition put out, and plans the next deadline of the lease.
    fn collect(&mut self, id: LeaseId) {
        for node in self.outputs.nodes.drain(..) {
            if self.slots.enqueue(id.slot, node) {
                self.outboxes[node.index()].push_back(id.slot);
            }
            self.ready.insert(node);
        }
        let lease = self.slots.get(id);
        for kind in self.outputs.events.drain(..) {
            self.events.push_back(Event {
                lease: id,
                attempts: lease.map_or(0, Lease::attempts),
                kind,
            });
        }
        let ended = lease.is_some_and(Lease::is_ended);
        let due = lease.and_then(Lease::deadline);
        let put_off = lease.and_then(Lease::put_off);
        let waiting = lease.is_some_and(Lease::is_waiting);
        if self.slots.set_waiting(id.slot, waiting) != waiting {
            self.note_waiting(id, waiting);
        }
        let before = self.slots.set_due(id.slot, due);
        self.timers.rearm(id.slot, before, due);
        self.recall
            .note(id.slot, self.slots.put_off(id.slot), put_off);
        if ended {
            self.slots.remove(id.slot);
        }
    }

    /// A lease waits for a push from now on, or does not any more.
    fn note_waiting(&mut self, id: LeaseId, waiting: bool) {
        let Some(lease) = self.slots.get(id) else {
            return;
        };
        let place = PlaceId::of(lease.secret());
        if waiting {
            self.places.insert(place, id.slot);
            *self.waiters.entry(lease.key().clone()).or_default() += 1;
            return;
        }
        self.places.remove(&place);
        if let Entry::Occupied(mut count) = self.waiters.entry(lease.key().clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Takes the first entry, and gives memory back when three quarters of it are unused.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.len() < queue.capacity() / 4 && queue.capacity() > QUEUE_KEPT {
        queue.shrink_to(queue.capacity() / 2);
    }
    first
}
