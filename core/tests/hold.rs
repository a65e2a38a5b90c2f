//! Holding: renewal, repair, honest validity, and loss with its reason.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{RENEW_AFTER, ROUND, VALID_FOR, World, at, cannot_serve, id, key, ms, secs};
use tenure_core::{
    Answer, Doubt, Due, EventKind, Instant, LeaseId, LeaseOptions, Loss, Op, OpKind, Refusal,
    RenewalFailure, RenewalPolicy, Reply, Secret, Token, Words,
};

fn held(nodes: usize) -> (World, LeaseId) {
    let mut world = World::new(nodes);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
    world.events();
    (world, lease)
}

fn lost(world: &mut World) -> Loss {
    match world.events().pop() {
        Some(EventKind::Lost { loss }) => loss,
        other => panic!("expected Lost, got {other:?}"),
    }
}

fn suspects(events: &[EventKind]) -> usize {
    let suspects = events
        .iter()
        .filter(|e| matches!(e, EventKind::Suspect { .. }));
    suspects.count()
}

#[test]
fn a_ttl_of_two_seconds_held_for_ten_is_renewed_exactly_seven_times() {
    let mut world = World::new(1);
    world.acquire_with("k", LeaseOptions::builder().ttl(secs(2)));
    world.advance(secs(10));
    let renewals: Vec<Instant> = world.written[1..].iter().map(|(when, _)| *when).collect();
    let expected: Vec<Instant> = (1..=7)
        .map(|k| Instant::from_nanos(k * 1_333_333_333))
        .collect();
    assert_eq!(renewals, expected);
    assert_eq!(world.ops(0)[1..], [OpKind::Renew; 7]);
    assert_eq!(world.events().len(), 1 + 7);
}

#[test]
fn a_lease_is_renewed_for_as_long_as_it_is_held() {
    for nodes in [1, 3, 5] {
        let (mut world, lease) = held(nodes);
        world.advance(secs(3_600));
        assert!(world.may_act(lease));
        let renewed = world.events();
        assert_eq!(renewed.len(), 540, "one per interval and no other event");
        assert!(
            renewed
                .iter()
                .all(|e| matches!(e, EventKind::Renewed { .. }))
        );
    }
}

#[test]
fn a_renewal_counts_from_queueing_and_not_from_the_reply() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER + ms(200));
    world.apply(0);
    let (mut world2, _) = held(1);
    world2.withhold([0]);
    world2.advance(RENEW_AFTER + ms(200));
    let (request, answer) = world2.apply(0);
    world2.advance(ms(300));
    world2.reply(request, Reply::Applied(answer));
    assert_eq!(
        world2.event(),
        EventKind::Renewed {
            valid_until: at(RENEW_AFTER + VALID_FOR)
        }
    );
    assert_eq!(world.manager.valid_until(lease), Some(at(VALID_FOR)));
}

#[test]
fn a_renewal_whose_reply_is_lost_is_retried_by_a_suspect_lease() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER);
    world.lose_reply(0);
    assert!(matches!(
        world.event(),
        EventKind::Suspect { valid_until, cause: RenewalFailure::Outage { .. } }
            if valid_until == at(VALID_FOR)
    ));
    assert!(world.manager.lease(lease).unwrap().is_suspect());
    assert!(world.may_act(lease));
    world.resume([0]);
    world.advance(ROUND);
    assert!(matches!(world.event(), EventKind::Renewed { .. }));
    assert!(!world.manager.lease(lease).unwrap().is_suspect());
}

#[test]
fn two_rounds_fit_between_the_begin_of_a_renewal_and_the_end_of_validity() {
    let (mut world, lease) = held(3);
    world.withhold([0, 1, 2]);
    world.advance(RENEW_AFTER);
    for node in 0..3 {
        world.wire[node].clear();
    }
    // No node answers the first round.
    world.advance(ROUND);
    assert_eq!(suspects(&world.events()), 1);
    for written in world.written.clone() {
        if written.1.op == (tenure_core::Op::Renew { ttl: secs(10) }) {
            world.reply(written.1.id, Reply::Unknown(Doubt::Silent));
        }
    }
    world.resume([0, 1, 2]);
    world.advance(ROUND);
    assert!(world.may_act(lease));
    assert_eq!(suspects(&world.events()), 0);
}

#[test]
fn a_renewal_without_answer_ends_in_a_loss_by_expiry() {
    let (mut world, lease) = held(1);
    world.down(0);
    world.advance_to(at(VALID_FOR) - ms(1));
    assert!(world.may_act(lease));
    world.advance(ms(1));
    assert!(!world.may_act(lease));
    assert_eq!(world.told.last().unwrap().0, at(VALID_FOR));
    assert_eq!(lost(&mut world), Loss::Expired);
}

