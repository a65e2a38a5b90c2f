//! The queues at the nodes: Fairness, Progress of each waiter, and No orphan for places.
//!
//! Over several nodes places promise no order, and only No orphan is demanded of them.

use tenure_core::{Law, OpKind};

use super::state::{Judge, Stage};
use crate::observe::fact::{Answer, Holder, Nanos, Record};

/// A key lives until the end of its last millisecond, and clocks may be slow.
const LAST_MS: Nanos = 2_000_000;

/// For so long one of several nodes keeps a lock for the one that it hints to.
const MOMENT: Nanos = 50_000_000;

/// A place in the queue of a key at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) lease: u32,
    /// From when on it is dead.
    pub(super) until: Nanos,
    /// Whether it has a channel.
    channel: bool,
}

/// The places in the queue of a key at a node, in the order in which they were entered.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) places: Vec<Placed>,
    /// Since when somebody waits although nobody knows that it holds the key.
    idle_since: Option<Nanos>,
    /// Until when somebody who waits now will.
    live_until: Nanos,
}

/// How a lease waits for its turn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    since: Nanos,
    /// How many were ahead of it then.
    ahead: u64,
}

impl Line {
    pub(super) fn place(&self, lease: u32) -> Option<&Placed> {
        self.places.iter().find(|place| place.lease == lease)
    }
}

impl Judge {
    fn line(&mut self, key: u8, node: u8) -> &mut Line {
        &mut self.lines[usize::from(key) * self.rules.nodes + usize::from(node)]
    }

    /// Until when a node keeps a place for a lease.
    pub(super) fn placed_until(&self, key: u8, node: u8, lease: u32) -> Option<Nanos> {
        let line = &self.lines[usize::from(key) * self.rules.nodes + usize::from(node)];
        line.place(lease).map(|place| place.until)
    }

    /// A place was entered, is kept longer, or is gone.
    pub(super) fn place_changed(
        &mut self,
        record: &Record,
        lease: u32,
        until: Option<Nanos>,
        channel: bool,
    ) {
        let (Some(node), Some(key)) = (record.node, record.key) else {
            return;
        };
        let Some(until) = until else {
            let line = self.line(key, node);
            line.places.retain(|place| place.lease != lease);
            return;
        };
        self.checks.places += 1;
        // The clocks of several servers agree within a max TTL, and one may take over from another.
        let clocks = match self.rules.nodes {
            1 => 0,
            _ => self.rules.max_ttl,
        };
        let ttl = self.leases[lease as usize].ttl;
        let line = self.line(key, node);
        let live = |place: &&Placed| place.until > record.at;
        let ahead = line.places.iter().filter(live).count() as u64;
        let mut latest = record.at + ttl * 3 / 2 + clocks + LAST_MS;
        match line.places.iter_mut().find(|place| place.lease == lease) {
            Some(place) => {
                latest = latest.max(place.until + LAST_MS);
                place.until = until;
            }
            None => {
                line.places.push(Placed {
                    lease,
                    until,
                    channel,
                });
                let since = record.at;
                let state = &mut self.leases[lease as usize];
                if state.stage == Stage::Wanted {
                    state.turn = Some(Turn { since, ahead });
                }
            }
        }
        if until > latest && self.rules.excuses {
            let span = until - record.at;
            let sentence = format!("node {node} keeps a place of lease {lease} for {span} ns");
            self.accuse(Law::NoOrphan, record.at, Some(key), sentence);
        }
    }

    /// The node hears that somebody listens to the channel of a client, or nobody any more.
    pub(super) fn channel_changed(&mut self, record: &Record, heard: bool) {
        if let (Some(client), Some(node)) = (record.client, record.node) {
            self.heard[usize::from(client) * self.rules.nodes + usize::from(node)] = heard;
        }
    }

    /// The key went from one lease to another, or to one that had waited, by a request of the lease
    /// `actor`: the one that has it now must have been the next in line.
    pub(super) fn check_order(&mut self, record: &Record, actor: u32, next: u32, by_place: bool) {
        let (Some(node), Some(key)) = (record.node, record.key) else {
            return;
        };
        self.checks.turns += 1;
        let at = record.at;
        let handed = actor != next;
        let its = self.line(key, node).place(next).copied();
        if handed && its.is_none_or(|place| place.until <= at) {
            let sentence = format!(
                "a request of lease {actor} handed the key on to lease {next}, for which no place \
                 is kept"
            );
            return self.accuse(Law::NoOrphan, at, Some(key), sentence);
        }
        // A newcomer may take what is free.
        if !handed && !by_place {
            return;
        }
        // A release gives up the own place, too. Who asks for the lock keeps it.
        let asks = self
            .seat(actor, node)
            .waits
            .is_some_and(|(_, asked)| asked == at);
        let leaves = |lease: u32| handed && lease == actor && !asks;
        let present = |judge: &Self, place: &Placed| {
            let client = usize::from(judge.leases[place.lease as usize].client);
            let heard = judge.heard[client * judge.rules.nodes + usize::from(node)];
            !place.channel || heard || place.lease == actor
        };
        // Whether somebody listens is known of the living: the next life of a process may listen to
        // another channel.
        let crashed = |judge: &Self, place: &Placed| judge.leases[place.lease as usize].crashed;
        let line = self.line(key, node).places.clone();
        let own = line.iter().position(|place| place.lease == next);
        let passed_over = its.is_some_and(|place| !present(self, &place) && !crashed(self, &place));
        let before = line.iter().enumerate().find(|(index, place)| {
            let earlier = own.is_none_or(|own| *index < own) || passed_over;
            let other = place.lease != next && !leaves(place.lease) && place.until > at;
            earlier && other && present(self, place) && !crashed(self, place)
        });
        if let Some((_, place)) = before {
            let sentence = format!(
                "lease {next} is granted the key, and lease {} stands before it in the queue",
                place.lease
            );
            return self.accuse(Law::Fairness, at, Some(key), sentence);
        }
        // With nobody else present, it goes to the first that is there.
        let stays = |place: &&Placed| place.until > at && !leaves(place.lease);
        let first = line.iter().find(stays);
        if let Some(first) = first.filter(|first| passed_over && first.lease != next) {
            let sentence = format!(
                "lease {next} is granted the key before lease {}, and nobody listens for either",
                first.lease
            );
            self.accuse(Law::Fairness, at, Some(key), sentence);
        }
    }

