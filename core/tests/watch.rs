//! Being told of a loss at once: which nodes watch a key, and what a lease does when one of them
//! says that somebody has touched it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{RENEW_AFTER, World, id, key, ms};
use tenure_core::{EventKind, LeaseId, Loss, OpKind, Reply};

/// A lease that is held and watched, before any renewal.
fn watched(nodes: usize) -> (World, LeaseId) {
    let mut world = World::new(nodes);
    let lease = world.acquire("k");
    watch(&mut world, lease, true);
    world.events();
    (world, lease)
}

fn watch(world: &mut World, lease: LeaseId, watched: bool) {
    world.manager.watch(world.now, lease, watched);
    world.pump();
}

/// A node says that somebody has touched the key.
fn doubt(world: &mut World, node: usize, lease: LeaseId) {
    world.manager.handle_doubt(world.now, id(node), lease);
    world.pump();
}

fn count(world: &World, node: usize, kind: OpKind) -> usize {
    let of_it = world.ops(node).into_iter().filter(|other| *other == kind);
    of_it.count()
}

#[test]
fn nothing_is_paid_by_who_does_not_ask() {
    let mut world = World::new(1);
    world.acquire("k");
    world.advance(RENEW_AFTER * 3);
    assert_eq!(count(&world, 0, OpKind::Watch), 0);
}

#[test]
fn a_watched_lease_costs_a_read_after_the_grant_and_behind_each_renewal() {
    let (mut world, _) = watched(1);
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Watch]);
    world.advance(RENEW_AFTER + ms(20));
    assert_eq!(world.ops(0)[2..], [OpKind::Renew, OpKind::Watch]);
}

#[test]
fn a_lease_that_is_watched_before_it_is_granted_is_watched_from_then_on() {
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire("k");
    watch(&mut world, lease, true);
    assert_eq!(count(&world, 0, OpKind::Watch), 0);
    world.resume([0]);
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Watch]);
}

#[test]
fn a_deletion_is_told_as_soon_as_the_node_says_that_the_key_was_touched() {
    let (mut world, lease) = watched(1);
    world.nodes[0].delete(&key("k"));
    doubt(&mut world, 0, lease);
    assert_eq!(world.event(), EventKind::Lost { loss: Loss::Gone });
}

#[test]
fn what_a_watch_finds_missing_is_asked_about_by_a_renewal() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.events();
    world.nodes[0].delete(&key("k"));
    watch(&mut world, lease, true);
    let asked = [OpKind::Acquire, OpKind::Watch, OpKind::Renew];
    assert_eq!(world.ops(0)[..3], asked);
    assert_eq!(world.event(), EventKind::Lost { loss: Loss::Gone });
}

#[test]
fn after_a_doubt_that_was_none_the_next_watch_follows_the_next_renewal() {
    let (mut world, lease) = watched(1);
    world.advance(ms(100));
    doubt(&mut world, 0, lease);
    assert!(world.may_act(lease));
    assert_eq!(world.ops(0)[2..], [OpKind::Renew], "and no watch behind it");
    world.advance(RENEW_AFTER + ms(20));
    assert_eq!(world.ops(0)[3..], [OpKind::Renew, OpKind::Watch]);
}

#[test]
fn doubts_that_follow_each_other_ask_once() {
    let (mut world, lease) = watched(1);
    for _ in 0..10 {
        world.advance(ms(10));
        doubt(&mut world, 0, lease);
    }
    assert_eq!(count(&world, 0, OpKind::Renew), 1);
}

#[test]
fn doubts_of_all_leases_ask_once_in_a_request_timeout() {
    let (mut world, _) = watched(1);
    for _ in 0..30 {
        world.manager.handle_doubt_of_all(world.now, id(0));
        world.pump();
        world.advance(ms(100));
    }
    let asked = count(&world, 0, OpKind::Renew);
    assert!((2..=4).contains(&asked), "{asked} times in three seconds");
}

