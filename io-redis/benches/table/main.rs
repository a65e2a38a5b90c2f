//! The table of `docs/performance.md`, measured side by side in one run, on servers of its own:
//! redis-rs alone, rslock and Tenure.
//!
//! The three take turns, and ratios are taken within a round, so that they hold although the speed
//! of the machine drifts. `--quick` measures for a minute, with more noise. `--write` puts the
//! table into the document.
#![forbid(unsafe_code)]

mod locks;
mod page;
mod pairs;

use std::process::ExitCode;
use std::time::Duration;

use support::{Bench, asked, document, runtime};

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// How often the three take turns.
    rounds: usize,
    /// How long each measures in its turn.
    turn: Duration,
}

const USUAL: Effort = Effort {
    rounds: 21,
    turn: Duration::from_millis(500),
};
const QUICK: Effort = Effort {
    rounds: 7,
    turn: Duration::from_millis(150),
};

/// What is measured: how it is called, how many nodes, how many tasks, and whether the clients and
/// the server share one core.
///
/// One task waits for one server, and then for the client. Unless both are on one core, that
/// measures whether the kernel wakes the other side here or elsewhere.
const ROWS: [(&str, usize, u64, bool); 5] = [
    ("64 tasks", 1, 64, false),
    ("1,024 tasks", 1, 1_024, false),
    ("one task, one core", 1, 1, true),
    ("five nodes, one task", 5, 1, false),
    ("five nodes, 64 tasks", 5, 64, false),
];

fn main() -> ExitCode {
    if !tenure_tests::live::servers_available() {
        return ExitCode::FAILURE;
    }
    let effort = if asked("--quick") { QUICK } else { USUAL };
    let runtime = runtime();
    let text = runtime.block_on(async {
        let mut rows = Vec::new();
        for (label, nodes, tasks, one_core) in ROWS {
            eprintln!("{label} …");
            let mut bench = Bench::start(nodes).await;
            rows.push(pairs::measure(&mut bench, label, tasks, one_core, effort).await);
        }
        eprintln!("one lock at the server …");
        let mut servers = support::servers::Servers::start(1).await;
        let costs = locks::measure(&mut servers, effort).await;
        let how = format!("in {} rounds of {:?}", effort.rounds, effort.turn);
        let head = support::page::head(&servers.version().await, &how);
        format!("{head}\n{}\n{}", page::pairs(&rows), page::locks(&costs))
    });
    println!("{text}");
    if asked("--write")
        && let Err(why) = document::write("table", &text)
    {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
