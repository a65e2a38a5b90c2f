//! Any history of the core's manager: commands, outcomes of requests (true or false), nodes that go
//! and come, and a clock that moves on. It never panics, and keeps what can be seen of its
//! promises:
//!
//! - **Bounded work.** At most one request per lease and node is out, and one release behind it; no
//!   more leases than allowed.
//! - **No resurrection.** One final event per lease and nothing after it, nothing after a cancel,
//!   and validity only between the grant and the end.
//! - **Honest validity.** Never further from now than a fresh request would give.
//! - **Loss is told.** Once what is due is handled, no lease is held beyond its validity.
//! - **Progress.** `handle_timeout` deals with all that is due in a bounded number of calls, and a
//!   client whose leases are cancelled and whose requests are answered becomes empty.
//! - **Replay.** The same history gives the same outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use tenure_core::{
    Answer, Config, Doubt, EventKind, Fence, Fingerprint, Instant, Key, Label, LeaseId,
    LeaseOptions, LockName, Manager, NodeId, Op, Refusal, RenewalPolicy, Reply, Request, RequestId,
    Secret, ServerTime, Words,
};

const MAX_LEASES: usize = 6;
const TTL: Duration = Duration::from_secs(1);

/// Something that happens. Leases, nodes and requests are named by small numbers, which begin again
/// where there are no more.
#[derive(Arbitrary, Debug)]
pub enum Step {
    /// The number of nodes, if it comes first.
    Nodes(u8),
    /// A new lease.
    Acquire {
        /// Which key.
        key: u8,
        /// Which options.
        options: u8,
    },
    /// A renewal by hand.
    Renew(u8),
    /// A release.
    Release(u8),
    /// A cancel.
    Cancel(u8),
    /// A link takes requests.
    Take {
        /// Of which node.
        node: u8,
        /// How many at most.
        max: u8,
    },
    /// A request that is out is answered.
    Answer {
        /// Which of those that are out.
        request: u8,
        /// With what.
        reply: Outcome,
    },
    /// A request that was answered is answered again.
    AnswerAgain {
        /// Which of those that were answered.
        request: u8,
        /// With what.
        reply: Outcome,
    },
    /// A node is up, and tells its time. Without a time, its link only connects.
    Up(u8, Option<u32>),
    /// A node is down.
    Down(u8),
    /// Every node takes its requests and answers as a node without faults would.
    Serve,
    /// The same, except for one node that answers something else, or nothing.
    ServeBut {
        /// Which node.
        node: u8,
        /// With what.
        reply: Option<Outcome>,
    },
    /// Time passes without a deadline being handled.
    Pass {
        /// Microseconds; what is over half a second is cut off.
        micros: u32,
    },
    /// Time passes until the next deadline, which is handled.
    Due,
}

/// What happens, in order, for as long as there are bytes. (A derived `Vec` draws after each
/// element whether to end, and stays short.)
#[derive(Debug)]
pub struct History(pub Vec<Step>);

impl<'a> Arbitrary<'a> for History {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut steps = Vec::new();
        while !bytes.is_empty() {
            steps.push(bytes.arbitrary()?);
        }
        Ok(Self(steps))
    }
}

/// How a request ends.
#[derive(Arbitrary, Clone, Debug)]
pub enum Outcome {
    /// As a node without faults would answer that request.
    Well,
    /// Held by another lease.
    Held(u16),
    /// Granted with any fence.
    Granted(u64, u64),
    /// The key has no expiry.
    Foreign,
    /// A name of the lock holds what no lock keeps there.
    WrongType(bool),
    /// The node is in quarantine.
    Quarantined(u16),
    /// Done.
    Done,
    /// The key is gone.
    Gone,
    /// The key is another's.
    Taken,
    /// Not applied: ask again.
    Again,
    /// Not applied.
    Unavailable,
    /// Not applied, for good.
    Rejected,
    /// Not applied, contradicted.
    Misuse,
    /// Unknown: nothing came.
    Unknown,
    /// Unknown: the connection broke.
    Broken,
}

/// Plays the history twice, checks each run, and compares their outputs. Gives the kinds of events
/// that were told, so that a fuzzer's run can show that it came to the rare ones.
///
/// # Panics
/// If a promise is broken.
pub fn check(History(steps): &History) -> BTreeSet<&'static str> {
    let (log, told) = play(steps);
    assert_eq!(log, play(steps).0, "the same history, other outputs");
    told
}

