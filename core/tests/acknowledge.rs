//! Acknowledging: over one node a grant is reported once so many of its replicas have it, and is
//! given back if they do not in time.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::time::Duration;

use support::{ROUND, VALID_FOR, World, at, down, id, key, ms, said, secs};
use tenure_core::{
    AcquireFailure, Answer, Config, ConfigError, Doubt, EventKind, Instant, LeaseId, LeaseOptions,
    LeaseOptionsBuilder, MOST_REPLICAS, Op, OpKind, Refusal, RenewalPolicy, Reply, Secret, Silence,
    Token, Words,
};

const DEMANDED: u32 = 2;

/// A client whose grants are to be acknowledged, by replicas that all do.
fn acknowledged() -> World {
    let config = Config::builder(1).takes(true).queues(true);
    let config = config.acknowledged_by(DEMANDED).build().unwrap();
    let mut world = World::with(config, 7);
    world.judged = true;
    world.nodes[0].replicas(DEMANDED);
    world
}

fn options() -> LeaseOptionsBuilder {
    LeaseOptions::builder()
}

fn once() -> LeaseOptionsBuilder {
    options().attempts(Some(1))
}

/// A lease that was granted, whose question for replicas is on the wire.
fn granted(world: &mut World, options: LeaseOptionsBuilder) -> LeaseId {
    world.withhold([0]);
    let lease = world.acquire_with("k", options);
    world.deliver(0);
    world.pump();
    assert_eq!(world.waiting(0), [OpKind::Acknowledge]);
    assert_eq!(world.events(), [], "nothing is reported yet");
    lease
}

/// Until when the lease is valid that was just acquired.
fn acquired(world: &mut World) -> Instant {
    match world.event() {
        EventKind::Acquired { valid_until, .. } => valid_until,
        other => panic!("expected Acquired, got {other:?}"),
    }
}

fn failed(world: &mut World) -> AcquireFailure {
    match world.event() {
        EventKind::Failed { cause, .. } => cause,
        other => panic!("expected Failed, got {other:?}"),
    }
}

fn silent(world: &mut World) -> Vec<Silence> {
    match failed(world) {
        AcquireFailure::Outage { silent } => silent,
        other => panic!("expected an outage, got {other:?}"),
    }
}

fn too_few(replicas: u32) -> AcquireFailure {
    AcquireFailure::Unacknowledged {
        node: id(0),
        replicas,
        demanded: DEMANDED,
    }
}

/// Answers the question for replicas.
fn answer(world: &mut World, reply: Reply) {
    let request = world.wire[0].pop_front().expect("it is asked");
    assert_eq!(request.op, Op::Acknowledge);
    world.reply(request.id, reply);
}

#[test]
fn a_grant_is_reported_once_so_many_replicas_have_it() {
    for more in 0..2 {
        let mut world = acknowledged();
        world.nodes[0].replicas(DEMANDED + more);
        let lease = granted(&mut world, once());
        assert_eq!(world.manager.valid_until(lease), None);
        world.advance(ms(700));
        world.resume([0]);
        // The time that replicas took is spent.
        assert_eq!(acquired(&mut world), at(VALID_FOR));
        assert!(world.may_act(lease));
        assert_eq!(world.ops(0), [OpKind::Take, OpKind::Acknowledge]);
    }
}

#[test]
fn who_demands_no_replicas_asks_for_none() {
    let mut world = World::new(1);
    world.acquire("k");
    assert_eq!(world.ops(0), [OpKind::Acquire]);
    assert!(matches!(world.event(), EventKind::Acquired { .. }));
}

#[test]
fn a_grant_that_too_few_acknowledge_is_given_back_and_told() {
    for replicas in 0..DEMANDED {
        let mut world = acknowledged();
        world.nodes[0].replicas(replicas);
        let lease = granted(&mut world, once());
        world.resume([0]);
        assert_eq!(failed(&mut world), too_few(replicas));
        assert!(!world.is_locked("k"));
        assert!(!world.may_act(lease));
    }
}

#[test]
fn after_too_few_it_asks_again_by_backoff_until_there_are_enough() {
    let mut world = acknowledged();
    world.nodes[0].replicas(1);
    let lease = world.acquire("k");
    let paused = match world.event() {
        EventKind::Waiting { cause, until } => {
            assert_eq!(cause, too_few(1));
            until
        }
        other => panic!("expected Waiting, got {other:?}"),
    };
    assert!(paused > world.now, "there is a pause");
    assert!(!world.is_locked("k"), "nothing is kept in between");
    world.nodes[0].replicas(2);
    world.advance_to(paused);
    assert!(acquired(&mut world) > at(VALID_FOR));
    assert!(world.may_act(lease));
}