/// The reply is handled after the end of validity, but before the timeout.
#[test]
fn a_late_renewal_does_not_revive_a_lease_whose_expiry_is_not_handled() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER);
    let (request, answer) = world.apply(0);
    assert_eq!(answer, Answer::Done);
    world.stall(secs(4));
    world.reply(request, Reply::Applied(answer));
    assert!(!world.may_act(lease));
    assert_eq!(lost(&mut world), Loss::Expired);
    world.resume([0]);
    assert!(!world.may_act(lease) && !world.is_locked("k"));
    assert!(world.manager.is_empty());
}

#[test]
fn a_lease_lost_stays_lost_whatever_is_answered_later() {
    let (mut world, lease) = held(3);
    world.withhold([0, 1, 2]);
    world.advance(RENEW_AFTER);
    let late: Vec<_> = (0..3).map(|node| world.apply(node)).collect();
    world.advance(secs(4));
    assert_eq!(lost(&mut world), Loss::Expired);
    for (request, answer) in late {
        world.reply(request, Reply::Applied(answer));
        assert!(!world.may_act(lease));
    }
    world.renew(lease);
    assert!(!world.may_act(lease));
    world.resume([0, 1, 2]);
    assert!(world.manager.is_empty() && !world.is_locked("k"));
    assert_eq!(world.events(), []);
}

#[test]
fn a_key_that_vanished_is_a_loss_by_gone() {
    let (mut world, _) = held(1);
    world.nodes[0].forget();
    world.advance(RENEW_AFTER);
    assert_eq!(lost(&mut world), Loss::Gone);
    assert!(
        !world.ops(0).contains(&OpKind::Repair),
        "one node repairs nothing"
    );
}

#[test]
fn a_key_that_someone_else_has_is_a_loss_by_taken() {
    let (mut world, lease) = held(1);
    world.advance(ms(1));
    world.nodes[0].forget();
    let thief = world.acquire("k");
    world.advance(RENEW_AFTER);
    assert!(
        world
            .events()
            .contains(&EventKind::Lost { loss: Loss::Taken })
    );
    assert!(!world.may_act(lease) && world.may_act(thief));
    world.advance(secs(10));
    assert!(world.may_act(thief), "what is not ours is not released");
}

/// The refusal itself is told at once, while the lease is still held.
#[test]
fn a_server_that_refuses_for_good_is_the_reason_of_the_loss() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER);
    let words = Words::new("NOAUTH");
    world.refuse(0, Refusal::Rejected(words.clone()));
    assert_eq!(
        world.event(),
        EventKind::Suspect {
            valid_until: at(VALID_FOR),
            cause: RenewalFailure::Rejected {
                node: id(0),
                words: words.clone()
            }
        }
    );
    assert!(world.may_act(lease));
    while world.may_act(lease) {
        world.advance(ms(50));
        if !world.wire[0].is_empty() {
            world.refuse(0, Refusal::Rejected(words.clone()));
        }
    }
    assert_eq!(lost(&mut world), Loss::Rejected(words));
}

#[test]
fn one_node_that_refuses_for_good_is_not_a_reason_while_two_renew() {
    let (mut world, lease) = held(3);
    world.withhold([0]);
    world.advance(RENEW_AFTER);
    world.refuse(0, Refusal::Rejected(Words::new("NOPERM")));
    assert!(world.may_act(lease));
    assert_eq!(suspects(&world.events()), 0);
}

#[test]
fn a_cap_on_the_hold_ends_it_and_is_told_as_such() {
    let mut world = World::new(1);
    let lease = world.acquire_with("k", LeaseOptions::builder().max_hold(Some(secs(25))));
    world.advance(secs(25) - ms(1));
    assert!(world.may_act(lease));
    world.advance(ms(1));
    assert!(!world.may_act(lease));
    assert_eq!(lost(&mut world), Loss::Capped);
    assert!(!world.is_locked("k"));
    // It is renewed three times. With the third it lasts until the cap.
    assert_eq!(
        world.ops(0),
        [
            OpKind::Acquire,
            OpKind::Renew,
            OpKind::Renew,
            OpKind::Renew,
            OpKind::Release
        ]
    );
}

#[test]
fn a_cap_below_the_ttl_bounds_validity_from_the_start() {
    let mut world = World::new(1);
    let lease = world.acquire_with("k", LeaseOptions::builder().max_hold(Some(secs(3))));
    assert_eq!(world.manager.valid_until(lease), Some(at(secs(3))));
    world.advance(secs(3));
    assert_eq!(lost(&mut world), Loss::Capped);
}

