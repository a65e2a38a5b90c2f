//! The seat of a node in a lease: what the lease knows of that node, and how a request to it is
//! queued, handed out and answered.

use alloc::boxed::Box;
use core::time::Duration;

use super::{Context, Lease, Phase};
use crate::id::NodeId;
use crate::options::LeaseOptions;
use crate::place::{Place, PlaceId, Serial};
use crate::request::{Answer, Doubt, Holder, LockName, Op, OpKind, Refusal, Reply, Words};
use crate::time::Instant;
use crate::token::{Fence, Token};

/// How often a request is asked again at once, if the node was not ready for a reason that is
/// mended by now.
// Law: Bounded work
pub(super) const AGAIN_MAX: u8 = 3;

/// What a lease knows of one node. What is rare is boxed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Seat {
    /// The request that is queued or in flight.
    pub(super) flight: Option<Flight>,
    /// A release behind it.
    pub(super) behind: Option<Box<Flight>>,
    /// Whether the node's outbox has an entry for this seat. It has at most one.
    pub(super) ticket: bool,
    /// The node's answer in this round.
    pub(super) vote: Vote,
    /// Until when the node is known to hold the token of the present attempt.
    pub(super) until: Option<Instant>,
    /// Set while the node may hold a token of this lease, or a place: when that will have expired
    /// by itself.
    pub(super) owed: Option<Instant>,
    /// Whether the node was asked for a copy in this attempt. One that was still busy with an
    /// earlier attempt is not.
    pub(super) asked: bool,
    /// Whether a release went out whose outcome is unknown.
    pub(super) release_unknown: bool,
    /// While the owner's release runs: until when the node was known to keep the token. From then
    /// on the key may have expired by itself.
    pub(super) kept: Option<Instant>,
    /// What the node answered when it no longer held its copy.
    pub(super) lacks: Option<Lack>,
    /// What was said last in this round by the node, or of it, when it did not serve.
    pub(super) said: Option<Box<Words>>,
}

/// What a node without its copy has instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lack {
    /// Nothing.
    Gone,
    /// The token of someone else.
    Taken,
}

/// A request that is queued or in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    pub(super) ask: OpKind,
    pub(super) serial: u32,
    pub(super) attempt: u32,
    pub(super) queued: Instant,
    /// Whether it was handed out to be sent.
    pub(super) sent: bool,
    /// How often it was asked again at once.
    pub(super) again: u8,
    /// Over several nodes: whether the place that it names tells where the client listens. None if
    /// it names none.
    pub(super) channel: Option<bool>,
}

/// Who holds the key at a node, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rival {
    pub(super) left: Duration,
    pub(super) holder: Holder,
}

/// A node's answer in a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Vote {
    /// Not asked yet in this round.
    #[default]
    Unasked,
    Asked,
    /// To acquire: yes, with the fence that the node is known to have stored.
    Granted(Fence),
    Held(Box<Rival>),
    /// A key without an expiry.
    Foreign,
    /// A name of the lock holds what no lock keeps there.
    WrongType {
        name: LockName,
        holds: &'static str,
    },
    Quarantined {
        left: Duration,
    },
    /// It granted, and so many of its replicas acknowledged that, which are less than these.
    Unacknowledged {
        replicas: u32,
        demanded: u32,
    },
    /// To renew, repair or release: done.
    Done,
    /// To renew, repair or release: the node does not hold our token.
    Lacking,
    /// The node cannot serve now, or it is unknown what it did.
    Silent,
    Rejected(Box<Words>),
    Misuse(Box<Words>),
}

impl Vote {
    /// Whether it is an answer to acquire that says who may have the key.
    pub(super) const fn is_answer(&self) -> bool {
        self.counts() || matches!(self, Self::Quarantined { .. })
    }

    /// The same, of a node that is not in quarantine.
    pub(super) const fn counts(&self) -> bool {
        self.passes() || matches!(self, Self::Foreign)
    }

