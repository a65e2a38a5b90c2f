//! Waiting for a key that others hold: how often a waiter asks, and what each of many gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tenure_redis::Locks;
use tenure_sim::memory_net::World;

use crate::support::{Outcome, calls, client, ms, nodes, secs};

/// How often each of some tasks was granted the key.
#[derive(Default)]
struct Counts(Vec<Arc<AtomicU32>>);

impl Counts {
    /// Starts a task that takes the key, holds it, lets it go, and wants it again at once.
    fn start(&mut self, world: &World, locks: &Locks, hold: Duration) {
        let (world, locks) = (world.clone(), locks.clone());
        let count = Arc::new(AtomicU32::new(0));
        self.0.push(Arc::clone(&count));
        tokio::spawn(async move {
            loop {
                let guard = locks.lock("k").await.expect("nobody gives up");
                count.fetch_add(1, Ordering::Relaxed);
                world.sleep(hold).await;
                guard.release().await.expect("it was held");
            }
        });
    }

    fn now(&self) -> Vec<u32> {
        let counts = self.0.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

/// One client takes the key again as soon as it has let it go, and another waits for it. The key is
/// free for one round trip, 2 ms, in each turn.
#[test]
fn a_waiter_gets_its_share_beside_one_who_asks_again_at_once() -> Outcome {
    for (count, hold, least) in [(1, 5, 600), (1, 100, 10), (3, 5, 600), (3, 100, 10)] {
        for seed in 1..=3 {
            World::run(seed, async |world| {
                nodes(&world, count);
                let (_one, locks) = client(&world, "one").await?;
                let (_two, rivals) = client(&world, "two").await?;
                let mut counts = Counts::default();
                counts.start(&world, &locks, ms(hold));
                world.sleep(ms(20)).await;
                counts.start(&world, &rivals, ms(hold));
                world.sleep(secs(20)).await;
                let counts = counts.now();
                assert!(
                    counts.iter().all(|count| *count >= least),
                    "{count} nodes, {hold} ms: {counts:?}"
                );
                Ok::<(), Box<dyn std::error::Error>>(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn each_of_sixteen_tasks_gets_a_wanted_key_within_six_seconds() -> Outcome {
    for (count, hold, least) in [(1, 5, 20), (1, 50, 1), (3, 5, 20), (3, 50, 1)] {
        World::run(1, async |world| {
            nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let mut counts = Counts::default();
            for _ in 0..16 {
                counts.start(&world, &locks, ms(hold));
            }
            world.sleep(secs(6)).await;
            let counts = counts.now();
            assert!(
                counts.iter().all(|count| *count >= least),
                "{count} nodes, {hold} ms: {counts:?}"
            );
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// It keeps its place at the pace of renewals.
#[test]
fn a_waiter_costs_few_requests_while_one_holds_the_key() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, rivals) = client(&world, "two").await?;
        let _guard = locks.lock("k").await?;
        let waiting = tokio::spawn(async move { rivals.lock("k").await });
        world.sleep(secs(1)).await;
        let before = calls(&world, "wait").len();
        world.sleep(secs(60)).await;
        let asked = calls(&world, "wait").len() - before;
        assert!((8..=10).contains(&asked), "{asked} in a minute");
        waiting.abort();
        Ok(())
    })
}
