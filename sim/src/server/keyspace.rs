//! The keys, their values and their expiry.
//!
//! A key expires lazily: it is gone once somebody looks after its instant, and is still there *at*
//! the instant. What nobody looked at survives a clock that went past its expiry and back again.
//! (Redis also expires some keys by itself now and then; [`Keyspace::expire`] does so on demand.)

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many databases a server has.
pub(crate) const DATABASES: usize = 16;

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Str(Vec<u8>),
    /// In order of insertion, as a small Redis hash is.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    Stream(Stream),
    Sorted(Sorted),
}

/// A sorted set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sorted {
    scores: BTreeMap<Vec<u8>, Score>,
    order: BTreeSet<(Score, Vec<u8>)>,
}

/// A number that is none but for its order: no score is `nan`.
#[derive(Clone, Copy, Debug)]
struct Score(f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Sorted {
    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).map(|score| score.0)
    }

    pub(crate) fn put(&mut self, member: &[u8], score: f64) {
        self.take(member);
        self.scores.insert(member.to_vec(), Score(score));
        self.order.insert((Score(score), member.to_vec()));
    }

    /// Removes a member. Whether it was there.
    pub(crate) fn take(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else {
            return false;
        };
        self.order.remove(&(score, member.to_vec()))
    }

    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    /// By score, and those of one score in the order of their bytes.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Vec<u8>, f64)> {
        self.order.iter().map(|(score, member)| (member, score.0))
    }
}

/// A stream, without its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stream {
    /// Of the last entry, even if that was trimmed. Each new one is larger.
    pub(crate) last: StreamId,
    pub(crate) len: u64,
}

/// The id of an entry of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId {
    /// Milliseconds since the Unix epoch, if nobody chose it.
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl StreamId {
    pub(crate) const LARGEST: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    pub(crate) fn next(self) -> Option<Self> {
        let Self { ms, seq } = self;
        match seq.checked_add(1) {
            Some(seq) => Some(Self { ms, seq }),
            None => Some(Self {
                ms: ms.checked_add(1)?,
                seq: 0,
            }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl Value {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Str(_) => "string",
            Self::Hash(_) => "hash",
            Self::Stream(_) => "stream",
            Self::Sorted(_) => "zset",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// Milliseconds since the Unix epoch.
    pub(crate) expires_at: Option<i64>,
}

impl Entry {
    fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at.is_some_and(|at| now_ms > at)
    }
}

/// What has changed, as far as those are told who read keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The key of this name, in one of the databases.
    Key(Vec<u8>),
    /// All keys of a database, or of each.
    Everything,
}

/// All databases of one server.
#[derive(Clone, Debug)]
pub(crate) struct Keyspace {
    databases: Vec<BTreeMap<Vec<u8>, Entry>>,
    /// What has changed since somebody asked.
    changes: Vec<Change>,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self {
            databases: vec![BTreeMap::new(); DATABASES],
            changes: Vec::new(),
        }
    }
}

impl Keyspace {
    /// Notes that somebody has changed the key. What is inserted, removed or expired is noted by
    /// itself.
    pub(crate) fn touch(&mut self, key: &[u8]) {
        self.changes.push(Change::Key(key.to_vec()));
    }

    /// What has changed since this was last called, in order.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The key's entry; one that has expired is removed first.
    pub(crate) fn lookup(&mut self, db: usize, key: &[u8], now_ms: i64) -> Option<&mut Entry> {
        let database = self.databases.get_mut(db)?;
        if database.get(key)?.is_expired(now_ms) {
            database.remove(key);
            self.changes.push(Change::Key(key.to_vec()));
            return None;
        }
        database.get_mut(key)
    }

    /// The key's entry without touching anything.
    pub(crate) fn peek(&self, db: usize, key: &[u8], now_ms: i64) -> Option<&Entry> {
        self.databases
            .get(db)?
            .get(key)
            .filter(|entry| !entry.is_expired(now_ms))
    }

    pub(crate) fn insert(&mut self, db: usize, key: &[u8], entry: Entry) {
        if let Some(database) = self.databases.get_mut(db) {
            database.insert(key.to_vec(), entry);
            self.touch(key);
        }
    }

    /// Whether the key was there.
    pub(crate) fn remove(&mut self, db: usize, key: &[u8], now_ms: i64) -> bool {
        let there = self.lookup(db, key, now_ms).is_some();
        if there && let Some(database) = self.databases.get_mut(db) {
            database.remove(key);
            self.touch(key);
        }
        there
    }

    /// All keys, also those that have expired but were not looked at yet.
    pub(crate) fn len(&self, db: usize) -> usize {
        self.databases.get(db).map_or(0, BTreeMap::len)
    }

    /// How many keys of a database have an expiry.
    pub(crate) fn len_expiring(&self, db: usize) -> usize {
        let database = self.databases.get(db);
        database.map_or(0, |d| d.values().filter(|e| e.expires_at.is_some()).count())
    }

    /// The keys that are alive, in byte order.
    pub(crate) fn keys(&self, db: usize, now_ms: i64) -> impl Iterator<Item = &Vec<u8>> {
        let database = self.databases.get(db).into_iter().flatten();
        database
            .filter(move |(_, entry)| !entry.is_expired(now_ms))
            .map(|(key, _)| key)
    }

    pub(crate) fn clear(&mut self, db: usize) {
        if let Some(database) = self.databases.get_mut(db) {
            database.clear();
            self.changes.push(Change::Everything);
        }
    }

    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
        self.changes.push(Change::Everything);
    }

    /// As a replica does that gets the data of another server.
    pub(crate) fn replace(&mut self, with: &Self) {
        self.databases.clone_from(&with.databases);
        self.changes.push(Change::Everything);
    }

    /// Removes every expired key now, as the active expiry of a real server may at any time.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        for database in &mut self.databases {
            database.retain(|key, entry| {
                let is_expired = entry.is_expired(now_ms);
                if is_expired {
                    self.changes.push(Change::Key(key.clone()));
                }
                !is_expired
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(expires_at: i64) -> Entry {
        Entry {
            value: Value::Str(b"v".to_vec()),
            expires_at: Some(expires_at),
        }
    }

    #[test]
    fn a_key_is_alive_at_its_instant_and_gone_after_it() {
        let mut keys = Keyspace::default();
        keys.insert(0, b"k", entry(100));
        assert!(keys.lookup(0, b"k", 100).is_some());
        assert!(keys.lookup(0, b"k", 101).is_none());
        assert!(
            keys.lookup(0, b"k", 100).is_none(),
            "the look removed it: a clock that goes back brings nothing back"
        );
    }

    #[test]
    fn a_key_that_nobody_looked_at_survives_a_clock_that_went_there_and_back() {
        let mut keys = Keyspace::default();
        keys.insert(0, b"k", entry(100));
        assert!(keys.peek(0, b"k", 500).is_none());
        assert_eq!(keys.len(0), 1);
        assert!(keys.lookup(0, b"k", 50).is_some());
        keys.expire(500);
        assert!(keys.lookup(0, b"k", 50).is_none());
    }
}