#[test]
fn when_the_caller_gives_up_it_is_told_what_replicas_did_last() {
    let mut world = acknowledged();
    world.nodes[0].replicas(0);
    world.acquire_with("k", options().give_up_after(Some(secs(3))));
    world.advance(secs(3));
    let last = world.events().pop();
    assert_eq!(
        last,
        Some(EventKind::Failed {
            cause: too_few(0),
            gave_up: true
        })
    );
    assert!(!world.is_locked("k"));
}

#[test]
fn without_an_answer_in_time_it_is_an_outage_in_words() {
    let mut world = acknowledged();
    granted(&mut world, once());
    world.advance(ROUND - ms(1));
    assert_eq!(world.events(), []);
    world.advance(ms(1));
    let why = Words::fixed("it did not say in time how many replicas have acknowledged the grant");
    assert_eq!(silent(&mut world), [said(0, why)]);
    // The release need not wait for replicas.
    let waiting = [OpKind::Acknowledge, OpKind::Release];
    assert_eq!(world.waiting(0), waiting);
    // A late answer grants nothing.
    answer(
        &mut world,
        Reply::Applied(Answer::Acknowledged { replicas: 9 }),
    );
    assert_eq!(world.events(), []);
    world.resume([0]);
    assert!(!world.is_locked("k"));
}

#[test]
fn an_answer_that_comes_when_no_validity_is_left_is_no_grant() {
    let mut world = acknowledged();
    world.withhold([0]);
    world.acquire_with("k", once().ttl(ms(1_000)));
    world.deliver(0);
    world.pump();
    world.stall(ms(990));
    answer(
        &mut world,
        Reply::Applied(Answer::Acknowledged { replicas: 2 }),
    );
    assert!(matches!(failed(&mut world), AcquireFailure::Outage { .. }));
}

#[test]
fn what_is_wrong_with_the_question_is_never_taken_for_a_yes() {
    let words = || Words::fixed("the words");
    let gone = Words::fixed("the lock was gone before replicas acknowledged it");
    let taken = Words::fixed("the lock was taken before replicas acknowledged it");
    let odd = Words::fixed("it answered something else than what was asked");
    for (reply, expected) in [
        (Reply::Unknown(Doubt::Said(words())), Some(words())),
        (Reply::Unknown(Doubt::Silent), None),
        (
            Reply::NotApplied(Refusal::Unavailable(words())),
            Some(words()),
        ),
        (Reply::NotApplied(Refusal::NotSent), None),
        (Reply::Applied(Answer::Gone), Some(gone)),
        (Reply::Applied(Answer::Taken), Some(taken)),
        (Reply::Applied(Answer::Done), Some(odd)),
    ] {
        let mut world = acknowledged();
        granted(&mut world, once());
        answer(&mut world, reply.clone());
        let (node, words) = (id(0), expected);
        assert_eq!(silent(&mut world), [Silence { node, words }], "{reply:?}");
        // Another server may have said that it has no such lock. So it is released in any case.
        assert_eq!(world.waiting(0), [OpKind::Release], "{reply:?}");
        world.resume([0]);
        assert!(!world.is_locked("k"));
    }
}

#[test]
fn a_missing_right_is_told_at_once() {
    let mut world = acknowledged();
    granted(&mut world, options());
    let words = Words::fixed("NOPERM this user has no permissions to run the 'wait' command");
    answer(
        &mut world,
        Reply::NotApplied(Refusal::Rejected(words.clone())),
    );
    let node = id(0);
    assert_eq!(failed(&mut world), AcquireFailure::Rejected { node, words });
    world.resume([0]);
    assert!(!world.is_locked("k"));
}

#[test]
fn where_its_connection_broke_it_is_asked_again_at_once() {
    let mut world = acknowledged();
    let lease = granted(&mut world, once());
    world.break_connection(0);
    assert_eq!(world.waiting(0), [OpKind::Acknowledge]);
    world.resume([0]);
    assert_eq!(acquired(&mut world), at(VALID_FOR));
    assert!(world.may_act(lease));
}

#[test]
fn a_node_that_went_down_meanwhile_is_an_outage() {
    let mut world = acknowledged();
    granted(&mut world, once());
    world.wire[0].clear();
    world.manager.handle_node_down(world.now, id(0), down());
    world.pump();
    world.advance(ROUND);
    assert!(matches!(failed(&mut world), AcquireFailure::Outage { .. }));
}

