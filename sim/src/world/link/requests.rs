//! Requests and their replies: they are sent, lost, late or refused, and the core is told the
//! outcome.

use std::time::Duration;

use tenure_core::{Answer, Doubt, NodeId, Op, OpKind, Refusal, Reply, Request, Words};

use super::state::{Carried, Cut, Link, Message, State, broken};
use crate::choice::{Draws, Subject};
use crate::node::Arrived;
use crate::observe::fact::{self, Fact, Fault, Nanos, Outcome, SEC};
use crate::world::engine::{Phase, World};
use crate::world::node::{Done, Node, Signal};
use crate::world::queue::Event;

const BATCH: usize = 16;
/// How long scripts are sent as texts after the node forgot them as soon as they were loaded.
const BY_TEXT_FOR: Nanos = 10 * SEC;

impl World<'_> {
    pub(in crate::world) fn link(&self, client: u8, node: u8) -> &Link {
        &self.clients[usize::from(client)].links[usize::from(node)]
    }

    pub(in crate::world) fn link_mut(&mut self, client: u8, node: u8) -> &mut Link {
        &mut self.clients[usize::from(client)].links[usize::from(node)]
    }

    /// Takes the requests of the core for a node, and sends or refuses them.
    pub(in crate::world) fn pump(&mut self, client: u8, node: u8) {
        loop {
            let link = self.link(client, node);
            let (state, busy) = (link.state, link.scripts.needed || link.marker.needed);
            if state == State::Connecting || (state == State::Up && busy) {
                return;
            }
            let now = self.local(client);
            let mut taken = std::mem::take(&mut self.requests);
            let manager = &mut self.clients[usize::from(client)].manager;
            let count = manager.poll_requests(NodeId::new(usize::from(node)), BATCH, &mut taken);
            for request in taken.drain(..) {
                // Nobody waits for it any more. If it were granted, it would only have to be
                // released.
                let manager = &self.clients[usize::from(client)].manager;
                let stale = request.op.kind().acquires() && request.deadline <= now
                    || manager.is_too_late(now, &request);
                match state {
                    // Of a connection that hears no pushes, nobody watches for a key.
                    State::Up
                        if request.op.kind() == OpKind::Watch && !self.hears(client, node) =>
                    {
                        self.refuse(client, &request, Refusal::NotSent);
                    }
                    State::Up if !stale => self.send(client, node, &request),
                    State::Rejected => {
                        let words = Words::new("NOPERM");
                        self.refuse(client, &request, Refusal::Rejected(words));
                    }
                    _ => self.refuse(client, &request, Refusal::NotSent),
                }
            }
            self.requests = taken;
            if count == 0 {
                return;
            }
        }
    }

    fn hears(&self, client: u8, node: u8) -> bool {
        self.link(client, node).hears
    }

    /// Answers a request that is not sent.
    fn refuse(&mut self, client: u8, request: &Request, refusal: Refusal) {
        let node = request.id.node.index() as u8;
        let outcome = match refusal {
            Refusal::Rejected(_) => Outcome::Answered(fact::Answer::Rejected),
            _ => Outcome::NotSent,
        };
        let fact = Fact::Heard {
            ask: request.op.kind(),
            serial: request.id.serial,
            outcome,
        };
        let server = self.link(client, node).server;
        self.tell_of_lease(lease_of(request), Some(server), fact);
        self.reply(client, request.id, Reply::NotApplied(refusal));
    }

    fn send(&mut self, client: u8, node: u8, request: &Request) {
        let lease = lease_of(request);
        let ask = request.op.kind();
        let (attempt, serial) = (request.token.attempt, request.id.serial);
        self.tell_of_lease(
            lease,
            Some(self.link(client, node).server),
            Fact::Sent {
                ask,
                attempt,
                serial,
            },
        );
        let set = self.set_of_nodes(client);
        let (now, quarantine) = (self.now, self.drawn.quarantine);
        let key = self.leases[lease as usize].key;
        let process = self.clients[usize::from(client)].process;
        // A link may ask a take by the script of acquire.
        let op = match request.op {
            Op::Take { ttl } if !self.drawn.native => Op::Acquire {
                ttl,
                proposal: None,
                place: None,
            },
            op => op,
        };
        let link = self.link_mut(client, node);
        let message = Message {
            client,
            node,
            server: link.server,
            epoch: link.epoch,
            boot: link.boot,
            process,
            id: request.id,
            ask,
            arrived: Arrived {
                key: usize::from(key),
                lease,
                attempt,
                op,
                channel: link.hears.then_some(u32::from(client)),
                marker: quarantine.then_some((link.identity, set)),
            },
            sent: now,
            counts: [link.scripts.count, link.marker.count],
            by_text: now < link.by_text_until,
            kept: None,
            reply: None,
            answered: false,
            parked: false,
        };
        if link.in_flight.is_empty() {
            link.heard = now;
            link.probed = Some(now);
            self.try_idle(client, node, request);
        }
        let index = self.keep(message);
        self.link_mut(client, node).in_flight.push(index);
        self.watch(client, node);
        if self.is_lost(ask, 0) {
            let at = now + self.patience();
            return self.schedule(at, Event::GiveUp(index));
        }
        self.transmit(index, 0);
    }

    fn keep(&mut self, message: Message) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.messages[index as usize] = message;
                index
            }
            None => {
                self.messages.push(message);
                (self.messages.len() - 1) as u32
            }
        }
    }

    fn is_lost(&mut self, kind: OpKind, way: usize) -> bool {
        let lost = self.drawn.lost[way];
        let lost = self.phase == Phase::Faulty && self.messages_of(kind).chance(lost);
        if lost {
            self.count_fault([Fault::LostRequest, Fault::LostReply][way]);
        }
        lost
    }

    /// The decisions about messages of this kind.
    const fn messages_of(&mut self, kind: OpKind) -> Draws<'_> {
        self.choices.about(Subject::Messages(kind))
    }

    /// Puts a message on its way: 0 is there, 1 is back.
    fn transmit(&mut self, index: u32, way: usize) {
        let message = &self.messages[index as usize];
        let (client, node, old) = (message.client, message.node, message.epoch);
        let (kind, spike) = (message.ask, self.drawn.spike);
        let spiked = self.phase == Phase::Faulty && self.messages_of(kind).chance(spike);
        let link = &mut self.clients[usize::from(client)].links[usize::from(node)];
        let present = old == link.epoch;
        match link.cut[way] {
            _ if link.doomed && present => self.messages[index as usize].parked = true,
            _ if link.forgotten && present => self.break_forgotten(index),
            Some(Cut::Stall) => link.stalled[way].push(Carried::Message(index)),
            Some(Cut::Drop) if present => {
                link.doomed = true;
                self.messages[index as usize].parked = true;
            }
            Some(Cut::Drop) => self.park(index),
            None => {
                let usual = link.latency[way];
                let most = if spiked { self.patience() } else { usual };
                let extra = self.messages_of(kind).below(most);
                let mut at = self.now + usual + extra;
                let link = self.link_mut(client, node);
                if present {
                    at = at.max(link.arrives[way]);
                    link.arrives[way] = at;
                }
                let event = [Event::Arrive(index), Event::Back(index)][way];
                self.schedule(at, event);
            }
        }
    }

    /// No event will happen to this message. It is forgotten once the core was told its outcome.
    fn park(&mut self, index: u32) {
        let message = &mut self.messages[index as usize];
        message.parked = true;
        if message.answered {
            self.free.push(index);
        }
    }

    /// A cut ends, and messages that waited go on.
    pub(in crate::world) fn mend_cut(&mut self, client: u8, node: u8, way: usize) {
        let link = self.link_mut(client, node);
        link.cut[way] = None;
        for carried in std::mem::take(&mut link.stalled[way]) {
            match carried {
                Carried::Message(index) => self.transmit(index, way),
                Carried::Push(index) => self.carry(index),
            }
        }
    }

    pub(in crate::world) fn arrive(&mut self, index: u32) {
        let message = &self.messages[index as usize];
        let node = &mut self.nodes[usize::from(message.server)];
        if !takes(node, message) {
            return self.park(index);
        }
        // Behind the rest of a write that it has read in part.
        let reads_until = node.reads_until[usize::from(message.client)];
        if reads_until > self.now {
            return self.schedule(reads_until, Event::Arrive(index));
        }
        // What a slow node has not handled by now was dropped with its connection.
        if node.busy_until > self.now + self.drawn.max_ttl {
            let (client, node, epoch) = (message.client, message.node, message.epoch);
            let link = self.link_mut(client, node);
            if link.epoch != epoch {
                return self.park(index);
            }
            link.doomed = true;
            self.messages[index as usize].parked = true;
            return;
        }
        if node.slow > 0 || node.busy_until > self.now {
            let at = node.busy_until.max(self.now) + node.slow;
            node.busy_until = at;
            return self.schedule(at, Event::Serve(index));
        }
        self.serve(index);
    }

    /// The node does what is asked, and answers.
    pub(in crate::world) fn serve(&mut self, index: u32) {
        let message = &self.messages[index as usize];
        let (server, arrived) = (message.server, message.arrived);
        let (ask, by_text) = (message.ask, message.by_text);
        let now = self.now;
        let node = &mut self.nodes[usize::from(server)];
        if !takes(node, message) {
            return self.park(index);
        }
        if let Op::Take { ttl } = arrived.op {
            return self.take(index, ttl);
        }
        if arrived.op == Op::Acknowledge {
            let demanded = self.drawn.config.acknowledged_by();
            let lagging = self.drawn.lagging;
            let lags = self.phase == Phase::Faulty && self.messages_of(ask).chance(lagging);
            let model = &mut self.nodes[usize::from(server)].model;
            model.replicas = demanded - u32::from(lags);
        }
        let key = arrived.key as u8;
        let owners = ask.frees() && self.awaits_release(arrived.lease);
        let robbed = owners && self.rob(server, key, arrived.lease);
        let node = &mut self.nodes[usize::from(server)];
        let from = node.holder(now, key);
        let done = node.apply(now, &arrived, by_text);
        self.did(index, &done.reply);
        self.written(index, from, &done.reply);
        self.answer(index, done, robbed);
    }

    /// Tells what a script that was run made of its key and of the queue, and whom it was handed
    /// to. The pushes go before the reply.
    fn written(&mut self, index: u32, from: fact::Holder, reply: &Reply) {
        let message = &self.messages[index as usize];
        let (server, arrived, ask) = (message.server, message.arrived, message.ask);
        let (by, key) = ((message.client, message.epoch), arrived.key as u8);
        let wrote = matches!(reply, Reply::Applied(Answer::Granted { .. } | Answer::Done));
        // A confirmation writes the counter only.
        let reads = matches!(ask, OpKind::Confirm | OpKind::Acknowledge | OpKind::Watch);
        let wrote = wrote && !reads;
        let to = self.nodes[usize::from(server)].holder(self.now, key);
        if matches!(reply, Reply::Applied(_)) {
            self.tell_former_place(server, &arrived);
        }
        let frees = ask.frees() && wrote;
        if from != to || frees {
            self.tell_hand_off(server, key, arrived.lease, from, frees);
        }
        if wrote || from != to {
            self.key_written(&arrived, server, from);
            self.touched(server, key, Some(by));
        }
        self.tell_places(server, key);
        self.send_pushes(server);
        if ask == OpKind::Watch && *reply == Reply::Applied(Answer::Done) {
            self.track(by.0, server, by.1, key);
        }
    }

    /// The first step of a take: the key is set if it is free. The second is handled at once,
    /// unless the node reads the write in two parts.
    fn take(&mut self, index: u32, ttl: Duration) {
        let message = &self.messages[index as usize];
        let (client, server, arrived) = (message.client, message.server, message.arrived);
        let now = self.now;
        let node = &mut self.nodes[usize::from(server)];
        let from = node.holder(now, arrived.key as u8);
        let done = match node.take(now, &arrived, ttl) {
            Ok(true) => {
                let by = (client, message.epoch);
                self.key_written(&arrived, server, from);
                self.touched(server, arrived.key as u8, Some(by));
                let kept = self.nodes[usize::from(server)].expiry(now, arrived.key as u8);
                self.messages[index as usize].kept = kept;
                let torn = self.drawn.torn;
                // Of a connection that was given up, all that arrived had been written at once.
                let may = self.phase == Phase::Faulty && !self.is_late(index);
                if !(may && self.messages_of(OpKind::Take).chance(torn)) {
                    return self.draw(index);
                }
                let most = self.patience();
                let at = now + self.messages_of(OpKind::Take).below(most);
                self.nodes[usize::from(server)].reads_until[usize::from(client)] = at;
                return self.schedule(at, Event::Draw(index));
            }
            Ok(false) => Done::answered(Answer::Busy),
            Err(refused) => refused,
        };
        self.did(index, &done.reply);
        self.answer(index, done, false);
    }

    /// The second step of a take: a fence is drawn.
    // Law: Fencing
    pub(in crate::world) fn draw(&mut self, index: u32) {
        let message = &self.messages[index as usize];
        let node = &mut self.nodes[usize::from(message.server)];
        if !takes(node, message) {
            return self.park(index);
        }
        let done = Done::answered(node.draw(self.now));
        self.did(index, &done.reply);
        self.answer(index, done, false);
    }

    /// Whether the connection of a request was given up.
    fn is_late(&self, index: u32) -> bool {
        let message = &self.messages[index as usize];
        message.epoch != self.link(message.client, message.node).epoch
    }

    /// Tells what a node did with a request.
    fn did(&mut self, index: u32, reply: &Reply) {
        let message = &self.messages[index as usize];
        let (server, ask, serial) = (message.server, message.ask, message.id.serial);
        let (lease, key) = (message.arrived.lease, message.arrived.key as u8);
        let late = self.is_late(index);
        let node = &self.nodes[usize::from(server)];
        let wrote = matches!(reply, Reply::Applied(Answer::Granted { .. } | Answer::Done));
        let holds = node.holder(self.now, key) == fact::Holder::Lease(lease);
        let present = node.expiry(self.now, key).filter(|_| holds);
        // Somebody may have deleted the key since a take set it. That says nothing of the take.
        let until = message.kept.or(present).filter(|_| wrote);
        let answer = match Outcome::from(reply) {
            Outcome::Answered(answer) => answer,
            Outcome::NotSent | Outcome::Unknown => fact::Answer::Unavailable,
        };
        self.tell_of_lease(
            lease,
            Some(server),
            Fact::Did {
                ask,
                serial,
                answer,
                until,
                late,
            },
        );
    }

    /// Tells what a request made of its key, if it wrote it.
    fn key_written(&mut self, arrived: &Arrived, server: u8, from: fact::Holder) {
        let (node, key) = (&self.nodes[usize::from(server)], arrived.key as u8);
        let to = node.holder(self.now, key);
        let until = node.expiry(self.now, key);
        if to == fact::Holder::Lease(arrived.lease) || from != to {
            self.tell_of_lease(arrived.lease, Some(server), Fact::Key { from, to, until });
        }
    }

    /// Sends the reply to a request, unless it is lost.
    fn answer(&mut self, index: u32, done: Done, robbed: bool) {
        let message = &mut self.messages[index as usize];
        message.reply = Some((done.reply, done.signal));
        if message.answered {
            return self.free.push(index);
        }
        let (sent, ask) = (message.sent, message.ask);
        if robbed {
            return self.lose_reply(index, Fault::Robbed);
        }
        if self.is_lost(ask, 1) {
            let at = sent + self.patience();
            return self.schedule(at, Event::GiveUp(index));
        }
        self.transmit(index, 1);
    }

    /// A reply is lost, alone or with its connection.
    fn lose_reply(&mut self, index: u32, fault: Fault) {
        let alone = self.choices.about(Subject::Fault(fault)).chance(300);
        let patience = self.patience();
        let message = &mut self.messages[index as usize];
        let (client, node, epoch) = (message.client, message.node, message.epoch);
        if alone {
            let at = message.sent + patience;
            return self.schedule(at, Event::GiveUp(index));
        }
        message.parked = true;
        let back = self.link(client, node).latency[1];
        self.reset_after(back, client, node, epoch);
    }

    /// The node does not know the connection on which a request comes.
    fn break_forgotten(&mut self, index: u32) {
        let message = &mut self.messages[index as usize];
        message.parked = true;
        let (client, node, epoch) = (message.client, message.node, message.epoch);
        let after = self.round_trip(client, node);
        self.reset_after(after, client, node, epoch);
    }

    fn reset_after(&mut self, span: Nanos, client: u8, node: u8, epoch: u32) {
        let event = Event::Reset {
            client,
            node,
            epoch,
        };
        self.schedule(self.now + span, event);
    }

    pub(in crate::world) fn back(&mut self, index: u32) {
        let message = &mut self.messages[index as usize];
        if message.answered {
            return self.too_late(index);
        }
        let (client, node, counts) = (message.client, message.node, message.counts);
        let Some((mut reply, signal)) = message.reply.take() else {
            return self.park(index);
        };
        let now = self.now;
        let link = &mut self.clients[usize::from(client)].links[usize::from(node)];
        (link.heard, link.answered) = (now, now);
        if let Some(sent) = link.probed.take() {
            link.patience.measured(Duration::from_nanos(now - sent));
        }
        let (mut elsewhere, mut mends) = (false, false);
        match signal {
            None => {}
            Some(Signal::NoScript) if link.scripts.was_undone(counts[0], now) => {
                link.by_text_until = now + BY_TEXT_FOR;
                reply = Reply::NotApplied(Refusal::Again);
            }
            Some(Signal::NoScript) => {
                reply = Reply::NotApplied(link.scripts.ask(counts[0], now));
                mends = true;
            }
            Some(Signal::Unmarked) => {
                reply = Reply::NotApplied(link.marker.ask(counts[1], now));
                mends = true;
            }
            Some(Signal::Elsewhere) => elsewhere = true,
        }
        let (id, kind) = {
            let message = &self.messages[index as usize];
            (message.id, message.ask)
        };
        let repeated = self.drawn.repeated;
        let again = self.messages_of(kind).chance(repeated);
        let again = again.then(|| reply.clone());
        self.outcome(index, reply);
        if let Some(reply) = again {
            // The core must ignore a second reply.
            self.reply(client, id, reply);
        }
        if mends {
            let after = self.round_trip(client, node);
            let epoch = self.link(client, node).epoch;
            let event = Event::Mended {
                client,
                node,
                epoch,
            };
            self.schedule(now + after, event);
        }
        if elsewhere {
            self.lose_link(client, node, &broken());
        }
        self.free.push(index);
        self.settle(client);
    }

    /// A reply to a request that was given up. A real link drops it. Here the core may get it, and
    /// must ignore it.
    fn too_late(&mut self, index: u32) {
        let repeated = self.drawn.repeated;
        let message = &mut self.messages[index as usize];
        let (client, id, kind) = (message.client, message.id, message.ask);
        let same = message.process == self.clients[usize::from(client)].process;
        if let Some((reply, _)) = message.reply.take()
            && same
            && self.messages_of(kind).chance(repeated)
        {
            self.reply(client, id, reply);
            self.settle(client);
        }
        self.free.push(index);
    }

    /// A request that nobody will answer is given up.
    pub(in crate::world) fn give_up(&mut self, index: u32) {
        let message = &self.messages[index as usize];
        let client = message.client;
        if !message.answered {
            self.outcome(index, Reply::Unknown(Doubt::Silent));
            self.settle(client);
        }
        self.free.push(index);
    }

    /// Tells the core what came of a request.
    pub(super) fn outcome(&mut self, index: u32, reply: Reply) {
        let message = &mut self.messages[index as usize];
        message.answered = true;
        let (client, node, id) = (message.client, message.node, message.id);
        let (ask, lease, server) = (message.ask, message.arrived.lease, message.server);
        let link = self.link_mut(client, node);
        link.in_flight.retain(|flying| *flying != index);
        let outcome = Outcome::from(&reply);
        self.tell_of_lease(
            lease,
            Some(server),
            Fact::Heard {
                ask,
                serial: id.serial,
                outcome,
            },
        );
        self.reply(client, id, reply);
    }
}

/// Whether a node still has the connection that a message came on.
fn takes(node: &Node, message: &Message) -> bool {
    let lives = node.up && node.boot == message.boot;
    lives && node.killed[usize::from(message.client)] <= message.epoch
}

/// The lease that a request is of. Its secret begins with its number.
fn lease_of(request: &Request) -> u32 {
    let secret = request.token.secret.expose();
    u32::from_le_bytes([secret[0], secret[1], secret[2], secret[3]])
}
