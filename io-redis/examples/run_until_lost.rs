//! Work that stops when its lock is lost: `Guard::run` drops it, here because someone deleted the
//! key.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use support::{Redis, Watch};
use tenure_redis::{Locks, Loss};

const KEY: &str = "examples/run_until_lost";
const TTL: Duration = Duration::from_millis(900);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let locks = Locks::builder()
        .node(redis.url())
        .ttl(TTL)
        .connect()
        .await?;
    let client = redis::Client::open(redis.url())?;
    let mut operator = client.get_multiplexed_async_connection().await?;

    let guard = locks.lock(KEY).await?;
    let watch = Watch::start();
    let steps = AtomicU32::new(0);
    let work = async {
        loop {
            watch.say("step", steps.fetch_add(1, Ordering::Relaxed) + 1);
            support::pass(Duration::from_millis(200)).await;
            if steps.load(Ordering::Relaxed) == 3 {
                let _: i64 = redis::cmd("DEL")
                    .arg(KEY)
                    .query_async(&mut operator)
                    .await?;
                watch.say("deleted", "the key, by someone who should not have");
            }
            if steps.load(Ordering::Relaxed) == 50 {
                return Ok::<(), redis::RedisError>(());
            }
        }
    };

    // The next renewal finds the key gone. If nothing answered, the end of validity would tell.
    let lost = match guard.run(work).await {
        Err(lost) => lost,
        Ok(done) => return Err(format!("the work was not stopped: {done:?}").into()),
    };
    watch.say("stopped", &lost);
    assert_eq!(lost.loss, Loss::Gone);
    assert!(!guard.is_valid());

    let stopped_at = steps.load(Ordering::Relaxed);
    support::pass(Duration::from_millis(500)).await;
    assert_eq!(
        steps.load(Ordering::Relaxed),
        stopped_at,
        "the work was dropped"
    );
    Ok(())
}
