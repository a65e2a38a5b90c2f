//! Connections that die while they are idle: the network forgets them, or the node does.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_redis::{LockOptions, Locks};
use tenure_sim::memory_net::{Client, Forgotten, Link, World};

use crate::support::{Outcome, client, ms, nodes, secs, until};

/// What a caller may want of an idle connection, each of which has one attempt.
#[derive(Clone, Copy, Debug)]
enum Call {
    TryLock,
    Renew,
    Ensure,
    Release,
    Inspect,
}

const CALLS: [Call; 5] = [
    Call::TryLock,
    Call::Renew,
    Call::Ensure,
    Call::Release,
    Call::Inspect,
];

/// Makes the call on a connection that has been idle for 5 s, and that dies in this way. Says how
/// long the call took.
async fn after(call: Call, die: fn(&Link)) -> Result<Duration, Box<dyn std::error::Error>> {
    let world = World::new(1);
    nodes(&world, 1);
    let (one, locks) = client(&world, "one").await?;
    let held = locks
        .with(LockOptions::without_renewal)?
        .lock("held")
        .await?;
    world.sleep(secs(5)).await;
    die(&one.link("a"));
    let begun = world.now();
    match call {
        Call::TryLock => drop(locks.try_lock("k").await?),
        Call::Renew => drop(held.renew().await?),
        Call::Ensure => drop(held.ensure(secs(9)).await?),
        Call::Release => held.release().await?,
        Call::Inspect => drop(locks.inspect("held").await?),
    }
    Ok(world.now() - begun)
}

/// The connection is found dead while there is time to ask again on another.
#[test]
fn one_attempt_is_enough_where_the_network_forgot_an_idle_connection() -> Outcome {
    World::run(1, async |_| {
        for call in CALLS {
            let dies: [fn(&Link); 2] = [Link::stick, |link: &Link| {
                link.forget(Forgotten::ByTheNetwork)
            }];
            for die in dies {
                let took = after(call, die).await;
                let took = took.map_err(|error| format!("{call:?}: {error}"))?;
                assert!(took < secs(1), "{call:?} {took:?}");
            }
        }
        Ok(())
    })
}

/// It is told that the connection is dead, at once or at the next byte.
#[test]
fn one_attempt_is_enough_where_an_idle_connection_was_closed() -> Outcome {
    World::run(1, async |_| {
        for call in CALLS {
            let dies: [fn(&Link); 2] = [Link::cut, |link: &Link| link.forget(Forgotten::ByTheEnd)];
            for die in dies {
                let took = after(call, die).await;
                let took = took.map_err(|error| format!("{call:?}: {error}"))?;
                assert!(took < ms(20), "{call:?} {took:?}");
            }
        }
        Ok(())
    })
}

/// So the next call finds another connection, and is served at once.
#[test]
fn a_connection_that_the_network_forgot_is_found_before_the_next_call() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        world.sleep(secs(60)).await;
        one.link("a").stick();
        let found = until(&world, secs(12), || one.link("a").dials() == 2).await;
        assert!(found >= secs(1), "nobody told it: {found:?}");
        world.sleep(secs(1)).await;
        let begun = world.now();
        let guard = locks.try_lock("k").await?;
        assert!(world.now() - begun < ms(20), "{:?}", world.now() - begun);
        guard.release().await?;
        Ok(())
    })
}

/// A thousand clients that were started together do not ask together.
#[test]
fn idle_clients_ask_at_times_of_their_own() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let mut clients: Vec<(Client, Locks)> = Vec::new();
        for index in 0..20 {
            clients.push(client(&world, &format!("client-{index}")).await?);
        }
        let before = world.requests().len();
        world.sleep(secs(60)).await;
        let asked = world.requests().split_off(before);
        assert!(asked.iter().all(|request| request.is("PING")), "{asked:?}");
        // In 60 s, each asks between 6 and 8 times.
        assert!((100..=160).contains(&asked.len()), "{}", asked.len());
        let times: BTreeSet<_> = asked
            .iter()
            .map(|request| request.at.as_millis() / 100)
            .collect();
        assert!(times.len() > 60, "they ask together: {times:?}");
        Ok(())
    })
}
