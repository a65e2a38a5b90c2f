//! The model of a node: what each Lua script does to the keys, and what it answers.
//!
//! It is the only one. The worlds, the tests of the core, the model checker and the transcripts use
//! it, and `tests/tests/model_node.rs` compares it with the scripts.
//!
//! Keys and leases are small numbers here, and the model is a plain value, so that a model checker
//! can copy, compare and hash it. It has no clock: each call is told what the node's clock shows.

mod queue;

use std::cmp::Ordering;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

pub use queue::{Pushed, Waiter};
use tenure_core::{Answer, Fence, Fingerprint, LockName, Op, Place, Serial, ServerTime};

use self::queue::Queue;

/// A node ignores a proposed fence that is further ahead of that of its own time than this: a
/// minute.
const AHEAD_MAX: i64 = 120_000_000;
/// A fence counter is kept for a day after the time that its value stands for, and a marker for a
/// day and ten max TTLs.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// For so long a lock is kept for the one that is told that it is free.
const RESERVED: Duration = Duration::from_millis(50);
/// So many places the queue of a key may have.
const MOST_PLACES: usize = 100_000;
/// The stream of fences is kept for two days after the time of its last id.
const KEEP_STREAM: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// What an acquire is told of a key that is no string.
pub const WRONG_TYPE: Answer = Answer::WrongType {
    name: LockName::Key,
    holds: "a hash",
};
/// What an acquire with a place is told where the queue is none.
pub const WRONG_QUEUE: Answer = Answer::WrongType {
    name: LockName::Queue,
    holds: "a hash",
};

/// How precise the expiries of a node are, and when exactly a key is gone.
///
/// A server keeps a key through the whole millisecond in which it expires. For the model checker
/// this would be too lenient: there, a lease must not be valid even for a nanosecond longer than
/// its key.
pub trait Precision: Copy + Debug + Default + Eq + Hash {
    /// The unit of all expiries, in nanoseconds.
    const TICK: i64;
    /// Whether a key still lives through the tick in which it expires.
    const LIVES_IN_LAST_TICK: bool;
    /// Whether a fence counter expires. If not, it has no expiry that would tell two states apart.
    const COUNTERS_EXPIRE: bool;
}

/// As a server: an expiry is a whole millisecond, and the key is there until that millisecond has
/// passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Milliseconds;

impl Precision for Milliseconds {
    const TICK: i64 = 1_000_000;
    const LIVES_IN_LAST_TICK: bool = true;
    const COUNTERS_EXPIRE: bool = true;
}

/// Stricter than a server: to the nanosecond, and at the instant of its expiry a key is gone.
/// Fence counters never expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exact;

impl Precision for Exact {
    const TICK: i64 = 1;
    const LIVES_IN_LAST_TICK: bool = false;
    const COUNTERS_EXPIRE: bool = false;
}

/// What the clock of a node shows at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// For expiries, in ticks of the node's [`Precision`].
    pub ticks: i64,
    /// For fences and server times, in microseconds since the Unix epoch.
    pub micros: i64,
}

impl Shown {
    /// A wall clock that shows so many nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn wall<P: Precision>(nanos: i64) -> Self {
        Self {
            ticks: nanos / P::TICK,
            micros: nanos / 1_000,
        }
    }

    /// The fence that stands for this time, over several nodes.
    fn fence(self) -> i64 {
        Fence::of_time(self.server_time()).map_or(0, |fence| fence.get() as i64)
    }

    /// As the server says it.
    #[must_use]
    pub const fn server_time(self) -> ServerTime {
        ServerTime::from_micros(self.micros.unsigned_abs())
    }
}

/// What a key can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A token.
    Token {
        /// Of which lease.
        lease: u32,
        /// Of which of its attempts.
        attempt: u32,
    },
    /// A string that is not a token.
    Other,
    /// Not a string but a hash.
    WrongType,
}

impl Value {
    /// By which waiters tell who holds the key: the number of a lease, or one for all that is no
    /// token.
    #[must_use]
    pub const fn fingerprint(self) -> Fingerprint {
        match self {
            Self::Token { lease, .. } => Fingerprint::new(lease),
            Self::Other | Self::WrongType => Fingerprint::new(u32::MAX),
        }
    }
}

