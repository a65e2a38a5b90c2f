//! Acquiring: grants, fences, contention, outage, attempts and what they leave to release.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{ROUND, VALID_FOR, World, at, cannot_serve, down, id, key, ms, said, secs, silence};
use tenure_core::{
    AcquireFailure, Answer, AtCapacity, Backoff, Config, Doubt, EventKind, Fence, Fingerprint,
    Instant, LeaseOptions, LeaseOptionsBuilder, LockName, NodeSet, Op, OpKind, Refusal, Reply,
    ServerTime, Words,
};

fn once() -> LeaseOptionsBuilder {
    LeaseOptions::builder().attempts(Some(1))
}

fn acquired(event: EventKind) -> (u64, Instant) {
    match event {
        EventKind::Acquired { fence, valid_until } => (fence.get(), valid_until),
        other => panic!("expected Acquired, got {other:?}"),
    }
}

fn failed(event: EventKind) -> AcquireFailure {
    match event {
        EventKind::Failed { cause, .. } => cause,
        other => panic!("expected Failed, got {other:?}"),
    }
}

#[test]
fn a_free_key_is_granted_by_one_by_three_and_by_five_nodes() {
    for nodes in [1, 3, 5] {
        let mut world = World::new(nodes);
        let lease = world.acquire("k");
        let (fence, valid_until) = acquired(world.event());
        assert_eq!(valid_until, at(VALID_FOR));
        assert_eq!(world.manager.valid_until(lease), Some(valid_until));
        assert_eq!(world.manager.fence(lease).map(Fence::get), Some(fence));
        for node in 0..nodes {
            assert_eq!(
                world.ops(node),
                [OpKind::Acquire],
                "equal fences need one round"
            );
        }
    }
}

#[test]
fn validity_counts_from_queueing_and_not_from_the_reply() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire("k");
    world.advance(ms(300));
    world.apply(0);
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire("k");
    world.advance(ms(300));
    let (request, answer) = world.apply(0);
    world.advance(ms(400));
    world.reply(request, Reply::Applied(answer));
    assert_eq!(acquired(world.event()).1, at(VALID_FOR));
}

#[test]
fn validity_counts_from_queueing_even_if_the_request_was_asked_again() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire("k");
    world.advance(ms(300));
    world.refuse(0, Refusal::Again);
    world.advance(ms(300));
    world.deliver(0);
    world.pump();
    assert_eq!(acquired(world.event()).1, at(VALID_FOR));
}

#[test]
fn validity_is_the_quorum_th_largest() {
    let mut world = World::new(3);
    world.withhold([2]);
    let lease = world.acquire("k");
    assert_eq!(acquired(world.event()).1, at(VALID_FOR));
    // The third grant comes late. It counts from when it was queued, so it lengthens nothing.
    world.advance(ms(500));
    world.deliver(2);
    world.pump();
    assert_eq!(world.manager.valid_until(lease), Some(at(VALID_FOR)));
    assert_eq!(world.events(), []);
}

/// Nodes that drew different fences need a second round, in which the largest is stored.
#[test]
fn a_fence_is_stored_on_a_quorum_before_it_is_told() {
    let mut world = World::new(3);
    for node in 0..3 {
        world.nodes[node].wall_ahead = 100 * node as u64;
    }
    world.withhold([0, 1, 2]);
    world.acquire("k");
    world.advance(ms(1));
    for node in [2, 0, 1] {
        world.deliver(node);
    }
    world.pump();
    assert_eq!(world.events(), [], "not yet stored on a quorum");
    assert_eq!(world.waiting(0), [OpKind::Confirm]);
    assert_eq!(world.waiting(1), [OpKind::Confirm]);
    world.deliver(1);
    world.pump();
    let (fence, _) = acquired(world.event());
    let stored = |node: usize| world.nodes[node].fence(&key("k"));
    assert_eq!(fence, stored(2));
    assert_eq!((0..3).filter(|node| stored(*node) >= fence).count(), 2);
}

/// Then the proposal is larger than what each of them would draw, and one round is enough.
#[test]
fn nodes_whose_clocks_differ_agree_once_a_server_time_was_seen() {
    let mut world = World::new(3);
    for node in 0..3 {
        world.nodes[node].wall_ahead = 1_000_000 + 100 * node as u64;
    }
    let first = world.acquire("k");
    world.release(first);
    world.events();
    world.written.clear();
    world.advance(secs(5));
    world.acquire("k");
    acquired(world.event());
    assert_eq!(world.ops(0), [OpKind::Acquire]);
    assert_eq!(world.ops(1), [OpKind::Acquire]);
}

