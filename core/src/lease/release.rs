//! Releasing: when the owner asks, after a loss, after a cancel. And the retries of releases that a
//! node is still *owed*.

use core::time::Duration;

use super::seat::{Flight, Lack, Seat, Vote};
use super::{Context, Lease, Phase};
use crate::event::{EventKind, Loss, Release};
use crate::id::NodeId;
use crate::math::{Backoff, Verdict, verdict};
use crate::request::{Answer, OpKind, Refusal, Reply, Words};
use crate::time::Instant;

/// The pauses between tries of a release that failed.
const SETTLE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

impl Lease {
    /// The owner gives the lease back and wants to know the outcome, which is an event.
    ///
    /// Validity ends here, before any request is queued. If it had ended already, the event is
    /// [`EventKind::Lost`]. If the lease was not held yet, there is no event, as for a cancel.
    pub fn release(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        match self.phase {
            Phase::Held(_) => {}
            // A release is running already, and its outcome is the answer to this one too.
            Phase::Releasing { .. } => return,
            _ => return self.cancel(now, ctx),
        }
        self.suspect = false;
        self.put_off = 0;
        // Law: No resurrection
        self.phase = Phase::Releasing {
            until: now + self.options.release_timeout(),
        };
        for node in self.nodes() {
            let seat = &mut self.seats[node.index()];
            seat.kept = seat.until;
            // A place is no copy, and neither is what an earlier attempt left or the node keeps for
            // a hint: the answer to its removal is no outcome.
            let removal =
                |flight: &Flight| flight.ask == OpKind::Release && flight.attempt < self.attempt;
            let removed = seat.flight.as_ref().is_some_and(removal);
            let nothing = !seat.asked || removed || seat.is_idle() && seat.owed.is_none();
            self.owe_place(node);
            self.let_go(now, node, OpKind::Release, ctx);
            let seat = &mut self.seats[node.index()];
            seat.say(ctx.down(node));
            seat.vote = if nothing {
                Vote::Lacking
            } else {
                Vote::Unasked
            };
        }
        self.settle(now, ctx);
    }

