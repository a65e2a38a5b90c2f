//! Drives the core of a client: its timer, its requests, and what it tells.

use tenure_core::{EventKind, Instant, LeaseId, Manager, NodeId, Words};

use super::state::{Held, Slot};
use crate::choice::Subject;
use crate::judge::Law;
use crate::observe::fact::{Fact, Fault, Freed, Nanos, Why};
use crate::world::engine::{Phase, World};
use crate::world::queue::Event;

/// How often the timer of a client may fire at the same instant of its clock.
const DUE_AT_ONCE: u32 = 200;

impl World<'_> {
    pub(in crate::world) fn start_client(&mut self, client: u8) {
        for node in 0..self.clients[usize::from(client)].links.len() as u8 {
            self.dial(client, node);
        }
        for slot in 0..self.drawn.slots as u8 {
            self.think(client, slot);
        }
    }

    /// The process dies. Only its messages on the way and its keys at the nodes are left.
    pub(in crate::world) fn client_dies(&mut self, client: u8) {
        let request_timeout = self.clients[usize::from(client)].config.request_timeout();
        for node in 0..self.clients[usize::from(client)].links.len() as u8 {
            self.hang_up(client, node);
            self.link_mut(client, node).forget(request_timeout);
        }
        let seed = self.choices.about(Subject::Core).below(u64::MAX);
        let state = &mut self.clients[usize::from(client)];
        state.manager = Manager::new(state.config.clone(), seed);
        state.process += 1;
        state.table.clear();
        state.living.clear();
        state.held.clear();
        state.armed = Instant::MAX;
        state.generation += 1;
        for slot in &mut state.slots {
            *slot = Slot {
                step: slot.step + 1,
                ..Slot::default()
            };
        }
    }

    pub(in crate::world) fn local(&self, client: u8) -> Instant {
        self.clients[usize::from(client)].clock.instant(self.now)
    }

    /// The core's timer fired, perhaps too early.
    pub(in crate::world) fn due(&mut self, client: u8, generation: u32) {
        let now = self.local(client);
        let state = &mut self.clients[usize::from(client)];
        if state.generation != generation {
            return;
        }
        state.armed = Instant::MAX;
        if state.manager.poll_timeout().is_some_and(|at| at <= now) {
            let (at, count) = state.due_at;
            state.due_at = (now, if at == now { count + 1 } else { 1 });
            if state.due_at.1 > DUE_AT_ONCE {
                let reason = state.manager.timeout_reason();
                let sentence = format!(
                    "the timer of client {client} fires again and again at one instant: {reason:?}"
                );
                self.judge
                    .accuse(Law::BoundedWork, self.now, None, sentence);
                return;
            }
            self.report.events += 1;
            state.manager.handle_timeout(now);
        }
        self.settle(client);
    }

    /// Hands on the events and requests of the core, until there are no more.
    pub(in crate::world) fn settle(&mut self, client: u8) {
        loop {
            let state = &mut self.clients[usize::from(client)];
            if state.is_still() {
                return;
            }
            if let Some(event) = state.manager.poll_event() {
                self.told(client, event.lease, &event.kind);
                continue;
            }
            // A link that stands still takes no requests.
            if self.clients[usize::from(client)].away.is_some() {
                break;
            }
            let ready = self.clients[usize::from(client)].manager.poll_ready();
            if ready.is_empty() {
                break;
            }
            let pauses = self.drawn.pause_before_send;
            if self.phase == Phase::Faulty && self.choices.about(Subject::Core).chance(pauses) {
                // The queued requests are sent when it wakes.
                self.pause(client, Fault::Pause);
                return;
            }
            for node in ready.iter() {
                self.pump(client, node.index() as u8);
            }
        }
        self.audit(client);
        self.arm(client);
    }

    /// Sends all queued requests, after the process stood still.
    pub(in crate::world) fn pump_all(&mut self, client: u8) {
        for node in 0..self.clients[usize::from(client)].links.len() as u8 {
            self.pump(client, node);
        }
        self.settle(client);
    }

    fn arm(&mut self, client: u8) {
        let state = &mut self.clients[usize::from(client)];
        let Some(due) = state.manager.poll_timeout() else {
            return;
        };
        // A timer may fire too early. That costs less than to move it.
        if due < state.armed {
            state.armed = due;
            state.generation += 1;
            let generation = state.generation;
            let at = state.clock.when(due.as_nanos());
            self.schedule(at, Event::Due { client, generation });
        }
    }

    pub(in crate::world) fn rearm(&mut self, client: u8) {
        self.clients[usize::from(client)].armed = Instant::MAX;
        self.arm(client);
    }

    /// Checks the getters of the core against the events that it emitted, and reports the leases
    /// that it has finished with.
    fn audit(&mut self, client: u8) {
        while let Some(lease) = self.settled(client) {
            self.tell_of_lease(lease, None, Fact::Settled);
        }
        let state = &self.clients[usize::from(client)];
        let valid = |(id, _): &&(LeaseId, u32)| state.manager.valid_until(*id).is_some();
        if state.living.iter().filter(valid).count() > state.held.len() {
            let sentence = format!(
                "the core of client {client} has a valid lease that it did not report as held"
            );
            self.judge
                .accuse(Law::NoResurrection, self.now, None, sentence);
            return;
        }
        let wrong = state
            .held
            .iter()
            .find(|held| state.manager.valid_until(held.id) != Some(held.until));
        if let Some(held) = wrong.copied() {
            let now = state.manager.valid_until(held.id);
            let key = self.leases[held.lease as usize].key;
            let sentence = format!(
                "lease {} was reported as valid until {:?}, and without a report it is now until \
                 {now:?}",
                held.lease, held.until
            );
            self.judge
                .accuse(Law::HonestValidity, self.now, Some(key), sentence);
        }
    }

    /// A lease that the core has finished with since the last call.
    fn settled(&mut self, client: u8) -> Option<u32> {
        let state = &mut self.clients[usize::from(client)];
        let done = |(id, _): &(LeaseId, u32)| state.manager.lease(*id).is_none();
        let index = state.living.iter().position(done)?;
        Some(state.living.swap_remove(index).1)
    }

    fn number(&self, client: u8, id: LeaseId) -> Option<u32> {
        let table = &self.clients[usize::from(client)].table;
        let entry = table.get(id.index()).copied().flatten()?;
        (entry.0 == id).then_some(entry.1)
    }

    /// The core emitted an event for the application.
    fn told(&mut self, client: u8, id: LeaseId, kind: &EventKind) {
        let Some(lease) = self.number(client, id) else {
            return;
        };
        let fact = match kind {
            EventKind::Acquired { fence, valid_until } => {
                let state = &mut self.clients[usize::from(client)];
                state.held.push(Held {
                    id,
                    lease,
                    until: *valid_until,
                });
                self.leases[lease as usize].fence = fence.get();
                Fact::Granted {
                    fence: fence.get(),
                    until: self.in_true_time(client, *valid_until),
                }
            }
            EventKind::Renewed { valid_until } => {
                self.valid_until(client, lease, *valid_until, Why::Renewed)
            }
            EventKind::Shortened { valid_until } => {
                self.valid_until(client, lease, *valid_until, Why::Shortened)
            }
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
        };
        self.report.grants += u64::from(matches!(fact, Fact::Granted { .. }));
        self.tell_of_lease(lease, None, fact);
        let slot = self.leases[lease as usize].slot;
        let current = self.clients[usize::from(client)].slots[usize::from(slot)].lease;
        if kind.is_final() {
            self.clients[usize::from(client)]
                .held
                .retain(|held| held.lease != lease);
            if current == Some((id, lease)) {
                self.think(client, slot);
            }
        } else if matches!(kind, EventKind::Acquired { .. }) && current == Some((id, lease)) {
            self.holds(client, slot, lease);
        }
    }

    fn in_true_time(&self, client: u8, local: Instant) -> Nanos {
        self.clients[usize::from(client)]
            .clock
            .when(local.as_nanos())
    }

    fn valid_until(&mut self, client: u8, lease: u32, until: Instant, why: Why) -> Fact {
        let state = &mut self.clients[usize::from(client)];
        for held in state.held.iter_mut().filter(|held| held.lease == lease) {
            held.until = until;
        }
        let until = self.in_true_time(client, until);
        Fact::Until { until, why }
    }

    /// Hands the outcome of a request to the core.
    pub(in crate::world) fn reply(
        &mut self,
        client: u8,
        id: tenure_core::RequestId,
        reply: tenure_core::Reply,
    ) {
        let now = self.local(client);
        self.report.events += 1;
        let state = &mut self.clients[usize::from(client)];
        state.manager.handle_reply(now, id, reply);
    }

    pub(in crate::world) fn node_up(
        &mut self,
        client: u8,
        node: u8,
        time: tenure_core::ServerTime,
    ) {
        let now = self.local(client);
        self.report.events += 1;
        let state = &mut self.clients[usize::from(client)];
        let node = NodeId::new(usize::from(node));
        state.manager.handle_node_up(now, node, Some(time));
    }

    /// The link takes requests, and it is not known whether the node serves.
    pub(in crate::world) fn node_connecting(&mut self, client: u8, node: u8) {
        self.report.events += 1;
        let state = &mut self.clients[usize::from(client)];
        let node = NodeId::new(usize::from(node));
        state.manager.handle_node_connecting(node);
    }

    pub(in crate::world) fn node_down(&mut self, client: u8, node: u8) {
        let now = self.local(client);
        self.report.events += 1;
        let state = &mut self.clients[usize::from(client)];
        let node = NodeId::new(usize::from(node));
        state
            .manager
            .handle_node_down(now, node, Words::fixed("down"));
    }
}
