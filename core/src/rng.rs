//! A small seeded generator of random numbers, for jitter. Nothing secret is drawn from it.

use core::time::Duration;

/// `SplitMix64` (Steele, Lea, Flood 2014). It is fast, and every seed is good.
// Law: Replay
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rng(u64);

impl Rng {
    /// The generator with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random time below `bound`. Zero if `bound` is zero.
    pub fn below(&mut self, bound: Duration) -> Duration {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        // The high half of the product needs no division, and is uniform enough for jitter.
        Duration::from_nanos(((u128::from(self.next_u64()) * u128::from(nanos)) >> 64) as u64)
    }
}
