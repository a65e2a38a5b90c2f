//! What must hold of all that the processes told, and the figures of it.
//!
//! A lease *was seen* held at instants of which its guard said, a moment later, that it is. Between
//! the grant and the last of them it was held, since what is lost stays lost. So if two of these
//! spans on one key overlap, two held the lock. That needs no trust in what a guard foretells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::{Event, Why, Written};
use super::kind::Kind;
use super::report::Row;
use super::{SERVED, TTL};

/// One node draws so many fences at most in a millisecond, and those of the next begin there.
const IN_A_MILLISECOND: u64 = 2_000;
/// How much more memory a process may need after the faults than before them, in KiB.
const MORE_MEMORY: u64 = 16 * 1_024;
/// So many sentences are shown of one failure.
const SHOWN: usize = 5;

struct Lease {
    key: u64,
    asked: u64,
    granted: u64,
    seen: Option<u64>,
    fence: u64,
    /// Until when the replica that acknowledged it has it, or zero.
    acknowledged: u64,
}

/// An acquire that waited, and what came of it.
struct Wait {
    lease: u64,
    key: u64,
    asked: u64,
    answered: u64,
    /// Why it was not granted, if it was not.
    why: Option<Why>,
}

/// A span in which two may hold one lock, since a node has forgotten what it granted, or another
/// server has taken its place.
#[derive(Clone, Copy)]
struct Excuse {
    from: u64,
    to: u64,
    why: Cause,
}

/// Why there is an excuse.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A server came back with nothing of what it had.
    Emptied,
    /// Its replica has taken the place of a server that died, with all that it acknowledged.
    Replaced,
    /// Two servers granted at the same time.
    Parted,
}

/// What the replica of a server that died had, before anybody could write to it.
struct Legacy {
    died: u64,
    looked: u64,
    keys: BTreeSet<String>,
}

/// Hears all that happens, and judges it at the end.
pub(super) struct Judge {
    /// Of which kind the servers are.
    kind: Kind,
    leases: BTreeMap<u64, Lease>,
    /// Who waits: the process, for which key, and since when.
    waiting: BTreeMap<u64, (usize, u64, u64)>,
    waits: Vec<Wait>,
    excuses: Vec<Excuse>,
    legacies: Vec<Legacy>,
    healed: u64,
    wrong: Vec<String>,
    /// The lease, and when.
    refused_while_held: Vec<(u64, u64)>,
    lost: u64,
    /// What the store took of each key: its own count, and the fence.
    taken: BTreeMap<u64, BTreeMap<u64, u64>>,
    twice: Vec<(u64, u64)>,
    refused: u64,
    memory: BTreeMap<usize, (u64, u64)>,
    tasks: u64,
    ends: BTreeSet<usize>,
}

