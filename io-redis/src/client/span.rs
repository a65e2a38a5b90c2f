//! The span of an acquire: from the call for a lock to its answer. It is never entered: whoever
//! enters a span leaves it too, in the caller's task, and a panic of the subscriber's could not be
//! kept from that. It begins and ends, and its fields are written, behind [`contained`].

use tenure_core::{Instant, Key};
use tracing::{Span, debug_span, field};

use crate::client::outcome::Outcome;
use crate::log_target::{LOG_TARGET, contained};
use crate::runtime::Clock;

/// See the module.
#[derive(Debug)]
pub(crate) struct AcquireSpan {
    span: Span,
    asked: Instant,
    attempts: u32,
    /// Where it was in a queue when it was told so last.
    ahead: Option<u32>,
}

impl AcquireSpan {
    /// Begins inside the span that the caller is in. None if nobody listens. A subscriber is code
    /// of the program, so no lock may be held.
    pub(crate) fn begin(clock: &dyn Clock, key: &Key) -> Option<Self> {
        let mut span = Span::none();
        contained(|| {
            span = debug_span!(
                target: LOG_TARGET,
                "acquire",
                ?key,
                attempts = field::Empty,
                ahead = field::Empty,
                waited_ms = field::Empty,
                outcome = field::Empty,
            );
        });
        (!span.is_disabled()).then(|| Self {
            span,
            asked: clock.now(),
            attempts: 0,
            ahead: None,
        })
    }

    /// Notes how many attempts were begun, and how many places are ahead if it was told.
    pub(crate) fn note(&mut self, attempts: u32, ahead: Option<u32>) {
        self.attempts = attempts;
        self.ahead = ahead.or(self.ahead);
    }

    /// Ends. No lock may be held.
    pub(crate) fn end(self, now: Instant, outcome: Outcome) {
        let waited = now.saturating_since(self.asked).as_millis();
        contained(|| {
            self.span.record("attempts", self.attempts);
            if let Some(ahead) = self.ahead {
                self.span.record("ahead", ahead);
            }
            let waited = u64::try_from(waited).unwrap_or(u64::MAX);
            self.span.record("waited_ms", waited);
            self.span.record("outcome", outcome.name());
        });
    }
}

impl Drop for AcquireSpan {
    fn drop(&mut self) {
        let span = std::mem::replace(&mut self.span, Span::none());
        contained(|| drop(span));
    }
}