    /// A lease gave the key back, and nobody has it now: nobody may wait for it then.
    pub(super) fn check_hand_off(&mut self, record: &Record, actor: u32) {
        let (Some(node), Some(key)) = (record.node, record.key) else {
            return;
        };
        if self.rules.bare_releases && self.seat(actor, node).debt.again {
            return;
        }
        let line = self.line(key, node);
        let mut others = line.places.iter().filter(|place| place.lease != actor);
        if let Some(place) = others.find(|place| place.until > record.at) {
            let sentence = format!(
                "lease {actor} gave the key back to nobody, and lease {} waits for it",
                place.lease
            );
            self.accuse(Law::Fairness, record.at, Some(key), sentence);
        }
    }

    /// A lock that was handed on is kept until the end of the reservation, and not longer.
    pub(super) fn check_reservation(&mut self, record: &Record, next: u32, until: Option<Nanos>) {
        let (Some(node), Some(key)) = (record.node, record.key) else {
            return;
        };
        let Some(place) = self.line(key, node).place(next).copied() else {
            return;
        };
        // Over several nodes the lock is kept for a moment only.
        let latest = match self.rules.nodes {
            1 => place.until,
            _ => place.until.min(record.at + MOMENT * 3 / 2),
        };
        if until.is_none_or(|until| until > latest + LAST_MS) {
            let sentence = format!(
                "the key was handed on to lease {next} until {until:?}, and its place was kept \
                 until {} ns",
                place.until
            );
            self.accuse(Law::NoOrphan, record.at, Some(key), sentence);
        }
    }

    /// The node handed the lock on to a lease.
    pub(super) fn handed_on(&mut self, record: &Record, lease: u32, fence: u64, until: Nanos) {
        let Some(node) = record.node else { return };
        self.drew_fence(record, lease, false, fence);
        let seat = self.seat(lease, node);
        seat.handed_before = seat.handed.replace((fence, until, record.at));
    }

    /// The client hears of it. As far as it knows, the node keeps the key so long.
    pub(super) fn push_heard(&mut self, record: &Record, lease: u32, fence: u64) {
        let Some(node) = record.node else { return };
        let seat = self.seat(lease, node);
        let mut handed = seat.handed.into_iter().chain(seat.handed_before);
        if let Some((_, until, _)) = handed.find(|(drawn, ..)| *drawn == fence) {
            seat.promised = seat.promised.max(Some(until));
        }
    }

    /// A node did what a request for a place asks.
    pub(super) fn did_by_place(
        &mut self,
        record: &Record,
        lease: u32,
        ask: OpKind,
        serial: u32,
        answer: Answer,
    ) {
        let (Some(node), OpKind::Wait) = (record.node, ask) else {
            return;
        };
        let seat = self.seat(lease, node);
        match answer {
            Answer::Waiting => seat.waits = Some((serial, record.at)),
            Answer::Granted(_) => seat.waited = Some(record.at),
            _ => {}
        }
    }

    /// The client hears that the lease waits. If the node had handed the lock on to it before that,
    /// it has lost it since.
    pub(super) fn waiting_heard(&mut self, lease: u32, node: u8, serial: u32) {
        let seat = self.seat(lease, node);
        if let Some((asked, at)) = seat.waits
            && asked == serial
            && seat.handed.is_some_and(|(.., handed)| handed < at)
        {
            seat.promised = None;
            seat.handed_before = None;
        }
    }

    /// The lease is settled: no node may keep a place for it.
    pub(super) fn look_for_places(&mut self, at: Nanos, lease: u32) {
        let key = self.leases[lease as usize].key;
        for node in 0..self.rules.nodes as u8 {
            let may_linger = self.seat(lease, node).may_linger;
            let soon = at + self.rules.late_expiry;
            let place = self.line(key, node).place(lease).copied();
            if place.is_some_and(|place| place.until > soon) && !may_linger {
                let sentence = format!("lease {lease} is settled, and node {node} keeps its place");
                return self.accuse(Law::NoOrphan, at, Some(key), sentence);
            }
        }
    }

