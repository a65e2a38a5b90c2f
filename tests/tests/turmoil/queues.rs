//! Many leases wait for one key at one node, and what may happen to a hand-off. The judge watches
//! the laws: the order, and that nobody is left in the queue. The tests demand beside it that the
//! locks are handed on, and that what they do to a hand-off was felt.

use std::time::Duration;

use tenure_redis::Quarantine;
use tenure_sim::memory_net::Forgotten;
use tenure_sim::observe::fact::{Fact, Fault};
use tenure_sim::observe::marks::Mark;
use tenure_sim::turmoil_net::Memory;
use tenure_tests::chaos::{Ground as _, Way};

use crate::support::{MAX_TTL, Plan, Stage, ms, secs};

const CLIENTS: usize = 4;

/// Twenty workers in four processes, who want the same key all the time.
fn crowded(seed: u64) -> Stage {
    let mut plan = Plan::new(seed);
    plan.nodes = 1;
    plan.clients = CLIENTS;
    plan.keys = &["k"];
    plan.quarantine = Quarantine::Off;
    plan.habits.workers = 5;
    plan.habits.hold = ms(60);
    plan.habits.pause = ms(100);
    let mut stage = Stage::new(&plan);
    stage.until(secs(20), |stage| {
        (0..CLIENTS).all(|client| stage.grants(Some(client)) > 0)
    });
    stage
}

/// Steps until the lock is handed on once more. Gives the client to whom it is.
fn next_hand_off(stage: &mut Stage) -> usize {
    let before = stage.hand_offs().count();
    stage.until(secs(10), |stage| stage.hand_offs().count() > before);
    let lease = stage.hand_offs().last().and_then(|record| record.lease);
    stage.client_of(lease).expect("a client wants it")
}

/// Steps until a client sends a release of what it holds. Gives the client.
fn next_release(stage: &mut Stage) -> usize {
    let released = |fact: &Fact| matches!(fact, Fact::Release);
    let counts = |stage: &Stage| -> Vec<usize> {
        let count = |client| stage.count(Some(client), released);
        (0..CLIENTS).map(count).collect()
    };
    let before = counts(stage);
    stage.until(secs(10), |stage| counts(stage) != before);
    let after = counts(stage);
    let differs = before.iter().zip(&after).position(|(old, new)| old != new);
    differs.expect("one has released")
}

fn grants_within(stage: &mut Stage, span: Duration) -> usize {
    let before = stage.grants(None);
    stage.run(span);
    stage.grants(None) - before
}

#[test]
fn where_nothing_fails_each_lock_is_handed_on_and_each_push_comes() {
    let mut stage = crowded(21);
    stage.run(secs(3));
    let checks = stage.heal_and_end();
    let (heard, unheard) = stage.pushes();
    // Whom the lock was handed on to may have given up just then.
    assert!(heard > 60 && unheard <= 2, "{heard}, {unheard}");
    assert!(checks.turns > 60, "{checks:?}");
    assert!(stage.marks.count(Mark::GrantedByPush) > 60);
}

#[test]
fn a_push_that_is_lost_with_its_connection_costs_its_time_and_no_order() {
    for way in [Way::Cut, Way::CutIn, Way::CutOut, Way::Held] {
        let mut stage = crowded(22);
        for _ in 0..6 {
            let client = next_hand_off(&mut stage);
            stage.close(client, 0, way);
            stage.run(MAX_TTL + ms(200));
            stage.open(client, 0, way);
            let grants = grants_within(&mut stage, secs(1));
            assert!(grants > 0, "{way:?}");
        }
        stage.heal_and_end();
        let (heard, unheard) = stage.pushes();
        assert!(heard > 20, "{way:?}: {heard}");
        assert!(unheard > 0 || way == Way::CutOut, "{way:?}: {unheard}");
    }
}

#[test]
fn a_lock_whose_push_died_with_its_connection_is_found_by_asking() {
    let mut stage = crowded(23);
    for round in 0..12 {
        let client = next_hand_off(&mut stage);
        let by = [Forgotten::ByTheEnd, Forgotten::ByTheNetwork][round % 2];
        stage.fault(Fault::Forgotten, Some(client), Some(0));
        stage.forget(client, 0, by);
        let grants = grants_within(&mut stage, secs(2));
        assert!(grants > 0, "{by:?}");
    }
    stage.heal_and_end();
    assert!(stage.pushes().1 > 0, "some pushes were lost");
    assert!(stage.marks.count(Mark::FoundByAsking) > 0);
}

#[test]
fn a_holder_that_is_cut_off_as_it_releases_hands_on_or_expires() {
    for way in [Way::Cut, Way::CutOut, Way::CutIn] {
        let mut stage = crowded(24);
        for _ in 0..6 {
            let client = next_release(&mut stage);
            stage.close(client, 0, way);
            let grants = grants_within(&mut stage, MAX_TTL + secs(1));
            assert!(grants > 0, "{way:?}");
            stage.open(client, 0, way);
            stage.run(ms(300));
        }
        stage.heal_and_end();
    }
}

#[test]
fn a_process_that_dies_in_line_or_at_its_turn_holds_nobody_up_for_long() {
    let mut stage = crowded(25);
    for round in 0..8 {
        let client = match round % 2 {
            0 => next_hand_off(&mut stage),
            _ => round / 2 % CLIENTS,
        };
        stage.witness.crashes(client);
        stage.crash_client(client);
        let grants = grants_within(&mut stage, MAX_TTL * 2 + ms(500));
        assert!(grants > 0, "{round}");
        stage.start_client(client);
        stage.mended(Fault::ClientCrash, Some(client), None);
        stage.run(ms(300));
    }
    stage.heal_and_end();
    let dead = stage.marks.count(Mark::HandedToTheDead) + stage.marks.count(Mark::DeadSkipped);
    assert!(dead > 0, "{}", stage.marks);
}

#[test]
fn a_process_that_stands_still_at_its_turn_does_not_act_too_late() {
    let mut stage = crowded(26);
    for _ in 0..8 {
        let client = next_hand_off(&mut stage);
        stage.fault(Fault::Pause, Some(client), None);
        stage.pause(client);
        stage.run(MAX_TTL + ms(300));
        stage.resume(client);
        stage.mended(Fault::Pause, Some(client), None);
        let grants = grants_within(&mut stage, secs(1));
        assert!(grants > 0);
    }
    stage.heal_and_end();
}

#[test]
fn a_node_that_restarts_serves_the_waiting_again() {
    for memory in [Memory::Kept, Memory::Lost] {
        let mut stage = crowded(27);
        for _ in 0..4 {
            next_hand_off(&mut stage);
            stage.fault(Fault::CrashEmpty, None, Some(0));
            stage.crash_node(0);
            stage.run(ms(200));
            stage.start_node(0, &memory);
            stage.mended(Fault::CrashEmpty, None, Some(0));
            let grants = grants_within(&mut stage, secs(3));
            assert!(grants > 0, "{memory:?}");
        }
        stage.heal_and_end();
        assert!(stage.pushes().0 > 20, "{memory:?}");
    }
}
