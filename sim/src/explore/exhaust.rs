//! Runs a small world with all combinations of decisions within a scope.
//!
//! Seeds find what is likely; this misses nothing within the scope. The scope is needed, since the
//! number of combinations grows without end. It bounds how many decisions of a run are other than
//! calm, how far into the run they are, and how many answers of each are tried. (Musuvathi and
//! Qadeer bound the pre-emptions of a schedule for the same reason, in "Iterative Context
//! Bounding", 2007: most bugs need few.)
//!
//! ```
//! use tenure_sim::choice::{Choices, Subject};
//! use tenure_sim::explore::exhaust::{Scope, every};
//!
//! let mut seen = Vec::new();
//! let scope = Scope { changes: 1, first: 0, decisions: 2, answers: 3 };
//! let runs = every(scope, &mut |mut choices: Choices| {
//!     let mut draws = choices.about(Subject::World);
//!     seen.push((draws.below(3), draws.below(2)));
//!     Some(choices.into_decisions())
//! });
//! assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (2, 0)]);
//! assert_eq!(runs, 4);
//! ```

use crate::choice::{Choices, Decision};

/// Which combinations are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// At most how many decisions of a run are other than zero.
    pub changes: usize,
    /// How many decisions come before those that are tried; they are zero.
    pub first: usize,
    /// How many decisions are tried; later ones are zero.
    pub decisions: usize,
    /// A decision with up to so many answers gets each of them. One with more gets zero or the
    /// largest.
    pub answers: u64,
}

/// A decision on the path to the next run.
#[derive(Clone, Copy)]
struct Turn {
    answer: u64,
    bound: u64,
}

impl Turn {
    /// The answer after this one.
    fn next(self, scope: Scope) -> Option<Self> {
        let last = self.bound - 1;
        let answer = if self.bound <= scope.answers {
            self.answer + 1
        } else {
            last
        };
        (self.answer < last).then_some(Self { answer, ..self })
    }
}

/// Calls `run` for each combination in the scope, the calmest first, and returns how many there
/// were.
///
/// `run` gets the choices, and returns [the decisions that it took](Choices::into_decisions). It
/// must take the same ones each time it gets the same choices. None ends the search.
pub fn every(scope: Scope, run: &mut dyn FnMut(Choices) -> Option<Vec<Decision>>) -> u64 {
    let mut path: Vec<Turn> = Vec::new();
    let mut runs = 0;
    loop {
        let numbers: Vec<u64> = path.iter().map(|turn| turn.answer).collect();
        runs += 1;
        let Some(taken) = run(Choices::from_numbers(&numbers).written_down()) else {
            return runs;
        };
        let end = scope.first.saturating_add(scope.decisions);
        for decision in taken.iter().take(end).skip(path.len()) {
            let early = path.len() < scope.first;
            path.push(Turn {
                answer: 0,
                bound: if early { 1 } else { decision.bound },
            });
        }
        // The last decision with an answer left gets it, and those behind it begin with zero again.
        let mut changes = path.iter().filter(|turn| turn.answer > 0).count();
        loop {
            let Some(turn) = path.pop() else {
                return runs;
            };
            changes -= usize::from(turn.answer > 0);
            if changes < scope.changes
                && let Some(next) = turn.next(scope)
            {
                path.push(next);
                break;
            }
        }
    }
}
