//! Looking for locks at the nodes: page by page, one node after the other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tenure_core::{Key, NodeId};

use crate::api::inspect::{Holder, NodeInspection};
use crate::api::locks::Locks;
use crate::client::shared::Client;
use crate::error::ScanError;
use crate::protocol::scan::{self, Page, PatternError, Step};

/// How many keys are inspected at once.
// Law: Bounded work
const AT_ONCE: usize = 32;

/// A lock that was found at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundLock {
    /// The key as this client would ask for it, without its prefix.
    pub key: Key,
    /// What the node said about it, as an inspection tells it: who holds it, and who waits.
    pub at: NodeInspection,
}

/// A scan of the nodes for locks: [`Locks::scan`] begins it, and [`next`](Self::next) goes on.
///
/// It has at most some 300 keys and 32 locks in memory. Between two calls nothing is asked, and
/// dropping it leaves nothing at the nodes. It keeps the client alive.
pub struct Scan {
    client: Arc<Client>,
    pattern: Arc<[u8]>,
    /// Where the next step begins; none behind the last one of the last node.
    next: Option<(usize, u64)>,
    /// The node that was asked last: what is told is about it, and `keys` were found there.
    node: usize,
    /// The keys that are still to be inspected.
    keys: VecDeque<Key>,
    /// What is still to be told.
    found: VecDeque<Result<FoundLock, ScanError>>,
}

impl Locks {
    /// Begins to look for locks: their holders, and who waits for them. Asks nothing yet;
    /// [`Scan::next`] does.
    ///
    /// The client's prefix stands before the pattern, and for itself. In the pattern `*` stands for
    /// any bytes, `?` for one, `[ab]` and `[a-z]` for one of these, `[^a]` for another one, and `\`
    /// makes what follows it stand for itself. `*` finds all locks under the prefix. It has 1,024
    /// bytes at most.
    ///
    /// Each node is scanned, one after the other in the order in which they were named, so a lock
    /// over several nodes is found at each of them. It is done by `SCAN`, whose promise this is: a
    /// lock that is there from the beginning to the end is found, one that comes or goes meanwhile
    /// may be, and any may be found twice. Where another server takes over meanwhile, some may be
    /// missed. The whole database is gone through, also what does not fit: one request for about
    /// 256 keys of whatever kind. Prefer [`inspect`](Self::inspect) where you know the key.
    ///
    /// Told is what a lock may be: any string, as [`inspect`](Self::inspect) tells it. So without a
    /// prefix, or under one that others use too, strings of theirs are told as
    /// [`Other`](crate::Holder::Other) or [`Foreign`](crate::Holder::Foreign). Left out are keys of
    /// other types, fence counters, markers, names that no lock can have, and keys that have gone
    /// meanwhile.
    ///
    /// A cluster cannot be scanned: [`ScanError::Cluster`]. Its servers can, each with a client of
    /// its own. The user needs the right to `SCAN`, which nothing else needs, and which shows the
    /// names of all keys.
    ///
    /// # Errors
    /// [`ScanError::Pattern`].
    ///
    /// ```no_run
    /// # async fn example(locks: tenure_redis::Locks) -> Result<(), tenure_redis::ScanError> {
    /// let mut scan = locks.scan("orders/*")?;
    /// while let Some(lock) = scan.next().await? {
    ///     println!("{} at {}: {:?}", lock.key, lock.at.node, lock.at.holder);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn scan(&self, pattern: impl AsRef<[u8]>) -> Result<Scan, ScanError> {
        let client = self.client();
        let pattern = scan::pattern(client.prefix(), pattern.as_ref());
        let pattern = pattern.map_err(|error: PatternError| ScanError::Pattern { error })?;
        Ok(Scan {
            client: Arc::clone(client),
            pattern,
            next: Some((0, 0)),
            node: 0,
            keys: VecDeque::new(),
            found: VecDeque::new(),
        })
    }
}

