//! The secrets of leases. A call of the operating system is dear, so many are drawn at once where
//! many are asked for at once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Instant, Secret};

use crate::runtime::Entropy;

/// For how long a secret may wait until it is used. A copy of this process (of a fork, or of a
/// machine that is begun again from a snapshot) has what waits here too, and a secret must be that
/// of one lease only. So nothing waits for longer than a burst of leases takes.
// Law: Exclusion
const FRESH: Duration = Duration::from_millis(1);

/// How many secrets are drawn at once at most.
const DRAWN: usize = 16;

/// The bytes of a secret.
const LEN: usize = 16;

/// Draws secrets of 128 bits.
pub(super) struct Secrets {
    entropy: Arc<dyn Entropy>,
    drawn: Mutex<Drawn>,
}

struct Drawn {
    bytes: [u8; DRAWN * LEN],
    /// How many bytes are left. What was used is zero.
    left: usize,
    /// When they were drawn.
    at: Instant,
}

impl Secrets {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        let drawn = Drawn {
            bytes: [0; DRAWN * LEN],
            left: 0,
            at: Instant::MIN,
        };
        Self {
            entropy,
            drawn: Mutex::new(drawn),
        }
    }

    /// A secret that is used for nothing else.
    pub(super) fn draw(&self, now: Instant) -> Secret {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = now.saturating_since(drawn.at) < FRESH;
        if !fresh || drawn.left == 0 {
            // One, unless the last draw was a moment ago: then more will be asked for.
            drawn.bytes.fill(0);
            drawn.left = 0;
            drawn.at = now;
            let wanted = if fresh { DRAWN * LEN } else { LEN };
            self.entropy.fill(&mut drawn.bytes[..wanted]);
            // Only now: it may have panicked, and then nothing was drawn.
            drawn.left = wanted;
        }
        drawn.left -= LEN;
        let mut secret = [0; LEN];
        let left = drawn.left;
        secret.swap_with_slice(&mut drawn.bytes[left..left + LEN]);
        Secret::new(secret)
    }
}

impl fmt::Debug for Secrets {
    /// Shows none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("entropy", &self.entropy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;

    /// Each byte is another, and none is zero.
    #[derive(Debug, Default)]
    struct Counts {
        calls: AtomicUsize,
        next: AtomicU8,
    }

    impl Entropy for Counts {
        fn fill(&self, buffer: &mut [u8]) {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let part = self.next.fetch_add(1, Ordering::SeqCst) + 1;
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = (at % 251) as u8 ^ part;
            }
        }
    }

    fn secrets() -> (Secrets, Arc<Counts>) {
        let counts = Arc::<Counts>::default();
        (Secrets::new(Arc::clone(&counts) as _), counts)
    }

    fn calls(counts: &Counts) -> usize {
        counts.calls.load(Ordering::SeqCst)
    }

    #[test]
    fn a_burst_shares_a_draw_and_no_secret_comes_twice() {
        let (secrets, counts) = secrets();
        let now = Instant::ORIGIN;
        let drawn = (0..=2 * DRAWN).map(|_| *secrets.draw(now).expose());
        assert_eq!(drawn.collect::<BTreeSet<_>>().len(), 2 * DRAWN + 1);
        assert_eq!(calls(&counts), 3);
    }

    /// A copy of the process may have drawn them by then.
    #[test]
    fn what_was_drawn_a_moment_ago_is_not_used_any_more() {
        let (secrets, counts) = secrets();
        let mut now = Instant::ORIGIN;
        for _ in 0..3 {
            secrets.draw(now);
        }
        assert_eq!(calls(&counts), 2);
        for after in 0..3 {
            now = now + FRESH;
            secrets.draw(now);
            assert_eq!(calls(&counts), 3 + after, "one for one");
        }
    }

    /// As the operating system, once.
    #[derive(Debug, Default)]
    struct Refuses(AtomicUsize);

    impl Entropy for Refuses {
        fn fill(&self, buffer: &mut [u8]) {
            let call = self.0.fetch_add(1, Ordering::SeqCst);
            assert_ne!(call, 1, "there are no random bytes");
            buffer.fill(call as u8 + 1);
        }
    }

    #[test]
    fn after_a_draw_that_panicked_nothing_is_used_that_was_not_drawn() {
        let secrets = Secrets::new(Arc::new(Refuses::default()));
        let mut draw = || secrets.draw(Instant::ORIGIN);
        assert_eq!(draw().expose(), &[1; LEN]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut draw)).is_err());
        assert_eq!(draw().expose(), &[3; LEN]);
    }

    #[test]
    fn what_was_used_is_kept_nowhere_and_nothing_is_shown() {
        let (secrets, _) = secrets();
        let used = [0; 3].map(|_| secrets.draw(Instant::ORIGIN));
        let drawn = secrets.drawn.lock().expect("no panic");
        for secret in used {
            let mut kept = drawn.bytes.chunks(LEN);
            assert!(kept.all(|kept| kept != secret.expose()));
        }
        assert!(drawn.bytes[drawn.left..].iter().all(|byte| *byte == 0));
        let shown = format!("{secrets:?}");
        assert!(!shown.contains("bytes"), "{shown}");
    }
}
