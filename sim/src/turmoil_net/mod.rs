//! The adapter's world over turmoil: the real adapter with the real redis-rs, where every process
//! is a host of its own.
//!
//! [`memory_net`](crate::memory_net) has one runtime, a network in memory and time that jumps; it
//! is made for long runs. Here each client and each server is a host with a runtime of its own, the
//! network has hosts and TCP segments, and a crash takes everything of a host at once; it is made
//! for scenarios. Clocks, processes and servers are the same. Everything happens in
//! [`Network::step`], a millisecond at a time, and what a scenario does to the world it does
//! between two steps. The same program with the same seed does the same, byte for byte.
//!
//! What to know of turmoil's network:
//! - Over a partition nothing is sent again: a connection that lost a segment is dead for ever,
//!   also after the partition is healed, and nobody is told. Who connects meanwhile is refused at
//!   once.
//! - Over a link that is held everything waits, connecting too, and arrives when it is released, as
//!   after TCP's retransmission.
//! - A crash closes connections. The other side is told, unless the way was cut before.
//!
//! - [`Network`] makes everything and goes on step by step; [`Machine`] is a client's machine, on
//!   which its software begins again after a crash; [`Life`] is one such beginning.

mod machine;
mod stream;
mod world;

pub use machine::{Life, Machine};
pub use world::{Memory, Network};