#[test]
fn a_lease_that_is_cancelled_meanwhile_is_released_at_once() {
    let mut world = acknowledged();
    let lease = granted(&mut world, options());
    world.cancel(lease);
    let waiting = [OpKind::Acknowledge, OpKind::Release];
    assert_eq!(world.waiting(0), waiting);
    world.resume([0]);
    assert_eq!(world.events(), []);
    assert!(!world.is_locked("k"));
    assert_eq!(world.manager.len(), 0);
}

/// A lease that waits for one that holds the key, and is handed it.
fn handed_on(world: &mut World, options: LeaseOptionsBuilder) -> LeaseId {
    let holder = world.acquire("k");
    let waiter = world.acquire_with("k", options);
    world.events();
    world.advance(secs(3));
    world.withhold([0]);
    world.release(holder);
    world.apply_release();
    waiter
}

impl World {
    /// The release on the wire arrives, and hands the lock on.
    fn apply_release(&mut self) {
        assert_eq!(self.waiting(0), [OpKind::Release]);
        self.deliver(0);
        self.pump();
    }
}

#[test]
fn a_lock_that_is_handed_on_is_acknowledged_before_it_is_reported() {
    let mut world = acknowledged();
    let waiter = handed_on(&mut world, options());
    assert_eq!(world.waiting(0), [OpKind::Acknowledge]);
    assert!(!world.may_act(waiter));
    world.events();
    world.resume([0]);
    // From the request that kept its place.
    assert_eq!(acquired(&mut world), at(VALID_FOR));
    assert!(world.may_act(waiter));
}

#[test]
fn a_hand_off_that_too_few_acknowledge_goes_on_to_the_next_in_line() {
    let mut world = acknowledged();
    world.nodes[0].replicas(2);
    let holder = world.acquire("k");
    let (one, other) = (world.acquire("k"), world.acquire("k"));
    world.withhold([0]);
    world.release(holder);
    world.apply_release();
    assert_eq!(world.waiting(0), [OpKind::Acknowledge]);
    world.nodes[0].replicas(0);
    world.deliver(0);
    world.nodes[0].replicas(2);
    world.resume([0]);
    assert!(world.may_act(other));
    assert!(!world.may_act(one));
    // It waits behind the other now, in a place of its own.
    world.advance(secs(1));
    assert_eq!(world.nodes[0].places(&key("k")), 1);
    world.release(other);
    assert!(world.may_act(one));
}

/// A push that comes twice, the second time when the place that it names was given back. In
/// between another lease had the lock, whose fence is larger.
#[test]
fn a_late_push_for_a_place_that_was_given_back_grants_nothing() {
    let mut world = acknowledged();
    let holder = world.acquire("k");
    let waiter = world.acquire("k");
    world.pushed_at_once = false;
    world.release(holder);
    let push = world.pushes[0].pop_front().expect("it is handed on");
    world.nodes[0].replicas(0);
    world.arrives(0, push);
    world.pump();
    assert!(!world.may_act(waiter));
    assert!(!world.is_locked("k"));
    world.nodes[0].replicas(DEMANDED);
    let other = world.acquire("k");
    assert!(world.may_act(other));
    world.release(other);
    world.withhold([0]);
    world.advance(secs(1));
    assert_eq!(world.waiting(0), [OpKind::Wait]);
    world.arrives(0, push);
    world.pump();
    // Law: Fencing
    world.resume([0]);
    assert!(world.may_act(waiter));
}

#[test]
fn a_lock_that_is_lost_before_it_was_acknowledged_is_waited_for_again() {
    let mut world = acknowledged();
    world.judged = false;
    let waiter = pushed_while_asking(&mut world, 2 * support::RENEW_AFTER);
    let stranger = Token {
        label: None,
        secret: Secret::new([200; 16]),
        attempt: 1,
    };
    let hour = world.now + secs(3_600);
    world.nodes[0].put(&key("k"), &stranger, hour);
    world.resume([0]);
    assert!(!world.may_act(waiter));
    let asked = |kind: &&OpKind| **kind == OpKind::Acknowledge;
    assert_eq!(world.ops(0).iter().filter(asked).count(), 1, "the holder's");
    let told = world.events();
    assert!(
        matches!(told[..], [EventKind::Queued { ahead: 0, .. }]),
        "{told:?}"
    );
    assert_eq!(world.nodes[0].places(&key("k")), 1);
}

#[test]
fn the_only_validity_of_a_hand_off_is_renewed_once_it_is_acknowledged() {
    let mut world = acknowledged();
    let waiter = handed_on(&mut world, options().renewal(RenewalPolicy::Off));
    world.resume([0]);
    world.advance(ms(1));
    assert!(
        world
            .ops(0)
            .ends_with(&[OpKind::Acknowledge, OpKind::Renew])
    );
    assert!(world.may_act(waiter));
}

