//! The arithmetic that a lease is decided by. Each part is pure and is tested alone.

mod backoff;
mod patience;
mod proposal;
mod quorum;
mod validity;

pub use backoff::Backoff;
pub use patience::Patience;
pub use proposal::ServerClock;
pub use quorum::{Verdict, quorum, verdict};
pub use validity::{Drift, held_until};
