//! What Tenure is tested in.
//!
//! - [`server`]: a Redis-compatible server inside the process, on a clock that the test holds.
//! - [`adapter`]: the real adapter against such servers, on simulated time, with a network that fails.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod adapter;
pub mod server;