#[test]
fn the_fence_of_each_grant_is_larger_whatever_quorum_grants_it() {
    let mut world = World::new(3);
    let mut last = 0;
    for round in 0..12 {
        // Each time two others of the three nodes grant, and the nodes' clocks differ.
        let silent = round % 3;
        world.nodes[round % 3].wall_ahead += 1_000;
        world.down(silent);
        let lease = world.acquire("k");
        let (fence, _) = acquired(world.event());
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        world.release(lease);
        world.events();
        world.up(silent);
    }
}

#[test]
fn a_held_key_is_contention_and_says_what_is_left() {
    for nodes in [1, 3, 5] {
        let mut world = World::new(nodes);
        world.acquire("k");
        world.events();
        world.advance(secs(4));
        world.acquire_with("k", once());
        assert_eq!(
            failed(world.event()),
            AcquireFailure::Contended {
                left: secs(6),
                ahead: None,
                holder: None
            }
        );
    }
}

#[test]
fn contention_with_a_node_down_is_contention_and_not_an_outage() {
    let mut world = World::new(3);
    world.acquire("k");
    world.events();
    world.down(2);
    let started = world.now;
    world.acquire_with("k", once());
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Contended { .. }
    ));
    assert_eq!(world.now, started, "and it is told at once");
}

#[test]
fn a_failed_round_releases_its_minority_before_its_backoff_begins() {
    let mut world = World::new(3);
    let rival = world.acquire("k");
    world.events();
    // A rival holds the key at three nodes. One of them forgets it, and grants our next attempt.
    world.nodes[2].forget();
    world.withhold([0, 1, 2]);
    world.acquire("k");
    world.deliver(2);
    world.deliver(1);
    assert!(world.holds(2, "k"));
    world.deliver(0);
    world.pump();
    assert_eq!(world.waiting(2), [OpKind::Release]);
    assert_eq!(world.events(), [], "not waiting before it is released");
    world.deliver(2);
    world.pump();
    assert!(!world.holds(2, "k"));
    assert!(matches!(
        world.event(),
        EventKind::Waiting {
            cause: AcquireFailure::Contended { .. },
            ..
        }
    ));
    assert!(world.may_act(rival));
}

#[test]
fn rivals_that_split_the_nodes_do_not_stay_split() {
    // Three clients begin at another node each, again and again. One of them gets the key soon.
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let leases: Vec<_> = (0..3).map(|_| world.acquire("k")).collect();
    for node in 0..3 {
        world.wire[node].rotate_left(node);
    }
    world.resume([0, 1, 2]);
    world.advance(secs(3));
    assert_eq!(leases.iter().filter(|l| world.may_act(**l)).count(), 1);
}

#[test]
fn an_acquire_of_unknown_outcome_is_a_debt_and_is_released() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    world.lose_reply(0);
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Outage {
            silent: vec![silence(0)]
        }
    );
    assert!(world.is_locked("k"));
    assert_eq!(world.waiting(0), [OpKind::Release]);
    world.resume([0]);
    assert!(!world.is_locked("k"));
    assert!(world.manager.is_empty());
}

#[test]
fn a_release_that_is_lost_as_well_is_retried_until_it_is_answered() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    world.lose_reply(0);
    for _ in 0..3 {
        world.lose_request(0);
        world.advance(secs(1));
        assert_eq!(world.waiting(0), [OpKind::Release]);
    }
    world.resume([0]);
    assert!(!world.is_locked("k"));
    assert!(world.manager.is_empty());
}

#[test]
fn a_debt_that_cannot_be_paid_ends_with_the_ttl() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    world.lose_reply(0);
    world.down(0);
    world.advance(secs(11));
    assert!(world.manager.is_empty());
    assert_eq!(world.manager.poll_timeout(), None);
}

#[test]
fn a_grant_that_comes_after_giving_up_is_released() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", LeaseOptions::builder().give_up_after(Some(ms(200))));
    world.refuse(0, cannot_serve());
    world.advance(ms(200));
    assert!(matches!(
        world.events().pop(),
        Some(EventKind::Failed { gave_up: true, .. })
    ));
    assert_eq!(world.waiting(0), [OpKind::Acquire, OpKind::Release]);
    world.resume([0]);
    assert_eq!(world.events(), []);
    assert!(!world.is_locked("k"));
    assert!(world.manager.is_empty());
}

