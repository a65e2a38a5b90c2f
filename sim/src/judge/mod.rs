//! The judge: it hears the facts of a run in the order of true time, and checks the laws at each.
//!
//! It knows true time, so it can compare intervals and needs no search through possible histories.
//! It demands a law only where the assumptions of that law hold. [`Rules`] say which assumptions a
//! world keeps. A fault that breaks one excuses what may follow, for a limited time.
//!
//! - `hear` passes each fact to the parts that check it.
//! - `validity` checks until when holders may act: Exclusion, Honest validity, No resurrection and
//!   Loss is told.
//! - `fences` checks the fences, and the resource behind the lock: Fencing.
//! - `nodes` checks the keys at the nodes: Ownership and No orphan.
//! - `debts` checks the releases that are owed to the nodes: No orphan and Loss is told.
//! - `queues` checks who is next in line, and when: Fairness, Progress and No orphan.
//! - `doubts` checks whether a loss is told that a node has pushed: Loss is told.
//! - `recall` checks whether a node that comes up is asked again: Progress.
//! - `work` counts requests, failures and waiting times: Bounded work and Progress.
//! - `excuses` keeps until when faults excuse what they break.
//! - `state` is what the judge knows, and `rules` is what is demanded of it.
//!
//! Replay is not checked here: tests run a world twice and compare the hashes of all facts.

mod debts;
mod doubts;
mod excuses;
mod fences;
mod hear;
mod nodes;
mod queues;
mod recall;
mod rules;
mod state;
mod validity;
mod work;

pub use rules::{Checks, Rules, Violation};
pub use state::Judge;
pub use tenure_core::Law;
