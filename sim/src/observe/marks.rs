//! Marks: the rare situations for which the code has a branch, and how often a run met each.
//!
//! A test that finds no broken law shows little if no run met these situations. So tests demand
//! that each mark was met. Marks are derived from the facts alone: the code under test does not
//! know them.

use std::fmt;

use tenure_core::OpKind;

use super::lines::Lines;
use crate::listed::listed;
use crate::observe::fact::fault::Process;
use crate::observe::fact::{Answer, Cause, Fact, Freed, Link, Loss, Outcome, Record, Why};

listed! {
    /// A rare situation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Mark {
        /// A node granted the key after the application had given up or dropped the lease.
        LateGrant,
        /// Dropped while acquire requests were in flight.
        CancelAcquiring,
        /// Dropped while the fence was being stored.
        CancelConfirming,
        /// Dropped while a failed round was being released.
        CancelClearing,
        /// Dropped between two attempts.
        CancelWaiting,
        /// Dropped while it was held.
        CancelHeld,
        /// Dropped while a renewal was in flight.
        CancelRenewing,
        /// Dropped after its end, while it was being released.
        CancelReleasing,
        /// A release was sent behind a renewal that was in flight.
        ReleaseBehindRenewal,
        /// A release was sent behind an acquire that was in flight.
        ReleaseBehindAcquire,
        /// A lost copy was put back.
        Repaired,
        /// A lost copy was to be put back, but another token was there.
        RepairTooLate,
        /// A node did not count, since it may have forgotten a lease.
        Quarantined,
        /// A round failed because too many nodes were in quarantine.
        WaitingForQuarantine,
        /// A node was marked again.
        Marked,
        /// A connection was lost with several requests in flight.
        BatchCut,
        /// A lease was granted after its fence took a second round.
        ConfirmedThenGranted,
        /// Validity was shortened: it ends earlier than was told.
        Shortened,
        /// A round failed although a node had granted the key.
        SplitVote,
        /// A round failed by an outage, while the outcome of an acquire was unknown.
        UnknownDecides,
        /// A renewal with an unknown outcome was retried, and the lease was renewed.
        RenewalRetried,
        /// Lost, since its validity passed.
        LostExpired,
        /// Lost, since another token is there.
        LostTaken,
        /// Lost, since the key vanished.
        LostGone,
        /// Lost, since the server refuses to serve.
        LostRejected,
        /// Lost, since the cap on the hold was reached.
        LostCapped,
        /// A node answered *again*: nothing was done, and the request is sent again.
        AskedAgain,
        /// A lease was refused, since the client had as many as it may.
        AtCapacity,
        /// An acquire gave up: its time or its attempts were used up.
        GaveUp,
        /// A round failed because the key has no expiry.
        Foreign,
        /// An acquire failed because the key is no string.
        WrongType,
        /// A round failed because the server refuses to serve.
        Rejected,
        /// A request reached the node after its connection had been given up.
        LateLanding,
        /// An acquire that landed late took the key.
        LateAcquireTook,
        /// A connection was killed by the one after it.
        Killed,
        /// The outcome of a release is unknown.
        ReleaseUnknown,
        /// Servers refuse a release for good.
        ReleaseRejected,
        /// A release found that the lock was lost.
        ReleaseTooLate,
        /// Told as released, although a node no longer held the key when the first release came:
        /// the reply of that release was lost.
        ReleasedInDoubt,
        /// A process woke from a pause after the validity of its lease had ended.
        WokeTooLate,
        /// The resource refused a fence.
        FenceRefused,
        /// The application renewed by hand.
        RenewedByHand,
        /// A clock changed under a lease that was held.
        ClockChanged,
        /// The second or a later attempt was granted.
        GrantedAtRetry,
        /// A node answered a renewal with *gone*, and the lease was renewed all the same.
        GoneAndKept,
        /// An acquire whose outcome was unknown was asked again within its attempt, and granted.
        AskedAgainAndGranted,
        /// A loss was told to an application while its client stood still, since it asked.
        LostWhileStalled,
        /// A node came up while ten leases of one client or more were suspect.
        ManySuspects,
        /// A take set its key, and its fence was drawn some time after that.
        DrawnLater,
        /// A take drew no fence, and its lease was granted all the same.
        UnfencedThenGranted,
        /// A lease was granted by a push.
        GrantedByPush,
        /// A lease was granted by a push while a request for its place was in flight.
        PushedBeforeReply,
        /// A push granted nothing, and the lease asked at once.
        PushIgnored,
        /// A push came to a lease that was held or over already.
        PushUnneeded,
        /// A lease that a push had granted heard that it waits.
        WaitingWhileHeld,
        /// The lock was handed on to a lease, which learned it by asking.
        FoundByAsking,
        /// A lease took the key over by asking, which had waited for it.
        TookOver,
        /// A newcomer took a free key while others waited in the queue.
        NewcomerTook,
        /// A place was passed over, since nobody listens for it.
        PassedOver,
        /// A dead place was passed over.
        DeadSkipped,
        /// A lock was handed on to a lease that had just been dropped.
        HandOffMetCancel,
        /// A lock was handed on to a lease whose client had died.
        HandedToTheDead,
        /// A lease entered a place again, since the node had lost the first one.
        EnteredAgain,
        /// The queue had as many places as it may.
        QueueFull,
        /// A lease was granted in an attempt that a hint had begun, or made sooner.
        GrantedByHint,
        /// A hint came, and the next round failed as well.
        HintInVain,
        /// A lease was dropped that had heard a hint and not asked since.
        HintedAndDropped,
        /// A hint came while an attempt was under way.
        HintedWhileAsking,
        /// A node deleted what a failed round had left there, and the lease stays in line.
        StayedInLine,
        /// A doubt was none: the lease was renewed.
        DoubtWasNone,
        /// A doubt was a loss.
        DoubtWasLoss,
        /// A node doubted all leases.
        DoubtOfAll,
        /// A lease was granted after replicas had acknowledged it.
        AcknowledgedThenGranted,
        /// A lease that a push had granted was told after replicas had acknowledged it.
        PushedThenAcknowledged,
        /// A round failed because too few replicas acknowledged the grant.
        Unacknowledged,
        /// A later attempt was granted, after too few replicas had acknowledged an earlier one.
        AcknowledgedAtRetry,
        /// Dropped while a grant was being acknowledged.
        CancelAcknowledging,
    }
}

