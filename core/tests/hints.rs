//! Waiting over several nodes: places, hints, and what happens where they fail.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{World, at, id, key, ms, secs};
use tenure_core::{
    Doubt, EventKind, Instant, LeaseId, LeaseOptions, LeaseOptionsBuilder, Op, OpKind, Release,
    Reply,
};

/// After how long a place is kept again.
const KEEP_AFTER: Duration = support::RENEW_AFTER;
/// Within which one that is hinted asks.
const SOON: Duration = ms(5);

/// For how long a lock is kept for one that is hinted.
const MOMENT: Duration = ms(50);

/// A world in which the first lease holds the key, and so many wait for it.
fn waiting(nodes: usize, count: usize) -> (World, LeaseId, Vec<LeaseId>) {
    let mut world = World::hinting(nodes);
    world.judged = true;
    let holder = world.acquire("k");
    let waiters = (0..count).map(|_| world.joins()).collect();
    world.events();
    (world, holder, waiters)
}

fn places(world: &World) -> Vec<usize> {
    let nodes = world.nodes.iter();
    nodes.map(|node| node.places(&key("k"))).collect()
}

/// How often this was asked of all nodes.
fn count(world: &World, kind: OpKind) -> usize {
    let nodes = 0..world.nodes.len();
    nodes
        .flat_map(|node| world.ops(node))
        .filter(|other| *other == kind)
        .count()
}

/// How many attempts were made: the first node is asked in each.
fn attempts(world: &World) -> usize {
    let asked = world.ops(0);
    asked.iter().filter(|kind| kind.acquires()).count()
}

/// The pushes that are on their way are lost.
fn lose_pushes(world: &mut World) {
    for pushes in &mut world.pushes {
        pushes.clear();
    }
}

/// When the next attempt begins.
fn next(world: &mut World) -> Instant {
    let events = world.events();
    let until = events.iter().rev().find_map(|event| match event {
        EventKind::Waiting { until, .. } => Some(*until),
        _ => None,
    });
    until.unwrap_or_else(|| panic!("expected Waiting, got {events:?}"))
}

fn options() -> LeaseOptionsBuilder {
    LeaseOptions::builder()
}

/// The releases that were written, each with whether it hints.
fn hints(world: &World) -> Vec<bool> {
    let written = world
        .written
        .iter()
        .filter_map(|(_, request)| match request.op {
            Op::Release { hints, .. } => Some(hints),
            _ => None,
        });
    written.collect()
}

#[test]
fn who_finds_the_lock_held_has_a_place_at_each_node() {
    let (mut world, _, _) = waiting(3, 1);
    assert_eq!(places(&world), [1, 1, 1]);
    world.joins();
    assert_eq!(places(&world), [2, 2, 2]);
}

#[test]
fn who_waits_asks_at_the_pace_of_renewals() {
    let (mut world, _, _) = waiting(3, 1);
    let before = attempts(&world);
    world.advance(KEEP_AFTER - ms(1));
    assert_eq!(attempts(&world), before);
    world.advance(ms(2));
    assert_eq!(attempts(&world), before + 1);
    assert_eq!(places(&world), [1, 1, 1], "each is kept");
}

#[test]
fn a_release_lets_the_first_in_line_ask_within_5_ms() {
    let (mut world, holder, waiters) = waiting(3, 2);
    world.release(holder);
    world.advance(SOON);
    assert!(world.may_act(waiters[0]));
    world.release(waiters[0]);
    world.advance(SOON);
    assert!(world.may_act(waiters[1]));
    world.release(waiters[1]);
    assert!(!world.is_locked("k"));
    assert_eq!(places(&world), [0, 0, 0]);
}

#[test]
fn among_twenty_a_grant_costs_little_more_than_without_rivals() {
    let (mut world, holder, mut waiters) = waiting(5, 20);
    let before = world.written.len();
    let mut granted = 1;
    world.release(holder);
    while !waiters.is_empty() && granted < 100 {
        world.advance(SOON);
        if let Some(at) = waiters.iter().position(|lease| world.may_act(*lease)) {
            granted += 1;
            world.release(waiters.remove(at));
        }
    }
    assert_eq!(granted, 21);
    // Five acquires and five releases each, and as many for those who asked in vain.
    let each = (world.written.len() - before) / 20;
    assert!(each <= 25, "{each} requests for each grant");
}

#[test]
fn where_too_few_nodes_can_hint_it_asks_by_backoff() {
    let mut world = World::hinting(3);
    for node in [0, 2] {
        world.manager.handle_node_pushes(id(node), false);
    }
    world.acquire("k");
    world.acquire("k");
    let until = next(&mut world);
    assert!(until <= at(ms(250)), "{until:?}");
}

