//! The real adapter with the real redis-rs, on simulated time against embedded servers: every test
//! is a sentence about a law, and the same in every run.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

mod acknowledged;
mod addresses;
mod attempts;
mod awaited;
mod cancel;
mod contention;
mod default;
mod demo;
mod determinism;
mod fence;
mod guard;
mod hints;
mod idle;
mod loss;
mod observe;
mod operators;
mod options;
mod quarantine;
mod refusal;
mod renewed;
mod restart;
mod shared;
mod silence;
mod soak;
mod spans;
mod stalled;
mod told;
mod work;