/// The caller's patience says nothing about the nodes: they get the time of an attempt.
#[test]
fn giving_up_does_not_cut_the_first_attempt() {
    for nodes in [1, 3] {
        for patience in [Duration::ZERO, ms(10)] {
            let hasty = || LeaseOptions::builder().give_up_after(Some(patience));
            // A free key is granted, by nodes that agree on a fence only with a second request.
            let mut world = World::new(nodes);
            world.nodes[0].wall_ahead = 1_000;
            world.withhold(0..nodes);
            let lease = world.acquire_with("k", hasty());
            for _ in 0..2 {
                world.advance(ROUND / 2 - ms(1));
                (0..nodes).for_each(|node| drain(&mut world, node));
            }
            assert!(world.may_act(lease), "{patience:?}");

            // Of a held one it is told that it is held.
            let mut world = World::new(nodes);
            world.acquire("k");
            world.events();
            world.withhold(0..nodes);
            world.acquire_with("k", hasty());
            world.advance(ROUND - ms(1));
            world.resume(0..nodes);
            let cause = failed(world.event());
            assert!(
                matches!(cause, AcquireFailure::Contended { .. }),
                "{cause:?}"
            );

            // Of silent nodes, that they are silent, and not before an attempt is over.
            let mut world = World::new(nodes);
            world.withhold(0..nodes);
            world.acquire_with("k", hasty());
            world.advance(ROUND - ms(1));
            assert_eq!(world.events(), []);
            world.advance(ms(1));
            assert!(matches!(
                failed(world.event()),
                AcquireFailure::Outage { .. }
            ));
        }
    }
}

/// Everything that waits on the wire to a node arrives and is answered.
fn drain(world: &mut World, node: usize) {
    while !world.wire[node].is_empty() {
        world.deliver(node);
    }
    world.pump();
}

#[test]
fn a_vote_of_an_old_attempt_is_not_credited_to_a_new_one() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let backoff = Backoff::new(ms(25), ms(25));
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(backoff));
    // Attempt 1: node 0 grants, but its reply does not come yet. The others refuse.
    let (late, granted) = world.apply(0);
    world.refuse(1, cannot_serve());
    world.refuse(2, cannot_serve());
    world.advance(ROUND + ms(50));
    // Attempt 2 is asked of the two others. The reply to attempt 1 arrives, and one grant of
    // attempt 2.
    assert_eq!(world.waiting(1), [OpKind::Acquire]);
    assert_eq!(world.wire[1][0].token.attempt, 2);
    world.reply(late, Reply::Applied(granted));
    world.deliver(1);
    world.pump();
    assert!(!world.may_act(lease), "one node of three is no quorum");
    // The token of attempt 1 is released.
    assert_eq!(world.waiting(0), [OpKind::Release]);
    world.deliver(0);
    world.pump();
    assert!(!world.holds(0, "k"));
    world.deliver(2);
    world.pump();
    assert!(world.may_act(lease));
}

#[test]
fn an_old_attempt_that_a_node_still_holds_is_released_in_the_end() {
    // At node 2, the outcomes of attempt 1 and of its release are unknown. The others grant attempt
    // 2.
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let backoff = Backoff::new(ms(25), ms(25));
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(backoff));
    world.refuse(0, cannot_serve());
    world.refuse(1, cannot_serve());
    world.lose_reply(2);
    world.lose_request(2);
    world.advance(ms(25));
    world.deliver(0);
    world.deliver(1);
    world.lose_request(2);
    world.pump();
    assert!(world.may_act(lease));
    world.resume([0, 1]);
    // The renewal finds the token of attempt 1 at node 2, and the repair is lost.
    world.advance(secs(7));
    assert_eq!(world.waiting(2), [OpKind::Renew]);
    world.deliver(2);
    world.pump();
    assert_eq!(world.waiting(2), [OpKind::Repair]);
    world.refuse(2, cannot_serve());
    world.release(lease);
    world.resume([2]);
    assert!(!world.is_locked("k"));
    assert!(world.manager.is_empty());
}

/// What was queued for it when it went down is answered at once, as never sent.
#[test]
fn a_node_that_is_down_is_not_asked() {
    let mut world = World::new(1);
    world.withhold([0]);
    let options = std::sync::Arc::new(once().build(world.manager.config()).unwrap());
    let secret = tenure_core::Secret::new([9; 16]);
    let lease = world
        .manager
        .acquire(world.now, key("k"), secret, options)
        .unwrap();
    world.manager.handle_node_down(world.now, id(0), down());
    world.pump();
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Outage {
            silent: vec![said(0, down())]
        }
    );
    assert!(world.manager.lease(lease).is_none(), "nothing is owed");
    world.acquire_with("k", once());
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Outage { .. }
    ));
    assert_eq!(world.written, []);
    // It is asked again when it is up.
    world.up(0);
    world.acquire_with("k", once());
    acquired(world.event());
}

