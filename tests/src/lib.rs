//! tenure-tests
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod chaos;
pub mod conformance;
pub mod live;
pub mod rivals;
pub mod scripts;
pub mod witness;

/// The code in the repository's README, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
