//! Errors of a server, and replicas: none of what they say is taken for a "no".

use tenure_redis::{ConnectError, Holder, InspectError, LockError, Loss, ReleaseError};
use tenure_sim::memory_net::World;
use tenure_sim::server::{Reply, Server};

use crate::support::{Outcome, TTL, builder, calls, client, ms, nodes, secs, stands, until};

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

/// Another call has the same answer, until somebody gives the password. A node that is away may
/// come back.
#[test]
fn an_inspection_that_is_refused_is_misuse_and_names_the_node() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 2);
        let one = world.client("one");
        nodes[1].server().set_password("sesame");
        let locks = builder(&one).connect_lazy()?;
        let seen = locks.inspect("k").await?;
        assert_eq!((seen.nodes.len(), seen.silent.len()), (1, 1), "{seen:?}");
        nodes[0].server().set_down(true);
        for _ in 0..3 {
            let error = locks.inspect("k").await.expect_err("nobody answers");
            assert!(error.is_misuse() && !error.is_outage(), "{error}");
            let InspectError::Rejected { node, words, .. } = &error else {
                panic!("{error}");
            };
            assert!(node.contains('b') && words.contains("NOAUTH"), "{error}");
            world.sleep(secs(3)).await;
        }
        nodes[1].server().set_down(true);
        world.sleep(secs(20)).await;
        let error = locks.inspect("k").await.expect_err("nobody answers");
        assert!(error.is_outage(), "{error}");
        Ok::<(), Box<dyn std::error::Error>>(())
    })
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
                Err(LockError::Contended { left, .. }) => assert!(left <= TTL, "{left:?}"),
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
        node.server().deny_default_user(&["evalsha", "set"]);
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
fn a_server_that_forbids_what_locks_need_is_told_at_first() -> Outcome {
    for command in [
        "evalsha",
        "getex",
        "get",
        "pttl",
        "type",
        "time",
        "set",
        "pexpire",
        "pexpireat",
        "del",
        "xadd",
    ] {
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
            // The stream of fences may be there by now, which expires.
            for key in node.server().keys() {
                assert_eq!(key, b"tenure:fence");
                assert!(node.server().peek_expiry_ms(key).is_some(), "{command}");
            }
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

/// It may be the lock of another library: `lock` takes it once it is deleted.
#[test]
fn a_key_without_an_expiry_is_no_contention_and_is_waited_for() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            for node in &nodes {
                node.server().call(&["SET", "k", "for ever"]);
            }
            let error = locks.try_lock("k").await.expect_err("it is not ours");
            assert!(matches!(error, LockError::Foreign { .. }), "{error}");
            assert!(error.is_foreign() && !error.is_contention() && !error.is_misuse());
            let seen = locks.inspect("k").await?;
            assert_eq!((seen.holder(), seen.left()), (&Holder::Foreign, None));
            let hasty = locks.with(|options| options.give_up_after(secs(5)))?;
            let error = hasty.lock("k").await.expect_err("it is still there");
            assert!(matches!(error, LockError::Foreign { .. }), "{error}");

            let waiting = tokio::spawn({
                let locks = locks.clone();
                async move { locks.lock("k").await }
            });
            world.sleep(secs(600)).await;
            assert!(!waiting.is_finished());
            for node in &nodes {
                assert_eq!(node.server().peek("k").as_deref(), Some(&b"for ever"[..]));
                node.server().call(&["DEL", "k"]);
            }
            waiting.await??.release().await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// It names the key that is in the way, and what is there. Nothing is touched.
#[test]
fn a_name_of_another_use_is_misuse_and_told_at_once() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (_one, locks) = client(&world, "one").await?;
            let counter = |key| format!("{key}:tenure:fence:{{{key}}}");
            let (listed, worded) = (counter("listed"), counter("worded"));
            let strange = [
                ("hashed", "hashed", ["HSET", "hashed", "n"], "a hash"),
                ("listed", &listed, ["HSET", &listed, "n"], "a hash"),
                (
                    "worded",
                    &worded,
                    ["SET", &worded, "x"],
                    "a text that is no fence",
                ),
            ];
            // Over one node locks have no counters.
            let names = if count == 1 { 1 } else { 3 };
            for (key, name, command, what) in strange.into_iter().take(names) {
                for node in &nodes {
                    let words = [&command[..], &["1"][..usize::from(command[0] == "HSET")]];
                    node.server().call(&words.concat());
                }
                let begun = world.now();
                for asked in [locks.lock(key).await, locks.try_lock(key).await] {
                    let error = asked.expect_err("it is not ours");
                    assert!(error.is_misuse() && !error.is_contention(), "{error}");
                    let LockError::WrongType {
                        name: told, holds, ..
                    } = &error
                    else {
                        panic!("{error}");
                    };
                    assert_eq!((told.as_bytes(), &holds[..]), (name.as_bytes(), what));
                    assert!(error.to_string().contains("not touched"), "{error}");
                }
                assert!(world.now() - begun <= ms(100), "{:?}", world.now() - begun);
                let seen = locks.inspect(key).await?;
                let Holder::WrongType { name: told, .. } = seen.holder() else {
                    panic!("{seen:?}");
                };
                assert_eq!(told.as_bytes(), name.as_bytes());
                for node in &nodes {
                    assert_eq!(node.server().call(&["EXISTS", key, name]), {
                        Reply::Int(if key == name { 2 } else { 1 })
                    });
                }
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// What is held is kept, and nothing is left of what was asked for.
#[test]
fn a_stream_of_another_use_is_misuse_and_told_at_once() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (one, locks) = client(&world, "one").await?;
        let held = locks.lock("held").await?;
        node.server().call(&["DEL", "tenure:fence"]);
        node.server().call(&["HSET", "tenure:fence", "f", "v"]);
        for asked in [locks.lock("k").await, locks.try_lock("k").await] {
            let error = asked.expect_err("no fence can be drawn");
            assert!(error.is_misuse(), "{error}");
            let LockError::WrongType { name, holds, .. } = &error else {
                panic!("{error}");
            };
            let told = (name.as_bytes(), &holds[..]);
            assert_eq!(told, (&b"tenure:fence"[..], "a hash"));
            let text = error.to_string();
            assert!(text.contains("belongs to this lock"), "{text}");
            world.sleep(ms(10)).await;
            assert_eq!(node.server().peek("k"), None);
        }
        // A new connection serves what is held, but no new client is served.
        node.server().kill_connections();
        world.sleep(secs(20)).await;
        assert!(held.is_valid());
        let error = builder(&one).connect().await.expect_err("nor will it");
        assert!(error.is_misuse(), "{error}");
        for part in ["tenure:fence", "a hash", "Builder::fence_stream"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        node.server().call(&["DEL", "tenure:fence"]);
        let next = locks.lock("k").await?;
        assert!(next.fence() > held.fence());
        Ok(())
    })
}

/// What stands in its place is somebody else's, whatever it is.
#[test]
fn a_held_key_that_is_replaced_by_anything_is_taken() -> Outcome {
    for command in [&["SET", "k", "for ever"][..], &["HSET", "k", "f", "v"]] {
        World::run(1, async |world| {
            let node = world.node("a");
            let (_one, locks) = client(&world, "one").await?;
            for renews in [true, false] {
                let guard = locks.lock("k").await?;
                node.server().call(&["DEL", "k"]);
                node.server().call(command);
                let lost = match renews {
                    true => guard.lost().await,
                    false => match guard.release().await {
                        Err(ReleaseError::Lost(lost)) => lost,
                        other => panic!("{other:?}"),
                    },
                };
                assert_eq!(lost.loss, Loss::Taken);
                assert_eq!(node.server().call(&["DEL", "k"]), Reply::Int(1));
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}
