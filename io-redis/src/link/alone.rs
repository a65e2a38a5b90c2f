//! The keys that are asked for alone: a call that they shared would be refused because of them.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{Doubt, Instant, Key, Refusal, Reply};

/// For how long after its last refusal a key is asked for alone.
const KEPT: Duration = Duration::from_secs(60);
/// How many such keys are known at most. With more, some calls are refused for all that share them.
// Law: Bounded work
const MOST: usize = 64;

/// The keys that were refused when they were asked for alone, and when that was last.
#[derive(Debug, Default)]
pub(crate) struct Alone(BTreeMap<Key, Instant>);

impl Alone {
    /// Whether requests about this key must not share a call.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        !self.0.is_empty() && self.0.contains_key(key)
    }

    /// Takes the reply to a call that was about this key alone.
    pub(crate) fn note(&mut self, key: &Key, reply: &Reply, now: Instant) {
        let refused = matches!(
            reply,
            Reply::NotApplied(Refusal::Rejected(_)) | Reply::Unknown(Doubt::Said(_))
        );
        if !refused {
            // The rights may have been given meanwhile.
            if !self.0.is_empty() && matches!(reply, Reply::Applied(_)) {
                self.0.remove(key);
            }
            return;
        }
        self.forget(now);
        if self.0.len() < MOST || self.0.contains_key(key) {
            self.0.insert(key.clone(), now);
        }
    }

    /// Forgets what was not refused lately.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, refused| *refused + KEPT > now);
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{Answer, Words};

    use super::*;

    fn rejected() -> Reply {
        Reply::NotApplied(Refusal::Rejected(Words::fixed("NOPERM")))
    }

    #[test]
    fn a_key_is_forgotten_when_it_is_served_or_some_time_has_passed() {
        let (mut alone, key) = (Alone::default(), Key::new(*b"k"));
        let now = Instant::ORIGIN;
        alone.note(&key, &Reply::NotApplied(Refusal::NotSent), now);
        assert!(!alone.contains(&key), "nobody refused it");
        alone.note(&key, &rejected(), now);
        alone.note(&key, &Reply::Unknown(Doubt::Silent), now);
        assert!(alone.contains(&key));
        alone.note(&key, &Reply::Applied(Answer::Done), now);
        assert!(!alone.contains(&key));
        alone.note(&key, &rejected(), now);
        alone.forget(now + KEPT - Duration::from_nanos(1));
        assert!(alone.contains(&key));
        alone.forget(now + KEPT);
        assert!(!alone.contains(&key));
    }

    #[test]
    fn there_are_few_of_them() {
        let mut alone = Alone::default();
        let key = |number: usize| Key::new(number.to_be_bytes());
        for number in 0..2 * MOST {
            alone.note(&key(number), &rejected(), Instant::ORIGIN);
        }
        assert_eq!(alone.0.len(), MOST);
        assert!(alone.contains(&key(0)));
        let later = Instant::ORIGIN + KEPT;
        alone.note(&key(MOST), &rejected(), later);
        assert_eq!(alone.0.len(), 1, "the old ones make room");
    }
}
