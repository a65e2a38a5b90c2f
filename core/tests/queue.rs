//! Waiting in the queue of a key: places, the hand-off, pushes, and what happens where they fail.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{ROUND, VALID_FOR, World, at, cannot_serve, id, key, ms, secs};
use tenure_core::{
    AcquireFailure, Answer, Config, EventKind, Fingerprint, Instant, LeaseId, LeaseOptions,
    LeaseOptionsBuilder, Loss, OpKind, RenewalPolicy, Reply, Secret, ServerTime, Token,
};
use tenure_sim::node::Value;

/// After how long a place is kept again.
const KEEP_AFTER: Duration = support::RENEW_AFTER;

/// A client whose leases wait in queues.
fn queueing() -> World {
    let config = Config::builder(1).takes(true).queues(true).build().unwrap();
    let mut world = World::with(config, 7);
    world.judged = true;
    world
}

/// A world in which the first lease holds the key, and so many wait for it.
fn waiting(count: usize) -> (World, LeaseId, Vec<LeaseId>) {
    let mut world = queueing();
    let holder = world.acquire("k");
    let waiters = (0..count).map(|_| world.acquire("k")).collect();
    world.events();
    (world, holder, waiters)
}

/// Somebody else holds the key for an hour.
fn held(world: &mut World) {
    let token = Token {
        label: None,
        secret: Secret::new([200; 16]),
        attempt: 1,
    };
    world.nodes[0].put(&key("k"), &token, at(secs(3_600)));
}

fn places(world: &World) -> usize {
    world.nodes[0].places(&key("k"))
}

/// Until when the lease that was just acquired is valid.
fn acquired(world: &mut World) -> Instant {
    let events = world.events();
    let until = events.iter().find_map(|event| match event {
        EventKind::Acquired { valid_until, .. } => Some(*valid_until),
        _ => None,
    });
    until.unwrap_or_else(|| panic!("expected Acquired, got {events:?}"))
}

fn options() -> LeaseOptionsBuilder {
    LeaseOptions::builder()
}

fn count(world: &World, kind: OpKind) -> usize {
    world.ops(0).iter().filter(|other| **other == kind).count()
}

#[test]
fn who_is_refused_by_script_enters_a_place_with_that_request() {
    let (world, _, waiters) = waiting(1);
    assert_eq!(world.ops(0), [OpKind::Take, OpKind::Take, OpKind::Wait]);
    assert_eq!(places(&world), 1);
    assert!(!world.may_act(waiters[0]));
}

#[test]
fn the_release_hands_the_lock_to_the_first_in_line() {
    let (mut world, holder, waiters) = waiting(2);
    world.release(holder);
    assert!(world.may_act(waiters[0]));
    assert!(!world.may_act(waiters[1]));
    assert_eq!(places(&world), 1);
    world.release(waiters[0]);
    assert!(world.may_act(waiters[1]));
    assert_eq!(places(&world), 0);
    world.release(waiters[1]);
    assert!(!world.is_locked("k"));
}

#[test]
fn a_lease_granted_by_a_push_is_valid_from_the_request_that_kept_it_there() {
    let (mut world, holder, _) = waiting(1);
    world.advance(secs(3));
    world.release(holder);
    assert_eq!(acquired(&mut world), at(VALID_FOR));
}

/// Where only the node's answer grants, as with quarantine.
#[test]
fn a_push_that_grants_nothing_lets_the_lease_ask_at_once() {
    let config = Config::builder(1).queues(true).pushes_grant(false);
    let mut world = World::with(config.build().unwrap(), 7);
    world.judged = true;
    let (holder, waiter) = (world.acquire("k"), world.acquire("k"));
    world.advance(secs(3));
    let before = count(&world, OpKind::Wait);
    world.events();
    world.release(holder);
    assert_eq!(count(&world, OpKind::Wait), before + 1);
    assert!(world.may_act(waiter));
    // From the request that was answered, not from the one that had kept the place.
    assert_eq!(acquired(&mut world), at(secs(3) + VALID_FOR));
}

