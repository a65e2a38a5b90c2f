//! Many leases wait for one key at three nodes, which hint when it is free, and what may happen to
//! the hints. The judge watches the laws, and that no place is left. The tests demand beside it
//! that each who waits is granted the lock in the end, and that this was because of hints.

use std::time::Duration;

use tenure_redis::Quarantine;
use tenure_sim::observe::fact::{Fact, Fault};
use tenure_sim::observe::marks::Mark;
use tenure_sim::turmoil_net::Memory;
use tenure_tests::chaos::{Ground as _, Way};

use crate::support::{MAX_TTL, Plan, Stage, ms, secs};

const CLIENTS: usize = 4;
const NODES: usize = 3;

/// Twelve workers in four processes, who want the same key all the time. None gives up.
fn crowded(seed: u64) -> Stage {
    let mut plan = Plan::new(seed);
    plan.nodes = NODES;
    plan.clients = CLIENTS;
    plan.keys = &["k"];
    plan.quarantine = Quarantine::Off;
    plan.habits.workers = 3;
    plan.habits.hold = ms(60);
    plan.habits.pause = ms(100);
    plan.habits.gives_up = false;
    let mut stage = Stage::new(&plan);
    each_is_granted(&mut stage);
    stage
}

/// How often this was told of each client.
fn counts(stage: &Stage, is: impl Fn(&Fact) -> bool) -> Vec<usize> {
    let count = |client| stage.count(Some(client), &is);
    (0..CLIENTS).map(count).collect()
}

/// Steps until each client is granted the lock once more.
fn each_is_granted(stage: &mut Stage) {
    let grants = |stage: &Stage| counts(stage, |fact| matches!(fact, Fact::Granted { .. }));
    let before = grants(stage);
    stage.until(secs(10), |stage| {
        let now = grants(stage);
        before.iter().zip(now).all(|(before, now)| now > *before)
    });
}

const fn is_hint(fact: &Fact) -> bool {
    matches!(fact, Fact::Hinted)
}

/// Steps until a node hints once more. Gives the client that hears it.
fn next_hint(stage: &mut Stage) -> usize {
    let before = counts(stage, is_hint);
    stage.until(secs(10), |stage| counts(stage, is_hint) != before);
    let after = counts(stage, is_hint);
    let differs = before.iter().zip(&after).position(|(old, new)| old != new);
    differs.expect("one has heard it")
}

fn grants_within(stage: &mut Stage, span: Duration) -> usize {
    let before = stage.grants(None);
    stage.run(span);
    stage.grants(None) - before
}

/// Ends the run once each client was granted the lock again. Whoever waits then is granted it too:
/// nobody gives up, and the run ends only when all have let go. No place is left.
fn heal_and_end(mut stage: Stage) {
    each_is_granted(&mut stage);
    let checks = stage.heal_and_end();
    assert!(checks.places > 100, "{checks:?}");
    let failed = stage.count(None, |fact| matches!(fact, Fact::Failed { .. }));
    assert_eq!(failed, 0);
}

#[test]
fn where_nothing_fails_nearly_each_who_waits_is_granted_by_a_hint() {
    let mut stage = crowded(31);
    stage.run(secs(5));
    let (grants, by_hint) = (stage.grants(None), stage.marks.count(Mark::GrantedByHint));
    assert!(grants > 60, "{grants}");
    assert!(by_hint > grants as u64 * 2 / 3, "{by_hint} of {grants}");
    heal_and_end(stage);
}

#[test]
fn a_node_that_nobody_reaches_is_not_missed() {
    for way in [Way::Cut, Way::CutOut, Way::CutIn, Way::Held] {
        let mut stage = crowded(32);
        for client in 0..CLIENTS {
            stage.close(client, 1, way);
        }
        let grants = grants_within(&mut stage, secs(3));
        assert!(grants > 20, "{way:?}: {grants}");
        for client in 0..CLIENTS {
            stage.open(client, 1, way);
        }
        heal_and_end(stage);
    }
}

/// Two clients reach one node only, as one of them hears a hint; the others reach the other two.
#[test]
fn a_network_that_is_parted_and_healed_leaves_nobody_waiting() {
    for way in [Way::Cut, Way::CutOut, Way::CutIn, Way::Held] {
        let mut stage = crowded(33);
        for node in 0..NODES {
            let first = next_hint(&mut stage);
            let parted = |client| client == first || client == (first + 1) % CLIENTS;
            for client in 0..CLIENTS {
                let others = (0..NODES).filter(|other| (*other != node) == parted(client));
                others.for_each(|other| stage.close(client, other, way));
            }
            let grants = grants_within(&mut stage, MAX_TTL + ms(500));
            // Each hint that those do not hear who are cut off costs some of the time.
            assert!(grants > 4, "{way:?}: {grants}");
            for client in 0..CLIENTS {
                (0..NODES).for_each(|node| stage.open(client, node, way));
            }
            each_is_granted(&mut stage);
        }
        heal_and_end(stage);
    }
}

#[test]
fn a_process_that_dies_when_it_is_hinted_holds_nobody_up_for_long() {
    let mut stage = crowded(34);
    for _ in 0..4 {
        let client = next_hint(&mut stage);
        stage.witness.crashes(client);
        stage.crash_client(client);
        let grants = grants_within(&mut stage, MAX_TTL + ms(500));
        assert!(grants > 10, "{grants}");
        stage.start_client(client);
        stage.mended(Fault::ClientCrash, Some(client), None);
        stage.run(ms(300));
    }
    heal_and_end(stage);
}

#[test]
fn a_node_that_restarts_has_its_places_again() {
    for memory in [Memory::Kept, Memory::Lost] {
        let mut stage = crowded(35);
        for node in 0..NODES {
            next_hint(&mut stage);
            stage.fault(Fault::CrashEmpty, None, Some(node));
            stage.crash_node(node);
            stage.run(ms(200));
            stage.start_node(node, &memory);
            stage.mended(Fault::CrashEmpty, None, Some(node));
            let grants = grants_within(&mut stage, secs(2));
            assert!(grants > 10, "{memory:?}: {grants}");
        }
        heal_and_end(stage);
    }
}