    /// Whether the key is free there, or will be once its holder's time ends.
    pub(super) const fn passes(&self) -> bool {
        matches!(self, Self::Granted(_) | Self::Held(_))
    }

    /// Whether the node does not serve this lock, and waiting does not mend that.
    pub(super) const fn refuses(&self) -> bool {
        matches!(
            self,
            Self::Rejected(_) | Self::WrongType { .. } | Self::Misuse(_)
        )
    }
}

impl Seat {
    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_none() && self.behind.is_none()
    }

    /// These words, if any, were said last in this round.
    pub(super) fn say(&mut self, words: Option<Words>) {
        self.said = words.map(Box::new);
    }

    /// Tells the outbox, once, that this seat has something to send.
    pub(super) fn announce(&mut self, node: NodeId, ctx: &mut Context<'_>) {
        // Law: Bounded work
        if !self.ticket {
            self.ticket = true;
            ctx.out.nodes.push(node);
        }
    }
}

/// How long the answer to a request is waited for.
fn timeout_of(ask: OpKind, options: &LeaseOptions) -> Duration {
    match ask {
        OpKind::Take
        | OpKind::Acquire
        | OpKind::Wait
        | OpKind::Confirm
        | OpKind::Acknowledge
        | OpKind::Stay
        | OpKind::Release => options.attempt_timeout(),
        OpKind::Renew | OpKind::Watch | OpKind::Repair => options.round_timeout(),
    }
}

impl Lease {
    /// Hands out what is queued for a node: at most two requests, in the order in which they must
    /// be written. From here on they count as sent.
    pub fn take(&mut self, node: NodeId, mut send: impl FnMut(u32, Op, Token, Instant)) {
        let place = self.place.as_ref().map(|queued| queued.place);
        let left = place.or_else(|| self.place_left(node));
        let hints = self.passes_on(left.as_ref());
        let id = PlaceId::of(&self.secret);
        let ends = match self.phase {
            Phase::Acknowledging(_) => self.acknowledge_ends(),
            _ => Instant::MAX,
        };
        let seat = &mut self.seats[node.index()];
        seat.ticket = false;
        let flights = [seat.flight.as_mut(), seat.behind.as_deref_mut()];
        for flight in flights.into_iter().flatten() {
            if flight.sent {
                continue;
            }
            flight.sent = true;
            let ttl = self.options.ttl();
            // Confirm and repair are asked for only after a fence was agreed on.
            let fence = match self.phase {
                Phase::Confirming(fence) => Some(fence),
                _ => self.fence,
            };
            let op = match (flight.ask, fence) {
                (OpKind::Take, _) => Op::Take { ttl },
                (OpKind::Acquire, _) => Op::Acquire {
                    ttl,
                    proposal: self.round.proposal,
                    place: flight.channel.map(|pushed| Place { id, pushed }),
                },
                (OpKind::Wait, _) => Op::Wait {
                    ttl,
                    place: place.expect("it is named before it is asked for"),
                    serial: Serial::of(flight.serial),
                },
                (OpKind::Renew, _) => Op::Renew { ttl },
                (OpKind::Watch, _) => Op::Watch,
                (OpKind::Acknowledge, _) => Op::Acknowledge,
                (OpKind::Confirm, Some(fence)) => Op::Confirm { fence },
                (OpKind::Repair, Some(fence)) => Op::Repair { ttl, fence },
                (OpKind::Release, _) => Op::Release { place: left, hints },
                (OpKind::Stay, _) => Op::Stay {
                    ttl,
                    place: Place {
                        id,
                        pushed: flight.channel.unwrap_or_default(),
                    },
                },
                (OpKind::Confirm | OpKind::Repair, None) => {
                    unreachable!("a fence is agreed before it is confirmed or a copy repaired")
                }
            };
            // Law: Ownership
            let token = Token {
                label: self.options.label().cloned(),
                secret: self.secret,
                attempt: flight.attempt,
            };
            let deadline = flight.queued + timeout_of(flight.ask, &self.options);
            send(flight.serial, op, token, deadline.min(ends));
        }
    }

