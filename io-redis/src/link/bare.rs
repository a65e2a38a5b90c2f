//! The keys whose releases name nothing but their lock, and so hand nothing on: one that names more
//! was refused.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{Instant, Key};

use crate::protocol::decode::Signal;

/// For how long after the refusal: a slot of a cluster moves for longer than that of one key.
const KEPT: Duration = Duration::from_secs(5);

/// Until when releases of which keys name their lock alone, and whether it is for one of them only.
/// The refusals of the last seconds bound how many there are.
#[derive(Debug, Default)]
pub(crate) struct Bare(BTreeMap<Key, (Instant, bool)>);

impl Bare {
    /// Whether a release of this key must name its lock alone.
    pub(crate) fn contains(&self, key: &Key, now: Instant) -> bool {
        let kept = |(until, _): &(Instant, bool)| now < *until;
        !self.0.is_empty() && self.0.get(key).is_some_and(kept)
    }

    /// Takes what the reply to a release of this key alone says.
    // Law: Fairness
    pub(crate) fn note(&mut self, key: &Key, signal: Option<&Signal>, now: Instant) {
        match signal {
            Some(Signal::BareReleases) => {
                self.0.insert(key.clone(), (now + KEPT, false));
            }
            // The right may be back by the next release.
            Some(Signal::BareRelease) => {
                self.0.entry(key.clone()).or_insert((now + KEPT, true));
            }
            Some(Signal::FullReleases) => {
                self.0.remove(key);
            }
            Some(Signal::Served) if self.0.get(key).is_some_and(|(_, once)| *once) => {
                self.0.remove(key);
            }
            _ => {}
        }
    }

    /// Forgets what was not refused lately.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, (until, _)| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(signals: &[Signal]) -> bool {
        let (mut bare, key) = (Bare::default(), Key::new(*b"k"));
        for signal in signals {
            bare.note(&key, Some(signal), Instant::ORIGIN);
        }
        bare.contains(&key, Instant::ORIGIN)
    }

    #[test]
    fn a_rejected_key_is_bare_until_it_is_served_and_a_moving_one_longer() {
        use Signal::{BareRelease, BareReleases, FullReleases, Served};
        assert!(bare(&[BareRelease]));
        assert!(!bare(&[BareRelease, Served]));
        assert!(!bare(&[BareRelease, FullReleases]));
        assert!(bare(&[BareReleases, Served]));
        assert!(bare(&[BareReleases, BareRelease, Served]));
        assert!(!bare(&[BareReleases, FullReleases]));
    }

    #[test]
    fn a_refusal_of_one_key_says_nothing_of_another_and_is_forgotten() {
        let (mut bare, key) = (Bare::default(), Key::new(*b"k"));
        bare.note(&key, Some(&Signal::BareReleases), Instant::ORIGIN);
        assert!(!bare.contains(&Key::new(*b"l"), Instant::ORIGIN));
        let end = Instant::ORIGIN + KEPT;
        assert!(!bare.contains(&key, end));
        bare.forget(end);
        assert!(bare.0.is_empty());
    }
}
