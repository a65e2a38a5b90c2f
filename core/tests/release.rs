//! Releasing and cancelling: outcomes, requests in flight, retries, and what is never held again.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{
    RENEW_AFTER, ROUND, VALID_FOR, World, at, cannot_serve, down, id, ms, said, secs, silence,
};
use tenure_core::{
    AcquireFailure, Backoff, Doubt, EventKind, Fence, LeaseId, LeaseOptions, Loss, OpKind, Refusal,
    Release, RenewalFailure, RenewalPolicy, Reply, Words,
};

fn held(nodes: usize) -> (World, LeaseId) {
    let mut world = World::new(nodes);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
    world.events();
    world.advance(ms(10));
    (world, lease)
}

fn outcome(event: EventKind) -> Release {
    match event {
        EventKind::Released { outcome } => outcome,
        other => panic!("expected Released, got {other:?}"),
    }
}

fn none_left(world: &World) {
    assert!(world.manager.is_empty(), "{:?}", world.manager);
    assert_eq!(world.manager.poll_timeout(), None);
    assert!(!world.is_locked("k"));
}

fn unknown() -> Release {
    let silent = vec![silence(0)];
    Release::Unknown { silent }
}

/// The outcome at a node that is down.
fn unreachable() -> Release {
    let silent = vec![said(0, down())];
    Release::Unknown { silent }
}

#[test]
fn a_release_frees_the_key_everywhere_and_says_so() {
    for nodes in [1, 3, 5] {
        let (mut world, lease) = held(nodes);
        world.release(lease);
        assert_eq!(outcome(world.event()), Release::Released);
        none_left(&world);
    }
}

#[test]
fn validity_ends_before_the_release_is_queued() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.manager.release(world.now, lease);
    assert!(!world.may_act(lease));
    assert_eq!(world.manager.fence(lease), None);
    assert!(world.is_locked("k"));
    world.resume([0]);
    assert!(!world.may_act(lease));
}

#[test]
fn an_unknown_release_is_told_as_unknown_and_does_not_restore_the_lease() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.release(lease);
    world.lose_request(0);
    assert!(!world.may_act(lease));
    // It is retried in the background.
    world.advance(secs(1));
    assert_eq!(world.waiting(0), [OpKind::Release]);
    world.lose_request(0);
    world.advance(secs(3));
    assert_eq!(outcome(world.event()), unknown());
    assert!(!world.may_act(lease));
    world.resume([0]);
    world.advance(secs(1));
    assert_eq!(world.events(), []);
    none_left(&world);
}

#[test]
fn a_release_that_was_done_but_unanswered_is_found_done_by_its_retry() {
    for taken_since in [false, true] {
        let (mut world, lease) = held(1);
        world.withhold([0]);
        world.release(lease);
        world.lose_reply(0);
        if taken_since {
            // The next holder took the key at once. The lease was held until its release
            // nevertheless.
            let options = LeaseOptions::builder();
            world.acquire_with("k", options);
            world.deliver(0);
        }
        world.resume([0]);
        world.advance(secs(1));
        let events = world.events();
        assert!(
            events.contains(&EventKind::Released {
                outcome: Release::Released
            }),
            "{events:?}"
        );
    }
}

#[test]
fn a_release_of_what_was_lost_before_says_how() {
    let (mut world, lease) = held(1);
    world.nodes[0].forget();
    world.release(lease);
    assert_eq!(outcome(world.event()), Release::Lost(Loss::Gone));
    none_left(&world);

    let (mut world, lease) = held(1);
    world.nodes[0].forget();
    let thief = world.acquire("k");
    world.events();
    world.release(lease);
    assert_eq!(outcome(world.event()), Release::Lost(Loss::Taken));
    assert!(
        world.may_act(thief) && world.is_locked("k"),
        "not ours to free"
    );
}

