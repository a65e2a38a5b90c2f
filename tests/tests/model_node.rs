//! The model of a node against what it is a model of: the adapter's scripts in the embedded server.
//! Both get the same requests at the same times, and must give the same answers and end with the
//! same keys.
//!
//! The model is compared in both of its precisions: that of the worlds, which is a server's, and
//! the exact one of the core's tests, of the model checker and of the transcripts.
#![forbid(unsafe_code)]

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tenure_core::{
    Answer, Fence, Fingerprint, Op, Place, PlaceId, Refusal, Reply, Serial, ServerTime, Words,
};
use tenure_redis::seams::{self, Answers, Script};
use tenure_sim::node::{
    Arrived, Entry, Exact, Fences, Identity, Milliseconds, Node, Precision, Pushed, Refused,
    SetOfNodes, Shown, Value, WRONG_QUEUE, WRONG_TYPE, Waiter,
};
use tenure_sim::server::{ManualClock, Reply as Wire, Server, Session};
use tenure_tests::conformance::wire::{self, Wire as Wired};
use tenure_tests::scripts::{self, Lock, Marker, STREAM};

const BEGIN_US: u64 = 1_767_225_600_123_456;
const KEYS: [&str; 2] = ["k", "l"];
/// The last one does not listen to pushes; each of the others has a channel with its number.
const LEASES: u32 = 3;
/// Whose it is, is told by the lease that asks.
const PLACE: Place = Place {
    id: PlaceId::new(0),
    pushed: false,
};
/// Over one node a lease waits with one attempt only, and with the same when it leaves its place.
const WAITING: u32 = 2;
const MAX_TTL_MS: u64 = 10_000;
const NODES: usize = 3;

/// A request to a node.
#[derive(Clone, Copy, Debug)]
struct Question {
    key: usize,
    lease: u32,
    attempt: u32,
    op: Op,
    /// Of an acquire that names the node it means: in which of its lives.
    life: Option<u32>,
    /// Whether the node is one of several.
    over_several: bool,
}

/// What somebody does to a key who knows nothing of locks.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    Deletes,
    /// Writes something else, for so many milliseconds or for ever.
    Overwrites(Option<i64>),
    /// Makes it a key of another type.
    Mistakes,
    /// Takes the expiry from it.
    Persists,
}

/// The lease and the attempt of the token that a key holds, if it is one; and when the key expires,
/// in milliseconds.
type Held = (Option<(u32, u32)>, Option<i64>);

#[derive(Clone, Debug)]
enum Step {
    Ask {
        key: usize,
        lease: u32,
        attempt: u32,
        op: Op,
        /// Of an acquire: whether it names the node, and whether it believes to ask its present
        /// life.
        named: Option<bool>,
    },
    Mark,
    /// A client connects, or has been connected for an hour.
    Keep,
    Restart {
        forgets: bool,
        durable: bool,
    },
    Full(bool),
    Stranger(usize, Stranger),
    /// Somebody deletes the stream of fences, or draws so many from it.
    Stream(Option<u16>),
    /// The client of this lease begins to listen, or ceases to.
    Listen(u32, bool),
    /// Somebody deletes the queue of a key, or puts a hash in its place.
    LoseQueue(usize, bool),
    /// In microseconds.
    Advance(u64),
    /// The wall clock is set, by so many microseconds.
    Clock(i64),
}

/// The spans of time that steps are made of.
#[derive(Clone, Copy)]
struct Spans {
    ttls_ms: &'static [u64],
    overwrites_ms: &'static [Option<i64>],
    advances_us: &'static [u64],
    clock_us: &'static [i64],
}

/// Down to the microsecond, and with a clock that is set back and forth.
const ANY: Spans = Spans {
    ttls_ms: &[1, 250, 1_000, 10_000],
    overwrites_ms: &[Some(1), Some(1_000), None],
    advances_us: &[
        1,
        999,
        1_000,
        1_001,
        250_000,
        999_999,
        1_000_000,
        10_000_000,
        86_400_500_000,
    ],
    clock_us: &[-2_000_000, -1_000, -1, 1, 1_000, 2_000_000],
};

/// Whole milliseconds whose sums are no TTL: so nothing is asked in the millisecond in which a key
/// expires, through which it lives at a server and not in the exact model.
const WHOLE: Spans = Spans {
    ttls_ms: &[250, 1_000, 10_000],
    overwrites_ms: &[Some(1_000), None],
    advances_us: &[1_000, 251_000, 1_001_000, 10_001_000],
    clock_us: &[0],
};

