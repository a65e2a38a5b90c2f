//! What operators ask: who holds which lock, who waits for it, and what this process holds. And the
//! last resort: a key that somebody left behind without an expiry is taken away by force.
//!
//! `cargo run --example who_holds` needs no Redis; set `REDIS_URL` to use your own.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;

use support::Redis;
use tenure_redis::{Holder, Locks};

const PREFIX: &str = "examples/who_holds/";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let billing = client(&redis, "billing@10.0.0.7").await?;
    let shipping = client(&redis, "shipping@10.0.0.8").await?;
    let operator = client(&redis, "operator").await?;

    let order = billing.lock("orders/42").await?;
    let report = billing.lock("reports/daily").await?;
    let waiting = tokio::spawn(async move { shipping.lock("orders/42").await });
    while operator.inspect("orders/42").await?.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    left_behind(&redis).await?;

    println!("\nheld by this client of billing:");
    for lock in billing.held() {
        println!(
            "  {} with fence {}, {:?} left",
            lock.key, lock.fence, lock.left
        );
    }

    println!("\nat the node:");
    let mut scan = operator.scan("*")?;
    let mut abandoned = Vec::new();
    while let Some(lock) = scan.next().await? {
        let who = match &lock.at.holder {
            Holder::Lease { label: Some(label) } => label.as_str(),
            Holder::Foreign => "somebody, for ever",
            _ => "somebody",
        };
        let line = lock.at.queue.as_ref();
        let line = line.map_or(0, |queue| queue.waiting);
        println!("  {} is held by {who}; in line: {line}", lock.key);
        if lock.at.holder == Holder::Foreign {
            abandoned.extend(lock.at.seen.map(|seen| (lock.key, seen)));
        }
    }

    // Whoever wrote it may still work. Only who knows that it does not takes it away.
    for (key, seen) in &abandoned {
        let broken = operator.break_lock(key, *seen).await?;
        println!("\n{key} is broken: {}", broken.is_broken());
    }
    assert_eq!(abandoned.len(), 1);
    operator.try_lock("imports").await?.release().await?;

    order.release().await?;
    waiting.await??.release().await?;
    report.release().await?;
    Ok(())
}

/// A client of a service, which says who it is.
async fn client(redis: &Redis, label: &str) -> Result<Locks, Box<dyn Error>> {
    let locks = Locks::builder().node(redis.url()).prefix(PREFIX);
    let locks = locks.options(|options| options.label(label));
    Ok(locks.connect().await?)
}

/// The lock of a program that knows no expiry, and that died. Whoever ran this before left none.
async fn left_behind(redis: &Redis) -> Result<(), Box<dyn Error>> {
    let client = redis::Client::open(redis.url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut set = redis::cmd("SET");
    set.arg(format!("{PREFIX}imports"))
        .arg("pid 4711 of a host that is gone");
    set.exec_async(&mut connection).await?;
    Ok(())
}
