//! Acquiring: attempts, the nodes' votes, the agreement on a fence, and the pause between attempts.

use alloc::vec::Vec;
use core::time::Duration;

use super::seat::{Flight, Rival, Seat, Vote};
use super::{Context, Lease, Phase, Renewal};
use crate::event::{AcquireFailure, EventKind};
use crate::id::NodeId;
use crate::math::{Verdict, held_until, verdict};
use crate::request::{Answer, OpKind, Refusal, Reply, Words};
use crate::time::Instant;
use crate::token::{Fence, Fingerprint, Label};

impl Lease {
    pub(super) fn begin_attempt(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.attempt += 1;
        self.phase = Phase::Acquiring;
        self.asks_by_hint();
        self.settle_at = Instant::MAX;
        self.round.started = now;
        self.round.deadline = now + self.options.attempt_timeout();
        // A single node draws its own fence. Only several nodes have to agree on one.
        self.round.proposal = if self.seats.len() > 1 {
            ctx.server_clock.propose(now)
        } else {
            None
        };
        for node in self.nodes() {
            let seat = &mut self.seats[node.index()];
            seat.until = None;
            seat.lacks = None;
            seat.release_unknown = false;
            seat.asked = false;
            seat.say(ctx.down(node));
            // A node that has not answered the last attempt is not asked again before it has.
            if !seat.is_idle() || ctx.down.contains(node) {
                seat.vote = Vote::Silent;
            } else {
                seat.vote = Vote::Asked;
                // A later attempt may find a token of its own there, which only a script can tell
                // from that of somebody else.
                if ctx.takes && self.attempt == 1 {
                    self.ask(now, node, OpKind::Take, ctx);
                } else {
                    self.ask_by_script(now, node, ctx);
                }
            }
        }
        self.decide(now, ctx);
    }

    /// Asks for the lock in a way that says who has it.
    fn ask_by_script(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.queues(ctx) {
            self.ask_place(now, node, ctx);
        } else {
            self.ask(now, node, OpKind::Acquire, ctx);
        }
    }

    /// Until when the present attempt is waited for. Giving up cuts any but the first: the caller's
    /// patience is no reason to say that a node does not answer.
    pub(super) fn attempt_ends(&self) -> Instant {
        if self.attempt == 1 {
            self.round.deadline
        } else {
            self.round.deadline.min(self.give_up)
        }
    }

