//! Connections that go silent, replies that are lost, bytes that arrive late.

use tenure_redis::LockError;
use tenure_sim::memory_net::{Connecting, Direction, Request, World};
use tenure_sim::server::Lost;

use crate::support::{Outcome, TTL, calls, client, ms, nodes, secs, stands, until};

#[test]
fn a_silent_connection_is_replaced_and_the_lease_is_kept() -> Outcome {
    for direction in [Direction::Out, Direction::Back] {
        World::run(1, async |world| {
            let node = world.node("a");
            let (one, locks) = client(&world, "one").await?;
            let guard = locks.lock("k").await?;
            // Messages are lost without an error, for a short time.
            one.link("a").black_hole(direction);
            world.sleep(secs(7)).await;
            one.link("a").heal();
            for _ in 0..600 {
                world.sleep(ms(100)).await;
                assert!(guard.is_valid(), "{direction:?} {:?}", world.now());
            }
            assert_eq!(one.link("a").dials(), 2, "{direction:?}");
            assert_eq!(node.server().connections(), 1, "the old one was ended");
            guard.release().await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn the_old_connection_is_ended_before_the_first_request_on_the_new_one() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        one.link("a").stick();
        world.sleep(secs(20)).await;
        assert!(guard.is_valid());
        let requests = world.requests();
        let second = requests.iter().map(|request| request.connection).max();
        let second: Vec<_> = requests
            .iter()
            .filter(|r| Some(r.connection) == second)
            .collect();
        let killed = second
            .iter()
            .position(|request| request.is("CLIENT KILL ID"));
        let of_the_lock = |request: &&Request| request.argv.iter().any(|word| word == b"k");
        let first = second.iter().position(of_the_lock);
        assert!(killed.expect("is ended") < first.expect("is used"));
        one.link("a").heal();
        world.sleep(secs(1)).await;
        assert_eq!(node.server().connections(), 1);
        assert!(guard.is_valid());
        Ok(())
    })
}

/// An acquire is on its way on a connection that is given up, and arrives after its release was
/// answered on the next connection. Says whether it took the lock, which nobody wants any more.
async fn late_acquire(may_kill: bool) -> Result<bool, Box<dyn std::error::Error>> {
    let world = World::new(1);
    let node = world.node("a");
    if !may_kill {
        node.server().deny_default_user(&["client"]);
    }
    let (one, locks) = client(&world, "one").await?;
    let other = locks.lock("other").await?;
    one.link("a").stick();
    // The silence begins with a renewal of another lease, so that the connection is given up while
    // the acquire is in flight and no release is behind it yet.
    let renewal = tokio::spawn(async move {
        let _ = other.renew().await;
        other
    });
    world.sleep(ms(1_500)).await;
    let asked = locks.try_lock("k").await;
    assert!(asked.is_err_and(|error| error.is_outage()));
    world.sleep(secs(1)).await;
    let answered = calls(&world, "release");
    assert!(
        answered.iter().any(|r| r.names("k")),
        "released on the new connection"
    );
    assert!(!stands(std::slice::from_ref(&node), "k"));
    one.link("a").heal();
    world.sleep(secs(1)).await;
    assert!(renewal.await?.is_valid());
    Ok(stands(&[node], "k"))
}

#[test]
fn late_bytes_of_a_connection_that_was_replaced_are_never_executed() -> Outcome {
    World::run(1, async |_| {
        assert!(!late_acquire(true).await?);
        // Without the right to end connections the late acquire takes the lock, for one TTL.
        assert!(late_acquire(false).await?);
        Ok(())
    })
}

#[test]
fn a_lost_reply_to_an_acquire_that_was_applied_costs_only_a_retry() -> Outcome {
    // Over one node the first attempt is without a script.
    for (count, first) in [(1, "set"), (3, "evalsha")] {
        for how in [Lost::Cut, Lost::Mute] {
            World::run(1, async |world| {
                let nodes = nodes(&world, count);
                let (_one, locks) = client(&world, "one").await?;
                let (_two, rivals) = client(&world, "two").await?;
                for node in &nodes {
                    node.server().lose_reply(Some(first), how);
                }
                let guard = locks.lock("k").await?;
                assert!(world.now() < secs(6), "{how:?} {:?}", world.now());
                for _ in 0..30 {
                    world.sleep(secs(1)).await;
                    assert!(guard.is_valid());
                    assert!(
                        rivals
                            .try_lock("k")
                            .await
                            .is_err_and(|error| error.is_contention())
                    );
                }
                guard.release().await?;
                assert!(!stands(&nodes, "k"));

                for node in &nodes {
                    node.server().lose_reply(Some(first), how);
                }
                let asked = locks.try_lock("k").await;
                match how {
                    // The connection ended, so the nodes are asked again in the same attempt.
                    Lost::Cut => asked?.release().await?,
                    Lost::Mute => {
                        assert!(matches!(asked, Err(LockError::Outage { .. })), "{asked:?}");
                    }
                }
                until(&world, secs(4), || !stands(&nodes, "k")).await;
                world.sleep(secs(1)).await;
                assert!(!stands(&nodes, "k"));
                Ok::<(), Box<dyn std::error::Error>>(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_reply_that_is_lost_after_a_renewal_was_applied_costs_nothing() -> Outcome {
    for count in [1, 3] {
        for how in [Lost::Cut, Lost::Mute] {
            World::run(1, async |world| {
                let nodes = nodes(&world, count);
                let (_one, locks) = client(&world, "one").await?;
                let guard = locks.lock("k").await?;
                for _ in 0..5 {
                    for node in &nodes {
                        node.server().lose_reply(Some("evalsha"), how);
                    }
                    // One loss per renewal: two in a row cost more than the last third of a TTL.
                    for _ in 0..200 {
                        world.sleep(ms(100)).await;
                        assert!(guard.is_valid(), "{how:?} {:?}", world.now());
                    }
                }
                guard.release().await?;
                Ok::<(), Box<dyn std::error::Error>>(())
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_reply_that_is_lost_after_a_release_was_applied_is_asked_for_again() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let guard = locks.lock("k").await?;
            for node in &nodes {
                node.server().lose_reply(Some("evalsha"), Lost::Cut);
            }
            guard.release().await?;
            assert!(!stands(&nodes, "k"));
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn one_of_three_nodes_that_is_silent_costs_neither_grants_nor_renewals() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        one.link("b").stall();
        one.link("b").set_connecting(Connecting::Hangs);
        let begun = world.now();
        let guard = locks.lock("k").await?;
        assert!(world.now() - begun <= ms(10), "{:?}", world.now() - begun);
        for _ in 0..60 {
            world.sleep(secs(1)).await;
            assert!(guard.is_valid());
        }
        let begun = world.now();
        guard.release().await?;
        assert!(world.now() - begun <= ms(10), "{:?}", world.now() - begun);
        one.link("b").heal();
        // The acquire that was stuck arrives before anybody could end its connection: one TTL.
        until(&world, TTL + ms(10), || !stands(&nodes, "k")).await;
        Ok(())
    })
}