impl Judge {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            leases: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waits: Vec::new(),
            excuses: Vec::new(),
            legacies: Vec::new(),
            healed: 0,
            wrong: Vec::new(),
            refused_while_held: Vec::new(),
            lost: 0,
            taken: BTreeMap::new(),
            twice: Vec::new(),
            refused: 0,
            memory: BTreeMap::new(),
            tasks: 0,
            ends: BTreeSet::new(),
        }
    }

    /// A process told this.
    pub(super) fn hear(&mut self, process: usize, event: Event) {
        match event {
            Event::Asked { lease, key, at } => {
                self.waiting.insert(lease, (process, key, at));
            }
            Event::Unserved { lease, at, why } => {
                if !self.waited(lease, at, Some(why)) && !self.is_good(why) {
                    self.wrong(format!("lease {lease} was refused for no good reason"));
                }
            }
            Event::Granted {
                lease,
                key,
                asked,
                at,
                fence,
                acknowledged,
            } => {
                self.waited(lease, at, None);
                let granted = Lease {
                    key,
                    asked,
                    granted: at,
                    seen: None,
                    fence,
                    acknowledged,
                };
                self.leases.insert(lease, granted);
            }
            Event::Seen { lease, at } => {
                if let Some(lease) = self.leases.get_mut(&lease) {
                    lease.seen = lease.seen.max(Some(at));
                }
            }
            Event::Lost { .. } => self.lost += 1,
            Event::Untold { lease } => self.wrong(format!("the loss of lease {lease} is not told")),
            Event::Revived { lease } => {
                self.wrong(format!("lease {lease} is lost, and held again"))
            }
            Event::Wrote {
                lease,
                at,
                how,
                count,
            } => match how {
                Written::Taken => self.took(lease, count),
                Written::Refused => self.refused += 1,
                Written::RefusedWhileHeld => self.refused_while_held.push((lease, at)),
                Written::Twice => self.twice.push((lease, at)),
            },
            Event::Figures { memory, tasks } => {
                let (_, after) = self.memory.entry(process).or_insert((memory, memory));
                *after = memory;
                self.tasks = self.tasks.max(tasks);
            }
            Event::Closed { tasks, held } => {
                self.ends.insert(process);
                if tasks > 0 || held > 0 {
                    let left = format!("{tasks} tasks and {held} locks are left");
                    self.wrong(format!("process {process} has closed, and {left}"));
                }
            }
        }
    }

    /// Notes what came of an acquire that waited. Says whether it did.
    fn waited(&mut self, lease: u64, answered: u64, why: Option<Why>) -> bool {
        let Some((_, key, asked)) = self.waiting.remove(&lease) else {
            return false;
        };
        self.waits.push(Wait {
            lease,
            key,
            asked,
            answered,
            why,
        });
        true
    }

    /// Whether an acquire may end so, if it did not wait or a fault had struck.
    fn is_good(&self, why: Why) -> bool {
        match why {
            Why::Dropped | Why::Contended | Why::Outage => true,
            Why::Quarantined => self.kind.quarantines(),
            Why::Other => false,
        }
    }

    fn took(&mut self, lease: u64, count: u64) {
        let Some(Lease { key, fence, .. }) = self.leases.get(&lease) else {
            return self.wrong(format!("lease {lease} writes, and was never granted"));
        };
        self.taken.entry(*key).or_default().insert(count, *fence);
    }

    /// The process was killed. Nobody waits there any more.
    pub(super) fn died(&mut self, process: usize) {
        self.waiting.retain(|_, (whose, ..)| *whose != process);
        self.memory.remove(&process);
    }

    /// All is as usual from here on, so what a process needs from now on is compared with this.
    pub(super) fn settled(&mut self) {
        for (before, after) in self.memory.values_mut() {
            *before = *after;
        }
    }

    /// A node may have forgotten at that instant what it had granted, and grants nothing more as it
    /// was before. If it is the only one, for one TTL nobody can know of whoever was granted a lock
    /// before.
    pub(super) fn forgot(&mut self, at: u64) {
        if self.kind.quarantines() {
            return;
        }
        self.excuse(at, at, Cause::Emptied);
    }

    /// The only node died at that instant, and its replica takes its place. It has what it
    /// acknowledged, until that expires there; the renewals of it, and all else, it may not have.
    pub(super) fn replaced(&mut self, at: u64) {
        self.excuse(at, at, Cause::Replaced);
    }

    /// The only node died, and its replica was then seen to have these keys.
    pub(super) fn left(&mut self, died: u64, looked: u64, keys: &[String]) {
        let keys = keys.iter().cloned().collect();
        self.legacies.push(Legacy { died, looked, keys });
    }

    /// Another server became the only node in this span, and the former one may have gone on
    /// granting until its end. Until one TTL later neither knows of what the other granted. What
    /// was acknowledged both know, until it expires.
    pub(super) fn parted(&mut self, from: u64, to: u64) {
        self.excuse(from, to, Cause::Parted);
    }

    fn excuse(&mut self, from: u64, to: u64, why: Cause) {
        let to = to + nanos(TTL);
        self.excuses.push(Excuse { from, to, why });
    }

    /// No fault strikes from that instant on.
    pub(super) fn healed(&mut self, at: u64) {
        self.healed = at;
    }

    /// Something that is wrong in itself.
    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Whether one excuse covers all of this. `kept` is until when both servers have the lock of
    /// the earlier lease, since a replica acknowledged it.
    fn excused(&self, from: u64, to: u64, kept: u64) -> bool {
        let covers = |excuse: &Excuse| {
            let is_kept = excuse.why != Cause::Emptied && from < kept;
            excuse.from <= from && to <= excuse.to && !is_kept
        };
        self.excuses.iter().any(covers)
    }

    /// Whether two servers may have drawn these fences in the same millisecond, which is the one
    /// case in which they know nothing of each other's order.
    fn drawn_twice(&self, one: u64, other: u64, at: u64) -> bool {
        let parted = |excuse: &Excuse| {
            excuse.why == Cause::Parted && (excuse.from..=excuse.to).contains(&at)
        };
        one / IN_A_MILLISECOND == other / IN_A_MILLISECOND && self.excuses.iter().any(parted)
    }

    /// How often two held one lock where that is excused. Where it is not, or for longer than that,
    /// it is wrong.
    // Law: Exclusion
    fn overlaps(&mut self) -> u64 {
        let mut spans: Vec<_> = self.leases.iter().collect();
        spans.sort_by_key(|(_, lease)| (lease.key, lease.granted));
        let mut overlaps = Vec::new();
        // The leases of one key that are still seen.
        let mut before: Vec<(u64, u64)> = Vec::new();
        let mut of = None;
        for (number, lease) in spans {
            let Some(seen) = lease.seen else { continue };
            if of.replace(lease.key) != Some(lease.key) {
                before.clear();
            }
            before.retain(|(until, _)| lease.granted < *until);
            for (until, earlier) in &before {
                let both = (lease.granted, seen.min(*until));
                overlaps.push((both, lease.key, *earlier, *number));
            }
            before.push((seen, *number));
        }
        let (excused, broken): (Vec<_>, Vec<_>) =
            overlaps
                .into_iter()
                .partition(|((from, to), _, before, _)| {
                    self.excused(*from, *to, self.leases[before].acknowledged)
                });
        for (_, key, before, lease) in broken {
            self.wrong(format!("leases {before} and {lease} both hold key {key}"));
        }
        excused.len() as u64
    }

    /// What a replica has acknowledged it has when its primary dies. Says how many locks it had.
    fn inherited(&mut self) -> usize {
        let mut wrong = Vec::new();
        let mut held = 0;
        for Legacy { died, looked, keys } in &self.legacies {
            let is_held = |lease: &Lease| lease.seen.is_some_and(|seen| seen > *looked);
            let mine = |(_, lease): &(&u64, &Lease)| {
                lease.granted < *died && lease.acknowledged > *looked && is_held(lease)
            };
            for (number, Lease { key, .. }) in self.leases.iter().filter(mine) {
                held += 1;
                if !keys.contains(&format!("k{key}")) {
                    let what = "which the replica acknowledged and does not have";
                    wrong.push(format!("lease {number} holds key {key}, {what}"));
                }
            }
        }
        self.wrong.append(&mut wrong);
        held
    }

    /// A grant that was told before another was asked for has the smaller fence, and no two have
    /// the same one. A loss of memory excuses none of that. Says how often two servers drew them in
    /// the same millisecond instead.
    // Law: Fencing
    fn fences(&mut self) -> u64 {
        let mut by_key: BTreeMap<u64, Vec<&Lease>> = BTreeMap::new();
        for lease in self.leases.values() {
            by_key.entry(lease.key).or_default().push(lease);
        }
        let mut drawn_twice = 0;
        let mut wrong = Vec::new();
        for (key, mut leases) in by_key {
            let mut told: Vec<(u64, u64)> = leases
                .iter()
                .map(|lease| (lease.granted, lease.fence))
                .collect();
            told.sort_unstable();
            leases.sort_by_key(|lease| lease.asked);
            let (mut next, mut largest) = (0, 0);
            let mut fences = BTreeSet::new();
            for lease in &leases {
                while next < told.len() && told[next].0 < lease.asked {
                    largest = largest.max(told[next].1);
                    next += 1;
                }
                let fence = lease.fence;
                let smaller = fence < largest;
                let again = !fences.insert(fence);
                let other = if again { fence } else { largest };
                if !smaller && !again {
                    continue;
                }
                if self.drawn_twice(fence, other, lease.granted) {
                    drawn_twice += 1;
                } else if again {
                    wrong.push(format!("key {key}: two grants have one fence"));
                } else {
                    wrong.push(format!("key {key}: fence {fence} after {largest}"));
                }
            }
        }
        self.wrong.append(&mut wrong);
        drawn_twice
    }

    /// What the store takes of a key has never a smaller fence than what it took before, whatever
    /// becomes of the servers. Says how much it took.
    fn store(&mut self) -> usize {
        let mut wrong = Vec::new();
        for (key, taken) in &self.taken {
            for (before, after) in taken.values().zip(taken.values().skip(1)) {
                if after < before {
                    wrong.push(format!(
                        "the store takes fence {after} after {before} of {key}"
                    ));
                }
            }
        }
        for (lease, at) in &self.twice {
            let Some(Lease { fence, .. }) = self.leases.get(lease) else {
                continue;
            };
            if !self.drawn_twice(*fence, *fence, *at) {
                wrong.push(format!("two wrote under the fence of lease {lease}"));
            }
        }
        self.wrong.append(&mut wrong);
        self.taken.values().map(BTreeMap::len).sum()
    }

    /// For how long somebody waited for this key and was not served. Where that is not in turn, how
    /// long nobody was.
    fn unserved(&self, key: u64, from: u64, to: u64, granted: &[(u64, u64)]) -> u64 {
        if self.kind.serves_in_turn() {
            return to.saturating_sub(from);
        }
        let first = granted.partition_point(|grant| *grant < (key, from));
        let meanwhile = granted[first..].iter();
        let meanwhile = meanwhile.take_while(|grant| **grant < (key, to));
        let (mut last, mut longest) = (from, 0);
        for at in meanwhile.map(|(_, at)| *at).chain([to]) {
            longest = longest.max(at.saturating_sub(last));
            last = at;
        }
        longest
    }

    /// The longest wait for an answer after the last fault.
    // Law: Progress
    fn served(&mut self) -> Duration {
        let grant = |lease: &Lease| (lease.key, lease.granted);
        let mut granted: Vec<(u64, u64)> = self.leases.values().map(grant).collect();
        granted.sort_unstable();
        let mut longest = 0;
        let mut wrong = Vec::new();
        for wait in &self.waits {
            let Wait { lease, why, .. } = wait;
            let from = self.healed.max(wait.asked);
            let in_vain = match why {
                None | Some(Why::Dropped) => false,
                Some(why @ (Why::Outage | Why::Quarantined)) => {
                    !self.is_good(*why) || wait.answered > self.healed + nanos(SERVED)
                }
                Some(Why::Contended | Why::Other) => true,
            };
            if *why != Some(Why::Dropped) {
                longest = longest.max(self.unserved(wait.key, from, wait.answered, &granted));
            }
            if in_vain {
                wrong.push(format!("lease {lease} waited in vain: {why:?}"));
            }
        }
        if longest > nanos(SERVED) {
            wrong.push("somebody waited for too long after the last fault".to_owned());
        }
        for (lease, (process, ..)) in &self.waiting {
            wrong.push(format!(
                "lease {lease} of process {process} was never served"
            ));
        }
        self.wrong.append(&mut wrong);
        Duration::from_nanos(longest)
    }

    fn leaks(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (process, (before, after)) in self.memory.clone() {
            if after > before + MORE_MEMORY {
                self.wrong(format!("process {process} needs more and more memory"));
            }
            if !self.ends.contains(&process) {
                self.wrong(format!("process {process} did not close its clients"));
            }
            let what = format!("memory of process {process}, before and after");
            let figure = format!("{before} KiB, {after} KiB");
            rows.push(Row::new(what, figure, format!("{MORE_MEMORY} KiB more")));
        }
        rows.push(Row::new("most tasks of a process", self.tasks, "-"));
        rows
    }

    /// The figures of all that was heard, and a sentence for each thing that is wrong.
    pub(super) fn verdict(mut self) -> (Vec<Row>, Vec<String>) {
        let excused = self.overlaps();
        let inherited = self.inherited();
        let drawn_twice = self.fences();
        let written = self.store();
        let longest = self.served();
        for (lease, at) in std::mem::take(&mut self.refused_while_held) {
            let kept = self.leases.get(&lease).map_or(0, |held| held.acknowledged);
            if self.excused(at, at, kept) {
                self.refused += 1;
            } else {
                self.wrong(format!(
                    "the store refuses lease {lease}, which holds its key"
                ));
            }
        }
        let grants = self.leases.len();
        let is_acknowledged = |lease: &&Lease| lease.acknowledged > 0;
        let acknowledged = self.leases.values().filter(is_acknowledged).count();
        let demanded = self.kind.has_replicas();
        if grants == 0 || written == 0 || self.lost == 0 || demanded && acknowledged == 0 {
            let what = "nothing was granted, acknowledged, written or lost, so nothing was tried";
            self.wrong(what.to_owned());
        }
        let mut rows = vec![
            Row::new("grants", grants, "some"),
            Row::new(
                "of these acknowledged by a replica",
                acknowledged,
                if demanded { "some" } else { "-" },
            ),
            Row::new("losses that were told", self.lost, "some"),
            Row::new("writes that the store took", written, "some"),
            Row::new("writes that it refused for their fence", self.refused, "-"),
            Row::new("two holders, excused", excused, "-"),
            Row::new("acknowledged when a primary died, and kept", inherited, "-"),
            Row::new("fences of two primaries at once", drawn_twice, "-"),
            Row::new(
                "longest wait after the last fault",
                format!("{longest:.1?}"),
                format!("{SERVED:?}"),
            ),
        ];
        rows.extend(self.leaks());
        let more = self.wrong.len().saturating_sub(SHOWN);
        self.wrong.truncate(SHOWN);
        if more > 0 {
            self.wrong.push(format!("and {more} more"));
        }
        (rows, self.wrong)
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
