//! A model of a node: what the Lua texts do to its keys and answer, without Lua.
//!
//! Expiries are kept as a server keeps them: in milliseconds of its own wall clock, a key being alive
//! through the whole of its last millisecond.

pub mod probe;

use std::time::Duration;

use tenure_core::{Answer, Fence, Op, Refusal, Reply, ServerTime, Words};

use crate::clock::Clock;
use crate::observe::fact::{Holder, Nanos};

/// A proposal further ahead of the node's time than this is ignored.
const AHEAD_MAX: i64 = 60_000_000;
/// A counter is kept for so long after the time that its value stands for; a marker for ten max TTLs more.
const KEEP_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A token.
    Ours { lease: u32, attempt: u32 },
    /// A string that is not a token of ours.
    Other,
    /// Not a string.
    WrongType,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// The last millisecond in which it is alive; for ever if none.
    pub(crate) until_ms: Option<i64>,
}

/// Who the node is and since when its memory counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    identity: Identity,
    durable: bool,
    since_ms: i64,
    set: SetOfNodes,
    /// The last millisecond in which it is alive.
    until_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) run: u32,
    pub(crate) replication: u32,
}

/// What all clients must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetOfNodes {
    pub(crate) max_ttl_ms: i64,
    pub(crate) nodes: usize,
}

/// What a node keeps in its memory.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    keys: Vec<Option<Entry>>,
    counters: Vec<Option<(i64, i64)>>,
    marker: Option<Marker>,
}

impl Data {
    pub(crate) fn empty(keys: usize) -> Self {
        Self {
            keys: vec![None; keys],
            counters: vec![None; keys],
            marker: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) data: Data,
    /// As it was a moment ago, for a crash or a failover that is to come.
    pub(crate) stale: Option<Data>,
    pub(crate) identity: Identity,
    /// Counts its lives: a connection does not outlive one.
    pub(crate) boot: u32,
    /// Whether it has every acknowledged write on its disk.
    pub(crate) durable: bool,
    pub(crate) up: bool,
    /// When its clock was stepped last.
    pub(crate) stepped: Nanos,
    pub(crate) scripts: bool,
    pub(crate) loading: bool,
    pub(crate) read_only: bool,
    pub(crate) full: bool,
    pub(crate) refusing: bool,
    /// How long each request takes it.
    pub(crate) slow: Nanos,
    pub(crate) busy_until: Nanos,
    /// By client: connections before this one were killed.
    pub(crate) killed: Vec<u32>,
}

/// A request as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) key: u8,
    pub(crate) lease: u32,
    pub(crate) attempt: u32,
    pub(crate) op: Op,
    /// What an acquire says of the node, where quarantine is on.
    pub(crate) marker: Option<(Identity, SetOfNodes)>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) reply: Reply,
    /// What the link must do before it asks again.
    pub(crate) signal: Option<Signal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    NoScript,
    Unmarked,
    Elsewhere,
}

const fn applied(answer: Answer) -> Done {
    Done {
        reply: Reply::Applied(answer),
        signal: None,
    }
}

const fn refused(refusal: Refusal, signal: Option<Signal>) -> Done {
    Done {
        reply: Reply::NotApplied(refusal),
        signal,
    }
}

impl Node {
    pub(crate) fn new(clock: Clock, keys: usize, clients: usize, identity: u32) -> Self {
        Self {
            clock,
            data: Data::empty(keys),
            stale: None,
            identity: Identity {
                run: identity,
                replication: identity,
            },
            boot: 0,
            durable: false,
            up: true,
            stepped: 0,
            scripts: false,
            loading: false,
            read_only: false,
            full: false,
            refusing: false,
            slow: 0,
            busy_until: 0,
            killed: vec![0; clients],
        }
    }

    fn micros(&self, now: Nanos) -> i64 {
        self.clock.nanos(now) / 1_000
    }

    fn millis(&self, now: Nanos) -> i64 {
        self.clock.nanos(now) / 1_000_000
    }

    pub(crate) fn time(&self, now: Nanos) -> ServerTime {
        ServerTime::from_micros(self.micros(now).unsigned_abs())
    }

    /// What a key holds that has not expired.
    pub(crate) fn entry(&self, now: Nanos, key: u8) -> Option<Entry> {
        let alive = |until: Option<i64>| until.is_none_or(|until| self.millis(now) <= until);
        self.data.keys[usize::from(key)].filter(|entry| alive(entry.until_ms))
    }

    pub(crate) fn set(&mut self, key: u8, entry: Option<Entry>) {
        self.data.keys[usize::from(key)] = entry;
    }

    pub(crate) fn holder(&self, now: Nanos, key: u8) -> Holder {
        match self.entry(now, key).map(|entry| entry.value) {
            None => Holder::Nobody,
            Some(Value::Ours { lease, .. }) => Holder::Lease(lease),
            Some(Value::Other | Value::WrongType) => Holder::Foreign,
        }
    }

