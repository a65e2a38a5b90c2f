//! tenure-redis
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod clock;
mod key;
mod link;
pub mod seams;
mod wire;

pub use address::{Address, AddressError};
pub use key::KeyError;
