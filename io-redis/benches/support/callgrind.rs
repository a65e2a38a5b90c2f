//! This program under valgrind's callgrind: how many instructions it ran, and how much of its code
//! it ran again and again.

use std::collections::BTreeSet;
use std::process::Command;

use crate::machine::said;

/// Whether it can be had.
#[must_use]
pub fn is_there() -> bool {
    said("valgrind", &["--version"]) != "?"
}

/// The instructions for one time, from a run of `few` times and one of `many`. The number of times
/// is the last argument of the program.
///
/// # Errors
/// What valgrind or the program said, if there is nothing to count.
pub fn instructions(arguments: &[&str], few: u32, many: u32) -> Result<f64, String> {
    let run = |times| run(arguments, times, &["--callgrind-out-file=/dev/null"]);
    Ok((run(many)? - run(few)?) / f64::from(many - few))
}

/// The bytes of the code that runs at least once in two times, in whole lines of a cache.
///
/// # Errors
/// What valgrind or the program said, if there is nothing to count.
pub fn code(arguments: &[&str], times: u32) -> Result<f64, String> {
    let name = format!("tenure-callgrind-{}", std::process::id());
    let file = std::env::temp_dir().join(name);
    let out = format!("--callgrind-out-file={}", file.display());
    let ran = run(arguments, times, &["--dump-instr=yes", &out]);
    let profile = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    ran?;
    let profile = profile.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((lines(&profile, u64::from(times) / 2) * LINE) as f64)
}

/// The bytes of a line of a processor's cache.
const LINE: usize = 64;

fn run(arguments: &[&str], times: u32, options: &[&str]) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .args(options)
        .arg(program)
        .args(arguments)
        .arg(times.to_string())
        .output();
    let output = output.map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text.split_once("Collected : ").map(|(_, rest)| rest);
    let number = counted.and_then(|rest| rest.split_whitespace().next());
    match number.and_then(|number| number.parse().ok()) {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(format!("valgrind did not count {arguments:?}:\n{text}")),
    }
}

/// How many lines of a cache have an instruction that ran so often.
fn lines(profile: &str, least: u64) -> usize {
    let mut lines = BTreeSet::new();
    let (mut address, mut object, mut calls) = (0, "", false);
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            // `(1) NAME` the first time, then `(1)`.
            object = name.split(' ').next().unwrap_or_default();
        }
        if line.starts_with("calls=") {
            calls = true;
            continue;
        }
        let mut words = line.split(' ');
        let (at, ran) = (words.next().unwrap_or_default(), words.nth(1));
        let Some(moved) = moved(address, at) else {
            continue;
        };
        address = moved;
        // Behind `calls=` stands what was called, and what that cost.
        if std::mem::take(&mut calls) {
            continue;
        }
        let ran: u64 = ran.and_then(|ran| ran.parse().ok()).unwrap_or(0);
        if ran >= least {
            lines.insert((object, address / LINE as u64));
        }
    }
    lines.len()
}

/// The address of a line of a profile, which may be told from that before it.
fn moved(before: u64, at: &str) -> Option<u64> {
    if let Some(hex) = at.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    if let Some(more) = at.strip_prefix('+') {
        return Some(before + more.parse::<u64>().ok()?);
    }
    if let Some(less) = at.strip_prefix('-') {
        return before.checked_sub(less.parse().ok()?);
    }
    (at == "*").then_some(before)
}
