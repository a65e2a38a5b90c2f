//! A client that stands still while its program goes on.

use tenure_redis::Loss;
use tenure_sim::memory_net::World;

use crate::support::{Outcome, client, nodes, secs};

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