/// A key that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it holds.
    pub value: Value,
    /// When it expires, in ticks. Never if none.
    pub until: Option<i64>,
}

/// Who a node is. A client that connects learns it, and names it in each acquire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Changes when the server is started again.
    pub run: u32,
    /// Changes when its data may come from another server.
    pub replication: u32,
}

/// What all clients of a set of nodes must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetOfNodes {
    /// In ticks.
    pub max_ttl: i64,
    /// How many there are.
    pub nodes: usize,
}

/// What a client wrote to a node about it: who it is, and since when it has forgotten nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Marker {
    identity: Identity,
    durable: bool,
    since: i64,
    set: SetOfNodes,
    until: i64,
}

/// A fence counter: the last fence, and when the counter expires.
type Counter = (i64, i64);

/// The stream of fences: its last id, and when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stream {
    /// Milliseconds and a sequence.
    last: (i64, i64),
    until: i64,
}

/// Where the fences of a node come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fences {
    /// It is the only node: from one stream for all keys.
    Stream,
    /// It is one of several: from a counter for each key.
    Counters,
}

/// What a node keeps in its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    keys: Vec<Option<Entry>>,
    queues: Vec<Queue>,
    counters: Vec<Option<Counter>>,
    stream: Option<Stream>,
    marker: Option<Marker>,
}

impl Memory {
    fn empty(keys: usize) -> Self {
        Self {
            keys: vec![None; keys],
            queues: vec![Queue::default(); keys],
            counters: vec![None; keys],
            stream: None,
            marker: None,
        }
    }
}

/// A request as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// Of which key.
    pub key: usize,
    /// For which lease.
    pub lease: u32,
    /// In which of its attempts.
    pub attempt: u32,
    /// What is asked.
    pub op: Op,
    /// Where the client listens to pushes of this node, if it does.
    pub channel: Option<u32>,
    /// If quarantine is on: which node an acquire means, and in which set.
    pub marker: Option<(Identity, SetOfNodes)>,
}

/// Why a script did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The node has no marker, or not the one that the acquire names.
    Unmarked,
    /// The node is marked for another set of nodes.
    OtherSet,
    /// The server is out of memory.
    OutOfMemory,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node<P> {
    /// What it has not forgotten.
    pub memory: Memory,
    /// Who it is now.
    pub identity: Identity,
    /// Whether every write that it acknowledged is on its disk.
    pub durable: bool,
    /// Whether it is out of memory.
    pub full: bool,
    /// The channels that somebody listens to.
    pub channels: Vec<u32>,
    /// What it pushed. Whoever drives the node takes it out.
    pub pushes: Vec<Pushed>,
    /// How many places the queue of a key may have.
    pub most_places: usize,
    /// How many replicas acknowledge at once what it has done.
    pub replicas: u32,
    fences: Fences,
    precision: PhantomData<P>,
}

impl<P: Precision> Node<P> {
    /// A node whose keys are numbered below `keys`.
    #[must_use]
    pub fn new(keys: usize, fences: Fences) -> Self {
        Self {
            memory: Memory::empty(keys),
            identity: Identity::default(),
            durable: false,
            full: false,
            channels: Vec::new(),
            pushes: Vec::new(),
            most_places: MOST_PLACES,
            replicas: 0,
            fences,
            precision: PhantomData,
        }
    }

    /// Adds a key.
    pub fn add_key(&mut self) {
        self.memory.keys.push(None);
        self.memory.queues.push(Queue::default());
        self.memory.counters.push(None);
    }

    /// It forgets everything.
    pub fn forget(&mut self) {
        self.memory = Memory::empty(self.memory.keys.len());
    }

    /// What a key holds, if it has not expired.
    #[must_use]
    pub fn entry(&self, now: Shown, key: usize) -> Option<Entry> {
        let lives = |entry: &Entry| entry.until.is_none_or(|until| Self::lives(now, until));
        self.memory.keys[key].filter(lives)
    }

    /// Somebody writes a key, or deletes it, without a script.
    pub fn set(&mut self, key: usize, entry: Option<Entry>) {
        self.memory.keys[key] = entry;
    }

    /// Who waits for a key, in order. A place whose time has passed is dead.
    #[must_use]
    pub fn waiters(&self, key: usize) -> &[Waiter] {
        self.memory.queues[key].waiters()
    }