/// With one, it would be another place.
#[test]
fn a_place_that_was_entered_without_a_channel_gets_none_later() {
    let (mut world, _, _) = waiting(3, 0);
    world.manager.handle_node_pushes(id(0), false);
    world.joins();
    world.manager.handle_node_pushes(id(0), true);
    world.advance(KEEP_AFTER + secs(1));
    let written = world.written.iter();
    let pushed: Vec<_> = written
        .filter_map(|(_, request)| match request.op {
            Op::Acquire { place, .. } if request.id.node == id(0) => Some(place?.pushed),
            _ => None,
        })
        .skip(1)
        .collect();
    assert!(pushed.len() > 1, "it was kept");
    assert!(!pushed.contains(&true));
}

#[test]
fn while_rivals_share_the_nodes_it_asks_by_backoff() {
    let mut world = World::hinting(3);
    for node in 0..3 {
        world.held_by(node, 100 + node as u8, secs(60));
    }
    world.joins();
    assert_eq!(places(&world), [1, 1, 1]);
    let until = next(&mut world);
    assert!(until <= at(ms(250)), "nobody has the lock: {until:?}");
}

#[test]
fn a_failed_round_stays_in_line_where_it_was_granted_and_hints_nobody() {
    let mut world = World::hinting(3);
    world.held_by(0, 100, secs(60));
    world.held_by(1, 100, secs(60));
    let lease = world.joins();
    assert_eq!(count(&world, OpKind::Stay), 1);
    assert!(hints(&world).is_empty());
    assert!(!world.holds(2, "k"));
    assert_eq!(places(&world), [1, 1, 1]);
    // The one that has it is hinted by all.
    assert!(next(&mut world) > at(secs(6)));
    world.cancel(lease);
    assert_eq!(places(&world), [0, 0, 0]);
}

#[test]
fn what_is_hinted_during_an_attempt_costs_one_more_if_it_fails() {
    let (mut world, holder, _) = waiting(3, 1);
    world.pushed_at_once = false;
    world.release(holder);
    // Somebody who has no place is quicker.
    for node in 0..3 {
        world.held_by(node, 100, secs(60));
    }
    world.withhold(0..3);
    assert!(world.push(0));
    world.advance(SOON);
    let asked = attempts(&world);
    assert_eq!(asked, 3, "the holder's, the first, and by the hint");
    assert!(world.push(1) && world.push(2));
    world.resume(0..3);
    world.advance(secs(1));
    assert_eq!(attempts(&world), asked + 1);
}

#[test]
fn who_was_hinted_is_before_one_who_comes_by_chance() {
    let (mut world, holder, waiters) = waiting(3, 1);
    world.pushed_at_once = false;
    world.release(holder);
    let newcomer = world.joins();
    assert!(!world.may_act(newcomer));
    for node in 0..3 {
        assert!(world.push(node));
    }
    world.advance(SOON);
    assert!(world.may_act(waiters[0]));
}

#[test]
fn who_was_hinted_goes_to_the_end_of_the_line() {
    let (mut world, holder, waiters) = waiting(3, 2);
    world.pushed_at_once = false;
    world.release(holder);
    // The hints are lost, and somebody comes who has no place.
    lose_pushes(&mut world);
    world.advance(MOMENT);
    world.pushed_at_once = true;
    let newcomer = world.acquire("k");
    assert!(world.may_act(newcomer));
    world.release(newcomer);
    world.advance(SOON);
    assert!(world.may_act(waiters[1]));
}

/// The lock was held when the nodes answered, and is given back while the others still answer: by
/// then the round has failed, or not.
#[test]
fn a_hint_that_comes_during_an_attempt_makes_the_next_pause_short() {
    for answered in [2, 3] {
        let (mut world, holder, _) = waiting(5, 0);
        world.withhold([2, 3, 4]);
        let waiter = world.acquire("k");
        for node in 2..answered {
            world.deliver(node);
        }
        world.pushed_at_once = false;
        world.release(holder);
        assert!(world.push(0));
        world.resume([2, 3, 4]);
        // It is the only one.
        lose_pushes(&mut world);
        world.advance(SOON);
        assert!(world.may_act(waiter), "{answered} had answered");
    }
}

#[test]
fn however_many_nodes_hint_a_pause_ends_once() {
    let (mut world, holder, _) = waiting(5, 1);
    let before = attempts(&world);
    world.pushed_at_once = false;
    world.release(holder);
    // Somebody who has no place is quicker.
    for node in 0..5 {
        world.held_by(node, 100, secs(60));
    }
    for node in 0..5 {
        while world.push(node) {}
    }
    world.advance(secs(1));
    assert_eq!(attempts(&world), before + 1);
}

