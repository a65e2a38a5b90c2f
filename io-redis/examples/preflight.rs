//! Whether a server is set up for locks: what is wrong, what it risks, and what to do about it. Run
//! it before a program goes into production. It ends with an error if something is dangerous.
//!
//! `REDIS_URL=redis://… cargo run --example preflight` looks at yours.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;

use support::Redis;
use tenure_redis::{Gravity, Locks};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let locks = Locks::builder().nodes(redis.urls()).connect().await?;
    let check = locks.check().await;
    for node in &check.nodes {
        let version = node.version.as_deref().unwrap_or("of an unknown version");
        println!("{}: a server {version}", node.node);
    }
    println!("{check}");
    locks.close().await;
    if check.worst() >= Some(Gravity::Danger) {
        return Err("locks are in danger there".into());
    }
    Ok(())
}
