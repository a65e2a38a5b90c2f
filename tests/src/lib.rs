//! What Tenure's correctness suite stands on, and where its suites are.
//!
//! The suites, each a binary in `tests/`:
//!
//! - `adapter`: the real adapter and redis-rs on simulated time, against embedded servers.
//! - `turmoil`: the same over a simulated network, where each process is a host of its own.
//! - `live`: all that needs a real server. Its module `tools` tests the tools of [`live`].
//! - `model_node`: the model of a node against the adapter's scripts.
//! - `transcripts`: scenes to read, in `transcripts/`.
//! - `metrics`: what is counted and measured, and that the documents say so.
//! - `users_code`: how a program that uses locks is tested.
//! - `fuzz_seeds`: the fuzz targets on their committed inputs.
//! - `planted`: takes one protection after another away, each by a patch in `planted/`, and demands
//!   that the test which the patch names fails.
//! - `tidy`: what a program can check of how the repository is kept.
//!
//! What they share is here:
//!
//! - [`witness`] watches programs that use the adapter, and tells facts to the judge. [`rivals`] is
//!   such a program, and [`chaos`] makes the faults of its bad days.
//! - [`live`]: real servers that a test starts, kills and pauses, and a proxy that loses what it is
//!   told to lose.
//! - [`conformance`]: the same commands to a real server and to the embedded one of `tenure-sim`.
//! - `metered` (feature `metrics`): what a client told the `metrics` facade.
//! - [`soak`]: an hour of locks and faults on a real server, which the program `soak` plays.
//! - [`scripts`]: the adapter's Lua texts.
//! - [`tree`]: the files of the repository. [`variables`]: numbers from the environment.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chaos;
pub mod conformance;
pub mod live;
#[cfg(feature = "metrics")]
pub mod metered;
pub mod rivals;
pub mod scripts;
pub mod soak;
pub mod tree;
pub mod variables;
pub mod witness;

/// The code in the repository's README, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
