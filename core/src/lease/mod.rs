//! The state machine of one lease, from the first request to its end. It is a value, and its
//! transitions are pure.
//!
//! It is `Clone + Eq + Hash`, so that a model checker can visit its states. Its phases have a file
//! each: `acquire`, `wait`, `acknowledge`, `hold`, `release`; `hint` is how it waits over several
//! nodes, and `watch` how a lease that is held learns of a loss at once. The file `seat` has what a
//! lease knows of one node, and how a request to it is queued, handed out and answered. Here are
//! the list of phases, the inputs, and the next deadline.
//!
//! Three rules hold in every phase:
//! - A seat has at most one request in flight, and one release behind it.
//! - A node that may hold a token of the lease is *owed* a release, until it has answered one or
//!   the key has expired by itself.
//! - The clock decides, and never the firing of a timer: every input first handles what is due.

mod acknowledge;
mod acquire;
mod hint;
mod hold;
mod release;
mod seat;
mod seats;
mod wait;
mod watch;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use self::hint::Places;
use self::seat::{Seat, Vote};
use self::seats::Seats;
use self::wait::Queued;
use self::watch::Watch;
use crate::config::Config;
use crate::event::{AcquireFailure, EventKind, Silence};
use crate::id::{NodeId, NodeSet};
use crate::math::ServerClock;
use crate::options::LeaseOptions;
use crate::request::{LockName, OpKind, Refusal, Reply, Words};
use crate::rng::Rng;
use crate::time::Instant;
use crate::token::{Fence, Fingerprint, Key, Secret};

/// What a transition reads besides the lease, and where its outputs go.
#[derive(Debug)]
pub struct Context<'a> {
    /// The client's configuration.
    pub config: &'a Config,
    /// Whether a first attempt that begins now is a [take](crate::Op::Take). Where others of this
    /// client wait for the key, it would be for nothing.
    pub takes: bool,
    /// Nodes that cannot be reached now. They are not asked.
    pub down: NodeSet,
    /// Nodes whose pushes are heard.
    pub pushing: NodeSet,
    /// By node: why it could not be reached when it went down last.
    pub why_down: &'a [Words],
    /// For jitter.
    pub rng: &'a mut Rng,
    /// For fence proposals.
    pub server_clock: &'a ServerClock,
    /// What the transition puts out.
    pub out: &'a mut Outputs,
}

/// What a transition puts out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Nodes for which the lease has something to send. [`Lease::take`] hands it out.
    pub nodes: Vec<NodeId>,
    /// What to tell the application.
    pub events: Vec<EventKind>,
}

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// Validity, or the cap on the total hold, ends.
    Expiry,
    /// A renewal begins or is retried.
    Renewal,
    /// A place in a queue is kept again.
    Place,
    /// The time for the answers of a round is over.
    Round,
    /// The next attempt, the next try of a release, or the end of waiting.
    Retry,
}