/// The lock was lost, and the reply that said so was lost too. This is the one double fault in
/// which a lost lock is told as released, and it is documented: a release that was done and not
/// answered looks the same. Each fault alone is told right, by the tests above.
#[test]
fn a_lost_lock_whose_release_had_no_answer_is_told_as_released() {
    for taken in [false, true] {
        let (mut world, lease) = held(1);
        world.nodes[0].forget();
        if taken {
            world.acquire("k");
            world.events();
        }
        world.withhold([0]);
        world.release(lease);
        world.lose_reply(0);
        world.resume([0]);
        world.advance(secs(1));
        assert_eq!(outcome(world.event()), Release::Released);
        assert_eq!(world.is_locked("k"), taken, "it is not ours to free");
    }
}

/// The request was lost with its connection, shortly before the key expired by itself. So the next
/// one finds nothing, and nobody freed it.
#[test]
fn a_key_that_expired_before_an_answer_came_is_not_told_as_released() {
    for (late, taken) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new(1);
        let lease = world.acquire_with("k", LeaseOptions::builder().renewal(RenewalPolicy::Off));
        world.events();
        world.advance_to(at(VALID_FOR - ms(1)));
        world.withhold([0]);
        world.release(lease);
        if late {
            world.break_connection(0);
            world.advance_to(at(secs(10) + ms(10)));
        } else {
            // It was done, and its answer lost with the connection.
            let (release, _) = world.apply(0);
            world.reply(
                release,
                Reply::Unknown(Doubt::Broken(Words::fixed("reset"))),
            );
        }
        if taken {
            world.acquire("k");
            assert_eq!(world.waiting(0), [OpKind::Release, OpKind::Acquire]);
            world.wire[0].swap(0, 1);
            world.deliver(0);
        }
        assert_eq!(world.waiting(0), [OpKind::Release]);
        world.deliver(0);
        world.pump();
        let words = Words::fixed("its time ended before an answer came");
        let silent = vec![said(0, words)];
        let told = EventKind::Released {
            outcome: match late {
                false => Release::Released,
                true => Release::Unknown { silent },
            },
        };
        let events = world.events();
        assert!(events.contains(&told), "{events:?}");
    }
}

/// What was done on the broken connection is found done, and the owner hears it at once.
/// The node does not serve when it is asked, and serves again when the key has expired by itself.
/// The lock was held until the release, so it was not lost.
#[test]
fn a_key_that_expired_before_its_release_was_done_is_not_told_as_lost() {
    let mut world = World::new(1);
    let lease = world.acquire_with("k", LeaseOptions::builder().renewal(RenewalPolicy::Off));
    world.advance_to(at(secs(9)));
    assert!(world.may_act(lease));
    world.events();
    world.withhold([0]);
    world.release(lease);
    while world.now < at(secs(10) + ms(10)) {
        while !world.waiting(0).is_empty() {
            world.refuse(0, cannot_serve());
        }
        world.advance(ms(10));
    }
    world.up(0);
    world.timeout();
    let told = world.events();
    let unknown = told.iter().any(|event| {
        matches!(
            event,
            EventKind::Released {
                outcome: Release::Unknown { .. }
            }
        )
    });
    assert!(unknown, "{told:?}");
}

#[test]
fn a_release_on_a_broken_connection_is_asked_again_at_once() {
    for arrived in [false, true] {
        let (mut world, lease) = held(1);
        let now = world.now;
        world.withhold([0]);
        world.release(lease);
        match arrived {
            true => world.break_answer(0),
            false => world.break_connection(0),
        }
        assert_eq!(world.waiting(0), [OpKind::Release]);
        assert_eq!(world.events(), []);
        world.deliver(0);
        world.pump();
        assert_eq!(
            (outcome(world.event()), world.now),
            (Release::Released, now)
        );
        none_left(&world);
    }
}

