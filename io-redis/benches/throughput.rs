//! Uncontended acquire and release on distinct keys, at 64 and at 1,024 tasks: raw redis-rs with
//! the same scripts, this crate, and rslock, side by side in one run.
//!
//! Besides criterion's figures it prints the ratios of rounds that alternate between the three,
//! which hold when the machine's speed drifts.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use support::{Bench, Who};

const ROUNDS: usize = 15;
const PAIRS: u64 = 16_384;

fn throughput(criterion: &mut Criterion) {
    let Some((runtime, bench)) = Bench::start() else {
        return;
    };
    for tasks in [64, 1_024] {
        let mut group = criterion.benchmark_group(format!("acquire+release, {tasks} tasks"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        for who in Who::ALL {
            group.bench_function(format!("{who:?}"), |b| {
                b.iter_custom(|pairs| runtime.block_on(bench.time(who, tasks, pairs)));
            });
        }
        group.finish();

        let mut rounds: Vec<[f64; 3]> = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(Who::ALL.map(|who| {
                let time = runtime.block_on(bench.time(who, tasks, PAIRS));
                PAIRS as f64 / time.as_secs_f64()
            }));
        }
        let median = |mut ratios: Vec<f64>| {
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        let rate = |who: usize| median(rounds.iter().map(|round| round[who]).collect());
        println!(
            "{tasks} tasks, median of {ROUNDS} alternating rounds: raw {:.0}, tenure {:.0}, \
             rslock {:.0} pairs/s; tenure/raw {:.2}, tenure/rslock {:.2}\n",
            rate(0),
            rate(1),
            rate(2),
            median(rounds.iter().map(|round| round[1] / round[0]).collect()),
            median(rounds.iter().map(|round| round[1] / round[2]).collect()),
        );
    }
    runtime.block_on(async {
        let before = bench.calls("evalsha").await;
        bench.time(Who::Tenure, 64, PAIRS).await;
        let calls = bench.calls("evalsha").await - before;
        println!("{PAIRS} acquires and releases by tenure: {calls} EVALSHA");
    });
}

criterion_group!(benches, throughput);
criterion_main!(benches);
