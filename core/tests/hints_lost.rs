//! Waiting over several nodes where hints, replies, releases and links fail or come in another
//! order: nobody sleeps while the lock is free, and nothing is told that is not so.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{World, at, id, key, ms, secs};
use tenure_core::{
    Doubt, EventKind, LeaseId, LeaseOptions, OpKind, Refusal, Release, Reply, Words,
};

/// Far less than a renewal interval.
const SOON: Duration = ms(300);

/// The holder gives the lock back at all nodes, which answer at once.
fn gives_back(world: &mut World, holder: LeaseId) {
    world.manager.release(world.now, holder);
    for node in 0..world.nodes.len() {
        world.write(node);
        while !world.wire[node].is_empty() {
            let (request, answer) = world.apply(node);
            world.reply(request, Reply::Applied(answer));
        }
    }
}

fn outcome(world: &mut World) -> Release {
    let events = world.events();
    let told = events.iter().find_map(|event| match event {
        EventKind::Released { outcome } => Some(outcome.clone()),
        _ => None,
    });
    told.unwrap_or_else(|| panic!("expected Released, got {events:?}"))
}

/// The link reads the answers and what is pushed behind them together, and passes the pushes first.
#[test]
fn a_hint_told_before_the_older_answers_ends_the_pause_behind_them() {
    let mut world = World::hinting(3);
    let holder = world.acquire("k");
    world.withhold([0, 1, 2]);
    let waiter = world.acquire("k");
    let answers: Vec<_> = (0..3).map(|node| world.apply(node)).collect();
    gives_back(&mut world, holder);
    for (request, answer) in answers {
        world.reply(request, Reply::Applied(answer));
    }
    world.resume([0, 1, 2]);
    world.advance(SOON);
    assert!(world.may_act(waiter));
}

#[test]
fn who_was_granted_at_a_quorum_and_is_dropped_before_it_knows_hints() {
    for attempts in [Some(1), None] {
        let mut world = World::hinting(3);
        world.withhold([0, 1, 2]);
        let dropped = world.acquire_with("k", LeaseOptions::builder().attempts(attempts));
        let answers: Vec<_> = (0..3).map(|node| world.apply(node)).collect();
        world.resume([0, 1, 2]);
        let waiter = world.joins();
        world.cancel(dropped);
        for (request, answer) in answers {
            world.reply(request, Reply::Applied(answer));
        }
        world.pump();
        world.advance(SOON);
        assert!(world.may_act(waiter), "{attempts:?}");
    }
}

#[test]
fn who_comes_while_the_lock_is_kept_for_one_that_does_not_ask_asks_soon() {
    let mut world = World::hinting(3);
    let holder = world.acquire("k");
    for _ in 0..3 {
        world.joins();
    }
    world.pushed_at_once = false;
    world.release(holder);
    // All hints are lost.
    world
        .pushes
        .iter_mut()
        .for_each(std::collections::VecDeque::clear);
    world.joins();
    world.advance(SOON);
    let held = world.nodes[0].lock(world.now, &key("k"));
    assert!(held.is_some_and(|(_, until)| until > world.now + secs(5)));
}

#[test]
fn links_that_return_within_an_attempt_make_the_next_pause_short() {
    let mut world = World::hinting(3);
    let holder = world.acquire("k");
    world.withhold([0, 1, 2]);
    let waiter = world.acquire("k");
    world.deliver(0);
    world.deliver(1);
    world.pushed_at_once = false;
    world.manager.release(world.now, holder);
    for node in 0..3 {
        world.write(node);
    }
    for node in 0..2 {
        while !world.wire[node].is_empty() {
            world.deliver(node);
        }
        // What it pushed is lost with the connection.
        world.pushes[node].clear();
        world.manager.handle_node_up(world.now, id(node), None);
    }
    world.timeout();
    world.resume([0, 1, 2]);
    world.pushes[2].clear();
    world.advance(SOON);
    assert!(world.may_act(waiter));
}

