//! Fencing: a later grant has a larger fence, whatever happened in between.

use tenure_redis::Locks;
use tenure_sim::memory_net::{Node, World};

use crate::support::{Outcome, builder, calls, ms, nodes, secs};

async fn next(locks: &Locks, last: &mut u64, after: &str) -> Outcome {
    let guard = locks.lock("k").await?;
    assert!(
        guard.fence() > *last,
        "after {after}: {} is not above {last}",
        guard.fence()
    );
    *last = guard.fence();
    guard.release().await?;
    Ok(())
}

#[test]
fn the_fence_grows_whatever_becomes_of_the_counter() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (one, two) = (world.client("one"), world.client("two"));
            let locks = builder(&one).connect().await?;
            let mut last = 0;
            next(&locks, &mut last, "nothing").await?;
            next(&locks, &mut last, "a release").await?;

            let crashing = builder(&two).connect().await?;
            let forgotten = crashing.lock("k").await?;
            assert!(forgotten.fence() > last);
            last = forgotten.fence();
            two.crash();
            next(&locks, &mut last, "a crash and an expiry").await?;

            let all = |act: &dyn Fn(&Node)| nodes.iter().for_each(act);
            all(&|node| drop(node.server().call(&["FLUSHALL"])));
            next(&locks, &mut last, "FLUSHALL").await?;
            all(&|node| node.server().restart_empty());
            world.sleep(secs(1)).await;
            next(&locks, &mut last, "a restart without data").await?;

            let before: Vec<_> = nodes.iter().map(|node| node.server().snapshot()).collect();
            for _ in 0..10 {
                next(&locks, &mut last, "a release").await?;
            }
            for (node, before) in nodes.iter().zip(&before) {
                node.server().promote_stale(before);
            }
            world.sleep(secs(1)).await;
            next(&locks, &mut last, "the promotion of a stale replica").await?;

            // Within the day that the counter covers.
            all(&|node| node.clock().step_back(secs(3_600)));
            for _ in 0..10 {
                next(&locks, &mut last, "a clock step back by an hour").await?;
                world.sleep(secs(60)).await;
            }
            all(&|node| node.clock().step(secs(7_200)));
            next(&locks, &mut last, "a clock step forward").await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// The clocks of the nodes differ.
#[test]
fn the_fence_grows_over_nodes_that_take_turns_in_being_away() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        nodes[0].clock().step(ms(300));
        nodes[1].clock().step_back(ms(400));
        nodes[2].clock().set_drift_ppm(2_000);
        let (one, two) = (world.client("one"), world.client("two"));
        let all = [
            builder(&one).connect().await?,
            builder(&two).connect().await?,
        ];
        let mut last = 0;
        for turn in 0..60 {
            let away = &nodes[turn % 3];
            away.server().set_down(true);
            if turn % 4 == 0 {
                away.server().restart_empty();
            }
            next(&all[turn % 2], &mut last, "another node is away").await?;
            away.server().set_down(false);
            world.sleep(ms(900)).await;
        }
        Ok(())
    })
}

/// The times of the nodes' clocks, from which a fence is proposed.
#[test]
fn a_grant_over_three_nodes_costs_one_round_trip_with_times_known() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        // Clocks that differ as those of real servers do.
        nodes[0].clock().step(ms(3));
        nodes[1].clock().step_back(ms(5));
        let (one, two) = (world.client("one"), world.client("two"));
        let all = [
            builder(&one).connect().await?,
            builder(&two).connect().await?,
        ];
        all[0].lock("k").await?.release().await?;
        all[1].lock("k").await?.release().await?;
        for turn in 0..50 {
            let before = world.requests().len();
            let begun = world.now();
            let guard = all[turn % 2].lock("k").await?;
            assert_eq!(world.now() - begun, ms(2), "one round trip");
            world.sleep(ms(5)).await;
            let asked = world.requests().split_off(before);
            assert_eq!(
                asked.iter().filter(|r| r.is("EVALSHA")).count(),
                3,
                "one per node"
            );
            guard.release().await?;
            world.sleep(ms(40)).await;
        }
        assert!(calls(&world, "confirm").len() <= 2 * 3);
        Ok(())
    })
}
