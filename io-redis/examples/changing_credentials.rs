//! A password that changes while a lock is held: each new connection logs in with what is given
//! then, and the lock is kept.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::Redis;
use tenure_redis::{Credentials, Locks};

const KEY: &str = "examples/changing_credentials";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    if !redis.set_password("monday") {
        println!("the passwords of a server that is not ours are left alone");
        return Ok(());
    }

    // Here it is a variable. In production it is a file that is written anew, or a token that a
    // task fetches before the last one ends.
    let password = Arc::new(Mutex::new("monday"));
    let current = Arc::clone(&password);
    let locks = Locks::builder()
        .node(redis.url())
        .credentials(move || {
            let password = *current.lock().expect("nobody panics");
            async move { Ok::<_, Infallible>(Credentials::password(password)) }
        })
        .connect()
        .await?;
    let guard = locks.lock(KEY).await?;
    println!("held, with the password of monday");

    *password.lock().expect("nobody panics") = "tuesday";
    redis.set_password("tuesday");
    println!("the password is another one, and all connections are closed");

    guard.ensure(Duration::from_secs(9)).await?;
    println!("renewed, with the password of tuesday");
    guard.release().await?;
    Ok(())
}
