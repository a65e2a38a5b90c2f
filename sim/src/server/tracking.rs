//! Who is told that a key has changed: what a connection asks for by `CLIENT TRACKING`, which keys
//! it has read since, and what is pushed to it. No broadcasts, and no redirection.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::Rng;

use super::commands::{Command, READONLY};
use super::keyspace::Change;
use super::reply::{Protocol, Reply};
use super::state::{Conn, ConnId, Effect, State};

/// How many keys one command forgets at most while there are too many. If that was not enough, the
/// next one forgets more.
const EFFORT: usize = 100;

/// Which of the keys that a connection reads it is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All of them.
    #[default]
    All,
    /// Those of a command behind `CLIENT CACHING YES`.
    OptIn,
    /// All but those of a command behind `CLIENT CACHING NO`.
    OptOut,
}

/// What a connection asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracking {
    pub(crate) mode: Mode,
    /// It is not told of what it changes itself.
    pub(crate) no_loop: bool,
}

/// Which connections are told of which keys: of one name, in whatever database it is.
///
/// A connection that has closed stays in it, as on a real server, and is told nothing.
pub(crate) struct Table {
    readers: BTreeMap<Vec<u8>, BTreeSet<ConnId>>,
    /// How many commands in a row could not make it small enough.
    behind: usize,
    /// Which keys are forgotten when there are too many.
    rng: Rng,
}

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            readers: BTreeMap::new(),
            behind: 0,
            rng: Rng::new(seed),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.readers.clear();
        self.behind = 0;
    }

    /// How many keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.readers.len()
    }

    /// How many connections there are, summed over the keys.
    pub(crate) fn items(&self) -> usize {
        self.readers.values().map(BTreeSet::len).sum()
    }

    /// One of the keys, by chance; none if there is none.
    fn any(&mut self) -> Option<Vec<u8>> {
        let len = self.readers.len() as u64;
        let at = self.rng.next_u64().checked_rem(len)?;
        self.readers.keys().nth(at as usize).cloned()
    }
}

/// When a push is written that is for the connection whose command is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// At once: the command has not begun.
    Now,
    /// Behind the reply, which it must not break up.
    AfterReply,
}

impl Conn {
    /// Whether it is told of the keys that its present command reads.
    fn remembers(&self) -> bool {
        self.tracking.is_some_and(|tracking| match tracking.mode {
            Mode::All => true,
            Mode::OptIn => self.caching,
            Mode::OptOut => !self.caching,
        })
    }
}

impl State {
    /// How many connections asked to be told.
    pub(crate) fn trackers(&self) -> usize {
        let conns = self.conns.values();
        conns.filter(|conn| conn.tracking.is_some()).count()
    }

    /// A command of this connection has run, by itself or in a script, which is answered for these
    /// keys: tells of what it changed, and then notes what it read.
    pub(crate) fn end_call<'k>(
        &mut self,
        conn: ConnId,
        command: &Command,
        keys: impl Iterator<Item = &'k Vec<u8>>,
    ) {
        self.tell_changes(Some(conn));
        if command.has(READONLY) {
            self.remember(conn, keys);
        }
    }

    /// A command of this connection has read these keys, whether they are there or not.
    fn remember<'k>(&mut self, conn: ConnId, keys: impl Iterator<Item = &'k Vec<u8>>) {
        if !self.conns.get(&conn).is_some_and(Conn::remembers) {
            return;
        }
        for key in keys {
            let readers = self.table.readers.entry(key.clone()).or_default();
            readers.insert(conn);
        }
    }

    /// Tells who is to be told of what has changed since this was last called, by a command of this
    /// connection if there is one.
    pub(crate) fn tell_changes(&mut self, by: Option<ConnId>) {
        for change in self.keys.take_changes() {
            match change {
                Change::Key(key) => self.invalidate(by, key, Own::AfterReply),
                Change::Everything => self.invalidate_all(by),
            }
        }
    }

    /// Each reader is told once, and forgotten.
    fn invalidate(&mut self, by: Option<ConnId>, key: Vec<u8>, own: Own) {
        let Some(readers) = self.table.readers.remove(&key) else {
            return;
        };
        let keys = Reply::Array(vec![Reply::Bulk(key)]);
        for reader in readers {
            let tracking = self.conns.get(&reader).and_then(|conn| conn.tracking);
            let Some(Tracking { no_loop, .. }) = tracking else {
                continue;
            };
            let is_own = by == Some(reader);
            if !(is_own && no_loop) {
                self.push(reader, keys.clone(), is_own && own == Own::AfterReply);
            }
        }
    }

    /// Everybody is told who asked, of own doing too.
    fn invalidate_all(&mut self, by: Option<ConnId>) {
        self.table.clear();
        let trackers = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.tracking.is_some());
        let trackers: Vec<_> = trackers.map(|(id, _)| *id).collect();
        for conn in trackers {
            self.push(conn, Reply::Null, by == Some(conn));
        }
    }

    fn push(&mut self, to: ConnId, keys: Reply, after_reply: bool) {
        let speaks = self.conns.get(&to).map(|conn| conn.protocol);
        // In the older protocol nothing tells a push from a reply.
        if speaks != Some(Protocol::Resp3) || self.faults.take_lost_invalidation() {
            return;
        }
        let push = Reply::Push(vec![Reply::bulk(Reply::INVALIDATE), keys]);
        let queue = match after_reply {
            true => &mut self.effects,
            false => &mut self.messages,
        };
        queue.push(Effect::Send(to, push));
    }

    /// Before a command of this connection: forgets keys, as if they had changed, while there are
    /// more than `tracking-table-max-keys`. A real server does so at moments of its own, too.
    pub(crate) fn bound_table(&mut self, by: ConnId) {
        let most = self.config.get("tracking-table-max-keys").parse();
        let most: usize = most.unwrap_or(0);
        if most == 0 || self.table.keys() <= most {
            self.table.behind = 0;
            return;
        }
        if self.trackers() == 0 {
            return;
        }
        self.table.behind += 1;
        for _ in 0..EFFORT * self.table.behind {
            let Some(key) = self.table.any() else { return };
            self.invalidate(Some(by), key, Own::Now);
            if self.table.keys() <= most {
                self.table.behind = 0;
                return;
            }
        }
    }
}
