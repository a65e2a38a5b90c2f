//! A caller whose client stands still: its tasks do not run, and the caller does. Each operation
//! that has a bound ends a little after it, by a timer of the caller's, and says why. Nothing
//! lingers when the tasks run again.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tenure_redis::{
    ConnectError, InspectError, LockError, Loss, ReleaseError, RenewError, SilentNode,
};
use tenure_sim::memory_net::World;

use crate::support::{Outcome, builder, calls, client, ms, nodes, secs, stands, until};

/// What an operation fails with that ends after its bound and a quarter of it.
async fn fails<T: Debug, E>(
    world: &World,
    bound: Duration,
    operation: impl Future<Output = Result<T, E>>,
) -> E {
    let begun = world.now();
    let error = operation.await.expect_err("no task of the client's runs");
    let took = world.now() - begun;
    assert!(
        took >= bound && took <= bound * 5 / 4 + ms(3),
        "{took:?} of {bound:?}"
    );
    error
}

fn is_stalled(nodes: &[SilentNode]) -> bool {
    matches!(nodes, [silent] if silent.node == "this process"
        && silent.why.contains("tasks did not run"))
}

#[test]
fn taking_a_lock_ends_in_time_though_the_client_stands_still() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let one = world.client("one");
            let locks = builder(&one).max_leases(1).connect().await?;
            one.stall();
            // Over one node an attempt may need two requests, one after the other.
            let round = if count == 1 { secs(2) } else { secs(1) };
            let before = calls(&world, "acquire").len();
            for patience in [None, Some(Duration::ZERO), Some(ms(300)), Some(secs(5))] {
                let error = match patience {
                    None => fails(&world, round, locks.try_lock("k")).await,
                    Some(patience) => {
                        let locks = locks.with(|options| options.give_up_after(patience))?;
                        fails(&world, patience.max(round), locks.lock("k")).await
                    }
                };
                // And not that there are too many leases: the one before was settled.
                let LockError::Outage { nodes, .. } = &error else {
                    panic!("{patience:?}: {error}");
                };
                assert!(is_stalled(nodes), "{error}");
            }
            one.resume();
            world.sleep(secs(2)).await;
            assert_eq!(calls(&world, "acquire").len(), before, "nothing was sent");
            assert!(!stands(&nodes, "k"));
            locks.try_lock("k").await?.release().await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// The acquire was sent, and granted, and nobody took the answer.
#[test]
fn a_grant_that_a_stalled_client_did_not_take_is_released_later() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        one.link("a").set_latency(ms(5), ms(5));
        // An attempt may need two requests, one after the other.
        let asking = async { fails(&world, secs(2), locks.try_lock("k")).await };
        let pausing = async {
            until(&world, ms(20), || stands(&nodes, "k")).await;
            one.stall();
        };
        let (error, ()) = futures_util::future::join(asking, pausing).await;
        assert!(
            matches!(&error, LockError::Outage { nodes, .. } if is_stalled(nodes)),
            "{error}"
        );
        assert!(stands(&nodes, "k"));
        one.resume();
        until(&world, ms(20), || !stands(&nodes, "k")).await;
        Ok(())
    })
}

#[test]
fn a_guard_answers_in_time_though_its_client_stands_still() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(1)).await;
        one.stall();
        for renewing in [true, false] {
            let error = if renewing {
                fails(&world, secs(1), guard.renew()).await
            } else {
                fails(&world, secs(1), guard.ensure(secs(9))).await
            };
            let RenewError::Outage { nodes, .. } = &error else {
                panic!("{error}");
            };
            assert!(is_stalled(nodes), "{error}");
            assert!(guard.is_valid(), "an outage is not a loss yet");
        }
        let error = fails(&world, secs(4), guard.release()).await;
        assert!(
            matches!(&error, ReleaseError::Unknown { nodes, .. } if is_stalled(nodes)),
            "{error}"
        );
        assert!(stands(&nodes, "k"));
        one.resume();
        until(&world, ms(20), || !stands(&nodes, "k")).await;
        Ok(())
    })
}

