//! A node comes up: what leases had put off is tried at once, in order, in bounded steps, and once.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::{RENEW_AFTER, ROUND, VALID_FOR, World, at, cannot_serve, down, id, ms, secs};
use tenure_core::{Answer, Config, Due, EventKind, LeaseId, LeaseOptions, OpKind, Reply, Request};

/// How many leases are handled in one step.
const STEP: usize = 256;

/// The requests that were written from here on.
fn since(world: &World, written: usize) -> Vec<(LeaseId, OpKind)> {
    let of = |request: &Request| (request.id.lease, request.op.kind());
    world.written[written..]
        .iter()
        .map(|(_, request)| of(request))
        .collect()
}

/// Handles what is due at this instant, without letting time pass. Says in how many steps.
fn run(world: &mut World) -> usize {
    for step in 0..10_000 {
        let due = world.manager.poll_timeout();
        if due.is_none_or(|at| at > world.now) {
            return step;
        }
        world.timeout();
    }
    panic!("there is no end");
}

/// So many leases of one node, each acquired a little after the one before it, and all suspect,
/// since the node has been down.
fn suspects(count: u64) -> (World, Vec<LeaseId>) {
    let mut world = World::new(1);
    let mut leases = Vec::new();
    for number in 0..count {
        leases.push(world.acquire(&format!("k{number}")));
        world.advance(Duration::from_micros(10));
    }
    world.down(0);
    world.advance_to(at(RENEW_AFTER + secs(1)));
    let suspect = |lease: &LeaseId| world.manager.lease(*lease).unwrap().is_suspect();
    assert!(leases.iter().all(suspect));
    (world, leases)
}

#[test]
fn suspect_leases_are_renewed_at_once_when_their_node_comes_up() {
    let (mut world, leases) = suspects(100);
    let before = world.written.len();
    world.up(0);
    assert_eq!(run(&mut world), 1);
    let renewed: Vec<_> = leases.iter().map(|it| (*it, OpKind::Renew)).collect();
    assert_eq!(since(&world, before), renewed);
    for lease in leases {
        let until = world.manager.valid_until(lease);
        assert_eq!(until, Some(world.now + VALID_FOR));
        assert!(!world.manager.lease(lease).unwrap().is_suspect());
    }
}

#[test]
fn those_that_end_first_are_asked_first_whatever_was_put_off_first() {
    let mut world = World::new(1);
    // The later a lease is acquired, the shorter its TTL, and the sooner it ends.
    let mut leases: Vec<_> = (0..8)
        .map(|number| {
            world.advance(ms(50));
            let ttl = LeaseOptions::builder().ttl(secs(10) - ms(100) * number);
            world.acquire_with(&format!("k{number}"), ttl)
        })
        .collect();
    world.down(0);
    world.advance_to(at(secs(8)));
    leases.sort_by_key(|lease| world.manager.valid_until(*lease));
    let before = world.written.len();
    world.up(0);
    assert_eq!(world.manager.timeout_reason(), Some(Due::Renewal));
    run(&mut world);
    let order: Vec<_> = since(&world, before);
    let order: Vec<_> = order.into_iter().map(|(lease, _)| lease).collect();
    assert_eq!(order, leases);
}

#[test]
fn releases_that_are_owed_follow_behind_the_renewals_at_once() {
    let mut world = World::new(1);
    let freed: Vec<_> = (0..5)
        .map(|number| world.acquire(&format!("freed {number}")))
        .collect();
    let kept = world.acquire("kept");
    world.down(0);
    for lease in &freed {
        world.release(*lease);
    }
    world.advance_to(at(RENEW_AFTER + secs(1)));
    let before = world.written.len();
    world.up(0);
    run(&mut world);
    let asked = since(&world, before);
    assert_eq!(asked[0], (kept, OpKind::Renew));
    assert_eq!(asked.len(), 6);
    assert!(asked[1..].iter().all(|(_, op)| *op == OpKind::Release));
    assert!(
        freed
            .iter()
            .all(|lease| world.manager.lease(*lease).is_none())
    );
}

