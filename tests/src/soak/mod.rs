//! A soak against real servers: four processes lock two hundred keys for as long as is asked for,
//! while faults strike them and their servers. Nothing may be lost, nobody may wait for ever, and
//! nothing may leak.
//!
//! The locks are at one server, at several, or at a primary that Sentinels name (`kind`,
//! `servers`).
//! The program starts its servers, and itself four times more with the hidden argument `process`.
//! These tell what they did and were told, a line for each thing (`event`), and the judge
//! compares it all (`judge`). Which faults strike is drawn from the seed and printed
//! (`schedule`). What happens between them is up to the machine, so a seed gives the same faults
//! again and not the same run.

mod clock;
mod event;
mod judge;
mod kind;
mod process;
mod report;
mod schedule;
mod servers;
mod stage;
mod store;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::live::{gate, tls};
use kind::Kind;

/// How many processes there are at a time.
const PROCESSES: usize = 4;
/// How many clients each of them has.
const CLIENTS: usize = 2;
/// How many tasks of each client take locks.
const WORKERS: usize = 8;
/// How many keys there are.
const KEYS: u64 = 200;
/// For so long a node keeps a key.
const TTL: Duration = Duration::from_secs(3);
/// So long after the last fault, or after it asked, everybody who waits is served.
const SERVED: Duration = Duration::from_secs(30);

/// Locks against a real server for a long time, with faults.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Arguments {
    /// For how long faults strike, in minutes. About a minute of calm is added.
    #[arg(long, default_value_t = 60.0, value_parser = minutes)]
    minutes: f64,
    /// From which the faults and what processes do are drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Breaks something on purpose, to see that it is found. A few faults strike then.
    #[arg(long = "break", value_enum)]
    broken: Option<Broken>,
    /// So many servers have the locks, which know nothing of each other: one, or from three to
    /// nine.
    #[arg(long, default_value_t = 1, value_parser = nodes, conflicts_with = "sentinel")]
    nodes: usize,
    /// A primary with a replica has the locks, and three Sentinels watch them.
    #[arg(long)]
    sentinel: bool,
    /// The clients speak TLS.
    #[cfg(feature = "tls-rustls")]
    #[arg(long, conflicts_with = "sentinel")]
    tls: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What can be broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Broken {
    /// Holders go on as if they had not heard of their loss.
    IgnoresLoss,
    /// Each lock leaves a task with some memory behind, which never ends.
    LeaksTasks,
    /// The store takes every write, whatever its fence.
    IgnoresFences,
    /// A server that has forgotten what it granted counts at once. It takes several servers.
    NoQuarantine,
    /// Nobody waits for replicas, and what was granted counts as acknowledged. It takes Sentinels.
    IgnoresReplicas,
}

impl Broken {
    /// Why it cannot be broken with servers of this kind, if it cannot.
    fn lacks(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::NoQuarantine, Kind::One | Kind::Group) => {
                Some("without several servers there is no quarantine to break: add --nodes 3")
            }
            (Self::IgnoresReplicas, Kind::One | Kind::Several(_)) => {
                Some("without Sentinels no replica is waited for: add --sentinel")
            }
            (Self::NoQuarantine, Kind::Several(_))
            | (Self::IgnoresReplicas, Kind::Group)
            | (Self::IgnoresLoss | Self::LeaksTasks | Self::IgnoresFences, _) => None,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One of the processes that take locks.
    #[command(hide = true)]
    Process(Process),
}

/// What a process is told.
#[derive(Debug, clap::Args)]
struct Process {
    /// Its number, which no other process has.
    #[arg(long)]
    number: u64,
    /// Where the locks are: a URL for each server, or the one with the name of the primary.
    #[arg(long, required = true)]
    locks: Vec<String>,
    /// Who knows the primary, a URL for each.
    #[arg(long = "sentinel")]
    sentinels: Vec<String>,
    /// Where the resource behind them is.
    #[arg(long)]
    store: String,
    /// Whom to trust, if the locks are behind TLS: a file with certificates.
    #[cfg(feature = "tls-rustls")]
    #[arg(long)]
    authority: Option<PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    // A week.
    if (0.01..=10_080.0).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("it must be from 0.01 to 10080".to_owned())
    }
}

fn nodes(text: &str) -> Result<usize, String> {
    let nodes: usize = text.parse().map_err(|_| "it must be a number".to_owned())?;
    // With two each restart would be an outage.
    if matches!(nodes, 1 | 3..=9) {
        Ok(nodes)
    } else {
        Err("it must be 1, or from 3 to 9".to_owned())
    }
}

impl Arguments {
    fn kind(&self) -> Kind {
        match (self.sentinel, self.nodes) {
            (true, _) => Kind::Group,
            (false, 1) => Kind::One,
            (false, count) => Kind::Several(count),
        }
    }
}

/// Runs the program, with the arguments that it was started with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    if let Some(Role::Process(process)) = arguments.role {
        runtime.block_on(process::run(&process, arguments.seed, arguments.broken));
        return ExitCode::SUCCESS;
    }
    if gate::server_program().is_none() {
        eprintln!("no redis-server or valkey-server is on PATH: install one");
        return ExitCode::FAILURE;
    }
    let kind = arguments.kind();
    if let Some(why) = arguments.broken.and_then(|broken| broken.lacks(kind)) {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    #[cfg(feature = "tls-rustls")]
    let tls = arguments.tls;
    #[cfg(not(feature = "tls-rustls"))]
    let tls = false;
    if tls && !tls::available() {
        eprintln!("TLS takes a server that was built with it, and openssl on PATH");
        return ExitCode::FAILURE;
    }
    let program: PathBuf = std::env::current_exe().expect("the path of this program");
    let faults = Duration::from_secs_f64(arguments.minutes * 60.0);
    let plan = stage::Plan {
        program,
        kind,
        seed: arguments.seed,
        broken: arguments.broken,
        faults,
        certificates: tls.then(tls::Certificates::new),
    };
    if runtime.block_on(stage::play(&plan)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::{minutes, nodes};

    #[test]
    fn minutes_are_a_number_that_makes_sense() {
        assert_eq!(minutes("0.5"), Ok(0.5));
        for wrong in ["", "x", "0", "-1", "NaN", "inf", "10081"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_servers_are_too_few_for_a_majority_without_one() {
        assert_eq!((nodes("1"), nodes("3")), (Ok(1), Ok(3)));
        for wrong in ["", "x", "0", "2", "10", "-3"] {
            assert!(nodes(wrong).is_err(), "{wrong}");
        }
    }
}