/// One acquisition of one key, from the request to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    key: Key,
    secret: Secret,
    options: Arc<LeaseOptions>,
    phase: Phase,
    /// Counts attempts, from one.
    attempt: u32,
    /// Counts requests.
    serial: u32,
    /// The round of requests that is under way, or the last one.
    round: Round,
    /// Rounds or renewals that failed in a row. While others hold the key: since it changed hands.
    failures: u32,
    /// Who held the key in the last round in which a quorum named one holder.
    holder: Option<Fingerprint>,
    /// When the acquire gives up.
    give_up: Instant,
    /// Its place in the queue of the key, from the first request that may have entered one.
    place: Option<Box<Queued>>,
    /// Over several nodes: its places there, from the first that it may have entered. Over one
    /// node: the place that it may have although it holds the lock.
    places: Option<Box<Places>>,
    /// The end of validity, as the application was told it. It matters in the phase `Held` only.
    valid_until: Instant,
    /// The cap on the total hold.
    cap: Instant,
    fence: Option<Fence>,
    /// Why the last round failed.
    failure: Option<Box<AcquireFailure>>,
    suspect: bool,
    /// Whether it has places at several nodes while others hold the key. One whose attempts are
    /// bounded has none.
    hints: bool,
    /// Whether it ended before it was held, and others may have seen it at a quorum of nodes.
    was_seen: bool,
    /// Which nodes watch the key, if its owner waits to be told of a loss.
    watch: Watch,
    /// When releases that are owed and failed are tried again.
    settle_at: Instant,
    /// How many such tries failed in a row.
    put_off: u32,
    seats: Seats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Acquire requests are out.
    Acquiring,
    /// A quorum granted. The fence is being stored on a quorum.
    Confirming(Fence),
    /// The only node granted. Its replicas are to acknowledge that.
    Acknowledging(Fence),
    /// The round failed. What it wrote or may have written is being released.
    Clearing {
        until: Instant,
    },
    /// Waiting for the next attempt.
    Backoff {
        until: Instant,
    },
    /// It has a place in the queue, or may have one, and asks again at this instant. The attempt
    /// stays the same: what it asks is all one.
    Waiting {
        next: Instant,
    },
    /// The lease is held.
    Held(Renewal),
    /// The owner asked for the release and waits for its outcome.
    Releasing {
        until: Instant,
    },
    /// The application was told the end, or does not want to know it. Some node is still owed a
    /// release, or still has a request in flight.
    Settling,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Renewal {
    /// None is planned: renewal is off, or the lease lasts to its cap without one.
    Off,
    At(Instant),
    Running,
    RetryAt(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Round {
    /// When its requests were queued. Validity is counted from here, and never from a reply.
    started: Instant,
    deadline: Instant,
    /// The fence that it proposes to all nodes.
    proposal: Option<Fence>,
}

impl Context<'_> {
    /// Why a node is down; none if it is not.
    fn down(&self, node: NodeId) -> Option<Words> {
        let down = self.down.contains(node);
        down.then(|| self.why_down[node.index()].clone())
    }
}

impl Lease {
    /// A lease on `key` that begins its first attempt at `now`.
    #[must_use]
    pub fn acquire(
        now: Instant,
        key: Key,
        secret: Secret,
        options: Arc<LeaseOptions>,
        ctx: &mut Context<'_>,
    ) -> Self {
        let mut lease = Self {
            key,
            secret,
            phase: Phase::Acquiring,
            attempt: 0,
            serial: 0,
            round: Round {
                started: now,
                deadline: now,
                proposal: None,
            },
            failures: 0,
            holder: None,
            give_up: options
                .give_up_after()
                .map_or(Instant::MAX, |span| now + span),
            place: None,
            places: None,
            valid_until: Instant::MIN,
            cap: Instant::MAX,
            fence: None,
            failure: None,
            suspect: false,
            hints: ctx.config.hints() && options.attempts().is_none(),
            was_seen: false,
            watch: Watch::default(),
            settle_at: Instant::MAX,
            put_off: 0,
            seats: Seats::new(ctx.config.nodes()),
            options,
        };
        lease.begin_attempt(now, ctx);
        lease
    }

    /// What is locked.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// How long a node keeps its key.
    pub(crate) fn ttl(&self) -> Duration {
        self.options.ttl()
    }

    /// The bits of its token.
    pub(crate) const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Until when the holder may act. None unless the lease is held.
    #[must_use]
    pub const fn valid_until(&self) -> Option<Instant> {
        // Law: No resurrection
        match self.phase {
            Phase::Held(_) => Some(self.valid_until),
            _ => None,
        }
    }

    /// The fence of a held lease.
    #[must_use]
    pub const fn fence(&self) -> Option<Fence> {
        match self.phase {
            Phase::Held(_) => self.fence,
            _ => None,
        }
    }

    /// How many attempts it has begun. A place in a queue that is kept is one.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Whether a renewal is overdue or its outcome unknown.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether nothing is left to do: no request is in flight and no node is owed a release.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// When [`Lease::handle_timeout`] is due next, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Due)> {
        match self.phase {
            Phase::Acquiring | Phase::Confirming(_) => Some((self.attempt_ends(), Due::Round)),
            Phase::Acknowledging(_) => Some((self.acknowledge_ends(), Due::Round)),
            Phase::Clearing { until } => Some((until.min(self.give_up), Due::Round)),
            Phase::Backoff { until } => {
                Some((until.min(self.give_up).min(self.settle_at), Due::Retry))
            }
            Phase::Waiting { next } => {
                let next = if self.is_asking() { Instant::MAX } else { next };
                let at = next.min(self.give_up);
                (at < Instant::MAX).then_some((at, Due::Place))
            }
            Phase::Held(renewal) => {
                let next = match renewal {
                    Renewal::Off => (Instant::MAX, Due::Renewal),
                    Renewal::At(at) | Renewal::RetryAt(at) => (at, Due::Renewal),
                    Renewal::Running => (self.round.deadline, Due::Round),
                };
                Some(next.min((self.valid_until, Due::Expiry)))
            }
            Phase::Releasing { until } => Some((until.min(self.settle_at), Due::Round)),
            Phase::Settling => {
                let owed = self.seats.iter().filter_map(|seat| seat.owed).max();
                let at = owed.map_or(Instant::MAX, |owed| owed.min(self.settle_at));
                (at < Instant::MAX).then_some((at, Due::Retry))
            }
            Phase::Ended => None,
        }
    }

    /// What failed and is put off until later: the retry of a renewal, with the end of validity, or
    /// releases that are owed, with the time of their next try. When a node comes up they are due
    /// at once, in the order of these instants.
    pub(crate) fn put_off(&self) -> Option<(Instant, Due)> {
        let silent = |seat: &Seat| seat.vote == Vote::Silent && seat.is_idle();
        match self.phase {
            Phase::Held(Renewal::RetryAt(_)) => Some((self.valid_until, Due::Renewal)),
            Phase::Held(Renewal::Running) if self.seats.iter().any(silent) => {
                Some((self.valid_until, Due::Renewal))
            }
            // The next connection does not watch yet.
            Phase::Held(_) if self.watch.wanted => Some((self.valid_until, Due::Renewal)),
            // A push may have been lost with the last connection.
            Phase::Waiting { next } if !self.is_asking() => Some((next, Due::Place)),
            // So may a hint.
            Phase::Backoff { until } if self.relies_on_hints() => Some((until, Due::Place)),
            Phase::Acquiring | Phase::Confirming(_) | Phase::Clearing { .. }
                if self.relies_on_hints() =>
            {
                Some((self.round.deadline, Due::Place))
            }
            Phase::Backoff { .. } | Phase::Releasing { .. } | Phase::Settling => {
                (self.settle_at < Instant::MAX).then_some((self.settle_at, Due::Retry))
            }
            _ => None,
        }
    }

    /// Handles what is due at `now`. Extra calls do nothing.
    ///
    /// `early` lets a renewal begin that much before its time, or a place be kept, so that leases
    /// that are due at nearly the same time ask together.
    pub fn handle_timeout(&mut self, now: Instant, early: Duration, ctx: &mut Context<'_>) {
        match self.phase {
            Phase::Acquiring | Phase::Confirming(_) => self.acquire_timeout(now, ctx),
            Phase::Acknowledging(_) => self.acknowledge_timeout(now, ctx),
            Phase::Clearing { .. } | Phase::Backoff { .. } => self.backoff_timeout(now, ctx),
            Phase::Waiting { .. } => self.waiting_timeout(now, early, ctx),
            Phase::Held(_) => self.held_timeout(now, early, ctx),
            Phase::Releasing { .. } | Phase::Settling => self.settle_timeout(now, ctx),
            Phase::Ended => {}
        }
    }

    /// Handles the outcome of the request `serial` to `node`. If no such request is in flight,
    /// nothing changes.
    pub fn handle_reply(
        &mut self,
        now: Instant,
        node: NodeId,
        serial: u32,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        // Law: No resurrection
        self.handle_timeout(now, Duration::ZERO, ctx);
        let Some(flight) = self.land(node, serial) else {
            return;
        };
        self.note_debt(now, node, &flight, &reply);
        self.note_place(now, node, &flight, &reply);
        self.settle_hint(now, node, &flight, &reply, ctx);
        if matches!(self.phase, Phase::Releasing { .. } | Phase::Settling) {
            self.owe_place(node);
        }
        self.seats[node.index()].say(reply.words().cloned());
        if self.ask_again(now, node, &flight, &reply, ctx) {
            return;
        }
        if reply == Reply::NotApplied(Refusal::Again) {
            let undone = || Words::fixed("what was mended there was undone each time");
            let tried = flight.again >= seat::AGAIN_MAX;
            let words = ctx.down(node).or_else(|| tried.then(undone));
            self.seats[node.index()].say(words);
        }
        if flight.ask.frees() {
            return self.released(now, node, flight.ask, &reply, ctx);
        }
        // The answer to an older attempt does not count for this one.
        // Law: Honest validity
        match self.phase {
            Phase::Acquiring | Phase::Waiting { .. }
                if flight.ask == OpKind::Wait && flight.attempt == self.attempt =>
            {
                self.place_answered(now, node, &flight, reply, ctx);
            }
            Phase::Acquiring | Phase::Confirming(_) if flight.attempt == self.attempt => {
                self.voted(now, node, &flight, reply, ctx);
            }
            Phase::Acknowledging(fence) if flight.attempt == self.attempt => {
                self.acknowledge_answered(now, node, fence, &flight, reply, ctx);
            }
            Phase::Acknowledging(_) => self.ask_replicas(now, node, ctx),
            Phase::Held(_) if flight.attempt == self.attempt => {
                self.renewal_answered(now, node, &flight, reply, ctx);
            }
            Phase::Clearing { .. } => self.cleared(now, ctx),
            Phase::Releasing { .. } | Phase::Settling => self.settle(now, ctx),
            Phase::Held(_) => self.catch_up(now, node, ctx),
            Phase::Backoff { until } => self.settle_between(now, until, ctx),
            Phase::Acquiring | Phase::Confirming(_) | Phase::Waiting { .. } | Phase::Ended => {}
        }
    }

    /// A node has come up: what failed there and was put off is tried again now.
    // Law: Progress
    pub fn handle_up(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        match self.phase {
            Phase::Held(_) => {
                self.renew_at_up(now, node, ctx);
                self.watch_anew(now, node, ctx);
            }
            Phase::Waiting { .. } => self.ask_now(now, ctx),
            // What the node is owed is taken over by the attempt that begins soon.
            Phase::Backoff { .. } if self.relies_on_hints() => self.ask_soon(now, ctx),
            Phase::Acquiring | Phase::Confirming(_) | Phase::Clearing { .. }
                if self.relies_on_hints() =>
            {
                self.ask_soon(now, ctx);
            }
            Phase::Backoff { .. } | Phase::Releasing { .. } | Phase::Settling => {
                self.settle_at_up(now, node, ctx);
            }
            Phase::Acquiring | Phase::Confirming(_) | Phase::Acknowledging(_) => {}
            Phase::Clearing { .. } | Phase::Ended => {}
        }
    }

    /// A node went down: what is queued for it was never sent, and is answered so.
    pub fn handle_down(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &self.seats[node.index()];
        let queued = [seat.behind.as_deref(), seat.flight.as_ref()].map(|flight| {
            flight
                .filter(|flight| !flight.sent)
                .map(|flight| flight.serial)
        });
        for serial in queued.into_iter().flatten() {
            let why = ctx.why_down[node.index()].clone();
            let reply = Reply::NotApplied(Refusal::Unavailable(why));
            self.handle_reply(now, node, serial, reply, ctx);
        }
        self.seats[node.index()].ticket = false;
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.seats.len()).map(NodeId::new)
    }

    /// The nodes of these seats, each with what was said last when it did not serve.
    fn silences(&self, of: impl Fn(&Seat) -> bool) -> Vec<Silence> {
        let seats = self.nodes().zip(self.seats.iter());
        seats
            .filter(|(_, seat)| of(seat))
            .map(|(node, seat)| Silence {
                node,
                words: match &seat.vote {
                    Vote::WrongType { name, holds } => {
                        let belongs = match name {
                            LockName::Key => "the lock",
                            LockName::Counter => "its fence counter",
                            LockName::Stream => "the stream of fences",
                            LockName::Queue => "its queue",
                        };
                        Some(Words::new(&format!(
                            "it holds {holds} where {belongs} belongs"
                        )))
                    }
                    _ => seat.said.as_deref().cloned(),
                },
            })
            .collect()
    }

    /// The first server that refuses for good, if so many refuse that no quorum is left.
    fn rejection(&self, ctx: &Context<'_>) -> Option<(NodeId, Words)> {
        let mut refused =
            self.nodes()
                .zip(self.seats.iter())
                .filter_map(|(node, seat)| match &seat.vote {
                    Vote::Rejected(words) => Some((node, &**words)),
                    _ => None,
                });
        let (node, words) = refused.next()?;
        let rest = self.seats.len() - 1 - refused.count();
        (rest < ctx.config.quorum()).then(|| (node, words.clone()))
    }

    fn count(&self, matches: impl Fn(&Seat) -> bool) -> usize {
        self.seats.iter().filter(|seat| matches(seat)).count()
    }
}