#[test]
fn what_a_failed_round_left_is_released_at_once_during_its_pause() {
    let mut world = World::new(3);
    let pause = tenure_core::Backoff::new(secs(60), secs(60));
    world.withhold([0, 1, 2]);
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(pause));
    let (granted, _) = world.apply(0);
    world.down(0);
    world.down(1);
    world.advance(ROUND * 3);
    assert!(world.holds(0, "k"), "it was granted, and nobody was told");
    world.reply(granted, Reply::Unknown(tenure_core::Doubt::Silent));
    let before = world.written.len();
    world.up(0);
    run(&mut world);
    assert_eq!(since(&world, before), [(lease, OpKind::Release)]);
    assert!(!world.holds(0, "k"));
}

/// The law Bounded work: so many leases cost one request each, in full batches.
#[test]
fn after_node_up_so_many_leases_cost_no_more_than_their_batches() {
    const LEASES: usize = 5_000;
    const BATCH: usize = 128;
    let (mut world, _) = suspects(LEASES as u64);
    world.manager.handle_node_up(world.now, id(0), None);
    let (mut steps, mut asked, mut batches) = (0, 0, 0);
    let mut batch = Vec::new();
    while world.manager.poll_timeout() <= Some(world.now) {
        world.manager.handle_timeout(world.now);
        steps += 1;
        let before = asked;
        // Full batches only; the rest goes with the next step.
        while asked + BATCH <= (steps * STEP).min(LEASES) {
            asked += world.manager.poll_requests(id(0), BATCH, &mut batch);
            batches += 1;
        }
        assert!(asked - before <= STEP + BATCH, "in step {steps}");
    }
    while world.manager.poll_requests(id(0), BATCH, &mut batch) > 0 {
        batches += 1;
    }
    assert_eq!(steps, LEASES.div_ceil(STEP));
    assert_eq!(batches, LEASES.div_ceil(BATCH));
    let mut per_lease = BTreeMap::<_, usize>::new();
    for request in &batch {
        assert_eq!(request.op.kind(), OpKind::Renew);
        *per_lease.entry(request.id.lease).or_default() += 1;
    }
    assert_eq!(per_lease.len(), LEASES);
    for request in batch {
        world
            .manager
            .handle_reply(world.now, request.id, Reply::Applied(Answer::Done));
    }
    assert!(world.manager.poll_timeout() > Some(world.now));
}

#[test]
fn a_node_that_comes_and_goes_is_asked_once_each_time() {
    let (mut world, _) = suspects(50);
    let before = world.written.len();
    for round in 1..=20 {
        world.withhold([0]);
        world.manager.handle_node_up(world.now, id(0), None);
        run(&mut world);
        // It takes the requests, and serves none.
        while !world.wire[0].is_empty() {
            world.refuse(0, cannot_serve());
        }
        run(&mut world);
        assert_eq!(world.written.len() - before, 50 * round, "round {round}");
        world.manager.handle_node_down(world.now, id(0), down());
        world.pump();
        run(&mut world);
        assert_eq!(world.written.len() - before, 50 * round, "round {round}");
    }
    // What follows are the usual pauses, which have become long.
    world.up(0);
    world.withhold([0]);
    run(&mut world);
    while !world.wire[0].is_empty() {
        world.refuse(0, cannot_serve());
    }
    let after = world.written.len();
    world.advance(ROUND / 2 - ms(1));
    assert_eq!(world.written.len(), after);
}

#[test]
fn what_fails_after_the_node_came_up_keeps_its_pause() {
    let (mut world, leases) = suspects(3_000);
    world.withhold([0]);
    world.manager.handle_node_up(world.now, id(0), None);
    world.manager.handle_timeout(world.now);
    world.write(0);
    assert_eq!(world.wire[0].len(), STEP);
    // These fail before all others were asked. They are not asked a second time.
    while !world.wire[0].is_empty() {
        world.refuse(0, cannot_serve());
    }
    run(&mut world);
    world.write(0);
    let counted = since(&world, 0);
    for lease in leases {
        let renewals = counted
            .iter()
            .filter(|(its, op)| *its == lease && *op == OpKind::Renew);
        assert_eq!(renewals.count(), 1, "{lease:?}");
    }
}

#[test]
fn a_node_that_goes_down_again_ends_the_calls_for_it() {
    let (mut world, _) = suspects(3_000);
    let before = world.written.len();
    world.withhold([0]);
    world.manager.handle_node_up(world.now, id(0), None);
    world.manager.handle_timeout(world.now);
    world.write(0);
    assert_eq!(world.written.len() - before, STEP);
    world.down(0);
    run(&mut world);
    world.advance(ms(1));
    assert_eq!(world.written.len() - before, STEP);
}

