//! A quorum of three servers that know nothing of each other: the lock outlives one of them.
//!
//! With servers of your own: `REDIS_URL=redis://a,redis://b,redis://c`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::time::Duration;

use support::{Redis, Watch};
use tenure_redis::{LockError, Locks};

const KEY: &str = "examples/quorum";
/// The longest TTL that any client of these servers uses. It is also how long quarantine lasts.
const MAX_TTL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::several(3)?;
    let locks = Locks::builder()
        .nodes(redis.urls())
        .ttl(MAX_TTL)
        .node_set("examples")
        .connect()
        .await?;
    let watch = Watch::start();

    // A server that was just started may have forgotten a lease that is still held somewhere. It is
    // not counted until every lease that it may have forgotten has ended, so a fresh set grants
    // nothing for one max TTL. Where that does not matter: `Builder::quarantine(Quarantine::Off)`.
    match locks.try_lock(KEY).await {
        Err(LockError::Quarantined { node, left, .. }) => watch.say(
            "refused",
            format_args!(
                "{node} is in quarantine for {:.2} s more",
                left.as_secs_f64()
            ),
        ),
        Err(error) => return Err(error.into()),
        Ok(guard) => {
            watch.say("acquired", "at once: the set has been in use before");
            guard.release().await?;
        }
    }

    // `lock` waits for the end of quarantine as it waits for another holder.
    let guard = locks.lock(KEY).await?;
    watch.say(
        "acquired",
        format_args!("by a quorum, fence {}", guard.fence()),
    );

    // One server goes, and the lock stays: two of three renew it.
    if redis.take_down(0) {
        watch.say("down", "one server");
        for _ in 0..2 {
            guard.renewed().await?;
            watch.say("renewed", "by the other two");
        }
    }
    let before = guard.fence();
    guard.release().await?;
    let guard = locks.lock(KEY).await?;
    watch.say("acquired", format_args!("again, fence {}", guard.fence()));
    assert!(guard.fence() > before);

    // Two of three gone is an outage, and the holder is told no later than the end of its validity.
    if redis.take_down(1) {
        watch.say("down", "a second server");
        watch.say("lost", guard.lost().await);
        let outage = locks.try_lock(KEY).await.unwrap_err();
        watch.say("refused", &outage);
        assert!(outage.is_outage());
    }
    Ok(())
}
