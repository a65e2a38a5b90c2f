//! A connection to one Sentinel of a group, beside that to its primary: it hears when another
//! server becomes the primary.
//!
//! After a failover that was planned the former primary serves for some seconds more, and says
//! nothing. So a Sentinel pushes. A push only says when to ask; what the Sentinel answers decides.
//! It is also asked now and then, since a connection may have died unnoticed, and not every user
//! may listen.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Patience, Rng, Words};

use crate::link::address::Place;
use crate::link::connect::{Connected, DialError};
use crate::link::sentinels::{Named, Sentinels, asked};
use crate::protocol::sentinel;
use crate::protocol::words::printable;
use crate::runtime::{BoxFuture, Clock, Endpoint};

/// A Sentinel that says nothing is asked after this time, or a little earlier.
const ASK_AFTER: Duration = Duration::from_secs(10);

/// Looks out for another primary.
pub(crate) struct Lookout {
    sentinels: Sentinels,
    /// The primary that is connected to.
    primary: Endpoint,
    clock: Arc<dyn Clock>,
    /// How long a Sentinel may take for an answer.
    within: Duration,
    rng: Rng,
}

/// What came of a connection to a Sentinel.
enum Heard {
    /// It names another primary.
    Switched(Endpoint),
    /// It is of no use any more.
    Lost,
}

impl Lookout {
    pub(crate) fn new(
        sentinels: Sentinels,
        primary: Endpoint,
        clock: Arc<dyn Clock>,
        within: Duration,
        rng: Rng,
    ) -> Self {
        Self {
            sentinels,
            primary,
            clock,
            within,
            rng,
        }
    }

    /// Resolves when another server is the primary, and says which. It begins with the connection
    /// to this Sentinel, the one at this place.
    // Law: Exclusion
    pub(crate) async fn switched(mut self, by: String, connected: Connected) -> Words {
        let mut sentinel = Some((by, connected));
        let mut failures = 0;
        loop {
            if let Some((by, connected)) = sentinel.take() {
                let since = self.clock.now();
                if let Heard::Switched(to) = self.listen(connected).await {
                    return switched(&to, &by);
                }
                // Who answers may hang up right after it, each time.
                if self.clock.now().saturating_since(since) >= Patience::OF_USE {
                    failures = 0;
                }
            }
            failures += 1;
            // Law: Bounded work
            let pauses = Patience::redial(Duration::MAX);
            let pause = pauses.pause(failures, &mut self.rng);
            self.clock.sleep_until(self.clock.now() + pause).await;
            let timer = self.timer();
            let Some(Ok(named)) = bounded(timer, self.sentinels.ask()).await else {
                continue;
            };
            self.sentinels.served();
            let Named {
                endpoint,
                by,
                connected,
            } = named;
            if endpoint != self.primary {
                return switched(&endpoint, &by);
            }
            sentinel = Some((by, connected));
        }
    }

    /// Listens at one Sentinel, for as long as that is of use.
    async fn listen(&mut self, mut connected: Connected) -> Heard {
        let name = Arc::clone(self.sentinels.name());
        let mut letters = Vec::new();
        loop {
            let wait = ASK_AFTER - self.rng.below(ASK_AFTER / 4);
            let mut wait = self.clock.sleep_until(self.clock.now() + wait);
            let lives = poll_fn(|cx| {
                let io = connected.io.as_mut();
                if io.is_some_and(|io| io.as_mut().poll(cx).is_ready()) {
                    return Poll::Ready(false);
                }
                connected.mailbox.take(&mut letters);
                if letters
                    .drain(..)
                    .any(|push| sentinel::is_switch(&push, &name))
                {
                    return Poll::Ready(true);
                }
                wait.as_mut().poll(cx).map(|()| true)
            });
            if !lives.await {
                return Heard::Lost;
            }
            let connection = Arc::clone(&connected.connection);
            let asks = connected.driven(asked(&*connection, &name));
            match bounded(self.timer(), asks).await {
                Some(Ok(endpoint)) if endpoint == self.primary => {}
                Some(Ok(endpoint)) => return Heard::Switched(endpoint),
                Some(Err(_)) | None => return Heard::Lost,
            }
        }
    }

    /// Ends when a Sentinel has taken too long.
    fn timer(&self) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(self.clock.now() + self.within)
    }
}

/// What ends the session with the server that was the primary.
fn switched(to: &Endpoint, by: &str) -> Words {
    let to = Place(to);
    printable(&format!("the primary is {to} now, as Sentinel {by} says"))
}

/// What comes of this before the timer ends.
async fn bounded<T>(
    timer: BoxFuture<'static, ()>,
    asks: impl Future<Output = Result<T, DialError>>,
) -> Option<Result<T, DialError>> {
    match select(pin!(asks), timer).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(_) => None,
    }
}
