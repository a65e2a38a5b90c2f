//! Bad days drawn from seeds. What a failing seed did is printed; `TENURE_TURMOIL_SEED=n` runs one
//! seed alone, `TENURE_TURMOIL_SEEDS=n` so many of them, and `TENURE_TURMOIL_FROM=n` begins there.

use std::collections::BTreeSet;

use tenure_redis::Quarantine;
use tenure_sim::choice::{Choices, Draws, Subject};
use tenure_sim::judge::Checks;
use tenure_sim::observe::fact::Fault;
use tenure_sim::observe::marks::Marks;
use tenure_tests::chaos::Chaos;
use tenure_tests::variables::number;

use crate::support::{FirstAddress, Plan, Stage, ms, secs};

/// Of so many days one is crowded: many leases wait for one key at one node.
const CROWDED: u64 = 3;

fn crowd(plan: &mut Plan) {
    plan.nodes = 1;
    plan.clients = 4;
    plan.keys = &["k"];
    plan.quarantine = Quarantine::Off;
    plan.habits.workers = 5;
    plan.habits.hold = ms(100);
}

/// What a run came to.
struct Day {
    checks: Checks,
    grants: usize,
    losses: usize,
    faults: BTreeSet<Fault>,
    /// Hand-offs that came by a push, and those that did not.
    pushes: (usize, usize),
    marks: Marks,
}

fn day(seed: u64) -> Day {
    let mut choices = Choices::from_seed(seed);
    let c = &mut choices.about(Subject::World);
    let mut plan = Plan::new(c.below(u64::MAX));
    plan.nodes = c.pick(&[3, 3, 3, 5, 1]);
    plan.clients = c.pick(&[3, 2, 4]);
    plan.keys = c.pick(&[&["k", "l"], &["k"]]);
    plan.latency = ms(c.pick(&[2, 10, 30]));
    plan.quarantine = match plan.nodes {
        1 => Quarantine::Off,
        _ => Quarantine::On,
    };
    plan.habits.workers = c.pick(&[2, 1, 3]);
    plan.habits.hold = ms(c.pick(&[1_500, 300, 2_000]));
    if seed % CROWDED == CROWDED - 1 {
        crowd(&mut plan);
    }
    plan.first_address = Choices::from_seed(seed).about(Subject::Links).pick(&[
        None,
        Some(FirstAddress::Swallows),
        Some(FirstAddress::Refuses),
    ]);
    let mut stage = Stage::new(&plan);
    // Half of the drift bound; the other half is for steps.
    let ppm = |c: &mut Draws<'_>| c.pick(&[0, 2_500, -2_500, 1_000, -1_000]);
    for machine in &stage.machines {
        machine.clock().set_drift_ppm(ppm(c));
    }
    for node in &stage.nodes {
        node.clock().set_drift_ppm(ppm(c));
        // The clocks of the nodes differ from the beginning, drift included by less than one max
        // TTL.
        node.clock().step(ms(c.pick(&[0, 300, 600])));
    }
    let durable = plan.nodes == 1 || c.chance(300);
    if durable {
        for node in &stage.nodes {
            node.server().call(&["CONFIG", "SET", "appendonly", "yes"]);
            node.server()
                .call(&["CONFIG", "SET", "appendfsync", "always"]);
        }
    }
    let last = ms(c.pick(&[400, 1_200, 2_500]));
    let mut chaos = Chaos::new(choices, stage.witness.clone(), last);
    if durable {
        // What was acknowledged is on the disk, so no node comes back without it.
        chaos = chaos.without(Fault::CrashStale);
    }
    while stage.now() < secs(7) {
        chaos.act(stage.now(), &mut stage);
        stage.step();
    }
    chaos.heal(&mut stage);
    let checks = stage.end();
    Day {
        checks,
        grants: stage.grants(None),
        losses: stage.losses(None),
        faults: chaos.happened().iter().copied().collect(),
        pushes: stage.pushes(),
        marks: stage.marks.clone(),
    }
}

/// How many days there are, where nothing else is said.
const DAYS: u64 = 12;

/// They are in so many parts, which run beside each other.
const PARTS: u64 = 2;

/// In a part of the usual number of days, or of more, at least so many kinds of faults strike.
const KINDS: usize = 12;

/// So many days.
fn days(seeds: std::ops::Range<u64>) {
    let days = seeds.end - seeds.start;
    let mut faults = BTreeSet::new();
    let (mut grants, mut losses, mut checks) = (0, 0, Checks::default());
    let (mut marks, mut pushed, mut unheard) = (Marks::default(), 0, 0);
    for seed in seeds {
        println!("seed {seed}");
        let day = day(seed);
        println!("{} grants, {:?}", day.grants, day.faults);
        assert!(
            day.checks.healed_grants > 0,
            "nothing was granted at the end"
        );
        grants += day.grants;
        losses += day.losses;
        checks.add(&day.checks);
        marks.add(&day.marks);
        pushed += day.pushes.0;
        unheard += day.pushes.1;
        faults.extend(day.faults);
    }
    println!("{grants} grants, {losses} losses, {checks:?}\n{marks}");
    println!("{pushed} hand-offs came by a push, {unheard} did not");
    // Days without faults would show nothing. (Fewer days, which somebody looks at, may be calm.)
    if days >= DAYS / PARTS {
        let kinds = faults.len();
        assert!(kinds >= KINDS, "only {kinds} in {days} days: {faults:?}");
        assert!(losses > 0, "no lock was lost in {days} days");
        assert!(checks.accepted > 0, "nothing was written");
        assert!(pushed > 0, "nothing was handed on");
        assert!(unheard > 0, "each push came");
    }
}

/// The days of one part.
fn part(part: u64) {
    if let Some(seed) = number("TENURE_TURMOIL_SEED") {
        if part == 0 {
            days(seed..seed + 1);
        }
        return;
    }
    let seeds = number("TENURE_TURMOIL_SEEDS")
        .unwrap_or(DAYS)
        .div_ceil(PARTS);
    let begin = number("TENURE_TURMOIL_FROM").unwrap_or(0) + part * seeds;
    days(begin..begin + seeds);
}

#[test]
fn no_law_is_broken_on_bad_days_1() {
    part(0);
}

#[test]
fn no_law_is_broken_on_bad_days_2() {
    part(1);
}
