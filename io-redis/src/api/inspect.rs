//! Who holds a key, as far as others may know.

use std::time::Duration;

use tenure_core::{Key, Verdict, verdict};

use crate::error::{InspectError, SilentNode};
use crate::link::handle::NodeAnswer;
use crate::protocol::breaking::Seen;
use crate::protocol::inspection::{KeyHolder, KeyState, QueueState};
use crate::protocol::key;

/// What the nodes say about a key, one by one, and taken together. The secret part of the holder's
/// token is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The key, as it stands on the nodes.
    pub key: Key,
    /// What each node that answered said.
    pub nodes: Vec<NodeInspection>,
    /// The nodes that did not answer, each with what is known of it.
    pub silent: Vec<SilentNode>,
}

/// What one node says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInspection {
    /// The node.
    pub node: String,
    /// Who holds the key there.
    pub holder: Holder,
    /// The holder told from all others, for [`Locks::break_lock`](crate::Locks::break_lock). None
    /// if the key is free, is of a wrong type, was read by plain commands, or holds a string of
    /// more than 1,024 bytes, which is no lock.
    pub seen: Option<Seen>,
    /// What is left to the holder; none if the key is free, has no expiry, or holds something else
    /// than a lock.
    pub left: Option<Duration>,
    /// The last fence that was drawn for the key; none if the node keeps none. Over one node fences
    /// are drawn for all keys together, so none is kept for a key.
    pub fence: Option<u64>,
    /// Who waits for the key in its queue. None where the key was read by plain commands or is of a
    /// wrong type.
    pub queue: Option<Queue>,
    /// Whether a primary said it, and said it all at one moment. False if the user has no right to
    /// write: then the key was read by plain commands, one after the other, which a replica answers
    /// too, perhaps with what was so some time ago.
    pub from_primary: bool,
}

/// Who waits for a key at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queue {
    /// How many wait. Those whose process died count until the node has passed them over.
    pub waiting: u64,
    /// The first of them; at most 100. Over one node, in the order in which they are granted the
    /// lock; over several nodes this order says nothing.
    pub first: Vec<QueuedPlace>,
}

/// A place in the queue of a key. Neither its name nor the token in it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedPlace {
    /// The label of who waits there, if it has one.
    pub label: Option<String>,
    /// How long the node keeps the place from now, unless the waiter asks again, which it does
    /// twice or more within a TTL. If it is zero, the waiter is gone, and will be passed over.
    pub left: Duration,
}

/// Who holds a key at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Nobody.
    Free,
    /// A lease of Tenure's.
    Lease {
        /// The label of its owner, if it has one.
        label: Option<String>,
    },
    /// A string that Tenure did not write: most likely the lock of another library.
    Other,
    /// A string without an expiry, which nobody can take until it is deleted:
    /// [`LockError::Foreign`](crate::LockError::Foreign).
    Foreign,
    /// A name of the lock holds what no lock keeps there:
    /// [`LockError::WrongType`](crate::LockError::WrongType).
    WrongType {
        /// Which key does: the one that was asked about, its fence counter or its queue.
        name: Key,
        /// What it holds: `a hash`, for example.
        holds: String,
    },
}

impl Queue {
    fn new(seen: QueueState) -> Self {
        let place = |(label, left)| QueuedPlace { label, left };
        Self {
            waiting: seen.waiting,
            first: seen.first.into_iter().map(place).collect(),
        }
    }
}

impl NodeInspection {
    pub(crate) fn new(key: &Key, node: String, seen: KeyState) -> Self {
        Self {
            node,
            holder: match seen.holder {
                KeyHolder::Free => Holder::Free,
                KeyHolder::Lease { label, .. } => Holder::Lease { label },
                KeyHolder::Other => Holder::Other,
                KeyHolder::Foreign => Holder::Foreign,
                KeyHolder::WrongType { name, holds } => Holder::WrongType {
                    name: key::named(key, name, None),
                    holds: holds.to_owned(),
                },
            },
            seen: seen.seen,
            left: seen.left,
            fence: seen.fence.map(tenure_core::Fence::get),
            queue: seen.queue.map(Queue::new),
            from_primary: seen.from_primary,
        }
    }
}

