//! One fault at a time, and what it may cost. The judge watches the laws. The tests demand beside
//! it that a fault which should cost nothing costs nothing, and that one which should cost
//! something was felt.

use std::time::Duration;

use tenure_redis::Quarantine;
use tenure_sim::choice::Choices;
use tenure_sim::observe::fact::{Fact, Fault};
use tenure_sim::turmoil_net::Memory;
use tenure_tests::chaos::{Chaos, Ground as _, Way};

use crate::support::{MAX_TTL, Plan, Stage, ms, secs};

/// Three nodes whose quarantine is over, in the middle of their work.
fn settled(seed: u64) -> Stage {
    settled_as(&Plan::new(seed))
}

fn settled_as(plan: &Plan) -> Stage {
    let mut stage = Stage::new(plan);
    stage.run(MAX_TTL + ms(500));
    let clients = plan.clients;
    stage.until(secs(20), |stage| {
        (0..clients).all(|client| stage.grants(Some(client)) > 0)
    });
    stage
}

/// What happened within a span: grants and losses of one client or of all.
fn within(stage: &mut Stage, span: Duration, client: Option<usize>) -> (usize, usize) {
    let before = (stage.grants(client), stage.losses(client));
    stage.run(span);
    (
        stage.grants(client) - before.0,
        stage.losses(client) - before.1,
    )
}

#[test]
fn a_minority_that_is_cut_off_costs_nothing() {
    for way in [Way::Cut, Way::CutOut, Way::CutIn, Way::Held] {
        let mut stage = settled(1);
        for client in 0..3 {
            stage.close(client, 1, way);
        }
        let (grants, losses) = within(&mut stage, secs(6), None);
        assert!(grants >= 5, "{way:?}: {grants}");
        assert_eq!(losses, 0, "{way:?}");
        for client in 0..3 {
            stage.open(client, 1, way);
        }
        stage.heal_and_end();
    }
}

#[test]
fn a_client_that_is_cut_off_loses_what_it_holds_and_the_others_take_over() {
    for way in [Way::Cut, Way::CutOut, Way::CutIn, Way::Held] {
        let mut stage = settled(4);
        stage.until(secs(20), |stage| stage.holds(0));
        for node in 0..3 {
            stage.close(0, node, way);
        }
        // What it had sent before still comes home.
        stage.run(ms(50));
        let (granted, _) = within(&mut stage, secs(5), Some(0));
        assert_eq!(granted, 0, "{way:?}");
        assert!(stage.grants(None) > stage.grants(Some(0)), "{way:?}");
        let (others, _) = within(&mut stage, secs(3), None);
        assert!(others > 0, "{way:?}");
        for node in 0..3 {
            stage.open(0, node, way);
        }
        let (granted, _) = within(&mut stage, secs(8), Some(0));
        assert!(granted > 0, "{way:?}: it is back");
        stage.heal_and_end();
    }
}

#[test]
fn a_node_that_crashes_and_forgets_costs_nothing() {
    for memory in [Memory::Lost, Memory::Kept] {
        let mut stage = settled(3);
        stage.fault(Fault::CrashEmpty, None, Some(2));
        stage.crash_node(2);
        let (grants, losses) = within(&mut stage, secs(2), None);
        assert!(grants > 0 && losses == 0, "{memory:?}: {grants}, {losses}");
        stage.start_node(2, &memory);
        stage.mended(Fault::CrashEmpty, None, Some(2));
        let (grants, losses) = within(&mut stage, secs(3), None);
        assert!(grants > 0 && losses == 0, "{memory:?}: {grants}, {losses}");
        stage.heal_and_end();
    }
}

/// They grant nobody while the forgotten lease is valid.
#[test]
fn nodes_that_all_forget_at_once_respect_the_lease_they_forgot() {
    // The judge checks Exclusion. Here it is checked that there was something to judge.
    for power_loss in [false, true] {
        let mut stage = settled(4);
        for round in 0..4 {
            for node in 0..3 {
                stage.fault(Fault::CrashEmpty, None, Some(node));
                if power_loss {
                    // The clients are not told: their connections stay half open.
                    for client in 0..3 {
                        stage.close(client, node, Way::Cut);
                    }
                }
                stage.crash_node(node);
            }
            stage.run(ms(100 * round));
            for node in 0..3 {
                stage.start_node(node, &Memory::Lost);
                for client in 0..3 {
                    stage.open(client, node, Way::Cut);
                }
                stage.mended(Fault::CrashEmpty, None, Some(node));
            }
            let (grants, _) = within(&mut stage, secs(4), None);
            assert!(grants > 0, "{grants}");
        }
        stage.heal_and_end();
    }
}

/// It begins again.
#[test]
fn a_client_that_crashes_leaves_nothing_for_longer_than_one_ttl() {
    let mut stage = settled(5);
    for _ in 0..4 {
        stage.witness.crashes(0);
        stage.crash_client(0);
        let (grants, _) = within(&mut stage, secs(3), Some(0));
        assert_eq!(grants, 0);
        stage.start_client(0);
        stage.mended(Fault::ClientCrash, Some(0), None);
        let (grants, _) = within(&mut stage, secs(4), None);
        assert!(grants > 0);
    }
    assert!(stage.grants(Some(0)) > 0);
    stage.heal_and_end();
}

