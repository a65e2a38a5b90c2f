//! Thousands of random worlds, each drawn from a seed. None may break a law, and together they must
//! meet every mark.
#![forbid(unsafe_code)]

use proptest::collection::vec;
use proptest::prelude::*;
use tenure_sim::observe::fact::{Fact, Fault};
use tenure_sim::observe::marks::{Mark, Marks};
use tenure_sim::world::{Report, Scenario, explain, run};

/// How many worlds are run.
const WORLDS: u64 = 2_500;
/// In how many threads they run.
const THREADS: u64 = 2;
/// How many grants a world has on the average. Without grants, a world shows nothing.
const GRANTS: u64 = 40;

fn run_quietly(scenario: &Scenario) -> Report {
    run(scenario, &mut |_| {})
}

/// The law Replay. Without it, a seed that finds a violation is useless.
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
fn no_world_breaks_a_law_and_every_mark_is_met() {
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
    assert!(missing.is_empty(), "no world met {missing:?}:\n{marks}");
    for (index, fault) in Fault::ALL.iter().enumerate() {
        let struck: u64 = shares.iter().map(|(.., faults)| faults[index]).sum();
        assert!(struck > 0, "{fault:?} struck nowhere");
    }
    assert!(
        grants > GRANTS * WORLDS,
        "{grants} grants in {WORLDS} worlds"
    );
    assert!(healed > 5 * WORLDS, "{healed} grants after the faults");
    assert!(excused > 0, "two holders were never excused");
    assert!(refused > WORLDS, "{refused} stale reads and writes");
}

/// The first world after those that meets this mark.
fn first_beyond(mark: Mark) -> String {
    let comes = |seed: &u64| run_quietly(&Scenario::from_seed(*seed)).marks.count(mark) > 0;
    let found = (WORLDS..WORLDS * 5).find(comes);
    found.map_or("none nearby".to_owned(), |seed| format!("seed {seed}"))
}

/// `tests/seeds.txt` has a line for each known seed, with the mark that it must meet.
#[test]
fn known_seeds_still_meet_their_marks() {
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
        // A seed that names a mark must still meet it.
        let named = words.next().and_then(|word| word.strip_suffix(':'));
        if let Some(name) = named {
            let mark = Mark::ALL.iter().find(|mark| format!("{mark:?}") == name);
            let mark = *mark.unwrap_or_else(|| panic!("no mark: {line}"));
            if run_quietly(&scenario).marks.count(mark) == 0 {
                let instead = first_beyond(mark);
                moved.push(format!("{line}: not met any more; instead: {instead}"));
            }
        }
        count += 1;
    }
    assert!(moved.is_empty(), "{}", moved.join("\n"));
    assert!(count > 0, "there are known seeds");
}

/// Each kind of fault has its own decisions: until the first of that kind strikes, a world runs as
/// it would without that kind. So a new kind does not change what a seed means before it strikes.
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
        // Faults that lose the last writes are prepared before they strike, and only one at a time
        // at each node. So they do change what comes before.
        let at_once = |fault: &&Fault| !fault.row().loses.last_writes();
        for &fault in Fault::ALL.iter().filter(at_once) {
            // A fault that hits a message is not told as a fact.
            let first = with.iter().position(|it| it.fact == Fact::Fault(fault));
            let Some(first) = first else { continue };
            let without = facts(&scenario.clone().without(fault));
            assert!(with[..first] == without[..first], "{fault} in seed {seed}");
            changed += usize::from(with != without);
        }
    }
    assert!(changed > 100, "{changed} worlds differ later");
}

/// When the bytes have run out, all decisions are calm.
#[test]
fn a_world_of_no_bytes_is_calm() {
    let report = run_quietly(&Scenario::from_bytes(&[]));
    assert_eq!(report.violation, None);
    assert_eq!(report.faults, [0; Fault::ALL.len()]);
    assert!(report.grants > 0);
}

/// Shrinking leaves out zeros at the end of the bytes. That must not change the world.
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

    /// Any bytes are a world. If one fails, proptest shrinks it: fewer and smaller bytes are
    /// calmer.
    #[test]
    fn no_law_is_broken_in_a_world_of_bytes(bytes in vec(any::<u8>(), 0..2_000)) {
        let failure = explain(&Scenario::from_bytes(&bytes));
        prop_assert!(failure.is_none(), "{}", failure.unwrap_or_default());
    }
}