#[test]
fn a_place_is_kept_at_the_pace_of_renewals() {
    let (mut world, _, _) = waiting(3);
    let before = count(&world, OpKind::Wait);
    world.advance(KEEP_AFTER - ms(1));
    assert_eq!(count(&world, OpKind::Wait), before);
    world.advance(ms(2));
    assert_eq!(count(&world, OpKind::Wait), before + 3);
}

#[test]
fn a_lease_whose_attempts_are_bounded_never_enters_a_place() {
    let (mut world, _, _) = waiting(0);
    world.acquire_with("k", options().attempts(Some(1)));
    world.acquire_with("k", options().attempts(Some(2)));
    assert_eq!(count(&world, OpKind::Wait), 0);
    assert_eq!(places(&world), 0);
}

#[test]
fn giving_up_removes_the_place_in_one_trip() {
    let (mut world, _, _) = waiting(0);
    world.acquire_with("k", options().give_up_after(Some(secs(2))));
    world.events();
    assert_eq!(places(&world), 1);
    world.advance(secs(2));
    let event = world.event();
    let EventKind::Failed { cause, gave_up } = event else {
        panic!("expected Failed, got {event:?}");
    };
    assert!(
        matches!(cause, AcquireFailure::Contended { .. }),
        "{cause:?}"
    );
    assert!(gave_up);
    assert_eq!(places(&world), 0);
    assert_eq!(count(&world, OpKind::Release), 1);
}

#[test]
fn dropping_the_wait_removes_the_place_in_one_trip() {
    let (mut world, holder, waiters) = waiting(2);
    world.cancel(waiters[0]);
    assert_eq!(places(&world), 1);
    world.release(holder);
    assert!(world.may_act(waiters[1]));
}

#[test]
fn a_cancel_that_meets_the_hand_off_hands_the_lock_to_the_next() {
    let (mut world, holder, waiters) = waiting(2);
    world.pushed_at_once = false;
    world.release(holder);
    // The lock is the first one's, and the push is on its way.
    world.cancel(waiters[0]);
    world.push(0);
    world.pump();
    assert!(!world.may_act(waiters[0]));
    world.push(0);
    world.pump();
    assert!(world.may_act(waiters[1]));
}

#[test]
fn a_push_before_the_reply_that_entered_the_place_counts() {
    let (mut world, holder, _) = waiting(0);
    world.withhold([0]);
    let waiter = world.acquire("k");
    world.deliver(0);
    world.pump();
    world.advance(ms(100));
    let (entered, said) = world.apply(0);
    // The holder gives it back before the reply is there.
    world.prompt[0] = true;
    world.release(holder);
    assert!(world.may_act(waiter));
    assert_eq!(acquired(&mut world), at(VALID_FOR));
    // It says that the lease waits, and is older than the push.
    world.reply(entered, tenure_core::Reply::Applied(said));
    assert!(world.may_act(waiter), "{:?}", world.events());
}

#[test]
fn a_push_that_was_lost_is_made_up_for_by_the_next_request() {
    let (mut world, holder, waiters) = waiting(1);
    world.pushed_at_once = false;
    world.release(holder);
    world.pushes[0].clear();
    world.pump();
    assert!(!world.may_act(waiters[0]));
    world.advance(KEEP_AFTER + ms(1));
    assert!(world.may_act(waiters[0]));
}

#[test]
fn a_push_that_comes_twice_changes_nothing() {
    let (mut world, holder, waiters) = waiting(1);
    world.pushed_at_once = false;
    world.release(holder);
    let push = world.pushes[0][0];
    world.arrives(0, push);
    world.pump();
    let until = acquired(&mut world);
    world.advance(secs(1));
    world.arrives(0, push);
    world.pump();
    assert_eq!(world.events(), []);
    assert_eq!(world.manager.valid_until(waiters[0]), Some(until));
}

