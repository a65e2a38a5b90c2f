//! The machine of one lease: a value whose transitions are pure, from the request to its end.
//!
//! It is `Clone + Eq + Hash`, so that it can be model-checked. Its phases have a file each:
//! `acquire`, `hold`, `release`. What they share is here: the seat that each node has in the lease,
//! how a request is queued, taken and answered, and the next deadline.
//!
//! Three rules hold in every phase:
//! - A seat has at most one request in flight, and one release behind it.
//! - Whatever may have been written to a node is *owed* a release until the node answered one, or
//!   until the key has expired by itself.
//! - The clock decides, never a timer that fired: every input first handles what is due.

mod acquire;
mod hold;
mod release;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::event::{AcquireFailure, EventKind};
use crate::id::{NodeId, NodeSet};
use crate::options::LeaseOptions;
use crate::proposal::ServerClock;
use crate::request::{Answer, Op, OpKind, Refusal, Reply, Words};
use crate::rng::Rng;
use crate::time::Instant;
use crate::token::{Fence, Key, Secret, Token};

/// How often a request is asked again at once when a node was not ready for a reason that is mended.
const AGAIN_MAX: u8 = 3;

/// What a transition of a lease reads besides the lease, and where its outputs go.
#[derive(Debug)]
pub struct Context<'a> {
    /// The client's configuration.
    pub config: &'a Config,
    /// Nodes that cannot be reached now: they are not asked.
    pub down: NodeSet,
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
    /// Nodes for which the lease has something to send: [`Lease::take`] hands it out.
    pub nodes: Vec<NodeId>,
    /// What to tell the application.
    pub events: Vec<EventKind>,
}

