//! The default client of the program. It is one for the whole process, so this is one test, and no
//! other test of this binary uses the default.

use tenure_redis::{LockError, default_locks, set_default};
use tenure_sim::memory_net::World;

use crate::support::{Outcome, client, nodes};

/// Each test of a suite has a runtime of its own, and so has each world here.
#[test]
fn a_default_client_that_has_ended_can_be_replaced_and_no_other() -> Outcome {
    for seed in 1..=2 {
        World::run(seed, async |world| {
            nodes(&world, 1);
            let (_one, locks) = client(&world, "one").await?;
            let before = tenure_redis::try_lock("k").await.map(drop);
            let ended = match before {
                Err(LockError::NoDefault { .. }) => seed == 1,
                Err(LockError::RuntimeEnded { .. }) => seed == 2,
                _ => false,
            };
            assert!(ended, "world {seed}: {before:?}");
            set_default(locks.clone()).expect("nobody serves");
            set_default(locks.clone()).expect_err("one serves");
            tenure_redis::lock("k").await?.release().await?;

            default_locks().expect("it was set").close().await;
            let closed = tenure_redis::try_lock("k").await;
            assert!(
                matches!(closed, Err(LockError::Closed { .. })),
                "{closed:?}"
            );
            let (_two, locks) = client(&world, "two").await?;
            set_default(locks).expect("the other is closed");
            tenure_redis::lock("k").await?.release().await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}