#[test]
fn a_push_for_a_place_that_was_entered_anew_makes_the_lease_ask() {
    let (mut world, holder, waiters) = waiting(1);
    world.pushed_at_once = false;
    world.release(holder);
    let late = world.pushes[0].pop_front().unwrap();
    world.pump();
    // The lock that it was handed is deleted, and somebody else takes it.
    world.nodes[0].delete(&key("k"));
    held(&mut world);
    world.advance(KEEP_AFTER + ms(1));
    assert_eq!(places(&world), 1, "entered anew");
    world.judged = false;
    world.arrives(0, late);
    let before = count(&world, OpKind::Wait);
    world.pump();
    assert!(!world.may_act(waiters[0]));
    assert_eq!(count(&world, OpKind::Wait), before + 1, "it asks at once");
}

#[test]
fn a_push_that_came_too_late_to_leave_any_validity_makes_the_lease_ask() {
    let (mut world, holder, waiters) = waiting(1);
    world.pushed_at_once = false;
    world.release(holder);
    world.stall(VALID_FOR + ms(1));
    world.push(0);
    world.pump();
    assert!(!world.may_act(waiters[0]) || acquired(&mut world) > world.now);
    world.advance(secs(1));
    assert!(world.may_act(waiters[0]), "the key was its own, or free");
}

/// The first waiter has the lock by a push, and a request to keep its place is still on its way.
fn granted_while_it_keeps_its_place() -> (World, LeaseId) {
    let (mut world, holder, waiters) = waiting(1);
    world.pushed_at_once = false;
    world.withhold([0]);
    world.manager.release(world.now, holder);
    world.pump();
    world.deliver(0);
    world.advance(KEEP_AFTER + ms(1));
    assert_eq!(world.waiting(0), [OpKind::Wait]);
    world.push(0);
    world.pump();
    assert!(world.may_act(waiters[0]));
    world.events();
    world.judged = false;
    (world, waiters[0])
}

#[test]
fn a_waiting_reply_to_a_request_later_than_that_of_a_push_ends_the_lease() {
    let (mut world, _) = granted_while_it_keeps_its_place();
    // Somebody deletes the key and another takes it, before the request arrives.
    world.nodes[0].delete(&key("k"));
    held(&mut world);
    world.events();
    world.deliver(0);
    world.pump();
    let lost = EventKind::Lost { loss: Loss::Taken };
    assert!(world.events().contains(&lost));
    world.resume([0]);
    assert_eq!(places(&world), 0, "the place that it entered is removed");
}

#[test]
fn so_does_a_later_answer_that_the_key_was_overwritten() {
    for value in [Value::Other, Value::WrongType] {
        let (mut world, lease) = granted_while_it_keeps_its_place();
        world.nodes[0].make(&key("k"), value);
        world.deliver(0);
        world.pump();
        let lost = EventKind::Lost { loss: Loss::Taken };
        assert!(world.events().contains(&lost), "{value:?}");
        assert!(!world.may_act(lease));
    }
}

/// The node forgot that it had handed the lock on, and the lease does not learn it by this request.
#[test]
fn a_place_that_was_entered_although_the_lock_is_held_goes_with_the_lease() {
    let (mut world, lease) = granted_while_it_keeps_its_place();
    world.nodes[0].delete(&key("k"));
    held(&mut world);
    world.events();
    world.lose_reply(0);
    assert_eq!(places(&world), 1);
    world.resume([0]);
    world.renew(lease);
    let lost = EventKind::Lost { loss: Loss::Taken };
    assert!(world.events().contains(&lost));
    assert_eq!(places(&world), 0);
}

#[test]
fn a_lost_reply_keeps_the_attempt_and_is_not_released() {
    let (mut world, holder, _) = waiting(0);
    world.withhold([0]);
    let waiter = world.acquire("k");
    world.deliver(0);
    world.pump();
    world.lose_reply(0);
    assert_eq!(places(&world), 1);
    world.resume([0]);
    world.advance(secs(3));
    assert_eq!(count(&world, OpKind::Release), 0);
    assert_eq!(places(&world), 1);
    assert!(
        world
            .written
            .iter()
            .all(|(_, request)| request.token.attempt == 1)
    );
    world.release(holder);
    assert!(world.may_act(waiter));
}

