//! Locks over a connection that the program already has.
//!
//! It is shared, not taken over: the program goes on using it. It has to reconnect by itself, as a
//! `ConnectionManager` does; a `MultiplexedConnection` never comes back once it is closed.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;

use redis::aio::ConnectionManager;
use support::Redis;
use tenure_redis::Locks;

const KEY: &str = "examples/own_client";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let client = redis::Client::open(redis.url())?;
    let mut connection = ConnectionManager::new(client).await?;

    let locks = Locks::builder()
        .connection(connection.clone())
        .connect()
        .await?;
    let guard = locks.lock(KEY).await?;

    // The key is a plain string with an expiry: any tool can look at it.
    let kind: String = redis::cmd("TYPE")
        .arg(KEY)
        .query_async(&mut connection)
        .await?;
    let left: i64 = redis::cmd("PTTL")
        .arg(KEY)
        .query_async(&mut connection)
        .await?;
    println!("held: a {kind} that the server keeps for {left} ms more");
    assert!(kind == "string" && left > 0);

    guard.release().await?;
    let left: bool = redis::cmd("EXISTS")
        .arg(KEY)
        .query_async(&mut connection)
        .await?;
    println!(
        "released: the key is {}",
        if left { "still there" } else { "gone" }
    );
    assert!(!left);
    Ok(())
}
