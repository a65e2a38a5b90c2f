//! Thousands of worlds, each drawn from a seed: in none of them is a law broken, and together they come
//! to all that is rare.
#![forbid(unsafe_code)]

use tenure_sim::fact::Fault;
use tenure_sim::marks::Marks;
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
            for (sum, count) in faults.iter_mut().zip(report.faults) {
                *sum += count;
            }
        }
        (marks, grants, healed, faults)
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
    let (mut grants, mut healed) = (0, 0);
    for (theirs, granted, after, _) in &shares {
        marks.add(theirs);
        grants += granted;
        healed += after;
    }
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
}

/// Seeds that found something once, a line of why for each.
#[test]
fn known_seeds_stay_found() {
    let known = include_str!("../../tests/seeds.txt");
    let seeds = known
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let mut count = 0;
    for line in seeds {
        let number = line.split_whitespace().next().unwrap_or_default();
        let seed = number.parse().unwrap_or_else(|_| panic!("no seed: {line}"));
        if let Some(failure) = explain(&Scenario::from_seed(seed)) {
            panic!("{line}\n{failure}");
        }
        count += 1;
    }
    assert!(count > 0, "there are known seeds");
}

/// What has run out of bytes chooses zero: no fault, nothing rare.
#[test]
fn a_world_of_no_bytes_is_calm() {
    let report = run_quietly(&Scenario::from_bytes(&[]));
    assert_eq!(report.violation, None);
    assert_eq!(report.faults, [0; Fault::ALL.len()]);
    assert!(report.grants > 0);
}

/// Any bytes are a world.
#[test]
fn no_law_is_broken_in_a_world_of_bytes() {
    let mut choices = tenure_sim::choice::Choices::from_seed(1);
    for _ in 0..50 {
        let bytes: Vec<u8> = (0..2_000).map(|_| choices.below(256) as u8).collect();
        let scenario = Scenario::from_bytes(&bytes);
        if let Some(failure) = explain(&scenario) {
            panic!("{failure}");
        }
    }
}
