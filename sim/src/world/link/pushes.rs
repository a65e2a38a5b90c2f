//! Pushes: who listens, what a node pushes and to whom, and how that comes to the core.
//!
//! A push travels on the connection that carries replies, and is handed to the core before the
//! replies that were sent after it, unless a fault makes it late. Those of a connection that was
//! replaced are dropped.

use tenure_core::{Fence, NodeId, PlaceId, Serial};

use super::state::{Carried, Cut};
use crate::choice::Subject;
use crate::observe::fact::{Fact, Fault, Nanos};
use crate::world::engine::World;
use crate::world::queue::Event;

/// A push on its way.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Push {
    pub(in crate::world) client: u8,
    node: u8,
    epoch: u32,
    says: Says,
    /// Whether it keeps its place between the replies.
    ordered: bool,
    /// By how much later it comes.
    late: Nanos,
}

/// What a push says.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) enum Says {
    /// The lock was handed on to a place.
    HandedOn {
        lease: u32,
        place: PlaceId,
        serial: Serial,
        fence: Fence,
    },
    /// The lock is free for which a lease has this place.
    Hint { lease: u32, place: PlaceId },
    /// Somebody may have touched this key.
    Touched(u8),
    /// All keys may be lost.
    AllLost,
}

/// A key that a node watches for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world) struct Tracked {
    client: u8,
    epoch: u32,
    key: u8,
}

