//! What faults do to nodes: they are impaired, crash, forget and are replaced, strangers change
//! their keys, and their clocks are stepped.

use super::at_client::may_step;
use super::ongoing::{Impairment, Prepared, Undo};
use crate::node::{Entry, Value};
use crate::observe::fact::{Fact, Fault, Holder, MS, Record};
use crate::world::engine::{Phase, World};
use crate::world::queue::Event;

impl World<'_> {
    /// The server stays up, but does not work as it should.
    pub(super) fn impair(&mut self, fault: Fault, server: u8, of: Impairment) {
        self.set_impaired(server, of, true);
        if of == Impairment::Slow {
            let most = self.patience();
            let slow = self.draws(fault).spread(MS / 10, most.max(MS / 5));
            self.nodes[usize::from(server)].slow = slow;
        }
        self.tell_fault(fault, None, Some(server), None);
        self.ends(fault, Undo::Cure { server, of });
    }

    pub(super) fn set_impaired(&mut self, server: u8, of: Impairment, is: bool) {
        let node = &mut self.nodes[usize::from(server)];
        match of {
            // How slow it becomes is drawn elsewhere.
            Impairment::Slow => node.slow = 0,
            Impairment::Loading => node.loading = is,
            Impairment::ReadOnly => node.read_only = is,
            Impairment::Full => node.model.full = is,
            Impairment::Refusing => node.refusing = is,
        }
    }

    /// The server goes down. It will come back with what is in its memory now.
    pub(super) fn crash(&mut self, fault: Fault, server: u8) {
        let node = &mut self.nodes[usize::from(server)];
        if !node.up {
            return;
        }
        node.up = false;
        self.tell_fault(fault, None, Some(server), None);
        self.tell_keys(server, true);
        self.new_life(server, false);
        // A process that dies closes its connections; a machine that dies does not.
        if self.draws(fault).chance(500) {
            self.reset_links_of(fault, server);
        }
        self.ends(fault, Undo::Boot { server });
    }

    /// Prepares a fault. What is written from now until it strikes will be forgotten.
    pub(super) fn prepare(&mut self, fault: Fault, server: u8, what: Prepared) {
        let node = &mut self.nodes[usize::from(server)];
        if node.model.durable || node.stale.is_some() {
            return;
        }
        node.stale = Some(node.model.memory.clone());
        let most = self.drawn.max_ttl;
        let after = self.draws(fault).below(most);
        let index = self.note(fault, Undo::Forget { server, what });
        self.schedule(self.now + after, Event::Struck(index));
    }

    /// A replica takes over under the same name. Sometimes it is the same server, which was a
    /// replica for a while.
    pub(super) fn failover(&mut self, server: u8) {
        let fault = Fault::Failover;
        let same_run = self.draws(fault).chance(500);
        self.tell_fault(fault, None, Some(server), None);
        self.new_life(server, same_run);
        if !same_run {
            self.another_clock(fault, server);
        }
        self.tell_keys(server, true);
        self.reset_links_of(fault, server);
    }

    /// The data is replaced by that of a moment ago, and connections stay open. A link notices only
    /// when it asks again who the node is, which it does from time to time.
    pub(super) fn replaced(&mut self, server: u8) {
        self.lives += 1;
        let node = &mut self.nodes[usize::from(server)];
        node.model.identity.replication = self.lives;
        node.scripts = false;
        self.tell_fault(Fault::Replaced, None, Some(server), None);
        self.tell_keys(server, true);
        let most = self.drawn.max_ttl;
        for (client, node) in self.links_of_server(server) {
            let epoch = self.link(client, node).epoch;
            let after = self.draws(Fault::Replaced).within(MS, most);
            let event = Event::Reread {
                client,
                node,
                epoch,
            };
            self.schedule(self.now + after, event);
        }
    }

    /// The replica that takes over has a clock of its own, which agrees with the other servers
    /// within the bound.
    fn another_clock(&mut self, fault: Fault, server: u8) {
        let Some(bound) = self.drawn.wall_bound else {
            return;
        };
        let far = self.draws(fault).below(bound * 3 / 4) as i64;
        let ahead = if self.draws(fault).chance(500) {
            far
        } else {
            -far
        };
        let by = ahead - self.wall_ahead(usize::from(server));
        let node = &mut self.nodes[usize::from(server)];
        node.stepped = self.now;
        node.clock.step(self.now, by);
        self.note_clock(None, Some(server));
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
        self.all_closed(server);
    }

    fn reset_links_of(&mut self, fault: Fault, server: u8) {
        for (client, node) in self.links_of_server(server) {
            let link = self.link(client, node);
            if link.is_up() && link.cut == [None; 2] {
                let epoch = link.epoch;
                let after = self.draws(fault).below(5 * MS);
                let event = Event::Reset {
                    client,
                    node,
                    epoch,
                };
                self.schedule(self.now + after, event);
            }
        }
    }

    /// Tells what the keys of a node hold and until when, since it forgot some or its clock
    /// changed.
    pub(in crate::world) fn tell_keys(&mut self, server: u8, absent_too: bool) {
        self.tell_all_places(server);
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

    /// The server evicts a key, or a stranger deletes it.
    pub(super) fn delete(&mut self, server: u8) {
        let Meddled { key, .. } = self.meddled(Fault::Deleted);
        if self.held(server, key).is_some() {
            self.meddle(Fault::Deleted, server, key, None);
        }
    }

    /// A stranger writes something else.
    pub(super) fn overwrite(&mut self, server: u8) {
        let Meddled {
            key,
            stays,
            wrong,
            span,
        } = self.meddled(Fault::Overwritten);
        let node = &self.nodes[usize::from(server)];
        let entry = Entry {
            value: if wrong {
                Value::WrongType
            } else {
                Value::Other
            },
            until: (!stays).then(|| node.shown(self.now).ticks + span),
        };
        if node.up {
            self.meddle(Fault::Overwritten, server, key, Some(entry));
        }
    }

    /// An owner's release of this lease arrives. A stranger who waits for one takes the key first.
    /// Says whether he did: then the reply of the release is lost.
    pub(in crate::world) fn rob(&mut self, server: u8, key: u8, lease: u32) -> bool {
        let node = &mut self.nodes[usize::from(server)];
        let held = node.holder(self.now, key) == Holder::Lease(lease);
        if !node.robs || !held || self.phase != Phase::Faulty {
            return false;
        }
        node.robs = false;
        let most = self.drawn.max_ttl / MS;
        let mut c = self.draws(Fault::Robbed);
        let (taken, span) = (c.chance(300), c.within(1, most) as i64);
        let until = Some(self.nodes[usize::from(server)].shown(self.now).ticks + span);
        let value = Value::Other;
        let entry = taken.then_some(Entry { value, until });
        self.meddle(Fault::Robbed, server, key, entry);
        true
    }

    /// A stranger takes the expiry from a key.
    pub(super) fn persist(&mut self, server: u8) {
        let Meddled { key, .. } = self.meddled(Fault::Persisted);
        if let Some(entry) = self.held(server, key) {
            let entry = Entry {
                until: None,
                ..entry
            };
            self.meddle(Fault::Persisted, server, key, Some(entry));
        }
    }

    /// What a key holds, if the server is up. A fault that changes nothing is not told: it must not
    /// excuse anything.
    fn held(&self, server: u8, key: u8) -> Option<Entry> {
        let node = &self.nodes[usize::from(server)];
        node.entry(self.now, key).filter(|_| node.up)
    }

    fn meddled(&mut self, fault: Fault) -> Meddled {
        let drawn = self.drawn;
        let mut c = self.draws(fault);
        Meddled {
            key: c.below(drawn.keys as u64) as u8,
            stays: c.chance(300),
            wrong: c.chance(300),
            span: c.within(1, drawn.max_ttl / MS) as i64,
        }
    }

    fn meddle(&mut self, fault: Fault, server: u8, key: u8, entry: Option<Entry>) {
        let now = self.now;
        let node = &mut self.nodes[usize::from(server)];
        let from = node.holder(now, key);
        node.set(key, entry);
        let (to, until) = (node.holder(now, key), node.expiry(now, key));
        self.tell_fault(fault, None, Some(server), Some(key));
        self.tell_of_key(server, key, Fact::Key { from, to, until });
        self.touched(server, key, None);
    }

    /// Its queue is deleted.
    pub(super) fn lose_queue(&mut self, server: u8) {
        let fault = Fault::QueueDeleted;
        let Meddled { key, .. } = self.meddled(fault);
        let node = &mut self.nodes[usize::from(server)];
        if node.up && !node.model.waiters(usize::from(key)).is_empty() {
            node.model.lose_queue(usize::from(key));
            self.tell_fault(fault, None, Some(server), Some(key));
            self.tell_places(server, key);
        }
    }

    /// A stranger writes something else over its queue.
    pub(super) fn spoil_queue(&mut self, server: u8) {
        let fault = Fault::QueueSpoiled;
        let Meddled { key, .. } = self.meddled(fault);
        let node = &mut self.nodes[usize::from(server)];
        if self.drawn.queues && node.up && !node.model.is_queue_spoiled(usize::from(key)) {
            node.model.spoil_queue(usize::from(key));
            self.tell_fault(fault, None, Some(server), Some(key));
            self.tell_places(server, key);
            self.ends(fault, Undo::Tidy { server, key });
        }
    }

    /// What a stranger wrote under the name of a queue is gone.
    pub(super) fn tidy_queue(&mut self, server: u8, key: u8) {
        let node = &mut self.nodes[usize::from(server)];
        if node.model.is_queue_spoiled(usize::from(key)) {
            node.model.lose_queue(usize::from(key));
        }
    }

    /// Another library takes a lock that is free.
    pub(super) fn lock_foreign(&mut self, server: u8) {
        let fault = Fault::ForeignLock;
        let Meddled {
            key, stays, span, ..
        } = self.meddled(fault);
        let node = &self.nodes[usize::from(server)];
        if node.up && !node.read_only && !node.model.full && node.entry(self.now, key).is_none() {
            let entry = Entry {
                value: Value::Other,
                until: (!stays).then(|| node.shown(self.now).ticks + span),
            };
            self.meddle(fault, server, key, Some(entry));
            self.ends(fault, Undo::Unlock { server, key });
        }
    }

    /// It gives the lock back.
    pub(super) fn unlock_foreign(&mut self, server: u8, key: u8) {
        let node = &mut self.nodes[usize::from(server)];
        let its = |entry: Entry| entry.value == Value::Other;
        if node.up && node.entry(self.now, key).is_some_and(its) {
            let from = node.holder(self.now, key);
            node.set(key, None);
            let (to, until) = (Holder::Nobody, None);
            self.tell_of_key(server, key, Fact::Key { from, to, until });
            self.touched(server, key, None);
        }
    }

    /// Its wall clock is stepped, one way or the other.
    pub(super) fn step_node(&mut self, server: u8) {
        let (now, drawn) = (self.now, self.drawn);
        let last = self.nodes[usize::from(server)].stepped;
        let mut c = self.draws(Fault::NodeStep);
        let size = c.below(drawn.step_max) as i64;
        let back = c.chance(500) && drawn.steps_back;
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
}

/// What a stranger does: to which key, whether what it writes stays for good or for how many
/// milliseconds, and whether it is of another type.
struct Meddled {
    key: u8,
    stays: bool,
    wrong: bool,
    span: i64,
}
