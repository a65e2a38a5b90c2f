//! A smaller scenario that still fails.
//!
//! All that was decided in a run is written down as bytes, and zero is the calm choice. So pieces of the
//! bytes are left out or set to zero, large ones first, for as long as what comes of it still fails and is
//! smaller: fewer facts, then fewer bytes, then fewer that are not zero.

use crate::choice::{Choices, Decision};
use crate::world::{Outside, Report, Scenario, run_at_most};

/// A scenario that fails.
#[derive(Debug)]
pub struct Failing {
    /// What decides all in it.
    pub bytes: Vec<u8>,
    /// What came of it.
    pub report: Report,
    /// How many worlds were run to find it.
    pub runs: u64,
}

impl Failing {
    fn of(
        choices: Choices,
        outside: Option<Outside>,
        most: u64,
        fails: &dyn Fn(&Report) -> bool,
    ) -> Option<Self> {
        let scenario = Scenario::from_choices(choices.written_down(), outside);
        let report = run_at_most(&scenario, most);
        let bytes = Decision::to_bytes(&report.decisions);
        fails(&report).then_some(Self {
            bytes,
            report,
            runs: 1,
        })
    }

    fn size(&self) -> (u64, usize, usize) {
        let choices = self.bytes.iter().filter(|byte| **byte != 0).count();
        (self.report.facts, self.bytes.len(), choices)
    }
}

/// Makes what these choices decide smaller, in at most `runs` worlds. None if it does not fail. Each
/// scenario on the way is told.
pub fn shrink(
    choices: Choices,
    outside: Option<Outside>,
    runs: u64,
    fails: &dyn Fn(&Report) -> bool,
    told: &mut dyn FnMut(&Failing),
) -> Option<Failing> {
    let mut best = Failing::of(choices, outside, u64::MAX, fails)?;
    told(&best);
    loop {
        let before = best.size();
        let mut piece = best.bytes.len().div_ceil(2).max(1);
        loop {
            pass(&mut best, piece, outside, runs, fails, told);
            if piece == 1 || best.runs >= runs {
                break;
            }
            piece = piece.min(best.bytes.len().max(1)).div_ceil(2);
        }
        if best.size() == before || best.runs >= runs {
            return Some(best);
        }
    }
}

/// Tries each piece of this length, from the end: what comes late decides less.
fn pass(
    best: &mut Failing,
    piece: usize,
    outside: Option<Outside>,
    runs: u64,
    fails: &dyn Fn(&Report) -> bool,
    told: &mut dyn FnMut(&Failing),
) {
    let mut end = best.bytes.len();
    while end > 0 && best.runs < runs {
        let from = end.saturating_sub(piece);
        for way in [Way::Without, Way::Zero, Way::Half] {
            let Some(bytes) = way.apply(&best.bytes, from, end) else {
                continue;
            };
            best.runs += 1;
            // A longer story would not be taken, so it is not told to its end.
            let most = best.report.facts;
            let other = Failing::of(Choices::from_bytes(&bytes), outside, most, fails);
            if let Some(other) = other
                && other.size() < best.size()
            {
                let runs = best.runs;
                *best = Failing { runs, ..other };
                told(best);
                break;
            }
        }
        end = from.min(best.bytes.len());
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
