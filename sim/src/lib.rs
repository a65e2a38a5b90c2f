//! What Tenure is tested in.
//!
//! - [`server`]: a Redis-compatible server inside the process, on a clock that the test holds.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod server;