    /// Somebody deletes the queue of a key.
    pub fn lose_queue(&mut self, key: usize) {
        self.memory.queues[key] = Queue::default();
    }

    /// Somebody writes something of another type under the name of a queue.
    pub fn spoil_queue(&mut self, key: usize) {
        self.memory.queues[key] = Queue::spoiled();
    }

    /// Whether something of another type is under the name of a queue.
    #[must_use]
    pub fn is_queue_spoiled(&self, key: usize) -> bool {
        self.memory.queues[key].is_spoiled()
    }

    /// The last fence of a key and when its counter expires.
    #[must_use]
    pub fn counter(&self, now: Shown, key: usize) -> Option<Counter> {
        self.memory.counters[key].filter(|(_, until)| Self::lives(now, *until))
    }

    /// When its marker expires.
    #[must_use]
    pub fn marked_until(&self, now: Shown) -> Option<i64> {
        self.marker(now).map(|marker| marker.until)
    }

    /// Deletes what has expired, as a server does sooner or later. Where nobody calls this, what
    /// has expired lives again when the clock is set back.
    pub fn expire(&mut self, now: Shown) {
        for key in 0..self.memory.keys.len() {
            self.memory.keys[key] = self.entry(now, key);
            self.memory.counters[key] = self.counter(now, key);
            self.memory.queues[key].expire(|until| Self::lives(now, until));
        }
        self.memory.stream = self.stream(now);
        self.memory.marker = self.marker(now).copied();
    }

    /// Writes the marker, as `mark.lua` does.
    pub fn mark(&mut self, now: Shown, set: SetOfNodes) {
        let mut since = now.ticks;
        if let Some(marker) = self.marker(now) {
            if marker.set != set {
                return;
            }
            if marker.identity == self.identity || (marker.durable && self.durable) {
                since = since.min(marker.since);
            }
        }
        self.memory.marker = Some(Marker {
            identity: self.identity,
            durable: self.durable,
            since,
            set,
            until: now.ticks + Self::ticks(KEEP) + 10 * set.max_ttl,
        });
    }

    /// A client that connects makes sure that the stream of fences is there, and lasts.
    pub fn keep_stream(&mut self, now: Shown) {
        if self.fences == Fences::Stream && !self.full {
            let id = self.id_by_script(now);
            self.put_stream(id, Some(Self::until(id)));
        }
    }

    /// The last id that its stream drew, and when the stream expires.
    #[must_use]
    pub fn stream_kept(&self, now: Shown) -> Option<((i64, i64), i64)> {
        self.stream(now).map(|stream| (stream.last, stream.until))
    }

    /// Somebody deletes its stream.
    pub const fn lose_stream(&mut self) {
        self.memory.stream = None;
    }

    /// The first of the two steps of a take: sets the key if it is free. Says whether it did.
    pub fn take(&mut self, now: Shown, request: &Arrived, ttl: Duration) -> bool {
        let free = !self.full && self.entry(now, request.key).is_none();
        if free {
            self.put(now, request, ttl);
        }
        free
    }

    /// The second step of a take whose first one set the key: draws a fence.
    pub fn draw(&mut self, now: Shown) -> Answer {
        let Some(id) = self.next_id(now) else {
            return Answer::Unfenced;
        };
        self.put_stream(id, None);
        Self::granted(id).unwrap_or(Answer::Unfenced)
    }

    /// Does what is asked, as the scripts do, or the two steps of a take in one.
    ///
    /// # Errors
    /// If the script does nothing.
    ///
    /// # Panics
    /// If the node does not have this key.
    pub fn apply(&mut self, now: Shown, request: &Arrived) -> Result<Answer, Refused> {
        match request.op {
            Op::Take { ttl } => Ok(match self.take(now, request, ttl) {
                true => self.draw(now),
                false => Answer::Busy,
            }),
            Op::Acquire {
                ttl,
                proposal,
                place,
            } => self.acquire(now, request, ttl, proposal, place),
            Op::Wait { ttl, place, serial } => self.wait(now, request, ttl, place, serial),
            Op::Confirm { fence } => {
                let answer = self.exactly(now, request);
                if answer == Answer::Done {
                    self.store(now, request.key, fence);
                }
                Ok(answer)
            }
            Op::Renew { ttl } => {
                let answer = self.exactly(now, request);
                if answer == Answer::Done {
                    self.extend(now, request.key, ttl);
                }
                Ok(answer)
            }
            Op::Watch => Ok(self.exactly(now, request)),
            Op::Acknowledge => Ok(match self.exactly(now, request) {
                Answer::Done => Answer::Acknowledged {
                    replicas: self.replicas,
                },
                answer => answer,
            }),
            Op::Repair { ttl, fence } => Ok(self.repair(now, request, ttl, fence)),
            Op::Release { place, hints } => Ok(self.release(now, request, place.is_some(), hints)),
            Op::Stay { ttl, place } => Ok(self.stay(now, request, ttl, place)),
        }
    }