/// Also where the expiry is handled after the cap.
#[test]
fn a_lease_that_expired_before_its_cap_is_expired_and_not_capped() {
    let mut world = World::new(1);
    world.acquire_with("k", LeaseOptions::builder().max_hold(Some(secs(25))));
    world.down(0);
    world.stall(secs(60));
    world.timeout();
    assert_eq!(lost(&mut world), Loss::Expired);
}

#[test]
fn without_renewal_a_lease_ends_with_its_first_validity() {
    let mut world = World::new(1);
    let options = LeaseOptions::builder().renewal(RenewalPolicy::Off);
    let lease = world.acquire_with("k", options);
    world.advance_to(at(VALID_FOR) - ms(1));
    assert!(world.may_act(lease));
    assert_eq!(world.manager.timeout_reason(), Some(Due::Expiry));
    world.advance(ms(1));
    assert_eq!(lost(&mut world), Loss::Expired);
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Release]);
}

#[test]
fn a_renewal_by_hand_lengthens_the_lease_with_and_without_a_policy() {
    for renewal in [RenewalPolicy::Off, RenewalPolicy::TwoThirds] {
        let mut world = World::new(3);
        let options = LeaseOptions::builder().renewal(renewal);
        let lease = world.acquire_with("k", options);
        world.events();
        world.advance(secs(4));
        assert!(world.renew(lease));
        assert_eq!(
            world.event(),
            EventKind::Renewed {
                valid_until: at(secs(4) + VALID_FOR)
            }
        );
        // The next renewal is planned from here.
        world.advance(secs(6));
        let again = renewal != RenewalPolicy::Off;
        assert_eq!(world.events(), []);
        world.advance(ms(700));
        assert_eq!(world.events().len(), usize::from(again));
    }
}

#[test]
fn a_renewal_by_hand_while_one_runs_queues_nothing() {
    let (mut world, lease) = held(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER);
    let before = world.manager.lease(lease).unwrap().clone();
    assert!(world.renew(lease));
    assert_eq!(world.manager.lease(lease), Some(&before));
    assert_eq!(world.waiting(0), [OpKind::Renew]);
}

#[test]
fn a_node_that_answers_gone_counts_no_more_and_validity_goes_down() {
    let (mut world, lease) = held(3);
    // The first renewal does not reach node 2, so its copy counts until the first end of validity.
    world.withhold([2]);
    world.advance(RENEW_AFTER);
    let missed = world.wire[2].pop_front().unwrap();
    world.reply(missed.id, Reply::Unknown(Doubt::Silent));
    assert!(matches!(world.event(), EventKind::Renewed { .. }));
    // A renewal by hand before that: node 0 has lost its copy, and node 1 has not answered yet.
    world.nodes[0].forget();
    world.withhold([0, 1]);
    world.advance(secs(1));
    world.renew(lease);
    let (request, answer) = world.apply(0);
    assert_eq!(answer, Answer::Gone);
    world.reply(request, Reply::Applied(answer));
    assert_eq!(
        world.event(),
        EventKind::Shortened {
            valid_until: at(VALID_FOR)
        }
    );
    assert_eq!(world.manager.valid_until(lease), Some(at(VALID_FOR)));
}

#[test]
fn a_lost_copy_is_put_back_with_its_fence_while_a_quorum_holds_without_it() {
    let (mut world, lease) = held(3);
    let fence = world.manager.fence(lease).unwrap().get();
    world.nodes[1].forget();
    world.advance(RENEW_AFTER);
    assert_eq!(
        world.ops(1),
        [OpKind::Acquire, OpKind::Renew, OpKind::Repair]
    );
    assert!(world.holds(1, "k"));
    assert_eq!(world.nodes[1].fence(&key("k")), fence);
    // Then another node may lose its copy.
    world.nodes[0].forget();
    world.advance(RENEW_AFTER);
    assert!(world.may_act(lease) && world.holds(0, "k"));
}

#[test]
fn nothing_is_put_back_where_no_quorum_holds_without_it() {
    let (mut world, lease) = held(3);
    // Two nodes lose their copies. After the first answer only one loss is known, so a repair of
    // that copy is asked for. The second answer ends the lease.
    world.nodes[1].forget();
    world.nodes[2].forget();
    world.down(0);
    world.withhold([1, 2]);
    world.advance(RENEW_AFTER);
    let (first, gone) = world.apply(1);
    assert_eq!(gone, Answer::Gone);
    world.reply(first, Reply::Applied(gone));
    assert_eq!(
        world.waiting(1),
        [OpKind::Repair],
        "0 and 2 are believed to hold"
    );
    let (second, gone) = world.apply(2);
    world.reply(second, Reply::Applied(gone));
    assert_eq!(lost(&mut world), Loss::Gone);
    assert!(!world.ops(2).contains(&OpKind::Repair));
    assert!(!world.may_act(lease));
}