/// Only the release is sent once more: what was asked before it is not wanted any more.
#[test]
fn a_broken_request_with_a_release_behind_it_is_not_asked_again() {
    for request in [OpKind::Acquire, OpKind::Renew] {
        let mut world = World::new(1);
        world.withhold([0]);
        let lease = world.acquire("k");
        if request == OpKind::Renew {
            world.deliver(0);
            world.pump();
            world.renew(lease);
        }
        world.release(lease);
        assert_eq!(world.waiting(0), [request, OpKind::Release]);
        world.break_answer(0);
        assert_eq!(world.waiting(0), [OpKind::Release]);
        world.break_connection(0);
        assert_eq!(world.waiting(0), [OpKind::Release], "once more");
        world.deliver(0);
        world.pump();
        none_left(&world);
    }
}

/// One node refuses and one has lost its copy: the third decides whether a quorum had.
#[test]
fn a_release_is_waited_for_while_a_node_can_still_decide_it() {
    let words = Words::new("NOPERM");
    let refuse = || Refusal::Rejected(words.clone());
    let refused = || Release::Unknown {
        silent: vec![said(0, words.clone())],
    };
    for last in ["gone", "done", "refused", "never"] {
        let (mut world, lease) = held(3);
        world.nodes[1].forget();
        world.withhold([0, 2]);
        world.release(lease);
        world.refuse(0, refuse());
        assert_eq!(world.events(), [], "the last node decides");
        let told = match last {
            "gone" => {
                world.nodes[2].forget();
                world.deliver(2);
                Release::Lost(Loss::Gone)
            }
            "done" => {
                world.deliver(2);
                refused()
            }
            "refused" => {
                world.refuse(2, refuse());
                let (node, words) = (id(0), words.clone());
                Release::Rejected { node, words }
            }
            _ => {
                world.advance(secs(4));
                let silent = vec![said(0, words.clone()), silence(2)];
                Release::Unknown { silent }
            }
        };
        world.pump();
        assert_eq!(outcome(world.event()), told, "{last}");
    }
}

/// Two of five refuse, two lack it, and one freed it: no quorum says the same.
#[test]
fn a_release_of_which_no_quorum_says_the_same_is_unknown() {
    let (mut world, lease) = held(5);
    world.nodes[1].forget();
    world.withhold([0, 2, 3, 4]);
    world.release(lease);
    let words = Words::new("NOPERM");
    for node in [0, 2] {
        world.refuse(node, Refusal::Rejected(words.clone()));
    }
    assert_eq!(world.events(), []);
    world.nodes[3].forget();
    world.deliver(3);
    world.pump();
    assert_eq!(world.events(), []);
    world.deliver(4);
    world.pump();
    let silent = vec![said(0, words.clone()), said(2, words)];
    assert_eq!(outcome(world.event()), Release::Unknown { silent });
}

/// An unknown outcome counts only if it is that of a release that the owner asked for.
#[test]
fn a_lost_lock_is_not_released_by_an_unanswered_renewal() {
    let (mut world, lease) = held(1);
    world.nodes[0].forget();
    world.withhold([0]);
    world.renew(lease);
    world.release(lease);
    world.lose_reply(0);
    world.resume([0]);
    world.advance(secs(1));
    assert_eq!(outcome(world.event()), Release::Lost(Loss::Gone));
}

/// The renewal before the release has no answer, and that is heard after the release is done. So
/// the node is owed another release, which finds nothing.
#[test]
fn a_key_that_was_freed_is_not_lost_by_a_later_answer() {
    let (mut world, lease) = held(3);
    world.withhold(0..3);
    world.renew(lease);
    world.release(lease);
    for node in 0..3 {
        assert_eq!(world.waiting(node), [OpKind::Renew, OpKind::Release]);
    }
    let renewal = world.wire[0].pop_front().unwrap();
    world.deliver(0);
    world.reply(renewal.id, Reply::Unknown(Doubt::Silent));
    world.advance(ms(100));
    assert_eq!(world.waiting(0), [OpKind::Release], "for the renewal");
    world.deliver(0);
    world.nodes[1].forget();
    for node in [1, 2] {
        world.deliver(node);
        world.deliver(node);
    }
    world.pump();
    assert_eq!(outcome(world.event()), Release::Released);
}