/// What is asked of one node, or of one of several.
fn op(spans: Spans, fences: Fences) -> BoxedStrategy<Op> {
    let ttl = move || select(spans.ttls_ms).prop_map(Duration::from_millis);
    // In the past, near the node's time, and so far ahead that a node does not follow.
    let fence = || {
        select(
            &[
                -3_600_000_000_i64,
                -1,
                0,
                1,
                1_000,
                2_000_000,
                59_000_000,
                90_000_000_000,
            ][..],
        )
        .prop_map(|us| {
            let time = ServerTime::from_micros(BEGIN_US.saturating_add_signed(us));
            Fence::of_time(time).expect("not zero")
        })
    };
    if fences == Fences::Stream {
        let proposal = None;
        let place = PLACE;
        let serial = || select(&[0, 1, 31, 32, 63][..]).prop_map(Serial::of);
        return prop_oneof![
            4 => ttl().prop_map(|ttl| Op::Take { ttl }),
            4 => ttl().prop_map(move |ttl| Op::Acquire { ttl, proposal, place: None }),
            12 => (ttl(), serial()).prop_map(move |(ttl, serial)| Op::Wait { ttl, place, serial }),
            4 => ttl().prop_map(|ttl| Op::Renew { ttl }),
            3 => Just(Op::Release { place: None, hints: false }),
            6 => Just(Op::Release { place: Some(place), hints: false }),
        ]
        .boxed();
    }
    let place = || prop::option::of(Just(PLACE));
    let acquire = (ttl(), prop::option::of(fence()), place());
    let release = (place(), any::<bool>());
    prop_oneof![
        8 => acquire.prop_map(|(ttl, proposal, place)| Op::Acquire { ttl, proposal, place }),
        2 => fence().prop_map(|fence| Op::Confirm { fence }),
        4 => ttl().prop_map(|ttl| Op::Renew { ttl }),
        2 => (ttl(), fence()).prop_map(|(ttl, fence)| Op::Repair { ttl, fence }),
        5 => release.prop_map(|(place, hints)| Op::Release { place, hints }),
        3 => ttl().prop_map(|ttl| Op::Stay { ttl, place: PLACE }),
    ]
    .boxed()
}

fn step(spans: Spans, fences: Fences) -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let ask = (
        key(),
        0..LEASES,
        select(&[1, 2, 10][..]),
        op(spans, fences),
        prop::option::of(prop::bool::weighted(0.8)),
    )
        .prop_map(|(key, lease, attempt, op, named)| Step::Ask {
            key,
            lease,
            attempt,
            op,
            named,
        });
    let restart = any::<(bool, bool)>();
    let stranger = prop_oneof![
        2 => Just(Stranger::Deletes),
        2 => select(spans.overwrites_ms).prop_map(Stranger::Overwrites),
        1 => Just(Stranger::Mistakes),
        2 => Just(Stranger::Persists),
    ];
    prop_oneof![
        20 => ask,
        3 => Just(Step::Mark),
        1 => Just(Step::Keep),
        1 => prop::option::of(select(&[1, 500, 1_799, 1_800][..])).prop_map(Step::Stream),
        4 => (0..LEASES, any::<bool>()).prop_map(|(lease, on)| Step::Listen(lease, on)),
        1 => (key(), any::<bool>()).prop_map(|(key, spoils)| Step::LoseQueue(key, spoils)),
        1 => restart.prop_map(|(forgets, durable)| Step::Restart { forgets, durable }),
        1 => prop::bool::weighted(0.3).prop_map(Step::Full),
        2 => (key(), stranger).prop_map(|(key, stranger)| Step::Stranger(key, stranger)),
        6 => select(spans.advances_us).prop_map(Step::Advance),
        1 => select(spans.clock_us).prop_map(Step::Clock),
    ]
}

/// The model, with the same methods as [`Real`].
struct Model<P> {
    node: Node<P>,
    wall_us: i64,
    lives: u32,
}

impl<P: Precision> Model<P> {
    const TICKS_PER_MS: i64 = 1_000_000 / P::TICK;
    const SET: SetOfNodes = SetOfNodes {
        max_ttl: MAX_TTL_MS as i64 * Self::TICKS_PER_MS,
        nodes: NODES,
    };

    fn beginning(at_us: u64, fences: Fences) -> Self {
        Self {
            node: Node::new(KEYS.len(), fences),
            wall_us: i64::try_from(at_us).expect("in range"),
            lives: 0,
        }
    }

    const fn shown(&self) -> Shown {
        Shown::wall::<P>(self.wall_us * 1_000)
    }

    const fn identity(life: u32) -> Identity {
        Identity {
            run: life,
            replication: life,
        }
    }

    fn mark(&mut self) {
        self.node.mark(self.shown(), Self::SET);
    }

    fn ask(&mut self, question: &Question) -> Reply {
        let life = question.life;
        let arrived = Arrived {
            key: question.key,
            lease: question.lease,
            attempt: question.attempt,
            op: question.op,
            channel: question.channel(),
            marker: life.map(|life| (Self::identity(life), Self::SET)),
        };
        match self.node.apply(self.shown(), &arrived) {
            Ok(answer) => Reply::Applied(answer),
            Err(Refused::Unmarked) => Reply::NotApplied(Refusal::Rejected(Words::new("unmarked"))),
            Err(Refused::OutOfMemory) => out_of_memory(),
            Err(Refused::OtherSet) => panic!("there is one set of nodes"),
        }
    }

    fn keep(&mut self) {
        self.node.keep_stream(self.shown());
    }

    fn listen(&mut self, lease: u32, on: bool) {
        self.node.channels.retain(|channel| *channel != lease);
        if on {
            self.node.channels.push(lease);
        }
    }

    /// Who waits for a key.
    fn waiters(&self, key: usize) -> Vec<Waiting> {
        let waiters = self.node.waiters(key).iter();
        let waiting = |waiter: &Waiter| Waiting {
            lease: waiter.lease,
            pushed: waiter.channel.is_some(),
            until_ms: waiter.until / Self::TICKS_PER_MS,
            serial: waiter.serial.get(),
        };
        waiters.map(waiting).collect()
    }

    /// What was pushed since this was last asked, each with its channel.
    fn pushes(&mut self) -> Vec<(u32, String)> {
        let text = |pushed: Pushed| {
            let place = pushed.place.id.get();
            let granted = pushed
                .granted
                .map(|(serial, fence)| format!(" {} {}", serial.get(), fence.get()));
            let granted = granted.unwrap_or_default();
            (pushed.channel, format!("{place:016x}{granted}"))
        };
        self.node.pushes.drain(..).map(text).collect()
    }