    /// Ends the lease in whatever state it is. What is or may be at a node is released. The
    /// application is told nothing more.
    pub fn cancel(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Settling | Phase::Ended) {
            self.settle_from(now, ctx);
        }
    }

    /// The application has been told everything: what is left is released in the background.
    pub(super) fn settle_from(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.phase = Phase::Settling;
        self.suspect = false;
        self.put_off = 0;
        self.note_seen(ctx.config.quorum());
        self.owe_places();
        for node in self.nodes() {
            self.let_go(now, node, OpKind::Release, ctx);
        }
        self.settle(now, ctx);
    }

    /// Takes the outcome of a release.
    pub(super) fn released(
        &mut self,
        now: Instant,
        node: NodeId,
        by: OpKind,
        reply: &Reply,
        ctx: &mut Context<'_>,
    ) {
        match self.phase {
            Phase::Releasing { .. } | Phase::Settling if by == OpKind::Stay => {
                // It was on its way when the lease ended, and left a place.
                self.owe_places();
                self.let_go(now, node, OpKind::Release, ctx);
                return self.settle(now, ctx);
            }
            Phase::Releasing { .. } => {}
            Phase::Clearing { .. } => return self.cleared(now, ctx),
            Phase::Settling => return self.settle(now, ctx),
            // It was the release of an older attempt. The node can be asked to renew now.
            Phase::Held(_) => return self.catch_up(now, node, ctx),
            Phase::Backoff { until } => return self.settle_between(now, until, ctx),
            Phase::Waiting { .. } => return self.waiting_timeout(now, Duration::ZERO, ctx),
            Phase::Acknowledging(_) => return self.ask_replicas(now, node, ctx),
            Phase::Acquiring | Phase::Confirming(_) | Phase::Ended => return,
        }
        let seat = &mut self.seats[node.index()];
        match reply {
            // It was freed, as this node has said. It was owed another release for a request before
            // that one, whose outcome came later.
            _ if matches!(seat.vote, Vote::Done | Vote::Lacking) => {}
            // An earlier release that was not answered had freed the key. Someone else may have
            // taken it since. (Or the key was lost before, and the reply that said so was lost too:
            // no answer of the node could tell. The documentation names this double fault.)
            // Or its time ended before a release was done at all.
            Reply::Applied(Answer::Gone | Answer::Taken)
                if seat.release_unknown || seat.kept.is_some_and(|kept| now >= kept) =>
            {
                seat.vote = seat.freed_unheard(now);
            }
            Reply::Applied(Answer::Gone) => {
                seat.vote = Vote::Lacking;
                seat.lacks = Some(Lack::Gone);
            }
            Reply::Applied(
                Answer::Taken | Answer::Foreign | Answer::WrongType { .. } | Answer::Held { .. },
            ) => {
                seat.vote = Vote::Lacking;
                seat.lacks = Some(Lack::Taken);
            }
            Reply::Applied(_) => seat.vote = Vote::Done,
            Reply::NotApplied(Refusal::Rejected(words) | Refusal::Misuse(words)) => {
                seat.vote = Vote::Rejected(words.clone().into());
            }
            Reply::NotApplied(_) | Reply::Unknown(_) => {}
        }
        self.settle(now, ctx);
    }

    /// Decides a release that the owner asked for, if it can. Plans the next try of releases that
    /// are still owed. Ends the lease if there are none.
    pub(super) fn settle(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if matches!(self.phase, Phase::Releasing { .. }) {
            self.decide_release(ctx);
        }
        let waiting = self.seats.iter().any(|seat| !seat.is_idle());
        if !self.is_unpaid(now) {
            self.settle_at = Instant::MAX;
            if !waiting {
                // What was still owed has expired by itself, and no node will be asked any more.
                if matches!(self.phase, Phase::Releasing { .. }) {
                    self.tell_unknown(ctx);
                }
                self.phase = Phase::Ended;
            }
        } else if self.settle_at <= now || self.settle_at == Instant::MAX {
            self.settle_later(now, ctx);
        }
    }

    /// During a backoff, releases of the failed round that were not answered are tried again. They
    /// are not if the next attempt begins before an answer could come: its acquire replaces the old
    /// token anyway.
    pub(super) fn settle_between(&mut self, now: Instant, until: Instant, ctx: &mut Context<'_>) {
        if now >= self.settle_at {
            self.settle_at = Instant::MAX;
            let by = self.frees_between();
            for node in self.nodes() {
                self.let_go(now, node, by, ctx);
            }
        }
        let last = until - self.options.attempt_timeout();
        if !self.is_unpaid(now) || last <= now {
            self.settle_at = Instant::MAX;
        } else if self.settle_at == Instant::MAX {
            self.settle_later(now, ctx);
            self.settle_at = self.settle_at.min(last);
        }
    }

    /// A node has come up. What it is owed is not put off any longer.
    // Law: No orphan
    pub(super) fn settle_at_up(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.settle_at == Instant::MAX || !self.seats[node.index()].is_idle() {
            return;
        }
        let by = match self.phase {
            Phase::Backoff { .. } => self.frees_between(),
            _ => OpKind::Release,
        };
        self.let_go(now, node, by, ctx);
        match self.phase {
            Phase::Backoff { until } => self.settle_between(now, until, ctx),
            _ => self.settle(now, ctx),
        }
    }

    /// How what a failed round left is given back while the lease still wants the lock.
    pub(super) const fn frees_between(&self) -> OpKind {
        match self.hints {
            true => OpKind::Stay,
            false => OpKind::Release,
        }
    }

    /// Whether a node is owed a release, and no request to it is under way.
    fn is_unpaid(&mut self, now: Instant) -> bool {
        for seat in self.seats.iter_mut() {
            // The key has expired by itself by now.
            if seat.owed.is_some_and(|expires| now >= expires) {
                seat.owed = None;
            }
        }
        // Law: No orphan
        let mut seats = self.seats.iter();
        seats.any(|seat| seat.is_idle() && seat.owed.is_some())
    }

    /// Plans the next try.
    fn settle_later(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.put_off += 1;
        self.settle_at = now + SETTLE.pause(self.put_off, ctx.rng);
    }

    pub(super) fn settle_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if let Phase::Releasing { until } = self.phase
            && now >= until
        {
            self.tell_unknown(ctx);
        }
        if now >= self.settle_at {
            for node in self.nodes() {
                self.let_go(now, node, OpKind::Release, ctx);
            }
        }
        self.settle(now, ctx);
    }

    /// The owner has waited long enough.
    fn tell_unknown(&mut self, ctx: &mut Context<'_>) {
        let silent = self
            .silences(|seat| matches!(seat.vote, Vote::Unasked | Vote::Silent | Vote::Rejected(_)));
        ctx.out.events.push(EventKind::Released {
            outcome: Release::Unknown { silent },
        });
        self.phase = Phase::Settling;
    }

    /// Tells the owner the outcome of its release, once it is certain.
    fn decide_release(&mut self, ctx: &mut Context<'_>) {
        let nodes = self.seats.len();
        let freed = self.count(|seat| seat.vote == Vote::Done);
        let lacking = self.count(|seat| seat.vote == Vote::Lacking);
        let open = self.count(|seat| seat.vote == Vote::Unasked);
        let refused = self.count(|seat| matches!(seat.vote, Vote::Rejected(_)));
        // Whether a quorum is left beside so many.
        let beside = |count: usize| verdict(nodes, 0, nodes - count) == Verdict::Open;
        let taken = |seat: &Seat| seat.lacks == Some(Lack::Taken);
        let outcome = if verdict(nodes, freed, 0) == Verdict::Won {
            Release::Released
        } else if !beside(lacking) {
            Release::Lost(match self.seats.iter().any(taken) {
                true => Loss::Taken,
                false => Loss::Gone,
            })
        } else if let Some((node, words)) = self.rejection(ctx) {
            Release::Rejected { node, words }
        } else if verdict(nodes, freed, open) == Verdict::Open
            || !beside(lacking + open)
            || !beside(refused + open)
        {
            return;
        } else {
            // A node that has not answered could change nothing, so it is not silent.
            let silent =
                self.silences(|seat| matches!(seat.vote, Vote::Silent | Vote::Rejected(_)));
            Release::Unknown { silent }
        };
        ctx.out.events.push(EventKind::Released { outcome });
        self.phase = Phase::Settling;
    }
}

impl Seat {
    /// The vote of a node that has no copy any more, after a release that had no answer. That
    /// release freed the key, unless the key may have expired by itself before.
    // Law: Loss is told
    fn freed_unheard(&mut self, now: Instant) -> Vote {
        let words = Words::fixed(match self.kept {
            Some(kept) if now < kept => return Vote::Done,
            Some(_) => "its time ended before an answer came",
            None => "it is not known whether it held the lock until the release",
        });
        self.say(Some(words));
        Vote::Silent
    }
}
