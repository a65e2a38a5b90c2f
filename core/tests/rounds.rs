//! The rounds of an acquire: why a round failed, when it is decided, and what comes before the
//! next.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{ROUND, VALID_FOR, World, at, cannot_serve, id, key, ms, secs, silence};
use tenure_core::{
    AcquireFailure, Answer, Config, EventKind, Fingerprint, Instant, LeaseOptions,
    LeaseOptionsBuilder, Op, OpKind, Reply, Secret, ServerTime, Silence, Token, Words,
};

fn once() -> LeaseOptionsBuilder {
    LeaseOptions::builder().attempts(Some(1))
}

fn failure(world: &mut World) -> AcquireFailure {
    match world.events().pop() {
        Some(EventKind::Failed { cause, .. }) => cause,
        other => panic!("expected Failed, got {other:?}"),
    }
}

fn contended(cause: &AcquireFailure) -> bool {
    matches!(cause, AcquireFailure::Contended { .. })
}

/// Someone else holds the key until that instant.
fn rival(world: &mut World, until: Instant) {
    let token = Token {
        label: None,
        secret: Secret::new([0xEE; 16]),
        attempt: 1,
    };
    world.nodes[0].put(&key("k"), &token, until);
}

#[test]
fn a_round_without_an_answer_names_the_nodes_that_were_silent() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    world.advance(ROUND);
    let silent = vec![silence(0)];
    assert_eq!(failure(&mut world), AcquireFailure::Outage { silent });
}

#[test]
fn one_node_is_proposed_no_fence_even_when_its_time_is_known() {
    let mut world = World::new(1);
    let first = world.acquire("k");
    world.release(first);
    world.acquire("k");
    let acquires = world
        .written
        .iter()
        .filter_map(|(_, request)| match request.op {
            Op::Acquire { proposal, .. } => Some(proposal),
            _ => None,
        });
    assert_eq!(acquires.collect::<Vec<_>>(), [None, None]);
}

#[test]
fn a_node_that_drew_the_agreed_fence_itself_is_not_asked_to_confirm_it() {
    let mut world = World::new(3);
    world.nodes[1].wall_ahead = 100;
    world.nodes[2].wall_ahead = 100;
    world.withhold([0, 1, 2]);
    let lease = world.acquire("k");
    for node in [0, 1, 2] {
        world.deliver(node);
        world.pump();
    }
    assert!(world.may_act(lease));
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Confirm]);
    assert_eq!(world.ops(2), [OpKind::Acquire]);
}