#[test]
fn a_release_counts_by_quorum() {
    let (mut world, lease) = held(3);
    world.nodes[0].forget();
    world.release(lease);
    assert_eq!(outcome(world.event()), Release::Released);
    let (mut world, lease) = held(3);
    world.nodes[0].forget();
    world.nodes[1].forget();
    world.release(lease);
    assert_eq!(outcome(world.event()), Release::Lost(Loss::Gone));
    none_left(&world);
}

#[test]
fn a_release_that_the_server_refuses_is_told_so_and_left_to_the_ttl() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.release(lease);
    let words = Words::new("NOPERM");
    world.refuse(0, Refusal::Rejected(words.clone()));
    let node = id(0);
    assert_eq!(outcome(world.event()), Release::Rejected { node, words });
    assert!(world.manager.is_empty());
}

/// It is told as unknown after a bounded time.
#[test]
fn a_release_at_a_node_that_is_down_is_unknown_and_done_when_it_is_up() {
    let (mut world, lease) = held(1);
    world.down(0);
    world.release(lease);
    world.advance(ROUND * 4);
    assert_eq!(outcome(world.event()), unreachable());
    world.up(0);
    world.advance(ms(1_100));
    none_left(&world);
}

#[test]
fn a_release_after_the_end_of_validity_says_lost() {
    let (mut world, lease) = held(1);
    world.down(0);
    world.stall(secs(10));
    world.release(lease);
    assert_eq!(
        world.event(),
        EventKind::Lost {
            loss: Loss::Expired
        }
    );
}

#[test]
fn a_release_waits_behind_a_request_in_flight_on_the_same_connection() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.renew(lease);
    world.release(lease);
    assert_eq!(world.waiting(0), [OpKind::Renew, OpKind::Release]);
    world.resume([0]);
    assert_eq!(
        world.events(),
        [EventKind::Released {
            outcome: Release::Released
        }],
        "the renewal that came first revives nothing"
    );
    none_left(&world);
}

#[test]
fn a_release_overtakes_a_renewal_that_was_not_sent() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    let wrote = world.written.len();
    world.manager.renew(world.now, lease);
    world.manager.release(world.now, lease);
    world.resume([0]);
    assert_eq!(
        world.written.len(),
        wrote + 1,
        "the renewal is not handed out"
    );
    assert_eq!(outcome(world.event()), Release::Released);
}

#[test]
fn a_second_release_does_not_silence_the_first() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.release(lease);
    world.release(lease);
    assert_eq!(world.waiting(0), [OpKind::Release]);
    world.resume([0]);
    assert_eq!(outcome(world.event()), Release::Released);
}

/// The node went down while a request was in flight.
#[test]
fn a_release_at_a_node_that_stays_down_ends_with_the_ttl() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.renew(lease);
    // The link says "down" before it answers what was in flight.
    let renewal = world.wire[0].pop_front().unwrap();
    world.manager.handle_node_down(world.now, id(0), down());
    world.release(lease);
    world.reply(renewal.id, Reply::Unknown(Doubt::Silent));
    world.advance(secs(30));
    assert_eq!(outcome(world.event()), unknown());
    assert!(world.manager.is_empty(), "{:?}", world.manager);
}

#[test]
fn a_release_asked_again_by_a_node_that_went_down_ends_with_the_ttl() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.release(lease);
    let release = world.wire[0].pop_front().unwrap();
    world.manager.handle_node_down(world.now, id(0), down());
    world.reply(release.id, Reply::NotApplied(Refusal::Again));
    world.advance(secs(30));
    assert_eq!(outcome(world.event()), unreachable());
    assert!(world.manager.is_empty(), "{:?}", world.manager);
}

