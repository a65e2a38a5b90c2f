//! Everything that needs a real server: the adapter against it, the embedded server compared with
//! it, and the tools that these tests use.
//!
//! Without a server on `PATH` each test passes and says that it was left out; with
//! `TENURE_REQUIRE_LIVE=1` it fails.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod acknowledged;
mod addresses;
mod clusters;
mod conformance;
mod credentials;
mod crowds;
mod dead;
mod default_client;
mod endings;
mod faults;
mod hints;
mod hold;
mod losses;
mod misuse;
mod neighbours;
mod nodes;
mod operators;
mod places;
mod preflight;
mod queue;
mod restart;
mod rights;
mod sentinel;
mod soak;
#[cfg(feature = "tls-rustls")]
mod tls;
mod told;
mod tools;
mod tracking;
mod without;
mod words;
