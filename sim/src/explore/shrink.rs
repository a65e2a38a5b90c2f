//! Looks for a smaller scenario that still fails.
//!
//! The decisions of a run are written down as bytes, those of each subject apart, and zero is the
//! calm choice. Pieces of the bytes are left out or set to zero, large ones first. A change is kept
//! if the world still fails and is smaller: it has fewer facts, or as many from fewer bytes, or
//! from fewer bytes that are not zero.

use crate::choice::{Choices, Input};
use crate::world::{Assumption, Report, Scenario, run_at_most};

/// A scenario that fails.
#[derive(Debug)]
pub struct Failing {
    /// What decides all in it.
    pub input: Input,
    /// What came of it.
    pub report: Report,
    /// How many worlds were run to find it.
    pub runs: u64,
}

impl Failing {
    fn of(
        choices: Choices,
        broken: Option<Assumption>,
        most: u64,
        fails: &dyn Fn(&Report) -> bool,
    ) -> Option<Self> {
        let scenario = Scenario::from_choices(choices.written_down(), broken);
        let report = run_at_most(&scenario, most);
        let input = Input::of(&report.decisions);
        fails(&report).then_some(Self {
            input,
            report,
            runs: 1,
        })
    }

    fn size(&self) -> (u64, usize, usize) {
        let bytes = self.input.parts().iter().flatten();
        let choices = bytes.clone().filter(|byte| **byte != 0).count();
        (self.report.facts, bytes.count(), choices)
    }

    /// The most bytes that a subject has.
    fn longest(&self) -> usize {
        self.input.parts().iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// A search for something smaller.
struct Search<'a> {
    broken: Option<Assumption>,
    runs: u64,
    fails: &'a dyn Fn(&Report) -> bool,
    told: &'a mut dyn FnMut(&Failing),
}

/// Looks for a smaller scenario than these choices decide, in at most `runs` worlds. `told` hears
/// of each on the way. None if the first does not fail.
pub fn shrink(
    choices: Choices,
    broken: Option<Assumption>,
    runs: u64,
    fails: &dyn Fn(&Report) -> bool,
    told: &mut dyn FnMut(&Failing),
) -> Option<Failing> {
    let mut best = Failing::of(choices, broken, u64::MAX, fails)?;
    told(&best);
    let mut search = Search {
        broken,
        runs,
        fails,
        told,
    };
    loop {
        let before = best.size();
        // First all decisions of a subject at once.
        let mut piece = best.longest().max(1);
        loop {
            for place in (0..best.input.parts().len()).rev() {
                search.pass(&mut best, place, piece);
            }
            if piece == 1 || best.runs >= runs {
                break;
            }
            piece = piece.min(best.longest().max(1)).div_ceil(2);
        }
        if best.size() == before || best.runs >= runs {
            return Some(best);
        }
    }
}

impl Search<'_> {
    /// Tries each piece of this length in the bytes of one subject. It goes from the end, since
    /// late decisions matter less.
    fn pass(&mut self, best: &mut Failing, place: usize, piece: usize) {
        let mut end = best.input.parts()[place].len();
        while end > 0 && best.runs < self.runs {
            let from = end.saturating_sub(piece);
            for way in [Way::Without, Way::Zero, Way::Half] {
                let Some(part) = way.apply(&best.input.parts()[place], from, end) else {
                    continue;
                };
                if self.try_one(best, best.input.with(place, part)) {
                    break;
                }
            }
            end = from.min(best.input.parts()[place].len());
        }
    }

    /// Keeps the input if it still fails and is smaller. Returns whether it did.
    fn try_one(&mut self, best: &mut Failing, input: Input) -> bool {
        let runs = best.runs + 1;
        best.runs = runs;
        // A run with more facts would not be kept, so it is stopped.
        let most = best.report.facts;
        let other = Failing::of(Choices::from_input(input), self.broken, most, self.fails);
        let Some(other) = other.filter(|other| other.size() < best.size()) else {
            return false;
        };
        *best = Failing { runs, ..other };
        (self.told)(best);
        true
    }
}

/// What is done to a piece.
#[derive(Clone, Copy)]
enum Way {
    Without,
    Zero,
    /// A single byte that must not be zero may be smaller.
    Half,
}

impl Way {
    fn apply(self, bytes: &[u8], from: usize, end: usize) -> Option<Vec<u8>> {
        let piece = &bytes[from..end];
        let calm = piece.iter().all(|byte| *byte == 0);
        let with: Vec<u8> = match self {
            Self::Without => Vec::new(),
            Self::Zero if !calm => vec![0; piece.len()],
            Self::Half if piece.len() == 1 && piece[0] > 1 => vec![piece[0] / 2],
            Self::Zero | Self::Half => return None,
        };
        Some([&bytes[..from], &with, &bytes[end..]].concat())
    }
}