impl World<'_> {
    /// A new connection listens to pushes, or cannot.
    pub(super) fn listen(&mut self, client: u8, node: u8) {
        let deaf = self.drawn.deaf;
        let hears = self.drawn.queues && !self.choices.about(Subject::Links).chance(deaf);
        let link = self.link_mut(client, node);
        link.hears = hears;
        let (server, epoch) = (link.server, link.epoch);
        if hears {
            let node = &mut self.nodes[usize::from(server)];
            node.listeners.push((client, epoch));
            self.channels_changed(server);
        }
        let state = &mut self.clients[usize::from(client)];
        let node = NodeId::new(usize::from(node));
        state.manager.handle_node_pushes(node, hears);
    }

    /// A connection ended at the client. The node hears of it, unless nothing passes.
    pub(super) fn hung_up(&mut self, client: u8, node: u8) {
        let link = self.link(client, node);
        if link.hears && link.cut[0].is_none() && !link.doomed {
            let (server, epoch) = (link.server, link.epoch);
            let at = self.now + link.latency[0];
            let event = Event::Closed {
                client,
                server,
                epoch,
            };
            self.schedule(at, event);
        }
    }

    /// A node hears that connections of a client up to this one are closed.
    pub(in crate::world) fn closed(&mut self, client: u8, server: u8, epoch: u32) {
        let node = &mut self.nodes[usize::from(server)];
        node.listeners
            .retain(|(its, number)| *its != client || *number > epoch);
        node.tracked
            .retain(|it| it.client != client || it.epoch > epoch);
        self.channels_changed(server);
    }

    /// All connections of a node ended.
    pub(in crate::world) fn all_closed(&mut self, server: u8) {
        self.nodes[usize::from(server)].listeners.clear();
        self.nodes[usize::from(server)].tracked.clear();
        self.channels_changed(server);
    }

    /// Tells which channels somebody listens to, if that changed.
    fn channels_changed(&mut self, server: u8) {
        for client in 0..self.clients.len() as u8 {
            let node = &mut self.nodes[usize::from(server)];
            let heard = node.listeners.iter().any(|(its, _)| *its == client);
            let channels = &mut node.model.channels;
            let channel = u32::from(client);
            if channels.contains(&channel) == heard {
                continue;
            }
            match heard {
                true => channels.push(channel),
                false => channels.retain(|other| *other != channel),
            }
            self.tell_of(Some(client), Some(server), Fact::Channel { heard });
        }
    }

    /// Sends what a node has pushed to places.
    pub(super) fn send_pushes(&mut self, server: u8) {
        let pushed = std::mem::take(&mut self.nodes[usize::from(server)].model.pushes);
        for push in pushed {
            let (lease, place) = (push.lease, push.place.id);
            let says = match push.granted {
                Some((serial, fence)) => Says::HandedOn {
                    lease,
                    place,
                    serial,
                    fence,
                },
                None => Says::Hint { lease, place },
            };
            let listeners = self.nodes[usize::from(server)].listeners.clone();
            for (client, epoch) in listeners {
                if u32::from(client) == push.channel {
                    self.push(client, server, epoch, says);
                }
            }
        }
    }

    /// A node watches a key for a connection: it is to hear of it once, if another touches it.
    pub(super) fn track(&mut self, client: u8, server: u8, epoch: u32, key: u8) {
        let node = &mut self.nodes[usize::from(server)];
        let it = Tracked { client, epoch, key };
        if node.listeners.contains(&(client, epoch)) && !node.tracked.contains(&it) {
            node.tracked.push(it);
        }
    }

    /// Somebody touched a key: a connection, or a stranger. Who watches it hears of it, but for
    /// that connection itself.
    pub(in crate::world) fn touched(&mut self, server: u8, key: u8, by: Option<(u8, u32)>) {
        let node = &mut self.nodes[usize::from(server)];
        if node.tracked.is_empty() {
            return;
        }
        let (told, rest) = node.tracked.iter().partition(|it| it.key == key);
        let told: Vec<Tracked> = told;
        node.tracked = rest;
        for it in told {
            if by != Some((it.client, it.epoch)) {
                self.push(it.client, server, it.epoch, Says::Touched(key));
            }
        }
    }

    /// All that the node watches may have been touched, as it says. Returns whether it watched any.
    pub(in crate::world) fn all_touched(&mut self, server: u8) -> bool {
        let node = &mut self.nodes[usize::from(server)];
        let tracked = std::mem::take(&mut node.tracked);
        for it in &tracked {
            self.push(it.client, server, it.epoch, Says::Touched(it.key));
        }
        !tracked.is_empty()
    }

    /// The node says that all keys may be lost. Returns whether anybody listens.
    pub(in crate::world) fn alarm(&mut self, server: u8) -> bool {
        let node = &mut self.nodes[usize::from(server)];
        node.tracked.clear();
        let listeners = node.listeners.clone();
        for (client, epoch) in &listeners {
            self.push(*client, server, *epoch, Says::AllLost);
        }
        !listeners.is_empty()
    }

    fn push(&mut self, client: u8, server: u8, epoch: u32, says: Says) {
        let mut links = self.clients[usize::from(client)].links.iter();
        let Some(node) = links.position(|link| link.server == server) else {
            return;
        };
        // So late that its place may have been entered anew.
        let most = 2 * self.drawn.max_ttl;
        let [lost, stray, doubled] = [Fault::LostPush, Fault::StrayPush, Fault::DoubledPush]
            .map(|fault| self.push_fails(fault));
        let mut push = Push {
            client,
            node: node as u8,
            epoch,
            says,
            ordered: !stray,
            late: 0,
        };
        if stray {
            // It comes late, or overtakes.
            let c = &mut self.choices.about(Subject::Fault(Fault::StrayPush));
            push.late = if c.chance(500) { 0 } else { c.within(1, most) };
        }
        if !lost {
            self.dispatch(push);
        }
        if doubled {
            let c = &mut self.choices.about(Subject::Fault(Fault::DoubledPush));
            (push.ordered, push.late) = (false, c.below(most));
            self.dispatch(push);
        }
    }

    /// Whether this fault hits a push. They may be hit at any time: nobody relies on them.
    fn push_fails(&mut self, fault: Fault) -> bool {
        let share = match fault {
            Fault::LostPush => self.drawn.pushes[0],
            Fault::StrayPush => self.drawn.pushes[1],
            _ => self.drawn.pushes[2],
        };
        let fails = self.choices.about(Subject::Fault(fault)).chance(share);
        if fails {
            self.count_fault(fault);
        }
        fails
    }

    fn dispatch(&mut self, push: Push) {
        self.pushes.push(push);
        self.carry((self.pushes.len() - 1) as u32);
    }

    /// Puts a push on its way.
    pub(super) fn carry(&mut self, index: u32) {
        let Push {
            client,
            node,
            epoch,
            ordered,
            late,
            ..
        } = self.pushes[index as usize];
        let link = self.link_mut(client, node);
        // Whoever reads the old connection is gone, or nothing comes through.
        if link.epoch != epoch || link.doomed || link.forgotten {
            return;
        }
        match link.cut[1] {
            Some(Cut::Stall) => link.stalled[1].push(Carried::Push(index)),
            Some(Cut::Drop) => link.doomed = true,
            None => {
                let usual = link.latency[1];
                let extra = self.choices.about(Subject::Pushes).below(usual);
                let now = self.now;
                let link = self.link_mut(client, node);
                let mut at = now + usual + extra;
                if ordered {
                    at = at.max(link.arrives[1]);
                    link.arrives[1] = at;
                }
                self.schedule(at + late, Event::Pushed(index));
            }
        }
    }

    /// A push comes to its client.
    pub(in crate::world) fn pushed(&mut self, index: u32) {
        let Push {
            client,
            node,
            epoch,
            says,
            ..
        } = self.pushes[index as usize];
        let local = self.local(client);
        let now = self.now;
        let link = self.link_mut(client, node);
        if link.epoch != epoch {
            return;
        }
        link.heard = now;
        let (server, its) = (link.server, NodeId::new(usize::from(node)));
        self.report.events += 1;
        match says {
            Says::HandedOn {
                lease,
                place,
                serial,
                fence,
            } => {
                let told = fence.get();
                self.tell_of_lease(lease, Some(server), Fact::Pushed { fence: told });
                let manager = &mut self.clients[usize::from(client)].manager;
                manager.handle_push(local, its, place, serial, fence);
            }
            Says::Hint { lease, place } => {
                self.tell_of_lease(lease, Some(server), Fact::Hinted);
                let manager = &mut self.clients[usize::from(client)].manager;
                manager.handle_hint(local, its, place);
            }
            Says::Touched(key) => {
                let held = self.clients[usize::from(client)].held.clone();
                for held in held {
                    let info = self.leases[held.lease as usize];
                    if info.key == key && info.watched {
                        self.tell_of_lease(held.lease, Some(server), Fact::Doubted);
                        let manager = &mut self.clients[usize::from(client)].manager;
                        manager.handle_doubt(local, its, held.id);
                    }
                }
            }
            Says::AllLost => {
                self.tell_of(Some(client), Some(server), Fact::DoubtOfAll);
                let manager = &mut self.clients[usize::from(client)].manager;
                manager.handle_doubt_of_all(local, its);
            }
        }
        self.settle(client);
    }
}