#[test]
fn a_doubt_of_one_of_several_nodes_asks_that_node_alone() {
    let (mut world, lease) = watched(3);
    doubt(&mut world, 1, lease);
    let asked: Vec<_> = (0..3)
        .map(|node| count(&world, node, OpKind::Renew))
        .collect();
    assert_eq!(asked, [0, 1, 0]);
    assert!(world.may_act(lease));
}

#[test]
fn a_node_that_doubts_all_leases_is_asked_about_each() {
    let mut world = World::new(1);
    let leases: Vec<_> = (0..600).map(|i| world.acquire(&i.to_string())).collect();
    watch(&mut world, leases[0], true);
    world.events();
    world.nodes[0].forget();
    let now = world.now;
    world.manager.handle_doubt_of_all(now, id(0));
    world.advance_to(now);
    let lost = EventKind::Lost { loss: Loss::Gone };
    let told = world.events().into_iter().filter(|event| *event == lost);
    assert_eq!(told.count(), leases.len());
}

#[test]
fn a_new_connection_watches_again() {
    let (mut world, _) = watched(1);
    world.down(0);
    world.up(0);
    world.timeout();
    assert_eq!(world.ops(0)[2..], [OpKind::Watch]);
}

#[test]
fn a_lease_that_is_not_watched_any_more_asks_for_nothing() {
    let (mut world, lease) = watched(1);
    watch(&mut world, lease, false);
    world.advance(RENEW_AFTER * 2);
    assert_eq!(count(&world, 0, OpKind::Watch), 1);
}

#[test]
fn a_watch_whose_answer_is_lost_is_made_up_for_behind_the_next_renewal() {
    let (mut world, lease) = watched(1);
    watch(&mut world, lease, false);
    world.withhold([0]);
    watch(&mut world, lease, true);
    world.break_connection(0);
    assert_eq!(world.waiting(0), []);
    assert!(world.may_act(lease));
    world.resume([0]);
    world.advance(RENEW_AFTER + ms(20));
    assert_eq!(world.ops(0)[3..], [OpKind::Renew, OpKind::Watch]);
}

/// What is written when a node comes up at which the last renewal had no answer.
fn asked_at_up(mut world: World, lease: LeaseId) -> Vec<OpKind> {
    world.lose_reply(0);
    assert!(matches!(world.event(), EventKind::Suspect { .. }));
    let before = world.ops(0).len();
    world.up(0);
    world.timeout();
    world.resume([0]);
    assert!(world.may_act(lease));
    world.ops(0)[before..].to_vec()
}

#[test]
fn a_renewal_that_failed_is_tried_again_before_the_node_is_asked_to_watch() {
    let (mut world, lease) = watched(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER + ms(20));
    let asked = asked_at_up(world, lease);
    assert_eq!(asked, [OpKind::Renew, OpKind::Watch]);
}

#[test]
fn so_it_is_if_a_watch_had_to_wait_for_the_renewal_that_failed() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.events();
    world.withhold([0]);
    world.advance(RENEW_AFTER + ms(20));
    watch(&mut world, lease, true);
    let asked = asked_at_up(world, lease);
    assert_eq!(asked, [OpKind::Renew, OpKind::Watch]);
}

/// The link tells pushes before answers that it has read with them.
#[test]
fn a_doubt_that_is_told_before_the_answer_of_the_watch_is_not_forgotten() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.withhold([0]);
    watch(&mut world, lease, true);
    let (watched, said) = world.apply(0);
    world.nodes[0].delete(&key("k"));
    doubt(&mut world, 0, lease);
    world.events();
    world.resume([0]);
    world.reply(watched, Reply::Applied(said));
    assert_eq!(world.event(), EventKind::Lost { loss: Loss::Gone });
}

#[test]
fn a_node_that_doubts_all_leases_all_the_time_is_asked_about_each_in_turn() {
    let mut world = World::new(1);
    let leases: Vec<_> = (0..1_000).map(|i| world.acquire(&i.to_string())).collect();
    world.nodes[0].forget();
    for _ in 0..20 {
        world.manager.handle_doubt_of_all(world.now, id(0));
        world.timeout();
        world.now = world.now + ms(1);
    }
    assert!(leases.iter().all(|lease| !world.may_act(*lease)));
}
