//! Who waits for the next renewal is told when it is confirmed, and told the loss if that comes
//! first.

use tenure_redis::Loss;
use tenure_sim::memory_net::World;

use crate::support::{Outcome, client, ms, secs};

#[test]
fn each_renewal_is_told_when_it_is_confirmed_with_what_is_left_from_then() -> Outcome {
    World::run(1, async |world| {
        world.node("a");
        let one = world.client("one");
        let locks = one.builder().ttl(secs(2)).connect().await?;
        let begun = world.now();
        let guard = locks.lock("k").await?;
        for k in 1..=7 {
            let left = guard.renewed().await?;
            let late = (world.now() - begun).checked_sub(secs(4) * k / 3);
            let late = late.expect("not before it is due");
            assert!(
                late <= ms(3 * u64::from(k)),
                "renewal {k} is told {late:?} late"
            );
            assert_eq!(left, guard.remaining());
            assert!(left > ms(1_970) && left < secs(2), "{left:?}");
        }
        Ok(())
    })
}

#[test]
fn a_renewal_by_hand_is_told_as_well() -> Outcome {
    World::run(1, async |world| {
        world.node("a");
        let (_one, locks) = client(&world, "one").await?;
        let locks = locks.with(|options| options.without_renewal())?;
        let guard = locks.lock("k").await?;
        let begun = world.now();
        let (told, renewed) = futures_util::future::join(guard.renewed(), guard.renew()).await;
        assert_eq!(told?, renewed?);
        assert!(world.now() - begun <= ms(10));
        Ok(())
    })
}

#[test]
fn who_waits_for_a_renewal_that_never_comes_is_told_the_loss() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let one = world.client("one");
        let locks = one.builder().ttl(secs(2)).connect().await?;
        let guard = locks.lock("k").await?;
        let until = world.now() + guard.remaining();
        node.server().pause();
        let lost = guard.renewed().await.expect_err("nobody answers");
        assert_eq!(lost.loss, Loss::Expired);
        assert!(world.now() >= until && world.now() <= until + ms(2));
        // From here on it is told at once.
        assert_eq!(guard.renewed().await, Err(lost));
        Ok(())
    })
}