    fn acquire(
        &mut self,
        now: Shown,
        request: &Arrived,
        ttl: Duration,
        proposal: Option<Fence>,
        place: Option<Place>,
    ) -> Result<Answer, Refused> {
        let quarantine = match request.marker {
            Some((identity, set)) => self.quarantine(now, identity, set)?,
            None => None,
        };
        let held = self.entry(now, request.key);
        if let Some(entry) = held {
            match entry.value {
                Value::Token { lease, attempt } if lease == request.lease => {
                    if attempt > request.attempt {
                        return Ok(Answer::Taken);
                    }
                }
                Value::WrongType => return Ok(WRONG_TYPE),
                Value::Token { .. } | Value::Other => {
                    let Some(until) = entry.until else {
                        return Ok(Answer::Foreign);
                    };
                    // Only a holder of ours hints, and a place needs memory.
                    let hints = matches!(entry.value, Value::Token { .. });
                    let hints = hints && quarantine.is_none() && !self.full;
                    let place = place.filter(|_| hints);
                    return Ok(Answer::Held {
                        left: Self::span(until - now.ticks),
                        server_time: now.server_time(),
                        holder: entry.value.fingerprint().into(),
                        ahead: place.and_then(|place| self.line_up(now, request, ttl, place)),
                    });
                }
            }
        }
        if let Some(left) = quarantine {
            return Ok(Answer::Quarantined { left });
        }
        // A script that finds the lease's own token writes over it, which needs no memory.
        if self.full && held.is_none() {
            return Err(Refused::OutOfMemory);
        }
        self.put(now, request, ttl);
        if self.fences == Fences::Stream {
            return Ok(self.draw_by_script(now));
        }
        let drawn = now.fence();
        let mut fence = drawn.max(self.last_fence(now, request.key) + 1);
        if let Some(proposal) = proposal.map(|fence| fence.get() as i64)
            && proposal > fence
            && proposal <= drawn + AHEAD_MAX
        {
            fence = proposal;
        }
        self.count(now, request.key, fence);
        if place.is_some() {
            let queue = &mut self.memory.queues[request.key];
            queue.expire(|until| Self::lives(now, until));
            queue.leave(request.lease);
        }
        Ok(Answer::Granted {
            fence: Fence::new(fence.unsigned_abs()).expect("it is larger than the last"),
            server_time: now.server_time(),
        })
    }

