//! Why there is a fence: a holder that was paused wakes up, believes that it holds the lock, and
//! writes. The store refuses, because it has seen a larger fence.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::time::Duration;

use support::Redis;
use tenure_redis::{Locks, ReleaseError};

const KEY: &str = "examples/fenced_store";
const TTL: Duration = Duration::from_millis(500);

/// What the lock protects. In SQL: `UPDATE … SET fence = $1, … WHERE fence <= $1`.
#[derive(Default)]
struct Store {
    fence: u64,
    value: &'static str,
}

impl Store {
    fn write(&mut self, fence: u64, value: &'static str) -> Result<(), String> {
        if fence < self.fence {
            return Err(format!("fence {fence} is older than {}", self.fence));
        }
        *self = Self { fence, value };
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let locks = Locks::builder()
        .node(redis.url())
        .ttl(TTL)
        .connect()
        .await?;
    let mut store = Store::default();

    // A process that stands still does not renew.
    let pausing = locks.with(|options| options.without_renewal())?;
    let stale = pausing.lock(KEY).await?;
    println!("first holder: fence {}", stale.fence());
    assert!(stale.is_valid());
    // … here it is paused, for longer than its TTL …

    let fresh = locks.lock(KEY).await?;
    println!("second holder: fence {}", fresh.fence());
    store.write(fresh.fence(), "of the second holder")?;

    // The first one wakes up in the middle of what it did. Had it asked, it would know:
    assert!(!stale.is_valid());
    // but a check and a write are two steps, and the pause may come between them. So the store
    // decides.
    let refused = store
        .write(stale.fence(), "of the first holder")
        .unwrap_err();
    println!("the first holder's write is refused: {refused}");
    assert_eq!(store.value, "of the second holder");

    match stale.release().await {
        Err(ReleaseError::Lost(lost)) => println!("and its release says: {lost}"),
        other => return Err(format!("the release was to tell the loss: {other:?}").into()),
    }
    fresh.release().await?;
    Ok(())
}
