//! Waiting for a condition: the one place of the live suite that lets time pass.
//!
//! A test that sleeps is either slow or wrong on a loaded machine. So a test names what it waits
//! for, and the bound is generous: it is there to end a test that has failed, not to measure.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// How long a condition may take before the test is declared failed.
pub const BOUND: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Waits until `condition` answers `true`.
///
/// # Panics
/// When that took longer than [`BOUND`]; the message carries `what` and the caller's line.
#[track_caller]
pub fn eventually<F, Fut>(what: impl fmt::Display, mut condition: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let answer = move || {
        let met = condition();
        async move { met.await.then_some(()) }
    };
    eventually_some(what, answer)
}

/// Waits until `condition` answers `Some`, and gives what is inside.
///
/// # Panics
/// When that took longer than [`BOUND`].
#[track_caller]
pub fn eventually_some<F, Fut, T>(
    what: impl fmt::Display,
    mut condition: F,
) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let polling = async move {
        let mut wait = FIRST_PAUSE;
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            pause(wait).await;
            wait = (wait * 2).min(LONGEST_PAUSE);
        }
    };
    within(what, polling)
}

/// Awaits a future that must end, and ends the test if it does not.
///
/// # Panics
/// When that took longer than [`BOUND`].
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "the generous bound after which a test that waits for a real server has failed"
)]
pub fn within<Fut: Future>(
    what: impl fmt::Display,
    future: Fut,
) -> impl Future<Output = Fut::Output> {
    let place = Location::caller();
    async move {
        match tokio::time::timeout(BOUND, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: not within {BOUND:?}: {what}"),
        }
    }
}

/// Nobody asks for so long. A connection is idle only then.
pub async fn nobody_asks_for(length: Duration) {
    pause(length).await;
}

/// Real time passes, from the call on.
#[allow(
    clippy::disallowed_methods,
    reason = "a real server can only be asked again, and asking must leave it its core"
)]
pub(crate) fn pause(length: Duration) -> tokio::time::Sleep {
    tokio::time::sleep(length)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::eventually;

    #[tokio::test(start_paused = true)]
    async fn a_condition_is_asked_until_it_is_met() {
        let asked = Cell::new(0);
        eventually("the fifth time", || async {
            asked.set(asked.get() + 1);
            asked.get() == 5
        })
        .await;
        assert_eq!(asked.get(), 5);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "wait.rs")]
    async fn a_condition_that_is_never_met_ends_the_test_and_names_its_line() {
        eventually("never", || async { false }).await;
    }
}
