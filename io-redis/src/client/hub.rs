//! The hub of a client: the core's manager under a lock, and the delivery of its outputs.
//!
//! Callers, links and the driver each take the lock for a moment, give one input to the core, and
//! deliver its outputs: requests wake the link of their node, events go to the cell of their lease,
//! an earlier deadline wakes the driver. They wake and log once they have given the lock back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{
    AtCapacity, Config, Event, EventKind, Instant, Key, Lease, LeaseId, LeaseOptions, Manager,
    NodeId, Refusal, Reply, Request, RequestId, Secret, Silence, Words,
};

use crate::client::cell::{Cell, Change, Concerns, Course, Former, Hold, LeaseState, Stage};
use crate::client::cells::Cells;
use crate::client::delivery::{Bells, Delivery, News};
use crate::client::logging::Log;
use crate::client::metrics::Metrics;
use crate::client::outcome::{End, Outcome};
use crate::client::own_keys::Whose;
use crate::client::span::AcquireSpan;
use crate::error::{Ended, Loss, RuntimeEnd, SilentNode};
use crate::link::bell::Bell;
use crate::link::interface::{LinkStatus, Work};
use crate::protocol::push::Push;
use crate::protocol::words::NOT_IN_TIME;
use crate::runtime::Clock;

/// The core's manager and everything that is connected to it.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<HubState>,
    config: Config,
    clock: Arc<dyn Clock>,
    bells: Bells,
    names: Vec<String>,
    log: Log,
    metrics: Metrics,
    /// The shortest TTL of the leases that live, in nanoseconds. Zero if none lives. Links read it
    /// without the lock.
    shortest_ttl: AtomicU64,
}

/// How many leases are closed in one step.
// Law: Bounded work
const CLOSE_MAX: usize = 256;

#[derive(Debug)]
struct HubState {
    manager: Manager,
    /// Of the leases that somebody may still ask about.
    cells: Cells,
    /// Of the acquires that are not answered yet, if somebody listens.
    spans: BTreeMap<LeaseId, AcquireSpan>,
    /// The leases whose keys the nodes watch, by key.
    watched: BTreeMap<Key, LeaseId>,
    /// The instant that the driver sleeps for.
    armed: Instant,
    nodes: Vec<NodeState>,
    life: Life,
    /// When a closing client ends, even if releases are still unanswered.
    close_by: Instant,
    /// The leases that a closing client has still to end, the first of them last.
    to_close: Vec<LeaseId>,
    /// When the log tells what it left out.
    counts_by: Instant,
    /// What is done once the lock is given back.
    out: Delivery,
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// More is due already. Others get their turn first.
    Again,
    /// Nothing is due before this instant.
    At(Instant),
    /// The client is finished, or its tasks have ended.
    Over,
}

/// What is known of the link to a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) status: LinkStatus,
    /// The run id that answered there last. The node may be down by now; what it granted still
    /// counts.
    run_id: Option<Words>,
    /// The node before this one that is the same server, if there is one.
    pub(crate) twin: Option<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// No new lease is begun; those that are held are being released.
    Closing,
    /// The client is finished, and its tasks end.
    Finished,
    /// The runtime dropped a task, or one panicked. The others end at once.
    Dead(RuntimeEnd),
}

/// Why a lease was not begun.
#[derive(Clone, Debug)]
pub(crate) enum Refused {
    Ended(Ended),
    AtCapacity(AtCapacity),
}