#[test]
fn the_first_two_in_line_ask_when_a_holder_died() {
    let mut world = queueing();
    held(&mut world);
    let token = world.nodes[0].holder(world.now, &key("k")).unwrap();
    world.nodes[0].put(&key("k"), &token, at(secs(3)));
    let waiters: Vec<_> = (0..3).map(|_| world.acquire("k")).collect();
    let before = count(&world, OpKind::Wait);
    world.advance(secs(3) + ms(1));
    assert!(world.may_act(waiters[0]));
    world.advance(ms(10));
    assert_eq!(count(&world, OpKind::Wait), before + 2);
}

#[test]
fn the_head_asks_by_backoff_for_a_lock_whose_holder_hands_nobody_on() {
    let mut world = queueing();
    world.nodes[0].make(&key("k"), Value::Other);
    let head = world.acquire("k");
    let second = world.acquire("k");
    let asks = |world: &World, lease: LeaseId| {
        let of_it = world.written.iter().filter(|(_, r)| r.id.lease == lease);
        of_it.filter(|(_, r)| r.op.kind() == OpKind::Wait).count()
    };
    world.advance(secs(5));
    assert!(asks(&world, head) > 2, "{}", asks(&world, head));
    assert_eq!(asks(&world, second), 1);
    world.nodes[0].delete(&key("k"));
    world.advance(secs(3));
    assert!(world.may_act(head));
}

#[test]
fn who_cannot_be_pushed_to_asks_by_backoff() {
    let mut world = queueing();
    world.manager.handle_node_pushes(id(0), false);
    let holder = world.acquire("k");
    let waiter = world.acquire("k");
    world.advance(secs(2));
    assert!(count(&world, OpKind::Wait) > 2);
    world.release(holder);
    world.advance(secs(2));
    assert!(world.may_act(waiter));
}

#[test]
fn a_place_whose_channel_nobody_hears_is_passed_over_while_others_are() {
    let mut world = queueing();
    let holder = world.acquire("k");
    let deaf = world.acquire("k");
    world.manager.handle_node_pushes(id(0), false);
    let other = world.acquire("k");
    world.nodes[0].is_heard(false);
    world.release(holder);
    world.advance(secs(2));
    assert!(world.may_act(other));
    assert!(!world.may_act(deaf));
    world.release(other);
    world.advance(KEEP_AFTER + ms(1));
    assert!(world.may_act(deaf), "it is the first and only one");
}

#[test]
fn a_full_queue_is_told_at_once() {
    let (mut world, _, _) = waiting(0);
    world.nodes[0].most_places(1);
    world.acquire("k");
    world.events();
    world.acquire("k");
    let event = world.event();
    let EventKind::Failed { cause, gave_up } = event else {
        panic!("expected Failed, got {event:?}");
    };
    assert_eq!(cause, AcquireFailure::QueueFull { node: id(0) });
    assert!(!gave_up);
    assert_eq!(places(&world), 1);
}

#[test]
fn a_new_connection_asks_for_each_place_at_once() {
    let (mut world, _, waiters) = waiting(3);
    world.down(0);
    world.events();
    world.advance(secs(1));
    let before = count(&world, OpKind::Wait);
    world.up(0);
    world.timeout();
    assert_eq!(count(&world, OpKind::Wait), before + waiters.len());
}

/// However many wait, who holds a lock is not kept from renewing it.
#[test]
fn a_new_connection_renews_what_is_held_before_it_keeps_any_place() {
    let (mut world, _, _) = waiting(600);
    world.down(0);
    world.advance(support::RENEW_AFTER + ms(100));
    let before = world.ops(0).len();
    world.up(0);
    world.timeout();
    let asked = &world.ops(0)[before..];
    assert_eq!(asked[0], OpKind::Renew);
    assert!(asked.contains(&OpKind::Wait));
}

