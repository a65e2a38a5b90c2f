//! How many instructions a lease and a pair cost, and how much code they run, counted by valgrind's
//! callgrind: the same each time, however busy the machine is.
//!
//! `--check` compares them with `instructions.txt` and fails if they have become more; `--write`
//! writes that file. To see where they go, run valgrind on this program with the arguments that it
//! gives itself, such as `client Tenure 64 10000`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use support::clients::Who;
use support::core_alone::Core;
use support::ledger::Ledger;
use support::machine::said;
use support::{Bench, asked, callgrind, document, runtime};
use tenure_core::Instant;

const FILE: &str = "instructions.txt";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| -> u32 { arguments[at].parse().expect("a number") };
    match arguments.first().map(String::as_str) {
        Some("core") => {
            core_alone(number(1), number(2));
            return ExitCode::SUCCESS;
        }
        Some("many") => {
            many(number(1), number(2));
            return ExitCode::SUCCESS;
        }
        Some("client") => {
            let who = Who::by_name(&arguments[1]).expect("raw, rslock or Tenure");
            client(who, number(2).into(), number(3).into());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if !callgrind::is_there() {
        eprintln!("left out: valgrind is not on PATH");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut ledger = Ledger::default();
    let mut table = String::from("| | raw | rslock | Tenure |\n|---|---|---|---|\n");
    for (others, among) in [("0", "alone"), ("99999", "among 100,000")] {
        let each = callgrind::instructions(&["core", others], 1_000, 3_000)?;
        ledger.note(format!("instructions of the core, a lease {among}"), each);
        table.push_str(&format!(
            "| instructions of the core, a lease {among} | | | {each:.0} |\n"
        ));
    }
    for (nodes, on) in [("1", "one node"), ("3", "three nodes")] {
        let each = callgrind::instructions(&["many", nodes], 10_000, 20_000)?;
        let name = format!("instructions of the core, one of thousands on {on}");
        table.push_str(&format!("| {name} | | | {each:.0} |\n"));
        ledger.note(name, each);
    }
    let with_servers = tenure_tests::live::servers_available();
    type Count = fn(&[&str]) -> Result<f64, String>;
    let instructions: Count = |client| callgrind::instructions(client, 2_048, 6_144);
    let code: Count = |client| callgrind::code(client, 4_096);
    for (tasks, name, count) in [
        (
            "1",
            "instructions of the client, a pair of one task",
            instructions,
        ),
        (
            "64",
            "instructions of the client, a pair of 64 tasks",
            instructions,
        ),
        ("1", "bytes of code of the client, a pair of one task", code),
    ] {
        if !with_servers {
            break;
        }
        table.push_str(&format!("| {name} |"));
        for who in Who::ALL {
            let each = count(&["client", who.name(), tasks])?;
            table.push_str(&format!(" {each:.0} |"));
            if who == Who::Tenure {
                ledger.note(name, each);
            }
        }
        table.push('\n');
    }
    println!("{table}");
    let compiler = said("rustc", &["--version"]);
    let head = format!(
        "# Instructions of the core for a lease (acquired, granted, renewed, released), and\n\
         # of the client for an acquire and its release, in user mode; and how much code\n\
         # these run. Written by the bench `instructions` as built by {compiler}.\n"
    );
    if asked("--check") && !kept_head().contains(&compiler) {
        println!("{ledger}");
        println!("not compared: {FILE} was written with another compiler");
        return Ok(());
    }
    // Of what the client does, some depends on when its tasks run.
    let may_grow = |name: &str| match name.contains("of the core") {
        true => (0.03, 0.0),
        false => (0.06, 0.0),
    };
    ledger.conclude(FILE, &head, may_grow)?;
    if asked("--write") && with_servers {
        document::write("instructions", &table)?;
    }
    Ok(())
}

fn kept_head() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    std::fs::read_to_string(path).unwrap_or_default()
}

/// So many lives of a lease, while so many others are held.
fn core_alone(others: u32, lives: u32) {
    let mut core = Core::new(1);
    let keys = Core::keys(others + 1);
    let (one, others) = keys.split_last().expect("one at least");
    core.acquire(Instant::ORIGIN, others);
    for _ in 0..lives {
        core.live(Instant::ORIGIN, one);
    }
}

/// So many lives of leases that live together, on so many nodes.
fn many(nodes: u32, leases: u32) {
    let mut core = Core::new(nodes as usize);
    core.acquire(Instant::ORIGIN, &Core::keys(leases));
    let now = core.renew();
    core.release(now);
}

fn client(who: Who, tasks: u64, pairs: u64) {
    let runtime = runtime();
    runtime.block_on(async {
        let bench = Bench::start(1).await;
        bench.clients.pairs(who, tasks, pairs).await;
    });
}