/// The end of validity is told, and not that the renewal was not confirmed.
#[test]
fn a_renewal_of_a_stalled_client_ends_with_the_loss_if_that_comes_first() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        one.stall();
        world.sleep(ms(9_500)).await;
        let error = fails(&world, secs(1), guard.renew()).await;
        assert!(
            matches!(&error, RenewError::Lost(lost) if lost.loss == Loss::Expired),
            "{error}"
        );
        Ok(())
    })
}

#[test]
fn inspecting_and_connecting_end_in_time_though_the_client_stands_still() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        one.stall();
        let begun = world.now();
        let error = locks.inspect("k").await.expect_err("no task runs");
        assert!(world.now() - begun <= secs(10) + ms(10));
        assert!(
            matches!(&error, InspectError::Outage { nodes, .. } if is_stalled(nodes)),
            "{error}"
        );
        let begun = world.now();
        let error = builder(&one).connect().await.expect_err("no task runs");
        assert!(world.now() - begun <= secs(6));
        assert!(
            matches!(&error, ConnectError::Outage { nodes } if is_stalled(nodes)),
            "{error}"
        );
        Ok(())
    })
}

#[test]
fn closing_a_client_that_stands_still_answers_who_waits_for_a_release() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let other = locks.lock("other").await?;
        // It is closed before the release would end by itself, and while that waits.
        one.stall();
        let closing = async {
            locks.close().await;
            world.now()
        };
        let releasing = async {
            world.sleep(secs(1)).await;
            let error = other.release().await.expect_err("it was closed before");
            (error, world.now())
        };
        let ((closed, released), (late, told)) = futures_util::future::join(
            futures_util::future::join(closing, guard.release()),
            releasing,
        )
        .await;
        assert!(closed <= secs(5) + ms(10), "{closed:?}");
        assert!(told <= secs(1) + ms(10), "{told:?}");
        assert!(
            matches!(&late, ReleaseError::Lost(lost) if lost.loss == Loss::Closed),
            "{late}"
        );
        let lost = released.expect_err("it was closed before");
        assert!(
            matches!(&lost, ReleaseError::Lost(lost) if lost.loss == Loss::Closed),
            "{lost}"
        );
        Ok(())
    })
}

/// A release that is under way as the client closes waits for its answer, and closing ends its
/// wait.
#[test]
fn a_release_under_way_is_answered_by_the_close_of_a_stalled_client() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let guard = locks.lock("k").await?;
        one.stall();
        let releasing = async {
            let error = guard.release().await.expect_err("nobody answers");
            (error, world.now())
        };
        // The same patience, and begun at the same moment: one of the two ends the wait.
        let ((error, told), ()) = futures_util::future::join(releasing, locks.close()).await;
        assert!(told <= secs(5) + ms(10), "{told:?}");
        let ReleaseError::Unknown { nodes, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(nodes[0].node, "this process");
        Ok(())
    })
}

/// Then its tasks get some time before it is said that they do not run.
#[test]
fn a_process_that_stood_still_as_a_whole_is_no_stalled_client() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let asked = tokio::spawn(one.run({
            let locks = locks.clone();
            async move { locks.try_lock("k").await }
        }));
        tokio::task::yield_now().await;
        one.pause();
        world.sleep(secs(30)).await;
        one.resume();
        let asked = asked.await?;
        let Err(LockError::Outage { nodes, .. }) = &asked else {
            panic!("its time was over: {asked:?}");
        };
        assert!(nodes[0].node.contains("//a"), "{nodes:?}");
        locks.try_lock("k").await?.release().await?;
        Ok(())
    })
}

/// What the program asks is answered by the clock, and is right.
#[test]
fn a_guard_whose_client_stands_still_knows_when_it_is_over() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let guard = one.run(locks.lock("k")).await?;
        one.stall();
        let held = one.run(async {
            while guard.is_valid() {
                world.sleep(secs(1)).await;
            }
            world.now()
        });
        assert!(held.await < secs(11));
        let lost = one.run(guard.lost()).await;
        assert_eq!(lost.loss, Loss::Expired);
        one.resume();
        assert!(!guard.is_valid());
        Ok(())
    })
}