    /// What acquire does; and if the lock is not to be had, enters a place in the queue of the key,
    /// or keeps it.
    fn wait(
        &mut self,
        now: Shown,
        request: &Arrived,
        ttl: Duration,
        place: Place,
        serial: Serial,
    ) -> Result<Answer, Refused> {
        let quarantine = match request.marker {
            Some((identity, set)) => self.quarantine(now, identity, set)?,
            None => None,
        };
        self.memory.queues[request.key].expire(|until| Self::lives(now, until));
        let held = self.entry(now, request.key);
        match held.map(|entry| entry.value) {
            Some(Value::Token { lease, attempt }) if lease == request.lease => {
                if attempt > request.attempt {
                    return Ok(Answer::Taken);
                }
                if let Some(left) = quarantine {
                    return Ok(Answer::Quarantined { left });
                }
                self.put_at_least(now, request, ttl, held.and_then(|entry| entry.until));
                self.memory.queues[request.key].leave(request.lease);
                return Ok(self.draw_by_script(now));
            }
            Some(Value::WrongType) => return Ok(WRONG_TYPE),
            _ if self.memory.queues[request.key].is_spoiled() => return Ok(WRONG_QUEUE),
            // Nobody enters a queue that is handed nothing.
            _ if quarantine.is_some() => return self.acquire(now, request, ttl, None, None),
            // A place is entered only where the server has memory for it.
            _ if self.full => return Err(Refused::OutOfMemory),
            Some(Value::Token { .. } | Value::Other) | None => {}
        }
        let waiter = Waiter {
            order: self.memory.queues[request.key].last_order() + 1,
            lease: request.lease,
            attempt: request.attempt,
            place,
            channel: request.channel.filter(|_| place.pushed),
            until: now.ticks + Self::ticks(ttl),
            serial,
        };
        let queue = &self.memory.queues[request.key];
        let is_in = queue.waiters().iter().any(|it| it.lease == request.lease);
        if !is_in
            && queue.waiters().len() >= self.most_places
            && (held.is_some() || self.hand_on(now, request.key, None).is_some())
        {
            return Ok(Answer::Full);
        }
        self.memory.queues[request.key].enter::<P>(waiter);
        if held.is_none()
            && let Some((lease, granted)) = self.hand_on(now, request.key, Some(request.lease))
            && lease == request.lease
        {
            return Ok(granted);
        }
        let queue = self.memory.queues[request.key].waiters();
        let ahead = queue.iter().position(|it| it.lease == request.lease);
        let entry = self.entry(now, request.key).expect("somebody holds it");
        Ok(Answer::Waiting {
            ahead: ahead.map_or(0, |ahead| ahead as u32),
            left: entry.until.map(|until| Self::span(until - now.ticks)),
            hands_on: matches!(entry.value, Value::Token { .. }),
            holder: entry.value.fingerprint().into(),
        })
    }

    /// Enters a place at the end of the queue of the key, or keeps the one that is there. Returns
    /// how many are ahead of it; none if there is no room.
    fn line_up(
        &mut self,
        now: Shown,
        request: &Arrived,
        ttl: Duration,
        place: Place,
    ) -> Option<u32> {
        let queue = &mut self.memory.queues[request.key];
        queue.expire(|until| Self::lives(now, until));
        let is_in = queue.waiters().iter().any(|it| it.lease == request.lease);
        if queue.is_spoiled() || (!is_in && queue.waiters().len() >= self.most_places) {
            return None;
        }
        // Over several nodes the names decide between those that come in the same second.
        let order = queue.last_order().max(now.micros / 1_000_000);
        let ahead = queue.enter::<P>(Waiter {
            order,
            lease: request.lease,
            attempt: 1,
            place,
            channel: request.channel.filter(|_| place.pushed),
            until: now.ticks + Self::ticks(ttl),
            serial: Serial::of(0),
        });
        Some(ahead as u32)
    }

    /// Gives the key back, and stays in line.
    fn stay(&mut self, now: Shown, request: &Arrived, ttl: Duration, place: Place) -> Answer {
        let full = self.full || self.line_up(now, request, ttl, place).is_none();
        match self.free(now, request) {
            Answer::Done | Answer::Gone | Answer::Taken if full => Answer::Full,
            answer => answer,
        }
    }

    /// Tells the first in line that the lock is free, and keeps it for that one for a moment.
    fn hint(&mut self, now: Shown, key: usize) {
        let channels = &self.channels;
        let heard = |channel| channels.contains(&channel);
        let Some(next) = self.memory.queues[key].hint(now.ticks, heard) else {
            return;
        };
        // Law: No orphan
        if self.entry(now, key).is_none() {
            let until = next.until.min(now.ticks + Self::ticks(RESERVED));
            self.memory.keys[key] = Some(Entry {
                value: Value::Token {
                    lease: next.lease,
                    attempt: next.attempt,
                },
                until: Some(until),
            });
        }
        if let Some(channel) = next.channel {
            self.pushes.push(Pushed {
                channel,
                lease: next.lease,
                place: next.place,
                granted: None,
            });
        }
    }

