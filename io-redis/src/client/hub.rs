//! Where everything meets: the core's manager under a lock, and what its outputs are for.
//!
//! Callers, links and the driver each enter for a moment, hand one input to the core, and carry its
//! outputs out: requests wake the link of their node, events go to the cell of their lease, a
//! nearer deadline wakes the driver.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{
    AtCapacity, Config, Instant, Key, LeaseId, LeaseOptions, Manager, NodeId, Refusal, Reply,
    Request, RequestId, Secret, Words,
};
use tokio::sync::Notify;

use crate::client::cell::{Cell, Stage};
use crate::client::logging;
use crate::error::{Ended, Loss, SilentNode};
use crate::link::interface::{LinkStatus, Work};
use crate::runtime::Clock;

/// The core's manager and all that it is connected to.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<HubState>,
    config: Config,
    clock: Arc<dyn Clock>,
    /// Wakes the driver: there is a nearer deadline, or an end.
    driver: Notify,
    /// Wakes the links: there is something to send, or an end.
    links: Vec<Arc<Notify>>,
    /// Woken when a link changes its state.
    status: Notify,
    /// Woken when the client is finished.
    end: Notify,
    names: Vec<String>,
}

#[derive(Debug)]
struct HubState {
    manager: Manager,
    /// By [`LeaseId::index`]. The lease of a cell is named beside it, since indexes are reused.
    cells: Vec<Option<(LeaseId, Arc<Cell>)>>,
    /// What the driver sleeps for.
    armed: Instant,
    nodes: Vec<NodeState>,
    life: Life,
    /// When a closing client ends whatever is still owed.
    close_by: Instant,
}

/// What is known of the link to a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeState {
    pub(crate) status: LinkStatus,
    /// Who answered there last. It may be down by now, and what it granted still counts.
    run_id: Option<Words>,
    /// Set while it turned out to be the same server as a node that was named before it.
    pub(crate) twin: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// Nothing new is taken; what is held is being released.
    Closing,
    /// The tasks end.
    Finished,
    /// The tasks were ended by their runtime.
    Dead,
}

