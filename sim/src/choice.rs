//! Where every decision of a run comes from: a seed, bytes that something else searches through and
//! shrinks, or numbers that an enumerator goes through.
//!
//! Zero is always the calm choice (no fault, no new operation, the first), and what has run out of bytes
//! answers zero: so a shorter input is a calmer run.

use std::sync::Arc;

use tenure_core::Rng;

/// A stream of decisions.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    /// What was decided so far; if it is written down.
    written: Option<Vec<Decision>>,
}

/// What was decided, and among how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The choice; less than `bound`.
    pub number: u64,
    /// How many choices there were; at least two.
    pub bound: u64,
}

impl Decision {
    /// As few bytes as carry the number, so that each byte matters to who searches.
    const fn width(bound: u64) -> usize {
        (64 - (bound - 1).leading_zeros()).div_ceil(8) as usize
    }

    /// Bytes that [decide](Choices::from_bytes) the same; without the zeros at their end.
    #[must_use]
    pub fn to_bytes(decisions: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for decision in decisions {
            let number = decision.number.to_be_bytes();
            bytes.extend_from_slice(&number[8 - Self::width(decision.bound)..]);
        }
        let len = bytes.iter().rposition(|byte| *byte != 0);
        bytes.truncate(len.map_or(0, |last| last + 1));
        bytes
    }
}

#[derive(Clone, Debug)]
enum Source {
    Seed(Rng),
    Bytes { bytes: Arc<[u8]>, next: usize },
    Numbers { numbers: Arc<[u64]>, next: usize },
}

impl Choices {
    /// Decisions drawn from a seed; they never end.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self {
            source: Source::Seed(Rng::new(seed)),
            written: None,
        }
    }

    /// Decisions read from bytes, and zeros behind their end.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            source: Source::Bytes {
                bytes: bytes.into(),
                next: 0,
            },
            written: None,
        }
    }

    /// These decisions, one number each, and zeros behind their end.
    #[must_use]
    pub fn from_numbers(numbers: &[u64]) -> Self {
        Self {
            source: Source::Numbers {
                numbers: numbers.into(),
                next: 0,
            },
            written: None,
        }
    }

    /// The same decisions, which are written down as they are taken from now on.
    #[must_use]
    pub fn written_down(mut self) -> Self {
        self.written = Some(Vec::new());
        self
    }

    /// What was decided. Empty if nothing was [written down](Self::written_down).
    #[must_use]
    pub fn into_decisions(self) -> Vec<Decision> {
        self.written.unwrap_or_default()
    }

    /// A number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.decide(bound, false)
    }

    /// A number below `bound` of which the largest is the calm one: what decides nothing is that.
    pub fn below_calmly(&mut self, bound: u64) -> u64 {
        self.decide(bound, true)
    }

    /// Draws or reads a decision. The largest number may be the calm one: then that is the decision zero.
    fn decide(&mut self, bound: u64, largest_is_calm: bool) -> u64 {
        if bound <= 1 {
            return 0;
        }
        let turned = |number: u64| {
            if largest_is_calm {
                bound - 1 - number
            } else {
                number
            }
        };
        let number = match &mut self.source {
            // The high half of the product is uniform enough, and needs no division. What is drawn is the
            // number itself.
            Source::Seed(rng) => {
                turned(((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64)
            }
            Source::Bytes { bytes, next } => {
                let mut number = 0;
                for _ in 0..Decision::width(bound) {
                    number = number << 8 | u64::from(bytes.get(*next).copied().unwrap_or(0));
                    *next += 1;
                }
                number % bound
            }
            Source::Numbers { numbers, next } => {
                let number = numbers.get(*next).copied().unwrap_or(0);
                *next += 1;
                number % bound
            }
        };
        if let Some(written) = &mut self.written {
            written.push(Decision { number, bound });
        }
        turned(number)
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A number from `low` to `high` whose magnitude is drawn first, so that small ones are as
    /// likely as large ones. `low` must not be zero.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let doublings = u64::from((high / low.max(1)).max(1).ilog2());
        let from = low << self.below(doublings + 1);
        self.within(from, (from * 2).min(high).max(from))
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1_000) >= 1_000 - u64::from(per_mille.min(1_000))
    }

    /// One of these; the first is the calm one.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