/// How often a run met each mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    counts: [u64; Mark::ALL.len()],
    leases: Vec<Seen>,
    lines: Lines,
    /// The clients whose drivers and links stand still: bits, by number.
    stalled: u32,
}

impl Default for Marks {
    fn default() -> Self {
        Self::new()
    }
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    client: u8,
    held: bool,
    over: bool,
    until: u64,
    attempt: u32,
    /// Requests in flight, by kind.
    out: [u16; OpKind::ALL.len()],
    granted: bool,
    /// A take of it drew no fence.
    unfenced: bool,
    /// When a request of it wrote its key last.
    wrote_at: u64,
    unknown: bool,
    confirmed: bool,
    /// Replicas have acknowledged the grant of this attempt. Too few had acknowledged an earlier
    /// one.
    acknowledged: bool,
    unacknowledged: bool,
    renewal_unknown: bool,
    suspect: bool,
    retried: bool,
    gone: bool,
    /// The nodes whose answer to an acquire of this attempt is unknown, and those of them that were
    /// asked again: bits, by number.
    unanswered: u32,
    asked_again: u32,
    releases: Releases,
    /// It has heard a hint since its last round failed.
    hinted: bool,
}

/// How the nodes handled the releases that an owner asked for. Each is a set of nodes: bits, by
/// number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Releases {
    /// A release found the token.
    freed: u32,
    /// None before had, and a release did not either.
    found_none: u32,
    /// The reply of that one was lost.
    unanswered: u32,
    /// A later one was answered, and had found none.
    in_doubt: u32,
}