    /// Hands a lock on to the next in line. None if nobody waits, and then nothing was changed but
    /// that the dead are gone, and that an id was drawn if there were any.
    fn hand_on(&mut self, now: Shown, key: usize, asker: Option<u32>) -> Option<(u32, Answer)> {
        if self.memory.queues[key].waiters().is_empty() {
            return None;
        }
        let granted = self.draw_by_script(now);
        let channels = &self.channels;
        let heard = |channel| channels.contains(&channel);
        let next = self.memory.queues[key].next(now.ticks, heard, asker)?;
        // Law: No orphan
        self.memory.keys[key] = Some(Entry {
            value: Value::Token {
                lease: next.lease,
                attempt: next.attempt,
            },
            until: Some(next.until),
        });
        if let (Answer::Granted { fence, .. }, Some(channel)) = (&granted, next.channel)
            && asker != Some(next.lease)
            && self.channels.contains(&channel)
        {
            self.pushes.push(Pushed {
                channel,
                lease: next.lease,
                place: next.place,
                granted: Some((next.serial, *fence)),
            });
        }
        Some((next.lease, granted))
    }

    /// How much longer the node is in quarantine, if it is. Refused if the acquire means another
    /// node.
    fn quarantine(
        &self,
        now: Shown,
        identity: Identity,
        set: SetOfNodes,
    ) -> Result<Option<Duration>, Refused> {
        let marker = self.marker(now).ok_or(Refused::Unmarked)?;
        if marker.set != set {
            return Err(Refused::OtherSet);
        }
        if marker.identity != identity {
            return Err(Refused::Unmarked);
        }
        let left = marker.since + set.max_ttl - now.ticks;
        Ok((left > 0).then(|| Self::span(left.min(set.max_ttl))))
    }

    fn repair(&mut self, now: Shown, request: &Arrived, ttl: Duration, fence: Fence) -> Answer {
        let mut least = None;
        if let Some(entry) = self.entry(now, request.key) {
            match entry.value {
                Value::Token { lease, attempt } if lease == request.lease => {
                    if attempt > request.attempt {
                        return Answer::Taken;
                    }
                    least = entry.until;
                }
                _ => return Answer::Taken,
            }
        }
        // This is done also if the server is out of memory: the script begins with a write that
        // needs none.
        self.store(now, request.key, fence);
        self.put_at_least(now, request, ttl, least);
        Answer::Done
    }

    fn release(&mut self, now: Shown, request: &Arrived, leaves: bool, hints: bool) -> Answer {
        let queue = &mut self.memory.queues[request.key];
        queue.expire(|until| Self::lives(now, until));
        if leaves {
            queue.leave(request.lease);
        }
        let answer = self.free(now, request);
        let is_free = matches!(answer, Answer::Done | Answer::Gone);
        if self.fences == Fences::Counters && hints && is_free {
            self.hint(now, request.key);
        }
        answer
    }

    /// Deletes the key if it holds a token of the lease, or over one node hands it on.
    fn free(&mut self, now: Shown, request: &Arrived) -> Answer {
        let Some(entry) = self.entry(now, request.key) else {
            return Answer::Gone;
        };
        match entry.value {
            Value::Token { lease, attempt } if lease == request.lease => {
                if attempt > request.attempt {
                    return Answer::Taken;
                }
                let hands_on = self.fences == Fences::Stream;
                if !hands_on || self.hand_on(now, request.key, None).is_none() {
                    self.set(request.key, None);
                }
                Answer::Done
            }
            _ => Answer::Taken,
        }
    }

    /// What renew and confirm say of a key, which must hold exactly the token of the request.
    fn exactly(&self, now: Shown, request: &Arrived) -> Answer {
        let Some(entry) = self.entry(now, request.key) else {
            return Answer::Gone;
        };
        match entry.value {
            Value::Token { lease, attempt } if lease == request.lease => {
                match attempt.cmp(&request.attempt) {
                    Ordering::Equal => Answer::Done,
                    Ordering::Less => Answer::Gone,
                    Ordering::Greater => Answer::Taken,
                }
            }
            _ => Answer::Taken,
        }
    }

    fn put(&mut self, now: Shown, request: &Arrived, ttl: Duration) {
        let (lease, attempt) = (request.lease, request.attempt);
        let entry = Entry {
            value: Value::Token { lease, attempt },
            until: Some(now.ticks + Self::ticks(ttl)),
        };
        self.set(request.key, Some(entry));
    }

    /// Puts the token there, for its TTL or until this instant, if that is later.
    fn put_at_least(&mut self, now: Shown, request: &Arrived, ttl: Duration, least: Option<i64>) {
        self.put(now, request, ttl);
        if let Some(entry) = &mut self.memory.keys[request.key] {
            entry.until = entry.until.max(least);
        }
    }

