//! Waiting for a key that somebody else holds: how long the pauses between the attempts are.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{World, at, cannot_serve, key, ms, secs};
use tenure_core::{Backoff, EventKind, LeaseOptions, Secret, Token};

/// Somebody else holds the key at this node: the lease of this number, in this attempt.
fn held_by(world: &mut World, node: usize, lease: u8, attempt: u32) {
    let token = Token {
        label: None,
        secret: Secret::new([lease; 16]),
        attempt,
    };
    world.nodes[node].put(&key("k"), &token, at(secs(3_600)));
}

/// The pause that begins now.
fn pause(world: &mut World) -> Duration {
    match world.event() {
        EventKind::Waiting { until, .. } => until.saturating_since(world.now),
        other => panic!("expected Waiting, got {other:?}"),
    }
}

/// So many pauses in a row. Before the round behind each, the world is changed.
fn pauses(world: &mut World, count: u8, mut change: impl FnMut(&mut World, u8)) -> Vec<Duration> {
    let mut pauses = Vec::new();
    for round in 0..count {
        pauses.push(pause(world));
        change(world, round);
        world.advance(pauses[usize::from(round)]);
    }
    pauses
}

/// A world in which lease 200 holds the key at every node, and somebody waits for it.
fn waiting(nodes: usize, options: tenure_core::LeaseOptionsBuilder) -> World {
    let mut world = World::new(nodes);
    for node in 0..nodes {
        held_by(&mut world, node, 200, 1);
    }
    world.acquire_with("k", options);
    world
}

#[test]
fn while_one_holds_the_key_a_waiter_asks_several_times_a_second() {
    let mut world = waiting(1, LeaseOptions::builder());
    let pauses = pauses(&mut world, 40, |_, _| {});
    assert!(pauses[0] <= ms(25), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= ms(250)), "{pauses:?}");
    assert!(pauses[10..].iter().all(|pause| *pause >= ms(125)));
}

/// The lease may be gone from the manager by then.
#[test]
fn each_event_says_how_many_attempts_its_lease_has_begun() {
    let options = LeaseOptions::builder().give_up_after(Some(secs(1)));
    let mut world = waiting(1, options);
    world.advance(secs(1));
    let told: Vec<_> = world.told.iter().map(|(_, event)| event).collect();
    let (last, waits) = told.split_last().expect("it gave up");
    assert!(matches!(last.kind, EventKind::Failed { gave_up: true, .. }));
    assert!(waits.len() > 3, "{told:?}");
    // Each round that failed is an attempt. It gave up in the pause behind the last.
    for (number, event) in (1..).zip(waits) {
        assert!(matches!(event.kind, EventKind::Waiting { .. }));
        assert_eq!(event.attempts, number);
    }
    assert_eq!(last.attempts as usize, waits.len());
    assert!(world.manager.lease(last.lease).is_none());
}

/// An outage is no storm: its pauses grow as the options say, though those of contention do not.
#[test]
fn while_no_node_serves_the_pauses_grow_to_their_longest() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire("k");
    let refuse = |world: &mut World| world.refuse(0, cannot_serve());
    refuse(&mut world);
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let pause = pause(&mut world);
        longest = longest.max(pause);
        world.advance(pause);
        refuse(&mut world);
    }
    assert!(longest > ms(500) && longest <= secs(1), "{longest:?}");
}

#[test]
fn pauses_that_are_set_for_contention_are_kept_and_short_ones_too() {
    let long = Backoff::new(secs(2), secs(4));
    let short = Backoff::new(ms(3), ms(12));
    let options = LeaseOptions::builder;
    for (options, least, most) in [
        (options().contention_backoff(Some(long)), secs(2), secs(4)),
        (options().backoff(short), ms(6), ms(12)),
        (options().backoff(long), ms(125), ms(250)),
        (
            options().backoff(long).contention_backoff(Some(short)),
            ms(6),
            ms(12),
        ),
    ] {
        let mut world = waiting(1, options.clone());
        let pauses = pauses(&mut world, 12, |_, _| {});
        let in_the_end = &pauses[8..];
        assert!(
            in_the_end
                .iter()
                .all(|pause| (least..=most).contains(pause)),
            "{options:?}: {pauses:?}"
        );
    }
}

/// The key was free in between, and will be again soon.
#[test]
fn a_round_after_which_the_key_has_changed_hands_makes_no_pause_longer() {
    for nodes in [1, 3] {
        let mut world = waiting(nodes, LeaseOptions::builder());
        let pauses = pauses(&mut world, 100, |world, round| {
            for node in 0..nodes {
                held_by(world, node, round, 1);
            }
        });
        assert!(pauses.iter().all(|pause| *pause <= ms(25)), "{pauses:?}");
    }
}

/// Another attempt of the same lease is no other holder.
#[test]
fn a_holder_that_stays_the_same_lets_the_pauses_grow() {
    for nodes in [1, 3] {
        let mut world = waiting(nodes, LeaseOptions::builder());
        let pauses = pauses(&mut world, 20, |world, round| {
            for node in 0..nodes {
                held_by(world, node, 200, 2 + u32::from(round));
            }
        });
        let grown = pauses[8..].iter().all(|pause| *pause >= ms(125));
        assert!(grown, "{pauses:?}");
    }
}

/// If nobody has a quorum, the rivals must drift apart: short pauses would keep them together.
#[test]
fn rivals_who_share_the_nodes_let_the_pauses_grow() {
    let mut world = World::new(3);
    let share = |world: &mut World, round: u8| {
        for node in 0..3 {
            held_by(world, node, 3 * round + node as u8, 1);
        }
    };
    share(&mut world, 50);
    world.acquire("k");
    let pauses = pauses(&mut world, 20, share);
    let grown = pauses[8..].iter().all(|pause| *pause >= ms(125));
    assert!(grown, "{pauses:?}");
}