    /// Queues a request. The seat must be idle.
    pub(super) fn ask(&mut self, now: Instant, node: NodeId, ask: OpKind, ctx: &mut Context<'_>) {
        let flight = self.new_flight(now, node, ask, ctx);
        let seat = &mut self.seats[node.index()];
        // Law: Bounded work
        debug_assert!(
            seat.flight.is_none() && seat.behind.is_none(),
            "one request per seat"
        );
        seat.asked |= ask.acquires() || ask == OpKind::Repair;
        seat.flight = Some(flight);
        seat.announce(node, ctx);
    }

    fn new_flight(&mut self, now: Instant, node: NodeId, ask: OpKind, ctx: &Context<'_>) -> Flight {
        self.serial += 1;
        Flight {
            ask,
            serial: self.serial,
            attempt: self.attempt,
            queued: now,
            sent: false,
            again: 0,
            channel: self.names_channel(node, ask, ctx),
        }
    }

    /// Gives the node's copy up: drops what is queued, and queues a release of what is or may be
    /// there; or a request that stays in line as well.
    pub(super) fn let_go(&mut self, now: Instant, node: NodeId, by: OpKind, ctx: &mut Context<'_>) {
        let seat = &mut self.seats[node.index()];
        seat.until = None;
        if seat.flight.as_ref().is_some_and(|flight| !flight.sent) {
            seat.flight = None;
        }
        if seat.behind.as_ref().is_some_and(|flight| !flight.sent) {
            seat.behind = None;
        }
        let behind = match &seat.flight {
            // Behind one that stays in line, and so leaves a place, a release follows once it is
            // answered.
            Some(flight) if flight.ask.frees() => return,
            Some(_) if seat.behind.is_some() => return,
            // Nothing is queued for a node that cannot be reached. It stays owed, and the release
            // is tried again later.
            _ if ctx.down.contains(node) => return,
            Some(_) => true,
            None if seat.owed.is_none() => return,
            None => false,
        };
        let release = self.new_flight(now, node, by, ctx);
        let seat = &mut self.seats[node.index()];
        if behind {
            seat.behind = Some(release.into());
        } else {
            seat.flight = Some(release);
        }
        seat.announce(node, ctx);
    }

    /// Takes the request that a reply belongs to off its seat. Only the serial tells which it is.
    pub(super) fn land(&mut self, node: NodeId, serial: u32) -> Option<Flight> {
        // Law: Honest validity
        let seat = self.seats.get_mut(node.index())?;
        if seat
            .flight
            .as_ref()
            .is_some_and(|flight| flight.serial == serial)
        {
            let behind = seat.behind.take().map(|behind| *behind);
            return core::mem::replace(&mut seat.flight, behind);
        }
        if seat
            .behind
            .as_ref()
            .is_some_and(|flight| flight.serial == serial)
        {
            return seat.behind.take().map(|behind| *behind);
        }
        None
    }

