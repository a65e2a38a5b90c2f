//! Exhaustive search through small worlds. Each decision is tried with each answer, two decisions
//! at a time, and no law may be broken.
//!
//! `TENURE_CHANGES=3 cargo test --release -p tenure-sim --test exhaustive` tries three at a time.
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

/// Within so many decisions in a row, each pair is tried together.
const WINDOW: usize = 160;

/// Runs all small worlds with this many nodes in which at most `changes` decisions of a window are
/// other than calm.
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
    println!("{nodes} nodes: {runs} runs, which met:\n{marks}");
    (runs, marks)
}

/// Marks that some two decisions meet.
const RARE: [Mark; 6] = [
    Mark::LateGrant,
    Mark::BatchCut,
    Mark::UnknownDecides,
    Mark::RenewalRetried,
    Mark::LostExpired,
    Mark::LateLanding,
];

/// Marks of queues that some two decisions meet.
const QUEUED: [Mark; 4] = [
    Mark::GrantedByPush,
    Mark::FoundByAsking,
    Mark::TookOver,
    Mark::HandedToTheDead,
];

fn assert_met(marks: &Marks, wanted: &[Mark]) {
    for mark in wanted {
        assert!(marks.count(*mark) > 0, "no run met {mark:?}");
    }
}

#[test]
fn any_two_decisions_with_one_node_break_no_law() {
    let (runs, marks) = all_of(1, changes(), 0, WINDOW);
    assert!(runs > 10_000, "{runs} runs");
    assert_met(&marks, &RARE);
    assert_met(&marks, &QUEUED);
}

/// With three nodes, there are three times as many decisions in the same time. The first window is
/// about the first TTL, in which the lock is taken.
#[test]
fn any_two_early_decisions_with_three_nodes_break_no_law() {
    let (runs, marks) = all_of(3, changes(), 0, WINDOW);
    assert!(runs > 10_000, "{runs} runs");
    assert_met(
        &marks,
        &[Mark::LateGrant, Mark::UnknownDecides, Mark::SplitVote],
    );
}

/// The next two windows: the lock is renewed, released and taken again.
#[test]
fn any_two_later_decisions_with_three_nodes_break_no_law() {
    let (runs, marks) = all_of(3, changes(), WINDOW, WINDOW);
    let (more, others) = all_of(3, changes(), 2 * WINDOW, WINDOW);
    assert!(runs.min(more) > 10_000, "{runs} and {more} runs");
    assert_met(&marks, &[Mark::RenewalRetried]);
    // Two answers to a release that are lost cost nothing: the nodes had been idle, and are asked
    // again.
    for of in [marks, others] {
        assert_met(&of, &[Mark::CancelHeld]);
    }
}

/// One decision, anywhere in the run.
#[test]
fn any_one_decision_with_three_nodes_breaks_no_law() {
    let (runs, marks) = all_of(3, 1, 0, usize::MAX);
    assert!(runs > 1_000, "{runs} runs");
    assert_met(&marks, &[Mark::LateGrant, Mark::Repaired, Mark::CancelHeld]);
}