#[test]
fn the_late_release_of_an_old_attempt_does_not_touch_a_held_lease() {
    // At node 2, attempt 1 stays in flight, and its release behind it. Nodes 0 and 1 grant attempt
    // 2.
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let backoff = Backoff::new(ms(25), ms(25));
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(backoff));
    world.refuse(0, cannot_serve());
    world.refuse(1, cannot_serve());
    world.resume([0, 1]);
    world.advance(ROUND + ms(50));
    assert!(world.may_act(lease));
    assert_eq!(world.waiting(2), [OpKind::Acquire, OpKind::Release]);
    world.events();
    // A renewal runs, and cannot ask node 2 yet.
    world.withhold([0]);
    world.renew(lease);
    world.deliver(2);
    let (release, _) = world.apply(2);
    // The outcome of the release is unknown. Then node 2 is asked.
    world.reply(release, Reply::Unknown(Doubt::Silent));
    assert_eq!(
        world.waiting(2),
        [OpKind::Renew],
        "asked as soon as its seat is free"
    );
    world.deliver(2);
    world.pump();
    world.resume([0, 1, 2]);
    assert!(world.may_act(lease));
    // Two nodes lose their copies. The unknown release of attempt 1 must not count for attempt 2.
    world.nodes[1].forget();
    world.nodes[2].forget();
    world.events();
    world.release(lease);
    assert_eq!(outcome(world.event()), Release::Lost(Loss::Gone));
}

/// Brings a lease into a phase.
type Prepare = fn(&mut World) -> LeaseId;

const PHASES: [(&str, Prepare); 11] = [
    ("acquiring, queued", |world| {
        world.withhold([0, 1, 2]);
        let options = LeaseOptions::builder().build(world.manager.config());
        let secret = tenure_core::Secret::new([9; 16]);
        let options = std::sync::Arc::new(options.unwrap());
        let lease = world
            .manager
            .acquire(world.now, support::key("k"), secret, options);
        lease.unwrap()
    }),
    ("acquiring, sent", |world| {
        world.withhold([0, 1, 2]);
        world.acquire("k")
    }),
    ("acquiring, one granted", |world| {
        world.withhold([0, 1, 2]);
        let lease = world.acquire("k");
        world.deliver(1);
        world.pump();
        lease
    }),
    ("confirming", |world| {
        world.nodes[0].wall_ahead = 1_000;
        world.withhold([1, 2]);
        let lease = world.acquire("k");
        world.deliver(1);
        world.pump();
        assert_eq!(world.waiting(1), [OpKind::Confirm]);
        lease
    }),
    ("clearing", |world| {
        world.withhold([0, 1, 2]);
        let lease = world.acquire("k");
        world.refuse(0, cannot_serve());
        world.refuse(1, cannot_serve());
        assert_eq!(world.waiting(2), [OpKind::Acquire, OpKind::Release]);
        lease
    }),
    ("backoff", |world| {
        for node in 0..3 {
            world.nodes[node].quarantined(at(secs(9)));
        }
        let lease = world.acquire("k");
        assert!(matches!(world.event(), EventKind::Waiting { .. }));
        lease
    }),
    ("held", |world| {
        let lease = world.acquire("k");
        assert!(world.may_act(lease));
        lease
    }),
    ("renewing", |world| {
        let lease = world.acquire("k");
        world.withhold([0, 1, 2]);
        world.renew(lease);
        world.deliver(0);
        lease
    }),
    ("retrying a renewal", |world| {
        let lease = world.acquire("k");
        world.down(0);
        world.down(1);
        world.advance(RENEW_AFTER);
        assert!(world.manager.lease(lease).unwrap().is_suspect());
        world.up(0);
        world.up(1);
        lease
    }),
    ("releasing", |world| {
        let lease = world.acquire("k");
        world.withhold([0, 1, 2]);
        world.release(lease);
        lease
    }),
    ("settling", |world| {
        let lease = world.acquire("k");
        world.withhold([0, 1, 2]);
        world.cancel(lease);
        lease
    }),
];

