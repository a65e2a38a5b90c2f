//! The first attempt over one node is a take. If that says too little, acquire follows.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{ROUND, VALID_FOR, World, at, key, ms, secs};
use tenure_core::{
    AcquireFailure, Config, EventKind, LeaseOptions, OpKind, Refusal, Secret, Token, Words,
};

/// A client whose first attempts are takes.
fn taking(nodes: usize) -> World {
    World::with(Config::builder(nodes).takes(true).build().unwrap(), 7)
}

/// Somebody else holds the key.
fn held(world: &mut World) {
    let token = Token {
        label: None,
        secret: Secret::new([200; 16]),
        attempt: 1,
    };
    world.nodes[0].put(&key("k"), &token, at(secs(3_600)));
}

/// When a lease was told as acquired, and until when it is valid.
fn acquired(world: &mut World) -> (tenure_core::Instant, tenure_core::Instant) {
    match world.event() {
        EventKind::Acquired { valid_until, .. } => (world.now, valid_until),
        other => panic!("expected Acquired, got {other:?}"),
    }
}

#[test]
fn a_free_key_is_had_by_one_take() {
    let mut world = taking(1);
    world.judged = true;
    let lease = world.acquire("k");
    assert_eq!(world.ops(0), [OpKind::Take]);
    assert_eq!(acquired(&mut world).1, at(VALID_FOR));
    assert!(world.may_act(lease));
}

#[test]
fn over_several_nodes_there_is_no_take() {
    let mut world = taking(3);
    world.acquire("k");
    assert_eq!(world.ops(0), [OpKind::Acquire]);
}

#[test]
fn a_busy_key_is_asked_about_by_acquire_in_the_same_attempt() {
    let mut world = taking(1);
    held(&mut world);
    world.acquire_with("k", LeaseOptions::builder().attempts(Some(1)));
    assert_eq!(world.ops(0), [OpKind::Take, OpKind::Acquire]);
    let attempts: Vec<_> = world.written.iter().map(|(_, r)| r.token.attempt).collect();
    assert_eq!(attempts, [1, 1]);
    let event = world.event();
    let EventKind::Failed { cause, gave_up } = event else {
        panic!("expected Failed, got {event:?}");
    };
    let AcquireFailure::Contended { left, .. } = cause else {
        panic!("expected Contended, got {cause:?}");
    };
    assert_eq!(left, secs(3_600));
    assert!(gave_up);
    assert!(!world.ops(0).contains(&OpKind::Release), "nothing is owed");
}

#[test]
fn a_second_attempt_is_no_take() {
    let mut world = taking(1);
    held(&mut world);
    world.acquire("k");
    world.advance(secs(1));
    let takes = world
        .ops(0)
        .iter()
        .filter(|kind| **kind == OpKind::Take)
        .count();
    assert_eq!(takes, 1);
    assert!(world.written.iter().any(|(_, r)| r.token.attempt == 2));
}

#[test]
fn a_take_without_a_fence_is_completed_by_acquire() {
    let mut world = taking(1);
    world.judged = true;
    world.nodes[0].forget();
    world.withhold([0]);
    world.acquire("k");
    world.now = at(ms(100));
    world.deliver(0);
    world.pump();
    assert!(world.holds(0, "k"));
    assert_eq!(world.events(), [], "without a fence it is not held");
    world.resume([0]);
    assert_eq!(world.ops(0), [OpKind::Take, OpKind::Acquire]);
    let valid_until = acquired(&mut world).1;
    assert_eq!(
        valid_until,
        at(ms(100) + VALID_FOR),
        "from when acquire was queued"
    );
}

#[test]
fn a_lease_that_is_dropped_between_the_two_asks_nothing_more() {
    for forgets in [false, true] {
        let mut world = taking(1);
        world.withhold([0]);
        if forgets {
            world.nodes[0].forget();
        } else {
            held(&mut world);
        }
        let lease = world.acquire("k");
        let (request, answer) = world.apply(0);
        world.cancel(lease);
        world.reply(request, tenure_core::Reply::Applied(answer));
        world.resume([0]);
        assert_eq!(world.ops(0), [OpKind::Take, OpKind::Release]);
        let holder = world.nodes[0].holder(world.now, &key("k"));
        assert!(holder.is_none_or(|token| token.secret == Secret::new([200; 16])));
    }
}

#[test]
fn a_key_that_is_busy_by_the_lease_itself_is_released() {
    let mut world = taking(1);
    world.withhold([0]);
    let lease = world.acquire("k");
    world.break_answer(0);
    assert_eq!(world.waiting(0), [OpKind::Take], "asked again");
    // The key is there since the first of the two. The second one is told that it is busy.
    world.deliver(0);
    world.pump();
    assert_eq!(world.waiting(0), [OpKind::Acquire]);
    world.refuse(0, Refusal::Unavailable(Words::fixed("LOADING")));
    world.cancel(lease);
    world.resume([0]);
    assert!(world.ops(0).contains(&OpKind::Release));
    assert!(!world.is_locked("k"));
}

#[test]
fn each_of_the_two_requests_has_a_request_timeout_to_itself() {
    let mut world = taking(1);
    held(&mut world);
    world.withhold([0]);
    world.acquire_with("k", LeaseOptions::builder().attempts(Some(1)));
    let late = ROUND - ms(1);
    world.advance(late);
    world.deliver(0);
    world.pump();
    assert_eq!(world.wire[0][0].deadline, at(late + ROUND));
    world.advance(late);
    assert_eq!(world.events(), [], "the second is waited for");
    world.resume([0]);
    let event = world.event();
    let contended = matches!(
        &event,
        EventKind::Failed {
            cause: AcquireFailure::Contended { .. },
            ..
        }
    );
    assert!(contended, "{event:?}");
}