fn play(steps: &[Step]) -> (Vec<String>, BTreeSet<&'static str>) {
    let nodes = match steps.first() {
        Some(Step::Nodes(nodes)) => usize::from(nodes % 5) + 1,
        _ => 3,
    };
    let mut world = World::new(nodes);
    for step in steps {
        world.step(step);
        world.look();
    }
    world.end();
    (world.log, world.told)
}

/// What is known of a lease from outside.
#[derive(Debug, Default)]
struct Seen {
    held: bool,
    over: bool,
}

struct World {
    manager: Manager,
    options: Vec<Arc<LeaseOptions>>,
    longest: Duration,
    now: Instant,
    leases: Vec<LeaseId>,
    seen: BTreeMap<LeaseId, Seen>,
    /// The requests that are out, each node's in the order in which they were taken.
    out: VecDeque<Request>,
    answered: Vec<RequestId>,
    ids: BTreeSet<RequestId>,
    log: Vec<String>,
    told: BTreeSet<&'static str>,
}

impl World {
    fn new(nodes: usize) -> Self {
        let config = Config::builder(nodes)
            .max_ttl(TTL)
            .max_leases(MAX_LEASES)
            .build()
            .expect("it is a good configuration");
        let plain = LeaseOptions::builder;
        let short = Duration::from_millis(50);
        let options = [
            plain().ttl(TTL),
            plain().ttl(TTL).attempts(Some(1)),
            plain().ttl(TTL).renewal(RenewalPolicy::Off),
            plain().ttl(short).give_up_after(Some(TTL)),
            plain().ttl(TTL).max_hold(Some(TTL * 3)),
            plain()
                .ttl(short)
                .max_hold(Some(short))
                .label(Label::new("fuzz").ok()),
        ];
        let options: Vec<_> = options
            .into_iter()
            .map(|options| Arc::new(options.build(&config).expect("they are good options")))
            .collect();
        Self {
            longest: options.iter().map(|o| o.valid_for()).max().unwrap_or(TTL),
            manager: Manager::new(config, 7),
            options,
            now: Instant::ORIGIN,
            leases: Vec::new(),
            seen: BTreeMap::new(),
            out: VecDeque::new(),
            answered: Vec::new(),
            ids: BTreeSet::new(),
            log: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Nodes(_) => {}
            Step::Acquire { key, options } => self.acquire(*key, *options),
            Step::Renew(lease) => {
                if let Some(lease) = pick(&self.leases, *lease) {
                    self.manager.renew(self.now, lease);
                }
            }
            Step::Release(lease) => {
                if let Some(lease) = pick(&self.leases, *lease) {
                    self.manager.release(self.now, lease);
                    assert_eq!(self.manager.valid_until(lease), None, "validity ends first");
                }
            }
            Step::Cancel(lease) => {
                if let Some(lease) = pick(&self.leases, *lease) {
                    // Events from before the release may still be heard, but none may be told after
                    // it.
                    self.look();
                    self.cancel(lease);
                }
            }
            Step::Take { node, max } => self.take(self.node(*node), usize::from(*max)),
            Step::Answer { request, reply } => {
                if !self.out.is_empty() {
                    let index = usize::from(*request) % self.out.len();
                    self.answer(index, reply);
                }
            }
            Step::AnswerAgain { request, reply } => {
                if let Some(id) = pick(&self.answered, *request) {
                    let reply = outcome(reply, &RELEASE, self.now);
                    self.manager.handle_reply(self.now, id, reply);
                }
            }
            Step::Up(node, time) => {
                let node = self.node(*node);
                match time.map(|micros| ServerTime::from_micros(micros.into())) {
                    Some(time) => self.manager.handle_node_up(self.now, node, Some(time)),
                    None => self.manager.handle_node_connecting(node),
                }
            }
            Step::Down(node) => {
                let (node, why) = (self.node(*node), Words::fixed("down"));
                self.manager.handle_node_down(self.now, node, why);
            }
            Step::Pass { micros } => {
                self.now = self.now + Duration::from_micros((*micros % 500_000).into());
            }
            Step::Serve => self.serve(None),
            Step::ServeBut { node, reply } => self.serve(Some((self.node(*node), reply.as_ref()))),
            Step::Due => self.due(),
        }
    }

