//! A job that every machine starts at the same minute and one does: `try_lock`, and what to do with
//! each kind of refusal.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::error::Error;
use std::time::Duration;

use support::Redis;
use tenure_redis::Locks;

/// How a run of the job ended, for the exit code and the alert of it.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    Done,
    /// Another machine does it. Nothing to tell anybody.
    LeftToOther,
    /// The key has no expiry. Perhaps another library's lock, perhaps left over: someone has to
    /// look, or the job may not run for weeks.
    LookAtKey,
    /// Redis does not answer. The next run may find it well; alert if it goes on.
    NotToday,
    /// It will not get better by itself: someone has to change something.
    Broken,
    /// The lock was lost meanwhile, so the job was stopped.
    Stopped,
}

async fn nightly_report(locks: &Locks, key: &str) -> Run {
    let guard = match locks.try_lock(key).await {
        Ok(guard) => guard,
        Err(error) => {
            println!("  {error}");
            return match error {
                error if error.is_contention() => Run::LeftToOther,
                error if error.is_foreign() => Run::LookAtKey,
                error if error.is_outage() => Run::NotToday,
                _ => Run::Broken,
            };
        }
    };
    match guard.run(support::pass(Duration::from_millis(100))).await {
        // Released when the guard is dropped, or at once and with an answer:
        Ok(()) => match guard.release().await {
            Ok(()) => Run::Done,
            // The job is done all the same; the key ends with its TTL.
            Err(error) if error.is_outage() => Run::Done,
            Err(_) => Run::Stopped,
        },
        Err(lost) => {
            println!("  {lost}");
            Run::Stopped
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let redis = Redis::one()?;
    let key = "examples/cron";
    let here = Locks::builder()
        .node(redis.url())
        .options(|options| options.label("machine-1"))
        .connect()
        .await?;
    let elsewhere = Locks::builder()
        .node(redis.url())
        .options(|options| options.label("machine-2"))
        .connect()
        .await?;

    show(
        "the lock is free",
        nightly_report(&here, key).await,
        Run::Done,
    );

    let other = elsewhere.lock(key).await?;
    let seen = here.inspect(key).await?;
    println!("held by {:?} for {:?} more", seen.holder(), seen.left());
    show(
        "another machine has it",
        nightly_report(&here, key).await,
        Run::LeftToOther,
    );
    other.release().await?;

    // As redis-py's lock writes it by default. Its holder may have died long ago.
    let mut redis_py = redis::Client::open(redis.url())?
        .get_multiplexed_async_connection()
        .await?;
    let mut write = redis::cmd("SET");
    write.arg(key).arg("0f8fad5b");
    write.exec_async(&mut redis_py).await?;
    show(
        "the key has no expiry",
        nightly_report(&here, key).await,
        Run::LookAtKey,
    );
    redis::cmd("DEL").arg(key).exec_async(&mut redis_py).await?;

    // Nobody listens on port 1. `connect_lazy` leaves the finding out to the lock.
    let nowhere = Locks::builder()
        .node("redis://127.0.0.1:1")
        .connect_lazy()?;
    show(
        "Redis is away",
        nightly_report(&nowhere, key).await,
        Run::NotToday,
    );

    show(
        "the key is empty",
        nightly_report(&here, "").await,
        Run::Broken,
    );
    Ok(())
}

fn show(case: &str, run: Run, wanted: Run) {
    println!("{case}: {run:?}");
    assert_eq!(run, wanted);
}