    /// Never brings an expiry forward, and gives one to a key that lost its own.
    fn extend(&mut self, now: Shown, key: usize, ttl: Duration) {
        let later = now.ticks + Self::ticks(ttl);
        if let Some(entry) = &mut self.memory.keys[key]
            && entry.until.is_none_or(|until| until < later)
        {
            entry.until = Some(later);
        }
    }

    fn draw_by_script(&mut self, now: Shown) -> Answer {
        let until = match self.stream(now) {
            Some(_) => None,
            None => Some(Self::until(Self::first_id(now))),
        };
        let id = self.id_by_script(now);
        self.put_stream(id, until);
        Self::granted(id).expect("it is small")
    }

    /// The id that a script draws. It creates the stream where it is missing, and moves it on where
    /// it is stuck.
    fn id_by_script(&self, now: Shown) -> (i64, i64) {
        let Some(id) = self.next_id(now) else {
            return Self::first_id(now);
        };
        match Self::granted(id) {
            Some(_) => id,
            None => (id.0 + 1, 0),
        }
    }

    /// What an id of the stream grants. None if it is no usable fence.
    fn granted(id: (i64, i64)) -> Option<Answer> {
        let (millis, sequence) = (id.0.unsigned_abs(), id.1.unsigned_abs());
        Some(Answer::Granted {
            fence: Fence::of_stream(millis, sequence)?,
            server_time: ServerTime::from_micros(millis * 1_000),
        })
    }

    /// The id that the stream would draw now. None if it is missing.
    fn next_id(&self, now: Shown) -> Option<(i64, i64)> {
        let (millis, sequence) = self.stream(now)?.last;
        let time = now.micros / 1_000;
        Some(if time > millis {
            (time, 0)
        } else {
            (millis, sequence + 1)
        })
    }

    /// The first id of a new stream: the later it is created, the larger.
    const fn first_id(now: Shown) -> (i64, i64) {
        (now.micros / 1_000 + 1, now.micros % 1_000)
    }

    /// When a stream with this id expires.
    fn until(id: (i64, i64)) -> i64 {
        let kept = id.0 * 1_000_000 / P::TICK + Self::ticks(KEEP_STREAM);
        if P::COUNTERS_EXPIRE { kept } else { i64::MAX }
    }

    /// Its expiry stays as it is, unless another is given.
    fn put_stream(&mut self, last: (i64, i64), until: Option<i64>) {
        let before = self.memory.stream.map_or(i64::MAX, |stream| stream.until);
        self.memory.stream = Some(Stream {
            last,
            until: until.unwrap_or(before),
        });
    }

    fn stream(&self, now: Shown) -> Option<Stream> {
        let stream = self.memory.stream;
        stream.filter(|stream| Self::lives(now, stream.until))
    }

    fn last_fence(&self, now: Shown, key: usize) -> i64 {
        self.counter(now, key).map_or(0, |(fence, _)| fence)
    }

    /// Stores a fence, unless a larger one is stored.
    fn store(&mut self, now: Shown, key: usize, fence: Fence) {
        let fence = fence.get() as i64;
        if self.last_fence(now, key) < fence {
            self.count(now, key, fence);
        }
    }

    fn count(&mut self, now: Shown, key: usize, fence: i64) {
        let until = if P::COUNTERS_EXPIRE {
            // A fence ahead of the node's time is kept for longer by as much, rounded up.
            let ahead = (fence - now.fence()).max(0) * 500;
            now.ticks + Self::ticks(KEEP) + (ahead + P::TICK - 1).div_euclid(P::TICK)
        } else {
            i64::MAX
        };
        self.memory.counters[key] = Some((fence, until));
    }

    fn marker(&self, now: Shown) -> Option<&Marker> {
        let marker = self.memory.marker.as_ref();
        marker.filter(|marker| Self::lives(now, marker.until))
    }

    const fn lives(now: Shown, until: i64) -> bool {
        now.ticks < until || (P::LIVES_IN_LAST_TICK && now.ticks == until)
    }

    const fn ticks(span: Duration) -> i64 {
        span.as_nanos() as i64 / P::TICK
    }

    /// So many ticks. A negative number counts as none.
    fn span(ticks: i64) -> Duration {
        Duration::from_nanos(ticks.max(0).unsigned_abs() * P::TICK.unsigned_abs())
    }
}
