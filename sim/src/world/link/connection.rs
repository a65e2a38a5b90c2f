//! The life of a connection: it is dialled, watched for silence, lost, and dialled again.

use std::time::Duration;

use tenure_core::{Doubt, Patience, Reply, Request, Rng};

use super::state::{Mending, State, broken};
use crate::choice::Subject;
use crate::node::SetOfNodes;
use crate::observe::fact::{self, Fact, MS, Nanos};
use crate::world::drawn::nanos;
use crate::world::engine::World;
use crate::world::queue::Event;

impl World<'_> {
    pub(in crate::world) fn round_trip(&self, client: u8, node: u8) -> Nanos {
        let latency = self.link(client, node).latency;
        latency[0] + latency[1]
    }

    /// The shortest TTL in use by a client.
    fn shortest_ttl(&self, client: u8) -> Duration {
        let state = &self.clients[usize::from(client)];
        let in_use = state.manager.shortest_ttl();
        in_use.unwrap_or_else(|| state.config.max_ttl())
    }

    /// How long a connection may be silent.
    fn silence_of(&self, client: u8, node: u8) -> Nanos {
        let ttl = self.shortest_ttl(client);
        nanos(self.link(client, node).patience.silence(ttl))
    }

    /// The link has loaded the scripts, or marked the node.
    pub(in crate::world) fn mended(&mut self, client: u8, node: u8, epoch: u32) {
        let now = self.now;
        let set = self.set_of_nodes(client);
        let quarantine = self.drawn.quarantine;
        let link = &mut self.clients[usize::from(client)].links[usize::from(node)];
        let reachable = link.cut == [None; 2] && !link.doomed;
        let server = &mut self.nodes[usize::from(link.server)];
        if link.epoch != epoch || link.state != State::Up {
            return;
        }
        // There was no answer, so the connection is given up.
        if !reachable || !server.up || server.boot != link.boot || server.loading {
            self.lose_link(client, node, &broken());
            return self.settle(client);
        }
        let mut told = None;
        if link.scripts.needed {
            server.scripts = true;
            link.scripts.done(now);
            told = Some(fact::Link::Loaded);
        }
        if link.marker.needed && quarantine {
            server.mark(now, set);
            link.identity = server.model.identity;
            link.marker.done(now);
            told = Some(fact::Link::Marked);
        }
        if let Some(link) = told {
            self.tell_of(Some(client), Some(node), Fact::Link(link));
        }
        self.pump(client, node);
        self.settle(client);
    }

    pub(in crate::world) fn set_of_nodes(&self, client: u8) -> SetOfNodes {
        let config = &self.clients[usize::from(client)].config;
        SetOfNodes {
            max_ttl: config.max_ttl().as_millis() as i64,
            nodes: config.nodes(),
        }
    }

    /// Plans to check whether a node that was asked stays silent.
    pub(in crate::world) fn watch(&mut self, client: u8, node: u8) {
        let silence = self.silence_of(client, node);
        let link = self.link_mut(client, node);
        let at = link.heard + silence;
        // If a lease with a shorter TTL was begun since, an earlier event is added.
        if link.watched.is_some_and(|watched| watched <= at) {
            return;
        }
        link.watched = Some(at);
        let epoch = link.epoch;
        self.schedule(
            at,
            Event::Silence {
                client,
                node,
                epoch,
            },
        );
    }

    pub(in crate::world) fn silence(&mut self, client: u8, node: u8, epoch: u32) {
        let (now, silence) = (self.now, self.silence_of(client, node));
        let link = self.link_mut(client, node);
        // An earlier one was added and has done its work, if this is not the one that is waited
        // for.
        if link.epoch != epoch || link.watched.is_none_or(|watched| watched > now) {
            return;
        }
        link.watched = None;
        if link.in_flight.is_empty() {
            return;
        }
        if now < link.heard + silence {
            return self.watch(client, node);
        }
        self.lose_link(client, node, &Doubt::Silent);
        self.settle(client);
    }

    /// A request is sent on a connection on which nothing else is in flight. If it was idle, it has
    /// half the time of the request to prove that it lives, and as long as it needs.
    pub(in crate::world) fn try_idle(&mut self, client: u8, node: u8, request: &Request) {
        let (now, local) = (self.now, self.local(client));
        let left = nanos(request.deadline.saturating_since(local));
        let link = self.link(client, node);
        let given = (left / 2).max(2 * nanos(link.patience.slowest_round_trip()));
        if now - link.answered < self.patience() / 2 || given >= left {
            return;
        }
        let (epoch, since) = (link.epoch, now);
        let event = Event::Trial {
            client,
            node,
            epoch,
            since,
        };
        self.schedule(now + given, event);
    }

    pub(in crate::world) fn trial(&mut self, client: u8, node: u8, epoch: u32, since: Nanos) {
        let link = self.link(client, node);
        let proven = link.answered >= since || link.in_flight.is_empty();
        if link.epoch == epoch && !proven {
            self.lose_link(client, node, &broken());
            self.settle(client);
        }
    }

    /// The connection ends at the client only. What travels on it may still arrive at the node.
    pub(in crate::world) fn hang_up(&mut self, client: u8, node: u8) {
        self.hung_up(client, node);
        let link = self.link_mut(client, node);
        if link.state == State::Up {
            link.previous = Some((link.epoch, link.identity.run));
        }
        link.epoch += 1;
        link.state = State::Connecting;
        (link.arrives, link.hears) = ([0; 2], false);
        (link.doomed, link.forgotten) = (false, false);
        (link.watched, link.probed) = (None, None);
        link.scripts = Mending::default();
        link.by_text_until = 0;
        link.marker = Mending::default();
        for index in std::mem::take(&mut link.in_flight) {
            let message = &mut self.messages[index as usize];
            message.answered = true;
            if message.parked {
                self.free.push(index);
            }
        }
    }

    /// The connection is given up. Requests in flight have an unknown outcome, and the link dials
    /// again.
    pub(in crate::world) fn lose_link(&mut self, client: u8, node: u8, doubt: &Doubt) {
        let in_flight = self.link(client, node).in_flight.clone();
        let cut = fact::Link::Cut(in_flight.len().min(255) as u8);
        self.tell_of(Some(client), Some(node), Fact::Link(cut));
        for index in in_flight {
            self.outcome(index, Reply::Unknown(doubt.clone()));
            if self.messages[index as usize].parked {
                self.free.push(index);
            }
        }
        let now = self.now;
        self.hang_up(client, node);
        let link = self.link_mut(client, node);
        let lived = now - link.up_since;
        link.failures = if lived >= nanos(Patience::OF_USE) {
            0
        } else {
            link.failures + 1
        };
        if link.failures <= 1 {
            self.node_connecting(client, node);
            return self.dial(client, node);
        }
        self.link_is_down(client, node);
    }

    fn link_is_down(&mut self, client: u8, node: u8) {
        self.link_mut(client, node).state = State::Down;
        self.tell_of(Some(client), Some(node), Fact::Link(fact::Link::Down));
        self.node_down(client, node);
        self.try_again_later(client, node);
    }

    fn try_again_later(&mut self, client: u8, node: u8) {
        let (failures, epoch) = {
            let link = self.link(client, node);
            (link.failures, link.epoch)
        };
        let pauses = Patience::redial(self.shortest_ttl(client));
        let mut rng = Rng::new(self.choices.about(Subject::Links).below(1 << 16));
        let pause = nanos(pauses.pause(failures, &mut rng));
        let event = Event::Redial {
            client,
            node,
            epoch,
        };
        self.schedule(self.now + pause, event);
    }

    pub(in crate::world) fn redial(&mut self, client: u8, node: u8, epoch: u32) {
        if self.link(client, node).epoch == epoch {
            self.dial(client, node);
        }
    }

    /// The link asks again who the node is.
    pub(in crate::world) fn reread(&mut self, client: u8, node: u8, epoch: u32) {
        let link = &mut self.clients[usize::from(client)].links[usize::from(node)];
        if link.epoch != epoch || link.state != State::Up {
            return;
        }
        if link.forgotten {
            self.lose_link(client, node, &broken());
            self.settle(client);
        } else if link.cut == [None; 2] && !link.doomed {
            link.identity = self.nodes[usize::from(link.server)].model.identity;
        } else {
            let event = Event::Reread {
                client,
                node,
                epoch,
            };
            self.schedule(self.now + self.drawn.max_ttl, event);
        }
    }

    /// Begins to connect.
    pub(in crate::world) fn dial(&mut self, client: u8, node: u8) {
        let link = self.link(client, node);
        let (epoch, cut) = (link.epoch, link.cut != [None; 2]);
        let given = nanos(link.patience.dial(self.shortest_ttl(client)));
        let after = match (cut, self.nodes[usize::from(link.server)].up) {
            (true, _) => given,
            (false, false) => self.round_trip(client, node),
            (false, true) => 3 * self.round_trip(client, node),
        };
        let late = after > given;
        let event = Event::Dialled {
            client,
            node,
            epoch,
            late,
        };
        self.schedule(self.now + after.min(given) + MS / 10, event);
    }

    pub(in crate::world) fn dialled(&mut self, client: u8, node: u8, epoch: u32, late: bool) {
        let now = self.now;
        let set = self.set_of_nodes(client);
        let drawn = self.drawn;
        let round_trip = self.round_trip(client, node);
        let link = &mut self.clients[usize::from(client)].links[usize::from(node)];
        if link.epoch != epoch {
            return;
        }
        let server = &mut self.nodes[usize::from(link.server)];
        let reached = !late && link.cut == [None; 2];
        let serves = reached && server.up && !server.loading && !server.read_only;
        if !serves || server.refusing {
            link.failures += 1;
            link.patience.failed(!reached);
            if serves {
                // Each request is refused in the words of the server, until a later dial succeeds.
                link.state = State::Rejected;
                self.node_connecting(client, node);
                self.try_again_later(client, node);
            } else {
                self.link_is_down(client, node);
            }
            self.pump(client, node);
            return self.settle(client);
        }
        let mut killed = None;
        if let Some((previous, run)) = link.previous
            && drawn.may_kill
            && run == server.model.identity.run
        {
            server.killed[usize::from(client)] = previous + 1;
            killed = Some((link.server, previous));
        }
        server.scripts = true;
        server.keep_stream(now);
        if drawn.quarantine {
            server.mark(now, set);
        }
        link.boot = server.boot;
        link.identity = server.model.identity;
        link.state = State::Up;
        (link.up_since, link.answered) = (now, now);
        link.patience.connected(Duration::from_nanos(round_trip));
        let time = server.time(now);
        if let Some((server, previous)) = killed {
            self.closed(client, server, previous);
            let link = Fact::Link(fact::Link::Killed);
            self.tell_of(Some(client), Some(node), link);
        }
        self.tell_of(Some(client), Some(node), Fact::Link(fact::Link::Up));
        self.listen(client, node);
        self.node_up(client, node, time);
        self.pump(client, node);
        self.settle(client);
    }
}
