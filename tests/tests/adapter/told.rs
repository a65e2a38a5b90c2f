//! A loss that is told at once: a node pushes when somebody touches the key of a lock whose loss is
//! awaited, and the client asks.

use std::time::Duration;

use tenure_redis::{Guard, Locks, Loss};
use tenure_sim::memory_net::{Node, Request, World};

use crate::awaited::{Sleeper, sleepers, take, told_once};
use crate::support::{Outcome, builder, calls, client, ms, nodes, secs, until};

/// How long bytes travel, each way.
const WAY: Duration = ms(5);
/// The push, and the question that decides: with a moment for who looks once in a millisecond.
const TWO_ROUND_TRIPS: Duration = ms(4 * 5 + 1);
/// By when leases are renewed, of which nothing else is said.
const RENEWAL: Duration = secs(7);
/// How many keys one request watches at most.
const BATCH: usize = 128;

/// A process that is far enough from all nodes for round trips to be counted.
async fn distant(
    world: &World,
    count: usize,
) -> Result<(Vec<Node>, Locks), tenure_redis::ConnectError> {
    let nodes = nodes(world, count);
    let one = world.client("one");
    for node in &nodes {
        one.link(node.name()).set_latency(WAY, WAY);
    }
    let locks = builder(&one).connect().await?;
    Ok((nodes, locks))
}

/// The requests of this command, with this word behind it if there is one.
fn sent(world: &World, command: &str, word: Option<&str>) -> Vec<Request> {
    let mut requests = world.requests();
    let is_of = |request: &Request| {
        let second = request.argv.get(1);
        word.is_none_or(|word| second.is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes())))
    };
    requests.retain(|request| request.is(command) && is_of(request));
    requests
}

/// How many keys these requests name, of those that begin so.
fn keys(requests: &[Request], prefix: &str) -> usize {
    let args = requests.iter().flat_map(|request| &request.argv);
    args.filter(|arg| arg.starts_with(prefix.as_bytes()))
        .count()
}