impl Releases {
    /// Takes note of what a node did with a release, or of what its client heard of one.
    const fn hear(&mut self, node: Option<u8>, fact: &Fact) {
        let bit = bit(node);
        match fact {
            Fact::Did {
                ask: OpKind::Release,
                answer,
                ..
            } => match answer {
                Answer::Done => self.freed |= bit,
                Answer::Gone | Answer::Taken => self.found_none |= bit & !self.freed,
                _ => {}
            },
            Fact::Heard {
                ask: OpKind::Release,
                outcome,
                ..
            } => match outcome {
                Outcome::Unknown => self.unanswered |= bit & self.found_none,
                Outcome::Answered(Answer::Gone | Answer::Taken) => {
                    self.in_doubt |= bit & self.unanswered;
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            counts: [0; Mark::ALL.len()],
            leases: Vec::new(),
            lines: Lines::default(),
            stalled: 0,
        }
    }

    /// How often the mark was met.
    #[must_use]
    pub const fn count(&self, mark: Mark) -> u64 {
        self.counts[mark as usize]
    }

    /// The marks that were never met.
    pub fn missing(&self) -> impl Iterator<Item = Mark> {
        Mark::ALL
            .iter()
            .copied()
            .filter(|mark| self.count(*mark) == 0)
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    const fn hit(&mut self, mark: Mark) {
        self.counts[mark as usize] += 1;
    }

    fn when(&mut self, is_so: bool, mark: Mark) {
        if is_so {
            self.hit(mark);
        }
    }

    /// Takes note of a fact.
    pub fn hear(&mut self, record: &Record) {
        let counts = &mut self.counts;
        self.lines
            .hear(record, &mut |mark| counts[mark as usize] += 1);
        match record.fact {
            Fact::Full => self.hit(Mark::AtCapacity),
            Fact::Link(Link::Cut(in_flight)) => self.when(in_flight > 1, Mark::BatchCut),
            Fact::Link(Link::Killed) => self.hit(Mark::Killed),
            Fact::Link(Link::Marked) => self.hit(Mark::Marked),
            Fact::Link(Link::Up) => {
                let its = |seen: &&Seen| record.client == Some(seen.client) && !seen.over;
                let suspect = self.leases.iter().filter(its).filter(|seen| seen.suspect);
                let many = suspect.count() >= 10;
                self.when(many, Mark::ManySuspects);
            }
            Fact::Mended(fault) if fault.row().process == Process::Stops => self.woke(record),
            Fact::Mended(fault) if fault.row().process == Process::Stalls => {
                self.stalled &= !bit(record.client);
            }
            Fact::Fault(fault) if fault.row().process == Process::Stalls => {
                self.stalled |= bit(record.client);
            }
            Fact::Fault(fault) if fault.row().process == Process::Dies => {
                let its = |seen: &Seen| record.client == Some(seen.client);
                let leases = self.leases.iter_mut().enumerate();
                for (lease, seen) in leases.filter(|(_, seen)| its(seen)) {
                    seen.over = true;
                    self.lines.died(lease as u32);
                }
            }
            _ => {}
        }
        if let Some(lease) = record.lease {
            if self.leases.len() <= lease as usize {
                self.leases.resize(lease as usize + 1, Seen::default());
            }
            let mut seen = self.leases[lease as usize];
            seen.client = record.client.unwrap_or(seen.client);
            self.of_lease(record, &mut seen);
            self.leases[lease as usize] = seen;
        }
    }

    fn woke(&mut self, record: &Record) {
        let late = self
            .leases
            .iter()
            .filter(|seen| record.client == Some(seen.client))
            .any(|seen| seen.held && !seen.over && seen.until < record.at);
        self.when(late, Mark::WokeTooLate);
    }

    fn of_lease(&mut self, record: &Record, seen: &mut Seen) {
        match record.fact {
            Fact::Granted { until, .. } => {
                seen.held = true;
                seen.until = until;
                self.when(seen.confirmed, Mark::ConfirmedThenGranted);
                self.attempt_granted(seen);
                self.when(seen.unfenced, Mark::UnfencedThenGranted);
                self.when(seen.hinted, Mark::GrantedByHint);
            }
            Fact::Until { until, why } => {
                seen.until = until;
                match why {
                    Why::Shortened => self.hit(Mark::Shortened),
                    Why::Clock => self.hit(Mark::ClockChanged),
                    Why::Renewed => {
                        self.when(seen.retried, Mark::RenewalRetried);
                        self.when(seen.gone, Mark::GoneAndKept);
                        (seen.renewal_unknown, seen.retried, seen.gone) = (false, false, false);
                        seen.suspect = false;
                    }
                }
            }
            Fact::Suspect => seen.suspect = true,
            Fact::Waiting(cause) => {
                let hinted = std::mem::take(&mut seen.hinted);
                self.when(hinted, Mark::HintInVain);
                self.round_failed(cause, seen);
            }
            Fact::Failed { cause, gave_up } => {
                self.when(gave_up, Mark::GaveUp);
                self.round_failed(cause, seen);
                seen.over = true;
            }
            Fact::Lost(loss) => {
                let stalled = self.stalled & bit(record.client) != 0;
                self.when(stalled, Mark::LostWhileStalled);
                self.hit(match loss {
                    Loss::Expired => Mark::LostExpired,
                    Loss::Taken => Mark::LostTaken,
                    Loss::Gone => Mark::LostGone,
                    Loss::Rejected => Mark::LostRejected,
                    Loss::Capped => Mark::LostCapped,
                });
                seen.over = true;
            }
            Fact::Renew => self.hit(Mark::RenewedByHand),
            Fact::Hinted => self.hinted(seen),
            Fact::Cancel => {
                self.when(seen.hinted && !seen.held, Mark::HintedAndDropped);
                self.hit(dropped(seen));
                seen.over = true;
            }
            Fact::Release => seen.over = true,
            Fact::Released(Freed::Unknown) => self.hit(Mark::ReleaseUnknown),
            Fact::Released(Freed::Rejected) => self.hit(Mark::ReleaseRejected),
            Fact::Released(Freed::Lost) => self.hit(Mark::ReleaseTooLate),
            Fact::Released(Freed::Released) => {
                self.when(seen.releases.in_doubt != 0, Mark::ReleasedInDoubt);
            }
            Fact::Key { .. } => seen.wrote_at = record.at,
            Fact::Sent { .. } | Fact::Did { .. } | Fact::Heard { .. } => {
                self.of_request(record, seen);
            }
            Fact::Read { accepted, .. } | Fact::Wrote { accepted, .. } => {
                self.when(!accepted, Mark::FenceRefused);
            }
            _ => {}
        }
    }

    /// A lease is granted. Notes in which attempt, and what replicas had to do with it.
    fn attempt_granted(&mut self, seen: &Seen) {
        self.when(seen.attempt > 1, Mark::GrantedAtRetry);
        self.when(seen.acknowledged, Mark::AcknowledgedThenGranted);
        let pushed = seen.acknowledged && !seen.granted;
        self.when(pushed, Mark::PushedThenAcknowledged);
        self.when(seen.unacknowledged, Mark::AcknowledgedAtRetry);
    }

    fn hinted(&mut self, seen: &mut Seen) {
        if !seen.held && !seen.over {
            let asking = seen.out[OpKind::Acquire as usize] > 0;
            self.when(asking, Mark::HintedWhileAsking);
            seen.hinted = true;
        }
    }

    fn of_request(&mut self, record: &Record, seen: &mut Seen) {
        if seen.over {
            seen.releases.hear(record.node, &record.fact);
        }
        match record.fact {
            Fact::Sent { ask, attempt, .. } => {
                self.sent(ask, attempt, seen);
                if ask.acquires() {
                    seen.asked_again |= seen.unanswered & bit(record.node);
                }
            }
            Fact::Did {
                ask, answer, late, ..
            } => {
                self.when(late, Mark::LateLanding);
                let drawn = ask == OpKind::Take && matches!(answer, Answer::Granted(_));
                self.when(drawn && seen.wrote_at < record.at, Mark::DrawnLater);
                let stays = ask == OpKind::Stay && answer == Answer::Done;
                self.when(stays, Mark::StayedInLine);
                let took = matches!(answer, Answer::Granted(_));
                self.when(late && took && ask.acquires(), Mark::LateAcquireTook);
            }
            Fact::Heard { ask, outcome, .. } => {
                self.heard(ask, outcome, seen);
                if ask.acquires() {
                    self.acquire_heard(bit(record.node), outcome, seen);
                }
            }
            _ => {}
        }
    }

    fn round_failed(&mut self, cause: Cause, seen: &mut Seen) {
        match cause {
            Cause::Foreign => self.hit(Mark::Foreign),
            Cause::WrongType => self.hit(Mark::WrongType),
            Cause::Quarantined => self.hit(Mark::WaitingForQuarantine),
            Cause::Rejected => self.hit(Mark::Rejected),
            Cause::Unacknowledged => {
                self.hit(Mark::Unacknowledged);
                seen.unacknowledged = true;
            }
            Cause::Contended | Cause::QueueFull | Cause::Outage | Cause::Misuse => {}
        }
        self.when(seen.granted, Mark::SplitVote);
        self.when(seen.unknown && cause == Cause::Outage, Mark::UnknownDecides);
    }

    fn sent(&mut self, ask: OpKind, attempt: u32, seen: &mut Seen) {
        if seen.attempt != attempt && ask.acquires() {
            (seen.granted, seen.unknown, seen.confirmed) = (false, false, false);
            (seen.unanswered, seen.asked_again) = (0, 0);
            seen.acknowledged = false;
        }
        seen.attempt = attempt;
        seen.retried |= ask == OpKind::Renew && seen.renewal_unknown;
        if ask.frees() {
            self.when(
                seen.out[OpKind::Renew as usize] > 0,
                Mark::ReleaseBehindRenewal,
            );
            let acquires = |kind: &&OpKind| kind.acquires() && seen.out[**kind as usize] > 0;
            let acquire = OpKind::ALL.iter().any(|kind| acquires(&kind));
            self.when(acquire, Mark::ReleaseBehindAcquire);
        }
        seen.out[ask as usize] += 1;
    }

    fn acquire_heard(&mut self, node: u32, outcome: Outcome, seen: &mut Seen) {
        match outcome {
            Outcome::Unknown => seen.unanswered |= node,
            Outcome::Answered(Answer::Granted(_)) => {
                let again = seen.asked_again & node != 0;
                self.when(again, Mark::AskedAgainAndGranted);
            }
            _ => {}
        }
    }

    fn heard(&mut self, ask: OpKind, outcome: Outcome, seen: &mut Seen) {
        let out = &mut seen.out[ask as usize];
        *out = out.saturating_sub(1);
        match (ask, outcome) {
            (_, Outcome::Answered(Answer::Again)) => self.hit(Mark::AskedAgain),
            (_, Outcome::Answered(Answer::Unfenced)) => seen.unfenced = true,
            (_, Outcome::Answered(Answer::Granted(_))) => {
                seen.granted = true;
                self.when(seen.over && !seen.held, Mark::LateGrant);
            }
            (OpKind::Acquire, Outcome::Answered(Answer::Quarantined)) => {
                self.hit(Mark::Quarantined)
            }
            (OpKind::Take | OpKind::Acquire, Outcome::Unknown) => seen.unknown = true,
            (OpKind::Confirm, Outcome::Answered(Answer::Done)) => seen.confirmed = true,
            (OpKind::Acknowledge, Outcome::Answered(Answer::Acknowledged(_))) => {
                seen.acknowledged = true;
            }
            (OpKind::Renew, Outcome::Unknown) => seen.renewal_unknown = true,
            (OpKind::Renew, Outcome::Answered(Answer::Gone)) => seen.gone = true,
            (OpKind::Repair, Outcome::Answered(Answer::Done)) => self.hit(Mark::Repaired),
            (OpKind::Repair, Outcome::Answered(Answer::Taken)) => self.hit(Mark::RepairTooLate),
            _ => {}
        }
    }
}

/// The bit of a node or client; none if there is none.
const fn bit(number: Option<u8>) -> u32 {
    match number {
        Some(number) => 1 << number,
        None => 0,
    }
}

/// The mark for the state in which a lease was dropped.
fn dropped(seen: &Seen) -> Mark {
    let out = |ask: OpKind| seen.out[ask as usize] > 0;
    if seen.over {
        Mark::CancelReleasing
    } else if seen.held {
        if out(OpKind::Renew) {
            Mark::CancelRenewing
        } else {
            Mark::CancelHeld
        }
    } else if out(OpKind::Confirm) {
        Mark::CancelConfirming
    } else if out(OpKind::Acknowledge) {
        Mark::CancelAcknowledging
    } else if out(OpKind::Take) || out(OpKind::Acquire) {
        Mark::CancelAcquiring
    } else if out(OpKind::Release) {
        Mark::CancelClearing
    } else {
        Mark::CancelWaiting
    }
}

impl fmt::Display for Marks {
    /// One line for each mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mark in Mark::ALL {
            writeln!(f, "{:>10}  {mark:?}", self.count(*mark))?;
        }
        Ok(())
    }
}
