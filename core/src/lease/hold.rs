//! Holding: renewal, repair of a copy that a node lost, and loss.

use core::time::Duration;

use super::seat::{Flight, Lack, Vote};
use super::{Context, Lease, Phase, Renewal};
use crate::event::{EventKind, Loss};
use crate::id::NodeId;
use crate::math::{Backoff, Verdict, held_until, verdict};
use crate::request::{Answer, OpKind, Refusal, Reply, Words};
use crate::time::Instant;

impl Lease {
    /// Renews now, whether or not a renewal is due: the answer is an event. Nothing happens unless
    /// the lease is held, or if a renewal is already running.
    pub fn renew(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        if let Phase::Held(renewal) = self.phase
            && renewal != Renewal::Running
        {
            self.begin_renewal(now, ctx);
        }
    }

    pub(super) fn held_timeout(&mut self, now: Instant, early: Duration, ctx: &mut Context<'_>) {
        // Expiry before renewal: what has expired is never renewed.
        if now >= self.valid_until {
            let loss = if self.valid_until >= self.cap {
                Loss::Capped
            } else {
                self.rejection(ctx).map_or(Loss::Expired, Loss::Rejected)
            };
            return self.lose(now, loss, ctx);
        }
        match self.phase {
            // Early by less than the shortest pause between two tries, or a retry would have none.
            Phase::Held(Renewal::At(at) | Renewal::RetryAt(at))
                if now + early.min(self.options.round_timeout() / 16) >= at =>
            {
                self.begin_renewal(now, ctx);
            }
            Phase::Held(Renewal::Running) if now >= self.round.deadline => {
                for seat in &mut self.seats {
                    // Never sent: asked anew, with a later instant to count from, at the retry.
                    if seat.flight.as_ref().is_some_and(|flight| !flight.sent) {
                        seat.flight = None;
                    }
                    if matches!(seat.vote, Vote::Asked | Vote::Unasked) {
                        seat.vote = Vote::Silent;
                    }
                }
                self.renewal_failed(now, ctx);
            }
            _ => {}
        }
    }

    /// When the next renewal begins, after one that made the lease last until `held`.
    pub(super) fn schedule_renewal(&mut self, held: Instant) {
        let renewal = match self.options.renew_after() {
            Some(span) if held < self.cap => Renewal::At(self.round.started + span),
            _ => Renewal::Off,
        };
        self.phase = Phase::Held(renewal);
    }

    fn begin_renewal(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.phase = Phase::Held(Renewal::Running);
        self.round.started = now;
        self.round.deadline = now + self.options.round_timeout();
        for node in self.nodes() {
            self.seats[node.index()].vote = Vote::Unasked;
        }
        for node in self.nodes() {
            self.ask_renewal(now, node, ctx);
        }
        self.assess(now, ctx);
    }

    /// Asks a node in the running renewal: to renew what it may hold, or to take back what it lost.
    fn ask_renewal(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &self.seats[node.index()];
        if ctx.down.contains(node) {
            self.seats[node.index()].vote = Vote::Silent;
            return;
        }
        if !seat.is_idle() {
            // Asked as soon as what is in flight is answered.
            return;
        }
        let ask = if seat.owed.is_some() {
            OpKind::Renew
        } else if self.held_without(now, node, ctx) {
            OpKind::Repair
        } else {
            self.seats[node.index()].vote = Vote::Lacking;
            return;
        };
        self.seats[node.index()].vote = Vote::Asked;
        self.ask(now, node, ask, ctx);
    }

    /// Whether a quorum holds the lease without this node: only then may its copy be put back, since
    /// only then can nobody else have been granted the key.
    fn held_without(&self, now: Instant, node: NodeId, ctx: &Context<'_>) -> bool {
        let others = self
            .nodes()
            .zip(&self.seats)
            .filter(|(other, _)| *other != node);
        held_until(others.map(|(_, seat)| seat.until), ctx.config.quorum())
            .is_some_and(|until| until > now)
    }

