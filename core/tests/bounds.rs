//! Bounds on work: requests, retries, batches and steps; inputs that change nothing; replay.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use support::{RENEW_AFTER, World, at, down, id, key, ms, secs};
use tenure_core::{
    Answer, Config, Doubt, EventKind, Fence, Instant, LeaseId, LeaseOptions, Loss, Manager, Op,
    OpKind, Refusal, Reply, Request, Secret, ServerTime,
};

/// How many leases one step handles at most.
const STEP: usize = 256;

fn secret(number: u64) -> Secret {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Secret::new(bytes)
}

/// How deep an outbox is, as a metric has it.
#[test]
fn what_is_queued_for_a_node_is_counted_until_the_link_takes_it() {
    let mut manager = Manager::new(Config::builder(2).build().unwrap(), 7);
    let options = LeaseOptions::builder().build(manager.config()).unwrap();
    let options = Arc::new(options);
    for number in 0..3 {
        let (key, secret) = (key("k"), Secret::new([number; 16]));
        let begun = manager.acquire(at(secs(0)), key, secret, Arc::clone(&options));
        assert!(begun.is_ok());
    }
    let queued = |manager: &Manager| [0, 1].map(|node| manager.queued(id(node)));
    assert_eq!(queued(&manager), [3, 3]);
    let mut requests = Vec::new();
    assert_eq!(manager.poll_requests(id(1), 2, &mut requests), 2);
    assert_eq!(queued(&manager), [3, 1]);
}