#[test]
fn a_link_that_only_connects_makes_nothing_due() {
    let (mut world, _) = suspects(10);
    let due = world.manager.poll_timeout();
    world.manager.handle_node_connecting(id(0));
    assert_eq!(world.manager.poll_timeout(), due);
    assert!(due > Some(world.now));
    world.manager.handle_node_up(world.now, id(0), None);
    assert!(world.manager.poll_timeout() <= Some(world.now));
}

#[test]
fn a_node_that_comes_up_is_asked_in_the_renewal_that_runs() {
    let mut world = World::new(3);
    let lease = world.acquire("k");
    world.down(1);
    world.withhold([2]);
    world.advance_to(at(RENEW_AFTER));
    world.events();
    // One has answered, one was down, and one is silent: without the second there is no quorum
    // before the round ends.
    world.up(1);
    run(&mut world);
    assert_eq!(
        world.event(),
        EventKind::Renewed {
            valid_until: at(RENEW_AFTER + VALID_FOR)
        }
    );
    assert!(!world.manager.lease(lease).unwrap().is_suspect());
}

#[test]
fn a_node_that_did_not_fail_the_renewal_makes_no_retry_due() {
    let mut world = World::new(3);
    world.acquire("k");
    world.down(0);
    world.down(1);
    world.advance_to(at(RENEW_AFTER));
    world.events();
    let before = world.written.len();
    // The third had answered, and has only lost its connection.
    world.up(2);
    run(&mut world);
    assert_eq!(since(&world, before), []);
    world.up(0);
    run(&mut world);
    assert_eq!(since(&world, before).len(), 2, "both that are up");
    assert_eq!(world.events().len(), 1);
}

#[test]
fn two_nodes_that_come_up_are_both_asked_for_what_they_are_owed() {
    let mut world = World::new(3);
    let leases: Vec<_> = (0..3_000)
        .map(|number| world.acquire(&format!("k{number}")))
        .collect();
    for node in 0..3 {
        world.down(node);
    }
    for lease in &leases {
        world.cancel(*lease);
    }
    world.manager.handle_node_up(world.now, id(0), None);
    world.manager.handle_timeout(world.now);
    world.manager.handle_node_up(world.now, id(1), None);
    world.up(2);
    world.up(1);
    world.up(0);
    run(&mut world);
    assert!(world.manager.is_empty());
    for number in [0, 1_500, 2_999] {
        assert!(!world.is_locked(&format!("k{number}")));
    }
    assert_eq!(world.manager.shortest_ttl(), None);
}

#[test]
fn an_answer_that_comes_after_its_round_ends_the_suspicion() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.withhold([0]);
    world.advance_to(at(RENEW_AFTER + ROUND));
    assert!(world.manager.lease(lease).unwrap().is_suspect());
    world.events();
    world.deliver(0);
    world.pump();
    let valid_until = at(RENEW_AFTER + VALID_FOR);
    assert_eq!(world.event(), EventKind::Renewed { valid_until });
    assert!(!world.manager.lease(lease).unwrap().is_suspect());
    let before = world.written.len();
    world.resume([0]);
    world.advance(secs(5));
    assert_eq!(world.written.len(), before, "the next is due in its time");
}

#[test]
fn the_shortest_ttl_is_that_of_the_leases_that_live() {
    let config = Config::builder(1).max_ttl(secs(60)).build().unwrap();
    let mut world = World::with(config, 1);
    assert_eq!(world.manager.shortest_ttl(), None);
    let ttl = |span| LeaseOptions::builder().ttl(span);
    world.acquire_with("long", ttl(secs(60)));
    let short = world.acquire_with("short", ttl(secs(2)));
    let same = world.acquire_with("same", ttl(secs(2)));
    assert_eq!(world.manager.shortest_ttl(), Some(secs(2)));
    world.release(short);
    assert_eq!(world.manager.shortest_ttl(), Some(secs(2)));
    world.cancel(same);
    assert_eq!(world.manager.shortest_ttl(), Some(secs(60)));
    // One that waits counts too.
    world.acquire_with("long", ttl(secs(5)));
    assert_eq!(world.manager.shortest_ttl(), Some(secs(5)));
}