    /// An answer while the lease is held: to a renewal, a repair, or late to the acquire.
    pub(super) fn renewal_answered(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        let until = flight.queued + self.options.valid_for();
        let seat = &mut self.seats[node.index()];
        let mut vote = Vote::Silent;
        match reply {
            Reply::Applied(Answer::Done) if flight.ask == OpKind::Confirm => {}
            Reply::Applied(Answer::Done | Answer::Granted { .. }) => {
                // A renewal that was overtaken by a later one shortens nothing.
                seat.until = seat.until.max(Some(until));
                seat.lacks = None;
                vote = Vote::Done;
            }
            Reply::Applied(Answer::Gone) => {
                seat.until = None;
                seat.lacks = Some(Lack::Gone);
                vote = Vote::Lacking;
            }
            Reply::Applied(Answer::Taken | Answer::Held { .. } | Answer::Foreign) => {
                seat.until = None;
                seat.lacks = Some(Lack::Taken);
                vote = Vote::Lacking;
            }
            Reply::NotApplied(Refusal::Rejected(words) | Refusal::Misuse(words)) => {
                vote = Vote::Rejected(words);
            }
            Reply::Applied(Answer::Quarantined { .. }) | Reply::NotApplied(_) | Reply::Unknown => {}
        }
        let gone = vote == Vote::Lacking && self.seats[node.index()].lacks == Some(Lack::Gone);
        let seat = &mut self.seats[node.index()];
        if seat.vote == Vote::Asked {
            seat.vote = vote;
        }
        if gone
            && self.seats[node.index()].is_idle()
            && !ctx.down.contains(node)
            && self.held_without(now, node, ctx)
        {
            self.ask(now, node, OpKind::Repair, ctx);
        }
        self.catch_up(now, node, ctx);
    }

    /// Asks a node that the running renewal could not ask before, since its seat was busy.
    pub(super) fn catch_up(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.phase == Phase::Held(Renewal::Running)
            && self.seats[node.index()].vote == Vote::Unasked
        {
            self.ask_renewal(now, node, ctx);
        }
        self.assess(now, ctx);
    }

    /// Draws the conclusions from what the nodes are known to hold.
    fn assess(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let held = held_until(
            self.seats.iter().map(|seat| seat.until),
            ctx.config.quorum(),
        );
        let Some(held) = held.filter(|until| *until > now) else {
            // Not time but an answer took it away.
            let lacks = |lack| self.seats.iter().any(|seat| seat.lacks == Some(lack));
            let loss = if lacks(Lack::Taken) {
                Loss::Taken
            } else if lacks(Lack::Gone) {
                Loss::Gone
            } else {
                Loss::Expired
            };
            return self.lose(now, loss, ctx);
        };
        let valid_until = held.min(self.cap);
        let running = self.phase == Phase::Held(Renewal::Running);
        let goal = self.round.started + self.options.valid_for();
        let renewed = running && held >= goal;
        let told = core::mem::replace(&mut self.valid_until, valid_until);
        if valid_until < told {
            ctx.out.events.push(EventKind::Shortened { valid_until });
        }
        if valid_until > told || renewed {
            ctx.out.events.push(EventKind::Renewed { valid_until });
        }
        if renewed {
            self.failures = 0;
            self.suspect = false;
            return self.schedule_renewal(held);
        }
        if !running {
            return;
        }
        let renewed = self.count(|seat| seat.until >= Some(goal));
        let open = self.count(|seat| {
            seat.until < Some(goal) && matches!(seat.vote, Vote::Asked | Vote::Unasked)
        });
        if verdict(self.seats.len(), renewed, open) == Verdict::Lost {
            self.renewal_failed(now, ctx);
        }
    }

    fn renewal_failed(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.failures += 1;
        self.suspect = true;
        self.phase = Phase::Held(if self.options.renew_after().is_none() {
            Renewal::Off
        } else {
            let timeout = self.options.round_timeout();
            let first = (timeout / 4).max(Duration::from_nanos(1));
            let pause = Backoff::new(first, timeout).pause(self.failures, ctx.rng);
            Renewal::RetryAt(now + pause)
        });
        let rejected = self.rejection(ctx);
        ctx.out.events.push(EventKind::Suspect {
            valid_until: self.valid_until,
            rejected,
        });
    }

    /// What the server said, if so many refuse for good that no quorum can renew.
    fn rejection(&self, ctx: &Context<'_>) -> Option<Words> {
        let mut words = self.seats.iter().filter_map(|seat| match &seat.vote {
            Vote::Rejected(words) => Some(words),
            _ => None,
        });
        let first = words.next()?;
        let rest = self.seats.len() - 1 - words.count();
        (rest < ctx.config.quorum()).then(|| first.clone())
    }

    fn lose(&mut self, now: Instant, loss: Loss, ctx: &mut Context<'_>) {
        ctx.out.events.push(EventKind::Lost { loss });
        self.settle_from(now, ctx);
    }
}