    pub(super) fn acquire_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if now < self.attempt_ends() {
            return;
        }
        for seat in self.seats.iter_mut() {
            // A node that granted, but did not confirm the fence in time, counts as silent too.
            let silent = match (&seat.vote, self.phase) {
                (Vote::Asked, _) => true,
                (Vote::Granted(drawn), Phase::Confirming(fence)) => *drawn < fence,
                _ => false,
            };
            if silent {
                seat.vote = Vote::Silent;
            }
        }
        match self.place {
            // A place may have been entered: the attempt goes on.
            Some(_) => self.wait_on(now, ctx),
            None => self.fail_round(now, ctx),
        }
    }

    /// Takes a node's answer in the present attempt.
    pub(super) fn voted(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        let valid_for = self.options.valid_for();
        let queues = self.queues(ctx);
        let seat = &mut self.seats[node.index()];
        match (flight.ask, reply) {
            (OpKind::Take | OpKind::Acquire, Reply::Applied(Answer::Granted { fence, .. })) => {
                // Law: Honest validity
                seat.until = Some(flight.queued + valid_for);
                seat.vote = Vote::Granted(fence);
                if let Phase::Confirming(agreed) = self.phase
                    && fence < agreed
                {
                    self.ask(now, node, OpKind::Confirm, ctx);
                }
            }
            (OpKind::Take, Reply::Applied(answer))
                if says_too_little(&answer, queues) && !ctx.down.contains(node) =>
            {
                // The attempt goes on. Its second request gets as much time as the first.
                self.round.deadline = now + self.options.attempt_timeout();
                return self.ask_by_script(now, node, ctx);
            }
            (OpKind::Confirm, Reply::Applied(Answer::Done)) => {
                if let Phase::Confirming(fence) = self.phase {
                    seat.vote = Vote::Granted(fence);
                }
            }
            (ask, reply) => {
                seat.until = None;
                if let Reply::Applied(answer) = &reply {
                    seat.say(unfit(ask, answer));
                }
                seat.vote = match reply {
                    Reply::Applied(Answer::Held { left, holder, .. }) => {
                        Vote::Held(Rival { left, holder }.into())
                    }
                    Reply::Applied(Answer::Foreign) => Vote::Foreign,
                    Reply::Applied(Answer::WrongType { name, holds }) => {
                        Vote::WrongType { name, holds }
                    }
                    Reply::Applied(Answer::Quarantined { left }) => Vote::Quarantined { left },
                    Reply::NotApplied(Refusal::Rejected(words)) => Vote::Rejected(words.into()),
                    Reply::NotApplied(Refusal::Misuse(words)) => Vote::Misuse(words.into()),
                    Reply::Applied(_) | Reply::NotApplied(_) | Reply::Unknown(_) => Vote::Silent,
                };
            }
        }
        self.decide(now, ctx);
    }

    /// Decides the round, if the votes so far are enough.
    fn decide(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let nodes = self.seats.len();
        let asked = self.count(|seat| seat.vote == Vote::Asked);
        match self.phase {
            Phase::Acquiring => {
                let granted = self.count(|seat| matches!(seat.vote, Vote::Granted(_)));
                // Law: Exclusion
                match verdict(nodes, granted, asked) {
                    Verdict::Won => self.agree(now, ctx),
                    Verdict::Lost if self.cause_is_open(ctx.config.quorum()) => {}
                    Verdict::Lost => self.fail_round(now, ctx),
                    Verdict::Open => {}
                }
            }
            Phase::Confirming(fence) => {
                let stored = self.count(|seat| matches!(seat.vote, Vote::Granted(f) if f >= fence));
                let open = self.count(|seat| matches!(seat.vote, Vote::Granted(f) if f < fence));
                // Law: Fencing
                match verdict(nodes, stored, open + asked) {
                    Verdict::Won => self.hold(now, fence, ctx),
                    Verdict::Lost => self.fail_round(now, ctx),
                    Verdict::Open => {}
                }
            }
            _ => {}
        }
    }

    /// Whether the nodes that have not answered yet still decide why the round failed.
    ///
    /// Example: one of three nodes is down, and one says *held*. If the third answers too, a quorum
    /// answered, and the reason is contention. If it does not, the reason is an outage. Likewise,
    /// the third node decides between contention and quarantine, or a key without an expiry. And
    /// it decides whether so many refuse that waiting mends nothing.
    fn cause_is_open(&self, quorum: usize) -> bool {
        if self.count(|seat| matches!(seat.vote, Vote::Misuse(_))) > 0 {
            return false;
        }
        let asked = self.count(|seat| seat.vote == Vote::Asked);
        let open = |known, enough| known < enough && known + asked >= enough;
        open(self.count(|seat| seat.vote.is_answer()), quorum)
            || open(self.count(|seat| seat.vote.counts()), quorum)
            || open(self.count(|seat| seat.vote.passes()), quorum)
            || open(
                self.count(|seat| seat.vote.refuses()),
                self.seats.len() - quorum + 1,
            )
    }

    /// A quorum granted: agrees on the largest fence that a node drew.
    ///
    /// It is reported only once a quorum has stored it. Otherwise the next grant, by another
    /// quorum, could draw a smaller one.
    fn agree(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let drawn = self.seats.iter().filter_map(|seat| match seat.vote {
            Vote::Granted(fence) => Some(fence),
            _ => None,
        });
        let Some(fence) = drawn.max() else { return };
        self.phase = Phase::Confirming(fence);
        for node in self.nodes() {
            if matches!(self.seats[node.index()].vote, Vote::Granted(drawn) if drawn < fence) {
                self.ask(now, node, OpKind::Confirm, ctx);
            }
        }
        self.decide(now, ctx);
    }

    /// The fence is stored on a quorum: the lease is held, if any validity is left.
    fn hold(&mut self, now: Instant, fence: Fence, ctx: &mut Context<'_>) {
        let since = self.round.started;
        if let Err(why) = self.granted(now, fence, since, ctx) {
            for seat in self.seats.iter_mut() {
                if matches!(seat.vote, Vote::Granted(_)) {
                    seat.vote = Vote::Silent;
                    seat.say(Some(Words::fixed(why)));
                }
            }
            self.fail_round(now, ctx);
        }
    }

    /// Until when a quorum of nodes keeps the lock that was granted.
    ///
    /// # Errors
    /// Why no validity is left, if it was granted too late. This counts as no answer.
    pub(super) fn held_from(
        &self,
        now: Instant,
        ctx: &Context<'_>,
    ) -> Result<Instant, &'static str> {
        let copies = self.seats.iter().map(|seat| seat.until);
        let held = held_until(copies, ctx.config.quorum());
        held.filter(|until| (*until).min(self.cap) > now)
            .ok_or_else(|| match held.is_some_and(|until| until > now) {
                true => "it granted the lock, whose longest time to be held was over by then",
                false => "it granted the lock too late for any of its time to be left",
            })
    }

    /// Holds the lease from now on.
    ///
    /// # Errors
    /// As for [`held_from`](Self::held_from).
    pub(super) fn begin_hold(
        &mut self,
        now: Instant,
        fence: Fence,
        ctx: &mut Context<'_>,
    ) -> Result<(), &'static str> {
        let held = self.held_from(now, ctx)?;
        self.fence = Some(fence);
        self.failures = 0;
        self.holder = None;
        self.valid_until = held.min(self.cap);
        self.phase = Phase::Held(Renewal::Off);
        self.schedule_renewal(held);
        ctx.out.events.push(EventKind::Acquired {
            fence,
            valid_until: self.valid_until,
        });
        self.watch_all(now, ctx);
        Ok(())
    }

    /// The round failed. First, everything that it wrote or may have written is released, so that
    /// no minority of nodes keeps the key from others during the backoff.
    pub(super) fn fail_round(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.leave_line();
        let mut failure = self.classify(ctx.config.quorum());
        // If giving up cut the round short, the reason of the round before it says more.
        if now < self.round.deadline
            && now >= self.give_up
            && matches!(failure, AcquireFailure::Outage { .. })
        {
            failure = self.failure.take().map_or(failure, |before| *before);
        }
        // Law: Progress, No orphan
        let by = self.frees_between();
        for node in self.nodes() {
            self.let_go(now, node, by, ctx);
        }
        let holder = self.holder_at(ctx.config.quorum());
        // A hint that came to nothing is no reason to pause for longer.
        if !self.hint_failed() {
            self.count_failure(holder);
        }
        let fatal = failure.is_fatal();
        let out_of_attempts = self
            .options
            .attempts()
            .is_some_and(|most| self.attempt >= most);
        self.failure = Some(failure.into());
        if fatal || out_of_attempts || now >= self.give_up {
            return self.fail(now, !fatal, ctx);
        }
        self.phase = Phase::Clearing {
            until: now + self.options.attempt_timeout(),
        };
        self.cleared(now, ctx);
    }

    /// Counts a round that failed, by which pauses grow. Where the key has changed hands since the
    /// last round in which so many nodes named one holder, the count begins anew: it was free in
    /// between, and will be again soon. Rivals who share the nodes, so that nobody has a quorum,
    /// are no such change: their pauses must grow.
    // Law: Progress
    pub(super) fn count_failure(&mut self, holder: Option<Fingerprint>) {
        self.failures += 1;
        let Some(holder) = holder else {
            return;
        };
        let before = self.holder.replace(holder);
        if before.is_some_and(|before| before != holder) {
            self.failures = 1;
        }
    }

    /// The holder that so many nodes name.
    pub(super) fn holder_at(&self, quorum: usize) -> Option<Fingerprint> {
        let named = |seat: &Seat| match &seat.vote {
            Vote::Held(rival) => Some(rival.holder.fingerprint),
            _ => None,
        };
        let mut holders = self.seats.iter().filter_map(named);
        holders.find(|one| self.count(|seat| named(seat) == Some(*one)) >= quorum)
    }

    /// What the first holder is called that has a name.
    fn holder_named(&self) -> Option<Label> {
        let mut labels = self.seats.iter().filter_map(|seat| match &seat.vote {
            Vote::Held(rival) => rival.holder.label.as_ref(),
            _ => None,
        });
        labels.next().cloned()
    }

    /// Ends the acquire without a lease.
    pub(super) fn fail(&mut self, now: Instant, gave_up: bool, ctx: &mut Context<'_>) {
        let cause = self
            .failure
            .take()
            .map_or(AcquireFailure::Outage { silent: Vec::new() }, |why| *why);
        ctx.out.events.push(EventKind::Failed { cause, gave_up });
        self.settle_from(now, ctx);
    }

    /// Begins the backoff, once all releases of the failed round are answered.
    pub(super) fn cleared(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if self.seats.iter().all(Seat::is_idle) {
            self.back_off(now, ctx);
        }
    }

    fn back_off(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Some(cause) = self.failure.as_deref().cloned() else {
            return;
        };
        let until = match self.asks_anyway(now, &cause, ctx) {
            Some(at) => at,
            None => now + self.pause(&cause, ctx),
        };
        self.phase = Phase::Backoff { until };
        ctx.out.events.push(EventKind::Waiting { cause, until });
        self.put_off = 0;
        self.settle_between(now, until, ctx);
    }

    /// How long to wait before asking again.
    pub(super) fn pause(&self, cause: &AcquireFailure, ctx: &mut Context<'_>) -> Duration {
        let backoff = match cause {
            AcquireFailure::Contended { .. } => self.options.contention_backoff(),
            _ => self.options.backoff(),
        };
        let pause = backoff.pause(self.failures, ctx.rng);
        // The key is free when the holder's TTL ends, so there is no need to wait longer. A little
        // jitter keeps the waiters from all asking at that moment.
        match cause {
            AcquireFailure::Contended { left, .. } | AcquireFailure::Quarantined { left, .. } => {
                pause.min(left.saturating_add(ctx.rng.below(backoff.first())))
            }
            _ => pause,
        }
    }

    pub(super) fn backoff_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if now >= self.give_up {
            return self.fail(now, true, ctx);
        }
        match self.phase {
            Phase::Clearing { until } if now >= until => self.back_off(now, ctx),
            Phase::Backoff { until } if now >= until => self.begin_attempt(now, ctx),
            Phase::Backoff { until } => self.settle_between(now, until, ctx),
            _ => {}
        }
    }

    /// Why the round failed. The reason that the caller can act on comes first.
    pub(super) fn classify(&self, quorum: usize) -> AcquireFailure {
        let mut refusal = None;
        let mut refusals = 0;
        for (node, seat) in self.nodes().zip(self.seats.iter()) {
            let refused = match seat.vote.clone() {
                Vote::Misuse(words) => {
                    let words = *words;
                    return AcquireFailure::Misuse { node, words };
                }
                Vote::Rejected(words) => {
                    let words = *words;
                    AcquireFailure::Rejected { node, words }
                }
                Vote::WrongType { name, holds } => AcquireFailure::WrongType { node, name, holds },
                Vote::Unacknowledged { replicas, demanded } => {
                    return AcquireFailure::Unacknowledged {
                        node,
                        replicas,
                        demanded,
                    };
                }
                _ => continue,
            };
            refusals += 1;
            refusal.get_or_insert(refused);
        }
        // Waiting mends none of them.
        if let Some(first) = refusal
            && verdict(self.seats.len(), 0, self.seats.len() - refusals) == Verdict::Lost
        {
            return first;
        }
        if self.count(|seat| seat.vote.counts()) >= quorum {
            return self.contention(quorum);
        }
        if self.count(|seat| seat.vote.is_answer()) >= quorum {
            let mut waits: Vec<_> = self
                .nodes()
                .zip(self.seats.iter())
                .filter_map(|(node, seat)| match seat.vote {
                    Vote::Quarantined { left } => Some((left, node)),
                    _ => None,
                })
                .collect();
            waits.sort_unstable();
            let missing = quorum - self.count(|seat| seat.vote.counts());
            let (left, node) = waits[missing - 1];
            return AcquireFailure::Quarantined { node, left };
        }
        // A node whose answer was not needed any more is not silent: it may yet answer.
        AcquireFailure::Outage {
            silent: self.silences(|seat| !seat.vote.is_answer() && seat.vote != Vote::Asked),
        }
    }

    /// Others hold the key: says after how long a quorum of nodes will be free, if nobody renews.
    /// Without the nodes whose key has no expiry there may be no quorum.
    fn contention(&self, quorum: usize) -> AcquireFailure {
        let mut lefts: Vec<Duration> = self
            .seats
            .iter()
            .filter_map(|seat| match &seat.vote {
                Vote::Granted(_) => Some(Duration::ZERO),
                Vote::Held(rival) => Some(rival.left),
                _ => None,
            })
            .collect();
        lefts.sort_unstable();
        let mut seats = self.nodes().zip(self.seats.iter());
        let foreign = seats.find(|(_, seat)| seat.vote == Vote::Foreign);
        match (lefts.get(quorum - 1), foreign) {
            (Some(left), _) => AcquireFailure::Contended {
                left: *left,
                ahead: None,
                holder: self.holder_named(),
            },
            (None, Some((node, _))) => AcquireFailure::Foreign { node },
            (None, None) => unreachable!("a quorum answered that the key is not free"),
        }
    }
}

/// Whether the answer to a take leaves a question: who has the key, or which fence was drawn. Or it
/// says who has it, since the link asked by a script, and the lease is to wait in the queue.
const fn says_too_little(answer: &Answer, queues: bool) -> bool {
    match answer {
        Answer::Busy | Answer::Unfenced => true,
        Answer::Held { .. } | Answer::Foreign => queues,
        _ => false,
    }
}

/// What to say of a node whose answer neither grants nor says who has the key.
fn unfit(ask: OpKind, answer: &Answer) -> Option<Words> {
    let words = match (ask, answer) {
        (_, Answer::Held { .. } | Answer::Foreign | Answer::WrongType { .. })
        | (_, Answer::Quarantined { .. }) => return None,
        (OpKind::Confirm, Answer::Gone) => "its copy vanished before the fence was stored",
        (OpKind::Confirm, Answer::Taken) => "its copy was replaced before the fence was stored",
        (_, Answer::Taken) => "it holds the token of a newer attempt",
        _ => "it answered something else than what was asked",
    };
    Some(Words::fixed(words))
}