/// Why a lease was not begun.
#[derive(Clone, Copy, Debug)]
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
            config: manager.config().clone(),
            links: names.iter().map(|_| Arc::new(Notify::new())).collect(),
            state: Mutex::new(HubState {
                manager,
                cells: Vec::new(),
                armed: Instant::MAX,
                nodes: vec![node; names.len()],
                life: Life::Open,
                close_by: Instant::MAX,
            }),
            clock,
            driver: Notify::new(),
            status: Notify::new(),
            end: Notify::new(),
            names,
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What is the same for all leases.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// What all nodes are called.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// What the nodes are called in errors and logs: their addresses without secrets.
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
        let mut state = self.lock();
        state.life.check().map_err(Refused::Ended)?;
        let now = self.clock.now();
        let cell = Arc::new(Cell::new(key.clone()));
        let id = state
            .manager
            .acquire(now, key, secret, options)
            .map_err(Refused::AtCapacity)?;

        if state.cells.len() <= id.index() {
            state.cells.resize(id.index() + 1, None);
        }
        state.cells[id.index()] = Some((id, Arc::clone(&cell)));
        self.carry_out(state);
        Ok((id, cell))
    }

    /// Renews a lease now. Says why not if the client is gone.
    pub(crate) fn renew(&self, lease: LeaseId) -> Result<(), Ended> {
        let mut state = self.lock();
        state.life.check()?;
        state.manager.renew(self.clock.now(), lease);
        self.carry_out(state);
        Ok(())
    }

    /// Gives a lease back. The answer comes to its cell.
    pub(crate) fn release(&self, lease: LeaseId) -> Result<(), Ended> {
        let mut state = self.lock();
        state.life.check()?;
        state.manager.release(self.clock.now(), lease);
        self.carry_out(state);
        Ok(())
    }

    /// Ends a lease in whatever state it is; tells nobody.
    pub(crate) fn cancel(&self, lease: LeaseId) {
        let mut state = self.lock();
        state.manager.cancel(self.clock.now(), lease);
        state.forget(lease);
        self.carry_out(state);
    }

    /// Runs what is due, for a caller whose clock says that a lease is over: the core knows how.
    pub(crate) fn catch_up(&self) {
        let mut state = self.lock();
        state.manager.handle_timeout(self.clock.now());
        self.carry_out(state);
    }

    /// Runs what is due, and says when to come again. None if the client is finished.
    pub(crate) fn drive(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = self.clock.now();
        state.manager.handle_timeout(now);
        self.carry_out(state);
        let mut state = self.lock();
        if state.life == Life::Closing && now >= state.close_by {
            self.end(state, Life::Finished);
            return None;
        }
        if state.life == Life::Finished {
            return None;
        }
        state.armed = state
            .manager
            .poll_timeout()
            .unwrap_or(Instant::MAX)
            .min(state.close_by);
        Some(state.armed)
    }

    /// Waits until [`Hub::drive`] is to be called before the time that it said.
    pub(crate) async fn driver_woken(&self) {
        self.driver.notified().await;
    }

    /// Takes nothing new and releases all that is held. The tasks end once that is answered, or
    /// `patience` has passed, or at last what is owed has expired by itself.
    pub(crate) fn close(&self, patience: Option<Duration>) {
        let mut state = self.lock();
        let now = self.clock.now();
        if let Some(patience) = patience {
            state.close_by = state.close_by.min(now + patience);
            self.driver.notify_one();
        }
        if state.life != Life::Open {
            return;
        }
        state.life = Life::Closing;
        let leases: Vec<LeaseId> = state.manager.leases().collect();
        for lease in leases {
            let cell = state.cell(lease).map(|(_, cell)| Arc::clone(cell));
            if let Some(cell) = cell {
                // A release whose owner waits for its outcome goes on, and answers.
                if cell.state().stage == Stage::Releasing {
                    continue;
                }
                cell.finish(Stage::Lost(Loss::Closed));
                state.forget(lease);
            }
            state.manager.cancel(now, lease);
        }
        self.carry_out(state);
    }

    /// The runtime dropped a task of ours that had not ended.
    pub(crate) fn runtime_ended(&self) {
        let state = self.lock();
        if matches!(state.life, Life::Finished | Life::Dead) {
            return;
        }
        self.end(state, Life::Dead);
    }

    /// Nothing will be answered any more: whoever waits is told.
    fn end(&self, mut state: MutexGuard<'_, HubState>, life: Life) {
        state.life = life;
        let cells: Vec<_> = state
            .cells
            .iter()
            .flatten()
            .map(|(_, cell)| Arc::clone(cell))
            .collect();
        drop(state);
        for cell in cells {
            cell.abandon();
        }
        self.wake_all();
    }

    /// Ends when the client is finished, or its runtime is.
    pub(crate) async fn finished(&self) {
        loop {
            let end = self.end.notified();
            let mut end = std::pin::pin!(end);
            end.as_mut().enable();
            if matches!(self.lock().life, Life::Finished | Life::Dead) {
                return;
            }
            end.await;
        }
    }

    /// Waits until `look` has an answer about the nodes. It is asked at once and after every change
    /// of a link's state; an error if the client ends meanwhile.
    pub(crate) async fn wait_for_nodes<T>(
        &self,
        mut look: impl FnMut(&[NodeState]) -> Option<T>,
    ) -> Result<T, Ended> {
        loop {
            let changed = self.status.notified();
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

    /// Why nothing can be asked of the client any more, if that is so.
    pub(crate) fn check(&self) -> Result<(), Ended> {
        self.lock().life.check()
    }

    /// Ends the tasks of a closing client, whatever is still owed.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        if state.life == Life::Closing {
            state.life = Life::Finished;
        }
        drop(state);
        self.wake_all();
    }

    /// As [`Hub::silence`], of the nodes that are not up.
    pub(crate) fn silence_of_all(&self) -> Vec<SilentNode> {
        let down: Vec<_> = {
            let state = self.lock();
            let nodes = state.nodes.iter().enumerate();
            nodes
                .filter(|(_, node)| !matches!(node.status, LinkStatus::Up(_)))
                .map(|(index, _)| NodeId::new(index))
                .collect()
        };
        self.silence(down.into_iter())
    }

    /// The names of these nodes, each with what is known of its silence.
    pub(crate) fn silence(&self, nodes: impl Iterator<Item = NodeId>) -> Vec<SilentNode> {
        let state = self.lock();
        nodes
            .map(|node| {
                let why = state.nodes[node.index()].silence();
                SilentNode::new(self.name(node), why)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HubState> {
        // A panic of ours under the lock is a bug; the laws hold all the same, since guards read
        // their own clock. So nobody else is made to panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries the core's outputs out.
    fn carry_out(&self, mut state: MutexGuard<'_, HubState>) {
        for node in state.manager.poll_ready().iter() {
            self.links[node.index()].notify_one();
        }
        let mut log = Vec::new();
        while let Some(event) = state.manager.poll_event() {
            let Some((_, cell)) = state.cell(event.lease) else {
                continue;
            };
            cell.apply(&event.kind);
            let last = event.kind.is_final();
            if logging::wants(&event.kind) {
                log.push((Arc::clone(cell), event.kind));
            }
            if last {
                state.forget(event.lease);
            }
        }
        let nearer = state
            .manager
            .poll_timeout()
            .is_some_and(|at| at < state.armed);
        if nearer {
            // Not told twice: the driver sets it anew when it has run.
            state.armed = Instant::MIN;
        }
        let ended = state.life == Life::Closing && state.manager.is_empty();
        if ended {
            state.life = Life::Finished;
        }
        drop(state);
        if ended {
            self.wake_all();
        } else if nearer {
            self.driver.notify_one();
        }
        // Outside of the lock: a subscriber is the program's code.
        for (cell, kind) in log {
            logging::event(cell.key(), &kind, |node| self.name(node));
        }
    }

    fn wake_all(&self) {
        self.driver.notify_one();
        self.links.iter().for_each(|link| link.notify_one());
        self.status.notify_waiters();
        self.end.notify_waiters();
    }
}

impl HubState {
    fn cell(&self, lease: LeaseId) -> Option<&(LeaseId, Arc<Cell>)> {
        self.cells
            .get(lease.index())?
            .as_ref()
            .filter(|(id, _)| *id == lease)
    }

    /// Finds the nodes that are the same server as one before them.
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

    fn forget(&mut self, lease: LeaseId) {
        if self.cell(lease).is_some() {
            self.cells[lease.index()] = None;
        }
    }
}

impl Life {
    const fn check(self) -> Result<(), Ended> {
        match self {
            Self::Open => Ok(()),
            Self::Closing | Self::Finished => Err(Ended::Closed),
            Self::Dead => Err(Ended::RuntimeEnded),
        }
    }
}

impl Work for Hub {
    fn poll(&self, node: NodeId, max: usize, out: &mut Vec<Request>) {
        let mut state = self.lock();
        // All that is queued for a twin is answered here, or nobody would ask for the rest.
        let max = if state.nodes[node.index()].twin.is_some() {
            usize::MAX
        } else {
            max
        };
        state.manager.poll_requests(node, max, out);
        let Some(twin) = state.nodes[node.index()].twin else {
            return;
        };
        // Two votes of one server are not a quorum.
        let words = Words::new(&format!(
            "it is the same server as {}: name each server once",
            self.names[twin.index()]
        ));
        let now = self.clock.now();
        for request in out.drain(..) {
            let refusal = Refusal::Misuse(words.clone());
            state
                .manager
                .handle_reply(now, request.id, Reply::NotApplied(refusal));
        }
        self.carry_out(state);
    }

    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>) {
        let mut state = self.lock();
        let now = self.clock.now();
        for (id, reply) in replies.drain(..) {
            state.manager.handle_reply(now, id, reply);
        }
        self.carry_out(state);
    }

    fn status(&self, node: NodeId, status: LinkStatus) {
        logging::link(self.name(node), &status);
        let mut state = self.lock();
        let now = self.clock.now();
        match &status {
            LinkStatus::Up(identity) => {
                state.nodes[node.index()]
                    .run_id
                    .clone_from(&identity.run_id);
                state.find_twins();
                state
                    .manager
                    .handle_node_up(now, node, identity.server_time);
            }
            // Requests wait for the outcome; one that was rejected is answered by the link.
            LinkStatus::Connecting | LinkStatus::Rejected { .. } => {
                state.manager.handle_node_up(now, node, None);
            }
            LinkStatus::Down { .. } => state.manager.handle_node_down(now, node),
        }
        state.nodes[node.index()].status = status;
        self.carry_out(state);
        self.status.notify_waiters();
    }

    fn wake(&self, node: NodeId) -> Arc<Notify> {
        Arc::clone(&self.links[node.index()])
    }

    fn finished(&self) -> bool {
        matches!(self.lock().life, Life::Finished | Life::Dead)
    }
}

impl NodeState {
    /// What is known of a node that did not answer.
    fn silence(&self) -> String {
        match &self.status {
            LinkStatus::Connecting => "it is still being connected".to_owned(),
            LinkStatus::Up(_) => "it did not answer in time".to_owned(),
            LinkStatus::Down { why } => why.as_str().to_owned(),
            LinkStatus::Rejected { words } => words.as_str().to_owned(),
        }
    }
}
