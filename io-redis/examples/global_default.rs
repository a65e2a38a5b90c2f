//! One client for the whole program, set once: functions lock without being handed anything.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use support::Redis;
use tenure_redis::{LockError, Locks};

const TASKS: u32 = 4;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let early = tenure_redis::lock("examples/global").await.unwrap_err();
    println!("before it is set: {early}");
    assert!(early.is_misuse());

    let redis = Redis::one()?;
    let locks = Locks::builder()
        .node(redis.url())
        .options(|options| options.backoff(Duration::from_millis(5), Duration::from_millis(50)))
        // Its tasks do not depend on this runtime, so every runtime of the program may use it.
        .own_thread()
        .connect()
        .await?;
    tenure_redis::set_default(locks)?;

    let balance = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(deposit(task, Arc::clone(&balance))))
        .collect();
    for task in tasks {
        task.await??;
    }
    assert_eq!(balance.load(Ordering::Relaxed), TASKS, "an update was lost");

    // A program that ends does not wait for its background: what was just dropped may still be on
    // its way.
    if let Some(locks) = tenure_redis::default_locks() {
        locks.close().await;
    }
    Ok(())
}

/// Reads, thinks and writes: right only if nobody else does so meanwhile.
async fn deposit(task: u32, balance: Arc<AtomicU32>) -> Result<(), LockError> {
    let guard = tenure_redis::lock("examples/global").await?;
    let before = balance.load(Ordering::Relaxed);
    support::pass(Duration::from_millis(20)).await;
    balance.store(before + 1, Ordering::Relaxed);
    println!(
        "task {task}: {before} -> {}, fence {}",
        before + 1,
        guard.fence()
    );
    // Dropped here, it is released in the background.
    Ok(())
}
