//! Thousands of worlds, each drawn from a seed: in none of them is a law broken, and together they come
//! to all that is rare.
#![forbid(unsafe_code)]

use proptest::collection::vec;
use proptest::prelude::*;
use tenure_sim::observe::fact::{Fact, Fault};
use tenure_sim::observe::marks::{Mark, Marks};
use tenure_sim::world::{Report, Scenario, explain, run};

/// How many worlds are run, in how many threads.
const WORLDS: u64 = 2_500;
const THREADS: u64 = 2;
/// Grants in a world, on the average: a world in which nothing is granted shows nothing.
const GRANTS: u64 = 40;

fn run_quietly(scenario: &Scenario) -> Report {
    run(scenario, &mut |_| {})
}

/// First of all, since a seed that does not reproduce is worth nothing.
#[test]
fn replay_the_same_seed_gives_the_same_facts() {
    for seed in 0..60 {
        let [one, other] = [(); 2].map(|()| run_quietly(&Scenario::from_seed(seed)));
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!(one.facts, other.facts, "seed {seed}");
        let next = run_quietly(&Scenario::from_seed(seed + 1));
        assert_ne!(one.hash, next.hash, "seeds {seed} and the next");
    }
}

#[test]
fn no_law_is_broken_in_any_world_and_all_that_is_rare_is_met() {
    let share = |thread: u64| {
        let mut marks = Marks::default();
        let (mut grants, mut healed) = (0, 0);
        let (mut excused, mut refused) = (0, 0);
        let mut faults = [0; Fault::ALL.len()];
        for seed in (thread..WORLDS).step_by(THREADS as usize) {
            let scenario = Scenario::from_seed(seed);
            let report = run_quietly(&scenario);
            if report.violation.is_some() {
                panic!("{}", explain(&scenario).unwrap_or_default());
            }
            marks.add(&report.marks);
            grants += report.grants;
            healed += report.checks.healed_grants;
            excused += report.checks.excused;
            refused += report.checks.refused;
            for (sum, count) in faults.iter_mut().zip(report.faults) {
                *sum += count;
            }
        }
        (marks, [grants, healed, excused, refused], faults)
    };
    let shares = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || share(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect::<Vec<_>>()
    });
    let mut marks = Marks::default();
    let mut sums = [0; 4];
    for (theirs, counts, _) in &shares {
        marks.add(theirs);
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let [grants, healed, excused, refused] = sums;
    let missing: Vec<_> = marks.missing().collect();
    assert!(missing.is_empty(), "no world came to {missing:?}:\n{marks}");
    for (index, fault) in Fault::ALL.iter().enumerate() {
        let struck: u64 = shares.iter().map(|(.., faults)| faults[index]).sum();
        assert!(struck > 0, "{fault:?} struck nowhere");
    }
    assert!(
        grants > GRANTS * WORLDS,
        "{grants} grants in {WORLDS} worlds"
    );
    assert!(healed > 5 * WORLDS, "{healed} grants after the faults");
    assert!(excused > 0, "never two holders where that is excused");
    assert!(refused > WORLDS, "{refused} stale reads and writes");
}

/// Beyond those worlds, the first that comes to this.
fn first_beyond(mark: Mark) -> String {
    let comes = |seed: &u64| run_quietly(&Scenario::from_seed(*seed)).marks.count(mark) > 0;
    let found = (WORLDS..WORLDS * 5).find(comes);
    found.map_or("none nearby".to_owned(), |seed| format!("seed {seed}"))
}

/// Seeds that found something once, a line of why for each.
#[test]
fn known_seeds_stay_found() {
    let known = include_str!("../../tests/seeds.txt");
    let seeds = known
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let mut count = 0;
    let mut moved = Vec::new();
    for line in seeds {
        let mut words = line.split_whitespace();
        let number = words.next().unwrap_or_default();
        let seed = number.parse().unwrap_or_else(|_| panic!("no seed: {line}"));
        let scenario = Scenario::from_seed(seed);
        if let Some(failure) = explain(&scenario) {
            panic!("{line}\n{failure}");
        }
        // A seed that is there for what it comes to must still come to it.
        let named = words.next().and_then(|word| word.strip_suffix(':'));
        if let Some(name) = named {
            let mark = Mark::ALL.iter().find(|mark| format!("{mark:?}") == name);
            let mark = *mark.unwrap_or_else(|| panic!("no mark: {line}"));
            if run_quietly(&scenario).marks.count(mark) == 0 {
                let instead = first_beyond(mark);
                moved.push(format!("{line}: no more, but {instead} does"));
            }
        }
        count += 1;
    }
    assert!(moved.is_empty(), "{}", moved.join("\n"));
    assert!(count > 0, "there are known seeds");
}

/// A kind of fault decides for itself alone: until the first of that kind strikes, a world goes as it
/// would without that kind. So a new kind leaves the worlds of all seeds as they were, until it strikes.
#[test]
fn a_kind_of_fault_changes_nothing_before_it_strikes() {
    let facts = |scenario: &Scenario| {
        let mut facts = Vec::new();
        run(scenario, &mut |record| facts.push(*record));
        facts
    };
    let mut changed = 0;
    for seed in 0..40 {
        let scenario = Scenario::from_seed(seed);
        let with = facts(&scenario);
        // What is prepared at a node before it strikes keeps others from being prepared there.
        let at_once = |fault: &&Fault| !fault.row().loses.last_writes();
        for &fault in Fault::ALL.iter().filter(at_once) {
            // What strikes a message is not told as a fault.
            let first = with.iter().position(|it| it.fact == Fact::Fault(fault));
            let Some(first) = first else { continue };
            let without = facts(&scenario.clone().without(fault));
            assert!(with[..first] == without[..first], "{fault} in seed {seed}");
            changed += usize::from(with != without);
        }
    }
    assert!(changed > 100, "{changed} worlds differ later");
}

/// What has run out of bytes chooses zero: no fault, nothing rare.
#[test]
fn a_world_of_no_bytes_is_calm() {
    let report = run_quietly(&Scenario::from_bytes(&[]));
    assert_eq!(report.violation, None);
    assert_eq!(report.faults, [0; Fault::ALL.len()]);
    assert!(report.grants > 0);
}

/// What shrinks bytes leaves out the zeros at their end, and means the same world.
#[test]
fn zeros_behind_the_bytes_of_a_world_make_no_difference() {
    for bytes in [&[][..], &[3, 3, 9, 200, 7, 0, 1], &[19, 7, 7].repeat(99)] {
        let world = run_quietly(&Scenario::from_bytes(bytes));
        let same = run_quietly(&Scenario::from_bytes(&[bytes, &[0; 500]].concat()));
        assert_eq!(world.hash, same.hash);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any bytes are a world. What fails is made smaller: fewer bytes and smaller ones are calmer.
    #[test]
    fn no_law_is_broken_in_a_world_of_bytes(bytes in vec(any::<u8>(), 0..2_000)) {
        let failure = explain(&Scenario::from_bytes(&bytes));
        prop_assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    }
}