#[test]
fn a_lease_waits_through_an_outage_and_is_granted_after_it() {
    let mut world = World::new(3);
    world.down(0);
    world.down(1);
    let lease = world.acquire("k");
    world.advance(secs(30));
    assert!(!world.may_act(lease));
    let waits = world.events().len();
    assert!((25..=70).contains(&waits), "{waits} rounds in 30 s");
    world.up(0);
    world.advance(secs(1));
    assert!(world.may_act(lease));
}

#[test]
fn a_confirmation_that_goes_unanswered_is_an_outage_and_not_contention() {
    let mut world = World::new(2);
    world.nodes[1].wall_ahead = 100;
    world.withhold([0]);
    world.acquire_with("k", once());
    world.deliver(0);
    world.pump();
    assert_eq!(world.waiting(0), [OpKind::Confirm]);
    world.advance(ROUND);
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Outage {
            silent: vec![silence(0)]
        }
    );
}

#[test]
fn a_grant_of_which_nothing_is_left_is_released() {
    // The round is waited for until long after validity has ended.
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire_with("k", once().ttl(secs(1)));
    let (request, answer) = world.apply(0);
    world.stall(secs(2));
    world.reply(request, Reply::Applied(answer));
    assert!(!world.may_act(lease));
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Outage { .. }
    ));
}

#[test]
fn quarantine_is_told_with_the_node_and_what_is_left() {
    let mut world = World::new(3);
    world.nodes[1].quarantined(at(secs(5)));
    world.nodes[2].quarantined(at(secs(7)));
    world.acquire_with("k", once());
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Quarantined {
            node: id(1),
            left: secs(5)
        }
    );
    // A waiter gets the key when the first of the two quarantines ends.
    let lease = world.acquire("k");
    world.advance(secs(6));
    assert!(world.may_act(lease));
}

#[test]
fn a_refusal_for_good_is_told_at_once_in_the_servers_words() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire("k");
    let words = Words::new("NOPERM no permissions");
    world.refuse(0, Refusal::Rejected(words.clone()));
    assert_eq!(
        world.event(),
        EventKind::Failed {
            cause: AcquireFailure::Rejected { node: id(0), words },
            gave_up: false
        }
    );
    assert!(world.manager.is_empty());
}

#[test]
fn one_node_that_contradicts_the_configuration_ends_the_acquire() {
    let mut world = World::new(3);
    world.acquire("k");
    world.events();
    world.withhold([0, 1, 2]);
    world.acquire("k");
    let words = Words::new("max TTL is 30 s here");
    world.refuse(1, Refusal::Misuse(words.clone()));
    world.deliver(0);
    world.deliver(2);
    world.pump();
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Misuse { node: id(1), words }
    );
}

/// Each time at once.
#[test]
fn a_node_that_was_not_ready_is_asked_again_at_most_three_times() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    for _ in 0..3 {
        assert_eq!(world.waiting(0), [OpKind::Acquire]);
        world.refuse(0, Refusal::Again);
    }
    assert_eq!(world.waiting(0), [OpKind::Acquire]);
    world.refuse(0, Refusal::Again);
    assert_eq!(world.waiting(0), []);
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Outage { .. }
    ));
    assert!(world.manager.is_empty(), "not applied: nothing is owed");
}

#[test]
fn an_acquire_that_was_not_ready_is_not_asked_again_past_its_release() {
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire("k");
    world.cancel(lease);
    assert_eq!(world.waiting(0), [OpKind::Acquire, OpKind::Release]);
    world.refuse(0, Refusal::Again);
    world.resume([0]);
    assert_eq!(world.ops(0), [OpKind::Acquire, OpKind::Release]);
    assert!(world.manager.is_empty());
}

