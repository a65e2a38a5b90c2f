//! Grants that replicas must acknowledge: what is asked of the node on a connection of its own, and
//! what comes of it where that fails.

use futures_util::future::{Either, join, join_all, select, try_join_all};
use tenure_redis::{LockError, Locks};
use tenure_sim::memory_net::{Client, Connecting, Node, Request, World};
use tenure_sim::server::{Lost, Reply};

use crate::support::{MARGIN, Outcome, TTL, builder, ms, nodes, secs};

/// A client whose grants a replica must acknowledge, and its node, whose replica does.
async fn acknowledged(world: &World) -> Result<(Node, Client, Locks), Box<dyn std::error::Error>> {
    let node = nodes(world, 1).remove(0);
    node.server().set_replicas(1);
    let one = world.client("one");
    let locks = builder(&one).acknowledged_by(1).connect().await?;
    Ok((node, one, locks))
}

fn is_held(node: &Node) -> bool {
    node.server().peek("k").is_some()
}

fn waits(world: &World) -> Vec<Request> {
    let mut requests = world.requests();
    requests.retain(|request| request.is("WAIT"));
    requests
}

/// The words of the outage of the only node.
async fn outage(locks: &Locks) -> String {
    match locks.try_lock("k").await {
        Err(LockError::Outage { nodes, .. }) => nodes[0].why.clone(),
        other => panic!("expected an outage: {other:?}"),
    }
}

#[test]
fn a_grant_is_reported_after_the_answer_of_the_replicas() -> Outcome {
    World::run(1, async |world| {
        let (_, _, locks) = acknowledged(&world).await?;
        let guard = locks.try_lock("k").await?;
        let asked = waits(&world);
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].argv[1], b"1");
        // Its time is spent out of the validity.
        assert!(guard.remaining() < TTL - MARGIN - ms(1));
        guard.release().await?;
        assert_eq!(waits(&world).len(), 1, "neither renewed nor released so");
        Ok(())
    })
}

#[test]
fn too_few_replicas_are_told_by_number_and_the_lock_is_free() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        node.server().set_replicas(0);
        let error = locks.try_lock("k").await.expect_err("none acknowledges");
        let LockError::Unacknowledged {
            node: ref name,
            replicas: 0,
            demanded: 1,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(*name, format!("{}:6379/0", node.url()));
        assert!(error.is_outage());
        world.sleep(ms(100)).await;
        assert!(!is_held(&node));
        // A server that does not wait for its timeout is not asked again and again.
        // Law: Bounded work
        assert_eq!(waits(&world).len(), 1);
        let (guard, ()) = join(locks.lock("k"), async {
            world.sleep(ms(200)).await;
            node.server().set_replicas(1);
        })
        .await;
        assert!(guard?.is_valid());
        Ok(())
    })
}

#[test]
fn grants_that_wait_at_the_same_time_share_a_wait() -> Outcome {
    World::run(1, async |world| {
        let (_, _, locks) = acknowledged(&world).await?;
        // A `WAIT` covers 128 at most.
        let keys = (0..300).map(|key| format!("k{key}"));
        let guards = try_join_all(keys.map(|key| locks.lock(key))).await?;
        assert_eq!(guards.len(), 300);
        let asked = waits(&world).len();
        assert!((3..=6).contains(&asked), "{asked}");
        Ok(())
    })
}

#[test]
fn a_connection_that_was_cut_is_replaced_and_costs_no_lock() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        for _ in 0..2 {
            node.server().lose_reply(Some("wait"), Lost::Cut);
            let guard = locks.try_lock("k").await?;
            assert!(guard.is_valid());
            guard.release().await?;
        }
        Ok(())
    })
}

/// What is in flight on the second connection is asked again on another one.
#[test]
fn a_session_that_ends_meanwhile_costs_no_attempt() -> Outcome {
    World::run(1, async |world| {
        let (node, one, locks) = acknowledged(&world).await?;
        node.server().lose_reply(Some("wait"), Lost::Mute);
        let began = world.now();
        let (guard, ()) = join(locks.try_lock("k"), async {
            world.sleep(ms(200)).await;
            one.link("a").cut();
        })
        .await;
        assert!(guard?.is_valid());
        assert!(world.now() - began < ms(500));
        Ok(())
    })
}

