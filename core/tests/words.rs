//! The last words of a node that did not serve: they are kept until the failure is told, and
//! "it did not answer" is said of a node only where nothing came but time.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{World, at, cannot_serve, down, id, key, ms, said, secs, silence};
use tenure_core::{
    AcquireFailure, Answer, EventKind, Instant, LeaseId, LeaseOptions, LeaseOptionsBuilder, OpKind,
    Refusal, Release, RenewalFailure, Reply, Silence, Words,
};

fn once() -> LeaseOptionsBuilder {
    LeaseOptions::builder().attempts(Some(1))
}

/// The nodes that an outage names, whatever it was that failed.
fn silent(world: &mut World) -> Vec<Silence> {
    match world.event() {
        EventKind::Failed {
            cause: AcquireFailure::Outage { silent },
            ..
        }
        | EventKind::Suspect {
            cause: RenewalFailure::Outage { silent },
            ..
        }
        | EventKind::Released {
            outcome: Release::Unknown { silent },
        } => silent,
        other => panic!("no outage: {other:?}"),
    }
}

fn held(nodes: usize) -> (World, LeaseId) {
    let mut world = World::new(nodes);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
    world.events();
    world.advance(ms(1));
    (world, lease)
}

#[test]
fn a_node_that_is_down_is_told_with_the_reason_by_every_operation() {
    for nodes in [1, 3] {
        let (mut world, lease) = held(nodes);
        let all: Vec<_> = (0..nodes).map(|node| said(node, down())).collect();
        for node in 0..nodes {
            world.down(node);
        }
        world.acquire_with("other", once());
        assert_eq!(silent(&mut world), all);
        world.renew(lease);
        assert_eq!(silent(&mut world), all);
        world.release(lease);
        world.advance(secs(4));
        assert_eq!(silent(&mut world), all);
    }
}

/// What waits for a connection when the node goes down was never sent.
#[test]
fn what_was_queued_at_a_node_that_goes_down_fails_with_the_reason() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    let silenced = |world: &mut World| {
        world.manager.handle_node_down(world.now, id(0), down());
        world.pump();
        assert_eq!(silent(world), [said(0, down())]);
        world.manager.handle_node_up(world.now, id(0), None);
    };
    world.manager.renew(world.now, lease);
    silenced(&mut world);
    let options = once().build(world.manager.config()).unwrap();
    let secret = tenure_core::Secret::new([9; 16]);
    world
        .manager
        .acquire(world.now, key("other"), secret, options.into())
        .unwrap();
    silenced(&mut world);
}

/// By the time it is told, the node is up again: its state of now says nothing.
#[test]
fn the_reason_of_a_round_is_kept_when_giving_up_cuts_the_next_one_short() {
    let mut world = World::new(1);
    world.down(0);
    world.acquire_with("k", LeaseOptions::builder().give_up_after(Some(ms(60))));
    let EventKind::Waiting { until, .. } = world.event() else {
        panic!("the node is down");
    };
    world.withhold([0]);
    world.manager.handle_node_up(world.now, id(0), None);
    assert!(until < at(ms(60)), "the next round begins");
    world.advance(ms(60));
    assert_eq!(silent(&mut world), [said(0, down())]);
}

#[test]
fn each_node_is_told_with_its_own_words_and_the_late_one_without() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    world.acquire_with("k", once());
    world.refuse(0, cannot_serve());
    let moved = Words::fixed("MOVED 1 b:1");
    world.refuse(1, Refusal::Unavailable(moved.clone()));
    let Refusal::Unavailable(loading) = cannot_serve() else {
        panic!("it may serve later");
    };
    world.advance(secs(1));
    // The third may still answer when the round is lost.
    assert_eq!(silent(&mut world), [said(0, loading), said(1, moved)]);

    world.acquire_with("l", once());
    world.advance(secs(5));
    let silent = silent(&mut world);
    assert_eq!(silent, [silence(0), silence(1), silence(2)]);
}

/// Three nodes, of which two granted and one drew the larger fence: the other is asked to store it.
#[test]
fn a_copy_that_is_lost_before_the_fence_is_stored_is_no_late_answer() {
    for (answer, words) in [
        (
            Answer::Gone,
            "its copy vanished before the fence was stored",
        ),
        (
            Answer::Taken,
            "its copy was replaced before the fence was stored",
        ),
    ] {
        let mut world = World::new(3);
        world.nodes[1].wall_ahead = 5_000;
        world.down(2);
        world.withhold([0]);
        world.acquire_with("k", once());
        world.deliver(0);
        world.pump();
        assert_eq!(world.waiting(0), [OpKind::Confirm]);
        let confirm = world.wire[0].pop_front().unwrap();
        world.resume([0]);
        world.reply(confirm.id, Reply::Applied(answer.clone()));
        let told = silent(&mut world);
        assert_eq!(told[0], said(0, Words::fixed(words)), "{answer:?}");
    }
}

#[test]
fn what_is_undone_each_time_it_is_mended_is_said_to_be() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    while world.waiting(0) == [OpKind::Acquire] {
        world.refuse(0, Refusal::Again);
    }
    let words = Words::fixed("what was mended there was undone each time");
    assert_eq!(silent(&mut world), [said(0, words)]);
    assert_eq!(world.now, Instant::ORIGIN, "and no time has passed");
}

/// The renewal is asked again no more, since the release behind it takes its place.
#[test]
fn what_was_not_asked_again_is_not_said_to_be_undone_each_time() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.renew(lease);
    world.release(lease);
    world.refuse(0, Refusal::Again);
    world.advance(secs(4));
    assert_eq!(silent(&mut world), [silence(0)]);
}
