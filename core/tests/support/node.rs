//! A node, as the protocol defines it: what each request does to a key, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tenure_core::{Answer, Fence, Instant, Key, Op, Request, ServerTime, Token};

/// How far ahead of its own time a node follows a proposed fence, in microseconds.
const AHEAD_MAX: u64 = 60_000_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// Who holds a key, and until when on the node's clock.
    pub(crate) locks: BTreeMap<Key, (Token, Instant)>,
    pub(crate) fences: BTreeMap<Key, u64>,
    /// Keys that are not of a lock's making.
    pub(crate) foreign: BTreeSet<Key>,
    /// Until when it may have forgotten a lease.
    pub(crate) quarantine: Option<Instant>,
    /// How far its wall clock is ahead, in microseconds.
    pub(crate) wall_ahead: u64,
    /// Whether its wall clock stands still, so that its fences are plain counters.
    pub(crate) wall_still: bool,
}

pub(crate) fn same_lease(a: &Token, b: &Token) -> bool {
    a.secret == b.secret && a.label == b.label
}

impl Node {
    pub(crate) fn holder(&self, now: Instant, key: &Key) -> Option<&Token> {
        self.locks
            .get(key)
            .filter(|(_, until)| now < *until)
            .map(|(token, _)| token)
    }

    /// All is forgotten, the fences too.
    pub(crate) fn forget(&mut self) {
        self.locks.clear();
        self.fences.clear();
    }

    pub(crate) fn wall(&self, now: Instant) -> u64 {
        if self.wall_still {
            return self.wall_ahead;
        }
        self.wall_ahead + u64::try_from(now.as_nanos() / 1_000).unwrap_or(0)
    }

    pub(crate) fn apply(&mut self, now: Instant, request: &Request) -> Answer {
        self.perform(now, &request.key, &request.token, &request.op)
    }

    pub(crate) fn perform(&mut self, now: Instant, key: &Key, token: &Token, op: &Op) -> Answer {
        if self.locks.get(key).is_some_and(|(_, until)| now >= *until) {
            self.locks.remove(key);
        }
        if self.foreign.contains(key) {
            return Answer::Foreign;
        }
        let held = self.locks.get(key).cloned();
        match *op {
            Op::Acquire { ttl, proposal } => {
                let server_time = ServerTime::from_micros(self.wall(now));
                if let Some((holder, until)) = &held {
                    if !same_lease(holder, token) {
                        let left = until.saturating_since(now);
                        return Answer::Held { left, server_time };
                    }
                    if holder.attempt > token.attempt {
                        return Answer::Taken;
                    }
                }
                if let Some(until) = self.quarantine.filter(|until| now < *until) {
                    let left = until.saturating_since(now);
                    return Answer::Quarantined { left };
                }
                let stored = self.fences.get(key).copied().unwrap_or(0);
                let own = (stored + 1).max(self.wall(now));
                let fence = proposal
                    .map(Fence::get)
                    .filter(|proposed| *proposed <= self.wall(now) + AHEAD_MAX)
                    .map_or(own, |proposed| proposed.max(own));
                self.fences.insert(key.clone(), fence);
                self.locks.insert(key.clone(), (token.clone(), now + ttl));
                let fence = Fence::new(fence).unwrap();
                Answer::Granted { fence, server_time }
            }
            Op::Repair { ttl, fence } => match &held {
                Some((holder, _)) if !same_lease(holder, token) => Answer::Taken,
                Some((holder, _)) if holder.attempt > token.attempt => Answer::Taken,
                _ => {
                    self.store(key, fence);
                    self.put(now, key, token, ttl);
                    Answer::Done
                }
            },
            Op::Confirm { fence } => self.exactly(key, token, |node| node.store(key, fence)),
            Op::Renew { ttl } => self.exactly(key, token, |node| node.put(now, key, token, ttl)),
            Op::Release => match held {
                None => Answer::Gone,
                Some((holder, _))
                    if same_lease(&holder, token) && holder.attempt <= token.attempt =>
                {
                    self.locks.remove(key);
                    Answer::Done
                }
                Some(_) => Answer::Taken,
            },
        }
    }

    fn exactly(&mut self, key: &Key, token: &Token, act: impl FnOnce(&mut Self)) -> Answer {
        match self.locks.get(key) {
            Some((holder, _)) if holder == token => {
                act(self);
                Answer::Done
            }
            // An older attempt of the same lease is never "taken".
            Some((holder, _)) if same_lease(holder, token) && holder.attempt < token.attempt => {
                Answer::Gone
            }
            Some(_) => Answer::Taken,
            None => Answer::Gone,
        }
    }

    fn store(&mut self, key: &Key, fence: Fence) {
        let stored = self.fences.entry(key.clone()).or_default();
        *stored = fence.get().max(*stored);
    }

    /// The expiry is never brought forward.
    fn put(&mut self, now: Instant, key: &Key, token: &Token, ttl: Duration) {
        let until = match self.locks.get(key) {
            Some((_, until)) => (*until).max(now + ttl),
            None => now + ttl,
        };
        self.locks.insert(key.clone(), (token.clone(), until));
    }
}
