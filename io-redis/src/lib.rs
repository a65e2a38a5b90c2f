//! tenure-redis
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod batch;
mod clock;
mod dial;
#[cfg(test)]
mod dial_tests;
mod flight;
mod inspection;
mod key;
mod link;
mod mending;
mod quiet;
mod redial;
#[cfg(test)]
mod redial_tests;
mod reply;
#[cfg(test)]
mod reply_tests;
mod script;
pub mod seams;
mod session;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod testing;
mod wire;

pub use address::{Address, AddressError};
pub use key::KeyError;
