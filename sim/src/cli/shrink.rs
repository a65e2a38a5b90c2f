//! `shrink`: a smaller world that breaks the same law.

use std::io::Write;

use super::args::{Origin, Shrink, Which, again};
use super::error::Error;
use super::replay::{code, conclude, show};
use crate::counted::counted;
use crate::explore::shrink::shrink as search;
use crate::world::run;

pub(super) fn shrink(args: Shrink, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, Error> {
    let which = args.world.which(None);
    let runs = args.runs;
    let first = run(&which.scenario(), &mut |_| {});
    let Some(violation) = first.violation else {
        return Err(Error::NothingBroken(again("replay", &which)));
    };
    let mut facts = u64::MAX;
    let found = search(
        which.choices(),
        which.broken,
        runs,
        &|report| {
            report
                .violation
                .as_ref()
                .is_some_and(|other| other.law == violation.law)
        },
        &mut |failing| {
            // Not each step is printed, but those that halve the number of facts.
            if failing.report.facts <= facts / 2 {
                facts = failing.report.facts;
                let bytes = counted(failing.input.to_bytes().len(), "byte");
                let tried = counted(failing.runs, "world");
                let _ = writeln!(err, "{facts:>8} facts from {bytes} ({tried} tried)");
            }
        },
    );
    let Some(found) = found else {
        return Err(Error::NothingBroken(again("replay", &which)));
    };
    let smallest = Which {
        origin: Origin::Bytes(found.input.to_bytes()),
        ..which
    };
    let report = show(&smallest.scenario(), &smallest, None, None, out)?;
    conclude(&report, out)?;
    writeln!(
        out,
        "from {} to {}, in {}; see it again, or draw it with --picture FILE:",
        counted(first.facts, "fact"),
        report.facts,
        counted(found.runs, "world"),
    )?;
    writeln!(out, "{}", again("replay", &smallest))?;
    Ok(code(&report))
}