#[test]
fn a_cancel_is_silent_and_frees_the_key_in_every_phase() {
    for (phase, prepare) in PHASES {
        let mut world = World::new(3);
        let lease = prepare(&mut world);
        world.events();
        world.cancel(lease);
        assert!(!world.may_act(lease), "{phase}");
        world.resume([0, 1, 2]);
        world.advance(secs(2));
        assert_eq!(world.events(), [], "{phase}");
        none_left(&world);
    }
}

#[test]
fn a_cancel_frees_the_key_in_one_round_trip() {
    for nodes in [1, 3] {
        let (mut world, lease) = held(nodes);
        world.withhold(0..nodes);
        world.cancel(lease);
        for node in 0..nodes {
            assert_eq!(world.waiting(node), [OpKind::Release]);
            world.deliver(node);
        }
        none_left(&world);
    }
}

#[test]
fn what_was_never_sent_is_not_sent_after_a_cancel() {
    let mut world = World::new(1);
    let options = LeaseOptions::builder().build(world.manager.config());
    let secret = tenure_core::Secret::new([9; 16]);
    let key = support::key("k");
    let lease = world
        .manager
        .acquire(world.now, key, secret, options.unwrap().into());
    world.manager.cancel(world.now, lease.unwrap());
    world.pump();
    assert_eq!(world.written, []);
    assert!(world.manager.is_empty());
}

#[test]
fn a_release_before_the_grant_is_a_cancel() {
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire("k");
    world.release(lease);
    world.resume([0]);
    assert_eq!(world.events(), []);
    none_left(&world);
}

#[test]
fn the_release_of_a_failed_attempt_does_not_touch_a_later_one() {
    // The outcome of the release of attempt 1 is unknown. It arrives after attempt 2 was granted.
    let mut world = World::new(1);
    world.withhold([0]);
    let backoff = Backoff::new(ms(25), ms(25));
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(backoff));
    world.lose_reply(0);
    let late = world.wire[0].pop_front().unwrap();
    world.reply(late.id, Reply::Unknown(Doubt::Silent));
    world.advance(ms(25));
    world.deliver(0);
    world.pump();
    assert!(world.may_act(lease));
    assert_eq!(
        world.nodes[0].apply(world.now, &late),
        tenure_core::Answer::Taken
    );
    assert!(world.is_locked("k"));
}

/// One of three nodes granted the first attempt, and its release is on its way. The backoff lasts
/// as long as given.
fn minority(backoff: Duration) -> (World, LeaseId) {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let backoff = Backoff::new(backoff, backoff);
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(backoff));
    world.deliver(0);
    world.refuse(1, cannot_serve());
    world.refuse(2, cannot_serve());
    world.pump();
    assert_eq!(world.waiting(0), [OpKind::Release]);
    (world, lease)
}

#[test]
fn what_a_failed_round_left_is_released_again_during_a_long_backoff() {
    type Fail = fn(&mut World);
    // Ways in which the release of the failed round fails.
    let ways: [(&str, Fail); 3] = [
        ("refused", |world| world.refuse(0, cannot_serve())),
        ("lost", |world| world.lose_request(0)),
        ("never sent", |world| {
            world.down(0);
            world.up(0);
        }),
    ];
    for (name, fail) in ways {
        let (mut world, lease) = minority(secs(60));
        fail(&mut world);
        world.resume([0, 1, 2]);
        world.advance(secs(1));
        assert!(!world.holds(0, "k"), "{name}: it sits on a minority");
        world.advance(secs(60));
        assert!(world.may_act(lease), "{name}");
    }
}

