//! Quarantine: a node that may have forgotten a lease is not counted until that lease is over.

use tenure_redis::{ConnectError, LockError, Locks, Quarantine};
use tenure_sim::memory_net::{Client, Connecting, Node, World};

use crate::support::{Outcome, TTL, calls, ms, nodes, secs, stands};

/// A set of three that has been in use for so long that every node counts.
async fn settled(world: &World, client: &Client) -> Result<Locks, ConnectError> {
    let locks = client.builder().connect().await?;
    world.sleep(TTL + secs(1)).await;
    Ok(locks)
}

#[test]
fn a_new_set_of_nodes_grants_after_one_max_ttl() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let one = world.client("one");
        let locks = one.builder().connect().await?;
        let asked = locks.try_lock("k").await;
        let Err(error @ LockError::Quarantined { .. }) = asked else {
            panic!("held back: {asked:?}");
        };
        assert!(error.is_outage() && !error.is_contention() && !error.is_misuse());
        let LockError::Quarantined { node, left, .. } = &error else {
            unreachable!("matched above")
        };
        assert!(
            ["redis://a", "redis://b", "redis://c"]
                .iter()
                .any(|name| node.starts_with(name)),
            "{node}"
        );
        assert!(*left > secs(9) && *left <= TTL, "{left:?}");
        let told = error.to_string();
        assert!(
            told.contains(node) && told.contains("Quarantine::Off"),
            "{told}"
        );
        assert!(told.contains(&format!("{left:?}")), "{told}");

        let guard = locks.lock("k").await?;
        assert!(
            world.now() >= TTL && world.now() <= TTL + ms(100),
            "{:?}",
            world.now()
        );
        guard.release().await?;
        locks.try_lock("k").await?.release().await?;
        // A client that comes later does not wait again.
        let two = world.client("two");
        two.builder()
            .connect()
            .await?
            .try_lock("k")
            .await?
            .release()
            .await?;
        Ok(())
    })
}

/// The release hands it on and pushes, and the waiter asks once more: two round trips of 2 ms.
#[test]
fn over_one_node_with_quarantine_a_waiter_is_told_by_a_push() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let quarantined = |name| world.client(name).builder().quarantine(Quarantine::On);
        let (locks, rivals) = (quarantined("one"), quarantined("two"));
        let (locks, rivals) = (locks.connect().await?, rivals.connect().await?);
        let guard = locks.lock("k").await?;
        let waiter = tokio::spawn(async move { rivals.lock("k").await });
        world.sleep(secs(1)).await;
        let asked = calls(&world, "Wait").len();
        let released = world.now();
        guard.release().await?;
        let guard = waiter.await??;
        assert!(world.now() <= released + ms(5), "{:?}", world.now());
        assert!(guard.is_valid());
        assert_eq!(calls(&world, "Wait").len(), asked + 1);
        Ok(())
    })
}

#[test]
fn quarantine_that_is_turned_off_grants_at_once() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let one = world.client("one");
        let locks = one.builder().quarantine(Quarantine::Off).connect().await?;
        locks.try_lock("k").await?.release().await?;
        Ok(())
    })
}

