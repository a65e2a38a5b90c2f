//! What must hold of all that the processes told, and the figures of it.
//!
//! A lease *was seen* held at instants of which its guard said, a moment later, that it is. Between
//! the grant and the last of them it was held, since what is lost stays lost. So if two of these
//! spans on one key overlap, two held the lock. That needs no trust in what a guard foretells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::{Event, Why, Written};
use super::report::Row;
use super::{SERVED, TTL};

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
}

/// Hears all that happens, and judges it at the end.
#[derive(Default)]
pub(super) struct Judge {
    leases: BTreeMap<u64, Lease>,
    /// Who waits: the process, and since when.
    waiting: BTreeMap<u64, (usize, u64)>,
    /// What came after an acquire that waited: the lease, since when, until when, and what.
    waits: Vec<(u64, u64, u64, Option<Why>)>,
    /// Spans in which the server may have forgotten what it had granted.
    excuses: Vec<(u64, u64)>,
    healed: u64,
    wrong: Vec<String>,
    refused_while_held: Vec<(u64, u64)>,
    lost: u64,
    written: u64,
    refused: u64,
    memory: BTreeMap<usize, (u64, u64)>,
    tasks: u64,
    ends: BTreeSet<usize>,
}

impl Judge {
    /// A process told this.
    pub(super) fn hear(&mut self, process: usize, event: Event) {
        match event {
            Event::Asked { lease, at } => {
                self.waiting.insert(lease, (process, at));
            }
            Event::Unserved { lease, at, why } => {
                if let Some((_, asked)) = self.waiting.remove(&lease) {
                    self.waits.push((lease, asked, at, Some(why)));
                } else if why == Why::Other {
                    self.wrong(format!("lease {lease} was refused for no good reason"));
                }
            }
            Event::Granted {
                lease,
                key,
                asked,
                at,
                fence,
            } => {
                if self.waiting.remove(&lease).is_some() {
                    self.waits.push((lease, asked, at, None));
                }
                let granted = Lease {
                    key,
                    asked,
                    granted: at,
                    seen: None,
                    fence,
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
            Event::Wrote { lease, at, how } => match how {
                Written::Taken => self.written += 1,
                Written::Refused => self.refused += 1,
                Written::RefusedWhileHeld => self.refused_while_held.push((lease, at)),
                Written::Twice => self.wrong(format!("two wrote under the fence of lease {lease}")),
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

    /// The process was killed. Nobody waits there any more.
    pub(super) fn died(&mut self, process: usize) {
        self.waiting.retain(|_, (whose, _)| *whose != process);
        self.memory.remove(&process);
    }

    /// All is as usual from here on, so what a process needs from now on is compared with this.
    pub(super) fn settled(&mut self) {
        for (before, after) in self.memory.values_mut() {
            *before = *after;
        }
    }

    /// The server may have forgotten at that instant what it had granted. For one TTL nobody can
    /// know of whoever was granted a lock before.
    pub(super) fn forgot(&mut self, at: u64) {
        self.excuses.push((at, at + nanos(TTL)));
    }

    /// No fault strikes from that instant on.
    pub(super) fn healed(&mut self, at: u64) {
        self.healed = at;
    }

    /// Something that is wrong in itself.
    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    fn excused(&self, at: u64) -> bool {
        let within = |(from, to): &(u64, u64)| (*from..=*to).contains(&at);
        self.excuses.iter().any(within)
    }

    /// How often two held one lock where that is excused. Where it is not, it is wrong.
    // Law: Exclusion
    fn overlaps(&mut self) -> u64 {
        let mut spans: Vec<_> = self.leases.iter().collect();
        spans.sort_by_key(|(_, lease)| (lease.key, lease.granted));
        let mut overlaps = Vec::new();
        let mut last: Option<(u64, u64, u64)> = None;
        for (number, lease) in spans {
            let Some(seen) = lease.seen else { continue };
            if let Some((key, until, before)) = last
                && key == lease.key
                && lease.granted < until
            {
                overlaps.push((lease.granted, lease.key, before, *number));
            }
            if last.is_none_or(|(key, until, _)| key != lease.key || until < seen) {
                last = Some((lease.key, seen, *number));
            }
        }
        let (excused, broken): (Vec<_>, Vec<_>) =
            overlaps.into_iter().partition(|(at, ..)| self.excused(*at));
        for (_, key, before, lease) in broken {
            self.wrong(format!("leases {before} and {lease} both hold key {key}"));
        }
        excused.len() as u64
    }

    /// A grant that was told before another was asked for has the smaller fence, and no two have
    /// the same one. Nothing excuses that.
    // Law: Fencing
    fn fences(&mut self) {
        let mut by_key: BTreeMap<u64, Vec<&Lease>> = BTreeMap::new();
        for lease in self.leases.values() {
            by_key.entry(lease.key).or_default().push(lease);
        }
        let mut wrong = Vec::new();
        for (key, mut leases) in by_key {
            let mut told: Vec<(u64, u64)> = leases
                .iter()
                .map(|lease| (lease.granted, lease.fence))
                .collect();
            told.sort_unstable();
            leases.sort_by_key(|lease| lease.asked);
            let (mut next, mut largest) = (0, 0);
            for lease in &leases {
                while next < told.len() && told[next].0 < lease.asked {
                    largest = largest.max(told[next].1);
                    next += 1;
                }
                if lease.fence < largest {
                    wrong.push(format!("key {key}: fence {} after {largest}", lease.fence));
                }
            }
            let fences: BTreeSet<u64> = leases.iter().map(|lease| lease.fence).collect();
            if fences.len() < leases.len() {
                wrong.push(format!("key {key}: two grants have one fence"));
            }
        }
        self.wrong.append(&mut wrong);
    }

    /// The longest wait for an answer after the last fault.
    // Law: Progress
    fn served(&mut self) -> Duration {
        let mut longest = 0;
        let mut wrong = Vec::new();
        for (lease, asked, answered, why) in &self.waits {
            let waited = answered.saturating_sub(self.healed.max(*asked));
            let in_vain = match why {
                None | Some(Why::Dropped) => false,
                Some(Why::Outage) => *answered > self.healed + nanos(SERVED),
                Some(Why::Contended | Why::Other) => true,
            };
            if *why != Some(Why::Dropped) {
                longest = longest.max(waited);
            }
            if in_vain {
                wrong.push(format!("lease {lease} waited in vain: {why:?}"));
            }
        }
        if longest > nanos(SERVED) {
            wrong.push("somebody waited for too long after the last fault".to_owned());
        }
        for (lease, (process, _)) in &self.waiting {
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
        self.fences();
        let longest = self.served();
        for (lease, at) in std::mem::take(&mut self.refused_while_held) {
            if self.excused(at) {
                self.refused += 1;
            } else {
                self.wrong(format!(
                    "the store refuses lease {lease}, which holds its key"
                ));
            }
        }
        let grants = self.leases.len();
        if grants == 0 || self.written == 0 || self.lost == 0 {
            self.wrong("nothing was granted, written or lost, so nothing was tried".to_owned());
        }
        let mut rows = vec![
            Row::new("grants", grants, "some"),
            Row::new("losses that were told", self.lost, "some"),
            Row::new("writes that the store took", self.written, "some"),
            Row::new("writes that it refused for their fence", self.refused, "-"),
            Row::new("two holders, excused by a restart", excused, "-"),
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
