//! A lock with a TTL of two seconds is held for ten: it renews itself, and nobody else gets it.
//!
//! `cargo run --example quickstart` needs no Redis; set `REDIS_URL` to use your own.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::time::Duration;

use support::{Redis, Watch};
use tenure_redis::{LockError, Locks, Lost};

const KEY: &str = "examples/quickstart";
const TTL: Duration = Duration::from_secs(2);
const HELD: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let first = Locks::builder()
        .node(redis.url())
        .ttl(TTL)
        .connect()
        .await?;
    let second = Locks::builder()
        .node(redis.url())
        .ttl(TTL)
        .connect()
        .await?;

    let watch = Watch::start();
    let guard = first.lock(KEY).await?;
    let fence = guard.fence();
    watch.say(
        "acquired",
        format_args!("by the first client, fence {fence}"),
    );

    let mut renewals = 0;
    let renewing = async {
        refused(&second, &watch).await;
        loop {
            let left = guard.renewed().await?;
            renewals += 1;
            watch.say(
                "renewed",
                format_args!("valid for {:.2} s", left.as_secs_f64()),
            );
            // Without renewal the lock would have been free for a while.
            if renewals == 4 {
                refused(&second, &watch).await;
            }
        }
    };
    // It ends with the time, or with the loss of the lock.
    #[allow(
        clippy::disallowed_methods,
        reason = "it is the program's work that is bounded here, not a lock"
    )]
    let lost: Result<Result<(), Lost>, _> = tokio::time::timeout(HELD, renewing).await;
    if let Ok(lost) = lost {
        lost?;
    }
    assert_eq!(renewals, 7, "every two thirds of {TTL:?} in {HELD:?}");

    guard.release().await?;
    watch.say("released", "by the first client");

    let guard = second.lock(KEY).await?;
    watch.say(
        "acquired",
        format_args!("by the second client, fence {}", guard.fence()),
    );
    assert!(guard.fence() > fence, "a later grant has a larger fence");
    guard.release().await?;
    Ok(())
}

/// The second client tries, is refused, and is told how long the first one still has.
async fn refused(second: &Locks, watch: &Watch) {
    match second.try_lock(KEY).await {
        Err(LockError::Contended { left, .. }) => watch.say(
            "refused",
            format_args!(
                "to the second client: taken for {:.2} s, unless renewed",
                left.as_secs_f64()
            ),
        ),
        other => panic!("the second client was to be refused: {other:?}"),
    }
}