    /// When a key expires, in true time, if nothing happens to the clock.
    pub(crate) fn expiry(&self, now: Nanos, key: u8) -> Option<Nanos> {
        let until_ms = self.entry(now, key)?.until_ms?;
        Some(self.clock.when((until_ms + 1) * 1_000_000))
    }

    /// It forgets everything.
    pub(crate) fn forget(&mut self) {
        self.data = Data::empty(self.data.keys.len());
    }

    /// Writes who it is and since when its memory counts, as `mark.lua` does.
    pub(crate) fn mark(&mut self, now: Nanos, set: SetOfNodes) {
        let mut since_ms = self.millis(now);
        if let Some(marker) = self.marker(now) {
            if marker.set != set {
                return;
            }
            if marker.identity == self.identity || (marker.durable && self.durable) {
                since_ms = since_ms.min(marker.since_ms);
            }
        }
        self.data.marker = Some(Marker {
            identity: self.identity,
            durable: self.durable,
            since_ms,
            set,
            until_ms: self.millis(now) + KEEP_MS + 10 * set.max_ttl_ms,
        });
    }

    fn marker(&self, now: Nanos) -> Option<&Marker> {
        let marker = self.data.marker.as_ref();
        marker.filter(|marker| self.millis(now) <= marker.until_ms)
    }

    /// The last millisecond in which its marker is alive.
    pub(crate) fn marked_until(&self, now: Nanos) -> Option<i64> {
        self.marker(now).map(|marker| marker.until_ms)
    }

    /// What has expired goes for good, as where a server has come to it. In the worlds none does, so a clock
    /// that goes back brings it back.
    pub(crate) fn expire(&mut self, now: Nanos) {
        for key in 0..self.data.keys.len() {
            self.data.keys[key] = self.entry(now, key as u8);
            self.data.counters[key] = self.counter_until(now, key as u8);
        }
        self.data.marker = self.marker(now).copied();
    }

    /// Does what is asked, as the Lua texts do.
    pub(crate) fn apply(&mut self, now: Nanos, request: &Arrived) -> Done {
        if self.loading {
            return refused(Refusal::Unavailable, None);
        }
        if self.refusing {
            return refused(Refusal::Rejected(Words::new("NOPERM")), None);
        }
        if !self.scripts {
            return refused(Refusal::Again, Some(Signal::NoScript));
        }
        // Every path makes a write, which a replica refuses.
        if self.read_only {
            return refused(Refusal::Unavailable, Some(Signal::Elsewhere));
        }
        match request.op {
            Op::Acquire { ttl, proposal } => self.acquire(now, request, ttl, proposal),
            Op::Confirm { fence } => match self.exactly(now, request) {
                Answer::Done => self.store(now, request.key, fence),
                answer => applied(answer),
            },
            Op::Renew { ttl } => {
                let answer = self.exactly(now, request);
                if answer == Answer::Done {
                    self.extend(now, request.key, ttl);
                }
                applied(answer)
            }
            Op::Repair { ttl, fence } => self.repair(now, request, ttl, fence),
            Op::Release => applied(self.release(now, request)),
        }
    }

    fn acquire(
        &mut self,
        now: Nanos,
        request: &Arrived,
        ttl: Duration,
        proposal: Option<Fence>,
    ) -> Done {
        let mut quarantine = None;
        if let Some((identity, set)) = request.marker {
            let Some(marker) = self.marker(now) else {
                return refused(Refusal::Again, Some(Signal::Unmarked));
            };
            if marker.set != set {
                return refused(Refusal::Misuse(Words::new("another set of nodes")), None);
            }
            if marker.identity != identity {
                return refused(Refusal::Again, Some(Signal::Unmarked));
            }
            let left = marker.since_ms + set.max_ttl_ms - self.millis(now);
            if left > 0 {
                let left = left.min(set.max_ttl_ms);
                quarantine = Some(Answer::Quarantined { left: millis(left) });
            }
        }
        if let Some(entry) = self.entry(now, request.key) {
            match entry.value {
                Value::Ours { lease, attempt } if lease == request.lease => {
                    if attempt > request.attempt {
                        return applied(Answer::Taken);
                    }
                }
                Value::WrongType => return applied(Answer::Foreign),
                Value::Ours { .. } | Value::Other => {
                    let Some(until) = entry.until_ms else {
                        return applied(Answer::Foreign);
                    };
                    return applied(Answer::Held {
                        left: millis(until - self.millis(now)),
                        server_time: self.time(now),
                    });
                }
            }
        }
        if let Some(quarantine) = quarantine {
            return applied(quarantine);
        }
        // A token of the lease itself was found by a write that needs no memory: the rest needs none.
        if self.full && self.entry(now, request.key).is_none() {
            return refused(Refusal::Unavailable, None);
        }
        self.put(now, request, ttl);
        let time = self.micros(now);
        let mut next = time.max(self.counter(now, request.key) + 1);
        if let Some(proposal) = proposal.map(|fence| fence.get() as i64)
            && proposal > next
            && proposal <= time + AHEAD_MAX
        {
            next = proposal;
        }
        self.keep(now, request.key, next);
        match Fence::new(next.unsigned_abs()) {
            Some(fence) => applied(Answer::Granted {
                fence,
                server_time: self.time(now),
            }),
            None => refused(Refusal::Unavailable, None),
        }
    }

