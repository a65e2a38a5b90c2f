//! A node that is away for a moment while many leases are due to be renewed.

use std::time::Duration;

use futures_util::future::{join, join_all};
use tenure_redis::{Guard, Holder, LockError, Locks};
use tenure_sim::memory_net::{Connecting, Node, World};

use crate::support::{MARGIN, Outcome, TTL, calls, ms, nodes, secs};

const LEASES: usize = 1_000;

async fn hold(locks: &Locks) -> Result<Vec<Guard>, LockError> {
    let keys = (0..LEASES).map(|number| format!("k{number}"));
    let guards = keys.map(|key| async move { locks.lock(key).await });
    join_all(guards).await.into_iter().collect()
}

fn valid(guards: &[Guard]) -> usize {
    guards.iter().filter(|guard| guard.is_valid()).count()
}

/// A server that keeps what it acknowledged.
fn durable(node: &Node) {
    let set = |name, value| node.server().call(&["CONFIG", "SET", name, value]);
    set("appendonly", "yes");
    set("appendfsync", "always");
}

/// Renewals are due when two thirds of the TTL have passed, a little over 3 s before the end of
/// validity. Whenever in that time the node goes, and whichever pauses are drawn, nothing is lost.
#[test]
fn a_restart_of_two_seconds_costs_none_of_a_thousand_leases() -> Outcome {
    for seed in 0..6 {
        let gone_at = ms(6_600 + 30 * seed);
        World::run(seed, async |world| {
            let node = nodes(&world, 1).remove(0);
            durable(&node);
            let one = world.client("one");
            let locks = one.builder().connect().await?;
            let guards = hold(&locks).await?;
            assert!(world.now() < ms(50));
            world.sleep_until(gone_at).await;
            node.server().set_down(true);
            world.sleep(secs(2)).await;
            let before = calls(&world, "renew").len();
            node.server().restart_with_data();
            node.server().set_down(false);
            world.sleep_until(TTL - MARGIN).await;
            assert_eq!(valid(&guards), LEASES, "gone at {gone_at:?}");
            // Law: Bounded work
            let renewals = calls(&world, "renew").len() - before;
            assert!(renewals <= LEASES.div_ceil(128) + 2, "{renewals} calls");
            world.sleep(secs(60)).await;
            assert_eq!(valid(&guards), LEASES);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// Its machine is gone, so nobody refuses the connection: what is sent there is lost.
#[test]
fn a_machine_that_is_away_for_a_moment_costs_no_lease() -> Outcome {
    for seed in 0..6 {
        World::run(seed, async |world| {
            nodes(&world, 1);
            let one = world.client("one");
            let locks = one.builder().connect().await?;
            let guards = hold(&locks).await?;
            world.sleep_until(ms(6_650)).await;
            one.link("a").set_connecting(Connecting::Hangs);
            one.link("a").cut();
            world.sleep(ms(1_700)).await;
            one.link("a").set_connecting(Connecting::Open);
            world.sleep_until(TTL - MARGIN).await;
            assert_eq!(valid(&guards), LEASES);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// A round trip takes 200 ms, so TCP, HELLO and the set-up take over half a second. Two renewals do
/// not fit into the last third of the TTL, so the answer to one comes after its round.
#[test]
fn a_node_that_is_far_away_serves_leases_of_one_second() -> Outcome {
    for renew_after in [Some(ms(300)), None] {
        World::run(1, async |world| {
            let node = nodes(&world, 1).remove(0);
            let one = world.client("one");
            one.link("a").set_latency(ms(100), ms(100));
            let builder = one.builder().ttl(secs(1)).request_timeout(ms(400));
            let builder = builder.options(|options| match renew_after {
                Some(span) => options.renew_after(span),
                None => options,
            });
            let locks = builder.connect().await?;
            let guard = locks.lock("k").await?;
            for _ in 0..600 {
                world.sleep(ms(100)).await;
                assert!(guard.is_valid(), "{:?}", world.now());
            }
            assert_eq!(one.link("a").dials(), 1);
            guard.release().await?;
            // It comes back after a restart too.
            node.server().set_down(true);
            world.sleep(secs(5)).await;
            node.server().restart_empty();
            node.server().set_down(false);
            let begun = world.now();
            let guard = locks.lock("k").await?;
            let took = world.now() - begun;
            assert!(took < secs(2), "{took:?}");
            guard.release().await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// Its connection is silent, then breaks, and another takes four round trips to be made. The
/// client's own tasks ran all the time.
#[test]
fn an_inspection_of_a_node_that_is_far_away_ends_with_its_answer() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let link = one.link("a");
        link.set_latency(ms(200), ms(200));
        let builder = one.builder().ttl(secs(1)).request_timeout(ms(125));
        let locks = builder.connect().await?;
        let breaks = async {
            link.stick();
            world.sleep(ms(1_500)).await;
            link.cut();
        };
        let begun = world.now();
        let (seen, ()) = join(locks.inspect("k"), breaks).await;
        assert_eq!(seen?.holder(), &Holder::Free);
        let took = world.now() - begun;
        assert!(took > ms(3_000), "{took:?}");
        Ok(())
    })
}

/// The pauses between two tries to connect follow the shortest TTL in use, and not the longest that
/// is allowed.
#[test]
fn the_shortest_lease_that_lives_decides_how_soon_a_link_tries_again() -> Outcome {
    let down_for = |ttl: Duration| {
        World::run(3, async |world| {
            nodes(&world, 1);
            let one = world.client("one");
            let builder = one.builder().max_ttl(secs(60)).ttl(secs(60));
            let locks = builder.connect().await?;
            let short = locks.with(|options| options.ttl(ttl))?;
            let guard = short.lock("k").await?;
            world.sleep(secs(3)).await;
            one.link("a").set_connecting(Connecting::Refused);
            one.link("a").cut();
            world.sleep(ttl / 12).await;
            let dials = one.link("a").dials();
            world.sleep(ttl / 4).await;
            assert!(guard.is_valid());
            Ok::<u64, Box<dyn std::error::Error>>(one.link("a").dials() - dials)
        })
    };
    // Pauses of up to a sixteenth of the TTL, and of more than half of that, in a quarter of it.
    let dials = down_for(secs(6))?;
    assert!((4..=9).contains(&dials), "{dials}");
    // Pauses of up to 2 s in 15 s.
    let dials = down_for(secs(60))?;
    assert!((7..=16).contains(&dials), "{dials}");
    Ok(())
}