/// The pauses in the backoff grow, until the key has expired by itself.
#[test]
fn a_node_that_cannot_be_freed_is_asked_ever_less_often() {
    let (mut world, lease) = minority(secs(20));
    world.resume([1, 2]);
    let mut asked = 0;
    while world.now < at(secs(21)) {
        if world.waiting(0) == [OpKind::Release] {
            world.refuse(0, cannot_serve());
            asked += 1;
        }
        world.advance(ms(5));
    }
    assert!((10..=25).contains(&asked), "{asked} releases");
    assert_eq!(world.waiting(0), [OpKind::Acquire]);
    assert!(world.may_act(lease));
}

/// So the next attempt asks that node too.
#[test]
fn a_release_in_a_backoff_is_answered_before_the_next_attempt() {
    // Each answer takes a whole round, which is the longest time that a link waits.
    for millis in (100..4_000).step_by(97) {
        let (mut world, lease) = minority(ms(millis));
        world.refuse(0, cannot_serve());
        world.resume([1, 2]);
        while !world.may_act(lease) {
            if world.waiting(0) == [OpKind::Release] {
                world.advance(ROUND - ms(1));
                assert!(
                    !world.may_act(lease),
                    "backoff {millis} ms: it was not asked"
                );
                world.refuse(0, cannot_serve());
            }
            world.advance(ms(1));
        }
        assert_eq!(world.waiting(0), [OpKind::Acquire], "backoff {millis} ms");
    }
}

#[test]
fn giving_up_in_a_backoff_frees_what_the_failed_round_left() {
    // It gives up while the release is tried again, or between two tries.
    for retried in [true, false] {
        let (mut world, lease) = minority(secs(60));
        world.refuse(0, cannot_serve());
        if retried {
            world.advance(ms(60));
            assert_eq!(world.waiting(0), [OpKind::Release]);
        }
        world.cancel(lease);
        world.resume([0, 1, 2]);
        world.advance(secs(1));
        assert!(!world.holds(0, "k"), "{retried}");
        assert!(world.manager.is_empty(), "{retried}");
    }
}

#[test]
fn each_failed_round_begins_its_releases_anew() {
    let fail_again = |world: &mut World| {
        assert_eq!(world.waiting(0), [OpKind::Acquire]);
        world.deliver(0);
        world.refuse(1, cannot_serve());
        world.refuse(2, cannot_serve());
        world.pump();
        world.refuse(0, cannot_serve());
        assert!(world.waiting(0).is_empty(), "not at once");
        world.advance(ms(50));
        assert_eq!(
            world.waiting(0),
            [OpKind::Release],
            "as soon as the first time"
        );
    };
    // After many tries, or after a stall in which a try and the next attempt fell due together.
    let (mut world, _) = minority(secs(9));
    while world.waiting(0) != [OpKind::Acquire] {
        if world.waiting(0) == [OpKind::Release] {
            world.refuse(0, cannot_serve());
        }
        world.advance(ms(5));
    }
    fail_again(&mut world);
    let (mut world, _) = minority(secs(9));
    world.refuse(0, cannot_serve());
    world.stall(secs(9));
    world.timeout();
    fail_again(&mut world);
}

#[test]
fn a_release_that_was_not_ready_is_asked_again_at_once() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.withhold([0]);
    world.release(lease);
    world.refuse(0, Refusal::Again);
    assert_eq!(world.waiting(0), [OpKind::Release]);
}

#[test]
fn nothing_is_due_while_a_cancelled_acquire_only_waits_for_its_answer() {
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire("k");
    world.cancel(lease);
    assert_eq!(world.manager.poll_timeout(), None);
    assert_eq!(world.manager.len(), 1);
    assert!(!world.manager.is_empty());
}

/// And not before.
#[test]
fn a_debt_ends_when_the_key_has_expired_by_the_slowest_clock() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", LeaseOptions::builder().attempts(Some(1)));
    let acquire = world.wire[0].pop_front().unwrap();
    world.reply(acquire.id, Reply::Unknown(Doubt::Silent));
    world.down(0);
    // The TTL and the drift margin.
    world.advance_to(at(ms(10_102)) - ms(1));
    assert_eq!(world.manager.len(), 1);
    world.advance(ms(1));
    assert!(world.manager.is_empty());
}