    /// Nobody wants anything any more: no node may keep a place, but of a process that died.
    /// `for_good`: more than a TTL has passed, so none may at all.
    pub(super) fn look_for_places_left(&mut self, at: Nanos, for_good: bool) {
        let nodes = self.rules.nodes;
        for index in 0..self.lines.len() {
            let live = |place: &&Placed| place.until > at;
            let places = self.lines[index].places.clone();
            for place in places.iter().filter(live) {
                let lease = place.lease;
                let dead = self.leases[lease as usize].crashed;
                let (key, node) = (index / nodes, index % nodes);
                let may_linger = self.seat(lease, node as u8).may_linger;
                if for_good || !(dead || may_linger) {
                    let sentence =
                        format!("node {node} keeps a place of lease {lease}, which nobody wants");
                    return self.accuse(Law::NoOrphan, at, Some(key as u8), sentence);
                }
            }
        }
    }

    /// After each fact about a key: whether somebody waits although nobody knows that it holds it,
    /// and for how long that has been so.
    pub(super) fn look_for_idle(&mut self, at: Nanos, key: u8) {
        let (Some(within), Some(healed)) = (self.rules.idle_within, self.healed_at) else {
            return;
        };
        if self.rules.nodes != 1 {
            return;
        }
        let live = self.lines[usize::from(key)].places.iter();
        let until = live.map(|place| place.until).max().unwrap_or(0);
        let holder = self.copies[usize::from(key)].holder;
        let known = holder.is_some_and(|(lease, until)| {
            let held = self.leases[lease as usize].stage == Stage::Held;
            held && until.is_none_or(|until| until > at)
        });
        let settled = self.settled_since(at).max(healed);
        let line = &mut self.lines[usize::from(key)];
        let ended = at.min(line.live_until);
        line.live_until = until;
        let since = line.idle_since;
        line.idle_since = (until > at && !known).then(|| since.unwrap_or(at));
        let Some(since) = since else { return };
        let idle = ended.saturating_sub(since.max(settled));
        if idle > within {
            let sentence = format!(
                "leases wait for key {key}, and for {idle} ns nobody knew that it holds it"
            );
            self.accuse(Law::Progress, at, Some(key), sentence);
        }
    }

    /// Since when all clients are awake and connected.
    fn settled_since(&self, at: Nanos) -> Nanos {
        let since = self.clients.iter().map(|seen| match seen.up_since {
            Some(up) if !seen.asleep => up.max(seen.awake_since),
            _ => at,
        });
        since.max().unwrap_or(at)
    }

    /// A lease waits no longer: its turn must not have been too late.
    pub(super) fn turn_ends(&mut self, at: Nanos, lease: u32) {
        let state = &mut self.leases[lease as usize];
        let Some(turn) = state.turn.take() else {
            return;
        };
        let (key, client) = (state.key, usize::from(state.client));
        let (Some(within), Some(healed)) = (self.rules.idle_within, self.healed_at) else {
            return;
        };
        let seen = self.clients[client];
        let Some(up) = seen
            .up_since
            .filter(|_| self.rules.nodes == 1 && !seen.asleep)
        else {
            return;
        };
        let from = turn.since.max(healed).max(up).max(seen.awake_since);
        // Each of those ahead takes its turn, with what may go wrong in it.
        let bound = (turn.ahead + 1) * (within + self.rules.hold) + self.rules.max_ttl;
        if at.saturating_sub(from) > bound {
            let sentence = format!(
                "lease {lease} has waited since {} ns with {} ahead of it, and has not had its \
                 turn before {at} ns",
                turn.since, turn.ahead
            );
            self.accuse(Law::Progress, at, Some(key), sentence);
        }
    }

    /// The faults are over: those ahead are counted again.
    pub(super) fn count_turns(&mut self, at: Nanos) {
        for index in 0..self.lines.len() {
            let live = |place: &&Placed| place.until > at;
            let places = self.lines[index].places.clone();
            for (ahead, place) in places.iter().filter(live).enumerate() {
                if let Some(turn) = &mut self.leases[place.lease as usize].turn {
                    (turn.since, turn.ahead) = (at, ahead as u64);
                }
            }
        }
    }

    /// The run ends: those who still wait have waited long enough to be looked at.
    pub(super) fn look_for_turns(&mut self, at: Nanos) {
        for lease in 0..self.leases.len() as u32 {
            self.turn_ends(at, lease);
        }
        for key in 0..self.keys.len() as u8 {
            self.look_for_idle(at, key);
        }
    }

    /// Whether what a request made of a key is that it handed it on.
    pub(super) fn is_hand_off(actor: u32, from: Holder, to: Holder) -> Option<u32> {
        match to {
            Holder::Lease(next) if next != actor => {
                (from == Holder::Nobody || from == Holder::Lease(actor)).then_some(next)
            }
            _ => None,
        }
    }
}