/// The holder keeps its lease, and nobody is granted another one beside it.
#[test]
fn a_node_that_restarts_empty_under_a_holder_costs_nothing() -> Outcome {
    for victim in 0..3 {
        World::run(1, async |world| {
            let nodes = nodes(&world, 3);
            let (one, two) = (world.client("one"), world.client("two"));
            let locks = settled(&world, &one).await?;
            let rivals = two.builder().connect().await?;
            let guard = locks.lock("k").await?;
            let token = nodes[victim].server().peek("k").expect("is held there");
            nodes[victim].server().restart_empty();
            for _ in 0..100 {
                world.sleep(ms(300)).await;
                assert!(guard.is_valid(), "{:?}", world.now());
                let rival = rivals.try_lock("k").await.map(|rival| rival.fence());
                let error = rival.expect_err("it is held");
                assert!(error.is_contention(), "{:?} {error}", world.now());
            }
            assert_eq!(
                nodes[victim].server().peek("k"),
                Some(token),
                "its copy is back"
            );
            let fence = guard.fence();
            guard.release().await?;
            assert!(!stands(&nodes, "k"));
            let rival = rivals.try_lock("k").await?;
            assert!(rival.fence() > fence);
            rival.release().await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// Two of three nodes forget the holder's lease. Says whether a rival held the lock while the
/// holder's guard was valid.
fn two_forget(
    how: impl Fn(&Node, &tenure_sim::server::Snapshot),
    quarantine: Quarantine,
) -> Result<bool, Box<dyn std::error::Error>> {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, two) = (world.client("one"), world.client("two"));
        let locks = one.builder().quarantine(quarantine).connect().await?;
        let rivals = two.builder().quarantine(quarantine).connect().await?;
        world.sleep(TTL + secs(1)).await;
        let before: Vec<_> = nodes.iter().map(|node| node.server().snapshot()).collect();
        let guard = locks.lock("k").await?;
        world.sleep(ms(100)).await;
        for at in [1, 2] {
            how(&nodes[at], &before[at]);
        }
        let forgot = world.now();
        let mut double = false;
        let waiting = tokio::spawn(async move { rivals.lock("k").await });
        while !waiting.is_finished() {
            world.sleep(ms(1)).await;
        }
        let rival = waiting.await??;
        double |= guard.is_valid() && rival.is_valid();
        let took = world.now() - forgot;
        assert!(took <= TTL + secs(2), "{took:?}");
        assert!(rival.fence() > guard.fence());
        Ok(double)
    })
}

/// They grant nobody while the forgotten lease is valid.
#[test]
fn nodes_that_restart_empty_respect_the_lease_they_forgot() -> Outcome {
    let how = |node: &Node, _: &_| node.server().restart_empty();
    assert!(!two_forget(how, Quarantine::On)?);
    // Without quarantine a rival is granted the lock: this is what it protects from.
    assert!(two_forget(how, Quarantine::Off)?);
    Ok(())
}

/// They grant nobody while the lease that did not reach them is valid.
#[test]
fn stale_replicas_that_are_promoted_respect_a_lease_they_lack() -> Outcome {
    let how = |node: &Node, before: &_| node.server().promote_stale(before);
    assert!(!two_forget(how, Quarantine::On)?);
    assert!(two_forget(how, Quarantine::Off)?);
    Ok(())
}

/// They grant nobody while the forgotten lease is valid.
#[test]
fn nodes_replaced_in_place_by_old_data_respect_the_lease_they_forgot() -> Outcome {
    // Demoted, and promoted again: the process goes on, and so its run id stays. Its connections do
    // not, since on one that lives on it would not be noticed at once.
    let how = |node: &Node, before: &_| {
        node.server().replace_in_place(before);
        node.server().set_down(true);
        node.server().set_down(false);
    };
    assert!(!two_forget(how, Quarantine::On)?);
    assert!(two_forget(how, Quarantine::Off)?);
    Ok(())
}

/// They grant nobody while the forgotten lease is valid.
#[test]
fn nodes_with_restored_old_data_respect_the_lease_they_forgot() -> Outcome {
    let how = |node: &Node, before: &_| node.server().restart_from(before);
    assert!(!two_forget(how, Quarantine::On)?);
    assert!(two_forget(how, Quarantine::Off)?);
    Ok(())
}

#[test]
fn nodes_that_never_forget_count_again_at_once_after_a_restart() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        for node in &nodes {
            node.server().call(&["CONFIG", "SET", "appendonly", "yes"]);
            node.server()
                .call(&["CONFIG", "SET", "appendfsync", "always"]);
        }
        let (one, two) = (world.client("one"), world.client("two"));
        let locks = settled(&world, &one).await?;
        let rivals = two.builder().connect().await?;
        let guard = locks.lock("k").await?;
        nodes
            .iter()
            .for_each(|node| node.server().restart_with_data());
        world.sleep(secs(1)).await;
        assert!(
            rivals
                .try_lock("k")
                .await
                .is_err_and(|error| error.is_contention())
        );
        assert!(guard.is_valid());
        rivals.try_lock("other").await?.release().await?;
        guard.release().await?;
        Ok(())
    })
}