#[test]
fn a_node_that_cannot_serve_is_asked_again_by_backoff_in_the_same_attempt() {
    let (mut world, holder, _) = waiting(0);
    world.withhold([0]);
    let waiter = world.acquire("k");
    world.deliver(0);
    world.pump();
    world.refuse(0, cannot_serve());
    let events = world.events();
    let outage = |event: &EventKind| {
        matches!(
            event,
            EventKind::Waiting {
                cause: AcquireFailure::Outage { .. },
                ..
            }
        )
    };
    assert!(events.iter().any(outage), "{events:?}");
    world.resume([0]);
    world.advance(secs(2));
    assert_eq!(places(&world), 1);
    world.release(holder);
    assert!(world.may_act(waiter));
}

#[test]
fn the_first_request_for_a_place_is_waited_for_as_long_as_any() {
    let (mut world, _, _) = waiting(0);
    world.withhold([0]);
    world.acquire_with("k", options().give_up_after(Some(ms(1))));
    world.deliver(0);
    world.pump();
    world.advance(ROUND - ms(1));
    assert_eq!(world.events(), []);
    world.advance(ms(2));
    let event = world.event();
    assert!(
        matches!(event, EventKind::Failed { gave_up: true, .. }),
        "{event:?}"
    );
    world.resume([0]);
    assert_eq!(places(&world), 0);
}

#[test]
fn a_newcomer_that_wins_a_free_key_hands_it_on() {
    let mut world = queueing();
    held(&mut world);
    let waiter = world.acquire("k");
    world.nodes[0].delete(&key("k"));
    let newcomer = world.acquire_with("k", options().attempts(Some(1)));
    assert!(world.may_act(newcomer));
    world.release(newcomer);
    assert!(world.may_act(waiter));
}

#[test]
fn the_place_goes_when_a_late_take_had_won_the_key() {
    let mut world = queueing();
    held(&mut world);
    world.withhold([0]);
    let lease = world.acquire("k");
    let late = world.wire[0].pop_front().unwrap();
    let words = tenure_core::Words::fixed("connection reset");
    let broken = tenure_core::Doubt::Broken(words);
    world.reply(late.id, tenure_core::Reply::Unknown(broken));
    world.resume([0]);
    assert_eq!(places(&world), 1);
    // The key becomes free, and the first request of all lands on the connection that was given up.
    world.nodes[0].delete(&key("k"));
    world.nodes[0].apply(world.now, &late);
    world.advance(KEEP_AFTER + ms(1));
    assert!(world.may_act(lease));
    assert_eq!(places(&world), 0);
    world.release(lease);
    assert_eq!(world.nodes[0].holder(world.now, &key("k")), None);
}

#[test]
fn places_that_are_due_close_together_are_kept_together() {
    let (mut world, _, _) = waiting(0);
    for _ in 0..100 {
        world.acquire("k");
        world.advance(ms(3));
    }
    world.written.clear();
    world.advance(KEEP_AFTER);
    let mut instants: Vec<_> = world.written.iter().map(|(at, _)| *at).collect();
    assert!(instants.len() >= 100, "{}", instants.len());
    instants.dedup();
    assert!(instants.len() <= 3, "{}", instants.len());
}

#[test]
fn no_one_asks_before_the_holders_time_ends_as_others_keep_places() {
    let mut world = queueing();
    held(&mut world);
    let token = world.nodes[0].holder(world.now, &key("k")).unwrap();
    world.nodes[0].put(&key("k"), &token, at(secs(6)));
    let head = world.acquire("k");
    for _ in 0..10 {
        world.acquire("k");
    }
    world.written.clear();
    world.advance(secs(6) - ms(1));
    let asked = world.written.iter().any(|(_, r)| r.id.lease == head);
    assert!(!asked);
    world.advance(ms(2));
    assert!(world.may_act(head));
}

#[test]
fn who_joins_others_of_the_client_asks_for_a_place_at_once() {
    let (mut world, holder, waiters) = waiting(1);
    world.written.clear();
    let next = world.acquire("k");
    assert_eq!(world.ops(0), [OpKind::Wait]);
    world.acquire("another");
    assert_eq!(world.ops(0), [OpKind::Wait, OpKind::Take]);
    for lease in [holder, waiters[0], next] {
        world.release(lease);
    }
    assert!(!world.is_locked("k"));
    world.written.clear();
    world.acquire("k");
    assert_eq!(world.ops(0), [OpKind::Take], "nobody waits any more");
}