#[test]
fn extra_timeouts_and_repeated_or_stale_replies_change_nothing() {
    let mut world = World::new(3);
    world.withhold([0, 1, 2]);
    let mut replies = Vec::new();
    let backoff = tenure_core::Backoff::new(ms(100), ms(100));
    let lease = world.acquire_with("k", LeaseOptions::builder().backoff(backoff));
    let mut compared = 0;
    for step in 0..400_u64 {
        match step % 80 {
            // In turn, no node, all nodes or some nodes answer.
            0..20 => {}
            turn => {
                for node in 0..3 {
                    if !world.wire[node].is_empty() && (turn < 50 || node as u64 == step % 3) {
                        let (request, answer) = world.apply(node);
                        world.reply(request, Reply::Applied(answer.clone()));
                        replies.push((request, answer));
                    }
                }
            }
        }
        let due = world.manager.poll_timeout();
        let Some(before) = world.manager.lease(lease).cloned() else {
            break;
        };
        if due > Some(world.now) {
            world.events();
            world.timeout();
            for (request, answer) in replies.iter().rev().take(9) {
                world.reply(*request, Reply::Applied(answer.clone()));
                world.reply(*request, Reply::Unknown(Doubt::Silent));
            }
            assert_eq!(world.manager.lease(lease), Some(&before));
            assert_eq!(world.manager.poll_timeout(), due);
            assert_eq!(world.events(), []);
            compared += 1;
        }
        world.advance(ms(150));
        if step == 330 {
            world.release(lease);
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn after_a_stall_expiry_is_first_and_a_step_handles_at_most_256_leases() {
    let config = Config::builder(1).build().unwrap();
    let mut world = World::with(config, 1);
    // Mixed: 1,500 leases that expire, 1,500 whose renewal is due, and acquires that wait.
    let short = LeaseOptions::builder().ttl(secs(5));
    for number in 0..1_500 {
        world.acquire_with(&format!("short {number}"), short.clone());
        world.acquire(&format!("long {number}"));
    }
    world.acquire("long 0");
    world.events();
    world.stall(secs(7));
    let mut lost = 0;
    let mut renewals = 0;
    for step in 0..20 {
        if world.manager.poll_timeout() > Some(world.now) {
            assert_eq!((lost, renewals), (1_500, 1_500), "in {step} steps");
            assert_eq!(step, 12);
            return;
        }
        let reason = world.manager.timeout_reason();
        assert!(reason.is_some());
        world.withhold([0]);
        world.timeout();
        let events = world.events();
        let now_lost = events
            .iter()
            .filter(|e| {
                matches!(
                    e,
                    EventKind::Lost {
                        loss: Loss::Expired
                    }
                )
            })
            .count();
        let now_renewed = world
            .waiting(0)
            .iter()
            .filter(|op| **op == OpKind::Renew)
            .count();
        assert!(now_lost + now_renewed <= STEP, "{now_lost} + {now_renewed}");
        assert!(
            now_renewed == 0 || lost + now_lost == 1_500,
            "renewed before all expired ones were told"
        );
        lost += now_lost;
        renewals += now_renewed;
        world.resume([0]);
        world.events();
    }
    panic!("not done");
}

#[test]
fn what_is_past_its_validity_is_not_valid_even_when_no_step_ran() {
    let mut world = World::new(1);
    let lease = world.acquire("k");
    world.stall(secs(60));
    assert!(!world.may_act(lease));
}

#[test]
fn renewals_that_are_due_close_together_go_in_one_batch() {
    let mut world = World::new(3);
    for number in 0..200 {
        world.acquire(&format!("k{number}"));
        world.advance(std::time::Duration::from_micros(40));
    }
    world.withhold([0, 1, 2]);
    let mut batch = Vec::new();
    world.now = world.manager.poll_timeout().unwrap();
    world.manager.handle_timeout(world.now);
    assert!(world.manager.poll_ready().contains(id(1)));
    assert_eq!(world.manager.poll_requests(id(1), 1_000, &mut batch), 200);
}

#[test]
fn a_batch_is_no_larger_than_the_link_can_write() {
    let mut world = World::new(1);
    world.withhold([0]);
    let options = Arc::new(
        LeaseOptions::builder()
            .build(world.manager.config())
            .unwrap(),
    );
    for number in 0..10 {
        world
            .manager
            .acquire(world.now, key("k"), secret(number), options.clone())
            .unwrap();
    }
    let mut batch = Vec::new();
    assert_eq!(world.manager.poll_requests(id(0), 4, &mut batch), 4);
    assert_eq!(world.manager.poll_requests(id(0), 4, &mut batch), 4);
    assert_eq!(world.manager.poll_requests(id(0), 4, &mut batch), 2);
    assert_eq!(world.manager.poll_requests(id(0), 4, &mut batch), 0);
    assert_eq!(batch.len(), 10);
}

/// How early a renewal may begin depends on max TTL. With a short TTL, it must still not begin so
/// early that it begins more often.
#[test]
fn a_short_lease_is_not_renewed_more_often_for_a_long_max_ttl() {
    // A thousandth of this max TTL is longer than these TTLs.
    let config = Config::builder(1).max_ttl(secs(86_400)).build().unwrap();
    let mut world = World::with(config, 1);
    let short = LeaseOptions::builder().ttl(secs(2));
    for number in 0..10 {
        world.acquire_with(&format!("short {number}"), short.clone());
        world.advance(ms(130));
    }
    let long = LeaseOptions::builder().ttl(secs(80_000));
    world.acquire_with("long", long);
    let before = world.written.len();
    world.advance(secs(100));
    // Ten leases are each renewed every 1.333 s.
    assert!((740..=752).contains(&(world.written.len() - before)));
}

#[test]
fn a_renewal_that_fails_at_once_is_tried_once_in_a_step() {
    for ttl in [ms(4), ms(50), ms(500), secs(10)] {
        let config = Config::builder(1).max_ttl(secs(600)).build().unwrap();
        let mut world = World::with(config, 1);
        world.acquire_with("k", LeaseOptions::builder().ttl(ttl));
        world.events();
        world.down(0);
        world.now = world.manager.poll_timeout().unwrap();
        world.timeout();
        assert_eq!(world.events().len(), 1, "TTL {ttl:?}");
        assert!(world.manager.poll_timeout() > Some(world.now));
    }
}

#[test]
fn no_configuration_makes_a_retry_without_a_pause() {
    // A renewal that begins as late as may be leaves little time for a round.
    let mut world = World::new(1);
    let renew_after = support::VALID_FOR - ms(10);
    let options = LeaseOptions::builder().renewal(tenure_core::RenewalPolicy::After(renew_after));
    world.acquire_with("k", options);
    world.events();
    world.down(0);
    world.advance(renew_after);
    assert_eq!(world.events().len(), 1);
    assert!(world.manager.poll_timeout() > Some(world.now));
}

#[test]
fn an_outage_is_not_a_storm() {
    let mut world = World::new(3);
    for number in 0..100 {
        world.acquire(&format!("k{number}"));
    }
    let before = world.written.len();
    for node in 0..3 {
        world.down(node);
    }
    world.advance(secs(60));
    assert_eq!(world.written.len(), before, "nobody is asked");
    assert!(world.manager.is_empty(), "all lost, and no longer owed");
    assert_eq!(world.manager.poll_timeout(), None);
}

#[test]
fn a_waiter_costs_a_bounded_number_of_requests() {
    let mut world = World::new(1);
    world.acquire("k");
    let waiter = world.acquire("k");
    let before = world.written.len();
    world.advance(secs(60));
    let asked = world.written[before..]
        .iter()
        .filter(|(_, request)| request.id.lease == waiter);
    let asked = asked.count();
    assert!((240..=490).contains(&asked), "{asked} in 60 s, each a try");
}

/// The link does not write meanwhile. The outbox keeps one entry for a slot, and not one for each
/// lease.
#[test]
fn leases_that_come_and_go_on_an_idle_link_leave_nothing_behind() {
    let mut world = World::new(1);
    let options = Arc::new(
        LeaseOptions::builder()
            .build(world.manager.config())
            .unwrap(),
    );
    for number in 0..10_000 {
        let lease = world
            .manager
            .acquire(world.now, key("k"), secret(number), options.clone())
            .unwrap();
        world.manager.cancel(world.now, lease);
    }
    // The Debug output shows the outbox. It must not have grown with the number of leases.
    assert!(format!("{:?}", world.manager).len() < 5_000);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
}

#[test]
fn what_is_queued_for_a_node_when_it_comes_up_makes_it_ready() {
    let mut world = World::new(1);
    let options = Arc::new(
        LeaseOptions::builder()
            .build(world.manager.config())
            .unwrap(),
    );
    world
        .manager
        .acquire(world.now, key("k"), secret(1), options)
        .unwrap();
    assert!(world.manager.poll_ready().contains(id(0)));
    assert!(world.manager.poll_ready().is_empty());
    world.manager.handle_node_up(world.now, id(0), None);
    assert!(world.manager.poll_ready().contains(id(0)));
}

/// The outputs of a fixed but varied history.
fn history(seed: u64) -> u64 {
    let mut world = World::with(Config::builder(3).build().unwrap(), seed);
    let mut choice = tenure_core::Rng::new(1);
    let mut leases = Vec::new();
    for _ in 0..600 {
        // A node that forgets relies on its clock for its fences, and that counts microseconds.
        world.advance(std::time::Duration::from_micros(1));
        match choice.next_u64() % 8 {
            0 | 1 => {
                let name = format!("k{}", choice.next_u64() % 4);
                leases.push(world.acquire(&name));
            }
            2 if !leases.is_empty() => {
                let lease = leases.swap_remove(choice.next_u64() as usize % leases.len());
                world.release(lease);
            }
            3 => {
                let node = choice.next_u64() as usize % 3;
                world.down(node);
            }
            4 => (0..3).for_each(|node| world.up(node)),
            5 => {
                let node = choice.next_u64() as usize % 3;
                world.nodes[node].forget();
                // A counter that is drawn anew at the very instant of the last fence repeats it.
                world.advance(ms(1));
            }
            _ => world.advance(ms(choice.next_u64() % 2_000)),
        }
    }
    let mut hasher = DefaultHasher::new();
    world.written.hash(&mut hasher);
    world.told.hash(&mut hasher);
    assert!(world.written.len() > 1_000 && world.told.len() > 300);
    hasher.finish()
}

#[test]
fn the_same_inputs_and_seed_give_the_same_outputs() {
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2), "the seed feeds the jitter");
}

#[test]
fn a_hundred_thousand_leases_are_held_and_renewed_with_counted_work() {
    const LEASES: usize = 100_000;
    let config = Config::builder(1).build().unwrap();
    let options = Arc::new(LeaseOptions::builder().build(&config).unwrap());
    let mut manager = Manager::new(config, 1);
    let mut fence = 0;
    let mut batches = 0;
    let mut batch: Vec<Request> = Vec::new();
    let mut answer = |manager: &mut Manager, now: Instant, seen: &mut BTreeMap<OpKind, usize>| {
        loop {
            batch.clear();
            if manager.poll_requests(id(0), 256, &mut batch) == 0 {
                return;
            }
            batches += 1;
            for request in batch.drain(..) {
                *seen.entry(request.op.kind()).or_default() += 1;
                fence += 1;
                let answer = match request.op {
                    Op::Acquire { .. } => Answer::Granted {
                        fence: Fence::new(fence).unwrap(),
                        server_time: ServerTime::from_micros(fence),
                    },
                    _ => Answer::Done,
                };
                manager.handle_reply(now, request.id, Reply::Applied(answer));
            }
            while manager.poll_event().is_some() {}
        }
    };
    let mut seen = BTreeMap::new();
    let mut leases = Vec::new();
    for number in 0..LEASES {
        let now = Instant::ORIGIN;
        let key = key(&format!("k{number}"));
        leases.push(
            manager
                .acquire(now, key, secret(number as u64), options.clone())
                .unwrap(),
        );
    }
    answer(&mut manager, Instant::ORIGIN, &mut seen);
    let mut steps = 0;
    for round in 1..=3 {
        let now = at(RENEW_AFTER * round);
        assert_eq!(manager.poll_timeout(), Some(now));
        while manager.poll_timeout() <= Some(now) {
            manager.handle_timeout(now);
            steps += 1;
        }
        answer(&mut manager, now, &mut seen);
    }
    assert_eq!(steps, 3 * LEASES.div_ceil(STEP));
    let now = at(RENEW_AFTER * 3);
    assert!(leases.iter().all(|l| manager.valid_until(*l) > Some(now)));
    for lease in leases {
        manager.release(now, lease);
    }
    answer(&mut manager, now, &mut seen);
    assert!(manager.is_empty() && manager.poll_timeout().is_none());
    assert_eq!(seen[&OpKind::Acquire], LEASES);
    assert_eq!(seen[&OpKind::Renew], 3 * LEASES);
    assert_eq!(seen[&OpKind::Release], LEASES);
    assert_eq!(batches, 5 * LEASES.div_ceil(256));
}

/// A client whose node never answers, and how many leases it asks for.
fn asking(nodes: usize, leases: usize) -> (Manager, Vec<LeaseId>, Arc<LeaseOptions>) {
    let config = Config::builder(nodes).build().unwrap();
    let options = Arc::new(LeaseOptions::builder().build(&config).unwrap());
    let mut manager = Manager::new(config, 1);
    let ids = ask(&mut manager, leases, &options);
    (manager, ids, options)
}

fn ask(manager: &mut Manager, leases: usize, options: &Arc<LeaseOptions>) -> Vec<LeaseId> {
    let mut begin = |number| {
        let key = key(&format!("k{number}"));
        let secret = secret(number as u64);
        manager.acquire(Instant::ORIGIN, key, secret, Arc::clone(options))
    };
    (0..leases).map(|number| begin(number).unwrap()).collect()
}

#[test]
fn a_node_that_goes_down_is_answered_for_in_bounded_steps() {
    const LEASES: usize = 1_000;
    let (mut manager, ..) = asking(1, LEASES);
    let mut told = Vec::new();
    manager.handle_node_down(Instant::ORIGIN, id(0), down());
    for _ in 0..LEASES.div_ceil(STEP) {
        let mut now_told = 0;
        while let Some(event) = manager.poll_event() {
            assert!(matches!(event.kind, EventKind::Waiting { .. }), "{event:?}");
            told.push(event.lease);
            now_told += 1;
        }
        assert!((1..=STEP).contains(&now_told), "{now_told}");
        if told.len() < LEASES {
            assert!(manager.poll_timeout() <= Some(Instant::ORIGIN));
        }
        manager.handle_timeout(Instant::ORIGIN);
    }
    assert_eq!(told.len(), LEASES);
    assert!(manager.poll_timeout() > Some(Instant::ORIGIN));
    assert_eq!(manager.poll_requests(id(0), LEASES, &mut Vec::new()), 0);
}

/// Ends these leases, which no node has heard of. What others ask for is answered as not sent.
fn end(manager: &mut Manager, leases: &[LeaseId]) {
    for lease in leases {
        manager.cancel(Instant::ORIGIN, *lease);
    }
    let mut asked = Vec::new();
    manager.poll_requests(id(0), usize::MAX, &mut asked);
    for request in asked {
        let unsent = Reply::NotApplied(Refusal::NotSent);
        manager.handle_reply(Instant::ORIGIN, request.id, unsent);
    }
    while manager.poll_event().is_some() {}
}

/// Whichever end first, and even if one of them never ends.
#[test]
fn memory_is_given_back_when_leases_end() {
    const LEASES: usize = 100_000;
    let (mut manager, mut ids, options) = asking(1, LEASES);
    assert!(manager.capacity() >= 2 * LEASES);
    for order in 0..4 {
        match order {
            0 => {}
            1 => ids.reverse(),
            2 => ids.sort_by_key(|id| (id.index() % 7, id.index())),
            _ => ids.sort_by_key(|id| id.index() * 7_919 % LEASES),
        }
        let stays = match order % 2 {
            0 => ids.len() - 1,
            _ => 0,
        };
        let stays = ids.remove(stays);
        end(&mut manager, &ids);
        assert_eq!(manager.len(), 1);
        assert!(manager.capacity() <= 1_000, "{}", manager.capacity());
        end(&mut manager, &[stays]);
        assert!(manager.is_empty());
        assert!(manager.capacity() <= 1_000, "{}", manager.capacity());
        ids = ask(&mut manager, LEASES, &options);
    }
}

#[test]
fn no_lease_id_comes_twice_when_memory_was_given_back() {
    let (mut manager, mut ids, options) = asking(1, 300);
    let mut seen = BTreeSet::new();
    for round in 0..50 {
        assert!(ids.iter().all(|id| seen.insert(*id)));
        assert!(ids.iter().all(|id| id.index() < 300));
        for id in ids {
            manager.cancel(Instant::ORIGIN, id);
            assert!(manager.lease(id).is_none());
        }
        if round % 3 == 0 {
            manager.poll_requests(id(0), usize::MAX, &mut Vec::new());
        }
        ids = ask(&mut manager, 150 + round * 3, &options);
    }
    assert!(seen.len() > 10_000);
}

#[test]
fn leases_that_come_and_go_unsent_leave_one_entry_for_each_slot() {
    let (mut manager, mut ids, options) = asking(1, 1_000);
    for _ in 0..100 {
        for id in ids {
            manager.cancel(Instant::ORIGIN, id);
        }
        assert!(manager.is_empty());
        ids = ask(&mut manager, 1_000, &options);
    }
    assert!(manager.capacity() <= 10_000, "{}", manager.capacity());
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
    assert_eq!(
        world.ops(0),
        [
            OpKind::Acquire,
            OpKind::Acquire,
            OpKind::Renew,
            OpKind::Release
        ]
    );
    assert_eq!(names.len(), 4);
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