#[test]
fn attempts_and_time_to_give_up_are_bounds() {
    let mut world = World::new(1);
    world.acquire("k");
    world.events();
    world.acquire_with("k", LeaseOptions::builder().attempts(Some(3)));
    world.advance(secs(5));
    let events = world.events();
    let waits = events
        .iter()
        .filter(|e| matches!(e, EventKind::Waiting { .. }));
    assert_eq!(waits.count(), 2);
    assert!(matches!(
        events.last(),
        Some(EventKind::Failed { gave_up: true, .. })
    ));

    let start = world.now;
    let lease = world.acquire_with("k", LeaseOptions::builder().give_up_after(Some(ms(700))));
    world.advance(secs(5));
    let (when, last) = world
        .told
        .iter()
        .rfind(|(_, event)| event.lease == lease)
        .unwrap();
    assert_eq!(*when, start + ms(700));
    let contended = |cause: &AcquireFailure| matches!(cause, AcquireFailure::Contended { .. });
    assert!(
        matches!(&last.kind, EventKind::Failed { cause, gave_up: true } if contended(cause)),
        "{last:?}"
    );
}

#[test]
fn a_waiter_is_granted_soon_after_the_holder_lets_go() {
    let mut world = World::new(3);
    let holder = world.acquire("k");
    let waiter = world.acquire("k");
    world.advance(secs(20));
    assert!(world.may_act(holder) && !world.may_act(waiter));
    world.release(holder);
    world.advance(secs(1));
    assert!(world.may_act(waiter));
}

#[test]
fn a_client_at_capacity_says_so() {
    let config = Config::builder(1).max_leases(2).build().unwrap();
    let mut world = World::with(config, 1);
    let options = std::sync::Arc::new(
        LeaseOptions::builder()
            .build(world.manager.config())
            .unwrap(),
    );
    let first = world.acquire("a");
    world.acquire("b");
    let full = world.try_acquire("c", options.clone()).unwrap_err();
    assert_eq!(full, AtCapacity { max_leases: 2 });
    assert!(full.to_string().contains('2'), "{full}");
    world.release(first);
    assert!(world.try_acquire("c", options).is_ok());
}

#[test]
fn a_lease_that_ended_shares_no_name_with_a_later_one() {
    let mut world = World::new(1);
    let first = world.acquire("a");
    let request = world.written[0].1.id;
    world.release(first);
    let second = world.acquire("b");
    assert_eq!(first.index(), second.index());
    assert_ne!(first, second);
    assert!(!world.may_act(first));
    world.events();
    let before = world.manager.lease(second).unwrap().clone();
    world.release(first);
    world.cancel(first);
    world.reply(request, Reply::Unknown(Doubt::Silent));
    assert_eq!(world.manager.lease(second), Some(&before));
    assert_eq!(world.events(), []);
}

#[test]
fn requests_carry_what_the_protocol_needs_and_no_secret_is_shown() {
    let mut world = World::new(1);
    world.withhold([0]);
    let label = tenure_core::Label::new("billing-7").unwrap();
    world.acquire_with("k", LeaseOptions::builder().label(Some(label.clone())));
    let request = world.wire[0][0].clone();
    assert_eq!(request.op.kind(), OpKind::Acquire);
    let Op::Acquire { ttl, proposal, .. } = request.op else {
        panic!("{:?}", request.op);
    };
    assert_eq!((ttl, proposal), (Duration::from_secs(10), None));
    assert_eq!(request.token.attempt, 1);
    assert_eq!(request.token.label, Some(label));
    assert_eq!(request.deadline, at(ROUND));
    let shown = format!("{request:?} {:?}", world.manager);
    assert!(!shown.contains("0, 0, 0, 0, 0"), "{shown}");
}

#[test]
fn an_answer_that_makes_no_sense_ends_nothing_in_a_panic() {
    let fence = Fence::new(u64::MAX).unwrap();
    let server_time = ServerTime::from_micros(u64::MAX);
    let answers = [
        Answer::Granted { fence, server_time },
        Answer::Held {
            left: Duration::MAX,
            server_time,
            holder: Fingerprint::new(u32::MAX).into(),
            ahead: None,
        },
        Answer::Foreign,
        Answer::WrongType {
            name: LockName::Counter,
            holds: "a list",
        },
        Answer::Quarantined {
            left: Duration::MAX,
        },
        Answer::Done,
        Answer::Gone,
        Answer::Taken,
    ];
    for nodes in [1, 3] {
        for first in &answers {
            for second in &answers {
                let mut world = World::new(nodes);
                world.withhold(0..nodes);
                let lease = world.acquire("k");
                for (step, answer) in [first, second, first, second].into_iter().enumerate() {
                    for node in 0..nodes {
                        if let Some(request) = world.wire[node].pop_front() {
                            world.reply(request.id, Reply::Applied(answer.clone()));
                        }
                    }
                    if step == 2 {
                        world.release(lease);
                    }
                    world.advance(secs(7));
                }
            }
        }
    }
    assert_eq!(NodeSet::EMPTY.len(), 0);
}