    fn stream(&mut self, draws: Option<u16>) {
        let Some(draws) = draws else {
            return self.node.lose_stream();
        };
        for _ in 0..draws {
            if self.node.stream_kept(self.shown()).is_some() {
                self.node.draw(self.shown());
            }
        }
    }

    fn restart(&mut self, forgets: bool, durable: bool) {
        if forgets {
            self.node.forget();
        }
        self.lives += 1;
        self.node.identity = Self::identity(self.lives);
        self.node.durable = durable;
    }

    fn stranger(&mut self, key: usize, stranger: Stranger) {
        let now = self.shown();
        let entry = match stranger {
            Stranger::Deletes => None,
            Stranger::Overwrites(ms) => Some(Entry {
                value: Value::Other,
                until: ms.map(|ms| now.ticks + ms * Self::TICKS_PER_MS),
            }),
            Stranger::Mistakes => Some(Entry {
                value: Value::WrongType,
                until: None,
            }),
            Stranger::Persists => self.node.entry(now, key).map(|entry| Entry {
                until: None,
                ..entry
            }),
        };
        self.node.set(key, entry);
    }

    fn holds(&self, key: usize) -> Option<Held> {
        let entry = self.node.entry(self.shown(), key)?;
        let token = match entry.value {
            Value::Token { lease, attempt } => Some((lease, attempt)),
            Value::Other | Value::WrongType => None,
        };
        Some((token, entry.until.map(|until| until / Self::TICKS_PER_MS)))
    }

    /// The last id of the stream and, where it expires, when.
    fn stream_kept(&self) -> Option<((i64, i64), Option<i64>)> {
        let (last, until) = self.node.stream_kept(self.shown())?;
        Some((last, P::COUNTERS_EXPIRE.then_some(until)))
    }

    /// The last fence of a key and, where counters expire, when its counter does.
    fn counter(&self, key: usize) -> Option<(i64, Option<i64>)> {
        let (fence, until) = self.node.counter(self.shown(), key)?;
        Some((fence, P::COUNTERS_EXPIRE.then_some(until)))
    }

    fn marked_until_ms(&self) -> Option<i64> {
        let until = self.node.marked_until(self.shown())?;
        Some(until / Self::TICKS_PER_MS)
    }
}

/// A place of a lease, as both say it.
#[derive(Debug, PartialEq)]
struct Waiting {
    lease: u32,
    pushed: bool,
    until_ms: i64,
    serial: u8,
}

impl Question {
    /// With the place of the lease, and over one node the attempt that waits.
    fn placed(mut self, fences: seams::Fences) -> Self {
        self.over_several = fences == seams::Fences::Counters;
        let own = Place {
            id: PlaceId::new(0xabcd_0000_0000_0000 + u64::from(self.lease)),
            pushed: self.lease + 1 < LEASES,
        };
        match &mut self.op {
            Op::Wait { place, .. }
            | Op::Release {
                place: Some(place), ..
            }
            | Op::Acquire {
                place: Some(place), ..
            }
            | Op::Stay { place, .. } => {
                *place = own;
                if !self.over_several {
                    self.attempt = WAITING;
                }
            }
            _ => {}
        }
        self
    }

    fn place(&self) -> Option<Place> {
        match self.op {
            Op::Wait { place, .. } | Op::Stay { place, .. } => Some(place),
            Op::Release { place, .. } | Op::Acquire { place, .. } => place,
            _ => None,
        }
    }

    fn channel(&self) -> Option<u32> {
        let place = self.place().filter(|place| place.pushed);
        place.map(|_| self.lease)
    }

    /// What stands in the queue for the lease.
    fn member(&self) -> String {
        let Some(place) = self.place() else {
            return String::new();
        };
        let attempt = if self.over_several { 1 } else { self.attempt };
        let token = token(self.lease, attempt);
        let channel = self.channel().map(channel).unwrap_or_default();
        format!(
            "Ax{:016x}{:03}{token}{channel}",
            place.id.get(),
            token.len()
        )
    }
}

/// Where the client of a lease listens.
fn channel(lease: u32) -> String {
    format!("pushes:{lease}")
}

/// The embedded server, asked as the adapter asks.
struct Real {
    /// That of each lease.
    ears: Vec<Session>,
    server: Server,
    clock: ManualClock,
    fences: seams::Fences,
    life: u32,
    durable: bool,
}

/// The first eight digits of a secret are those that a waiter is told.
fn token(lease: u32, attempt: u32) -> String {
    format!("{lease:08x}{:024x}:{attempt}", 0)
}

impl Real {
    fn beginning(at_us: u64, fences: Fences) -> Self {
        let clock = ManualClock::new(at_us);
        let server = Server::new(clock.clone());
        Self {
            ears: (0..LEASES).map(|_| server.session()).collect(),
            server,
            clock,
            fences: match fences {
                Fences::Stream => seams::Fences::Stream,
                Fences::Counters => seams::Fences::Counters,
            },
            life: 0,
            durable: false,
        }
    }

    fn call(&self, script: Script, locks: &[Lock], marker: Option<&Marker>) -> Wire {
        self.server.call(&scripts::call(script, locks, marker))
    }

    /// What a client says of the node, in one of its lives.
    fn marker(&self, life: u32) -> Marker {
        Marker {
            key: "tenure:node".to_owned(),
            run_id: format!("run{life}"),
            replication_id: format!("replication{life}"),
            durable: u8::from(self.durable).to_string(),
            since: self.marked_since().unwrap_or_else(|| "0".to_owned()),
            max_ttl: MAX_TTL_MS.to_string(),
            nodes: NODES.to_string(),
            name: String::new(),
        }
    }