#[test]
fn a_key_that_is_gone_is_owed_no_release() {
    let mut world = World::new(1);
    world.acquire("k");
    world.nodes[0].forget();
    world.advance(RENEW_AFTER);
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Renew]);
    assert!(world.manager.is_empty());
}

/// A renewal from before the release goes unanswered, so that node is asked to release once more.
#[test]
fn a_node_that_freed_the_key_counts_although_it_is_asked_again() {
    let (mut world, lease) = held(3);
    world.withhold([0, 1, 2]);
    world.nodes[1].forget();
    world.renew(lease);
    world.release(lease);
    let renewal = world.wire[0].pop_front().unwrap();
    world.deliver(0);
    world.reply(renewal.id, Reply::Unknown(Doubt::Silent));
    world.deliver(1);
    world.deliver(1);
    world.advance(ms(50));
    assert_eq!(world.waiting(0), [OpKind::Release], "it may have renewed");
    world.deliver(0);
    world.resume([2]);
    assert_eq!(outcome(world.event()), Release::Released);
}

#[test]
fn a_release_is_waited_for_four_request_timeouts_or_one_ttl() {
    let short = LeaseOptions::builder().ttl(secs(3));
    for (options, waited) in [(LeaseOptions::builder(), ROUND * 4), (short, secs(3))] {
        let mut world = World::new(1);
        let lease = world.acquire_with("k", options);
        world.events();
        world.withhold([0]);
        world.release(lease);
        world.advance(waited - ms(1));
        assert_eq!(world.events(), []);
        world.advance(ms(1));
        let outcome = unknown();
        assert_eq!(world.events(), [EventKind::Released { outcome }]);
    }
}

/// The connection hangs. The link gives it up after two request timeouts, and needs some time for
/// another.
#[test]
fn one_dead_connection_costs_a_release_time_and_not_its_answer() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.release(lease);
    world.advance(ROUND * 2);
    world.lose_request(0);
    world.advance(ROUND);
    assert_eq!(world.waiting(0), [OpKind::Release]);
    world.deliver(0);
    world.pump();
    assert_eq!(outcome(world.event()), Release::Released);
}

#[test]
fn a_release_is_not_waited_for_once_the_key_expired_and_nobody_is_asked() {
    let mut world = World::new(1);
    let renewal = RenewalPolicy::Off;
    let lease = world.acquire_with("k", LeaseOptions::builder().renewal(renewal));
    world.events();
    world.advance(ms(9_800));
    world.down(0);
    world.release(lease);
    // The TTL and the drift margin, and the pause between two tries.
    world.advance(ms(302 + 500));
    assert_eq!(outcome(world.event()), unreachable());
    assert!(world.manager.is_empty());
}

#[test]
fn nothing_follows_a_failure_a_loss_or_a_release_and_all_else_goes_on() {
    let valid_until = at(std::time::Duration::ZERO);
    let cause = AcquireFailure::Outage { silent: Vec::new() };
    let last = [
        EventKind::Failed {
            cause: cause.clone(),
            gave_up: true,
        },
        EventKind::Lost {
            loss: Loss::Expired,
        },
        EventKind::Released {
            outcome: Release::Released,
        },
    ];
    assert!(last.iter().all(EventKind::is_final));
    let fence = Fence::new(1).unwrap();
    let until = valid_until;
    let others = [
        EventKind::Acquired { fence, valid_until },
        EventKind::Waiting { cause, until },
        EventKind::Renewed { valid_until },
        EventKind::Shortened { valid_until },
        EventKind::Suspect {
            valid_until,
            cause: RenewalFailure::Outage { silent: Vec::new() },
        },
    ];
    assert!(!others.iter().any(EventKind::is_final));
}
