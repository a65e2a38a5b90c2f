//! What an acquire and its release cost, in numbers that do not depend on how busy the machine is:
//! the commands that servers run, also in scripts, the bytes and the reads and writes on the wire,
//! and what the client allocates.
//!
//! `--check` compares what Tenure costs with `counts.txt` and fails if it has become more;
//! `--write` writes that file.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::collections::BTreeMap;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::clients::Who;
use support::ledger::Ledger;
use support::machine::Pinned;
use support::{Bench, asked, document, runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FILE: &str = "counts.txt";
const HEAD: &str = "\
# What an acquire and its release cost: for each pair, how often servers ran each command, also in
# scripts; the bytes that came to them and left them; how often they read and wrote; and what the
# client allocated. Written by the bench `counts`.
";

/// How many nodes, how many tasks, and how many pairs.
const ROWS: [(usize, u64, u64); 4] = [
    (1, 1, 2_000),
    (1, 64, 12_800),
    (1, 1_024, 40_960),
    (3, 1, 1_000),
];

/// What a pair costs, by name.
type Numbers = BTreeMap<String, f64>;

fn main() -> ExitCode {
    if !tenure_tests::live::servers_available() {
        return ExitCode::SUCCESS;
    }
    let mut kept = Ledger::default();
    let mut table = String::from("| a pair | raw | rslock | Tenure |\n|---|---|---|---|\n");
    for (nodes, tasks, pairs) in ROWS {
        let of = if nodes == 1 { "node" } else { "nodes" };
        let by = if tasks == 1 { "task" } else { "tasks" };
        let row = format!("{nodes} {of}, {tasks} {by}");
        let runtime = runtime();
        let mut bench = runtime.block_on(Bench::start(nodes));
        // One after the other, so that no node of several is left behind by chance.
        let _pinned = Pinned::to_one_core(&bench.servers.pids());
        let all = Who::ALL.map(|who| runtime.block_on(count(&mut bench, who, tasks, pairs)));
        for (name, number) in &all[2] {
            kept.note(format!("{row}: {name}"), *number);
        }
        table.push_str(&lines(&row, &all));
    }
    println!("{table}");
    let done = kept.conclude(FILE, HEAD, may_grow).and_then(|()| {
        if asked("--write") {
            document::write("counts", &table)?;
        }
        Ok(())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The lines of a table for what the three cost.
fn lines(row: &str, all: &[Numbers; 3]) -> String {
    let commands = |numbers: &Numbers| -> f64 {
        let commands = numbers
            .iter()
            .filter(|(name, _)| name.starts_with("command"));
        commands.map(|(_, number)| number).sum()
    };
    let line = |what: &str, of: &dyn Fn(&Numbers) -> f64, digits: usize| {
        let cells = all
            .each_ref()
            .map(|numbers| format!("{:.digits$}", of(numbers)));
        format!("| {what} | {} |\n", cells.join(" | "))
    };
    let mut text = line(
        &format!("{row}: commands that servers run, also in scripts"),
        &commands,
        2,
    );
    for (name, digits) in [
        ("bytes to servers", 0),
        ("bytes from servers", 0),
        ("writes of the client", 2),
        ("allocations", 1),
        ("bytes allocated", 0),
    ] {
        text.push_str(&line(
            &format!("… {name}"),
            &|numbers| numbers[name],
            digits,
        ));
    }
    text
}

/// Where one task asks one node and waits, nothing may grow, but for digits of a fence and buffers.
/// How many tasks share a write depends on who runs first; and so does what nodes are still asked
/// by which a majority is not held up.
fn may_grow(name: &str) -> (f64, f64) {
    match name {
        _ if !name.starts_with("1 node, 1 task,") => (0.1, 0.05),
        _ if name.ends_with("allocated") => (0.03, 0.5),
        _ => (0.01, 0.05),
    }
}

async fn count(bench: &mut Bench, who: Who, tasks: u64, pairs: u64) -> Numbers {
    // What grows to its size grows before it is counted.
    bench.clients.pairs(who, tasks, pairs / 4).await;
    let before = bench.servers.ask().await;
    let region = Region::new(ALLOCATOR);
    bench.clients.pairs(who, tasks, pairs).await;
    let allocated = region.change();
    let told = bench.servers.ask().await.since(&before);
    let rest = [
        ("bytes to servers", told.bytes_in),
        ("bytes from servers", told.bytes_out),
        ("writes of the client", told.reads),
        ("writes of servers", told.writes),
        (
            "allocations",
            (allocated.allocations + allocated.reallocations) as u64,
        ),
        ("bytes allocated", allocated.bytes_allocated as u64),
    ];
    let calls = told.calls.into_iter();
    calls
        .map(|(command, calls)| (format!("command {command}"), calls))
        .chain(rest.map(|(name, sum)| (name.to_owned(), sum)))
        .map(|(name, sum)| (name, sum as f64 / pairs as f64))
        .collect()
}
