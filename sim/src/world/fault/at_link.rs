//! What faults do to links: one is cut or reset, or all of a client or a node are cut.

use super::ongoing::Undo;
use crate::observe::fact::Fault;
use crate::world::engine::World;
use crate::world::link::Cut;
use crate::world::queue::Event;

impl World<'_> {
    /// Cuts one link of a client, there, back, or both.
    pub(super) fn cut_one(&mut self, fault: Fault, client: u8, ways: [bool; 2]) {
        let nodes = self.drawn.nodes as u64;
        let node = self.draws(fault).below(nodes) as u8;
        self.cut(fault, client, node, ways);
        self.tell_fault(fault, Some(client), Some(node), None);
        self.ends(fault, Undo::Join { client, node });
    }

    /// All links of a client, or of a server, are cut.
    pub(super) fn isolate(&mut self, client: u8, server: u8) {
        let fault = Fault::Isolate;
        let a_node = self.draws(fault).chance(500);
        let links = if a_node {
            self.links_of_server(server)
        } else {
            self.links_of_client(client)
        };
        for (client, node) in links {
            self.cut(fault, client, node, [true, true]);
            // Its end is told link by link, as that of a cut.
            self.ends_as(fault, Fault::Cut, Undo::Join { client, node });
        }
        let (client, node) = if a_node {
            (None, Some(server))
        } else {
            (Some(client), None)
        };
        self.tell_fault(fault, client, node, None);
    }

    fn cut(&mut self, fault: Fault, client: u8, node: u8, ways: [bool; 2]) {
        let cut = if self.draws(fault).chance(500) {
            Cut::Drop
        } else {
            Cut::Stall
        };
        let link = self.link_mut(client, node);
        for way in (0..2).filter(|way| ways[*way]) {
            link.cut[way] = Some(cut);
        }
    }

    /// A connection is reset, if there is one.
    pub(super) fn reset(&mut self, client: u8) {
        let nodes = self.drawn.nodes as u64;
        let node = self.draws(Fault::Reset).below(nodes) as u8;
        let epoch = self.link(client, node).epoch;
        if self.link(client, node).is_up() {
            self.tell_fault(Fault::Reset, Some(client), Some(node), None);
            let event = Event::Reset {
                client,
                node,
                epoch,
            };
            self.schedule(self.now, event);
        }
    }

    /// An idle connection is forgotten, if there is one.
    pub(super) fn forget(&mut self, client: u8) {
        let fault = Fault::Forgotten;
        let nodes = self.drawn.nodes as u64;
        let node = self.draws(fault).below(nodes) as u8;
        let swallows = self.draws(fault).chance(500);
        let link = self.link_mut(client, node);
        if !link.is_up() || !link.in_flight.is_empty() || link.forgotten || link.doomed {
            return;
        }
        if swallows {
            link.doomed = true;
        } else {
            link.forgotten = true;
        }
        self.tell_fault(fault, Some(client), Some(node), None);
    }

    pub(super) fn links_of_client(&self, client: u8) -> Vec<(u8, u8)> {
        let links = self.clients[usize::from(client)].links.len() as u8;
        (0..links).map(|node| (client, node)).collect()
    }

    pub(super) fn links_of_server(&self, server: u8) -> Vec<(u8, u8)> {
        let clients = 0..self.clients.len() as u8;
        let links = clients.flat_map(|client| self.links_of_client(client));
        links
            .filter(|(client, node)| self.link(*client, *node).server == server)
            .collect()
    }
}
