//! The decisions of a run. They come from a seed, from bytes that a fuzzer or the shrinker changes,
//! or from numbers that an enumerator goes through.
//!
//! Zero is always the calm choice: no fault, no new operation, the first of a list. Input that has
//! run out yields zero, so a shorter input is a calmer run.
//!
//! # Subjects
//!
//! Each decision has a [`Subject`], and each subject has decisions of its own. What one subject
//! draws changes no other: a new kind of fault or request leaves the rest of the world of a seed as
//! it was.
//!
//! - From a seed, each subject has a generator of its own, whose seed also depends on the name of
//!   the subject, and on nothing else.
//! - Bytes are records: the place of a subject, a length, and so many bytes for that subject.
//!   Places are counted modulo 64; bytes for a place that no subject has are left out.
//! - Numbers are one list for all subjects, in the order in which they decide: an enumerator goes
//!   through one world at a time, and needs no more.

use std::sync::Arc;

use tenure_core::{OpKind, Rng};

use crate::observe::fact::Fault;

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// What the world is, before anything happens.
    World,
    /// The jitter of the cores, and where a process pauses while it drives one.
    Core,
    /// What clocks show, and at which rate they go.
    Clocks,
    /// What applications do.
    Application,
    /// When links connect.
    Links,
    /// How pushes travel.
    Pushes,
    /// How messages of this kind travel, both ways.
    Messages(OpKind),
    /// A kind of fault: whether it exists, when it strikes, whom, and for how long.
    Fault(Fault),
}

/// How many places there are for subjects.
const PLACES: usize = 64;
/// Where messages and faults have their places; those before are for the rest.
const MESSAGES: usize = 6;
const FAULTS: usize = 16;

const _: () = assert!(OpKind::ALL.len() <= FAULTS - MESSAGES);
const _: () = assert!(Fault::ALL.len() <= PLACES - FAULTS);

impl Subject {
    const fn place(self) -> usize {
        match self {
            Self::World => 0,
            Self::Core => 1,
            Self::Clocks => 2,
            Self::Application => 3,
            Self::Links => 4,
            Self::Pushes => 5,
            Self::Messages(kind) => MESSAGES + kind as usize,
            Self::Fault(fault) => FAULTS + fault as usize,
        }
    }

    /// On which its seed depends.
    fn name(self) -> String {
        format!("{self:?}")
    }

    fn all() -> impl Iterator<Item = Self> {
        let single = [
            Self::World,
            Self::Core,
            Self::Clocks,
            Self::Application,
            Self::Links,
            Self::Pushes,
        ];
        let messages = OpKind::ALL.iter().map(|kind| Self::Messages(*kind));
        let faults = Fault::ALL.iter().map(|fault| Self::Fault(*fault));
        single.into_iter().chain(messages).chain(faults)
    }

    /// The generator of this subject. Its seed is the run's, mixed with the name (FNV-1a).
    fn generator(self, seed: u64) -> Rng {
        let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
        for byte in self.name().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        Rng::new(Rng::new(seed).next_u64() ^ hash)
    }
}

/// The decisions of a run.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    /// The decisions so far, if they are written down.
    written: Option<Vec<Decision>>,
}

/// One decision, and among how many choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it was about.
    pub subject: Subject,
    /// The choice; less than `bound`.
    pub number: u64,
    /// How many choices there were; at least two.
    pub bound: u64,
}

impl Decision {
    /// As few bytes as carry the number, so that each byte matters to a fuzzer.
    const fn width(bound: u64) -> usize {
        (64 - (bound - 1).leading_zeros()).div_ceil(8) as usize
    }
}

/// Bytes that decide a run, for each subject its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    parts: [Vec<u8>; PLACES],
}

impl Default for Input {
    fn default() -> Self {
        Self {
            parts: [const { Vec::new() }; PLACES],
        }
    }
}

impl Input {
    /// The records in these bytes. The last may be cut short.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Self {
        let mut input = Self::default();
        while let [place, len, rest @ ..] = bytes {
            let (part, rest) = rest.split_at(rest.len().min(usize::from(*len)));
            input.parts[usize::from(*place) % PLACES].extend_from_slice(part);
            bytes = rest;
        }
        input
    }

    /// What decides the same as these decisions did.
    #[must_use]
    pub fn of(decisions: &[Decision]) -> Self {
        let mut input = Self::default();
        for decision in decisions {
            let number = decision.number.to_be_bytes();
            let bytes = &number[8 - Decision::width(decision.bound)..];
            input.parts[decision.subject.place()].extend_from_slice(bytes);
        }
        input.parts.iter_mut().for_each(trim);
        input
    }

    /// Its records.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            for chunk in part.chunks(usize::from(u8::MAX)) {
                bytes.extend([place as u8, chunk.len() as u8]);
                bytes.extend_from_slice(chunk);
            }
        }
        bytes
    }

    /// The bytes of each subject.
    pub(crate) const fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }

    /// The same with other bytes in one place, without the zeros at their end.
    pub(crate) fn with(&self, place: usize, mut part: Vec<u8>) -> Self {
        trim(&mut part);
        let mut other = self.clone();
        other.parts[place] = part;
        other
    }
}

/// Zeros at the end decide what nothing decides.
fn trim(part: &mut Vec<u8>) {
    let len = part.iter().rposition(|byte| *byte != 0);
    part.truncate(len.map_or(0, |last| last + 1));
}