/// Why a deadline exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// Validity, or the cap on the total hold, ends.
    Expiry,
    /// A renewal begins or is retried.
    Renewal,
    /// A round of requests has been waited for long enough.
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
    /// The round of requests that is waited for, or was last.
    round: Round,
    /// Rounds or renewals that failed in a row.
    failures: u32,
    /// When the acquire gives up.
    give_up: Instant,
    /// The end of validity as it was told to the application. In no phase but `Held` does it matter.
    valid_until: Instant,
    /// The cap on the total hold.
    cap: Instant,
    fence: Option<Fence>,
    /// Why the last round failed.
    failure: Option<AcquireFailure>,
    suspect: bool,
    /// When owed releases that failed are tried again.
    settle_at: Instant,
    /// How often in a row they were put off.
    put_off: u32,
    seats: Vec<Seat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Acquire requests are out.
    Acquiring,
    /// A quorum granted; the fence is being stored on a quorum.
    Confirming(Fence),
    /// The round failed; what it touched is being released.
    Clearing {
        until: Instant,
    },
    /// Waiting for the next attempt.
    Backoff {
        until: Instant,
    },
    Held(Renewal),
    /// The owner asked for the release and waits for its outcome.
    Releasing {
        until: Instant,
    },
    /// The application was told the end, or does not want to know it; debts remain.
    Settling,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Renewal {
    /// None is due: switched off, or the cap on the total hold is reached without one.
    Off,
    At(Instant),
    Running,
    RetryAt(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Round {
    /// When its requests were queued: validity counts from here, never from a reply.
    started: Instant,
    deadline: Instant,
    /// The fence proposed in it, the same to all nodes.
    proposal: Option<Fence>,
}

/// What a lease knows of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Seat {
    /// The request that is queued or in flight.
    flight: Option<Flight>,
    /// A release behind it.
    behind: Option<Flight>,
    /// Whether the node's outbox has an entry for this seat, so that it has at most one.
    ticket: bool,
    /// The node's answer in this round.
    vote: Vote,
    /// Until when the node is known to hold the token of the present attempt.
    until: Option<Instant>,
    /// Set while the node may hold a token of this lease: when that will have expired by itself.
    owed: Option<Instant>,
    /// Whether a release went out whose outcome is unknown.
    release_unknown: bool,
    /// How the node answered when it no longer held its copy.
    lacks: Option<Lack>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lack {
    Gone,
    Taken,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    ask: OpKind,
    serial: u32,
    attempt: u32,
    queued: Instant,
    sent: bool,
    again: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Vote {
    /// Not asked yet in this round.
    #[default]
    Unasked,
    Asked,
    /// To acquire: yes, with the fence that the node is known to have stored.
    Granted(Fence),
    Held {
        left: Duration,
    },
    Foreign,
    Quarantined {
        left: Duration,
    },
    /// To renew, repair or release: done.
    Done,
    /// To renew, repair or release: there is nothing of ours.
    Lacking,
    /// It cannot serve now, or it is not known what it did.
    Silent,
    Rejected(Words),
    Misuse(Words),
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
            give_up: options
                .give_up_after()
                .map_or(Instant::MAX, |span| now + span),
            valid_until: Instant::MIN,
            cap: Instant::MAX,
            fence: None,
            failure: None,
            suspect: false,
            settle_at: Instant::MAX,
            put_off: 0,
            seats: alloc::vec![Seat::default(); ctx.config.nodes()],
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

    /// Until when the holder may act; none unless the lease is held.
    #[must_use]
    pub const fn valid_until(&self) -> Option<Instant> {
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

    /// Whether a renewal is overdue or its outcome unknown.
    #[must_use]
    pub const fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Whether nothing is left to do: no request is out and no node is owed a release.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// When [`Lease::handle_timeout`] is due next, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Due)> {
        match self.phase {
            Phase::Acquiring | Phase::Confirming(_) => {
                Some((self.round.deadline.min(self.give_up), Due::Round))
            }
            Phase::Clearing { until } => Some((until.min(self.give_up), Due::Round)),
            Phase::Backoff { until } => {
                Some((until.min(self.give_up).min(self.settle_at), Due::Retry))
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

    /// Handles what is due at `now`. Extra calls do nothing.
    ///
    /// `early` lets a renewal begin that much before its time, so that leases that are due close
    /// together renew together.
    pub fn handle_timeout(&mut self, now: Instant, early: Duration, ctx: &mut Context<'_>) {
        match self.phase {
            Phase::Acquiring | Phase::Confirming(_) => self.acquire_timeout(now, ctx),
            Phase::Clearing { .. } | Phase::Backoff { .. } => self.backoff_timeout(now, ctx),
            Phase::Held(_) => self.held_timeout(now, early, ctx),
            Phase::Releasing { .. } | Phase::Settling => self.settle_timeout(now, ctx),
            Phase::Ended => {}
        }
    }

    /// Handles the outcome of the request `serial` to `node`. A reply to no present request changes
    /// nothing.
    pub fn handle_reply(
        &mut self,
        now: Instant,
        node: NodeId,
        serial: u32,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        let Some(flight) = self.land(node, serial) else {
            return;
        };
        if let Reply::NotApplied(Refusal::Again) = reply
            && self.ask_again(node, &flight, ctx)
        {
            return;
        }
        self.note_debt(now, node, &flight, &reply);
        if flight.ask == OpKind::Release {
            return self.released(now, node, &reply, ctx);
        }
        match self.phase {
            Phase::Acquiring | Phase::Confirming(_) if flight.attempt == self.attempt => {
                self.voted(now, node, &flight, reply, ctx);
            }
            Phase::Held(_) if flight.attempt == self.attempt => {
                self.renewal_answered(now, node, &flight, reply, ctx);
            }
            Phase::Clearing { .. } => self.cleared(now, ctx),
            Phase::Releasing { .. } | Phase::Settling => self.settle(now, ctx),
            Phase::Held(_) => self.catch_up(now, node, ctx),
            Phase::Backoff { until } => self.settle_between(now, until, ctx),
            Phase::Acquiring | Phase::Confirming(_) | Phase::Ended => {}
        }
    }

    /// Answers what is queued for a node that went down: it was never sent.
    pub fn handle_down(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &self.seats[node.index()];
        let queued = [&seat.behind, &seat.flight].map(|flight| {
            flight
                .as_ref()
                .filter(|flight| !flight.sent)
                .map(|flight| flight.serial)
        });
        for serial in queued.into_iter().flatten() {
            self.handle_reply(
                now,
                node,
                serial,
                Reply::NotApplied(Refusal::Unavailable),
                ctx,
            );
        }
        self.seats[node.index()].ticket = false;
    }

    /// Hands out what is queued for a node: at most two requests, in the order in which they must
    /// be written. From here on they count as sent.
    pub fn take(&mut self, node: NodeId, mut send: impl FnMut(u32, Op, Token, Instant)) {
        let seat = &mut self.seats[node.index()];
        seat.ticket = false;
        for flight in [&mut seat.flight, &mut seat.behind].into_iter().flatten() {
            if flight.sent {
                continue;
            }
            flight.sent = true;
            let ttl = self.options.ttl();
            // A repair and a confirmation are asked for only once a fence is agreed or proposed.
            let fence = match self.phase {
                Phase::Confirming(fence) => Some(fence),
                _ => self.fence,
            };
            let op = match (flight.ask, fence) {
                (OpKind::Acquire, _) => Op::Acquire {
                    ttl,
                    proposal: self.round.proposal,
                },
                (OpKind::Renew, _) => Op::Renew { ttl },
                (OpKind::Confirm, Some(fence)) => Op::Confirm { fence },
                (OpKind::Repair, Some(fence)) => Op::Repair { ttl, fence },
                (OpKind::Release, _) => Op::Release,
                (OpKind::Confirm | OpKind::Repair, None) => {
                    unreachable!("a fence is agreed before it is confirmed or a copy repaired")
                }
            };
            let token = Token {
                label: self.options.label().cloned(),
                secret: self.secret,
                attempt: flight.attempt,
            };
            send(
                flight.serial,
                op,
                token,
                flight.queued + self.options.round_timeout(),
            );
        }
    }

    /// Queues a request. The seat must be idle.
    fn ask(&mut self, now: Instant, node: NodeId, ask: OpKind, ctx: &mut Context<'_>) {
        self.serial += 1;
        let flight = Flight {
            ask,
            serial: self.serial,
            attempt: self.attempt,
            queued: now,
            sent: false,
            again: 0,
        };
        let seat = &mut self.seats[node.index()];
        debug_assert!(
            seat.flight.is_none() && seat.behind.is_none(),
            "one request per seat"
        );
        seat.flight = Some(flight);
        seat.announce(node, ctx);
    }

    /// Gives a copy up: what is queued is dropped, what is or may be at the node is released.
    fn let_go(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &mut self.seats[node.index()];
        seat.until = None;
        if seat.flight.as_ref().is_some_and(|flight| !flight.sent) {
            seat.flight = None;
        }
        let behind = match &seat.flight {
            Some(flight) if flight.ask == OpKind::Release => return,
            Some(_) if seat.behind.is_some() => return,
            // Nothing is queued for a node that cannot be reached: the debt is paid when it can.
            _ if ctx.down.contains(node) => return,
            Some(_) => true,
            None if seat.owed.is_none() => return,
            None => false,
        };
        self.serial += 1;
        let release = Flight {
            ask: OpKind::Release,
            serial: self.serial,
            attempt: self.attempt,
            queued: now,
            sent: false,
            again: 0,
        };
        if behind {
            seat.behind = Some(release);
        } else {
            seat.flight = Some(release);
        }
        seat.announce(node, ctx);
    }

    /// Takes the request that a reply is for off its seat, matched by its serial alone.
    fn land(&mut self, node: NodeId, serial: u32) -> Option<Flight> {
        let seat = self.seats.get_mut(node.index())?;
        if seat
            .flight
            .as_ref()
            .is_some_and(|flight| flight.serial == serial)
        {
            return core::mem::replace(&mut seat.flight, seat.behind.take());
        }
        if seat
            .behind
            .as_ref()
            .is_some_and(|flight| flight.serial == serial)
        {
            return seat.behind.take();
        }
        None
    }

    /// Queues a request again that was not applied for a reason that is mended. The moment from which
    /// its validity counts stays.
    fn ask_again(&mut self, node: NodeId, flight: &Flight, ctx: &mut Context<'_>) -> bool {
        let seat = &mut self.seats[node.index()];
        // With a release behind it, the request is no longer wanted.
        if flight.again >= AGAIN_MAX
            || seat.flight.is_some()
            || ctx.down.contains(node)
            || !self.wants(flight)
        {
            return false;
        }
        self.serial += 1;
        let seat = &mut self.seats[node.index()];
        seat.flight = Some(Flight {
            serial: self.serial,
            sent: false,
            again: flight.again + 1,
            ..flight.clone()
        });
        seat.announce(node, ctx);
        true
    }

    /// Whether the present phase still wants a request of this kind and attempt.
    fn wants(&self, flight: &Flight) -> bool {
        match (&self.phase, flight.ask) {
            (_, OpKind::Release) => true,
            (Phase::Acquiring, OpKind::Acquire)
            | (Phase::Confirming(_), OpKind::Acquire | OpKind::Confirm)
            | (Phase::Held(_), OpKind::Acquire | OpKind::Renew | OpKind::Repair) => {
                flight.attempt == self.attempt
            }
            _ => false,
        }
    }

    /// Notes what the reply says about what the node may hold of ours.
    fn note_debt(&mut self, now: Instant, node: NodeId, flight: &Flight, reply: &Reply) {
        let expires = now + self.options.ttl() + (self.options.ttl() - self.options.valid_for());
        let seat = &mut self.seats[node.index()];
        match (flight.ask, reply) {
            // It will not get better: the TTL pays.
            (OpKind::Release, Reply::NotApplied(Refusal::Rejected(_) | Refusal::Misuse(_))) => {
                seat.owed = None;
            }
            (_, Reply::NotApplied(_)) => {}
            // Only the release of what was held: one of an older attempt says nothing about it.
            (OpKind::Release, Reply::Unknown) => {
                seat.release_unknown = matches!(self.phase, Phase::Releasing { .. });
            }
            (OpKind::Release, Reply::Applied(_)) => seat.owed = None,
            (_, Reply::Unknown | Reply::Applied(Answer::Granted { .. } | Answer::Done)) => {
                seat.owed = Some(expires);
            }
            // To renew and confirm an older attempt of our own is *gone* as well, and it is still there.
            (OpKind::Renew | OpKind::Confirm, Reply::Applied(Answer::Gone))
                if flight.attempt > 1 => {}
            (OpKind::Acquire, Reply::Applied(Answer::Held { .. }))
            | (_, Reply::Applied(Answer::Gone | Answer::Taken)) => seat.owed = None,
            // Foreign may be said of the fence counter alone, and a quarantined node may still hold
            // a copy: neither pays a debt.
            (
                _,
                Reply::Applied(Answer::Foreign | Answer::Quarantined { .. } | Answer::Held { .. }),
            ) => {}
        }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.seats.len()).map(NodeId::new)
    }

    fn count(&self, matches: impl Fn(&Seat) -> bool) -> usize {
        self.seats.iter().filter(|seat| matches(seat)).count()
    }
}

impl Vote {
    /// Whether a node that was asked to acquire answered, in a way that says who may have the key.
    const fn is_answer(&self) -> bool {
        self.counts() || matches!(self, Self::Quarantined { .. })
    }

    /// Whether it did, and is a node that counts.
    const fn counts(&self) -> bool {
        matches!(self, Self::Granted(_) | Self::Held { .. } | Self::Foreign)
    }
}

impl Seat {
    fn is_idle(&self) -> bool {
        self.flight.is_none() && self.behind.is_none()
    }

    /// Tells the outbox, once, that this seat has something to send.
    fn announce(&mut self, node: NodeId, ctx: &mut Context<'_>) {
        if !self.ticket {
            self.ticket = true;
            ctx.out.nodes.push(node);
        }
    }
}