#[test]
fn a_node_that_another_has_taken_is_not_repaired_over() {
    let (mut world, lease) = held(3);
    world.nodes[1].forget();
    let thief = Token {
        label: None,
        secret: Secret::new([0xEE; 16]),
        attempt: 1,
    };
    let (key, until) = (key("k"), at(secs(10)));
    world.nodes[1].put(&key, &thief, until);
    world.advance(RENEW_AFTER);
    assert!(world.may_act(lease));
    assert_eq!(world.nodes[1].lock(world.now, &key), Some((thief, until)));
}

#[test]
fn a_node_that_never_granted_is_won_over_by_repair() {
    let mut world = World::new(3);
    world.down(2);
    let lease = world.acquire("k");
    world.up(2);
    assert!(!world.holds(2, "k"));
    world.advance(RENEW_AFTER);
    assert!(world.holds(2, "k"));
    assert!(world.may_act(lease));
}

#[test]
fn a_node_that_is_down_is_not_renewed_at_and_is_again_when_it_is_up() {
    let (mut world, lease) = held(3);
    world.down(2);
    world.advance(secs(60));
    assert!(world.may_act(lease));
    assert_eq!(world.ops(2), [OpKind::Acquire]);
    world.up(2);
    world.advance(secs(7));
    assert!(world.holds(2, "k"));
}

#[test]
fn a_renewal_that_fails_at_once_waits_before_it_is_retried() {
    let (mut world, _) = held(3);
    world.down(0);
    world.down(1);
    world.advance(RENEW_AFTER);
    assert_eq!(suspects(&world.events()), 1);
    assert!(world.manager.poll_timeout().unwrap() > world.now + ms(100));
    world.advance_to(at(VALID_FOR));
    let events = world.events();
    assert!((3..=10).contains(&suspects(&events)), "{events:?}");
}

#[test]
fn a_renewal_not_ready_is_asked_again_and_counts_from_its_queueing() {
    let (mut world, _) = held(1);
    world.withhold([0]);
    world.advance(RENEW_AFTER);
    world.stall(ms(400));
    world.refuse(0, Refusal::Again);
    world.resume([0]);
    assert_eq!(
        world.event(),
        EventKind::Renewed {
            valid_until: at(RENEW_AFTER + VALID_FOR)
        }
    );
}

/// Validity is neither counted from the first try nor from a moment at which nothing was queued.
#[test]
fn a_renewal_that_was_never_sent_is_asked_anew_with_a_later_start() {
    // It is queued, but not written before the round is over. The retry asks anew, and counts from
    // then.
    let (mut world, lease) = held(1);
    let due = at(RENEW_AFTER);
    world.stall(RENEW_AFTER);
    world.manager.handle_timeout(world.now);
    world.stall(ROUND);
    world.manager.handle_timeout(world.now);
    assert!(world.manager.lease(lease).unwrap().is_suspect());
    world.stall(ms(300));
    world.manager.handle_timeout(world.now);
    let queued = world.now;
    world.stall(ms(100));
    world.pump();
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Renew]);
    assert!(queued > due);
    assert_eq!(world.manager.valid_until(lease), Some(queued + VALID_FOR));
}

#[test]
fn a_late_grant_of_a_slow_node_counts_while_the_lease_is_held() {
    let mut world = World::new(3);
    world.withhold([2]);
    let lease = world.acquire("k");
    world.deliver(2);
    world.pump();
    // Now either of the others may lose its copy.
    world.nodes[0].forget();
    world.resume([2]);
    world.advance(RENEW_AFTER);
    assert!(world.may_act(lease));
    assert_eq!(id(2).index(), 2);
}

fn renewals(world: &World) -> usize {
    let renewals = world.written.iter();
    renewals
        .filter(|(_, request)| matches!(request.op, Op::Renew { .. }))
        .count()
}

#[test]
fn a_late_answer_of_the_acquire_begins_no_renewal() {
    let mut world = World::new(3);
    world.withhold([2]);
    world.acquire("k");
    world.advance(ms(50));
    world.deliver(2);
    world.pump();
    assert_eq!(renewals(&world), 0);
}