    fn acquire(&mut self, key: u8, options: u8) {
        let key = Key::new([b'k', b'0' + key % 3]);
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&(self.seen.len() as u64).to_le_bytes());
        let options = Arc::clone(&self.options[usize::from(options) % self.options.len()]);
        let full = self.manager.len() == MAX_LEASES;
        let lease = self
            .manager
            .acquire(self.now, key, Secret::new(secret), options);
        assert_eq!(lease.is_err(), full, "the bound is the bound");
        if let Ok(lease) = lease {
            let before = self.seen.insert(lease, Seen::default());
            assert!(before.is_none(), "{lease:?} was used before");
            self.leases.push(lease);
        }
    }

    fn cancel(&mut self, lease: LeaseId) {
        self.manager.cancel(self.now, lease);
        if let Some(seen) = self.seen.get_mut(&lease) {
            *seen = Seen {
                held: false,
                over: true,
            };
        }
    }

    fn take(&mut self, node: NodeId, max: usize) {
        let mut taken = Vec::new();
        let count = self.manager.poll_requests(node, max, &mut taken);
        assert_eq!(count, taken.len());
        // A lease hands out two at most, so one more than asked for may come.
        assert!(count <= max + 1);
        for request in taken {
            assert_eq!(request.id.node, node);
            assert!(
                self.ids.insert(request.id),
                "{:?} was used before",
                request.id
            );
            self.log.push(format!("{request:?}"));
            self.out.push_back(request);
        }
        let mut per_seat: BTreeMap<_, Vec<&Op>> = BTreeMap::new();
        for request in &self.out {
            let seat = (request.id.lease, request.id.node);
            per_seat.entry(seat).or_default().push(&request.op);
        }
        for (seat, ops) in per_seat {
            let fine = matches!(ops.as_slice(), [_] | [_, Op::Release { .. }]);
            assert!(fine, "{seat:?} has {ops:?} in flight");
        }
    }

    fn answer(&mut self, index: usize, reply: &Outcome) {
        let Some(request) = self.out.remove(index) else {
            return;
        };
        let reply = outcome(reply, &request.op, self.now);
        self.manager.handle_reply(self.now, request.id, reply);
        self.answered.push(request.id);
    }

    fn due(&mut self) {
        if let Some(at) = self.manager.poll_timeout() {
            self.now = self.now.max(at);
        }
        for _ in 0..16 {
            self.manager.handle_timeout(self.now);
            self.look();
            if self.manager.poll_timeout().is_none_or(|at| at > self.now) {
                let late = self.leases.iter().find(|lease| {
                    let until = self.manager.valid_until(**lease);
                    until.is_some_and(|until| until <= self.now)
                });
                assert_eq!(late, None, "its validity has ended and nobody was told");
                return;
            }
        }
        panic!(
            "handled 16 times, still due: {:?} for {:?}",
            self.manager.poll_timeout(),
            self.manager.timeout_reason()
        );
    }

    /// Hears what is told, and looks at what can be seen.
    fn look(&mut self) {
        while let Some(event) = self.manager.poll_event() {
            self.log.push(format!("{event:?}"));
            let seen = self.seen.get_mut(&event.lease).expect("it was acquired");
            assert!(!seen.over, "told after its end: {event:?}");
            self.told.insert(name(&event.kind));
            match event.kind {
                EventKind::Acquired { .. } => {
                    assert!(!seen.held, "granted twice");
                    seen.held = true;
                }
                EventKind::Renewed { .. }
                | EventKind::Shortened { .. }
                | EventKind::Suspect { .. }
                | EventKind::Lost { .. } => assert!(seen.held, "told of what is not held"),
                EventKind::Queued { .. } | EventKind::Waiting { .. } | EventKind::Failed { .. } => {
                    assert!(!seen.held, "told of what is held");
                }
                EventKind::Released { .. } => {}
            }
            if event.kind.is_final() {
                *seen = Seen {
                    held: false,
                    over: true,
                };
            }
        }
        for (lease, seen) in &self.seen {
            let until = self.manager.valid_until(*lease);
            assert!(
                until.is_none() || seen.held,
                "{lease:?} is valid and not held"
            );
            assert!(until.is_none_or(|until| until <= self.now + self.longest));
            assert_eq!(self.manager.fence(*lease).is_some(), until.is_some());
        }
        let _ = self.manager.poll_ready();
        assert!(self.manager.len() <= MAX_LEASES);
        assert_eq!(self.manager.leases().count(), self.manager.len());
    }

    fn serve(&mut self, but: Option<(NodeId, Option<&Outcome>)>) {
        for node in 0..self.manager.config().nodes() {
            self.take(NodeId::new(node), MAX_LEASES * 2);
        }
        for request in self.out.clone() {
            let reply = match but {
                Some((node, reply)) if request.id.node == node => reply,
                _ => Some(&Outcome::Well),
            };
            let index = self.out.iter().position(|out| out.id == request.id);
            if let (Some(index), Some(reply)) = (index, reply) {
                self.answer(index, reply);
            }
        }
    }

    /// Everything is cancelled and answered: nothing may stay.
    fn end(&mut self) {
        for lease in self.leases.clone() {
            self.look();
            self.cancel(lease);
        }
        for node in 0..self.manager.config().nodes() {
            self.manager
                .handle_node_up(self.now, NodeId::new(node), None);
        }
        for _ in 0..200 {
            self.serve(None);
            self.due();
            if self.manager.is_empty() {
                assert_eq!(
                    self.manager.poll_timeout(),
                    None,
                    "empty, yet something is due"
                );
                return;
            }
        }
        panic!("cancelled and answered, still there: {:?}", self.manager);
    }

    fn node(&self, node: u8) -> NodeId {
        NodeId::new(usize::from(node) % self.manager.config().nodes())
    }
}

