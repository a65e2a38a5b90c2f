//! A name that stands for several addresses.

use tenure_sim::memory_net::{Connecting, World};

use crate::support::{Outcome, ms, nodes, secs};

#[test]
fn a_first_address_that_swallows_all_does_not_keep_from_the_second() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        world.row("cache", &["gone", "deserted", "a"]);
        let one = world.client("one");
        one.link("gone").set_connecting(Connecting::Hangs);
        one.link("deserted").set_connecting(Connecting::Refused);
        let begun = world.now();
        let locks = tenure_redis::Locks::builder().seams(one.seams());
        let locks = locks.node("redis://cache").connect().await?;
        // A head start of 100 ms for the first, twice; and a few round trips of 2 ms.
        assert!(world.now() - begun < ms(250), "{:?}", world.now() - begun);
        let guard = locks.lock("k").await?;
        // The same after the connection is lost.
        for _ in 0..20 {
            one.link("a").cut();
            world.sleep(secs(5)).await;
            assert!(guard.is_valid());
        }
        guard.release().await?;
        Ok(())
    })
}
