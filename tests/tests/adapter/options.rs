//! What a lock can be asked for with, and what can be seen of it.

use std::time::Duration;

use tenure_redis::{Holder, LockError, Loss, RenewError};
use tenure_sim::memory_net::World;
use tenure_sim::server::Reply;

use crate::support::{
    MARGIN, Outcome, TTL, builder, calls, client, ms, nodes, secs, stands, until,
};

#[test]
fn giving_up_says_contention_and_what_is_left_where_the_key_is_held() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let (_two, rivals) = client(&world, "two").await?;
            let guard = locks.lock("k").await?;
            let hasty = rivals.with(|options| options.give_up_after(secs(3)))?;
            let begun = world.now();
            match hasty.lock("k").await {
                Err(LockError::Contended { left, .. }) => assert!(left <= TTL),
                other => panic!("held by another: {other:?}"),
            }
            assert!(world.now() - begun >= secs(3) && world.now() - begun <= ms(3_010));
            drop(guard);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn giving_up_says_outage_and_who_is_silent_where_nobody_answers() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let one = world.client("one");
        let locks = builder(&one)
            .options(|options| options.give_up_after(secs(3)))
            .connect()
            .await?;
        one.link("b").stall();
        one.link("c").stall();
        let begun = world.now();
        match locks.lock("k").await {
            Err(LockError::Outage { nodes, .. }) => {
                assert_eq!(nodes.len(), 2, "{nodes:?}");
                assert!(
                    nodes
                        .iter()
                        .all(|silent| !silent.node.contains("//a") && !silent.why.is_empty())
                );
            }
            other => panic!("two of three are silent: {other:?}"),
        }
        assert!(world.now() - begun >= secs(3) && world.now() - begun <= ms(3_010));
        Ok(())
    })
}

/// Whose first attempt the nodes refused, and whose second one came too late.
#[test]
fn a_grant_that_comes_after_giving_up_is_released_at_once() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let one = world.client("one");
            let locks = builder(&one)
                .options(|options| options.give_up_after(ms(120)))
                .connect()
                .await?;
            let mut late = 0;
            for each_way in 15..=40 {
                for node in &nodes {
                    let link = one.link(node.name());
                    link.set_latency(ms(each_way), ms(each_way));
                    let loading = Reply::Error("LOADING its data".into());
                    // Over one node the first attempt is without a script.
                    let first = if count == 1 { "SET" } else { "EVALSHA" };
                    node.server().answer_next(first, loading);
                }
                match locks.lock("k").await {
                    Ok(guard) => drop(guard),
                    Err(error) => {
                        assert!(error.is_outage(), "{error}");
                        late += 1;
                    }
                }
                world.sleep(ms(100)).await;
                until(&world, ms(100), || !stands(&nodes, "k")).await;
                world.sleep(ms(100)).await;
                assert!(!stands(&nodes, "k"));
            }
            assert!((1..26).contains(&late), "{late} came too late");
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// The caller's patience is not the nodes' silence.
#[test]
fn a_caller_without_patience_gets_the_answer_of_one_attempt() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (one, locks) = client(&world, "one").await?;
            let (_two, rivals) = client(&world, "two").await?;
            for node in &nodes {
                one.link(node.name()).set_latency(ms(100), ms(100));
            }
            let hasty = locks.with(|options| options.give_up_after(Duration::ZERO))?;
            hasty.lock("k").await?.release().await?;
            hasty.try_lock("k").await?.release().await?;
            let _held = rivals.lock("k").await?;
            for asked in [hasty.lock("k").await, hasty.try_lock("k").await] {
                assert!(
                    matches!(asked, Err(LockError::Contended { .. })),
                    "{asked:?}"
                );
            }
            // Where nobody answers, it ends with the attempt.
            for node in &nodes {
                one.link(node.name()).stall();
            }
            for locking in [true, false] {
                let begun = world.now();
                let asked = if locking {
                    hasty.lock("k").await
                } else {
                    hasty.try_lock("k").await
                };
                assert!(matches!(asked, Err(LockError::Outage { .. })), "{asked:?}");
                let took = world.now() - begun;
                assert!(took >= secs(1) && took <= ms(1_010), "{took:?}");
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_lease_that_is_renewed_very_late_is_granted_as_any_other() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        one.link("a").set_latency(ms(20), ms(20));
        let late = locks.with(|options| options.renew_after(TTL - MARGIN - ms(10)))?;
        for _ in 0..20 {
            late.try_lock("k").await?.release().await?;
        }
        let later = locks.with(|options| options.renew_after(TTL - MARGIN - ms(9)));
        let error = later.expect_err("nothing could be renewed");
        assert!(error.to_string().contains("at most 9.888s"), "{error}");
        assert!(!stands(&nodes, "k"));
        Ok(())
    })
}

#[test]
fn a_waiting_lock_is_granted_when_the_holder_lets_go_or_its_time_ends() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let (two, rivals) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        let waiting =
            tokio::spawn(async move { rivals.lock("k").await.map(|guard| (rivals, guard)) });
        world.sleep(secs(30)).await;
        assert!(!waiting.is_finished());
        guard.release().await?;
        let freed = world.now();
        let (rivals, guard) = waiting.await??;
        assert!(
            world.now() - freed <= ms(1_010),
            "{:?}",
            world.now() - freed
        );

        let waiting = tokio::spawn(async move { locks.lock("k").await });
        world.sleep(secs(8)).await;
        two.crash();
        let crashed = world.now();
        drop((rivals, guard));
        drop(waiting.await??);
        assert!(world.now() - crashed <= TTL + ms(1_010));
        Ok(())
    })
}

