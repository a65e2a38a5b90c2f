//! How fast worlds run: `cargo run --release -p tenure-sim --no-default-features --example pace -- [WORLDS] [FIRST SEED]`.
//! It also counts what the runs came to, and tells the first violation of each law.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use tenure_sim::fact::Fault;
use tenure_sim::marks::Marks;
use tenure_sim::world::{Scenario, explain, run};

#[allow(
    clippy::disallowed_methods,
    reason = "it measures how long the machine takes; nothing in the worlds depends on it"
)]
fn main() {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let worlds = numbers.next().and_then(Result::ok).unwrap_or(1_000);
    let first = numbers.next().and_then(Result::ok).unwrap_or(0);
    let begin = std::time::Instant::now();

    let (mut events, mut grants, mut facts, mut virtual_time) = (0, 0, 0, 0);
    let (mut accepted, mut refused, mut excused, mut healed) = (0, 0, 0, 0);
    let mut faults = [0; Fault::ALL.len()];
    let mut marks = Marks::default();
    let mut broken = BTreeMap::new();
    for seed in first..first + worlds {
        let scenario = Scenario::from_seed(seed);
        let report = run(&scenario, &mut |_| {});
        if let Some(violation) = report.violation {
            let count = broken.entry(violation.law).or_insert(0);
            *count += 1;
            if *count == 1 {
                println!("{}\n", explain(&scenario).unwrap_or_default());
            }
        }
        events += report.events;
        grants += report.grants;
        facts += report.facts;
        virtual_time += report.virtual_time;
        accepted += report.checks.accepted;
        refused += report.checks.refused;
        excused += report.checks.excused;
        healed += report.checks.healed_grants;
        marks.add(&report.marks);
        for (sum, count) in faults.iter_mut().zip(report.faults) {
            *sum += count;
        }
    }

    let took = begin.elapsed().as_secs_f64();
    println!("{marks}");
    for (fault, count) in Fault::ALL.iter().zip(faults) {
        println!("{count:>10}  {fault:?}");
    }
    println!(
        "{worlds} worlds of {:.1} s, {grants} grants ({healed} after the faults), {facts} facts; at the \
         resource {accepted} accepted, {refused} refused; {excused} times two holders, excused",
        virtual_time as f64 / worlds as f64 / 1e9
    );
    for (law, count) in broken {
        println!("{law} was broken in {count} worlds");
    }
    println!(
        "{took:.2} s: {:.0} worlds/s, {:.0} core events/s, {:.0} facts/s",
        worlds as f64 / took,
        events as f64 / took,
        facts as f64 / took
    );
}
