//! `explore`: world after world, until a law is broken or the time is over.
//!
//! Nothing else in the program reads the machine's clock or uses its entropy. They say for how long
//! to search, and with which seed to begin.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::args::{Explore, Origin, Which, again};
use super::error::Error;
use super::{BROKEN, FINE};
use crate::counted::counted;
use crate::judge::Checks;
use crate::observe::fact::Fault;
use crate::observe::marks::Marks;
use crate::world::{Assumption, Report, explain, run};

/// How often the progress is printed.
const EVERY: Duration = Duration::from_secs(5);

pub(super) fn explore(args: &Explore, out: &mut dyn Write) -> Result<u8, Error> {
    let broken = args.broken.assumption;
    let limit = match args.worlds {
        Some(worlds) => Limit::Worlds(worlds),
        None => Limit::Time(Duration::from_secs(args.seconds)),
    };
    // Hash maps are seeded by the system: that is entropy without another dependency.
    let first = args
        .seed
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = args
        .jobs
        .map_or(processors, |jobs| usize::from(jobs.min(1_000)));
    let threads = counted(jobs, "thread");
    writeln!(out, "from seed {first} on, in {threads}")?;

    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let tell = tell.clone();
            let worker = || work(first, limit, broken, &next, &stop, tell);
            scope.spawn(worker);
        }
        drop(tell);
        let found = gather(&told, limit, &stop, out);
        // The threads end, even if writing to the output failed.
        stop.store(true, Ordering::Relaxed);
        found
    })
}

/// When a search ends in which nothing is found.
#[derive(Clone, Copy)]
enum Limit {
    Time(Duration),
    Worlds(u64),
}

/// What came of one world.
struct Done {
    which: Which,
    /// None if the world panicked.
    report: Option<Report>,
}

/// Runs the next world, and the next. They begin in the order of their numbers.
fn work(
    first: u64,
    limit: Limit,
    broken: Option<Assumption>,
    next: &AtomicU64,
    stop: &AtomicBool,
    tell: Sender<Done>,
) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if matches!(limit, Limit::Worlds(worlds) if number >= worlds) {
            return;
        }
        let which = Which::seed(first.wrapping_add(number), broken);
        let report = catch_unwind(AssertUnwindSafe(|| run(&which.scenario(), &mut |_| {})));
        let report = report.ok();
        let failed = report
            .as_ref()
            .is_none_or(|report| report.violation.is_some());
        if failed {
            stop.store(true, Ordering::Relaxed);
        }
        if tell.send(Done { which, report }).is_err() {
            return;
        }
    }
}

/// Sums up the results of the worlds, and prints the sums from time to time.
#[allow(
    clippy::disallowed_methods,
    reason = "the search is as long as a person says; no world sees this clock"
)]
fn gather(
    told: &Receiver<Done>,
    limit: Limit,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    let begin = Instant::now();
    let mut sums = Sums::default();
    let mut shown = Duration::ZERO;
    let mut failed: Vec<Done> = Vec::new();
    loop {
        let took = begin.elapsed();
        if matches!(limit, Limit::Time(time) if took >= time) {
            stop.store(true, Ordering::Relaxed);
        }
        let ending = stop.load(Ordering::Relaxed);
        if took >= shown + EVERY && !ending {
            shown = took;
            sums.took = took;
            writeln!(out, "{sums}")?;
            out.flush()?;
        }
        match told.recv_timeout(EVERY / 50) {
            Ok(done) => match done.report {
                Some(report) if report.violation.is_none() => sums.add(&report),
                _ => failed.push(done),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    sums.took = begin.elapsed();
    writeln!(out, "{sums}")?;
    // Several threads may have found a violation. The one with the smallest seed is shown.
    let seed = |done: &Done| match done.which.origin {
        Origin::Seed(seed) => seed,
        Origin::Bytes(_) => 0,
    };
    let Some(done) = failed.into_iter().min_by_key(seed) else {
        writeln!(out, "no law was broken")?;
        return Ok(FINE);
    };
    if done.report.is_none() {
        writeln!(out, "world {}: it panicked; see above", done.which)?;
    }
    if let Some(story) = done.report.and_then(|_| explain(&done.which.scenario())) {
        writeln!(out, "{}", story.trim_end())?;
        writeln!(out, "{}", again("shrink", &done.which))?;
    }
    writeln!(out, "{}", again("replay", &done.which))?;
    Ok(BROKEN)
}

/// What all worlds came to. It is displayed as a few lines.
struct Sums {
    took: Duration,
    worlds: u64,
    events: u64,
    facts: u64,
    grants: u64,
    virtual_time: u128,
    faults: [u64; Fault::ALL.len()],
    marks: Marks,
    checks: Checks,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            took: Duration::ZERO,
            worlds: 0,
            events: 0,
            facts: 0,
            grants: 0,
            virtual_time: 0,
            faults: [0; Fault::ALL.len()],
            marks: Marks::default(),
            checks: Checks::default(),
        }
    }
}

impl Sums {
    fn add(&mut self, report: &Report) {
        self.worlds += 1;
        self.events += report.events;
        self.facts += report.facts;
        self.grants += report.grants;
        self.virtual_time += u128::from(report.virtual_time);
        for (sum, count) in self.faults.iter_mut().zip(report.faults) {
            *sum += count;
        }
        self.marks.add(&report.marks);
        self.checks.add(&report.checks);
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64().max(0.001);
        let hours = self.virtual_time as f64 / 3.6e12;
        writeln!(
            f,
            "{:>6.0} s  {}, {hours:.1} hours in them, {:.0} core events/s, {:.0} facts/s, {}",
            took,
            counted(self.worlds, "world"),
            self.events as f64 / took,
            self.facts as f64 / took,
            counted(self.grants, "grant"),
        )?;
        f.write_str("    faults ")?;
        for (index, fault) in Fault::ALL.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{fault} {}", self.faults[index])?;
        }
        let checks = &self.checks;
        write!(
            f,
            "\n    laws   Exclusion and Honest validity {} (excused {}), Fencing {} grants and {} \
             writes (refused {}), Ownership and No orphan {}, Bounded work {}, Progress {}, \
             Fairness {}, Loss is told {}",
            checks.validities,
            checks.excused,
            checks.fences,
            checks.accepted,
            checks.refused,
            checks.keys,
            checks.requests,
            checks.healed_grants,
            checks.turns,
            checks.doubts,
        )?;
        let missing: Vec<_> = self.marks.missing().collect();
        let all = crate::observe::marks::Mark::ALL.len();
        write!(f, "\n    marks  {} of {all} visited", all - missing.len())?;
        if !missing.is_empty() {
            write!(f, ", not {missing:?}")?;
        }
        Ok(())
    }
}
