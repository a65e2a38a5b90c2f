//! The judge: it hears facts in the order of true time and knows after each whether a law is broken.
//!
//! It knows true time, so it needs no history checker: exclusion is that intervals are disjoint. Each
//! law is demanded only where its assumptions hold; [`Rules`] say which a world keeps, and the faults
//! that the facts tell of excuse what they legitimately break, for as long as they may.
//!
//! - `validity` watches what holders believe: Exclusion, Honest validity, No resurrection, Loss is told.
//! - `fences` watches the fences and the resource behind the lock: Fencing.
//! - `nodes` watches the nodes' keys: Ownership, No orphan.
//! - `debts` watches what is owed to them: No orphan, Loss is told.
//! - `work` watches what is asked and what becomes of it: Bounded work, Progress.
//!
//! There is no queue yet, so nothing watches Fairness; Replay is checked by running twice and
//! comparing the hashes of all facts.

mod debts;
mod excuses;
mod fences;
mod hear;
mod nodes;
mod rules;
mod state;
mod validity;
mod work;

pub use rules::{Checks, Rules, Violation};
pub use state::Judge;
pub use tenure_core::Law;
