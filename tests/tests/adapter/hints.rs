//! Waiting over several nodes: nobody asks while another has the lock, and one who waits has it as
//! soon as it is free.

use std::time::Duration;

use futures_util::future::select_all;
use tenure_core::Rng;
use tenure_redis::{Guard, LockError, Locks};
use tenure_sim::memory_net::{Client, Node, World};
use tokio::task::JoinHandle;

use crate::support::{Outcome, calls, client, ms, nodes, secs};

/// From a release to the next grant: the release and the push are one round trip, and the request
/// and its answer are another. Between these there are up to 5 ms that are random.
const SOON: Duration = ms(2 + 5 + 2);

type Failed = Box<dyn std::error::Error>;

/// A task that waits.
type Waiting = JoinHandle<Result<Guard, LockError>>;

/// So many clients, near all nodes.
async fn clients(world: &World, count: usize) -> Result<Vec<(Client, Locks)>, Failed> {
    let mut clients = Vec::new();
    for index in 0..count {
        clients.push(client(world, &format!("client-{index}")).await?);
    }
    Ok(clients)
}

/// The first has the key, and each of the others begins to wait for it.
async fn wait<'a>(
    world: &World,
    mut clients: impl Iterator<Item = &'a (Client, Locks)>,
) -> Result<(Guard, Vec<Waiting>), Failed> {
    let (_, first) = clients.next().expect("there are some");
    let guard = first.lock("k").await?;
    let waiting = clients.map(|(_, locks)| {
        let locks = locks.clone();
        tokio::spawn(async move { locks.lock("k").await })
    });
    let waiting = waiting.collect();
    world.sleep(ms(500)).await;
    Ok((guard, waiting))
}

/// How many requests were made for leases.
fn asked(world: &World) -> usize {
    let mut requests = world.requests();
    requests.retain(|request| request.is("EVALSHA") && request.names("k"));
    requests.len()
}

/// How many places each node has. Each has two members in the queue of the key.
fn places(nodes: &[Node]) -> Vec<usize> {
    let of = |node: &Node| {
        let members = |name| node.server().peek_sorted(name).len();
        node.server().keys().into_iter().map(members).sum::<usize>() / 2
    };
    nodes.iter().map(of).collect()
}

#[test]
fn over_three_nodes_nobody_asks_while_another_has_the_lock() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let clients = clients(&world, 6).await?;
        let (guard, waiting) = wait(&world, clients.iter()).await?;
        assert_eq!(places(&nodes), [5, 5, 5]);
        let before = asked(&world);
        world.sleep(secs(6)).await;
        assert_eq!(asked(&world), before);
        // From then on each keeps its places, as often as it would renew.
        world.sleep(secs(60)).await;
        let rounds = calls(&world, "acquire").len() / 3 - 6;
        assert!((5 * 9..=5 * 10).contains(&rounds), "{rounds}");
        assert_eq!(places(&nodes), [5, 5, 5]);
        drop(guard);
        waiting.iter().for_each(JoinHandle::abort);
        Ok(())
    })
}

#[test]
fn over_three_nodes_who_waits_has_the_lock_soon_after_its_release() -> Outcome {
    for seed in 1..=10 {
        World::run(seed, async |world| {
            let nodes = nodes(&world, 3);
            let clients = clients(&world, 6).await?;
            let (mut guard, mut waiting) = wait(&world, clients.iter()).await?;
            while !waiting.is_empty() {
                let (begun, before) = (world.now(), asked(&world));
                drop(guard);
                let (next, _, others) = select_all(waiting).await;
                (guard, waiting) = (next??, others);
                assert!(world.now() - begun <= SOON, "{:?}", world.now() - begun);
                world.sleep(ms(500)).await;
                // Three releases, and three who are asked.
                assert_eq!(asked(&world) - before, 6);
                assert_eq!(places(&nodes), [waiting.len(); 3]);
            }
            Ok::<(), Failed>(())
        })?;
    }
    Ok(())
}

