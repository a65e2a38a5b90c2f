//! Errors of a server, and replicas: none of what they say is taken for a "no".

use tenure_redis::{ConnectError, LockError, Loss, ReleaseError};
use tenure_sim::memory_net::World;
use tenure_sim::server::Server;

use crate::support::{Outcome, TTL, calls, client, ms, nodes, secs, stands, until};

#[test]
fn scripts_that_were_flushed_are_loaded_again_and_no_caller_notices() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let flush = || {
                for node in &nodes {
                    node.server().call(&["SCRIPT", "FLUSH"]);
                }
            };
            for _ in 0..5 {
                flush();
                let guard = locks.try_lock("k").await?;
                world.sleep(secs(2)).await;
                flush();
                guard.renew().await?;
                world.sleep(secs(2)).await;
                flush();
                guard.release().await?;
                assert!(!stands(&nodes, "k"));
                world.sleep(secs(2)).await;
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// A server that cannot serve is an outage, not contention, and is used again when it can.
fn outage_then_mended(count: usize, set: impl Fn(&Server, bool)) -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, count);
        let (_one, locks) = client(&world, "one").await?;
        let held = locks.lock("held").await?;
        let all = |on| nodes.iter().for_each(|node| set(node.server(), on));
        all(true);
        for _ in 0..3 {
            let asked = locks.try_lock("k").await;
            assert!(matches!(asked, Err(LockError::Outage { .. })), "{asked:?}");
            world.sleep(ms(700)).await;
        }
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { locks.lock("k").await }
        });
        world.sleep(secs(3)).await;
        assert!(!waiting.is_finished());
        all(false);
        let mended = world.now();
        let guard = waiting.await??;
        assert!(
            world.now() - mended <= secs(3),
            "{:?}",
            world.now() - mended
        );
        world.sleep(secs(20)).await;
        assert!(guard.is_valid() && held.is_valid());
        guard.release().await?;
        held.release().await?;
        assert!(!stands(&nodes, "k"));
        Ok(())
    })
}

#[test]
fn a_server_that_loads_its_data_is_an_outage_and_then_grants() -> Outcome {
    outage_then_mended(1, Server::set_loading)?;
    outage_then_mended(3, Server::set_loading)
}

#[test]
fn a_replica_is_an_outage_and_grants_once_it_is_a_primary() -> Outcome {
    outage_then_mended(1, Server::set_readonly)?;
    outage_then_mended(3, Server::set_readonly)
}

#[test]
fn a_server_that_is_out_of_memory_is_never_taken_for_contention() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            nodes.iter().for_each(|node| node.server().set_oom(true));
            // Two small keys are let through behind the script's first command, or it is an outage.
            match locks.try_lock("k").await {
                Ok(guard) => guard.release().await?,
                Err(error) => assert!(error.is_outage(), "{error}"),
            }
            nodes.iter().for_each(|node| node.server().set_oom(false));
            locks.lock("k").await?.release().await?;
            assert!(!stands(&nodes, "k"));
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_server_that_is_out_of_memory_still_says_that_the_lock_is_held() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let (_two, rivals) = client(&world, "two").await?;
            let guard = locks.lock("k").await?;
            nodes.iter().for_each(|node| node.server().set_oom(true));
            match rivals.try_lock("k").await {
                Err(LockError::Contended {
                    left: Some(left),
                    foreign: false,
                    ..
                }) => assert!(left <= TTL, "{left:?}"),
                other => panic!("it is held: {other:?}"),
            }
            assert!(guard.is_valid());
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_server_that_refuses_writes_is_an_outage_and_then_grants() -> Outcome {
    for line in ["MISCONF no disk", "NOREPLICAS not enough"] {
        outage_then_mended(1, |server, on| server.set_write_error(on.then_some(line)))?;
    }
    Ok(())
}

#[test]
fn what_is_held_can_be_kept_and_freed_while_the_server_is_out_of_memory() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        nodes[0].server().set_oom(true);
        for _ in 0..30 {
            world.sleep(secs(1)).await;
            assert!(guard.is_valid());
        }
        guard.release().await?;
        assert!(!stands(&nodes, "k"));
        Ok(())
    })
}

