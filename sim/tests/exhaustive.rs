//! Small worlds, in which each decision is tried: in none of them is a law broken.
//!
//! `TENURE_CHANGES=3 cargo test --release -p tenure-sim --test exhaustive` goes further than the two
//! decisions that are other than calm here.
#![forbid(unsafe_code)]

use tenure_sim::choice::Choices;
use tenure_sim::exhaust::{Scope, every};
use tenure_sim::marks::{Mark, Marks};
use tenure_sim::world::{Scenario, explain, run};

fn changes() -> usize {
    let wanted = std::env::var("TENURE_CHANGES");
    wanted.map_or(2, |count| {
        count.parse().expect("TENURE_CHANGES is a number")
    })
}

/// Goes through all small worlds of so many nodes.
fn all_of(nodes: usize, decisions: usize) -> (u64, Marks) {
    let scope = Scope {
        changes: changes(),
        decisions,
        answers: 8,
    };
    let mut marks = Marks::default();
    let runs = every(scope, &mut |choices: Choices| {
        let scenario = Scenario::small(nodes, choices);
        let report = run(&scenario, &mut |_| {});
        if report.violation.is_some() {
            panic!("{}", explain(&scenario).unwrap_or_default());
        }
        marks.add(&report.marks);
        Some(report.decisions)
    });
    println!("{nodes} nodes: {runs} runs, which come to:\n{marks}");
    (runs, marks)
}

/// What two things that go wrong come to, if they are the right ones.
const RARE: [Mark; 6] = [
    Mark::LateGrant,
    Mark::BatchCut,
    Mark::UnknownDecides,
    Mark::RenewalRetried,
    Mark::LostExpired,
    Mark::LateLanding,
];

#[test]
fn no_law_is_broken_by_any_two_things_that_go_wrong_with_one_node() {
    let (runs, marks) = all_of(1, 160);
    assert!(runs > 10_000, "{runs} runs");
    for mark in RARE {
        assert!(marks.count(mark) > 0, "nothing came to {mark:?}");
    }
}

#[test]
fn no_law_is_broken_by_any_two_things_that_go_wrong_with_three_nodes() {
    let (runs, marks) = all_of(3, 160);
    assert!(runs > 10_000, "{runs} runs");
    for mark in [Mark::LateGrant, Mark::UnknownDecides, Mark::SplitVote] {
        assert!(marks.count(mark) > 0, "nothing came to {mark:?}");
    }
}