#[test]
fn who_hears_no_pushes_any_more_enters_a_place_without_them() {
    let (mut world, holder, waiters) = waiting(2);
    world.down(0);
    world.manager.handle_node_pushes(id(0), false);
    world.nodes[0].is_heard(false);
    world.up(0);
    world.timeout();
    world.written.clear();
    world.advance(secs(2));
    assert!(count(&world, OpKind::Wait) > 4, "both ask by backoff");
    world.release(holder);
    world.advance(secs(2));
    assert!(waiters.iter().any(|waiter| world.may_act(*waiter)));
}

#[test]
fn the_longest_hold_counts_from_the_push_and_not_from_the_wait() {
    let (mut world, holder, _) = waiting(0);
    let waiter = world.acquire_with("k", options().max_hold(Some(secs(4))));
    world.advance(secs(3));
    world.events();
    world.release(holder);
    assert_eq!(acquired(&mut world), at(secs(7)));
    assert!(world.may_act(waiter));
}

#[test]
fn a_lease_that_is_not_renewed_has_its_whole_validity_also_after_a_push() {
    let (mut world, holder, _) = waiting(0);
    let waiter = world.acquire_with("k", options().renewal(RenewalPolicy::Off));
    world.advance(secs(5));
    world.events();
    world.release(holder);
    assert_eq!(acquired(&mut world), at(VALID_FOR));
    world.timeout();
    assert_eq!(
        world.manager.valid_until(waiter),
        Some(world.now + VALID_FOR)
    );
    world.advance(VALID_FOR - ms(1));
    assert!(world.may_act(waiter));
    assert_eq!(count(&world, OpKind::Renew), 1, "and never again");
    world.advance(ms(2));
    assert!(!world.may_act(waiter));
}

#[test]
fn a_take_that_the_link_asked_by_script_enters_a_place_at_once() {
    let mut world = queueing();
    held(&mut world);
    world.withhold([0]);
    world.acquire("k");
    let take = world.wire[0].pop_front().unwrap();
    let answer = Answer::Held {
        left: secs(5),
        server_time: ServerTime::from_micros(1),
        holder: Fingerprint::new(1).into(),
        ahead: None,
    };
    world.reply(take.id, Reply::Applied(answer));
    assert_eq!(world.waiting(0), [OpKind::Wait]);
    assert_eq!(world.wire[0][0].token.attempt, 1);
}

/// Thousands of them, of which some are always due.
#[test]
fn places_that_are_kept_do_not_keep_releases_from_their_turn() {
    let (mut world, _, _) = waiting(0);
    world.manager.handle_node_pushes(id(0), false);
    for _ in 0..1_000 {
        world.acquire("k");
    }
    world.withhold([0]);
    let other = world.acquire("another");
    world.deliver(0);
    world.pump();
    world.release(other);
    let release = world.wire[0].pop_back().unwrap();
    world.reply(release.id, Reply::NotApplied(cannot_serve()));
    world.stall(secs(2));
    for _ in 0..3 {
        world.timeout();
    }
    let asked = world.wire[0].iter().any(|r| r.id.lease == other);
    assert!(asked, "it is released again");
}

#[test]
fn the_renewal_that_makes_up_for_the_wait_is_tried_again_if_it_fails() {
    let (mut world, holder, _) = waiting(0);
    let waiter = world.acquire_with("k", options().renewal(RenewalPolicy::Off));
    world.advance(secs(5));
    world.release(holder);
    world.withhold([0]);
    world.timeout();
    assert_eq!(world.waiting(0), [OpKind::Renew]);
    world.refuse(0, cannot_serve());
    world.resume([0]);
    world.advance(secs(2));
    assert!(world.manager.valid_until(waiter) > Some(at(secs(14))));
    assert_eq!(count(&world, OpKind::Renew), 2);
}