#[test]
fn a_loss_is_told_within_two_round_trips_to_who_awaits_it() -> Outcome {
    let ways: [(&[&str], Loss); 3] = [
        (&["DEL", "k"], Loss::Gone),
        (&["SET", "k", "theirs"], Loss::Taken),
        (&["FLUSHALL"], Loss::Gone),
    ];
    for count in [1, 3] {
        for (command, loss) in &ways {
            World::run(1, async |world| {
                let (nodes, locks) = distant(&world, count).await?;
                let guard = locks.lock("k").await?;
                let mut lost = [Sleeper::new(guard.lost())];
                world.sleep(ms(500)).await;
                for node in &nodes {
                    node.server().call(command);
                }
                until(&world, TWO_ROUND_TRIPS, || lost[0].woken() > 0).await;
                told_once(&mut lost, loss);
                assert!(!guard.is_valid());
                Ok::<(), Box<dyn std::error::Error>>(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn work_under_a_guard_is_dropped_within_two_round_trips_of_a_loss() -> Outcome {
    World::run(1, async |world| {
        let (nodes, locks) = distant(&world, 1).await?;
        let guard = locks.lock("k").await?;
        let mut work = Sleeper::new(guard.run(std::future::pending::<()>()));
        world.sleep(ms(500)).await;
        nodes[0].server().call(&["DEL", "k"]);
        until(&world, TWO_ROUND_TRIPS, || work.woken() > 0).await;
        assert!(work.poll().is_ready());
        Ok(())
    })
}

/// A node watches a key once, and each renewal of ours ends that.
#[test]
fn a_loss_is_told_at_once_after_many_renewals_too() -> Outcome {
    World::run(1, async |world| {
        let (nodes, locks) = distant(&world, 1).await?;
        let guard = locks.lock("k").await?;
        let lost = Sleeper::new(guard.lost());
        // Not while it is renewed.
        world.sleep(secs(57)).await;
        assert_eq!(lost.woken(), 0);
        nodes[0].server().call(&["DEL", "k"]);
        until(&world, TWO_ROUND_TRIPS, || lost.woken() > 0).await;
        Ok(())
    })
}

/// The copy that is gone is put back, and nobody is told anything.
#[test]
fn a_copy_that_is_deleted_at_one_of_three_nodes_is_back_at_once() -> Outcome {
    World::run(1, async |world| {
        let (nodes, locks) = distant(&world, 3).await?;
        let guard = locks.lock("k").await?;
        let lost = Sleeper::new(guard.lost());
        world.sleep(ms(500)).await;
        nodes[1].server().call(&["DEL", "k"]);
        let is_back = || nodes[1].server().peek("k").is_some();
        until(&world, TWO_ROUND_TRIPS, is_back).await;
        assert!(guard.is_valid());
        assert_eq!(lost.woken(), 0);
        Ok(())
    })
}

#[test]
fn a_key_that_is_touched_and_left_is_asked_about_once_and_not_lost() -> Outcome {
    World::run(1, async |world| {
        let (nodes, locks) = distant(&world, 1).await?;
        let guard = locks.lock("k").await?;
        let lost = Sleeper::new(guard.lost());
        world.sleep(ms(500)).await;
        let before = calls(&world, "renew").len();
        for _ in 0..10 {
            nodes[0].server().call(&["PEXPIRE", "k", "5000"]);
            world.sleep(ms(100)).await;
        }
        // It is watched again behind the next renewal that is due.
        assert_eq!(calls(&world, "renew").len(), before + 1);
        assert!(guard.is_valid());
        assert_eq!(lost.woken(), 0);
        world.sleep(RENEWAL).await;
        nodes[0].server().call(&["DEL", "k"]);
        until(&world, TWO_ROUND_TRIPS, || lost.woken() > 0).await;
        Ok(())
    })
}

/// They forget innocent keys then, and say so in the words for a key that was touched.
#[test]
fn a_node_that_watches_few_keys_is_not_asked_again_and_again() -> Outcome {
    const LEASES: usize = 300;
    const INTERVALS: usize = 3;
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let server = nodes[0].server();
        server.call(&["CONFIG", "SET", "tracking-table-max-keys", "100"]);
        let (_one, one) = client(&world, "one").await?;
        let (_two, two) = client(&world, "two").await?;
        let mut guards = take(&one, LEASES).await;
        let others = (0..LEASES).map(|n| two.try_lock(format!("k-{n}")));
        guards.extend(futures_util::future::try_join_all(others).await?);
        let sleepers = sleepers(&guards);
        world.sleep(RENEWAL).await;
        let count =
            || [calls(&world, "renew"), sent(&world, "MGET", None)].map(|of| keys(&of, "k"));
        let before = count();
        world.sleep(secs(20)).await;
        let after = count();
        let [renewed, watched] = [0, 1].map(|of| after[of] - before[of]);
        // Each is renewed and watched again in each interval, and some are doubted once.
        let leases = 2 * LEASES * INTERVALS;
        assert!(
            renewed > leases && renewed <= 2 * leases,
            "{renewed} of {leases}"
        );
        // Behind a doubt that was none, it is not watched again.
        assert_eq!(watched, leases);
        assert!(guards.iter().all(Guard::is_valid));
        assert!(sleepers.iter().all(|sleeper| sleeper.woken() == 0));
        Ok(())
    })
}

#[test]
fn who_does_not_await_a_loss_has_nothing_watched() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let guards = take(&locks, 10).await;
            world.sleep(secs(30)).await;
            let watches = || {
                let words = ["TRACKING", "CACHING"];
                let asked = words.map(|word| sent(&world, "CLIENT", Some(word)).len());
                [asked[0], asked[1], sent(&world, "MGET", None).len()]
            };
            assert_eq!(watches(), [0, 0, 0]);
            let _lost = Sleeper::new(guards[0].lost());
            world.sleep(ms(100)).await;
            assert_eq!(watches(), [count; 3], "and one that does is");
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_loss_whose_push_is_lost_is_found_by_the_next_renewal() -> Outcome {
    World::run(1, async |world| {
        let (nodes, locks) = distant(&world, 1).await?;
        let guard = locks.lock("k").await?;
        let mut lost = [Sleeper::new(guard.lost())];
        world.sleep(ms(500)).await;
        nodes[0].server().lose_next_invalidation();
        nodes[0].server().call(&["DEL", "k"]);
        world.sleep(secs(5)).await;
        assert_eq!(lost[0].woken(), 0);
        until(&world, secs(2), || lost[0].woken() > 0).await;
        told_once(&mut lost, &Loss::Gone);
        Ok(())
    })
}

/// After the grant, and behind each renewal.
#[test]
fn many_awaited_guards_share_the_requests_that_watch_their_keys() -> Outcome {
    const MANY: usize = 1_000;
    for count in [1, 3] {
        World::run(1, async |world| {
            nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let guards = take(&locks, MANY).await;
            let _sleepers = sleepers(&guards);
            world.sleep(ms(100)).await;
            let mut before = Vec::new();
            for round in 0..4 {
                let watches = sent(&world, "MGET", None).split_off(before.len());
                let least = MANY.div_ceil(BATCH) * count;
                let requests = watches.len();
                assert!(
                    (least..=2 * least).contains(&requests),
                    "{round}: {requests}"
                );
                assert_eq!(keys(&watches, "k"), MANY * count, "{round}");
                before.extend(watches);
                world.sleep(ms(6_700)).await;
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}