/// A draw for the third would be behind the second, which replicas that are slow would then never
/// come to. Nor is there a third `WAIT`: a server counts who has what was written before the one
/// before it.
#[test]
fn who_has_time_left_goes_on_waiting_before_newcomers_are_drawn_for() -> Outcome {
    World::run(1, async |world| {
        let (node, one, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        world.sleep(ms(100)).await;
        let before = world.requests().len();
        one.link("a").set_latency(ms(0), ms(80));
        node.server().set_replicas(0);
        // Replicas are waited for through three quarters of 96 ms, and of a second.
        let brief = locks.with(|options| options.ttl(ms(200)))?;
        let short = brief.try_lock("short");
        let long = locks.try_lock("long");
        let third = async {
            world.sleep(ms(20)).await;
            let third = locks.try_lock("third").await;
            third.expect("a replica acknowledges")
        };
        let mended = async {
            world.sleep(ms(120)).await;
            node.server().set_replicas(1);
        };
        let (((short, long), third), ()) = join(join(join(short, long), third), mended).await;
        assert!(
            matches!(short, Err(LockError::Unacknowledged { .. })),
            "{short:?}"
        );
        assert!(long?.is_valid() && third.is_valid());
        let mut asked = world.requests().split_off(before);
        asked.retain(|request| request.is("GET") || request.is("WAIT"));
        let words = |request: &Request| String::from_utf8_lossy(&request.argv[0]).into_owned();
        let asked: Vec<_> = asked.iter().map(words).collect();
        assert_eq!(asked, ["GET", "GET", "WAIT", "WAIT", "GET", "WAIT"]);
        Ok(())
    })
}

#[test]
fn a_connection_on_which_nothing_answers_is_an_outage_and_replaced() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        node.server().lose_reply(Some("wait"), Lost::Mute);
        let began = world.now();
        let words = outage(&locks).await;
        assert!(words.contains("did not say in time"), "{words}");
        assert!(world.now() - began <= secs(1) + ms(50));
        world.sleep(ms(100)).await;
        assert!(!is_held(&node));
        drop(locks.try_lock("k").await?);
        Ok(())
    })
}

#[test]
fn an_idle_connection_that_died_unseen_costs_no_lock() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        world.sleep(secs(60)).await;
        let pings = || {
            let mut requests = world.requests();
            requests.retain(|request| request.is("PING"));
            requests.len()
        };
        let before = pings();
        drop(locks.try_lock("k").await?);
        assert_eq!(pings(), before + 1, "it is asked whether it lives");
        world.sleep(secs(60)).await;
        // Whatever is asked on it next is not answered.
        node.server().lose_reply(Some("ping"), Lost::Mute);
        while pings() == before + 1 {
            world.sleep(ms(100)).await;
            if world.now() > secs(200) {
                break;
            }
        }
        let guard = locks.lock("k").await?;
        assert!(guard.is_valid());
        Ok(())
    })
}

#[test]
fn without_a_second_connection_it_is_an_outage_in_words() -> Outcome {
    World::run(1, async |world| {
        let (node, one, locks) = acknowledged(&world).await?;
        one.link("a").set_connecting(Connecting::Refused);
        let words = outage(&locks).await;
        assert!(words.contains("replicas could not be asked"), "{words}");
        // Nobody dials again at once.
        one.link("a").set_connecting(Connecting::Hangs);
        let words = outage(&locks).await;
        assert!(words.contains("could not be asked"), "{words}");
        world.sleep(secs(1)).await;
        let words = outage(&locks).await;
        assert!(words.contains("did not say in time"), "{words}");
        world.sleep(ms(100)).await;
        assert!(!is_held(&node));
        one.link("a").set_connecting(Connecting::Open);
        drop(locks.try_lock("k").await?);
        Ok(())
    })
}

