//! Bounded work: what a lease costs, what a thousand cost, and what an outage costs.

use futures_util::future::try_join_all;
use tenure_redis::{Guard, LockError, Locks};
use tenure_sim::memory_net::{Connecting, World};

use crate::support::{Outcome, calls, client, ms, nodes, secs};

const MANY: usize = 1_000;
/// How many leases one renewal request carries at most.
const BATCH: usize = 128;

async fn take_many(locks: &Locks) -> Result<Vec<Guard>, LockError> {
    try_join_all((0..MANY).map(|index| locks.lock(format!("k{index}")))).await
}

#[test]
fn an_acquire_and_a_release_are_one_request_each_per_node() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            locks.lock("k").await?.release().await?;
            world.sleep(ms(100)).await;
            let before = world.requests().len();
            locks.lock("k").await?.release().await?;
            world.sleep(secs(5)).await;
            let after = world.requests().split_off(before);
            let calls = after.iter().filter(|request| request.is("EVALSHA"));
            if count > 1 {
                assert_eq!((calls.count(), after.len()), (2 * count, 2 * count));
            } else {
                // Two commands of one write, and a script.
                assert!(after[0].is("SET") && after[1].is("XADD"), "{after:?}");
                assert_eq!(after[0].at, after[1].at);
                assert_eq!((calls.count(), after.len()), (1, 3));
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn an_idle_client_asks_each_node_every_ten_seconds_whether_it_lives() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let before = world.requests().len();
        world.sleep(secs(3_600)).await;
        let asked = world.requests().split_off(before);
        // Once an hour the stream of fences is kept from expiring.
        let keeps = calls(&world, "keep").len() - 1;
        assert!(keeps <= 1, "{keeps}");
        let pings = asked.iter().filter(|request| request.is("PING"));
        assert_eq!(pings.count() + keeps, asked.len());
        assert!((360..=480).contains(&asked.len()), "{}", asked.len());
        drop(locks);
        Ok(())
    })
}

#[test]
fn a_thousand_leases_that_are_due_together_are_renewed_in_batches() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let guards = take_many(&locks).await?;
            let before = calls(&world, "renew").len();
            world.sleep(secs(21)).await;
            assert!(guards.iter().all(Guard::is_valid));
            // At 6.7, 13.3 and 20 seconds.
            let requests = calls(&world, "renew").len() - before;
            let least = 3 * MANY.div_ceil(BATCH) * nodes.len();
            assert!(
                requests >= least && requests <= 2 * least,
                "{requests} of {least}"
            );
            assert!(
                calls(&world, "renew")
                    .iter()
                    .all(|r| r.argv.len() <= 3 + 3 * BATCH)
            );
            locks.close().await;
            for node in &nodes {
                let mut keys = node.server().keys();
                keys.retain(|key| !String::from_utf8_lossy(key).contains("tenure:fence"));
                assert_eq!(keys.len(), 0, "{}", String::from_utf8_lossy(&keys.concat()));
            }
            drop(guards);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn an_outage_of_the_only_node_is_not_a_storm() -> Outcome {
    for connecting in [Connecting::Refused, Connecting::Hangs] {
        World::run(1, async |world| {
            let node = world.node("a");
            let (one, locks) = client(&world, "one").await?;
            let guards = take_many(&locks).await?;
            let waiting: Vec<_> = (0..100)
                .map(|index| {
                    let locks = locks.clone();
                    tokio::spawn(async move { locks.lock(format!("k{index}")).await })
                })
                .collect();
            world.sleep(secs(1)).await;
            let (dials, requests) = (one.link("a").dials(), world.requests().len());
            one.link("a").set_connecting(connecting);
            one.link("a").cut();
            world.sleep(secs(60)).await;
            assert!(guards.iter().all(|guard| !guard.is_valid()));
            let dials = one.link("a").dials() - dials;
            // Pauses of up to a sixteenth of 10 s, and of half of that at least; or dials of 2 s.
            assert!((20..=200).contains(&dials), "{dials} dials in a minute");
            assert_eq!(
                world.requests().len(),
                requests,
                "nobody was there to hear one"
            );
            one.link("a").heal();
            let mended = world.now();
            for waiting in waiting {
                let guard = waiting.await??;
                assert!(guard.is_valid());
            }
            assert!(
                world.now() - mended <= secs(5),
                "{:?}",
                world.now() - mended
            );
            world.sleep(secs(1)).await;
            let after = world.requests().len() - requests;
            assert!(after <= 600, "{after} requests after it");
            drop(node);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn an_outage_of_one_of_three_nodes_costs_the_others_nothing() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let guards = take_many(&locks).await?;
        let before = calls(&world, "renew").len();
        one.link("c").set_connecting(Connecting::Refused);
        one.link("c").cut();
        nodes[2].server().restart_empty();
        world.sleep(secs(60)).await;
        assert!(guards.iter().all(Guard::is_valid));
        let renewals = calls(&world, "renew").len() - before;
        // Nine rounds at two nodes.
        let least = 8 * 2 * MANY.div_ceil(BATCH);
        assert!(renewals <= 3 * least, "{renewals} of {least}");
        assert!(one.link("c").dials() <= 200, "{}", one.link("c").dials());
        one.link("c").heal();
        world.sleep(secs(10)).await;
        assert!(guards.iter().all(Guard::is_valid));
        let repairs = calls(&world, "repair").len();
        assert!(repairs <= MANY + MANY / 10, "{repairs}");
        let back = (0..MANY)
            .filter(|i| nodes[2].server().peek(format!("k{i}")).is_some())
            .count();
        assert_eq!(back, MANY, "every copy is back");
        Ok(())
    })
}

#[test]
fn a_client_that_is_full_says_so_and_has_room_again_after_a_release() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = one.builder().max_leases(2).connect().await?;
        let first = locks.lock("a").await?;
        let second = locks.lock("b").await?;
        let asked = locks.lock("c").await;
        assert!(
            matches!(&asked, Err(error @ LockError::AtCapacity { .. }) if error.is_misuse()),
            "{asked:?}"
        );
        first.release().await?;
        locks.lock("c").await?.release().await?;
        second.release().await?;
        Ok(())
    })
}
