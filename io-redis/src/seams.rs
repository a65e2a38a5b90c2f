//! The seams of the adapter: how it connects, tells the time, spawns tasks and draws random bytes,
//! and the table of its [scripts](Script).
//!
//! They exist so that the real adapter can run in a simulation, and on runtimes that do these
//! things in another way. **This module is exempt from semantic versioning**: it may change in any
//! release, and its enums and structs may grow. Only [`Endpoint`] is `#[non_exhaustive]`, since
//! every [`Connector`] matches it. To use locks, you do not need this module.

pub use crate::protocol::scripts::{
    Answers, Command, Fences, Layout, LockArg, LockKey, MarkerArg, Script,
};
pub use crate::runtime::{
    BootClock, BoxFuture, ByteStream, Clock, Connector, Endpoint, Entropy, OsEntropy, Seams,
    Spawner, TokioConnector, TokioSpawner,
};
/// The time of a [`Clock`].
#[doc(inline)]
pub use tenure_core::Instant;
/// What a [`Script`] of a lease asks of a node.
#[doc(inline)]
pub use tenure_core::OpKind;
