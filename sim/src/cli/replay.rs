//! `replay`: a run, shown as lines or as a picture.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use super::args::{Replay, Which, again};
use super::error::Error;
use super::{BROKEN, FINE};
use crate::counted::counted;
use crate::observe::fact::{Nanos, Record};
use crate::picture::Picture;
use crate::world::{Report, Scenario, run};

pub(super) fn replay(args: Replay, out: &mut dyn Write) -> Result<u8, Error> {
    let which = args.world.which(args.small);
    let (key, last, picture) = (args.key, args.last, args.picture);
    let scenario = which.scenario();
    let keys = scenario.drawn().keys();
    if key.is_some_and(|key| key >= keys as u64) {
        return Err(Error::NoSuchKey(keys));
    }
    let report = match &picture {
        Some(path) => draw(&scenario, &which, path)?,
        None => show(&scenario, &which, key, last, out)?,
    };
    conclude(&report, out)?;
    if let Some(path) = picture {
        writeln!(out, "drawn in {}", path.display())?;
    }
    Ok(code(&report))
}

/// Shows a run as lines: all, or only those about one key, or only the last.
pub(super) fn show(
    scenario: &Scenario,
    which: &Which,
    key: Option<u64>,
    last: Option<u64>,
    out: &mut dyn Write,
) -> Result<Report, Error> {
    writeln!(out, "world {which}")?;
    write!(out, "{}", scenario.drawn())?;
    let mut failed = None;
    let mut kept = VecDeque::new();
    let report = run(scenario, &mut |record: &Record| {
        let other = matches!((key, record.key), (Some(key), Some(of)) if key != u64::from(of));
        if other || failed.is_some() {
            return;
        }
        match last {
            None => failed = writeln!(out, "{record}").err(),
            Some(last) => {
                kept.push_back(*record);
                if kept.len() as u64 > last {
                    kept.pop_front();
                }
            }
        }
    });
    if let Some(cause) = failed {
        return Err(Error::Output(cause));
    }
    kept.iter()
        .try_for_each(|record| writeln!(out, "{record}"))?;
    Ok(report)
}

/// Says how a run ended.
pub(super) fn conclude(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let seconds = report.virtual_time as f64 / 1e9;
    let (facts, grants) = (
        counted(report.facts, "fact"),
        counted(report.grants, "grant"),
    );
    writeln!(out, "{facts} in {seconds:.3} s, {grants}")?;
    match &report.violation {
        Some(violation) => writeln!(out, "BROKEN at {}: {violation}", Seconds(violation.at)),
        None => writeln!(out, "no law was broken"),
    }
}

pub(super) const fn code(report: &Report) -> u8 {
    if report.violation.is_some() {
        BROKEN
    } else {
        FINE
    }
}

/// Draws a run.
fn draw(scenario: &Scenario, which: &Which, path: &Path) -> Result<Report, Error> {
    let mut records = Vec::new();
    let report = run(scenario, &mut |record| records.push(*record));
    let title = match which.to_string() {
        name if name.len() > 60 => format!("{}…", &name[..60]),
        name => name,
    };
    let picture = Picture {
        title: &format!("world {title}"),
        about: &format!("{}{}", scenario.drawn(), again("replay", which)),
        records: &records,
        clocks: &report.clocks,
        keys: &[],
        violation: report.violation.as_ref(),
        end: report.virtual_time,
    };
    let written = std::fs::write(path, picture.html());
    written.map_err(|cause| Error::File(path.to_owned(), cause))?;
    Ok(report)
}

/// True time, as in the lines of facts.
pub(super) struct Seconds(pub(super) Nanos);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{:06} s",
            self.0 / 1_000_000_000,
            self.0 / 1_000 % 1_000_000
        )
    }
}
