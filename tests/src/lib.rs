//! What Tenure's correctness suite stands on. The tests themselves are in `tests/`.
//!
//! - [`live`]: real servers that a test starts, kills and pauses, and a proxy that loses what it is
//!   told to lose. The suite `live` holds the laws against them; without a server it is left out,
//!   or fails where `TENURE_REQUIRE_LIVE` is set. Its module `tools` tests the proxy and the
//!   servers.
//! - [`conformance`]: the same commands to a real server and to the embedded one of `tenure-sim`.
//!   It is what makes the suite `adapter`, which runs on simulated time, worth something.
//! - [`scripts`]: the adapter's Lua texts, seen from outside.
//!
//! The suite `planted` checks the checks: it takes one protection after another away, each by a
//! patch in `planted/`, and wants the test that the patch names to fail.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chaos;
pub mod conformance;
pub mod live;
pub mod rivals;
pub mod scripts;
pub mod tree;
pub mod witness;

/// The code in the repository's README, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
