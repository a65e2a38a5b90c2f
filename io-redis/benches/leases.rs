//! What a lease costs the core over its life: acquire, granted, one renewal, release, while as many
//! as 100,000 others live.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros write undocumented items")]

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use support::core_alone::Core;
use tenure_core::Instant;

/// How many live at a time.
const LEASES: u32 = 100_000;

fn lives(criterion: &mut Criterion) {
    let keys = Core::keys(LEASES);
    let mut group = criterion.benchmark_group("100,000 leases");
    group.throughput(Throughput::Elements(u64::from(LEASES)));
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for nodes in [1, 3] {
        let whole = format!("acquire, renew, release on {nodes} node(s)");
        group.bench_function(whole, |bench| {
            bench.iter_batched_ref(
                || Core::new(nodes),
                |core| {
                    core.acquire(Instant::ORIGIN, &keys);
                    let now = core.renew();
                    core.release(now);
                },
                BatchSize::PerIteration,
            );
        });
        let held = || {
            let mut core = Core::new(nodes);
            core.acquire(Instant::ORIGIN, &keys);
            core
        };
        group.bench_function(format!("renew on {nodes} node(s)"), |bench| {
            bench.iter_batched_ref(held, Core::renew, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, lives);
criterion_main!(benches);