/// Its late writes are refused.
#[test]
fn a_process_that_stands_still_past_its_validity_knows_it() {
    let mut stage = settled(6);
    let refused = |fact: &Fact| {
        matches!(
            fact,
            Fact::Wrote {
                accepted: false,
                ..
            } | Fact::Read {
                accepted: false,
                ..
            }
        )
    };
    // Until somebody stood still with a write in hand.
    for client in (0..3).cycle().take(90) {
        stage.fault(Fault::Pause, Some(client), None);
        stage.pause(client);
        stage.run(MAX_TTL * 2);
        stage.resume(client);
        stage.mended(Fault::Pause, Some(client), None);
        stage.run(ms(500));
        if stage.losses(None) > 3 && stage.count(None, refused) > 0 {
            break;
        }
    }
    assert!(stage.losses(None) > 3);
    assert!(stage.count(None, refused) > 0, "somebody came too late");
    stage.heal_and_end();
}

#[test]
fn clocks_that_drift_and_step_within_the_bound_break_nothing() {
    let mut stage = settled(7);
    for (at, machine) in stage.machines.iter().enumerate() {
        machine.clock().set_drift_ppm([4_500, -4_500, 0][at]);
    }
    for (at, node) in stage.nodes.iter().enumerate() {
        node.clock().set_drift_ppm([-4_500, 4_500, 0][at]);
    }
    let (grants, losses) = within(&mut stage, secs(6), None);
    assert!(grants > 5 && losses == 0, "{grants}, {losses}");
    // Then steps alone, up to the whole drift bound of the shortest TTL.
    for machine in &stage.machines {
        machine.clock().set_drift_ppm(0);
    }
    for node in &stage.nodes {
        node.clock().set_drift_ppm(0);
    }
    let bound = MAX_TTL / 4 * 5 / 1_000;
    for round in 0..8 {
        stage.run(MAX_TTL);
        let node = stage.nodes[round % 3].clock().clone();
        match round % 2 {
            0 => node.step(bound),
            _ => node.step_back(bound),
        }
        stage.machines[round % 3].clock().step(bound);
    }
    stage.heal_and_end();
}

#[test]
fn a_server_that_stands_still_and_then_does_it_all_breaks_nothing() {
    let mut stage = settled(9);
    let before = stage.grants(None);
    for round in 0..5 {
        let server = stage.nodes[round % 3].server().clone();
        server.pause();
        stage.run(ms(1_500));
        server.resume();
        stage.run(ms(500));
    }
    assert!(stage.grants(None) > before + 5);
    assert_eq!(stage.losses_in_full(), 0);
    stage.heal_and_end();
}

#[test]
fn two_of_five_nodes_may_be_away() {
    let mut plan = Plan::new(9);
    plan.nodes = 5;
    let mut stage = settled_as(&plan);
    stage.crash_node(0);
    for client in 0..3 {
        stage.close(client, 3, Way::Cut);
    }
    let (grants, losses) = within(&mut stage, secs(5), None);
    assert!(grants > 3 && losses == 0, "{grants}, {losses}");
    stage.fault(Fault::CrashEmpty, None, Some(0));
    stage.start_node(0, &Memory::Lost);
    stage.mended(Fault::CrashEmpty, None, Some(0));
    for client in 0..3 {
        stage.open(client, 3, Way::Cut);
    }
    stage.heal_and_end();
}

#[test]
fn with_one_server_a_crash_that_forgets_nothing_costs_only_its_time() {
    let mut plan = Plan::new(10);
    plan.nodes = 1;
    plan.quarantine = Quarantine::Off;
    let mut stage = settled_as(&plan);
    for _ in 0..4 {
        stage.fault(Fault::CrashKept, None, Some(0));
        stage.crash_node(0);
        stage.run(ms(300));
        stage.start_node(0, &Memory::Kept);
        stage.mended(Fault::CrashKept, None, Some(0));
        let (grants, _) = within(&mut stage, secs(3), None);
        assert!(grants > 0);
    }
    stage.heal_and_end();
}

/// Keys are deleted under their owners, and the replies of releases are lost. The judge finds each
/// answer right, but for the one double fault that no client can see. It comes to that too.
#[test]
fn owners_whose_keys_are_deleted_may_not_know_by_one_double_fault_only() {
    let mut plan = Plan::new(12);
    plan.nodes = 1;
    plan.quarantine = Quarantine::Off;
    // Most are released before a renewal finds out.
    plan.habits.hold = ms(300);
    let mut stage = settled_as(&plan);
    let choices = Choices::from_seed(plan.seed);
    let mut chaos = Chaos::new(choices, stage.witness.clone(), ms(400)).only(Fault::Robbed);
    let until = stage.now() + secs(60);
    while stage.now() < until {
        chaos.act(stage.now(), &mut stage);
        stage.step();
    }
    chaos.heal(&mut stage);
    let checks = stage.end();
    assert!(checks.in_doubt > 0, "{checks:?}");
}
