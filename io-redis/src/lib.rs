//! tenure-redis
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod batch;
mod clock;
mod dial;
mod key;
mod link;
mod reply;
mod script;
pub mod seams;
mod session;
#[cfg(test)]
mod testing;
mod wire;

pub use address::{Address, AddressError};
pub use key::KeyError;
