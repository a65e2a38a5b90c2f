//! A loss is told at the end of validity, by the client's own clock, and is final.

use std::task::Poll;

use tenure_core::Instant;
use tenure_redis::Loss;
use tenure_redis::seams::Clock;
use tenure_sim::memory_net::World;
use tenure_sim::server::Lost;

use crate::support::{MARGIN, Outcome, TTL, builder, client, ms, nodes, secs, stands, until};

/// It stays over when the link is back.
#[test]
fn a_lease_that_cannot_be_renewed_ends_exactly_with_its_validity() -> Outcome {
    for (count, ppm) in [(1, 0), (1, 4_000), (3, -4_000)] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (one, two) = (world.client("one"), world.client("two"));
            one.clock().set_drift_ppm(ppm);
            let locks = builder(&one).connect().await?;
            let rivals = builder(&two).connect().await?;
            let asked = one.clock().now();
            let guard = std::sync::Arc::new(locks.lock("k").await?);
            let until_then = one.clock().now() + guard.remaining();
            assert_eq!(
                until_then,
                asked + (TTL - MARGIN),
                "counted from before it was queued"
            );
            for node in &nodes {
                one.link(node.name()).stall();
            }
            let clock = one.clock().clone();
            let told = tokio::spawn({
                let (guard, clock) = (guard.clone(), clock.clone());
                async move { (guard.lost().await, clock.now()) }
            });
            let ran = tokio::spawn({
                let (guard, clock) = (guard.clone(), clock.clone());
                async move { (guard.run(std::future::pending::<()>()).await, clock.now()) }
            });
            while clock.now() < until_then + ms(3) {
                assert_eq!(guard.is_valid(), clock.now() < until_then);
                assert_eq!(guard.remaining().is_zero(), clock.now() >= until_then);
                let near = until_then.saturating_since(clock.now()) < ms(3);
                // In finer steps near the end of validity.
                let step = if near {
                    std::time::Duration::from_micros(97)
                } else {
                    ms(1)
                };
                tokio::time::advance(step).await;
            }
            let on_time = |at: Instant| at >= until_then && at <= until_then + ms(3);
            let (lost, at) = told.await?;
            assert_eq!(lost.loss, Loss::Expired);
            assert!(on_time(at), "{at:?} {until_then:?}");
            let (ran, at) = ran.await?;
            assert_eq!(ran.expect_err("the work was cut").loss, Loss::Expired);
            assert!(on_time(at), "{at:?} {until_then:?}");

            world.sleep(secs(3)).await;
            for node in &nodes {
                one.link(node.name()).heal();
            }
            // The renewals that were stuck arrive now; they do not bring the lease back.
            for _ in 0..20 {
                assert!(!guard.is_valid());
                assert_eq!(guard.lost().await.loss, Loss::Expired);
                assert!(guard.renew().await.is_err_and(|error| error.is_loss()));
                world.sleep(ms(500)).await;
            }
            assert!(!stands(&nodes, "k"), "and leave no orphan");
            let rival = rivals.try_lock("k").await?;
            assert!(rival.fence() > guard.fence());
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// It knows it before any of its tasks ran again.
#[test]
fn a_process_that_stood_still_past_its_validity_knows_it_first() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let (_two, rivals) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(3)).await;
        one.pause();
        let rival = rivals.lock("k").await?;
        assert!(world.now() <= secs(3) + TTL + ms(1_100));
        world.sleep(secs(1)).await;
        one.resume();
        assert!(!guard.is_valid(), "asked before a task of ours ran");
        assert!(guard.remaining().is_zero());
        assert!(rival.is_valid() && rival.fence() > guard.fence());
        assert_eq!(guard.lost().await.loss, Loss::Expired);
        world.sleep(secs(30)).await;
        assert!(rival.is_valid(), "its late requests did no harm");
        assert!(!guard.is_valid());
        rival.release().await?;
        assert!(!stands(&nodes, "k"));
        Ok(())
    })
}

#[test]
fn a_process_that_stood_still_for_less_than_its_validity_keeps_the_lock() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        for _ in 0..20 {
            one.pause();
            world.sleep(secs(9)).await;
            one.resume();
            world.sleep(ms(500)).await;
            assert!(guard.is_valid());
        }
        guard.release().await?;
        Ok(())
    })
}