impl Hub {
    pub(crate) fn new(manager: Manager, names: Vec<String>, clock: Arc<dyn Clock>) -> Self {
        let node = NodeState {
            status: LinkStatus::Connecting,
            run_id: None,
            twin: None,
        };
        Self {
            metrics: Metrics::new(&names, manager.config().request_timeout()),
            config: manager.config().clone(),
            bells: Bells::new(names.len()),
            state: Mutex::new(HubState {
                manager,
                cells: Cells::default(),
                spans: BTreeMap::new(),
                watched: BTreeMap::new(),
                armed: Instant::MAX,
                nodes: vec![node; names.len()],
                life: Life::Open,
                close_by: Instant::MAX,
                to_close: Vec::new(),
                counts_by: Instant::MAX,
                out: Delivery::default(),
            }),
            clock,
            log: Log::new(names.clone()),
            shortest_ttl: AtomicU64::new(0),
            names,
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The configuration, which is the same for all leases.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// The names of all nodes.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a node in errors and logs: its address without secrets.
    pub(crate) fn name(&self, node: NodeId) -> &str {
        &self.names[node.index()]
    }

    /// Begins a lease.
    pub(crate) fn acquire(
        &self,
        key: Key,
        secret: Secret,
        options: Arc<LeaseOptions>,
    ) -> Result<(LeaseId, Arc<Cell>), Refused> {
        let mut span = AcquireSpan::begin(&*self.clock, &key);
        let begun = self.begin(key, secret, options, &mut span);
        if let (Err(refused), Some(span)) = (&begun, span) {
            span.end(self.clock.now(), refused.into());
        }
        begun
    }

    /// As [`Hub::acquire`], and takes the span if a lease was begun.
    fn begin(
        &self,
        key: Key,
        secret: Secret,
        options: Arc<LeaseOptions>,
        span: &mut Option<AcquireSpan>,
    ) -> Result<(LeaseId, Arc<Cell>), Refused> {
        let mut state = self.lock();
        state.life.check().map_err(Refused::Ended)?;
        let now = self.clock.now();
        let cell = Arc::new(Cell::new(key.clone(), now));
        let id = state
            .manager
            .acquire(now, key, secret, options)
            .map_err(Refused::AtCapacity)?;

        state.cells.insert(id, Arc::clone(&cell));
        if let Some(span) = span.take() {
            state.spans.insert(id, span);
        }
        self.carry_out(state, now);
        Ok((id, cell))
    }

    /// Renews a lease now. Returns its state before that, or none if it is over. An error if the
    /// client has ended.
    pub(crate) fn renew(&self, lease: LeaseId) -> Result<Option<LeaseState>, Ended> {
        // A renewal before this one may have failed just now. That is not the answer to this one.
        self.catch_up(lease);
        let mut state = self.lock();
        state.life.check()?;
        let before = state.cells.get(lease).map(|cell| cell.state());
        let now = self.clock.now();
        state.manager.renew(now, lease);
        self.carry_out(state, now);
        Ok(before)
    }

    /// Releases a lease, also while the client is closing. The result goes to its cell. An error if
    /// nothing is sent any more.
    pub(crate) fn release(&self, lease: LeaseId) -> Result<(), Ended> {
        let mut state = self.lock();
        if state.life != Life::Closing {
            state.life.check()?;
        }
        let now = self.clock.now();
        state.manager.release(now, lease);
        self.carry_out(state, now);
        Ok(())
    }

    /// Counts a lease whose owner has [let it go](Cell::let_go).
    pub(crate) fn let_go(&self, hold: Hold) {
        self.count_ended(Former::Held(hold), End::ByOwner);
    }

    /// Ends a lease whose owner has dropped it, unless it is over.
    pub(crate) fn drop_one(&self, lease: LeaseId, cell: &Cell) {
        if let Some(former) = cell.finish(Stage::Dropped) {
            self.cancel(lease);
            self.count_ended(former, End::ByOwner);
        }
    }

    /// Ends a lease whose guard finds that the client is closed, unless it is over.
    pub(crate) fn close_one(&self, lease: LeaseId, cell: &Cell) {
        if let Some(former) = cell.finish(Stage::Lost(Box::new(Loss::Closed))) {
            self.cancel(lease);
            self.count_ended(former, End::Closed);
        }
    }

    /// Ends a lease whose guard has told the end from its own clock before the core did, unless it
    /// is over.
    pub(crate) fn expire(&self, lease: LeaseId, cell: &Cell) {
        if let Some(former) = cell.finish(Stage::Lost(Box::new(Loss::Expired))) {
            self.cancel(lease);
            let held = match former {
                Former::Held(hold) => Some(hold),
                Former::Asked(_) | Former::LetGo => None,
            };
            self.log_expired(cell.key(), held);
            self.count_ended(former, End::Expired);
        }
    }

    /// Counts what was ended other than by an event of the core.
    fn count_ended(&self, former: Former, end: End) {
        self.metrics.ended(&*self.clock, former, end);
    }

    /// Ends a lease, whatever its state. Nobody is told.
    pub(crate) fn cancel(&self, lease: LeaseId) {
        let mut state = self.lock();
        let now = self.clock.now();
        let span = state.take_span(lease);
        state.manager.cancel(now, lease);
        state.forget(lease);
        self.carry_out(state, now);
        end_span(span, now, Outcome::Cancelled);
    }

    /// Runs what is due for one lease. For a guard whose clock says that its lease is over: the
    /// core knows how.
    pub(crate) fn catch_up(&self, lease: LeaseId) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.manager.catch_up(now, lease);
        self.carry_out(state, now);
    }

    /// Runs what is due, in one bounded step, and returns when to come again.
    pub(crate) fn drive(&self) -> Turn {
        self.metrics.wakes(&*self.clock);
        let mut state = self.lock();
        let now = self.clock.now();
        state.manager.handle_timeout(now);
        state.close_some(now);
        if now >= state.counts_by {
            state.counts_by = Instant::MAX;
            state.out.counts = true;
        }
        state.collect(now);
        let closed = state.life == Life::Closing && state.to_close.is_empty();
        if closed && now >= state.close_by {
            self.end(state, now, Life::Finished);
            return Turn::Over;
        }
        let turn = if state.life.is_over() {
            Turn::Over
        } else {
            state.armed = state.next();
            match state.armed {
                at if at <= now => Turn::Again,
                at => {
                    self.metrics.sleeps(at);
                    Turn::At(at)
                }
            }
        };
        self.carry_out(state, now);
        turn
    }

    /// Lets the nodes watch the key of a lease until it ends, so that a loss is told at once.
    // Law: Loss is told
    pub(crate) fn watch(&self, lease: LeaseId, key: &Key) {
        let mut state = self.lock();
        let now = self.clock.now();
        if state.life == Life::Open && state.manager.valid_until(lease).is_some() {
            state.watched.insert(key.clone(), lease);
            state.manager.watch(now, lease, true);
        }
        self.carry_out(state, now);
    }

    /// This client itself has touched a key at a node. The node does not say so to who did it, so
    /// if it watches the key for a lease of the client, that is told here.
    // Law: Loss is told
    pub(crate) fn touched(&self, node: NodeId, key: &Key) {
        self.pushed(node, &mut vec![Push::Touched(key.as_bytes().to_vec())]);
    }

    /// Waits until [`Hub::drive`] must be called earlier than it said.
    pub(crate) async fn driver_woken(&self) {
        self.bells.driver.notified().await;
    }

    /// Begins no new lease and releases all that are held. The tasks end once the nodes have
    /// answered, or after `patience`; without patience, at the latest when everything that is owed
    /// has expired.
    pub(crate) fn close(&self, patience: Option<Duration>) {
        let mut state = self.lock();
        let now = self.clock.now();
        if let Some(patience) = patience {
            state.close_by = state.close_by.min(now + patience);
        }
        if state.life == Life::Open {
            state.life = Life::Closing;
            state.to_close = state.manager.leases().collect();
            state.to_close.reverse();
            // If there are more, the driver ends them.
            state.close_some(now);
        }
        self.carry_out(state, now);
    }

    /// How many keys the nodes watch.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.lock().watched.len()
    }