#[test]
fn what_the_server_says_instead_of_a_number_is_told() -> Outcome {
    for (words, part) in [
        (
            "UNBLOCKED force unblock from blocking operation",
            "UNBLOCKED",
        ),
        (
            "ERR WAIT cannot be used with replica instances.",
            "replica instances",
        ),
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
    ] {
        World::run(1, async |world| {
            let (node, _, locks) = acknowledged(&world).await?;
            node.server()
                .answer_next("wait", Reply::Error(words.to_owned()));
            let told = outage(&locks).await;
            assert!(told.contains(part), "{told}");
            world.sleep(ms(100)).await;
            assert!(!is_held(&node));
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// The second connection may lead to another server, which was promoted meanwhile and has replicas
/// of its own. What these have says nothing of the lock.
#[test]
fn replicas_of_a_server_without_the_lock_do_not_count() -> Outcome {
    World::run(1, async |world| {
        let (node, one, locks) = acknowledged(&world).await?;
        let other = world.node("z");
        other.server().set_replicas(5);
        other
            .server()
            .call(&["XADD", "tenure:fence", "MAXLEN", "0", "*", "", ""]);
        // The name stands for the other server from now on.
        world.alias("a", &other);
        let words = outage(&locks).await;
        assert!(words.contains("gone before replicas"), "{words}");
        world.sleep(ms(100)).await;
        assert!(!is_held(&node), "it is released where it was granted");
        drop(one);
        // The connection to the other one is not kept.
        world.alias("a", &node);
        drop(locks.try_lock("k").await?);
        Ok(())
    })
}

#[test]
fn what_is_unknown_of_a_lock_that_was_dropped_leaves_nothing() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        node.server().lose_reply(Some("wait"), Lost::Mute);
        let (asks, waits) = (Box::pin(locks.lock("k")), Box::pin(world.sleep(ms(200))));
        let dropped = select(asks, waits).await;
        assert!(matches!(dropped, Either::Right(_)), "it waits for replicas");
        drop(dropped);
        world.sleep(ms(50)).await;
        assert!(!is_held(&node), "it need not wait for them");
        Ok(())
    })
}

/// The first `WAIT` ends with the first of them, the second with the last; those between are told
/// by number when their time is up.
#[test]
fn of_grants_with_different_times_the_node_is_asked_twice_at_most() -> Outcome {
    World::run(1, async |world| {
        let (node, one, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        world.sleep(ms(100)).await;
        let before = waits(&world).len();
        one.link("a").set_latency(ms(0), ms(80));
        node.server().set_replicas(0);
        let tries = [200, 300, 400, 500, 600].map(|ttl| {
            let locks = locks.with(|options| options.ttl(ms(ttl))).expect("a TTL");
            async move { locks.try_lock(format!("k{ttl}")).await }
        });
        for tried in join_all(tries).await {
            assert!(
                matches!(tried, Err(LockError::Unacknowledged { .. })),
                "{tried:?}"
            );
        }
        let asked = waits(&world).split_off(before);
        let spans = asked
            .iter()
            .map(|wait| String::from_utf8_lossy(&wait.argv[2]).parse());
        let spans: Vec<u64> = spans.collect::<Result<_, _>>()?;
        // Three quarters of what 200 ms and 600 ms leave for an attempt, the latter from 80 ms on.
        assert!(matches!(spans[..], [60..=75, 120..=145]), "{spans:?}");
        Ok(())
    })
}

/// It is answered in its own time, and costs nobody the connection.
#[test]
fn who_has_little_time_is_answered_while_others_go_on_waiting() -> Outcome {
    World::run(1, async |world| {
        let (node, one, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        world.sleep(ms(100)).await;
        let connects = || {
            let mut requests = world.requests();
            requests.retain(|request| request.is("HELLO"));
            requests.len()
        };
        let before = connects();
        node.server().set_replicas(1);
        one.link("a").set_latency(ms(0), ms(80));
        let brief = locks.with(|options| options.ttl(ms(150)))?;
        let began = world.now();
        let (long, short) = join(locks.try_lock("long"), async {
            world.sleep(ms(5)).await;
            let tried = brief.try_lock("short").await;
            (tried, world.now() - began)
        })
        .await;
        let (tried, took) = short;
        assert!(long?.is_valid());
        assert!(tried.is_err() && took < ms(150), "{tried:?} after {took:?}");
        assert_eq!(connects(), before);
        Ok(())
    })
}

/// What nothing is known of in time is told to the lease, which goes on to its next attempt.
#[test]
fn who_waits_behind_what_hangs_is_answered_in_its_own_time() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        world.sleep(ms(100)).await;
        node.server().lose_reply(Some("wait"), Lost::Mute);
        let brief = locks.with(|options| options.ttl(ms(150)).give_up_after(ms(700)))?;
        let (long, short) = join(locks.try_lock("long"), async {
            world.sleep(ms(5)).await;
            brief.lock("short").await
        })
        .await;
        assert!(long.is_err() && short.is_err());
        let mut attempts = world.requests();
        attempts.retain(|request| request.argv.iter().any(|word| word == b"150"));
        assert!(
            attempts.len() > 1,
            "its TTL is asked for {} times",
            attempts.len()
        );
        Ok(())
    })
}

#[test]
fn what_hangs_ends_with_the_last_whose_time_is_up() -> Outcome {
    World::run(1, async |world| {
        let (node, _, locks) = acknowledged(&world).await?;
        drop(locks.try_lock("k").await?);
        world.sleep(ms(100)).await;
        node.server().lose_reply(Some("wait"), Lost::Mute);
        let brief = locks.with(|options| options.ttl(ms(150)))?;
        let began = world.now();
        let timed = async |locks: &Locks, key: &str| {
            let tried = locks.try_lock(key).await;
            assert!(tried.is_err(), "{tried:?}");
            world.now() - began
        };
        let (long, short) = join(timed(&locks, "long"), timed(&brief, "short")).await;
        assert!(short < ms(150) && long > ms(500), "{short:?}, {long:?}");
        Ok(())
    })
}
