//! Edges: what is told, asked and waited for at the very moment where it could just be otherwise.

mod support;

use std::collections::BTreeSet;

use support::{ROUND, World, at, id, key, ms, secs};
use tenure_core::{
    AcquireFailure, Answer, Config, EventKind, LeaseOptions, LeaseOptionsBuilder, Op, Refusal,
    Release, Reply, Rng, Secret, ServerTime, Token, Words,
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

/// Someone else holds the key until then.
fn rival(world: &mut World, until: tenure_core::Instant) {
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
    let silent = [id(0)].into_iter().collect();
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
    assert_eq!(world.ops(0), ["acquire", "confirm"]);
    assert_eq!(world.ops(2), ["acquire"]);
}

#[test]
fn a_grant_that_comes_at_the_very_end_of_its_cap_is_no_grant() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once().max_hold(Some(ms(100))));
    world.advance(ms(100));
    world.deliver(0);
    world.pump();
    assert!(matches!(failure(&mut world), AcquireFailure::Outage { .. }));
}

#[test]
fn a_round_that_the_end_of_waiting_cut_short_does_not_hide_the_answer_of_the_one_before() {
    let mut world = World::new(1);
    rival(&mut world, at(secs(60)));
    world.acquire_with("k", LeaseOptions::builder().give_up_after(Some(ms(300))));
    world.withhold([0]);
    world.advance(ms(300));
    assert!(contended(&failure(&mut world)));
}

#[test]
fn a_round_that_failed_by_itself_is_told_whatever_the_one_before_was_answered() {
    let mut world = World::new(1);
    rival(&mut world, at(secs(60)));
    world.acquire_with("k", LeaseOptions::builder().attempts(Some(2)));
    world.withhold([0]);
    world.advance(ms(30));
    world.refuse(0, Refusal::Unavailable);
    assert!(matches!(failure(&mut world), AcquireFailure::Outage { .. }));
}

#[test]
fn a_waiter_asks_soon_after_the_time_of_a_silent_holder_ends() {
    for seed in 0..20 {
        let mut world = World::with(tenure_core::Config::builder(1).build().unwrap(), seed);
        rival(&mut world, at(secs(20)));
        world.acquire("k");
        world.advance(secs(30));
        let granted = |event: &EventKind| matches!(event, EventKind::Acquired { .. });
        let (when, _) = world.told.iter().find(|(_, e)| granted(&e.kind)).unwrap();
        assert!(*when <= at(secs(20) + ms(25)), "{when:?}");
    }
}

#[test]
fn no_two_requests_of_a_lease_share_a_name() {
    let mut world = World::new(1);
    world.withhold([0]);
    let lease = world.acquire("k");
    world.refuse(0, Refusal::Again);
    world.deliver(0);
    world.pump();
    world.renew(lease);
    world.release(lease);
    world.resume([0]);
    let names: BTreeSet<_> = world
        .written
        .iter()
        .map(|(_, request)| request.id)
        .collect();
    assert_eq!(world.ops(0), ["acquire", "acquire", "renew", "release"]);
    assert_eq!(names.len(), 4);
}

#[test]
fn a_release_that_was_not_ready_is_asked_again_at_once() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.withhold([0]);
    world.release(lease);
    world.refuse(0, Refusal::Again);
    assert_eq!(world.waiting(0), ["release"]);
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

#[test]
fn a_debt_ends_when_the_key_has_expired_by_the_slowest_clock_and_not_before() {
    let mut world = World::new(1);
    world.withhold([0]);
    world.acquire_with("k", once());
    let acquire = world.wire[0].pop_front().unwrap();
    world.reply(acquire.id, Reply::Unknown);
    world.down(0);
    // TTL and drift margin.
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
    world.advance(support::RENEW_AFTER);
    assert_eq!(world.ops(0), ["acquire", "renew"]);
    assert!(world.manager.is_empty());
}

#[test]
fn the_generator_is_splitmix64() {
    let mut rng = Rng::new(1_234_567);
    let drawn = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
    let published = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
    ];
    assert_eq!(drawn, published);
}

