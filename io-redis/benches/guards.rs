//! What it costs a client to hold 100,000 locks on one server: CPU and memory, with nobody awaiting
//! the loss, with a task for each guard that awaits it, and with one that runs work under it.
//!
//! Each is a process of its own, so that the memory of one does not count for the next. What a
//! process uses is read from `/proc`, so it runs on Linux. `--write` writes the table into
//! `docs/performance.md`.
#![forbid(unsafe_code)]

use std::alloc::System;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::machine::Clocks;
use support::{asked, document, runtime};
use tenure_redis::seams::{BootClock, Clock as _};
use tenure_redis::{Guard, Locks};
use tenure_tests::live::{Options, RedisServer};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GUARDS: usize = 100_000;
const TTL: Duration = Duration::from_secs(10);
const HELD: Duration = Duration::from_secs(30);
/// Until the first renewals are under way and what taking the locks needed is given back.
const SETTLED: Duration = Duration::from_secs(10);
/// How many ask at a time.
const ASKING: usize = 500;

/// Says to a process which of the three it is.
const WHICH: &str = "TENURE_BENCH_GUARDS";

/// What becomes of the guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guards {
    Held,
    Awaited,
    RunWork,
}

impl Guards {
    const ALL: [Self; 3] = [Self::Held, Self::Awaited, Self::RunWork];

    const fn words(self) -> &'static str {
        match self {
            Self::Held => "held, nobody waits",
            Self::Awaited => "a task each in `lost`",
            Self::RunWork => "a task each in `run`",
        }
    }

    /// Keeps these until one is lost. Counts the losses.
    fn keep(self, guards: Vec<Guard>, lost: &Arc<AtomicUsize>) {
        for guard in guards {
            let lost = Arc::clone(lost);
            match self {
                Self::Held => std::mem::forget(guard),
                Self::Awaited => drop(tokio::spawn(async move {
                    guard.lost().await;
                    lost.fetch_add(1, Ordering::Relaxed);
                })),
                Self::RunWork => drop(tokio::spawn(async move {
                    if guard.run(std::future::pending::<()>()).await.is_err() {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                })),
            }
        }
    }
}

fn main() -> Result<(), String> {
    if !tenure_tests::live::servers_available() {
        return Ok(());
    }
    if let Ok(which) = std::env::var(WHICH) {
        let which = Guards::ALL.into_iter().find(|known| known.words() == which);
        runtime().block_on(measure(which.expect("one of the three")));
        return Ok(());
    }
    let mut table = format!(
        "| {GUARDS} guards, TTL {TTL:?} | client CPU, % of a core | RSS, MB | bytes a guard | … \
         allocated | lost |\n|---|---|---|---|---|---|\n"
    );
    for which in Guards::ALL {
        let this = std::env::current_exe().expect("this program");
        let mut child = Command::new(this);
        let child = child.env(WHICH, which.words()).stderr(Stdio::inherit());
        let ran = child.output().expect("it runs");
        assert!(ran.status.success(), "{}", which.words());
        table.push_str(&String::from_utf8_lossy(&ran.stdout));
    }
    print!("{table}");
    if asked("--write") {
        document::write("guards", &table)?;
    }
    Ok(())
}

async fn measure(which: Guards) {
    let clock = BootClock::new();
    let server = RedisServer::start(Options::new()).await;
    let builder = Locks::builder().node(server.url()).ttl(TTL);
    let locks = builder.connect().await.expect("connects");
    let (before, allocated) = (memory(), Region::new(ALLOCATOR));
    let lost = Arc::new(AtomicUsize::new(0));
    for first in (0..GUARDS).step_by(ASKING) {
        let asked = (first..first + ASKING).map(|key| tokio::spawn(take(locks.clone(), key)));
        let mut guards = Vec::with_capacity(ASKING);
        for asked in asked.collect::<Vec<_>>() {
            guards.push(asked.await.expect("no panic"));
        }
        which.keep(guards, &lost);
    }
    clock.sleep_until(clock.now() + SETTLED).await;
    let begun = Clocks::now();
    clock.sleep_until(clock.now() + HELD).await;
    let Clocks { passed, worked } = Clocks::now().since(begun);
    let (rss, allocated) = (memory(), allocated.change());
    let allocated = allocated.bytes_allocated - allocated.bytes_deallocated;
    println!(
        "| {} | {:.1} | {:.0} | {} | {} | {} |",
        which.words(),
        worked.as_secs_f64() / passed.as_secs_f64() * 100.0,
        rss as f64 / 1e6,
        rss.saturating_sub(before) / GUARDS,
        allocated / GUARDS,
        lost.load(Ordering::Relaxed)
    );
}

async fn take(locks: Locks, key: usize) -> Guard {
    let key = format!("bench:guards:{key:06}");
    locks.try_lock(key).await.expect("the key is free")
}

/// How much of its memory is in use.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("a number") * 1_024
}
