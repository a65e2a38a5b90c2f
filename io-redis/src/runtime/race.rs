//! Connecting to a name that stands for several addresses: they race, and the first where a server
//! greets is taken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// How long an address is tried before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(100);

/// Connects to the first of these addresses that lets it, as in [RFC 8305] ("happy eyeballs").
///
/// They begin in their order. The next one begins when one has failed, or when none has connected
/// for 100 ms: what swallows all that is sent to it does not fail in any useful time. The others
/// are dropped as soon as one has connected. `pause` waits for so long.
///
/// # Errors
/// The last error, if all fail. None if there is no address.
///
/// # Cancel safety
/// Dropping the future drops all that it has begun.
///
/// [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305
pub(crate) async fn race<A, S, E, C, P>(
    addresses: impl IntoIterator<Item = A>,
    mut connect: impl FnMut(A) -> C,
    mut pause: impl FnMut(Duration) -> P,
) -> Result<S, Option<E>>
where
    C: Future<Output = Result<S, E>>,
    P: Future<Output = ()>,
{
    let mut waiting: VecDeque<A> = addresses.into_iter().collect();
    let mut runners: Vec<Pin<Box<C>>> = Vec::new();
    let mut head_start: Option<Pin<Box<P>>> = None;
    let mut error = None;
    poll_fn(|cx| {
        loop {
            let mut failed = false;
            let mut at = 0;
            while let Some(runner) = runners.get_mut(at) {
                match runner.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(why)) => {
                        error = Some(why);
                        failed = true;
                        drop(runners.remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let waited = match &mut head_start {
                Some(pause) => pause.as_mut().poll(cx).is_ready(),
                None => true,
            };
            if !failed && !waited {
                return Poll::Pending;
            }
            let Some(next) = waiting.pop_front() else {
                head_start = None;
                return if runners.is_empty() {
                    Poll::Ready(Err(error.take()))
                } else {
                    Poll::Pending
                };
            };
            runners.push(Box::pin(connect(next)));
            // The last one has nobody to wait for.
            head_start = (!waiting.is_empty()).then(|| Box::pin(pause(HEAD_START)));
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{pending, ready};

    use super::*;
    use crate::link::tests::hub::PausedClock;
    use crate::runtime::Clock;

    const MS: Duration = Duration::from_millis(1);

    /// What becomes of an address.
    #[derive(Clone, Copy)]
    enum Way {
        Connects(Duration),
        Fails(Duration),
        Hangs,
    }

    /// Races these. Says which connected, and when each began.
    async fn ran(
        ways: &[Way],
    ) -> (
        Result<usize, Option<String>>,
        Duration,
        Vec<(usize, Duration)>,
    ) {
        let (clock, begun) = (PausedClock::new(), RefCell::new(Vec::new()));
        let start = clock.now();
        let sleep = |span| clock.sleep_until(clock.now() + span);
        let passed = || clock.now().saturating_since(start);
        let connect = |at: usize| {
            let (way, sleep) = (ways[at], &sleep);
            begun.borrow_mut().push((at, passed()));
            async move {
                match way {
                    Way::Connects(after) => {
                        sleep(after).await;
                        Ok(at)
                    }
                    Way::Fails(after) => {
                        sleep(after).await;
                        Err(format!("{at} failed"))
                    }
                    Way::Hangs => pending().await,
                }
            }
        };
        let won = race(0..ways.len(), connect, sleep).await;
        (won, passed(), begun.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_hangs_costs_its_head_start_only() {
        let ways = [Way::Hangs, Way::Connects(5 * MS), Way::Connects(MS)];
        let (won, after, begun) = ran(&ways).await;
        assert_eq!(won.expect("the second listens"), 1);
        assert_eq!(after, HEAD_START + 5 * MS);
        assert_eq!(begun, [(0, Duration::ZERO), (1, HEAD_START)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_begins_at_once_when_one_fails() {
        let ways = [Way::Fails(3 * MS), Way::Fails(MS), Way::Connects(MS)];
        let (won, after, _) = ran(&ways).await;
        assert_eq!((won.expect("the third listens"), after), (2, 5 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_connects_is_taken_even_if_it_began_first_and_is_slow() {
        let ways = [Way::Connects(250 * MS), Way::Connects(400 * MS), Way::Hangs];
        let (won, after, begun) = ran(&ways).await;
        assert_eq!((won.expect("the first listens"), after), (0, 250 * MS));
        assert_eq!(begun.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_late_does_not_stop_those_beside_it() {
        let ways = [Way::Fails(150 * MS), Way::Connects(400 * MS)];
        let (won, after, _) = ran(&ways).await;
        assert_eq!((won.expect("the second listens"), after), (1, 500 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_fail_the_last_error_is_told() {
        let ways = [Way::Fails(150 * MS), Way::Fails(MS)];
        let (won, after, _) = ran(&ways).await;
        assert_eq!(won, Err(Some("0 failed".to_owned())));
        assert_eq!(after, 150 * MS);
        let (won, ..) = ran(&[]).await;
        assert_eq!(won, Err(None), "there is nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_address_needs_no_timer() {
        let connect = |_| ready(Ok::<_, ()>(()));
        let pause = |_| -> std::future::Ready<()> { panic!("nobody waits") };
        race([()], connect, pause).await.expect("it listens");
    }
}
