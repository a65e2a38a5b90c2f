//! The seams of the adapter: how it connects, tells the time, spawns and draws random bytes, and
//! the table of its [scripts](Script).
//!
//! They exist so that the real adapter can run in a simulated world, and on runtimes that arrange
//! these things differently. **This module is exempt from semantic versioning**: it may change in
//! any release. Who only wants to lock never needs it.

pub use crate::protocol::scripts::{Answers, Layout, LockArg, LockKey, MarkerArg, Script};
pub use crate::runtime::{
    BootClock, BoxFuture, ByteStream, Clock, Connector, Endpoint, Entropy, OsEntropy, Seams,
    Spawner, TokioConnector, TokioSpawner,
};
/// The time of a [`Clock`].
#[doc(inline)]
pub use tenure_core::Instant;
