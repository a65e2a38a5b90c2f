//! Guards and handles: who keeps what alive, and what is left when they go.

use tenure_redis::{LockError, Loss, ReleaseError};
use tenure_sim::memory_net::{Connecting, Direction, Node, World};
use tenure_sim::server::Lost;

use crate::support::{Outcome, TTL, builder, calls, client, ms, nodes, secs, stands, until};

fn open(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| node.server().connections()).sum()
}

#[test]
fn a_guard_keeps_its_client_alive_and_renews_itself_without_a_handle() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let one = world.client("one");
        let guard = one.builder().connect().await?.lock("k").await?;
        for _ in 0..60 {
            world.sleep(secs(1)).await;
            assert!(guard.is_valid());
            assert!(stands(&nodes, "k"));
        }
        drop(guard);
        until(&world, ms(10), || !stands(&nodes, "k") && open(&nodes) == 0).await;
        Ok(())
    })
}

#[test]
fn dropping_the_last_handle_ends_the_tasks_and_closes_the_connections() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let other = locks.clone();
        drop(locks);
        world.sleep(secs(30)).await;
        assert_eq!(open(&nodes), 3);
        let guard = other.try_lock("k").await?;
        drop(other);
        world.sleep(secs(30)).await;
        assert!(guard.is_valid() && stands(&nodes, "k"));
        drop(guard);
        until(&world, ms(10), || !stands(&nodes, "k") && open(&nodes) == 0).await;
        Ok(())
    })
}

#[test]
fn a_guard_that_is_dropped_frees_its_key_in_one_round_trip() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(ms(10)).await;
        drop(guard);
        let took = until(&world, secs(1), || !stands(&nodes, "k")).await;
        assert!(took <= ms(2), "{took:?}");
        Ok(())
    })
}

#[test]
fn a_guard_that_is_dropped_while_it_renews_frees_its_key() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let one = world.client("one");
        for node in &nodes {
            one.link(node.name()).set_latency(ms(20), ms(20));
        }
        let locks = builder(&one).connect().await?;
        // From before the renewal is written to after its reply.
        for extra in (0..=60).step_by(4) {
            let guard = locks.lock("k").await?;
            let before = calls(&world, "renew").len();
            world.sleep(ms(6_666 - 42 + extra)).await;
            drop(guard);
            world.sleep(ms(100)).await;
            assert!(!stands(&nodes, "k"), "{extra}");
            assert!(calls(&world, "renew").len() <= before + 3);
        }
        Ok(())
    })
}

#[test]
fn a_guard_dropped_in_an_outage_is_released_when_the_node_is_back() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        one.link("a").set_connecting(Connecting::Refused);
        one.link("a").cut();
        world.sleep(secs(2)).await;
        drop(guard);
        world.sleep(secs(2)).await;
        assert!(stands(&nodes, "k"), "nobody could tell the node");
        one.link("a").heal();
        let took = until(&world, TTL, || !stands(&nodes, "k")).await;
        assert!(took <= secs(3), "{took:?}");
        Ok(())
    })
}

#[test]
fn a_guard_that_is_dropped_after_its_loss_touches_nobody_elses_lock() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let (_two, rivals) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        one.link("a").stall();
        let rival = rivals.lock("k").await?;
        assert!(!guard.is_valid());
        one.link("a").heal();
        drop(guard);
        world.sleep(secs(1)).await;
        assert!(rival.is_valid() && stands(&nodes, "k"));
        assert!(
            locks
                .try_lock("k")
                .await
                .is_err_and(|error| error.is_contention())
        );
        rival.release().await?;
        Ok(())
    })
}