#[test]
fn a_hint_in_vain_makes_no_later_pause_longer() {
    let mut world = World::hinting(3);
    world.manager.handle_node_pushes(id(0), false);
    world.manager.handle_node_pushes(id(1), false);
    let holder = world.acquire("k");
    world.joins();
    world.events();
    for _ in 0..10 {
        world.advance(ms(1));
        let place = world.nodes[2].place_ids(&key("k"))[0];
        world.manager.handle_hint(world.now, id(2), place);
        world.pump();
        world.advance(SOON);
    }
    let until = next(&mut world).saturating_since(world.now);
    assert!(
        until <= ms(50),
        "the second pause is at most 50 ms: {until:?}"
    );
    world.release(holder);
}

#[test]
fn who_is_dropped_leaves_its_places_in_one_trip() {
    let (mut world, _, waiters) = waiting(3, 2);
    world.cancel(waiters[0]);
    assert_eq!(places(&world), [1, 1, 1]);
    assert_eq!(count(&world, OpKind::Release), 3);
    world.advance(SOON);
    assert!(
        !world.may_act(waiters[1]),
        "and nobody asks, since the lock is held"
    );
    assert_eq!(attempts(&world), 3);
}

#[test]
fn who_was_hinted_and_is_dropped_hints_to_the_next() {
    let (mut world, holder, waiters) = waiting(3, 2);
    world.release(holder);
    world.cancel(waiters[0]);
    world.advance(SOON);
    assert!(world.may_act(waiters[1]));
}

/// The hint is on its way to it, or it was hinted before and has not asked yet.
#[test]
fn who_leaves_the_line_where_the_lock_is_free_hints_to_the_next() {
    let (mut world, holder, waiters) = waiting(3, 2);
    world.pushed_at_once = false;
    world.release(holder);
    world.cancel(waiters[0]);
    for node in 0..3 {
        while world.push(node) {}
    }
    world.advance(SOON);
    assert!(world.may_act(waiters[1]));
}

#[test]
fn a_round_of_bounded_attempts_that_fails_hints_nobody() {
    let (mut world, _, _) = waiting(3, 1);
    let before = attempts(&world);
    world.nodes[0].delete(&key("k"));
    world.judged = false;
    world.acquire_with("k", options().attempts(Some(1)));
    world.advance(SOON);
    assert_eq!(hints(&world), [false]);
    assert_eq!(attempts(&world), before + 1);
}

#[test]
fn a_lease_that_is_lost_hints_where_the_lock_is_free() {
    let (mut world, holder, waiters) = waiting(3, 1);
    for node in 0..3 {
        world.nodes[node].delete(&key("k"));
    }
    world.judged = false;
    world.renew(holder);
    world.advance(SOON);
    assert!(world.may_act(waiters[0]));
}

#[test]
fn a_place_left_where_the_lock_is_not_held_goes_with_the_first_renewal() {
    let mut world = World::hinting(3);
    world.held_by(0, 100, secs(3));
    world.held_by(1, 100, secs(3));
    world.held_by(2, 101, secs(60));
    let lease = world.acquire("k");
    world.advance(secs(4));
    assert!(world.may_act(lease));
    assert_eq!(places(&world)[2], 1);
    world.advance(KEEP_AFTER);
    assert_eq!(places(&world)[2], 0);
    assert!(world.may_act(lease));
    let first = hints(&world)[0];
    assert!(!first, "it has the lock, and nobody is to ask for it");
}

#[test]
fn a_place_left_where_the_lock_is_not_held_goes_with_the_release() {
    let mut world = World::hinting(3);
    world.held_by(0, 100, secs(3));
    world.held_by(1, 100, secs(3));
    world.held_by(2, 101, secs(60));
    let lease = world.acquire("k");
    world.advance(secs(4));
    assert!(world.may_act(lease));
    assert_eq!(places(&world)[2], 1);
    world.release(lease);
    assert_eq!(places(&world), [0, 0, 0]);
}

#[test]
fn where_a_node_comes_up_who_waits_asks_soon() {
    let (mut world, _, _) = waiting(3, 1);
    world.down(1);
    let before = attempts(&world);
    world.up(1);
    world.timeout();
    world.advance(SOON);
    assert_eq!(attempts(&world), before + 1);
}

#[test]
fn the_first_in_line_asks_when_the_time_of_the_holder_ends() {
    let mut world = World::hinting(3);
    for node in 0..3 {
        world.held_by(node, 100, secs(3));
    }
    let leases: Vec<_> = (0..4).map(|_| world.joins()).collect();
    let before = attempts(&world);
    world.advance(secs(3) + ms(30));
    let holders = leases.iter().filter(|lease| world.may_act(**lease));
    assert_eq!(holders.count(), 1);
    let asked = attempts(&world) - before;
    assert_eq!(asked, 2, "the others wait to be hinted");
}

