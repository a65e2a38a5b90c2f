//! How long a caller waits for the client's own tasks.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::runtime::{CallerTimer, Clock};

/// The least time that is granted beyond a bound: a busy machine may be late by so much.
const SHORTEST_GRACE: Duration = Duration::from_millis(20);

/// Waits for an answer that the client's own tasks give within `bound`, if they run. None if it has
/// not come after a quarter more (20 ms at least), by a timer of the caller's own. So a bound that
/// those tasks keep does not depend on them.
///
/// A caller without a timer (see [`CallerTimer`]) waits on.
pub(crate) async fn within<T>(
    clock: &Arc<dyn Clock>,
    bound: Duration,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = pin!(answer);
    let grace = (bound / 4).max(SHORTEST_GRACE) / 2;
    let mut until = clock.now() + bound + grace;
    // If the whole process stood still, its tasks did as well: they get half of the grace from the
    // moment at which this one ran again.
    for _ in 0..2 {
        if let Either::Left((answer, _)) =
            select(answer.as_mut(), CallerTimer::new(clock, until)).await
        {
            return Some(answer);
        }
        until = clock.now() + grace;
    }
    None
}