#[test]
fn without_renewal_a_lease_ends_with_its_ttl_unless_it_is_renewed_by_hand() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = one
            .builder()
            .options(|options| options.without_renewal())
            .connect()
            .await?;
        let guard = locks.lock("k").await?;
        for _ in 0..5 {
            world.sleep(secs(9)).await;
            let left = guard.renew().await?;
            assert!(
                left <= TTL - MARGIN && left >= TTL - MARGIN - ms(3),
                "{left:?}"
            );
        }
        assert_eq!(calls(&world, "renew").len(), 5);
        let lost = guard.lost().await;
        assert_eq!(lost.loss, Loss::Expired);
        assert!(guard.renew().await.is_err_and(|error| error.is_loss()));
        assert_eq!(calls(&world, "renew").len(), 5);
        Ok(())
    })
}

#[test]
fn ensure_renews_only_if_less_is_left_and_says_what_is() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(3)).await;
        let left = guard.ensure(secs(5)).await?;
        assert!(left >= secs(6));
        assert_eq!(calls(&world, "renew").len(), 0, "enough was left");
        let left = guard.ensure(secs(9)).await?;
        assert!(left >= secs(9));
        assert_eq!(calls(&world, "renew").len(), 1);
        let much = guard.ensure(TTL).await;
        assert!(matches!(much, Err(RenewError::TooMuch { .. })), "{much:?}");

        one.link("a").stall();
        world.sleep(secs(3)).await;
        let begun = world.now();
        let outage = guard.ensure(secs(9)).await;
        assert!(
            matches!(outage, Err(RenewError::Outage { .. })),
            "{outage:?}"
        );
        assert!(world.now() - begun <= secs(2));
        assert!(guard.is_valid(), "an outage is not a loss yet");
        Ok(())
    })
}

#[test]
fn ensure_near_a_cap_says_that_it_cannot_be_had() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = one
            .builder()
            .options(|options| options.max_hold(secs(20)))
            .connect()
            .await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(15)).await;
        let asked = guard.ensure(secs(8)).await;
        assert!(
            matches!(asked, Err(RenewError::TooMuch { most, .. }) if most <= secs(5)),
            "{asked:?}"
        );
        Ok(())
    })
}

#[test]
fn an_operator_sees_whose_lock_it_is_behind_the_prefix_of_the_key() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let one = world.client("one");
        let locks = builder(&one)
            .prefix("locks:")
            .options(|options| options.label("billing-7"))
            .connect()
            .await?;
        let guard = locks.lock("k").await?;
        assert_eq!(guard.key(), b"k");
        world.sleep(ms(5)).await;
        for node in &nodes {
            let token = node
                .server()
                .peek("locks:k")
                .expect("is held under the prefix");
            assert!(token.starts_with(b"billing-7:"));
        }
        let seen = locks.inspect("k").await?;
        assert_eq!(
            seen.holder(),
            &Holder::Lease {
                label: Some("billing-7".to_owned())
            }
        );
        assert_eq!(seen.fence(), Some(guard.fence()));
        assert!(
            seen.left()
                .is_some_and(|left| left > secs(9) && left <= TTL)
        );
        assert_eq!((seen.nodes.len(), seen.silent.len()), (3, 0));

        nodes[1].server().set_down(true);
        world.sleep(ms(100)).await;
        let seen = locks.inspect("k").await?;
        assert_eq!((seen.nodes.len(), seen.silent.len()), (2, 1));
        guard.release().await?;
        assert_eq!(locks.inspect("k").await?.holder(), &Holder::Free);
        Ok(())
    })
}

#[test]
fn a_prefix_that_leaves_no_room_for_keys_is_refused_at_once() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let with = |len| builder(&one).prefix(vec![b'p'; len]).connect_lazy();
        let error = with(1_025).expect_err("it is too long");
        assert!(
            error.is_misuse() && error.to_string().contains("1025"),
            "{error}"
        );
        let locks = with(1_024)?;
        locks.lock("k").await?.release().await?;
        let error = locks.lock(vec![b'k'; 65_536]).await.expect_err("too long");
        assert!(error.to_string().contains("its prefix included"), "{error}");
        let error = locks.lock("").await.expect_err("empty");
        assert!(error.to_string().contains("a prefix alone"), "{error}");
        Ok(())
    })
}

#[test]
fn a_server_that_speaks_only_the_old_protocol_will_do() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        for node in &nodes {
            node.server().deny_default_user(&["hello"]);
        }
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(30)).await;
        assert!(guard.is_valid());
        one.link("a").cut();
        world.sleep(secs(30)).await;
        assert!(guard.is_valid());
        guard.release().await?;
        Ok(())
    })
}

#[test]
fn a_key_that_cannot_be_locked_is_refused_before_anything_is_sent() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let before = world.requests().len();
        for key in ["", "k:tenure:fence", "other:tenure:node"] {
            let asked = locks.lock(key).await;
            assert!(matches!(asked, Err(LockError::Key { .. })), "{asked:?}");
        }
        world.sleep(secs(1)).await;
        assert_eq!(world.requests().len(), before);
        Ok(())
    })
}