#[test]
fn a_replica_that_lacks_the_key_never_says_that_it_is_gone() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        node.server().call(&["DEL", "k"]);
        node.server().set_readonly(true);
        let lost = guard.lost().await;
        assert_eq!(
            lost.loss,
            Loss::Expired,
            "its time ended; nobody who may know said more"
        );
        Ok(())
    })
}

#[test]
fn a_replica_that_lacks_the_key_does_not_pay_a_debt() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let primary = node.server().snapshot();
        node.server().call(&["DEL", "k"]);
        node.server().set_readonly(true);
        drop(guard);
        world.sleep(secs(2)).await;
        // The primary is back in its place, with the key.
        node.server().set_readonly(false);
        node.server().restart_from(&primary);
        assert!(stands(std::slice::from_ref(&node), "k"));
        world.sleep(secs(3)).await;
        assert!(!stands(&[node], "k"), "released where it counts");
        Ok(())
    })
}

#[test]
fn a_server_that_will_never_serve_us_is_told_at_once() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("held").await?;
        node.server().deny_default_user(&["evalsha"]);
        let begun = world.now();
        let asked = locks.lock("k").await;
        assert!(
            matches!(&asked, Err(LockError::Rejected { words, .. }) if words.contains("NOPERM")),
            "{asked:?}"
        );
        assert!(world.now() - begun <= ms(10));
        let lost = guard.lost().await;
        assert!(matches!(lost.loss, Loss::Rejected(_)), "{lost}");
        assert!(calls(&world, "renew").len() < 60);

        node.server().set_password("sesame");
        let late = one.builder().connect().await;
        assert!(
            matches!(late, Err(ConnectError::Rejected { .. })),
            "{late:?}"
        );
        Ok(())
    })
}

/// It is told before a lock is taken that would then stay for its whole TTL.
#[test]
fn a_server_that_forbids_to_keep_or_free_locks_is_told_at_first() -> Outcome {
    for command in ["getex", "pttl", "pexpire", "del"] {
        World::run(1, async |world| {
            let node = world.node("a");
            let one = world.client("one");
            node.server().deny_default_user(&[command]);
            match one.builder().connect().await {
                Err(ConnectError::Rejected { words, .. }) => {
                    assert!(words.contains(command), "{words}");
                }
                other => panic!("{command}: {other:?}"),
            }
            let lazy = one.builder().connect_lazy()?;
            let asked = lazy.try_lock("k").await;
            assert!(
                matches!(&asked, Err(LockError::Rejected { words, .. }) if words.contains(command)),
                "{asked:?}"
            );
            assert!(node.server().keys().is_empty());
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

#[test]
fn a_right_withdrawn_later_ends_the_lease_or_leaves_the_key_to_expire() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        nodes[0].server().deny_default_user(&["pexpire"]);
        let lost = guard.lost().await;
        assert!(matches!(lost.loss, Loss::Rejected(_)), "{lost}");
        until(&world, ms(10), || !stands(&nodes, "k")).await;

        let guard = locks.lock("k").await?;
        nodes[0].server().deny_default_user(&["del"]);
        let freed = guard.release().await;
        assert!(
            matches!(freed, Err(ReleaseError::Rejected { .. })),
            "{freed:?}"
        );
        until(&world, TTL, || !stands(&nodes, "k")).await;
        Ok(())
    })
}

#[test]
fn a_key_of_another_make_is_reported_as_foreign_and_never_touched() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (_one, locks) = client(&world, "one").await?;
        node.server().call(&["SET", "k", "for ever"]);
        node.server().call(&["HSET", "h", "field", "value"]);
        for key in ["k", "h"] {
            let asked = locks.try_lock(key).await;
            assert!(
                matches!(asked, Err(LockError::Contended { foreign: true, .. })),
                "{asked:?}"
            );
        }
        assert_eq!(node.server().peek("k").as_deref(), Some(&b"for ever"[..]));
        Ok(())
    })
}