impl Inspection {
    /// Who holds the key: what most of the answering nodes say. Where several answers have as many
    /// nodes, it is the answer of that node of theirs which was named last; then nobody may hold
    /// the lock, and [`nodes`](Self::nodes) says more.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        let votes = |holder: &Holder| self.nodes.iter().filter(|n| n.holder == *holder).count();
        self.nodes
            .iter()
            .map(|node| &node.holder)
            .max_by_key(|holder| votes(holder))
            .unwrap_or(&Holder::Free)
    }

    /// The longest time that a node still gives to the holder; none if the key is free there or has
    /// no expiry.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.nodes.iter().filter_map(|node| node.left).max()
    }

    /// The largest fence that a node keeps for the key; always none over one node, where none is
    /// kept for a key.
    #[must_use]
    pub fn fence(&self) -> Option<u64> {
        self.nodes.iter().filter_map(|node| node.fence).max()
    }

    /// How many wait for the key: over several nodes, at the one where most do.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let queues = self.nodes.iter().filter_map(|node| node.queue.as_ref());
        queues.map(|queue| queue.waiting).max().unwrap_or(0)
    }

    /// The holder that a majority of the answering nodes show, told from all others, for
    /// [`Locks::break_lock`](crate::Locks::break_lock). None if there is no such majority: then
    /// nobody may hold the lock, and [`NodeInspection::seen`] tells who is at each node.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let all = || self.nodes.iter().filter_map(|node| node.seen);
        let shown = |seen| all().filter(|other| *other == seen).count();
        all().find(|seen| verdict(self.nodes.len(), shown(*seen), 0) == Verdict::Won)
    }

    pub(crate) fn collect(
        key: Key,
        answers: Vec<(String, NodeAnswer)>,
    ) -> Result<Self, InspectError> {
        let mut inspection = Self {
            key,
            nodes: Vec::new(),
            silent: Vec::new(),
        };
        let mut refusal = None;
        for (node, answer) in answers {
            match answer {
                Ok(seen) => {
                    let said = NodeInspection::new(&inspection.key, node, seen);
                    inspection.nodes.push(said);
                }
                Err(error) => {
                    let silent = SilentNode::new(node, error.to_string());
                    if error.refused && refusal.is_none() {
                        refusal = Some(silent.clone());
                    }
                    inspection.silent.push(silent);
                }
            }
        }
        if !inspection.nodes.is_empty() {
            return Ok(inspection);
        }
        let key = inspection.key;
        Err(match refusal {
            Some(SilentNode { node, why: words }) => InspectError::Rejected { key, node, words },
            None => InspectError::Outage {
                key,
                nodes: inspection.silent,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::inspection::KeyHolder;

    /// What is told if the nodes show these digests; none where the key is free.
    fn seen(shown: &[Option<Seen>]) -> Option<Seen> {
        let answers = shown.iter().map(|seen| {
            let state = KeyState {
                holder: seen.map_or(KeyHolder::Free, |_| KeyHolder::Other),
                seen: *seen,
                left: None,
                fence: None,
                queue: None,
                from_primary: true,
            };
            ("node".to_owned(), Ok(state))
        });
        let inspection = Inspection::collect(Key::new(*b"k"), answers.collect());
        inspection.expect("all answered").seen()
    }

    #[test]
    fn only_a_holder_at_a_majority_of_who_answers_is_told_as_seen() {
        let [one, two] = [b"1", b"2"].map(|digit| Seen::read(&digit.repeat(40)));
        for (shown, told) in [
            (&[one][..], one),
            (&[None], None),
            (&[one, one], one),
            (&[one, two], None),
            (&[one, None], None),
            (&[one, None, None], None),
            (&[one, two, None], None),
            (&[None, two, two], two),
            (&[one, two, one], one),
            (&[one, one, two, two], None),
        ] {
            assert_eq!(seen(shown), told, "{shown:?}");
        }
    }
}