    /// Whether a closing client has begun to release all that it held.
    #[cfg(test)]
    pub(crate) fn is_closing_done(&self) -> bool {
        self.lock().to_close.is_empty()
    }

    /// A task of the client ended before the client did: its runtime dropped it, or it panicked.
    pub(crate) fn task_ended(&self, why: RuntimeEnd) {
        let state = self.lock();
        if !state.life.is_over() {
            self.end(state, self.clock.now(), Life::Dead(why));
        }
    }

    /// No request will be answered any more. Everybody who waits is told.
    fn end(&self, mut state: MutexGuard<'_, HubState>, now: Instant, life: Life) {
        let ended = match &life {
            Life::Dead(why) => Ended::RuntimeEnded(why.clone()),
            Life::Open | Life::Closing | Life::Finished => Ended::Closed,
        };
        state.life = life;
        state.collect(now);
        state.out.over = true;
        self.note_queued(&state);
        let out = std::mem::take(&mut state.out);
        let spans = std::mem::take(&mut state.spans);
        let cells: Vec<_> = state.cells.iter().cloned().collect();
        drop(state);
        for cell in cells {
            self.end_cell(&cell, &ended);
        }
        self.deliver(out);
        for span in spans.into_values() {
            span.end(now, End::from(&ended).outcome());
        }
    }