/// The node had forgotten the lease, which was repaired, and now it counts.
// Law: Exclusion
#[test]
fn the_release_of_a_place_that_lands_late_frees_no_copy_of_the_lock() {
    let mut world = World::hinting(3);
    world.held_by(2, 100, secs(3));
    let lease = world.joins();
    assert!(world.may_act(lease));
    assert_eq!(world.nodes[2].places(&key("k")), 1);
    world.withhold([2]);
    world.advance_to(at(ms(6_700)));
    assert_eq!(world.waiting(2), [OpKind::Release]);
    let late = world.wire[2].pop_front().unwrap();
    world.reply(late.id, Reply::Unknown(Doubt::Silent));
    world.resume([2]);
    world.advance_to(at(ms(13_400)));
    assert!(world.holds(2, "k"), "it was repaired");
    world.wire[2].push_front(late);
    world.apply(2);
    assert!(world.holds(2, "k"));
}

#[test]
fn a_node_that_refuses_to_remove_a_place_is_not_asked_again() {
    let mut world = World::hinting(3);
    world.acquire("k");
    let waiter = world.joins();
    world.withhold([2]);
    world.cancel(waiter);
    world.refuse(2, Refusal::Rejected(Words::fixed("NOPERM no")));
    world.advance(secs(5));
    assert!(world.waiting(2).is_empty(), "{:?}", world.waiting(2));
}

/// It has a copy at two of three nodes, and a place at the third.
fn placed_at_the_third(span: Duration) -> (World, LeaseId) {
    let mut world = World::hinting(3);
    world.held_by(2, 100, span);
    let lease = world.joins();
    assert!(world.may_act(lease));
    world.events();
    (world, lease)
}

// Law: Loss is told
#[test]
fn a_node_that_has_a_place_only_decides_no_release() {
    let (mut world, lease) = placed_at_the_third(secs(60));
    world.nodes[1].delete(&key("k"));
    world.down(2);
    world.release(lease);
    assert!(matches!(outcome(&mut world), Release::Lost(_)));
    let (mut world, lease) = placed_at_the_third(secs(60));
    world.nodes[1].delete(&key("k"));
    world.release(lease);
    assert!(matches!(outcome(&mut world), Release::Lost(_)));
}

// Law: Loss is told
#[test]
fn a_node_that_keeps_the_lock_for_a_hint_has_no_copy_to_release() {
    let (mut world, lease) = placed_at_the_third(secs(3));
    let other = world.joins();
    world.advance(ms(3_100));
    // That one leaves the line where the lock is free, so the node keeps it for the first.
    world.cancel(other);
    assert!(world.holds(2, "k"));
    world.nodes[1].delete(&key("k"));
    world.events();
    // What the third deletes is told first.
    world.withhold([1]);
    world.release(lease);
    world.resume([1]);
    assert!(matches!(outcome(&mut world), Release::Lost(_)));
}

/// The renewal had asked for it, and it is answered after the owner's release.
// Law: Loss is told
#[test]
fn the_removal_of_a_place_is_no_answer_to_the_release_of_the_lease() {
    let mut world = World::hinting(3);
    // It is granted in its second attempt, so the node keeps the lock with an older token.
    for (node, span) in [(0, secs(1)), (1, secs(1)), (2, secs(3))] {
        world.held_by(node, 100, span);
    }
    let lease = world.joins();
    world.advance(ms(1_500));
    assert!(world.may_act(lease));
    let other = world.joins();
    world.advance(ms(1_600));
    world.cancel(other);
    assert!(world.holds(2, "k"));
    world.withhold([1, 2]);
    world.renew(lease);
    assert_eq!(world.waiting(2), [OpKind::Release]);
    world.nodes[1].delete(&key("k"));
    world.events();
    world.release(lease);
    world.resume([2]);
    let told = world.events();
    let released = EventKind::Released {
        outcome: Release::Released,
    };
    assert!(!told.contains(&released), "{told:?}");
    world.resume([1]);
}

#[test]
fn the_first_in_line_does_not_ask_at_the_pace_of_a_short_ttl() {
    let mut world = World::hinting(3);
    world.acquire_with("k", LeaseOptions::builder().ttl(ms(100)));
    world.joins();
    let asked = |world: &World| world.ops(0).iter().filter(|kind| kind.acquires()).count();
    let before = asked(&world);
    world.advance(secs(10));
    let often = asked(&world) - before;
    assert!(often <= 12, "{often} in 10 s");
}