#[test]
fn a_lease_whose_attempts_are_bounded_has_no_place() {
    let (mut world, _, _) = waiting(3, 0);
    world.acquire_with("k", options().attempts(Some(2)));
    assert_eq!(places(&world), [0, 0, 0]);
    assert_eq!(count(&world, OpKind::Stay), 0);
}

#[test]
fn a_stay_that_is_on_its_way_when_its_lease_is_dropped_leaves_no_place() {
    let mut world = World::hinting(3);
    world.held_by(0, 100, secs(60));
    world.held_by(1, 100, secs(60));
    world.withhold([0, 1, 2]);
    let lease = world.acquire("k");
    world.deliver(2);
    world.deliver(1);
    world.deliver(0);
    world.write(2);
    assert_eq!(world.waiting(2), [OpKind::Stay]);
    world.cancel(lease);
    world.resume([0, 1, 2]);
    world.advance(secs(1));
    assert_eq!(places(&world), [0, 0, 0]);
}

#[test]
fn what_is_asked_on_the_way_to_a_silent_node_leaves_no_place_either() {
    let (mut world, _, _) = waiting(3, 0);
    world.withhold([2]);
    let lease = world.acquire("k");
    world.cancel(lease);
    world.resume([2]);
    assert_eq!(places(&world), [0, 0, 0]);
}

/// Its grants are read after it was dropped, and before its releases are written.
#[test]
fn who_is_dropped_as_its_grants_are_read_hints_to_the_next() {
    let (mut world, holder, waiters) = waiting(3, 2);
    world.release(holder);
    world.withhold([0, 1, 2]);
    world.advance(SOON);
    world.manager.cancel(world.now, waiters[0]);
    (0..3).for_each(|node| world.deliver(node));
    world.resume([0, 1, 2]);
    world.advance(SOON);
    assert!(world.may_act(waiters[1]));
}

/// Who waits took it for a holder.
#[test]
fn a_try_that_is_dropped_after_a_quorum_granted_it_hints() {
    let mut world = World::hinting(3);
    world.withhold([0, 1, 2]);
    let trying = world.acquire_with("k", options().attempts(Some(1)));
    (0..3).for_each(|node| drop(world.apply(node)));
    world.resume([0, 1, 2]);
    let waiter = world.acquire("k");
    assert!(next(&mut world) > world.now + secs(6));
    world.cancel(trying);
    world.advance(SOON);
    assert!(world.may_act(waiter));
}

/// The same where its answers are lost.
#[test]
fn a_try_whose_grants_are_lost_hints() {
    let mut world = World::hinting(3);
    world.withhold([0, 1, 2]);
    world.acquire_with("k", options().attempts(Some(1)));
    let asked: Vec<_> = (0..3).map(|node| world.apply(node).0).collect();
    world.resume([0, 1, 2]);
    let waiter = world.acquire("k");
    assert!(next(&mut world) > world.now + secs(6));
    for request in asked {
        world.reply(request, Reply::Unknown(Doubt::Silent));
    }
    world.advance(SOON);
    assert!(world.may_act(waiter));
}

#[test]
fn a_place_that_is_asked_for_is_removed_behind_it_when_its_lease_ends() {
    let (mut world, _, _) = waiting(3, 0);
    world.withhold([1, 2]);
    let lease = world.acquire("k");
    world.cancel(lease);
    world.resume([1, 2]);
    assert_eq!(places(&world), [0, 0, 0]);
}

#[test]
fn a_place_is_removed_although_the_release_behind_it_was_lost() {
    let (mut world, _, _) = waiting(3, 0);
    world.withhold([1, 2]);
    let lease = world.acquire("k");
    world.cancel(lease);
    for node in [1, 2] {
        world.deliver(node);
        world.lose_request(node);
    }
    assert_eq!(places(&world), [0, 1, 1]);
    world.resume([1, 2]);
    world.advance(secs(1));
    assert_eq!(places(&world), [0, 0, 0]);
}

/// What it says that it freed is what an earlier attempt had left there.
#[test]
fn the_answer_to_a_stay_is_no_answer_to_the_release_of_the_lease() {
    let mut world = World::hinting(3);
    world.held_by(0, 100, secs(2));
    world.held_by(1, 100, secs(2));
    world.withhold(0..3);
    let lease = world.acquire("k");
    world.resume([0, 1]);
    world.advance(secs(6));
    assert!(world.may_act(lease));
    assert_eq!(world.waiting(2), [OpKind::Acquire, OpKind::Stay]);
    world.withhold([1]);
    world.events();
    world.release(lease);
    world.lose_request(1);
    assert_eq!(world.events(), []);
    world.resume([2]);
    assert_eq!(world.events(), [], "one node has freed it");
    world.resume([1]);
    world.advance(secs(1));
    let outcome = Release::Released;
    assert_eq!(world.event(), EventKind::Released { outcome });
}
