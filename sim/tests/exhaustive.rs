//! Small worlds, in which each decision is tried: in none of them is a law broken.
//!
//! `TENURE_CHANGES=3 cargo test --release -p tenure-sim --test exhaustive` goes further than the two
//! decisions that are other than calm here.
#![forbid(unsafe_code)]

use tenure_sim::choice::Choices;
use tenure_sim::explore::exhaust::{Scope, every};
use tenure_sim::observe::marks::{Mark, Marks};
use tenure_sim::world::{Scenario, explain, run};

fn changes() -> usize {
    let wanted = std::env::var("TENURE_CHANGES");
    wanted.map_or(2, |count| {
        count.parse().expect("TENURE_CHANGES is a number")
    })
}

/// How many decisions in a row are tried together.
const WINDOW: usize = 160;

/// Goes through all small worlds of so many nodes in which so many decisions of a window are other than
/// calm.
fn all_of(nodes: usize, changes: usize, first: usize, decisions: usize) -> (u64, Marks) {
    let scope = Scope {
        changes,
        first,
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

fn come_to(marks: &Marks, wanted: &[Mark]) {
    for mark in wanted {
        assert!(marks.count(*mark) > 0, "nothing came to {mark:?}");
    }
}

#[test]
fn no_law_is_broken_by_any_two_decisions_that_are_not_calm_with_one_node() {
    let (runs, marks) = all_of(1, changes(), 0, WINDOW);
    assert!(runs > 10_000, "{runs} runs");
    come_to(&marks, &RARE);
}

/// Three nodes decide three times as much in the same time: the first window is the first TTL, in which the
/// lock is taken.
#[test]
fn no_law_is_broken_by_any_two_decisions_that_are_not_calm_with_three_nodes() {
    let (runs, marks) = all_of(3, changes(), 0, WINDOW);
    assert!(runs > 10_000, "{runs} runs");
    come_to(
        &marks,
        &[Mark::LateGrant, Mark::UnknownDecides, Mark::SplitVote],
    );
}

/// The windows behind it: the lock is renewed, released and handed over.
#[test]
fn no_law_is_broken_by_any_two_decisions_that_are_not_calm_later_with_three_nodes() {
    let (runs, marks) = all_of(3, changes(), WINDOW, WINDOW);
    let (more, others) = all_of(3, changes(), 2 * WINDOW, WINDOW);
    assert!(runs.min(more) > 10_000, "{runs} and {more} runs");
    come_to(&marks, &[Mark::RenewalRetried]);
    for of in [marks, others] {
        come_to(&of, &[Mark::ReleaseUnknown, Mark::CancelHeld]);
    }
}

/// A single one, wherever in the run it is.
#[test]
fn no_law_is_broken_by_any_decision_that_is_not_calm_with_three_nodes() {
    let (runs, marks) = all_of(3, 1, 0, usize::MAX);
    assert!(runs > 1_000, "{runs} runs");
    come_to(&marks, &[Mark::LateGrant, Mark::Repaired, Mark::CancelHeld]);
}