/// It wakes itself, so that the runtime always has something to do, and no timer fires.
#[test]
fn work_that_keeps_its_runtime_busy_is_not_polled_after_the_validity() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let clock = one.clock().clone();
        let end = clock.now() + guard.remaining();
        let (mut polls, mut late) = (0, 0);
        let work = std::future::poll_fn(|cx| {
            polls += 1;
            late += u32::from(clock.now() >= end);
            // Each step takes so long.
            clock.step(ms(50));
            cx.waker().wake_by_ref();
            if polls < 400 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        let lost = guard.run(work).await.expect_err("its time ended");
        assert_eq!(lost.loss, Loss::Expired);
        assert_eq!((late, polls), (0, 198));
        Ok(())
    })
}

#[test]
fn who_waits_for_the_loss_is_told_at_the_end_of_a_shortened_validity() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let asked = one.clock().now();
        let guard = std::sync::Arc::new(locks.lock("k").await?);
        world.sleep(secs(3)).await;
        // Renewed on two of three: valid as long as these two say.
        one.link("c").stall();
        guard.renew().await?;
        assert!(one.clock().now() + guard.remaining() >= asked + secs(3) + (TTL - MARGIN));
        let told = tokio::spawn({
            let (guard, clock) = (guard.clone(), one.clock().clone());
            async move { (guard.lost().await, clock.now()) }
        });
        // One of the two holds it no more: now it counts what the third said at the beginning.
        nodes[1]
            .server()
            .call(&["SET", "k", "somebody", "PX", "60000"]);
        let _ = guard.renew().await;
        assert_eq!(
            one.clock().now() + guard.remaining(),
            asked + (TTL - MARGIN),
            "shortened"
        );
        assert!(guard.is_valid() && !told.is_finished());
        // No task of the client gets to run: whoever waits has the guard and the clock alone.
        one.pause();
        let (lost, at) = told.await?;
        assert_eq!(lost.loss, Loss::Expired);
        let end = asked + (TTL - MARGIN);
        assert!(at >= end && at <= end + ms(3), "{at:?} {end:?}");
        Ok(())
    })
}

#[test]
fn a_key_that_was_deleted_or_overwritten_is_told_at_the_next_renewal() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        node.server().call(&["DEL", "k"]);
        assert_eq!(guard.lost().await.loss, Loss::Gone);
        assert!(!guard.is_valid());

        let guard = locks.lock("k").await?;
        node.server().call(&["SET", "k", "somebody", "PX", "60000"]);
        assert_eq!(guard.lost().await.loss, Loss::Taken);
        drop(guard);
        world.sleep(secs(1)).await;
        assert_eq!(node.server().peek("k").as_deref(), Some(&b"somebody"[..]));
        Ok(())
    })
}

/// The key was flushed and taken by another. That is told, unless the reply that says so is lost
/// too: `Guard::release` names this double fault.
#[test]
fn a_release_of_a_lost_lock_says_so_unless_its_reply_is_lost_too() -> Outcome {
    for lost in [None, Some(Lost::Cut)] {
        World::run(1, async |world| {
            let node = world.node("a");
            let (_one, locks) = client(&world, "one").await?;
            let guard = locks.lock("k").await?;
            node.server().call(&["FLUSHALL"]);
            node.server()
                .call(&["SET", "k", "another's", "PX", "60000"]);
            if let Some(how) = lost {
                node.server().lose_reply(Some("evalsha"), how);
            }
            let told = guard.release().await;
            match lost {
                None => assert!(told.is_err_and(|error| error.is_loss())),
                Some(_) => told?,
            }
            assert_eq!(
                node.server().peek("k").as_deref(),
                Some(&b"another's"[..]),
                "not ours to free"
            );
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_cap_on_the_total_hold_ends_the_lease_and_frees_the_key() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let one = world.client("one");
            let locks = builder(&one)
                .options(|options| options.max_hold(secs(25)))
                .connect()
                .await?;
            let begun = one.clock().now();
            let guard = locks.lock("k").await?;
            let lost = guard.lost().await;
            let held = one.clock().now().saturating_since(begun);
            assert_eq!(lost.loss, Loss::Capped);
            assert!(held >= secs(25) && held <= secs(25) + ms(2), "{held:?}");
            assert!(!guard.is_valid());
            until(&world, ms(5), || !stands(&nodes, "k")).await;

            // And work that runs under it is told the same.
            let guard = locks.lock("k").await?;
            let cut = guard.run(world.sleep(secs(40))).await;
            assert_eq!(cut.expect_err("is over before").loss, Loss::Capped);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}
