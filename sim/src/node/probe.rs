//! A model node alone, without clients and links: for the comparison with what it is a model of, the Lua
//! texts.

use tenure_core::{Op, Refusal, Reply, Words};

use super::{Arrived, Entry, Identity, Node, SetOfNodes, Signal, Value};
use crate::clock::Clock;
use crate::observe::fact::Nanos;

/// A model node.
#[derive(Debug)]
pub struct ModelNode {
    node: Node,
    now: Nanos,
    lives: u32,
    set: SetOfNodes,
}

/// Something that is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Of which key.
    pub key: u8,
    /// For which lease.
    pub lease: u32,
    /// In which attempt.
    pub attempt: u32,
    /// What.
    pub op: Op,
    /// Whether an acquire names the node that it believes to ask: in which of its lives, if so.
    pub life: Option<u32>,
}

/// What somebody does to a key who knows nothing of locks.
#[derive(Clone, Copy, Debug)]
pub enum Stranger {
    /// Deletes it.
    Deletes,
    /// Writes something else, for so many milliseconds or for ever.
    Overwrites(Option<i64>),
    /// Makes it a key of another type.
    Mistakes,
    /// Takes the expiry from it.
    Persists,
}

/// The lease and the attempt of the token that a key holds, if it is one; and when it ends.
pub type Held = (Option<(u32, u32)>, Option<i64>);

impl ModelNode {
    /// A node whose wall clock shows so many microseconds since the Unix epoch.
    #[must_use]
    pub fn new(shows_us: i64, keys: usize, max_ttl_ms: i64, nodes: usize) -> Self {
        let mut node = Node::new(Clock::new(shows_us * 1_000, 0), keys, 0, 0);
        node.scripts = true;
        Self {
            node,
            now: 0,
            lives: 0,
            set: SetOfNodes { max_ttl_ms, nodes },
        }
    }

    /// Time passes.
    pub fn advance(&mut self, micros: u64) {
        self.now += micros * 1_000;
    }

    /// Its wall clock is stepped.
    pub fn step(&mut self, micros: i64) {
        self.node.clock.step(self.now, micros * 1_000);
    }

    /// Removes what has expired, as a server does at moments of its own choice.
    pub fn expire(&mut self) {
        self.node.expire(self.now);
    }

    /// Asks.
    pub fn ask(&mut self, question: &Question) -> Reply {
        let identity = |life| Identity {
            run: life,
            replication: life,
        };
        let arrived = Arrived {
            key: question.key,
            lease: question.lease,
            attempt: question.attempt,
            op: question.op,
            marker: question.life.map(|life| (identity(life), self.set)),
        };
        let done = self.node.apply(self.now, &arrived);
        match done.signal {
            // So that it differs from other ways of saying "again".
            Some(Signal::Unmarked) => Reply::NotApplied(Refusal::Rejected(Words::new("unmarked"))),
            _ => done.reply,
        }
    }

    /// A client writes its marker.
    pub fn mark(&mut self) {
        self.node.mark(self.now, self.set);
    }

    /// A new life, with its memory or without. It knows whether it has every write on its disk.
    pub fn restart(&mut self, forgets: bool, durable: bool) {
        if forgets {
            self.node.forget();
        }
        self.lives += 1;
        self.node.identity = Identity {
            run: self.lives,
            replication: self.lives,
        };
        self.node.durable = durable;
    }

    /// In which life it is.
    #[must_use]
    pub const fn life(&self) -> u32 {
        self.lives
    }

    /// Whether it is out of memory from now on.
    pub fn set_full(&mut self, full: bool) {
        self.node.full = full;
    }

    /// A stranger comes by.
    pub fn stranger(&mut self, key: u8, stranger: Stranger) {
        let ends = |ms| self.node.clock.nanos(self.now) / 1_000_000 + ms;
        let entry = match stranger {
            Stranger::Deletes => None,
            Stranger::Overwrites(ms) => Some(Entry {
                value: Value::Other,
                until_ms: ms.map(ends),
            }),
            Stranger::Mistakes => Some(Entry {
                value: Value::WrongType,
                until_ms: None,
            }),
            Stranger::Persists => self.node.entry(self.now, key).map(|entry| Entry {
                until_ms: None,
                ..entry
            }),
        };
        self.node.set(key, entry);
    }

    /// The lease and the attempt that a key holds, if it holds a token; and when it ends.
    #[must_use]
    pub fn holds(&self, key: u8) -> Option<Held> {
        let entry = self.node.entry(self.now, key)?;
        let token = match entry.value {
            Value::Ours { lease, attempt } => Some((lease, attempt)),
            Value::Other | Value::WrongType => None,
        };
        Some((token, entry.until_ms))
    }

    /// The fence counter of a key, and when it ends.
    #[must_use]
    pub fn counter(&self, key: u8) -> Option<(i64, i64)> {
        self.node.counter_until(self.now, key)
    }

    /// When its marker ends.
    #[must_use]
    pub fn marked_until(&self) -> Option<i64> {
        self.node.marked_until(self.now)
    }
}