#[test]
fn an_extra_timeout_does_not_begin_the_backoff_before_the_failed_round_is_released() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    world.acquire("k");
    world.refuse(0, Refusal::Unavailable);
    world.refuse(1, Refusal::Unavailable);
    assert_eq!(world.waiting(2), ["acquire", "release"]);
    world.timeout();
    assert_eq!(world.events(), [], "not waiting yet");
}

fn renewals(world: &World) -> usize {
    let renewals = world.written.iter();
    renewals
        .filter(|(_, request)| matches!(request.op, Op::Renew { .. }))
        .count()
}

#[test]
fn an_answer_that_comes_first_does_not_begin_the_backoff_before_the_release_behind_it() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    world.acquire("k");
    world.refuse(0, Refusal::Unavailable);
    world.refuse(1, Refusal::Unavailable);
    world.deliver(2);
    world.pump();
    assert_eq!(world.events(), [], "its release is still to be answered");
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

    // Nor one whose cap is just what it has.
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
fn a_release_is_waited_for_as_long_as_two_rounds() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.events();
    world.withhold([0]);
    world.release(lease);
    world.advance(ROUND * 2 - ms(1));
    assert_eq!(world.events(), []);
    world.advance(ms(1));
    let outcome = Release::Unknown;
    assert_eq!(world.events(), [EventKind::Released { outcome }]);
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
                    Refusal::Unavailable
                },
            );
        }
        match world.events().into_iter().next() {
            Some(EventKind::Suspect { rejected, .. }) => rejected.is_some(),
            other => panic!("expected Suspect, got {other:?}"),
        }
    };
    assert!(!suspect(1));
    assert!(suspect(2));
}

#[test]
fn a_quorum_that_may_still_form_beside_a_node_in_quarantine_decides_why_a_round_failed() {
    let mut world = World::new(3);
    world.nodes[0].quarantined(at(secs(5)));
    world.withhold([1, 2]);
    world.acquire_with("k", once());
    let held = |left| {
        Reply::Applied(Answer::Held {
            left: ms(left),
            server_time: ServerTime::from_micros(0),
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
fn a_round_whose_time_and_whose_waiting_end_together_was_not_cut_short() {
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

#[test]
fn an_answer_to_an_old_attempt_does_not_count_for_the_lease_that_is_held() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let lease = world.acquire("k");
    world.refuse(0, Refusal::Unavailable);
    world.refuse(1, Refusal::Unavailable);
    world.resume([0, 1]);
    world.advance(secs(2));
    assert!(world.may_act(lease), "granted by two, in another attempt");
    // Node 2 grants the first attempt only now; then node 0 loses its copy.
    world.deliver(2);
    world.nodes[0].delete(&key("k"));
    world.renew(lease);
    assert!(!world.may_act(lease), "one node is no quorum");
}

#[test]
fn renewals_are_gathered_within_a_thousandth_of_the_max_ttl() {
    let config = Config::builder(1).max_ttl(secs(1)).build().unwrap();
    let mut world = World::with(config, 1);
    let options = LeaseOptions::builder().ttl(secs(1));
    world.acquire_with("one", options.clone());
    world.advance(ms(2));
    world.acquire_with("two", options);
    world.withhold([0]);
    world.now = world.manager.poll_timeout().unwrap();
    world.manager.handle_timeout(world.now);
    let mut batch = Vec::new();
    assert_eq!(world.manager.poll_requests(id(0), 9, &mut batch), 1);
}

#[test]
fn requests_are_appended_to_what_is_there_and_only_they_are_counted() {
    let mut world = World::new(1);
    let mut batch = Vec::new();
    let options = LeaseOptions::builder().build(world.manager.config());
    let options = std::sync::Arc::new(options.unwrap());
    for number in 0..3 {
        let secret = Secret::new([number; 16]);
        let begun = world
            .manager
            .acquire(world.now, key("k"), secret, options.clone());
        begun.unwrap();
    }
    assert_eq!(world.manager.poll_requests(id(0), 1, &mut batch), 1);
    assert_eq!(world.manager.poll_requests(id(0), 2, &mut batch), 2);
    assert_eq!(batch.len(), 3);
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
    // The other confirmation is answered when it is held: it kept the fence, and not the lock.
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
    // Each renewal reaches one node, and not the same: together they are a quorum that lasts longer.
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