    /// Since when it is marked, as a client knows it that has just marked it.
    fn marked_since(&self) -> Option<String> {
        let text = String::from_utf8(self.server.peek("tenure:node")?).expect("text");
        text.split(' ').nth(3).map(str::to_owned)
    }

    fn mark(&self) {
        self.call(Script::Mark, &[], Some(&self.marker(self.life)));
    }

    /// By plain commands. The adapter draws behind each write, also if nothing was taken; that is
    /// left out here.
    fn take(&self, key: &str, token: &str, ttl: Duration) -> Reply {
        let ttl = ttl.as_millis().to_string();
        let set = self.server.call(&["SET", key, token, "NX", "PX", &ttl]);
        Reply::Applied(match set {
            Wire::Status(_) => self.draw().unwrap_or(Answer::Unfenced),
            // Out of memory the server does not look.
            _ => Answer::Busy,
        })
    }

    fn draw(&self) -> Option<Answer> {
        let draw = ["XADD", STREAM, "NOMKSTREAM", "MAXLEN", "0", "*", "", ""];
        drawn(&text(&self.server.call(&draw))?)
    }

    fn listen(&mut self, lease: u32, on: bool) {
        let word = if on { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
        let request = wire::request(&[word.into(), channel(lease).into_bytes()]);
        let told = self.ears[lease as usize].exchange(&request);
        told.expect("well formed");
    }

    fn waiters(&self, key: usize) -> Vec<Waiting> {
        let members = self.server.peek_sorted(queue(KEYS[key]));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let kept = |id: &str| {
            let mut of_it = members
                .iter()
                .filter(|(member, _)| text(member) == format!("B{id}"));
            of_it.next().expect("both members are there").1 as i64
        };
        let places = members.iter().filter(|(member, _)| member[0] == b'A');
        let places: Vec<_> = places
            .map(|(member, _)| {
                let member = text(member);
                let kept = kept(&member[2..18]);
                let token_ends = 21 + member[18..21].parse::<usize>().expect("a length");
                Waiting {
                    lease: u32::from_str_radix(&member[21..29], 16).expect("a lease"),
                    pushed: member.len() > token_ends,
                    until_ms: kept / 64,
                    serial: (kept % 64) as u8,
                }
            })
            .collect();
        assert_eq!(members.len(), 2 * places.len(), "no half of a place");
        if let Some(last) = places.iter().map(|place| place.until_ms).max() {
            let until = self.server.peek_expiry_ms(queue(KEYS[key]));
            let next = last - last % 10_000 + 10_000;
            assert!(until >= Some(next), "no place outlives its queue");
        }
        places
    }

    /// As [`Model::pushes`] says it.
    fn pushes(&mut self) -> Vec<(u32, String)> {
        let mut pushes = Vec::new();
        for (lease, ear) in (0..).zip(&mut self.ears) {
            let mut bytes = &ear.exchange(b"").expect("nothing")[..];
            while let Some((Wired::Array(parts), length)) = wire::reply(bytes) {
                bytes = &bytes[length..];
                let [_, _, Wired::Bulk(text)] = &parts[..] else {
                    panic!("no message: {parts:?}");
                };
                let text = String::from_utf8(text.clone()).expect("text");
                let Some((place, id)) = text.rsplit_once(' ') else {
                    pushes.push((lease, text));
                    continue;
                };
                let Some(Answer::Granted { fence, .. }) = drawn(id) else {
                    panic!("no fence: {text}");
                };
                pushes.push((lease, format!("{place} {}", fence.get())));
            }
        }
        pushes
    }

    fn keep(&self) {
        if self.fences == seams::Fences::Stream {
            self.call(Script::Keep, &[], None);
        }
    }

    fn stream(&self, draws: Option<u16>) {
        match draws {
            None => drop(self.server.call(&["DEL", STREAM])),
            Some(draws) => (0..draws).for_each(|_| {
                self.draw();
            }),
        }
    }

    /// The last id of the stream and when it expires.
    fn stream_kept(&self) -> Option<((i64, i64), i64)> {
        let (ms, seq) = self.server.peek_stream(STREAM)?;
        let until = self.server.peek_expiry_ms(STREAM);
        let last = (ms.cast_signed(), seq.cast_signed());
        Some((last, until.expect("a stream has an expiry")))
    }

    fn ask(&self, question: &Question) -> Reply {
        let (ttl, proposal, fence) = match question.op {
            Op::Take { ttl } => {
                let token = token(question.lease, question.attempt);
                return self.take(KEYS[question.key], &token, ttl);
            }
            Op::Acquire { ttl, proposal, .. } => (Some(ttl), proposal, None),
            Op::Wait { ttl, .. } | Op::Stay { ttl, .. } => (Some(ttl), None, None),
            Op::Confirm { fence } => (None, None, Some(fence)),
            Op::Renew { ttl } => (Some(ttl), None, None),
            Op::Repair { ttl, fence } => (Some(ttl), None, Some(fence)),
            Op::Release { .. } | Op::Watch | Op::Acknowledge => (None, None, None),
        };
        let number = |fence: Option<Fence>| fence.map_or(0, Fence::get).to_string();
        let key = KEYS[question.key];
        let lock = Lock {
            key: key.to_owned(),
            counter: counter(key),
            token: token(question.lease, question.attempt),
            ttl: ttl.unwrap_or_default().as_millis().to_string(),
            proposal: number(proposal),
            fence: number(fence),
            queue: queue(key),
            place: question.member(),
            serial: match question.op {
                Op::Wait { serial, .. } => serial.get().to_string(),
                _ => String::new(),
            },
            hints: match question.op {
                Op::Release { hints: true, .. } => "1".to_owned(),
                _ => "0".to_owned(),
            },
            seen: String::new(),
        };
        let script = Script::asking(question.op.kind(), self.fences);
        let layout = script.layout();
        // Only an acquire says which node it means.
        let life = question.life.filter(|_| !layout.marker_args.is_empty());
        let marker = life.map(|life| self.marker(life));
        let reply = self.call(script, &[lock], marker.as_ref());
        let reply = match layout.answers {
            Answers::EachLock | Answers::EachLockAndTime => return acquired(&reply),
            Answers::Failures => why(reply),
            Answers::Word | Answers::Other => reply,
        };
        word(&reply).map_or_else(|| refused(&reply), Reply::Applied)
    }

    fn stranger(&self, key: usize, stranger: Stranger) {
        let key = KEYS[key];
        match stranger {
            Stranger::Deletes => drop(self.server.call(&["DEL", key])),
            Stranger::Overwrites(Some(ms)) => {
                drop(
                    self.server
                        .call(&["SET", key, "a stranger's", "PX", &ms.to_string()]),
                );
            }
            Stranger::Overwrites(None) => drop(self.server.call(&["SET", key, "a stranger's"])),
            Stranger::Mistakes => {
                self.server.call(&["DEL", key]);
                self.server.call(&["HSET", key, "f", "v"]);
            }
            Stranger::Persists => drop(self.server.call(&["PERSIST", key])),
        }
    }

    fn restart(&mut self, forgets: bool, durable: bool) {
        if forgets {
            self.server.call(&["FLUSHALL"]);
        }
        self.life += 1;
        self.durable = durable;
    }

    /// As [`Model::holds`] says it.
    fn holds(&self, key: usize) -> Option<Held> {
        let key = KEYS[key];
        let token = match self.server.peek(key) {
            Some(value) => {
                let text = String::from_utf8(value).expect("text");
                let split = text.split_once(':');
                split.map(|(lease, attempt)| {
                    let lease = u32::from_str_radix(&lease[..8], 16).expect("a lease");
                    (lease, attempt.parse().expect("an attempt"))
                })
            }
            None if self.server.keys().contains(&key.as_bytes().to_vec()) => None,
            None => return None,
        };
        Some((token, self.server.peek_expiry_ms(key)))
    }

    /// The last fence of a key and when its counter expires.
    fn counter(&self, key: usize) -> Option<(i64, i64)> {
        let key = counter(KEYS[key]);
        let value = String::from_utf8(self.server.peek(&key)?).expect("text");
        let until = self
            .server
            .peek_expiry_ms(key)
            .expect("a counter has an expiry");
        Some((value.parse().expect("a number"), until))
    }
}

fn counter(key: &str) -> String {
    format!("{key}:tenure:fence:{{{key}}}")
}

fn queue(key: &str) -> String {
    format!("{key}:tenure:queue:{{{key}}}")
}

fn text(reply: &Wire) -> Option<String> {
    match reply {
        Wire::Bulk(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn word(reply: &Wire) -> Option<Answer> {
    match text(reply)?.as_str() {
        "done" => Some(Answer::Done),
        "gone" => Some(Answer::Gone),
        "taken" => Some(Answer::Taken),
        "full" => Some(Answer::Full),
        "foreign" => Some(Answer::Foreign),
        "wrong key hash" => Some(WRONG_TYPE),
        "wrong queue hash" => Some(WRONG_QUEUE),
        _ => None,
    }
}

/// How both models refuse when they are out of memory.
fn out_of_memory() -> Reply {
    Reply::NotApplied(Refusal::Unavailable(Words::fixed("OOM")))
}

/// A refusal, of which only the kind is compared.
fn refused(reply: &Wire) -> Reply {
    let said = match reply {
        Wire::Error(said) => said.clone(),
        other => text(other).unwrap_or_else(|| format!("{other:?}")),
    };
    assert!(said.contains("OOM"), "no answer of a script: {said}");
    out_of_memory()
}

/// The answer for one lock. A call answers only for the locks that it did not renew or release.
fn why(reply: Wire) -> Wire {
    match reply {
        Wire::Array(failures) if failures.is_empty() => Wire::bulk("done"),
        Wire::Array(failures) => failures[1].clone(),
        other => other,
    }
}

/// The number of a lease, or the one number that the model has for all that is no token.
fn fingerprint(digits: &str) -> Fingerprint {
    assert_eq!(digits.len(), 8, "{digits}");
    match u32::from_str_radix(digits, 16).expect("hexadecimal digits") {
        lease @ 0..LEASES => Fingerprint::new(lease),
        _ => Value::Other.fingerprint(),
    }
}

/// The grant with this id of the stream.
fn drawn(id: &str) -> Option<Answer> {
    let (ms, seq) = id.split_once('-').expect("an id");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    Some(Answer::Granted {
        fence: Fence::of_stream(number(ms), number(seq))?,
        server_time: ServerTime::from_micros(1_000 * number(ms)),
    })
}

fn acquired(reply: &Wire) -> Reply {
    let Wire::Array(answers) = reply else {
        return refused(reply);
    };
    if let [Wire::Int(fence), Wire::Int(time)] = &answers[..] {
        return Reply::Applied(Answer::Granted {
            fence: Fence::new(fence.unsigned_abs()).expect("not zero"),
            server_time: ServerTime::from_micros(time.unsigned_abs()),
        });
    }
    let said = text(&answers[0]).expect("a string for each lock");
    let words: Vec<_> = said.split(' ').collect();
    let number = |text: &str| text.parse().expect("a number");
    match words[..] {
        ["granted", id] => Reply::Applied(drawn(id).expect("a fence")),
        ["held", left, now, holder] => Reply::Applied(Answer::Held {
            left: Duration::from_millis(number(left)),
            server_time: ServerTime::from_micros(number(now)),
            holder: fingerprint(holder).into(),
            ahead: None,
        }),
        ["queued", ahead, left, now, holder] => Reply::Applied(Answer::Held {
            left: Duration::from_millis(number(left)),
            server_time: ServerTime::from_micros(number(now)),
            holder: fingerprint(holder).into(),
            ahead: Some(ahead.parse().expect("a number")),
        }),
        ["waiting", ahead, left, hands_on, holder] => Reply::Applied(Answer::Waiting {
            ahead: ahead.parse().expect("a number"),
            left: (left != "-1").then(|| Duration::from_millis(number(left))),
            hands_on: hands_on == "1",
            holder: fingerprint(holder).into(),
        }),
        ["quarantine", left] => Reply::Applied(Answer::Quarantined {
            left: Duration::from_millis(number(left)),
        }),
        ["unmarked"] => Reply::NotApplied(Refusal::Rejected(Words::new("unmarked"))),
        _ => word(&answers[0]).map_or_else(|| refused(&answers[0]), Reply::Applied),
    }
}

/// One step, to both.
fn take<P: Precision>(
    step: &Step,
    model: &mut Model<P>,
    real: &mut Real,
) -> Result<(), TestCaseError> {
    match *step {
        Step::Ask {
            key,
            lease,
            attempt,
            op,
            named,
        } => {
            let question = Question {
                key,
                lease,
                attempt,
                op,
                life: named.map(|now| if now { model.lives } else { model.lives + 1 }),
                over_several: false,
            }
            .placed(real.fences);
            prop_assert_eq!(model.ask(&question), real.ask(&question));
        }
        Step::Mark => {
            model.mark();
            real.mark();
        }
        Step::Keep => {
            model.keep();
            real.keep();
        }
        Step::Stream(draws) => {
            // A server without memory would refuse the draws.
            model.node.full = false;
            real.server.set_oom(false);
            model.stream(draws);
            real.stream(draws);
        }
        Step::Listen(lease, on) => {
            model.listen(lease, on);
            real.listen(lease, on);
        }
        Step::LoseQueue(key, spoils) => {
            model.node.lose_queue(key);
            real.server.call(&["DEL", &queue(KEYS[key])]);
            if spoils {
                model.node.full = false;
                real.server.set_oom(false);
                model.node.spoil_queue(key);
                real.server.call(&["HSET", &queue(KEYS[key]), "f", "v"]);
            }
        }
        Step::Restart { forgets, durable } => {
            model.restart(forgets, durable);
            real.restart(forgets, durable);
        }
        Step::Full(full) => {
            model.node.full = full;
            real.server.set_oom(full);
        }
        _ => happen(step, model, real),
    }
    compare(model, real)
}

/// What nobody asked for, to both.
fn happen<P: Precision>(step: &Step, model: &mut Model<P>, real: &mut Real) {
    match *step {
        Step::Stranger(key, stranger) => {
            // A server without memory would refuse the stranger too.
            model.node.full = false;
            real.server.set_oom(false);
            model.stranger(key, stranger);
            real.stranger(key, stranger);
        }
        Step::Advance(us) => {
            model.wall_us += us.cast_signed();
            real.clock.advance(Duration::from_micros(us));
        }
        Step::Clock(us) => {
            model.wall_us += us;
            let span = Duration::from_micros(us.unsigned_abs());
            if us < 0 {
                real.clock.step_back(span);
            } else {
                real.clock.advance(span);
            }
        }
        _ => unreachable!("it is asked for"),
    }
}

/// What both hold.
fn compare<P: Precision>(model: &mut Model<P>, real: &mut Real) -> Result<(), TestCaseError> {
    // Both delete what has expired. When a server does this by itself is not compared.
    model.node.expire(model.shown());
    real.server.expire_now();
    let marked = real.server.peek_expiry_ms("tenure:node");
    prop_assert_eq!(model.marked_until_ms(), marked);
    let stream = real.stream_kept();
    let stream = stream.map(|(last, until)| (last, P::COUNTERS_EXPIRE.then_some(until)));
    prop_assert_eq!(model.stream_kept(), stream);
    prop_assert_eq!(model.pushes(), real.pushes());
    for key in 0..KEYS.len() {
        prop_assert_eq!(model.holds(key), real.holds(key));
        prop_assert_eq!(model.waiters(key), real.waiters(key));
        let counter = real.counter(key);
        let counter = counter.map(|(fence, until)| (fence, P::COUNTERS_EXPIRE.then_some(until)));
        prop_assert_eq!(model.counter(key), counter);
    }
    Ok(())
}

fn agree<P: Precision>(begin_us: u64, fences: Fences, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut real = Real::beginning(begin_us, fences);
    let mut model = Model::<P>::beginning(begin_us, fences);
    for (at, step) in steps.iter().enumerate() {
        take(step, &mut model, &mut real)
            .map_err(|error| TestCaseError::fail(format!("step {at}: {step:?}: {error}")))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_model_of_a_node_answers_as_the_scripts_do(
        steps in prop::collection::vec(step(ANY, Fences::Counters), 1..60),
    ) {
        agree::<Milliseconds>(BEGIN_US, Fences::Counters, &steps)?;
    }

    #[test]
    fn the_model_of_the_only_node_answers_as_scripts_and_commands_do(
        steps in prop::collection::vec(step(ANY, Fences::Stream), 1..60),
    ) {
        agree::<Milliseconds>(BEGIN_US, Fences::Stream, &steps)?;
    }

    #[test]
    fn the_exact_model_of_a_node_answers_as_the_scripts_do(
        steps in prop::collection::vec(step(WHOLE, Fences::Counters), 1..60),
    ) {
        let begin_us = BEGIN_US.next_multiple_of(1_000);
        agree::<Exact>(begin_us, Fences::Counters, &steps)?;
    }

    #[test]
    fn the_exact_model_of_the_only_node_answers_as_its_scripts_do(
        steps in prop::collection::vec(step(WHOLE, Fences::Stream), 1..60),
    ) {
        let begin_us = BEGIN_US.next_multiple_of(1_000);
        agree::<Exact>(begin_us, Fences::Stream, &steps)?;
    }
}

/// A request of a lease on the first key, by the attempt that waits.
fn ask(lease: u32, op: Op) -> Step {
    Step::Ask {
        key: 0,
        lease,
        attempt: WAITING,
        op,
        named: None,
    }
}

/// What a lease asks at the first key of the only node.
fn placed(lease: u32, op: Op) -> Question {
    let question = Question {
        key: 0,
        lease,
        attempt: WAITING,
        op,
        life: None,
        over_several: false,
    };
    question.placed(seams::Fences::Stream)
}

/// The part of a call by which a lease waits for the first key.
fn waits(lease: u32, wait: Op) -> Lock {
    Lock {
        key: KEYS[0].to_owned(),
        token: token(lease, WAITING),
        ttl: "10000".to_owned(),
        queue: queue(KEYS[0]),
        place: placed(lease, wait).member(),
        serial: "2".to_owned(),
        ..Lock::default()
    }
}

/// Some leases that want one lock of the only node.
fn of_a_queue() -> (Op, Op, Op) {
    let (ttl, place) = (Duration::from_secs(10), PLACE);
    let serial = Serial::of(1);
    let release = Op::Release {
        place: Some(PLACE),
        hints: false,
    };
    (Op::Take { ttl }, Op::Wait { ttl, place, serial }, release)
}

#[test]
fn who_wins_a_key_by_a_late_take_keeps_no_place() {
    let (take, wait, release) = of_a_queue();
    let steps = [
        Step::Keep,
        ask(1, take),
        ask(0, wait),
        Step::Stranger(0, Stranger::Deletes),
        ask(0, take),
        ask(0, wait),
        ask(0, release),
    ];
    agree::<Milliseconds>(BEGIN_US, Fences::Stream, &steps).expect("they agree");
}

/// Its own place may be the first, between others, the last or the only one.
#[test]
fn who_gives_back_a_key_that_a_late_take_won_is_not_handed_it_again() {
    let (take, wait, release) = of_a_queue();
    for queued in [&[0][..], &[0, 1], &[1, 0], &[1, 0, 2]] {
        let mut steps = vec![Step::Keep, Step::Stranger(0, Stranger::Overwrites(None))];
        steps.extend(queued.iter().map(|lease| Step::Listen(*lease, true)));
        steps.extend(queued.iter().map(|lease| ask(*lease, wait)));
        steps.extend([
            Step::Stranger(0, Stranger::Deletes),
            ask(0, take),
            ask(0, release),
            ask(1, wait),
        ]);
        agree::<Milliseconds>(BEGIN_US, Fences::Stream, &steps).expect("they agree");
    }
}

/// The first in line is dead, and what is to be removed with it is the own place of the holder.
#[test]
fn who_gives_a_key_back_removes_its_own_place_and_the_dead_before_it() {
    let (take, wait, release) = of_a_queue();
    for others in [&[][..], &[2]] {
        let five_seconds = Step::Advance(5_100_000);
        let foreign = Step::Stranger(0, Stranger::Overwrites(None));
        let mut steps = vec![Step::Keep, foreign, ask(1, wait), five_seconds.clone()];
        steps.push(ask(0, wait));
        steps.extend(others.iter().map(|lease| ask(*lease, wait)));
        let deleted = Step::Stranger(0, Stranger::Deletes);
        steps.extend([
            five_seconds,
            deleted,
            ask(0, take),
            ask(0, release),
            ask(2, wait),
        ]);
        agree::<Milliseconds>(BEGIN_US, Fences::Stream, &steps).expect("they agree");
    }
}

/// The second finds the queue as the first has left it, and not as the call found it.
#[test]
fn those_that_enter_a_queue_in_one_call_stand_in_its_order() {
    let real = Real::beginning(BEGIN_US, Fences::Stream);
    let (take, wait, _) = of_a_queue();
    real.ask(&placed(2, take));
    let answers = real.call(Script::WaitOne, &[waits(1, wait), waits(0, wait)], None);
    let Wire::Array(answers) = answers else {
        panic!("expected an array, got {answers:?}");
    };
    for (at, answer) in answers.iter().enumerate() {
        let begins = format!("waiting {at} ");
        assert!(
            text(answer).expect("a text").starts_with(&begins),
            "{answer:?}"
        );
    }
    let orders = real.server.peek_sorted(queue(KEYS[0]));
    let orders: Vec<f64> = orders.iter().take(2).map(|(_, order)| *order).collect();
    assert_eq!(orders, [1.0, 2.0]);
}

/// Without a fence nobody is handed the lock: then it is free, and whoever left is gone.
#[test]
fn where_no_fence_can_be_drawn_a_lock_stays_with_nobody() {
    let (take, wait, release) = of_a_queue();
    let real = Real::beginning(BEGIN_US, Fences::Stream);
    let name = queue(KEYS[0]);
    real.server.call(&["SET", KEYS[0], "foreign"]);
    real.ask(&placed(1, wait));
    real.ask(&placed(0, wait));
    real.server.call(&["DEL", KEYS[0]]);
    real.ask(&placed(0, take));
    real.server.call(&["DEL", STREAM]);
    real.server.call(&["SET", STREAM, "another use"]);
    real.ask(&placed(0, release));
    assert_eq!(real.holds(0), None, "it is deleted, and not handed on");
    assert_eq!(
        real.server.peek_sorted(&name).len(),
        2,
        "only the other has a place"
    );
    drop(real.call(Script::WaitOne, &[waits(0, wait)], None));
    assert_eq!(real.holds(0), None, "it is not set for who has no fence");
}

/// As some libraries write "never": the end of the year 9999.
#[test]
fn the_time_that_is_left_to_a_holder_is_told_in_digits() {
    const FAR_MS: u64 = 253_402_300_799_000;
    let (_, wait, _) = of_a_queue();
    let real = Real::beginning(BEGIN_US, Fences::Stream);
    let far = FAR_MS.to_string();
    real.server.call(&["SET", KEYS[0], "foreign", "PXAT", &far]);
    let Reply::Applied(Answer::Waiting { left, .. }) = real.ask(&placed(0, wait)) else {
        panic!("somebody holds it");
    };
    let left = left.expect("it expires").as_millis();
    assert_eq!(left, u128::from(FAR_MS - BEGIN_US / 1_000));
}

/// By that a waiter sees that another holds the lock now, and whose it is.
#[test]
fn who_waits_is_told_a_part_of_what_is_under_the_key() {
    let (_, wait, _) = of_a_queue();
    let real = Real::beginning(BEGIN_US, Fences::Stream);
    let digits = "0123456789abcdef0123456789ABCDEF";
    let digest = |value: &str| {
        let begin = "return string.sub(redis.sha1hex(ARGV[1]), 1, 8)";
        let begin = real.server.call(&["EVAL", begin, "0", value]);
        format!("0 {}", text(&begin).expect("a text"))
    };
    let no_digits = format!("{}:7", "g".repeat(32));
    let too_few = format!("{}:7", &digits[1..]);
    let no_attempt = format!("{digits}:x");
    let tokens = [
        (format!("{digits}:7"), "1 01234567".to_owned()),
        (format!("a b:{digits}:7"), "1 01234567 a b".to_owned()),
        // What is no token may have such digits, too.
        (format!("0{digits}:7"), "0 01234567".to_owned()),
        (no_digits.clone(), digest(&no_digits)),
        (too_few.clone(), digest(&too_few)),
        (no_attempt.clone(), digest(&no_attempt)),
    ];
    for (value, told) in tokens {
        real.server.call(&["SET", KEYS[0], &value]);
        let Wire::Array(answers) = real.call(Script::WaitOne, &[waits(0, wait)], None) else {
            panic!("expected an array");
        };
        let expected = format!("waiting 0 -1 {told}");
        assert_eq!(text(&answers[0]).as_deref(), Some(&*expected), "{value}");
    }
}

/// More of them than one look at the queue shows: the model has no such bound.
#[test]
fn behind_more_dead_than_are_looked_at_a_lock_is_free_to_anybody() {
    let mut real = Real::beginning(BEGIN_US, Fences::Stream);
    let (take, wait, release) = of_a_queue();
    let ask = |real: &mut Real, lease, op| {
        let question = Question {
            key: 0,
            lease,
            attempt: WAITING,
            op,
            life: None,
            over_several: false,
        };
        real.ask(&question.placed(real.fences))
    };
    let name = queue(KEYS[0]);
    for order in 1..=1_100 {
        let place = format!("Ax{order:016x}003x:1");
        let order = order.to_string();
        real.server.call(&["ZADD", &name, &order, &place]);
    }
    ask(&mut real, 0, take);
    ask(&mut real, 1, wait);
    assert_eq!(ask(&mut real, 0, release), Reply::Applied(Answer::Done));
    assert_eq!(real.holds(0), None, "it is deleted, and not handed on");
    let left = real.server.peek_sorted(&name).len();
    assert!((1..100).contains(&left), "the dead are gone: {left}");
    let granted = ask(&mut real, 1, wait);
    let granted = matches!(granted, Reply::Applied(Answer::Granted { .. }));
    assert!(granted, "who waits finds it free");
    assert!(real.server.peek_sorted(&name).is_empty());
}

#[test]
fn the_dead_that_ask_in_the_call_that_removed_them_enter_anew() {
    let real = Real::beginning(BEGIN_US, Fences::Stream);
    let (take, wait, _) = of_a_queue();
    real.ask(&placed(2, take));
    real.ask(&placed(0, wait));
    real.clock.advance(Duration::from_secs(6));
    real.ask(&placed(1, wait));
    real.clock.advance(Duration::from_secs(5));
    // The holder is gone, and the first in line is dead. The second asks in the same call.
    let answers = real.call(Script::WaitOne, &[waits(1, wait), waits(0, wait)], None);
    let Wire::Array(answers) = answers else {
        panic!("expected an array, got {answers:?}");
    };
    assert!(text(&answers[0]).expect("a text").starts_with("granted "));
    assert!(text(&answers[1]).expect("a text").starts_with("waiting 0 "));
    let members = real.server.peek_sorted(queue(KEYS[0])).len();
    assert_eq!(members, 2, "its place, and until when it is kept");
}