    /// Tells the owner of a lease that the client has ended, and counts what was ended by that.
    fn end_cell(&self, cell: &Cell, ended: &Ended) {
        let mut over = None;
        if *ended == Ended::Closed {
            match cell.close() {
                Some(Former::LetGo) => {}
                former => {
                    over = former;
                    cell.wake_all();
                }
            }
        }
        if let Some(former) = cell.abandon(ended.clone()).or(over) {
            self.count_ended(former, ended.into());
        }
    }

    /// Waits until the client is finished, or its runtime has ended.
    pub(crate) async fn finished(&self) {
        loop {
            let end = self.bells.end.notified();
            let mut end = std::pin::pin!(end);
            end.as_mut().enable();
            if self.lock().life.is_over() {
                return;
            }
            end.await;
        }
    }

    /// Waits until `look` returns an answer. It is called at once and after every change of a
    /// link's state. An error if the client ends meanwhile.
    pub(crate) async fn wait_for_nodes<T>(
        &self,
        mut look: impl FnMut(&[NodeState]) -> Option<T>,
    ) -> Result<T, Ended> {
        loop {
            let changed = self.bells.status.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.lock();
                if let Some(answer) = look(&state.nodes) {
                    return Ok(answer);
                }
                state.life.check()?;
            }
            changed.await;
        }
    }

    /// An error if the client has ended.
    pub(crate) fn check(&self) -> Result<(), Ended> {
        self.lock().life.check()
    }

    /// Ends the tasks of a closing client, even if releases are still unanswered. Who waits for one
    /// is told.
    pub(crate) fn finish(&self) {
        let state = self.lock();
        if state.life == Life::Closing {
            self.end(state, self.clock.now(), Life::Finished);
        }
    }

    /// Whether the link to a node was refused with these words.
    pub(crate) fn refuses(&self, node: NodeId, why: &Words) -> bool {
        let status = &self.lock().nodes[node.index()].status;
        matches!(status, LinkStatus::Rejected { words } if words == why)
    }

    /// Whether a node is up, and pushes to this client.
    pub(crate) fn pushes(&self, node: NodeId) -> bool {
        let status = &self.lock().nodes[node.index()].status;
        matches!(status, LinkStatus::Up(identity) if identity.listens)
    }

    /// As [`Hub::silence`], for all nodes that are not up.
    pub(crate) fn silence_of_all(&self) -> Vec<SilentNode> {
        let down: Vec<_> = {
            let state = self.lock();
            let nodes = state.nodes.iter().enumerate();
            nodes
                .filter(|(_, node)| !matches!(node.status, LinkStatus::Up(_)))
                .map(|(index, _)| Silence {
                    node: NodeId::new(index),
                    words: None,
                })
                .collect()
        };
        self.silence(&down)
    }

    /// These nodes, each with the reason why it did not answer, as far as it is known.
    pub(crate) fn silence(&self, silent: &[Silence]) -> Vec<SilentNode> {
        let state = self.lock();
        silent
            .iter()
            .map(|Silence { node, words }| {
                let why = state.nodes[node.index()].silence(words.as_ref());
                SilentNode::new(self.name(*node), why)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        // A panic under this lock is a bug of this crate. The laws hold all the same, since guards
        // read their own clock, so other callers do not panic too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock back, and delivers the outputs of the core.
    fn carry_out(&self, mut state: MutexGuard<'_, HubState>, now: Instant) {
        state.collect(now);
        self.note_queued(&state);
        let shortest = state.manager.shortest_ttl().unwrap_or_default();
        let nanos = u64::try_from(shortest.as_nanos()).unwrap_or(u64::MAX);
        self.shortest_ttl.store(nanos, Ordering::Relaxed);
        let out = std::mem::take(&mut state.out);
        drop(state);
        self.deliver(out);
    }

    /// Wakes, logs and counts. The lock must not be held: wakers, subscribers and recorders are
    /// code of the program.
    fn deliver(&self, out: Delivery) {
        self.bells.ring(&out);
        self.metrics.tell_queued();
        let tell = out.counts || out.over;
        if out.news.is_empty() && !tell {
            return;
        }
        let now = self.clock.now();
        let mut left_out = tell;
        for news in out.news {
            left_out |= self.tell(now, news);
        }
        if tell {
            self.log.tell_counts(now, out.over);
        }
        self.plan_counts(left_out);
    }

    /// Logs and counts what happened to a lease. Returns whether the counts of the log must be told
    /// later on.
    fn tell(&self, now: Instant, news: News) -> bool {
        if let Some(former) = news.former {
            self.count_ended(former, End::Closed);
        }
        let Some(kind) = &news.event else {
            end_span(news.span, now, Outcome::Closed);
            return false;
        };
        let held = match news.change.course {
            Some(Course::Over(hold)) => Some(hold.lasted(now)),
            _ => None,
        };
        let left_out = self.log.event(now, news.cell.key(), kind, held);
        self.metrics.event(now, kind, news.change);
        let outcome = match kind {
            EventKind::Failed { cause, .. } => cause.into(),
            _ => Outcome::Granted,
        };
        end_span(news.span, now, outcome);
        left_out
    }

    /// Logs a loss that the holder's own clock told before the core did.
    pub(crate) fn log_expired(&self, key: &Key, hold: Option<Hold>) {
        let now = self.clock.now();
        let held = hold.map(|hold| hold.lasted(now));
        self.plan_counts(self.log.expired(now, key, held));
    }

    /// Notes how many leases have something to send, to be told once the lock is given back.
    fn note_queued(&self, state: &HubState) {
        let over = state.life.is_over();
        let queued = |node| if over { 0 } else { state.manager.queued(node) };
        self.metrics.note_queued(queued);
    }

    /// Logs that a task asks for a key that the client holds.
    pub(crate) fn log_waits_for_itself(&self, key: &Key, whose: Whose) {
        self.plan_counts(self.log.waits_for_itself(self.clock.now(), key, whose));
    }

    /// If lines were left out, the driver tells how many when their time is over.
    fn plan_counts(&self, left_out: bool) {
        if left_out && let Some(due) = self.log.counts_due() {
            let mut state = self.lock();
            state.counts_by = state.counts_by.min(due);
            self.carry_out(state, self.clock.now());
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.log.tell_counts(self.clock.now(), true);
    }
}

impl HubState {
    /// Takes the outputs of the core. Cells change here, in the order of the events; their owners
    /// are woken once the lock is given back.
    fn collect(&mut self, now: Instant) {
        for node in self.manager.poll_ready().iter() {
            self.out.links.insert(node);
        }
        while let Some(event) = self.manager.poll_event() {
            let cell = if event.kind.is_final() {
                self.forget(event.lease)
            } else {
                self.cells.get(event.lease).cloned()
            };
            let span = self.span_of(&event);
            let Some(cell) = cell else {
                continue;
            };
            self.out.news.push(News {
                change: cell.apply(now, &event.kind),
                event: Some(event.kind),
                former: None,
                span,
                cell,
            });
        }
        if self.next() < self.armed {
            // The driver is not woken twice: it sets this again when it has run.
            self.armed = Instant::MIN;
            self.out.driver = true;
        }
        if self.life == Life::Closing && self.manager.is_empty() {
            self.life = Life::Finished;
            self.out.over = true;
        }
    }

    /// The span of an acquire that the event answers. What other events say is noted in it.
    fn span_of(&mut self, event: &Event) -> Option<AcquireSpan> {
        let span = self.spans.get_mut(&event.lease)?;
        let (ahead, answered) = match event.kind {
            EventKind::Queued { ahead, .. } => (Some(ahead), false),
            EventKind::Waiting { .. } => (None, false),
            EventKind::Acquired { .. }
            | EventKind::Failed { .. }
            | EventKind::Renewed { .. }
            | EventKind::Shortened { .. }
            | EventKind::Suspect { .. }
            | EventKind::Lost { .. }
            | EventKind::Released { .. } => (None, true),
        };
        span.note(event.attempts, ahead);
        answered.then(|| self.spans.remove(&event.lease)).flatten()
    }

    /// The span of an acquire that ends without an event.
    fn take_span(&mut self, lease: LeaseId) -> Option<AcquireSpan> {
        let mut span = self.spans.remove(&lease)?;
        let attempts = self.manager.lease(lease).map_or(0, Lease::attempts);
        span.note(attempts, None);
        Some(span)
    }

    /// Nobody asks about a lease any more. Returns its cell, if somebody did until now.
    fn forget(&mut self, lease: LeaseId) -> Option<Arc<Cell>> {
        let cell = self.cells.remove(lease)?;
        if self.watched.get(cell.key()) == Some(&lease) {
            self.watched.remove(cell.key());
        }
        Some(cell)
    }

    /// When the driver must run next.
    fn next(&self) -> Instant {
        if !self.to_close.is_empty() {
            return Instant::MIN;
        }
        let due = self.manager.poll_timeout().unwrap_or(Instant::MAX);
        due.min(self.close_by).min(self.counts_by)
    }

    /// Ends some of the leases that a closing client has still to end.
    fn close_some(&mut self, now: Instant) {
        for _ in 0..CLOSE_MAX {
            let Some(lease) = self.to_close.pop() else {
                return;
            };
            if let Some(cell) = self.cells.get(lease) {
                let former = cell.close();
                // The owner of a lease that is being released still waits for the result.
                if former == Some(Former::LetGo) {
                    continue;
                }
                let span = self.take_span(lease);
                let over = self.forget(lease);
                self.out.news.extend(over.map(|cell| News {
                    cell,
                    change: Change {
                        concerns: Some(Concerns::All),
                        course: None,
                    },
                    event: None,
                    former,
                    span,
                }));
            }
            self.manager.cancel(now, lease);
        }
    }

    /// Finds the nodes that are the same server as an earlier one.
    fn find_twins(&mut self) {
        for index in 0..self.nodes.len() {
            let (before, rest) = self.nodes.split_at_mut(index);
            let node = &mut rest[0];
            let twin = before
                .iter()
                .position(|other| node.run_id.is_some() && other.run_id == node.run_id);
            node.twin = twin.map(NodeId::new);
        }
    }
}

/// Ends a span, if there is one. No lock may be held.
fn end_span(span: Option<AcquireSpan>, now: Instant, outcome: Outcome) {
    if let Some(span) = span {
        span.end(now, outcome);
    }
}

impl Life {
    /// Whether the tasks of the client end, or have ended.
    const fn is_over(&self) -> bool {
        matches!(self, Self::Finished | Self::Dead(_))
    }

    fn check(&self) -> Result<(), Ended> {
        match self {
            Self::Open => Ok(()),
            Self::Closing | Self::Finished => Err(Ended::Closed),
            Self::Dead(why) => Err(Ended::RuntimeEnded(why.clone())),
        }
    }
}

impl Work for Hub {
    fn poll(&self, node: NodeId, max: usize, out: &mut Vec<Request>) {
        let mut state = self.lock();
        let now = self.clock.now();
        let taken = state.manager.poll_requests(node, max, out);
        // If the driver is late, a lease may have ended whose renewal still waits here. A guard
        // that reads the clock has told the end by then.
        // Law: No resurrection
        let late = |request: &mut Request| state.manager.is_too_late(now, request);
        let late: Vec<Request> = out.extract_if(.., late).collect();
        for request in &late {
            let unsent = Reply::NotApplied(Refusal::NotSent);
            state.manager.handle_reply(now, request.id, unsent);
        }
        let Some(twin) = state.nodes[node.index()].twin else {
            if late.is_empty() {
                self.note_queued(&state);
                drop(state);
                self.metrics.tell_queued();
            } else {
                self.carry_out(state, now);
            }
            return;
        };
        // The link gets nothing, so it would not ask for the rest.
        if taken >= max {
            state.out.links.insert(node);
        }
        // Two votes of one server are not a majority.
        // Law: Exclusion
        let words = Words::new(&format!(
            "it is the same server as {}: name each server once",
            self.names[twin.index()]
        ));
        for request in out.drain(..) {
            let refusal = Refusal::Misuse(words.clone());
            state
                .manager
                .handle_reply(now, request.id, Reply::NotApplied(refusal));
        }
        self.carry_out(state, now);
    }

    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>) {
        self.metrics.replies(replies);
        let mut state = self.lock();
        let now = self.clock.now();
        for (id, reply) in replies.drain(..) {
            state.manager.handle_reply(now, id, reply);
        }
        self.carry_out(state, now);
    }

    fn pushed(&self, node: NodeId, pushes: &mut Vec<Push>) {
        let mut state = self.lock();
        let now = self.clock.now();
        for push in pushes.drain(..) {
            match push {
                Push::Granted {
                    place,
                    serial,
                    fence,
                } => state.manager.handle_push(now, node, place, serial, fence),
                Push::Hint(place) => state.manager.handle_hint(now, node, place),
                Push::Touched(key) => {
                    if let Some(lease) = state.watched.get(&key[..]) {
                        let lease = *lease;
                        state.manager.handle_doubt(now, node, lease);
                    }
                }
                Push::TouchedAny => state.manager.handle_doubt_of_all(now, node),
            }
        }
        self.carry_out(state, now);
    }

    fn status(&self, node: NodeId, status: LinkStatus) {
        // A link that tries again and again says the same each time.
        let (known, was_up) = {
            let before = &self.lock().nodes[node.index()].status;
            (*before == status, matches!(before, LinkStatus::Up(_)))
        };
        if matches!(status, LinkStatus::Up(_)) && !was_up {
            self.metrics.connected(node);
        }
        if !known || status == LinkStatus::Connecting {
            self.plan_counts(self.log.link(self.clock.now(), node, &status));
        }
        let mut state = self.lock();
        let now = self.clock.now();
        match &status {
            LinkStatus::Up(identity) => {
                state.nodes[node.index()]
                    .run_id
                    .clone_from(&identity.run_id);
                state.find_twins();
                state.manager.handle_node_pushes(node, identity.listens);
                state
                    .manager
                    .handle_node_up(now, node, identity.server_time);
            }
            // While it connects, requests wait. If it is rejected, the link answers them.
            LinkStatus::Connecting | LinkStatus::Rejected { .. } => {
                state.manager.handle_node_connecting(node);
            }
            LinkStatus::Down { why } => state.manager.handle_node_down(now, node, why.clone()),
        }
        state.nodes[node.index()].status = status;
        state.out.status = true;
        self.carry_out(state, now);
    }

    fn wake(&self, node: NodeId) -> Arc<Bell> {
        Arc::clone(&self.bells.links[node.index()])
    }

    fn shortest_ttl(&self) -> Option<Duration> {
        let nanos = self.shortest_ttl.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    fn finished(&self) -> bool {
        self.lock().life.is_over()
    }

    fn dead(&self) -> bool {
        matches!(self.lock().life, Life::Dead(_))
    }
}

impl NodeState {
    /// Why a node did not answer, as far as it is known, if this was said last when it was asked.
    fn silence(&self, said: Option<&Words>) -> String {
        match (said, &self.status) {
            (Some(words), _)
            | (None, LinkStatus::Down { why: words } | LinkStatus::Rejected { words }) => {
                words.as_str()
            }
            (None, LinkStatus::Connecting) => "it is still being connected",
            // Nothing was said, and only time has passed.
            (None, LinkStatus::Up(_)) => NOT_IN_TIME,
        }
        .to_owned()
    }
}