    fn repair(&mut self, now: Nanos, request: &Arrived, ttl: Duration, fence: Fence) -> Done {
        let held = self.entry(now, request.key);
        let mut least = None;
        if let Some(entry) = held {
            match entry.value {
                Value::Ours { lease, attempt } if lease == request.lease => {
                    if attempt > request.attempt {
                        return applied(Answer::Taken);
                    }
                    least = entry.until_ms;
                }
                Value::WrongType => return applied(Answer::Foreign),
                Value::Ours { .. } | Value::Other if entry.until_ms.is_none() => {
                    return applied(Answer::Foreign);
                }
                Value::Ours { .. } | Value::Other => return applied(Answer::Taken),
            }
        }
        // Out of memory too: the script began with a write that needs none.
        self.store(now, request.key, fence);
        self.put(now, request, ttl);
        if let Some(entry) = &mut self.data.keys[usize::from(request.key)] {
            entry.until_ms = entry.until_ms.max(least);
        }
        applied(Answer::Done)
    }

    fn release(&mut self, now: Nanos, request: &Arrived) -> Answer {
        let Some(entry) = self.entry(now, request.key) else {
            return Answer::Gone;
        };
        match entry.value {
            Value::Ours { lease, attempt } if lease == request.lease => {
                if attempt > request.attempt {
                    return Answer::Taken;
                }
                self.set(request.key, None);
                Answer::Done
            }
            Value::WrongType => Answer::Foreign,
            Value::Ours { .. } | Value::Other if entry.until_ms.is_none() => Answer::Foreign,
            Value::Ours { .. } | Value::Other => Answer::Taken,
        }
    }

    /// What renew and confirm say of a key that must hold exactly this token.
    fn exactly(&self, now: Nanos, request: &Arrived) -> Answer {
        let Some(entry) = self.entry(now, request.key) else {
            return Answer::Gone;
        };
        match entry.value {
            Value::Ours { lease, attempt } if lease == request.lease => {
                match attempt.cmp(&request.attempt) {
                    std::cmp::Ordering::Equal => Answer::Done,
                    std::cmp::Ordering::Less => Answer::Gone,
                    std::cmp::Ordering::Greater if entry.until_ms.is_none() => Answer::Foreign,
                    std::cmp::Ordering::Greater => Answer::Taken,
                }
            }
            Value::WrongType => Answer::Foreign,
            Value::Ours { .. } | Value::Other if entry.until_ms.is_none() => Answer::Foreign,
            Value::Ours { .. } | Value::Other => Answer::Taken,
        }
    }

    fn put(&mut self, now: Nanos, request: &Arrived, ttl: Duration) {
        let until_ms = self.millis(now) + ttl.as_millis() as i64;
        let (lease, attempt) = (request.lease, request.attempt);
        let entry = Entry {
            value: Value::Ours { lease, attempt },
            until_ms: Some(until_ms),
        };
        self.set(request.key, Some(entry));
    }

    /// Never shortens, and gives an expiry to what lost it.
    fn extend(&mut self, now: Nanos, key: u8, ttl: Duration) {
        let until_ms = self.millis(now) + ttl.as_millis() as i64;
        if let Some(entry) = &mut self.data.keys[usize::from(key)]
            && entry.until_ms.is_none_or(|until| until < until_ms)
        {
            entry.until_ms = Some(until_ms);
        }
    }

    fn counter(&self, now: Nanos, key: u8) -> i64 {
        self.counter_until(now, key).map_or(0, |(value, _)| value)
    }

    /// A key's fence counter and the last millisecond in which it is alive.
    pub(crate) fn counter_until(&self, now: Nanos, key: u8) -> Option<(i64, i64)> {
        self.data.counters[usize::from(key)].filter(|(_, until_ms)| self.millis(now) <= *until_ms)
    }

    fn keep(&mut self, now: Nanos, key: u8, value: i64) {
        let ahead_ms = ((value - self.micros(now)).max(0) + 999).div_euclid(1_000);
        let until_ms = self.millis(now) + KEEP_MS + ahead_ms;
        self.data.counters[usize::from(key)] = Some((value, until_ms));
    }

    fn store(&mut self, now: Nanos, key: u8, fence: Fence) -> Done {
        let fence = fence.get() as i64;
        if self.counter(now, key) < fence {
            self.keep(now, key, fence);
        }
        applied(Answer::Done)
    }
}

fn millis(span: i64) -> Duration {
    Duration::from_millis(span.max(0).unsigned_abs())
}
