//! How faults end: each after a while, and all of them for good.

use super::ongoing::{Ongoing, Undo};
use crate::node::{Entry, Value};
use crate::observe::fact::{Fact, Fault, MS};
use crate::world::engine::{Phase, World};
use crate::world::link::Cut;
use crate::world::queue::Event;

impl World<'_> {
    /// It will end, some time later.
    pub(super) fn ends(&mut self, fault: Fault, undo: Undo) {
        self.ends_as(fault, fault, undo);
    }

    /// It will end, and its end is told as that of another fault.
    pub(super) fn ends_as(&mut self, fault: Fault, told: Fault, undo: Undo) {
        let index = self.note(told, undo);
        let most = self.drawn.fault_length;
        let span = self.draws(fault).within(MS, most);
        self.schedule(self.now + span, Event::End(index));
    }

    pub(in crate::world) fn end_fault(&mut self, index: u32) {
        let Ongoing { fault, undo, over } = self.ongoing[index as usize];
        self.ongoing[index as usize].over = true;
        if over || self.lasts(undo) {
            return;
        }
        match undo {
            Undo::Join { client, node } => {
                for way in 0..2 {
                    self.mend_cut(client, node, way);
                }
                self.tell_of(Some(client), Some(node), Fact::Mended(fault));
            }
            Undo::Cure { server, of } => {
                self.set_impaired(server, of, false);
                self.tell_of(None, Some(server), Fact::Mended(fault));
            }
            Undo::Tidy { server, key } => {
                self.tidy_queue(server, key);
                self.tell_of(None, Some(server), Fact::Mended(fault));
            }
            Undo::Unlock { server, key } => {
                self.unlock_foreign(server, key);
                self.tell_of(None, Some(server), Fact::Mended(fault));
            }
            Undo::Boot { server } => {
                self.nodes[usize::from(server)].up = true;
                self.tell_of(None, Some(server), Fact::Mended(fault));
            }
            Undo::Wake { client, how } => self.wake(fault, client, how),
            Undo::Forget { server, .. } => self.nodes[usize::from(server)].stale = None,
        }
    }

    /// Whether another fault of the same kind still holds the link or the node.
    fn lasts(&self, undo: Undo) -> bool {
        let again = match undo {
            Undo::Join { .. } | Undo::Cure { .. } => true,
            Undo::Tidy { .. }
            | Undo::Unlock { .. }
            | Undo::Boot { .. }
            | Undo::Wake { .. }
            | Undo::Forget { .. } => false,
        };
        let mut ongoing = self.ongoing.iter();
        again && ongoing.any(|other| !other.over && other.undo == undo)
    }

    /// Each client is cut off from another node, until all is healed.
    pub(in crate::world) fn set_apart(&mut self) {
        for client in 0..self.clients.len() as u8 {
            let node = client % self.drawn.nodes as u8;
            self.link_mut(client, node).cut = [Some(Cut::Drop); 2];
            self.note(Fault::Cut, Undo::Join { client, node });
            // It was not drawn as a fault, so it is not counted.
            self.tell_of(Some(client), Some(node), Fact::Fault(Fault::Cut));
        }
    }

    /// Ends all faults for good.
    pub(in crate::world) fn heal(&mut self) {
        self.phase = Phase::Healthy;
        for index in 0..self.ongoing.len() as u32 {
            self.end_fault(index);
        }
        for server in 0..self.nodes.len() as u8 {
            self.strangers_leave(server);
        }
        self.tell_of(None, None, Fact::Healed);
        for client in 0..self.clients.len() as u8 {
            self.hurry(client);
        }
    }

    /// Removes what strangers wrote, and gives an expiry to each lock key that they took it from.
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
}