#[derive(Clone, Debug)]
enum Source {
    Seed(Box<[Rng; PLACES]>),
    Bytes {
        input: Arc<Input>,
        next: Box<[usize; PLACES]>,
    },
    Numbers {
        numbers: Arc<[u64]>,
        next: usize,
    },
}

impl Choices {
    /// Decisions drawn from a seed; they never end.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut generators = Box::new([const { Rng::new(0) }; PLACES]);
        for subject in Subject::all() {
            generators[subject.place()] = subject.generator(seed);
        }
        Self::new(Source::Seed(generators))
    }

    /// Decisions read from the records in these bytes, and zeros behind the end of each subject.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_input(Input::from_bytes(bytes))
    }

    /// Decisions read from the bytes of each subject, and zeros behind their end.
    #[must_use]
    pub fn from_input(input: Input) -> Self {
        Self::new(Source::Bytes {
            input: Arc::new(input),
            next: Box::new([0; PLACES]),
        })
    }

    /// These decisions, one number each, and zeros behind their end.
    #[must_use]
    pub fn from_numbers(numbers: &[u64]) -> Self {
        Self::new(Source::Numbers {
            numbers: numbers.into(),
            next: 0,
        })
    }

    const fn new(source: Source) -> Self {
        Self {
            source,
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

    /// The decisions about a subject.
    pub const fn about(&mut self, subject: Subject) -> Draws<'_> {
        Draws {
            choices: self,
            subject,
        }
    }

    fn next(&mut self, subject: Subject, bound: u64) -> u64 {
        let place = subject.place();
        match &mut self.source {
            // The high half of the product is uniform enough, and needs no division.
            Source::Seed(generators) => {
                let drawn = generators[place].next_u64();
                ((u128::from(drawn) * u128::from(bound)) >> 64) as u64
            }
            Source::Bytes { input, next } => {
                let (part, next) = (&input.parts[place], &mut next[place]);
                let mut number = 0;
                for _ in 0..Decision::width(bound) {
                    number = number << 8 | u64::from(part.get(*next).copied().unwrap_or(0));
                    *next += 1;
                }
                number % bound
            }
            Source::Numbers { numbers, next } => {
                let number = numbers.get(*next).copied().unwrap_or(0);
                *next += 1;
                number % bound
            }
        }
    }
}

/// The decisions about one subject.
#[derive(Debug)]
pub struct Draws<'a> {
    choices: &'a mut Choices,
    subject: Subject,
}

impl Draws<'_> {
    /// A number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound <= 1 {
            return 0;
        }
        let (subject, number) = (self.subject, self.choices.next(self.subject, bound));
        if let Some(written) = &mut self.choices.written {
            written.push(Decision {
                subject,
                number,
                bound,
            });
        }
        number
    }

    /// Draws below `bound`. The largest value is calm, and exhausted input yields it.
    pub fn below_calmly(&mut self, bound: u64) -> u64 {
        bound.saturating_sub(1) - self.below(bound)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ten(choices: &mut Choices, subject: Subject) -> Vec<u64> {
        (0..10).map(|_| choices.about(subject).below(100)).collect()
    }

    #[test]
    fn what_one_subject_draws_changes_no_other() {
        let bytes: Vec<u8> = (0..PLACES as u8)
            .flat_map(|place| [&[place, 20][..], &[place + 1; 20]].concat())
            .collect();
        for choices in [Choices::from_seed(7), Choices::from_bytes(&bytes)] {
            for subject in Subject::all() {
                let alone = ten(&mut choices.clone(), subject);
                let mut all = choices.clone();
                for other in Subject::all().filter(|other| *other != subject) {
                    ten(&mut all, other);
                }
                assert_eq!(ten(&mut all, subject), alone, "{subject:?}");
            }
        }
    }

    /// So a new row in the middle of a list leaves the others what they draw.
    #[test]
    fn what_a_subject_draws_depends_on_its_name_alone() {
        let mut seeds: Vec<_> = Subject::all().map(|it| it.generator(7)).collect();
        assert_eq!(seeds[0], Subject::World.generator(7));
        seeds.sort_by_key(|rng| rng.clone().next_u64());
        seeds.dedup();
        assert_eq!(seeds.len(), Subject::all().count(), "each has its own");
        assert_eq!(Subject::Fault(Fault::Slow).name(), "Fault(Slow)");
        assert_eq!(Subject::Messages(OpKind::Renew).name(), "Messages(Renew)");
    }

    #[test]
    fn each_subject_has_a_place_of_its_own() {
        let mut places: Vec<_> = Subject::all().map(Subject::place).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), Subject::all().count());
    }

    #[test]
    fn an_input_is_the_same_from_its_bytes_and_from_its_decisions() {
        let mut choices = Choices::from_seed(3).written_down();
        for subject in Subject::all() {
            for bound in [2, 300, 70_000, u64::MAX] {
                choices.about(subject).below(bound);
            }
            // More than a record holds.
            for _ in 0..200 {
                choices.about(subject).below(1_000);
            }
        }
        let decisions = choices.into_decisions();
        let input = Input::of(&decisions);
        assert_eq!(Input::from_bytes(&input.to_bytes()), input);
        let mut again = Choices::from_input(input);
        for decision in decisions {
            let number = again.about(decision.subject).below(decision.bound);
            assert_eq!(number, decision.number);
        }
    }
}