/// A lease that a push grants after so long, while the request that keeps its place is in flight.
fn pushed_while_asking(world: &mut World, after: Duration) -> LeaseId {
    let holder = world.acquire("k");
    let waiter = world.acquire("k");
    world.advance_to(at(support::RENEW_AFTER + ms(1)));
    world.withhold([0]);
    world.advance_to(at(after));
    let waits = world.waiting(0);
    assert!(waits.contains(&OpKind::Wait), "{waits:?}");
    world.release(holder);
    // The node hands the lock on first.
    let release = world.wire[0].iter().position(|it| it.op.kind().frees());
    let release = world.wire[0].remove(release.expect("it is sent")).unwrap();
    world.wire[0].push_front(release);
    world.deliver(0);
    world.pump();
    let asked = world.waiting(0).contains(&OpKind::Acknowledge);
    assert!(!asked, "a lease asks one thing at a time");
    world.events();
    waiter
}

#[test]
fn a_request_for_the_place_may_be_in_flight_as_a_push_grants() {
    let mut world = acknowledged();
    let waiter = pushed_while_asking(&mut world, 2 * support::RENEW_AFTER);
    world.resume([0]);
    assert!(world.may_act(waiter));
    let asks = world.ops(0);
    assert_eq!(asks.last(), Some(&OpKind::Acknowledge), "{asks:?}");
    // The answer to that request grants more than the push did.
    assert_eq!(
        acquired_last(&world),
        at(2 * support::RENEW_AFTER + VALID_FOR)
    );
}

#[test]
fn replicas_are_not_waited_for_longer_than_the_grant_is_valid() {
    let mut world = acknowledged();
    granted(&mut world, once());
    assert_eq!(world.wire[0][0].deadline, at(ROUND));
    let mut world = acknowledged();
    pushed_while_asking(&mut world, secs(16));
    // So long the place was kept that was answered last.
    let until = at(support::RENEW_AFTER + VALID_FOR);
    assert!(until < at(secs(16) + ROUND));
    world.advance_to(until);
    let events = world.events();
    let is_over = |event: &EventKind| matches!(event, EventKind::Waiting { .. });
    assert!(
        !events.iter().any(is_over),
        "its failed round is released first"
    );
    assert!(world.waiting(0).contains(&OpKind::Release));
}

fn acquired_last(world: &World) -> Instant {
    let events = world.told.iter().rev();
    let until = events.filter_map(|(_, event)| match event.kind {
        EventKind::Acquired { valid_until, .. } => Some(valid_until),
        _ => None,
    });
    until.max().expect("a lease was acquired")
}

#[test]
fn the_longest_hold_of_a_lease_may_be_over_before_replicas_answer() {
    let mut world = acknowledged();
    granted(&mut world, once().max_hold(Some(ms(500))));
    world.advance(ms(600));
    answer(
        &mut world,
        Reply::Applied(Answer::Acknowledged { replicas: 2 }),
    );
    let why = "it granted the lock, whose longest time to be held was over by then";
    assert_eq!(silent(&mut world), [said(0, Words::fixed(why))]);
}

#[test]
fn an_acquire_is_over_in_time_also_while_replicas_are_waited_for() {
    let world = acknowledged();
    let options = options().give_up_after(Some(secs(4)));
    let options = options.build(world.manager.config()).unwrap();
    assert_eq!(options.acquire_timeout(), Some(secs(4)));
    let mut world = acknowledged();
    let holder = world.acquire("k");
    world.acquire_with("k", LeaseOptions::builder().give_up_after(Some(secs(4))));
    world.events();
    world.advance(ms(3_900));
    world.withhold([0]);
    world.release(holder);
    world.apply_release();
    world.events();
    world.advance(ms(100));
    assert!(matches!(
        world.events().as_slice(),
        [EventKind::Failed { gave_up: true, .. }]
    ));
    // The first attempt has three answers to wait for: of a take, of what says more, of replicas.
    let once = once().build(world.manager.config()).unwrap();
    assert_eq!(once.acquire_timeout(), Some(3 * ROUND));
}

#[test]
fn a_number_of_replicas_that_cannot_be_is_refused() {
    let most = Config::builder(1).acknowledged_by(MOST_REPLICAS).build();
    assert!(most.is_ok());
    let replicas = MOST_REPLICAS + 1;
    let more = Config::builder(1).acknowledged_by(replicas).build();
    assert_eq!(more, Err(ConfigError::Replicas { replicas }));
    let several = Config::builder(3).acknowledged_by(1).build();
    assert_eq!(
        several,
        Err(ConfigError::AcknowledgedBySeveral { nodes: 3 })
    );
}
