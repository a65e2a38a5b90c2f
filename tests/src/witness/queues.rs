//! The queues at a node: who has a place, until when it is kept, who listens to pushes, and which
//! fences the node draws for those whom it hands a lock on to.

use std::collections::BTreeMap;

use tenure_core::Fence;
use tenure_sim::memory_net::Node;
use tenure_sim::observe::fact::{Fact, Nanos, Record};

use super::names::Place;
use super::nanos;
use super::nodes::Sight;
use super::wire::{Asked, handed_on};

/// Where the true time of one instant differs by less, it was only rounded.
const ROUNDED: Nanos = 10_000;

/// The queues of one node.
#[derive(Debug)]
pub(super) struct Lines {
    /// By key.
    lines: Vec<Line>,
    /// The clients to whom the node can push.
    heard: BTreeMap<u8, bool>,
    /// The key of the fence stream.
    stream: Option<Vec<u8>>,
    /// The last id that it drew, and whether the last request drew it.
    last: Option<(u64, u64)>,
    drew: bool,
}

#[derive(Clone, Debug, Default)]
struct Line {
    /// The name of the queue, once a request told it.
    queue: Option<Vec<u8>>,
    told: Vec<Told>,
}

/// What was told of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    lease: u32,
    until: Nanos,
    channel: bool,
}

impl Told {
    /// What is kept of a place never changes, but for its end. One with another channel is new.
    fn is_same(&self, other: &Self) -> bool {
        (self.lease, self.channel) == (other.lease, other.channel)
    }

    fn is_kept_as(&self, other: &Self) -> bool {
        self.is_same(other) && self.until.abs_diff(other.until) < ROUNDED
    }

    fn fact(&self, is_there: bool) -> Fact {
        Fact::Place {
            until: is_there.then_some(self.until),
            channel: self.channel,
        }
    }
}

impl Lines {
    pub(super) fn new(keys: usize) -> Self {
        Self {
            lines: vec![Line::default(); keys],
            heard: BTreeMap::new(),
            stream: None,
            last: None,
            drew: false,
        }
    }

    /// A request names the queue of a key.
    pub(super) fn know(&mut self, at: usize, asked: &Asked<'_>) {
        if let Some(queue) = asked.queue {
            self.lines[at].queue = Some(queue.to_vec());
        }
    }

    /// Tells to which clients the node can push, or could while it executed the request of which
    /// this is told, if that changed.
    pub(super) fn look_for_listeners(
        &mut self,
        sight: &Sight<'_>,
        node: &Node,
        executed: bool,
        told: &mut Vec<Record>,
    ) {
        for (client, channel) in sight.channels {
            let closed = executed && node.server().hung_up(channel);
            let heard = closed || node.server().listeners(channel) > 0;
            if self.heard.insert(*client, heard).unwrap_or(false) != heard {
                told.push(Record {
                    client: Some(*client),
                    ..sight.of_node(Fact::Channel { heard })
                });
            }
        }
    }

    /// Tells what became of the places in the queue of a key since it was told last.
    pub(super) fn look(
        &mut self,
        sight: &Sight<'_>,
        node: &Node,
        at: usize,
        told: &mut Vec<Record>,
    ) {
        let present = self.present(sight, node, at);
        let line = &mut self.lines[at];
        let unchanged = present.len() == line.told.len()
            && present
                .iter()
                .zip(&line.told)
                .all(|(it, old)| it.is_kept_as(old));
        if unchanged {
            return;
        }
        let before = std::mem::replace(&mut line.told, present.clone());
        let stays = |it: &&Told| present.iter().any(|other| it.is_same(other));
        let stay: Vec<&Told> = before.iter().filter(stays).collect();
        // Nor does the order of places, unless the node got old data back.
        let kept = present.iter().zip(&stay).all(|(it, old)| it.is_same(old));
        for it in before.iter().filter(|it| !kept || !stays(it)) {
            told.push(sight.of_lease(at, it.lease, it.fact(false)));
        }
        let is_known = |it: &&Told| before.iter().any(|old| it.is_kept_as(old));
        for it in present.iter().filter(|it| !kept || !is_known(it)) {
            told.push(sight.of_lease(at, it.lease, it.fact(true)));
        }
    }

    /// A lease gives its place back.
    pub(super) fn leaves(
        &mut self,
        sight: &Sight<'_>,
        at: usize,
        lease: u32,
        told: &mut Vec<Record>,
    ) {
        let places = &mut self.lines[at].told;
        if let Some(found) = places.iter().position(|place| place.lease == lease) {
            let place = places.remove(found);
            told.push(sight.of_lease(at, lease, place.fact(false)));
        }
    }

    /// Whether the place that a request names is in the queue.
    pub(super) fn keeps(&self, node: &Node, at: usize, asked: &Asked<'_>) -> bool {
        let (Some(queue), Some(place)) = (&self.lines[at].queue, asked.place) else {
            return false;
        };
        let members = node.server().peek_sorted(queue);
        members.iter().any(|(member, _)| member == place)
    }

    /// The places of a queue, in their order.
    fn present(&self, sight: &Sight<'_>, node: &Node, at: usize) -> Vec<Told> {
        let Some(queue) = &self.lines[at].queue else {
            return Vec::new();
        };
        let members = node.server().peek_sorted(queue);
        let ends: BTreeMap<&[u8], f64> = members
            .iter()
            .filter_map(|(member, score)| Some((member.strip_prefix(b"B")?, *score)))
            .collect();
        let places = members.iter().filter_map(|(member, _)| {
            let place = Place::read(member)?;
            let lease = sight.names.lease_of(place.token)?;
            let score = ends.get(place.name)?;
            // Far below what a number holds exactly.
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number")]
            let end = (*score / 64.0).floor() as i64;
            Some(Told {
                lease,
                until: nanos(node.clock().true_time_of_ms(end)),
                channel: !place.channel.is_empty(),
            })
        });
        places.collect()
    }
}

/// Fences.
impl Lines {
    /// A request was executed that is for no lease: what it drew is known.
    pub(super) fn look_at_stream(&mut self, node: &Node) {
        let stream = self.stream.as_ref();
        let last = stream.and_then(|stream| node.server().peek_stream(stream));
        self.drew = last.is_some() && last != self.last;
        self.last = last;
    }

    /// As [`look_at_stream`](Self::look_at_stream), for a request that may have drawn.
    pub(super) fn look_at_draws(&mut self, node: &Node, asked: &[Asked<'_>]) {
        if let Some(stream) = asked.iter().find_map(|asked| asked.stream) {
            self.stream = Some(stream.to_vec());
        }
        self.look_at_stream(node);
    }

    /// Whether a stream draws the fences, as it does over one node.
    pub(super) const fn has_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// The last fence that the last request drew.
    pub(super) fn drawn(&self) -> Option<u64> {
        let (ms, seq) = self.last.filter(|_| self.drew)?;
        Some(Fence::of_stream(ms, seq)?.get())
    }

    /// The fence that the last request drew for a lease whom it handed a lock on to, if the node
    /// pushed it.
    pub(super) fn published(&self, sight: &Sight<'_>, node: &Node, lease: u32) -> Option<u64> {
        let published = node.server().published();
        published.iter().rev().find_map(|text| {
            let (place, fence) = handed_on(text)?;
            let (its, _) = sight.names.lease_at(place)?;
            (its == lease).then_some(fence)
        })
    }
}
