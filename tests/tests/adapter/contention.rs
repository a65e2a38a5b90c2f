//! Waiting for a key that others hold: how often a waiter asks, what each of many gets, and who is
//! seen to wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tenure_redis::{Holder, Locks};
use tenure_sim::memory_net::World;
use tenure_sim::server::Reply;

use crate::support::{Outcome, TTL, builder, calls, client, ms, nodes, secs};

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

/// Nobody can tell it that the lock is its.
#[test]
fn who_may_not_listen_finds_its_turn_by_asking_within_a_second() -> Outcome {
    World::run(1, async |world| {
        let node = &nodes(&world, 1)[0];
        node.server().deny_default_user(&["subscribe"]);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let waiter = tokio::spawn(async move { locks.lock("k").await });
        world.sleep(secs(1)).await;
        let released = world.now();
        guard.release().await?;
        let guard = waiter.await??;
        assert!(world.now() <= released + secs(1), "{:?}", world.now());
        assert!(guard.is_valid());
        Ok(())
    })
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

#[test]
fn an_inspection_lists_who_waits_in_order_and_by_label() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_watcher, locks) = client(&world, "watcher").await?;
        assert_eq!(locks.inspect("k").await?.waiting(), 0);
        let guard = locks.lock("k").await?;
        let mut waiting = Vec::new();
        for label in ["first:1", "second", "third"] {
            let process = world.client(label);
            let waiter = builder(&process)
                .options(|options| options.label(label))
                .connect()
                .await?;
            waiting.push(tokio::spawn(
                async move { waiter.lock("k").await.map(drop) },
            ));
            world.sleep(ms(50)).await;
        }
        let seen = locks.inspect("k").await?;
        let queue = seen.nodes[0].queue.as_ref().expect("there is one node");
        let labels: Vec<_> = queue
            .first
            .iter()
            .map(|place| place.label.as_deref())
            .collect();
        assert_eq!(labels, ["first:1", "second", "third"].map(Some));
        assert_eq!((queue.waiting, seen.waiting()), (3, 3));
        for place in &queue.first {
            assert!(place.left > TTL - secs(1) && place.left <= TTL, "{place:?}");
        }
        drop(guard);
        for waiter in waiting {
            waiter.await??;
        }
        let seen = locks.inspect("k").await?;
        assert_eq!((seen.holder(), seen.waiting()), (&Holder::Free, 0));
        Ok(())
    })
}

#[test]
fn an_inspection_lists_the_first_hundred_and_counts_all() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let waiting: Vec<_> = (0..120)
            .map(|_| {
                let locks = locks.clone();
                tokio::spawn(async move { locks.lock("k").await.map(drop) })
            })
            .collect();
        world.sleep(ms(100)).await;
        let seen = locks.inspect("k").await?;
        let queue = seen.nodes[0].queue.as_ref().expect("there is one node");
        assert_eq!((queue.waiting, queue.first.len()), (120, 100));
        drop(guard);
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    })
}

#[test]
fn a_guard_says_how_long_it_was_waited_for() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, rivals) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        assert!(
            guard.waited() > ms(0) && guard.waited() < ms(20),
            "{guard:?}"
        );
        let waiting = tokio::spawn(async move { rivals.lock("k").await });
        world.sleep(secs(25)).await;
        drop(guard);
        let guard = waiting.await??;
        assert!(
            guard.waited() >= secs(25) && guard.waited() < secs(25) + ms(20),
            "{:?}",
            guard.waited()
        );
        drop(guard);
        world.sleep(ms(20)).await;
        let guard = locks.try_lock("k").await?;
        assert!(guard.waited() > ms(0) && guard.waited() < ms(20));
        Ok(())
    })
}

#[test]
fn a_queue_that_is_none_is_told_by_an_inspection_and_not_touched() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        let name = "{k}:tenure:queue";
        node.server().call(&["HSET", name, "field", "1"]);
        let seen = locks.inspect("{k}").await?;
        let Holder::WrongType {
            name: told, holds, ..
        } = seen.holder()
        else {
            panic!("{seen:?}");
        };
        assert_eq!((told.as_bytes(), &holds[..]), (name.as_bytes(), "a hash"));
        assert_eq!((seen.nodes[0].queue.as_ref(), seen.waiting()), (None, 0));
        assert_eq!(node.server().call(&["EXISTS", name]), Reply::Int(1));
        // A sorted set of somebody else's has no places.
        node.server().call(&["DEL", name]);
        node.server()
            .call(&["ZADD", name, "1", "theirs", "2", "A", "3", "Ax"]);
        let seen = locks.inspect("{k}").await?;
        let queue = seen.nodes[0].queue.as_ref().expect("it is one by its type");
        assert!(queue.first.len() <= 3, "{queue:?}");
        Ok(())
    })
}