#[test]
fn nodes_whose_disk_may_lag_are_in_quarantine_after_a_restart() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let one = world.client("one");
        let locks = settled(&world, &one).await?;
        nodes
            .iter()
            .for_each(|node| node.server().restart_with_data());
        let begun = world.now();
        world.sleep(secs(1)).await;
        let asked = locks.try_lock("k").await;
        assert!(
            matches!(asked, Err(LockError::Quarantined { .. })),
            "{asked:?}"
        );
        locks.lock("k").await?.release().await?;
        assert!(world.now() - begun >= TTL);
        Ok(())
    })
}

#[test]
fn two_names_of_one_server_are_refused() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        world.node("b");
        world.alias("c", &node);
        let one = world.client("one");
        let connected = one.builder().node("redis://c").connect().await;
        assert!(
            matches!(connected, Err(ConnectError::SameServer { .. })),
            "{connected:?}"
        );

        let locks = one.builder().node("redis://c").connect_lazy()?;
        let asked = locks.lock("k").await;
        assert!(
            matches!(asked, Err(LockError::Misconfigured { .. })),
            "{asked:?}"
        );
        Ok(())
    })
}

#[test]
fn two_names_of_one_server_are_forgiven_once_they_are_two() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        world.node("b");
        let third = world.node("c");
        world.alias("c", &node);
        let one = world.client("one");
        let locks = one.builder().quarantine(Quarantine::Off).connect_lazy()?;
        // What is granted is written under both names.
        one.link("b").set_connecting(Connecting::Refused);
        let asked = locks.try_lock("k").await;
        assert!(
            matches!(asked, Err(LockError::Misconfigured { .. })),
            "{asked:?}"
        );
        // A client that reconnects meanwhile must not keep an error that is no longer true.
        one.link("a").cut();
        world.sleep(secs(1)).await;
        let asked = locks.try_lock("k").await;
        assert!(
            matches!(asked, Err(LockError::Misconfigured { .. })),
            "{asked:?}"
        );
        world.alias("c", &third);
        one.link("c").cut();
        world.sleep(secs(1)).await;
        locks.try_lock("k").await?.release().await?;
        Ok(())
    })
}

#[test]
fn a_client_with_another_max_ttl_or_name_of_the_set_is_refused() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (one, two) = (world.client("one"), world.client("two"));
        let locks = one.builder().node_set("blue").connect().await?;
        for other in [
            two.builder().node_set("blue").max_ttl(secs(30)),
            two.builder().node_set("green"),
        ] {
            let others = other.connect().await?;
            let asked = others.lock("k").await;
            assert!(
                matches!(asked, Err(LockError::Misconfigured { .. })),
                "{asked:?}"
            );
        }
        locks.lock("k").await?.release().await?;
        Ok(())
    })
}

/// So a node that is in no quarantine compares one text, and reads no part of it.
#[test]
fn an_acquire_says_the_marker_as_the_node_has_it() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let one = world.client("one");
        let locks = settled(&world, &one).await?;
        // One node is marked again on the same connection, the others since they were connected to.
        nodes[0].server().call(&["DEL", "tenure:node"]);
        let _ = locks.try_lock("k").await;
        world.sleep(TTL + secs(1)).await;
        let before = world.requests().len();
        locks.try_lock("k").await?.release().await?;
        let asked = world.requests().split_off(before);
        let told: Vec<_> = asked
            .iter()
            .filter_map(|request| request.argv.last())
            .collect();
        for node in &nodes {
            let marker = node.server().peek("tenure:node").expect("it is marked");
            assert!(told.iter().any(|said| **said == marker), "{asked:?}");
        }
        Ok(())
    })
}