impl Scan {
    /// The next lock; none if there are no more.
    ///
    /// A call may take as many requests as the database has keys, divided by 256, if none of them
    /// is a lock. Each request ends within the time of an [`inspect`](Locks::inspect). To bound it
    /// all, drop the future after a time of your own.
    ///
    /// # Errors
    /// [`ScanError`]. After an outage the next call asks the same again;
    /// [`skip_node`](Self::skip_node) goes on with the next node. What was refused for one key is
    /// told once, and the next call goes on behind it.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call goes on where this one was.
    pub async fn next(&mut self) -> Result<Option<FoundLock>, ScanError> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return found.map(Some);
            }
            if !self.keys.is_empty() {
                self.inspect().await?;
            } else if let Some((node, cursor)) = self.next {
                self.step(node, cursor).await?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Leaves out what the present node still has, and goes on with the next one. The present node
    /// is the one that the last call of [`next`](Self::next) told something of, or was asking as it
    /// was dropped; before the first call, the first one. A node of which nothing was asked yet is
    /// never left out, so a second call without a `next` between changes nothing.
    pub fn skip_node(&mut self) {
        self.keys.clear();
        self.found.clear();
        // Behind its last page the scan is at the next node already.
        if self.next.is_some_and(|(node, _)| node == self.node) {
            self.next = self.first_of(self.node + 1);
        }
    }

    /// The beginning of the scan of this node, if there is one.
    fn first_of(&self, node: usize) -> Option<(usize, u64)> {
        (node < self.client.node_count()).then_some((node, 0))
    }

    /// Looks for more keys.
    async fn step(&mut self, node: usize, cursor: u64) -> Result<(), ScanError> {
        let step = Step {
            pattern: Arc::clone(&self.pattern),
            cursor,
            prefix: self.client.prefix().into(),
        };
        self.node = node;
        let answer = self.client.scan(NodeId::new(node), step).await;
        let page = match answer.map_err(ScanError::ended)? {
            Some(Ok(page)) => page,
            Some(Err(why)) => return Err(ScanError::unanswered(self.name(node), None, &why)),
            None => return Err(ScanError::stalled()),
        };
        let Page::Keys { cursor, keys } = page else {
            let node = self.name(node);
            return Err(ScanError::Cluster { node });
        };
        self.keys.extend(keys);
        self.next = match cursor {
            0 => self.first_of(node + 1),
            cursor => Some((node, cursor)),
        };
        Ok(())
    }

    /// Inspects the next of the keys that were found.
    async fn inspect(&mut self) -> Result<(), ScanError> {
        let asked: Vec<_> = self.keys.iter().take(AT_ONCE).cloned().collect();
        let node = NodeId::new(self.node);
        let answers = self.client.inspect_at(node, asked.iter().cloned()).await;
        let answers = answers.map_err(ScanError::ended)?;
        let answers = answers.ok_or_else(ScanError::stalled)?;
        self.keys.drain(..asked.len());
        let mut silent = None;
        for (key, answer) in asked.into_iter().zip(answers) {
            let name = self.name(self.node);
            match answer {
                Ok(seen) => {
                    let at = NodeInspection::new(&key, name, seen);
                    // It has gone since it was found.
                    if at.holder != Holder::Free {
                        let key = Key::new(&key.as_bytes()[self.client.prefix_len()..]);
                        self.found.push_back(Ok(FoundLock { key, at }));
                    }
                }
                Err(why) => {
                    let error = ScanError::unanswered(name, Some(key.clone()), &why);
                    if error.is_outage() {
                        self.keys.push_front(key);
                        silent = Some(error);
                    } else {
                        self.found.push_back(Err(error));
                    }
                }
            }
        }
        self.found.extend(silent.map(Err));
        Ok(())
    }

    fn name(&self, node: usize) -> String {
        self.client.hub().name(NodeId::new(node)).to_owned()
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("pattern", &Key::new(&*self.pattern))
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