/// They come in another order at each node, and all nodes hint to the same one all the same.
#[test]
fn where_each_node_is_at_another_distance_a_grant_takes_a_few_trips() -> Outcome {
    const FAR: u64 = 20;
    for seed in 1..=20 {
        World::run(seed, async |world| {
            let nodes = nodes(&world, 3);
            let clients = clients(&world, 8).await?;
            let mut rng = Rng::new(seed);
            for (process, _) in &clients {
                for node in &nodes {
                    let span = ms(1) + rng.below(ms(FAR));
                    process.link(node.name()).set_latency(span, span);
                }
            }
            let (mut guard, mut waiting) = wait(&world, clients.iter()).await?;
            let before = asked(&world);
            while !waiting.is_empty() {
                let begun = world.now();
                drop(guard);
                let (next, _, others) = select_all(waiting).await;
                (guard, waiting) = (next??, others);
                let took = world.now() - begun;
                assert!(took <= 4 * 2 * ms(FAR), "seed {seed}: {took:?}");
                world.sleep(ms(500)).await;
            }
            let each = (asked(&world) - before) / 7;
            assert!(each <= 9, "seed {seed}: {each} requests for each grant");
            guard.release().await?;
            world.sleep(ms(500)).await;
            assert_eq!(places(&nodes), [0, 0, 0]);
            Ok::<(), Failed>(())
        })?;
    }
    Ok(())
}

#[test]
fn one_hint_of_three_is_enough() -> Outcome {
    for lost in 0..3 {
        World::run(1, async |world| {
            let nodes = nodes(&world, 3);
            let clients = clients(&world, 3).await?;
            let (guard, waiting) = wait(&world, clients.iter()).await?;
            let others = nodes.iter().enumerate().filter(|(at, _)| *at != lost);
            others.for_each(|(_, node)| node.server().lose_next_message());
            let begun = world.now();
            drop(guard);
            let (next, _, others) = select_all(waiting).await;
            assert!(world.now() - begun <= SOON, "{:?}", world.now() - begun);
            drop(next??);
            let (next, ..) = select_all(others).await;
            next??.release().await?;
            Ok::<(), Failed>(())
        })?;
    }
    Ok(())
}

/// At any moment from the release on: before the hints are sent, while they are on their way, in
/// the pause after them, and while its own requests are on their way.
#[test]
fn who_is_dropped_at_its_turn_leaves_the_lock_to_the_next() -> Outcome {
    for seed in 1..=3 {
        for at in 0..=12 {
            World::run(seed, async |world| {
                let nodes = nodes(&world, 3);
                let clients = clients(&world, 3).await?;
                let (guard, mut waiting) = wait(&world, clients.iter()).await?;
                drop(guard);
                world.sleep(ms(at)).await;
                waiting[0].abort();
                let begun = world.now();
                drop(waiting.remove(0).await);
                let next = waiting.remove(0).await??;
                let took = world.now() - begun;
                assert!(took <= SOON, "seed {seed}, {at} ms: {took:?}");
                next.release().await?;
                world.sleep(ms(10)).await;
                assert_eq!(places(&nodes), [0, 0, 0]);
                Ok::<(), Failed>(())
            })?;
        }
    }
    Ok(())
}

/// A try that is dropped before it is answered had a quorum. Who waits took it for a holder.
#[test]
fn a_try_that_is_dropped_at_the_nodes_leaves_the_lock_to_who_waits() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let clients = clients(&world, 2).await?;
        for node in ["a", "b", "c"] {
            clients[0].0.link(node).set_latency(ms(1), ms(50));
        }
        let first = clients[0].1.clone();
        let trying = tokio::spawn(async move { first.try_lock("k").await.map(drop) });
        world.sleep(ms(5)).await;
        let second = clients[1].1.clone();
        let waiting = tokio::spawn(async move { second.lock("k").await });
        world.sleep(ms(5)).await;
        trying.abort();
        let begun = world.now();
        let guard = waiting.await??;
        assert!(world.now() - begun <= SOON, "{:?}", world.now() - begun);
        drop(guard);
        Ok(())
    })
}