    /// Queues a request again whose reply says that asking again helps: it was not applied for a
    /// reason that is mended by now, or its connection ended. If the node had done it already, that
    /// does no harm: an acquire draws another fence, a release finds nothing any more, and all
    /// others do the same once more.
    pub(super) fn ask_again(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: &Reply,
        ctx: &mut Context<'_>,
    ) -> bool {
        let queued = match reply {
            // Validity is still counted from when it was first queued.
            Reply::NotApplied(Refusal::Again) => flight.queued,
            // The first one may have been done at any time. What the second does is counted from
            // now.
            // Law: Honest validity
            Reply::Unknown(Doubt::Broken(_)) => now,
            Reply::Applied(_) | Reply::NotApplied(_) | Reply::Unknown(_) => return false,
        };
        let seat = &mut self.seats[node.index()];
        // With a release behind it, the request is not wanted any more.
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
            queued,
            ..flight.clone()
        });
        seat.announce(node, ctx);
        true
    }

    /// Whether the present phase still wants a request of this kind and attempt.
    fn wants(&self, flight: &Flight) -> bool {
        let wanted = match flight.ask {
            OpKind::Release => return true,
            OpKind::Stay => matches!(self.phase, Phase::Clearing { .. } | Phase::Backoff { .. }),
            OpKind::Take => matches!(self.phase, Phase::Acquiring),
            OpKind::Acquire => matches!(
                self.phase,
                Phase::Acquiring | Phase::Confirming(_) | Phase::Held(_)
            ),
            OpKind::Wait => matches!(self.phase, Phase::Acquiring | Phase::Waiting { .. }),
            OpKind::Confirm => matches!(self.phase, Phase::Confirming(_)),
            OpKind::Acknowledge => matches!(self.phase, Phase::Acknowledging(_)),
            OpKind::Renew | OpKind::Repair => matches!(self.phase, Phase::Held(_)),
            // The next renewal is followed by another one.
            OpKind::Watch => false,
        };
        wanted && flight.attempt == self.attempt
    }

    /// When a key that was set before now, or a place that was kept, will have expired by itself.
    pub(super) fn expires(&self, now: Instant) -> Instant {
        now + self.options.ttl() + (self.options.ttl() - self.options.valid_for())
    }

    /// Notes whether the node may hold a token of this lease, or a place, as the reply tells.
    // Law: No orphan
    pub(super) fn note_debt(&mut self, now: Instant, node: NodeId, flight: &Flight, reply: &Reply) {
        let expires = self.expires(now);
        let seat = &mut self.seats[node.index()];
        match (flight.ask, reply) {
            // The server will never serve us. The key goes with its TTL.
            (
                OpKind::Release | OpKind::Stay,
                Reply::NotApplied(Refusal::Rejected(_) | Refusal::Misuse(_)),
            ) => seat.owed = None,
            // It changes nothing, and what it says is only a doubt.
            (OpKind::Watch, _) | (_, Reply::NotApplied(_)) => {}
            // It matters for the release of a held lease only. That of an older attempt says
            // nothing.
            (OpKind::Release, Reply::Unknown(_)) => {
                seat.release_unknown = matches!(self.phase, Phase::Releasing { .. });
            }
            // That of an older attempt, and the node has a token of a newer one, or for a hint.
            (OpKind::Release, Reply::Applied(Answer::Taken)) if flight.attempt < self.attempt => {}
            (OpKind::Release | OpKind::Stay, Reply::Applied(_)) => seat.owed = None,
            (OpKind::Stay, Reply::Unknown(_)) => {}
            // It is asked over another connection, which may lead to another server.
            (OpKind::Acknowledge, _) => {}
            (
                OpKind::Take
                | OpKind::Acquire
                | OpKind::Wait
                | OpKind::Confirm
                | OpKind::Renew
                | OpKind::Repair,
                Reply::Unknown(_)
                | Reply::Applied(
                    Answer::Granted { .. }
                    | Answer::Unfenced
                    | Answer::Waiting { .. }
                    | Answer::Done,
                ),
            ) => seat.owed = Some(expires),
            // Renew and confirm say *gone* also where an older attempt of this lease is still
            // there.
            (OpKind::Renew | OpKind::Confirm, Reply::Applied(Answer::Gone))
                if flight.attempt > 1 => {}
            (OpKind::Take | OpKind::Acquire, Reply::Applied(Answer::Held { .. }))
            | (_, Reply::Applied(Answer::Full))
            | (_, Reply::Applied(Answer::Gone | Answer::Taken)) => seat.owed = None,
            // What is wrong may be the fence counter alone, a node in quarantine may still hold a
            // copy, and the key that is busy may be so by this lease. So the release stays owed.
            (
                _,
                Reply::Applied(
                    Answer::Acknowledged { .. }
                    | Answer::Foreign
                    | Answer::WrongType { .. }
                    | Answer::Quarantined { .. }
                    | Answer::Busy
                    | Answer::Held { .. },
                ),
            ) => {}
        }
    }
}