#[test]
fn closing_releases_all_that_is_held_and_tells_the_guards() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let mut guards = Vec::new();
        for key in ["k", "l", "m"] {
            guards.push(locks.lock(key).await?);
        }
        let closing = tokio::spawn({
            let locks = locks.clone();
            async move { locks.close().await }
        });
        let lost = guards[0].lost().await;
        assert_eq!(lost.loss, Loss::Closed);
        closing.await?;
        for (guard, key) in guards.iter().zip(["k", "l", "m"]) {
            assert!(!guard.is_valid());
            assert!(!stands(&nodes, key));
        }
        let released = guards.remove(0).release().await;
        let Err(error @ ReleaseError::Lost(_)) = released else {
            panic!("the client is closed: {released:?}");
        };
        let words = "was lost before it was released: the client was closed";
        assert!(error.to_string().contains(words), "{error}");
        let late = locks.lock("k").await;
        assert!(matches!(late, Err(LockError::Closed { .. })), "{late:?}");
        until(&world, ms(10), || open(&nodes) == 0).await;
        locks.close().await;
        Ok(())
    })
}

#[test]
fn closing_ends_in_bounded_time_while_no_node_answers() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        for node in &nodes {
            one.link(node.name()).stall();
        }
        let begun = world.now();
        locks.close().await;
        assert!(world.now() - begun <= ms(4_010), "four request timeouts");
        assert!(!guard.is_valid());
        Ok(())
    })
}

#[test]
fn a_release_under_way_as_the_client_closes_says_what_became_of_it() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let one = world.client("one");
        one.link("a").set_latency(ms(10), ms(10));
        let locks = one.builder().connect().await?;
        let guard = locks.lock("k").await?;
        let releasing = tokio::spawn(guard.release());
        world.sleep(ms(5)).await;
        locks.close().await;
        releasing.await??;
        assert!(!stands(&nodes, "k"));
        Ok(())
    })
}

#[test]
fn a_release_on_its_way_as_its_process_dies_is_unknown_and_says_why() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        one.link("a").set_latency(ms(10), ms(10));
        let guard = locks.lock("k").await?;
        let later = locks.lock("later").await?;
        let releasing = tokio::spawn(guard.release());
        until(&world, ms(20), || !stands(&nodes, "k")).await;
        one.crash();
        match releasing.await? {
            Err(ReleaseError::Unknown { nodes, .. }) => {
                assert!(nodes[0].why.contains("has ended"), "{nodes:?}");
            }
            other => panic!("it was sent: {other:?}"),
        }
        let never = later.release().await;
        assert!(
            matches!(never, Err(ReleaseError::RuntimeEnded { .. })),
            "it was not sent: {never:?}"
        );
        Ok(())
    })
}

/// The connection goes silent. The link gives it up after two request timeouts, and dials again.
#[test]
fn one_dead_connection_costs_a_release_time_and_not_its_answer() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (one, locks) = client(&world, "one").await?;
            let guard = locks.lock("k").await?;
            for node in &nodes {
                one.link(node.name()).black_hole(Direction::Out);
                one.link(node.name()).black_hole(Direction::Back);
            }
            let releasing = tokio::spawn(guard.release());
            world.sleep(ms(1_500)).await;
            for node in &nodes {
                one.link(node.name()).heal();
            }
            releasing.await??;
            assert!(world.now() <= ms(4_010), "{:?}", world.now());
            assert!(!stands(&nodes, "k"));
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_process_that_crashes_leaves_its_key_for_one_ttl_at_most() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let (_two, rivals) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(30)).await;
        one.crash();
        let begun = world.now();
        let rival = rivals.lock("k").await?;
        assert!(world.now() - begun <= TTL + ms(1_100));
        assert!(!guard.is_valid());
        assert!(rival.fence() > guard.fence());
        let late = locks.try_lock("k").await;
        assert!(
            matches!(late, Err(LockError::RuntimeEnded { .. })),
            "{late:?}"
        );
        assert!(stands(&nodes, "k"));
        Ok(())
    })
}

#[test]
fn a_released_lease_is_not_valid_from_the_moment_release_is_polled() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, rivals) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        nodes[0].server().lose_reply(Some("evalsha"), Lost::Mute);
        let begun = world.now();
        let released = guard.release().await;
        // It was done. Only the reply was lost.
        assert!(released.is_ok() || matches!(released, Err(ReleaseError::Unknown { .. })));
        assert!(world.now() - begun <= secs(3));
        rivals.try_lock("k").await?.release().await?;
        Ok(())
    })
}