fn name(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::Acquired { .. } => "acquired",
        EventKind::Queued { .. } => "queued",
        EventKind::Waiting { .. } => "waiting",
        EventKind::Failed { .. } => "failed",
        EventKind::Renewed { .. } => "renewed",
        EventKind::Shortened { .. } => "shortened",
        EventKind::Suspect { .. } => "suspect",
        EventKind::Lost { .. } => "lost",
        EventKind::Released { .. } => "released",
    }
}

fn pick<T: Copy>(of: &[T], index: u8) -> Option<T> {
    // The newest first, since old leases are mostly over.
    (!of.is_empty()).then(|| of[of.len() - 1 - usize::from(index) % of.len()])
}

/// Of which nothing is known but that it gave a key back.
const RELEASE: Op = Op::Release {
    place: None,
    hints: false,
};

fn outcome(outcome: &Outcome, op: &Op, now: Instant) -> Reply {
    let server_time = ServerTime::from_micros(1 + now.as_nanos().unsigned_abs() / 1_000);
    let any =
        Fence::new(server_time.as_micros()).unwrap_or_else(|| unreachable!("it is over zero"));
    let millis = |n: u16| Duration::from_millis(n.into());
    let words = || Words::new("no");
    Reply::Applied(match outcome {
        Outcome::Well => match op {
            Op::Acquire { proposal, .. } => Answer::Granted {
                fence: proposal.map_or(any, |proposal| proposal.max(any)),
                server_time,
            },
            _ => Answer::Done,
        },
        Outcome::Held(left) => Answer::Held {
            left: millis(*left),
            server_time,
            holder: Fingerprint::new((left % 3).into()).into(),
            ahead: match op {
                Op::Acquire { place: Some(_), .. } => Some(u32::from(left % 4)),
                _ => None,
            },
        },
        Outcome::Granted(fence, time) => Answer::Granted {
            fence: Fence::new(*fence).unwrap_or(any),
            server_time: ServerTime::from_micros(*time),
        },
        Outcome::Foreign => Answer::Foreign,
        Outcome::WrongType(counter) => Answer::WrongType {
            name: if *counter {
                LockName::Counter
            } else {
                LockName::Key
            },
            holds: "a list",
        },
        Outcome::Quarantined(left) => Answer::Quarantined {
            left: millis(*left),
        },
        Outcome::Done => Answer::Done,
        Outcome::Gone => Answer::Gone,
        Outcome::Taken => Answer::Taken,
        Outcome::Again => return Reply::NotApplied(Refusal::Again),
        Outcome::Unavailable => return Reply::NotApplied(Refusal::Unavailable(words())),
        Outcome::Rejected => return Reply::NotApplied(Refusal::Rejected(words())),
        Outcome::Misuse => return Reply::NotApplied(Refusal::Misuse(words())),
        Outcome::Unknown => return Reply::Unknown(Doubt::Silent),
        Outcome::Broken => return Reply::Unknown(Doubt::Broken(words())),
    })
}
