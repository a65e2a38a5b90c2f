//! One task acquires and releases, client and server pinned to one core: raw redis-rs with the same
//! scripts against this crate, side by side in one run.
//!
//! Unpinned the figures are bimodal: they measure whether the kernel wakes the other side on this
//! core or on another.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use support::{Bench, Who};

const ROUNDS: usize = 31;
const PAIRS: u64 = 2_048;

fn latency(criterion: &mut Criterion) {
    // The server, started after this, inherits it.
    let mut core = rustix::thread::CpuSet::new();
    core.set(0);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &core) {
        eprintln!("not pinned ({error}): the figures will be bimodal");
    }
    let Some((runtime, bench)) = Bench::start() else {
        return;
    };
    let mut group = criterion.benchmark_group("acquire+release, 1 task, 1 core");
    for who in Who::ALL {
        group.bench_function(format!("{who:?}"), |b| {
            b.iter_custom(|pairs| runtime.block_on(bench.time(who, 1, pairs)));
        });
    }
    group.finish();

    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let [raw, tenure] = [Who::Raw, Who::Tenure]
                .map(|who| runtime.block_on(bench.time(who, 1, PAIRS)).as_secs_f64());
            tenure / raw
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "1 task, {ROUNDS} alternating rounds: tenure/raw latency {:.2} (median), {:.2} to {:.2}",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1]
    );
}

criterion_group!(benches, latency);
criterion_main!(benches);