#[test]
fn a_lease_that_cannot_last_longer_is_not_renewed() {
    let mut world = World::new(1);
    let capped = LeaseOptions::builder().ttl(secs(3));
    world.acquire_with("k", capped.max_hold(Some(ms(2_500))));
    world.advance(ms(2_499));
    assert_eq!(renewals(&world), 0);

    // Nor is a lease whose cap is just its validity.
    let mut world = World::new(1);
    let three = LeaseOptions::builder().ttl(secs(3));
    let valid_for = three
        .clone()
        .build(world.manager.config())
        .unwrap()
        .valid_for();
    world.acquire_with("k", three.max_hold(Some(valid_for)));
    world.advance(ms(2_900));
    assert_eq!(renewals(&world), 0);
}

#[test]
fn a_renewal_is_rejected_when_no_quorum_is_left_that_might_renew() {
    let suspect = |rejecting: usize| {
        let mut world = World::new(3);
        let lease = world.acquire("k");
        world.advance(secs(1));
        world.events();
        world.withhold([0, 1, 2]);
        world.renew(lease);
        for node in 0..3 {
            let words = Words::new("NOPERM");
            world.refuse(
                node,
                if node < rejecting {
                    Refusal::Rejected(words)
                } else {
                    cannot_serve()
                },
            );
        }
        match world.events().into_iter().next() {
            Some(EventKind::Suspect { cause, .. }) => {
                matches!(cause, RenewalFailure::Rejected { .. })
            }
            other => panic!("expected Suspect, got {other:?}"),
        }
    };
    assert!(!suspect(1));
    assert!(suspect(2));
}

#[test]
fn an_answer_to_an_old_attempt_does_not_count_for_the_lease_that_is_held() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let lease = world.acquire("k");
    world.refuse(0, cannot_serve());
    world.refuse(1, cannot_serve());
    world.resume([0, 1]);
    world.advance(secs(2));
    assert!(world.may_act(lease), "granted by two, in another attempt");
    // Only now does node 2 grant the first attempt. Then node 0 loses its copy.
    world.deliver(2);
    world.nodes[0].delete(&key("k"));
    world.renew(lease);
    assert!(!world.may_act(lease), "one node is no quorum");
}

#[test]
fn a_late_answer_to_a_confirmation_lengthens_nothing() {
    let mut world = World::new(3);
    for node in 0..3 {
        world.nodes[node].wall_ahead = 100 * node as u64;
    }
    world.withhold([0, 1, 2]);
    let lease = world.acquire("k");
    world.advance(ms(40));
    for node in [2, 0, 1] {
        world.deliver(node);
    }
    world.pump();
    world.deliver(1);
    world.pump();
    let told = world.manager.valid_until(lease);
    // The other confirmation is answered while the lease is held. It stored a fence, and no expiry.
    world.deliver(0);
    world.advance(ms(100));
    world.renew(lease);
    world.deliver(1);
    world.pump();
    assert_eq!(world.manager.valid_until(lease), told);
}

#[test]
fn validity_that_grows_by_the_halves_of_two_renewals_is_told() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let lease = world.acquire("k");
    (0..3).for_each(|node| world.deliver(node));
    world.pump();
    world.events();
    let first = world.manager.valid_until(lease);
    // Each of the two renewals reaches one node. Together, the two nodes are a quorum that lasts
    // longer.
    for reached in [0, 1] {
        world.advance(secs(1));
        world.renew(lease);
        for node in 0..3 {
            if node == reached {
                world.deliver(node);
                world.pump();
            } else {
                world.lose_request(node);
            }
        }
    }
    let now = world.manager.valid_until(lease);
    assert!(now > first);
    let told = world
        .events()
        .into_iter()
        .rev()
        .find_map(|kind| match kind {
            EventKind::Renewed { valid_until } => Some(valid_until),
            _ => None,
        });
    assert_eq!(told, now, "no validity grows in silence");
}

/// The first one may have been done at any time, or never. The second sets the TTL anew.
#[test]
fn validity_after_a_broken_renewal_is_counted_from_the_second_request() {
    for arrived in [false, true] {
        let mut world = World::new(1);
        let lease = world.acquire("k");
        world.advance(secs(1));
        world.withhold([0]);
        world.renew(lease);
        world.advance(ms(300));
        match arrived {
            true => world.break_answer(0),
            false => world.break_connection(0),
        }
        assert_eq!(world.waiting(0), [OpKind::Renew]);
        let before = world.manager.valid_until(lease);
        assert_eq!(before, Some(at(VALID_FOR)), "nothing is confirmed yet");
        world.advance(ms(200));
        world.deliver(0);
        world.pump();
        let until = at(ms(1_300) + VALID_FOR);
        assert_eq!(world.manager.valid_until(lease), Some(until));
    }
}
