//! What a client counts and measures, on simulated time, and that the documents say so.
#![cfg(feature = "metrics")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod documents;
mod panics;
mod scenes;
mod support;
