//! Faults: what each does to the world, and how it is mended.

use super::ongoing::Ongoing;
use crate::node::{Entry, Value};
use crate::observe::fact::{Fact, Fault, Holder, MS, Nanos, Record, SEC};
use crate::world::engine::{Phase, World};
use crate::world::link::Cut;
use crate::world::queue::Event;

impl World<'_> {
    /// Something goes wrong, and the next thing is planned.
    pub(in crate::world) fn strike(&mut self) {
        if self.phase != Phase::Faulty {
            return;
        }
        let drawn = self.drawn;
        let most = 2 * drawn.fault_every;
        let every = most - self.choices.below(most);
        self.schedule(self.now + every, Event::Strike);
        let total: u64 = drawn.faults.iter().map(|(_, weight)| weight).sum();
        // Zero is no fault.
        let nothing = total / 32 + 1;
        let mut left = match self.choices.below(nothing + total).checked_sub(nothing) {
            Some(left) => left,
            None => return,
        };
        let chosen = drawn.faults.iter().find(|(_, weight)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        let Some((fault, _)) = chosen else { return };
        let client = self.choices.below(drawn.clients as u64) as u8;
        let server = self.choices.below(drawn.servers as u64) as u8;
        self.begin(*fault, client, server);
    }

    fn begin(&mut self, fault: Fault, client: u8, server: u8) {
        match fault {
            Fault::CutOut | Fault::CutIn | Fault::Cut => {
                let node = self.choices.below(self.drawn.nodes as u64) as u8;
                self.cut(fault, client, node);
                self.tell_fault(fault, Some(client), Some(node), None);
                self.ends(fault, client, node);
            }
            Fault::Isolate => {
                let a_node = self.choices.chance(500);
                for (client, node) in self.isolated(a_node, client, server) {
                    self.cut(Fault::Cut, client, node);
                    self.ends(Fault::Cut, client, node);
                }
                let (client, node) = if a_node {
                    (None, Some(server))
                } else {
                    (Some(client), None)
                };
                self.tell_fault(fault, client, node, None);
            }
            Fault::LostRequest | Fault::LostReply => {
                unreachable!("they are drawn for each message as it is sent")
            }
            Fault::Reset => {
                let node = self.choices.below(self.drawn.nodes as u64) as u8;
                let epoch = self.link(client, node).epoch;
                if self.link(client, node).is_up() {
                    self.tell_fault(fault, Some(client), Some(node), None);
                    let event = Event::Reset {
                        client,
                        node,
                        epoch,
                    };
                    self.schedule(self.now, event);
                }
            }
            Fault::Slow
            | Fault::Loading
            | Fault::ReadOnly
            | Fault::OutOfMemory
            | Fault::Refusal => {
                self.impair(fault, server, true);
                self.tell_fault(fault, None, Some(server), None);
                self.ends(fault, 0, server);
            }
            Fault::CrashStale | Fault::Failover | Fault::Replaced => {
                // What is written from now until it strikes will be forgotten.
                let node = &mut self.nodes[usize::from(server)];
                if node.model.durable || node.stale.is_some() {
                    return;
                }
                node.stale = Some(node.model.memory.clone());
                let after = self.choices.below(self.drawn.max_ttl);
                let index = self.note(fault, 0, server);
                self.schedule(self.now + after, Event::Struck(index));
            }
            Fault::CrashKept => self.crash(fault, server),
            Fault::CrashEmpty => {
                // What is on its disk is there when it comes back.
                if !self.nodes[usize::from(server)].model.durable {
                    self.crash(fault, server);
                }
            }
            Fault::Deleted | Fault::Overwritten | Fault::Persisted => self.meddle(fault, server),
            Fault::Flushed => {
                let node = &mut self.nodes[usize::from(server)];
                if node.up {
                    node.model.forget();
                    self.tell_fault(fault, None, Some(server), None);
                    self.tell_keys(server, true);
                }
            }
            Fault::ScriptsFlushed => {
                self.nodes[usize::from(server)].scripts = false;
                self.tell_fault(fault, None, Some(server), None);
            }
            Fault::ClientCrash => {
                if self.clients[usize::from(client)].paused {
                    return;
                }
                self.tell_fault(fault, Some(client), None, None);
                self.client_dies(client);
                let state = &mut self.clients[usize::from(client)];
                state.paused = true;
                state.paused_at = self.now;
                self.ends(fault, client, 0);
            }
            Fault::Pause => self.pause(client, fault),
            Fault::Freeze | Fault::ClientStep => {
                let state = &mut self.clients[usize::from(client)];
                if !may_step(state.stepped, self.now, self.drawn.max_ttl) || state.paused {
                    return;
                }
                let by = self.choices.below(self.drawn.step_max);
                if by == 0 {
                    return;
                }
                state.stepped = self.now;
                if fault == Fault::Freeze {
                    self.freeze(client, by);
                } else {
                    state.clock.step(self.now, by as i64);
                    self.tell_fault(fault, Some(client), None, None);
                    self.clock_changed(client);
                }
            }
            Fault::NodeStep => self.step_node(server),
        }
    }

    /// What was prepared strikes.
    pub(in crate::world) fn struck(&mut self, index: u32) {
        let Ongoing { fault, node, .. } = self.ongoing[index as usize];
        let Some(stale) = self.nodes[usize::from(node)].stale.take() else {
            return;
        };
        // What is down already comes back as it went.
        if self.phase != Phase::Faulty || !self.nodes[usize::from(node)].up {
            return;
        }
        self.nodes[usize::from(node)].model.memory = stale;
        if fault == Fault::CrashStale {
            return self.crash(fault, node);
        }
        if fault == Fault::Replaced {
            return self.replaced(node);
        }
        // Another server answers under the same name; or the same one, which was a replica meanwhile.
        let same_run = self.choices.chance(500);
        self.tell_fault(fault, None, Some(node), None);
        self.new_life(node, same_run);
        if !same_run {
            self.another_clock(node);
        }
        self.tell_keys(node, true);
        self.reset_links_of(node);
    }

    /// Its data is that of a moment ago, and its connections live on. Who it is shows only when a link asks
    /// again, as each does from time to time.
    fn replaced(&mut self, server: u8) {
        self.lives += 1;
        let node = &mut self.nodes[usize::from(server)];
        node.model.identity.replication = self.lives;
        node.scripts = false;
        self.tell_fault(Fault::Replaced, None, Some(server), None);
        self.tell_keys(server, true);
        for (client, node) in self.isolated(true, 0, server) {
            let epoch = self.link(client, node).epoch;
            let after = self.choices.within(MS, self.drawn.max_ttl);
            let event = Event::Reread {
                client,
                node,
                epoch,
            };
            self.schedule(self.now + after, event);
        }
    }

    /// The server that takes over has a clock of its own, which agrees with the others within the bound.
    fn another_clock(&mut self, server: u8) {
        let Some(bound) = self.drawn.wall_bound else {
            return;
        };
        let far = self.choices.below(bound * 3 / 4) as i64;
        let ahead = if self.choices.chance(500) { far } else { -far };
        let by = ahead - self.wall_ahead(usize::from(server));
        let node = &mut self.nodes[usize::from(server)];
        node.stepped = self.now;
        node.clock.step(self.now, by);
        self.note_clock(None, Some(server));
    }

    fn crash(&mut self, fault: Fault, server: u8) {
        let node = &mut self.nodes[usize::from(server)];
        if !node.up {
            return;
        }
        node.up = false;
        if fault == Fault::CrashEmpty {
            node.model.forget();
        }
        self.tell_fault(fault, None, Some(server), None);
        self.tell_keys(server, true);
        self.new_life(server, false);
        // A process that dies closes its connections; a machine that dies does not.
        if self.choices.chance(500) {
            self.reset_links_of(server);
        }
        self.ends(fault, 0, server);
    }

    fn new_life(&mut self, server: u8, same_run: bool) {
        self.lives += 1;
        let node = &mut self.nodes[usize::from(server)];
        node.boot += 1;
        if !same_run {
            node.model.identity.run = self.lives;
        }
        node.model.identity.replication = self.lives;
        node.scripts = false;
        node.busy_until = 0;
    }

    fn reset_links_of(&mut self, server: u8) {
        for (client, node) in self.isolated(true, 0, server) {
            let link = self.link(client, node);
            if link.is_up() && link.cut == [None; 2] {
                let epoch = link.epoch;
                let after = self.choices.below(5 * MS);
                let event = Event::Reset {
                    client,
                    node,
                    epoch,
                };
                self.schedule(self.now + after, event);
            }
        }
    }

    /// Tells what the keys of a node hold and until when, after it forgot some or its clock changed.
    pub(in crate::world) fn tell_keys(&mut self, server: u8, absent_too: bool) {
        for key in 0..self.drawn.keys as u8 {
            let node = &self.nodes[usize::from(server)];
            let (to, until) = (node.holder(self.now, key), node.expiry(self.now, key));
            let (from, to_nobody) = (to, to == Holder::Nobody);
            if absent_too || !to_nobody {
                self.tell_of_key(server, key, Fact::Key { from, to, until });
            }
        }
    }

    fn tell_of_key(&mut self, server: u8, key: u8, fact: Fact) {
        let record = Record {
            node: Some(server),
            key: Some(key),
            ..Record::new(self.now, fact)
        };
        self.tell(&record);
    }

    /// The server or a stranger changes one key.
    fn meddle(&mut self, fault: Fault, server: u8) {
        let key = self.choices.below(self.drawn.keys as u64) as u8;
        let now = self.now;
        let stays = self.choices.chance(300);
        let wrong = self.choices.chance(300);
        let span = self.choices.within(1, self.drawn.max_ttl / MS) as i64;
        let node = &mut self.nodes[usize::from(server)];
        let from = node.holder(now, key);
        let entry = node.entry(now, key);
        let entry = match fault {
            Fault::Deleted => None,
            Fault::Overwritten => Some(Entry {
                value: if wrong {
                    Value::WrongType
                } else {
                    Value::Other
                },
                until: (!stays).then(|| node.shown(now).ticks + span),
            }),
            _ => entry.map(|entry| Entry {
                until: None,
                ..entry
            }),
        };
        // Who changes nothing excuses nothing.
        if node.up && (fault == Fault::Overwritten || from != Holder::Nobody) {
            node.set(key, entry);
            let (to, until) = (node.holder(now, key), node.expiry(now, key));
            self.tell_fault(fault, None, Some(server), Some(key));
            self.tell_of_key(server, key, Fact::Key { from, to, until });
        }
    }

    fn step_node(&mut self, server: u8) {
        let (now, drawn) = (self.now, self.drawn);
        let last = self.nodes[usize::from(server)].stepped;
        let size = self.choices.below(drawn.step_max) as i64;
        let back = self.choices.chance(500) && drawn.steps_back;
        let by = if back { -size } else { size };
        let far = (self.wall_ahead(usize::from(server)) + by).unsigned_abs();
        if by == 0
            || !may_step(last, now, drawn.max_ttl)
            || drawn.wall_bound.is_some_and(|bound| far > bound * 3 / 4)
        {
            return;
        }
        let node = &mut self.nodes[usize::from(server)];
        node.stepped = now;
        node.clock.step(now, by);
        self.note_clock(None, Some(server));
        self.tell_fault(Fault::NodeStep, None, Some(server), None);
        self.tell_keys(server, true);
    }

    /// The client's process stands still for a while.
    pub(in crate::world) fn pause(&mut self, client: u8, fault: Fault) {
        let state = &mut self.clients[usize::from(client)];
        if state.paused {
            return;
        }
        state.paused = true;
        state.paused_at = self.now;
        self.tell_fault(fault, Some(client), None, None);
        let span = self.choices.spread(MS, 2 * self.drawn.max_ttl);
        let index = self.note(fault, client, 0);
        self.schedule(self.now + span, Event::End(index));
    }

    /// It stands still, and its clock with it.
    fn freeze(&mut self, client: u8, span: Nanos) {
        let state = &mut self.clients[usize::from(client)];
        state.paused = true;
        state.paused_at = self.now;
        self.tell_fault(Fault::Freeze, Some(client), None, None);
        let index = self.note(Fault::Freeze, client, 0);
        self.schedule(self.now + span, Event::End(index));
    }

    /// The process goes on, with what came meanwhile.
    fn wake(&mut self, fault: Fault, client: u8) {
        let (now, state) = (self.now, &mut self.clients[usize::from(client)]);
        state.paused = false;
        let slept = now - state.paused_at;
        if fault == Fault::Freeze {
            state.clock.step(now, -(slept as i64));
        }
        self.tell_of(Some(client), None, Fact::Mended(fault));
        self.clock_changed(client);
        if fault == Fault::ClientCrash {
            self.clients[usize::from(client)].inbox.clear();
            return self.start_client(client);
        }
        // Timers first, or what has arrived: a driver may do either.
        let timers_first = self.choices.chance(500);
        let inbox = std::mem::take(&mut self.clients[usize::from(client)].inbox);
        if timers_first {
            self.look_at_the_clock(client);
        }
        for event in inbox {
            // It may have been stopped again meanwhile.
            if self.clients[usize::from(client)].paused {
                self.clients[usize::from(client)].inbox.push(event);
            } else {
                self.handle(client, event);
            }
        }
        self.look_at_the_clock(client);
        if !self.clients[usize::from(client)].paused {
            self.pump_all(client);
        }
    }

    fn look_at_the_clock(&mut self, client: u8) {
        let now = self.local(client);
        let state = &mut self.clients[usize::from(client)];
        if !state.paused {
            self.report.events += 1;
            state.manager.handle_timeout(now);
            self.settle(client);
        }
    }

    fn cut(&mut self, fault: Fault, client: u8, node: u8) {
        let cut = if self.choices.chance(500) {
            Cut::Drop
        } else {
            Cut::Stall
        };
        let link = self.link_mut(client, node);
        if fault != Fault::CutIn {
            link.cut[0] = Some(cut);
        }
        if fault != Fault::CutOut {
            link.cut[1] = Some(cut);
        }
    }

    /// The links of a server, or of a client.
    fn isolated(&self, a_node: bool, client: u8, server: u8) -> Vec<(u8, u8)> {
        let all = self.clients.iter().enumerate().flat_map(|(client, state)| {
            let links = state.links.iter().enumerate();
            links.map(move |(node, link)| (client as u8, node as u8, link.server))
        });
        all.filter(|(its, _, at)| {
            if a_node {
                *at == server
            } else {
                *its == client
            }
        })
        .map(|(client, node, _)| (client, node))
        .collect()
    }

    fn impair(&mut self, fault: Fault, server: u8, begins: bool) {
        let most = self.patience();
        let slow = self.choices.spread(MS / 10, most.max(MS / 5));
        let node = &mut self.nodes[usize::from(server)];
        match fault {
            Fault::Slow => node.slow = if begins { slow } else { 0 },
            Fault::Loading => node.loading = begins,
            Fault::ReadOnly => node.read_only = begins,
            Fault::OutOfMemory => node.model.full = begins,
            _ => node.refusing = begins,
        }
    }

    fn note(&mut self, fault: Fault, client: u8, node: u8) -> u32 {
        self.ongoing.push(Ongoing {
            fault,
            client,
            node,
            over: false,
        });
        (self.ongoing.len() - 1) as u32
    }

    fn ends(&mut self, fault: Fault, client: u8, node: u8) {
        let index = self.note(fault, client, node);
        let span = self.choices.within(MS, self.drawn.fault_length);
        self.schedule(self.now + span, Event::End(index));
    }

    pub(in crate::world) fn end_fault(&mut self, index: u32) {
        let Ongoing {
            fault,
            client,
            node,
            over,
        } = self.ongoing[index as usize];
        self.ongoing[index as usize].over = true;
        if over || self.lasts(fault, client, node) {
            return;
        }
        match fault {
            Fault::CutOut | Fault::CutIn | Fault::Cut => {
                for way in 0..2 {
                    self.mend_cut(client, node, way);
                }
                self.tell_of(Some(client), Some(node), Fact::Mended(fault));
            }
            Fault::Slow
            | Fault::Loading
            | Fault::ReadOnly
            | Fault::OutOfMemory
            | Fault::Refusal => {
                self.impair(fault, node, false);
                self.tell_of(None, Some(node), Fact::Mended(fault));
            }
            Fault::CrashKept | Fault::CrashEmpty | Fault::CrashStale => {
                self.nodes[usize::from(node)].up = true;
                self.tell_of(None, Some(node), Fact::Mended(fault));
            }
            Fault::Pause | Fault::Freeze | Fault::ClientCrash => self.wake(fault, client),
            _ => {}
        }
    }

    /// Whether a link that was cut twice stays cut, or a node that is impaired twice stays so.
    fn lasts(&self, fault: Fault, client: u8, node: u8) -> bool {
        let is_cut = |fault| matches!(fault, Fault::CutOut | Fault::CutIn | Fault::Cut);
        let is_impaired = matches!(
            fault,
            Fault::Slow | Fault::Loading | Fault::ReadOnly | Fault::OutOfMemory | Fault::Refusal
        );
        self.ongoing.iter().any(|other| {
            !other.over
                && (other.client, other.node) == (client, node)
                && ((is_impaired && other.fault == fault) || (is_cut(other.fault) && is_cut(fault)))
        })
    }

    /// Each client is cut off from another node, until all is healed.
    pub(in crate::world) fn set_apart(&mut self) {
        for client in 0..self.clients.len() as u8 {
            let node = client % self.drawn.nodes as u8;
            self.link_mut(client, node).cut = [Some(Cut::Drop); 2];
            self.note(Fault::Cut, client, node);
            // It is not one that was drawn, and is not counted among them.
            self.tell_of(Some(client), Some(node), Fact::Fault(Fault::Cut));
        }
    }

    /// No fault is left, and none will come.
    pub(in crate::world) fn heal(&mut self) {
        self.phase = Phase::Healthy;
        for index in 0..self.ongoing.len() as u32 {
            self.end_fault(index);
        }
        for server in 0..self.nodes.len() as u8 {
            self.nodes[usize::from(server)].stale = None;
            self.strangers_leave(server);
        }
        self.tell_of(None, None, Fact::Healed);
        for client in 0..self.clients.len() as u8 {
            self.hurry(client);
        }
    }

    /// What strangers wrote they take away, and an expiry that they took they give back.
    fn strangers_leave(&mut self, server: u8) {
        let (now, ttl) = (self.now, (self.drawn.max_ttl / MS) as i64);
        for key in 0..self.drawn.keys as u8 {
            let node = &mut self.nodes[usize::from(server)];
            let entry = match node.entry(now, key) {
                Some(entry) if !matches!(entry.value, Value::Token { .. }) => None,
                Some(Entry { value, until: None }) => Some(Entry {
                    value,
                    until: Some(node.shown(now).ticks + ttl),
                }),
                entry => entry,
            };
            node.set(key, entry);
        }
        self.tell_keys(server, true);
    }

    fn tell_fault(&mut self, fault: Fault, client: Option<u8>, node: Option<u8>, key: Option<u8>) {
        self.count_fault(fault);
        let record = Record {
            client,
            node,
            key,
            ..Record::new(self.now, Fact::Fault(fault))
        };
        self.tell(&record);
    }
}

/// The drift bound leaves room for one step in a TTL.
const fn may_step(last: Nanos, now: Nanos, max_ttl: Nanos) -> bool {
    now >= last + 2 * max_ttl && now > SEC / 10
}
