//! The demonstration: a lock with a TTL of two seconds, held for ten.

use tenure_redis::LockError;
use tenure_sim::memory_net::World;
use tenure_sim::server::ServerClock;

use crate::support::{Outcome, calls, ms, secs, stands};

/// Then its key is free.
#[test]
fn a_lease_of_two_seconds_held_for_ten_is_renewed_seven_times() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let (one, two) = (world.client("one"), world.client("two"));
        let locks = one.builder().ttl(secs(2)).connect().await?;
        let rivals = two.builder().ttl(secs(2)).connect().await?;

        let begun = world.now();
        let guard = locks.lock("demo").await?;
        let refused = loop {
            world.sleep(ms(900)).await;
            let before = node.server().peek_expiry_ms("demo").expect("is held");
            let now = i64::try_from(node.clock().now_us() / 1_000)?;
            assert!(guard.is_valid());
            match rivals.try_lock("demo").await {
                Err(LockError::Contended { left, .. }) => {
                    // The script runs some milliseconds later, since the first attempt is without
                    // one, and a renewal may be before it.
                    let left = i64::try_from(left.as_millis())?;
                    assert!((before - now - left).abs() <= 3 || left > 1_990, "{left}");
                }
                other => panic!("held by another: {other:?}"),
            }
            if world.now() - begun >= secs(9) {
                break rivals.try_lock("demo").await;
            }
        };
        assert!(refused.is_err_and(|error| error.is_contention()));
        world.sleep_until(begun + secs(10)).await;

        let renewals = calls(&world, "renew");
        assert_eq!(renewals.len(), 7);
        for (k, renewal) in (1..).zip(&renewals) {
            let due = begun + secs(4) * k / 3;
            // One millisecond on the way, and up to one per renewal from the granularity of timers.
            let late = renewal.at.checked_sub(due).expect("not early");
            assert!(late <= ms(1 + u64::from(k)), "renewal {k} is {late:?} late");
        }

        let fence = guard.fence();
        guard.release().await?;
        assert!(!stands(&[node], "demo"));
        let next = rivals.try_lock("demo").await?;
        assert!(next.fence() > fence);
        next.release().await?;
        assert_eq!(
            calls(&world, "renew").len(),
            7,
            "nothing renews what is over"
        );
        locks.close().await;
        rivals.close().await;
        Ok(())
    })
}