#[test]
fn a_grant_that_comes_at_the_very_end_of_its_cap_is_no_grant() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once().max_hold(Some(ms(100))));
    world.advance(ms(100));
    world.deliver(0);
    world.pump();
    match failure(&mut world) {
        AcquireFailure::Outage { silent } => {
            let words = silent[0].words.as_ref().expect("it did answer in time");
            assert!(
                words.as_str().contains("longest time to be held"),
                "{words}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// The last round would say outage only because nobody waited for its answers.
#[test]
fn the_round_before_is_told_if_giving_up_cut_the_last_one_short() {
    let mut world = World::new(1);
    rival(&mut world, at(secs(60)));
    world.acquire_with("k", LeaseOptions::builder().give_up_after(Some(ms(300))));
    world.withhold([0]);
    world.advance(ms(300));
    assert!(contended(&failure(&mut world)));
}

/// Whatever the round before it was answered.
#[test]
fn the_last_round_is_told_if_it_failed_by_itself() {
    let mut world = World::new(1);
    rival(&mut world, at(secs(60)));
    world.acquire_with("k", LeaseOptions::builder().attempts(Some(2)));
    world.withhold([0]);
    world.advance(ms(30));
    world.refuse(0, cannot_serve());
    assert!(matches!(failure(&mut world), AcquireFailure::Outage { .. }));
}

#[test]
fn a_waiter_asks_soon_after_the_time_of_a_silent_holder_ends() {
    for seed in 0..20 {
        let mut world = World::with(Config::builder(1).build().unwrap(), seed);
        rival(&mut world, at(secs(20)));
        world.acquire("k");
        world.advance(secs(30));
        let granted = |event: &EventKind| matches!(event, EventKind::Acquired { .. });
        let (when, _) = world.told.iter().find(|(_, e)| granted(&e.kind)).unwrap();
        assert!(*when <= at(secs(20) + ms(25)), "{when:?}");
    }
}

/// The failed round must be released first.
#[test]
fn an_extra_timeout_does_not_begin_the_backoff_before_the_release() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    world.acquire("k");
    world.refuse(0, cannot_serve());
    world.refuse(1, cannot_serve());
    assert_eq!(world.waiting(2), [OpKind::Acquire, OpKind::Release]);
    world.timeout();
    assert_eq!(world.events(), [], "not waiting yet");
}

/// The answer to the acquire comes first, and the one to the release is still on its way.
#[test]
fn an_answer_does_not_begin_the_backoff_before_the_release_behind_it() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    world.acquire("k");
    world.refuse(0, cannot_serve());
    world.refuse(1, cannot_serve());
    world.deliver(2);
    world.pump();
    assert_eq!(world.events(), [], "its release is still to be answered");
}

/// One node is in quarantine, one says *held*, and the third decides which of the two is the
/// reason.
#[test]
fn why_a_round_failed_is_open_while_a_quorum_may_still_answer() {
    let mut world = World::new(3);
    world.nodes[0].quarantined(at(secs(5)));
    world.withhold([1, 2]);
    world.acquire_with("k", once());
    let held = |left| {
        Reply::Applied(Answer::Held {
            left: ms(left),
            server_time: ServerTime::from_micros(0),
            holder: Fingerprint::new(1).into(),
            ahead: None,
        })
    };
    let request = world.wire[1].pop_front().unwrap();
    world.reply(request.id, held(4_000));
    assert_eq!(
        world.events(),
        [],
        "one node is in quarantine, one says held"
    );
    let request = world.wire[2].pop_front().unwrap();
    world.reply(request.id, held(4_000));
    assert!(contended(&failure(&mut world)));
}

#[test]
fn a_round_that_times_out_as_the_acquire_gives_up_was_not_cut_short() {
    let second = |give_up| {
        let mut world = World::new(1);
        rival(&mut world, at(secs(60)));
        world.acquire_with("k", LeaseOptions::builder().give_up_after(give_up));
        world.withhold([0]);
        world
    };
    let mut world = second(None);
    let Some(EventKind::Waiting { until, .. }) = world.events().pop() else {
        panic!("the first round is answered");
    };
    let end = until + ROUND;
    let mut world = second(Some(end.saturating_since(at(ms(0)))));
    world.advance_to(end);
    assert!(matches!(failure(&mut world), AcquireFailure::Outage { .. }));
}

/// An idle connection may have been dead for long. That is found by the first request on it, which
/// must not cost the caller its attempt.
#[test]
fn what_failed_on_a_broken_connection_is_asked_again_in_the_same_attempt() {
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire_with("k", once());
    world.advance(ms(300));
    world.break_connection(0);
    assert_eq!(world.waiting(0), [OpKind::Acquire]);
    world.deliver(0);
    assert!(world.may_act(lease));
    // Validity is counted from the second request, which set the TTL.
    assert_eq!(
        world.manager.valid_until(lease),
        Some(at(ms(300) + VALID_FOR))
    );
}

/// After silence the node is not asked again in the same attempt: its time is used up.
#[test]
fn what_failed_by_silence_is_not_asked_again_in_the_same_attempt() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    world.lose_request(0);
    assert_eq!(
        failure(&mut world),
        AcquireFailure::Outage {
            silent: vec![silence(0)]
        }
    );
}

#[test]
fn a_connection_that_breaks_again_and_again_ends_the_attempt() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    let mut asked = 0;
    while world.waiting(0) == [OpKind::Acquire] {
        world.break_connection(0);
        asked += 1;
    }
    assert_eq!(asked, 4, "once, and three times more");
    let words = Some(Words::fixed("connection reset"));
    let silent = vec![Silence { node: id(0), words }];
    assert_eq!(failure(&mut world), AcquireFailure::Outage { silent });
}
