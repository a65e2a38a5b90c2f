//! Many that wait for one key, measured side by side in one run on the same server: a bare hand-off
//! over redis-rs ([`prototype`]), the same with all commands of Tenure, rslock, which asks again
//! and again, and Tenure.
//!
//! The clients are processes of this program ([`child`]). They take turns, and ratios are taken
//! within a round. `--quick` measures for a minute, with more noise. `--write` puts the table into
//! `docs/performance.md`.
#![forbid(unsafe_code)]

mod child;
mod clients;
mod crowd;
mod page;
mod parties;
mod prototype;
mod turns;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::servers::Servers;
use support::{asked, document, runtime};

use crate::turns::Scenario;

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// How often they take turns.
    rounds: usize,
    /// How long each measures in its turn.
    turn: Duration,
    /// How often each has its ten thousand waiters.
    crowds: usize,
    /// How long these have until they are measured.
    settled: Duration,
    /// How long they are measured while the key is held. Each keeps its place when two thirds of
    /// its TTL have passed, many at a time. So this is three such times, or the rate is by chance,
    /// as it is with [`QUICK`].
    idle: Duration,
    /// How long they have until all should be served.
    served: Duration,
}

const USUAL: Effort = Effort {
    rounds: 5,
    turn: Duration::from_secs(4),
    crowds: 2,
    settled: Duration::from_secs(4),
    idle: Duration::from_secs(20),
    served: Duration::from_secs(8),
};
const QUICK: Effort = Effort {
    rounds: 3,
    turn: Duration::from_millis(500),
    crowds: 1,
    settled: Duration::from_secs(2),
    idle: Duration::from_secs(2),
    served: Duration::from_secs(4),
};

const fn scenario(
    label: &'static str,
    tasks: u64,
    processes: u64,
    held: u64,
    between: u64,
) -> Scenario {
    Scenario {
        label,
        tasks,
        processes,
        held: Duration::from_millis(held),
        between: Duration::from_millis(between),
    }
}

const SCENARIOS: [Scenario; 5] = [
    scenario("16 tasks, asking at once", 16, 1, 0, 0),
    scenario("… in two processes", 16, 2, 0, 0),
    scenario("16 tasks, 1 ms held, 5 apart", 16, 1, 1, 5),
    scenario("… in two processes", 16, 2, 1, 5),
    scenario("two, 5 ms held, asking at once", 2, 2, 5, 0),
];

fn main() -> ExitCode {
    if let Some(job) = child::Job::of_this_process() {
        runtime().block_on(job.run());
        return ExitCode::SUCCESS;
    }
    if !tenure_tests::live::servers_available() {
        return ExitCode::FAILURE;
    }
    let effort = if asked("--quick") { QUICK } else { USUAL };
    let text = runtime().block_on(async {
        let mut servers = Servers::start(1).await;
        let url = servers.urls().swap_remove(0);
        let mut measured = Vec::new();
        for scenario in SCENARIOS {
            eprintln!("{} …", scenario.label);
            measured.push(turns::measure(&mut servers, scenario, effort).await);
        }
        eprintln!("{} …", crowd::LABEL);
        let crowds = crowd::measure(&url, effort).await;
        let how = format!("in {} rounds of {:?}", effort.rounds, effort.turn);
        let head = support::page::head(&servers.version().await, &how);
        format!("{head}\n{}", page::table(&measured, &crowds, effort))
    });
    println!("{text}");
    if asked("--write")
        && let Err(why) = document::write("contended", &text)
    {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A key that no turn has had.
fn key() -> String {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    format!("bench:{:06}", TURNS.fetch_add(1, Ordering::Relaxed))
}
