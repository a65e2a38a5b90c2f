//! A network in memory: the real adapter with the real redis-rs, on simulated time, in one process.
//!
//! It is the other implementation of [`tenure_redis::seams`]: names lead to embedded [`Server`]s
//! over a network in memory, every client and every server has a clock of its own, random bytes
//! come from a seed, and a process can stand still or die. Everything runs on one tokio runtime
//! whose time is paused: it jumps to the next timer when nothing is left to do, so ten minutes cost
//! milliseconds, and the same program with the same seed does the same, byte for byte. It reads
//! neither the machine's clock nor its entropy.
//!
//! ```
//! use std::time::Duration;
//! use tenure_sim::memory_net::World;
//!
//! World::run(7, async |world| {
//!     let node = world.node("a");
//!     let (one, two) = (world.client("one"), world.client("two"));
//!     let locks = one.builder().connect().await?;
//!     let rivals = two.builder().connect().await?;
//!
//!     let guard = locks.lock("orders/42").await?;
//!     assert!(rivals.try_lock("orders/42").await.is_err_and(|error| error.is_contention()));
//!
//!     // The holder's process stands still for longer than its lease, and the rival takes over.
//!     one.pause();
//!     world.sleep(Duration::from_secs(20)).await;
//!     let rival = rivals.lock("orders/42").await?;
//!     one.resume();
//!     assert!(!guard.is_valid());
//!     assert!(rival.fence() > guard.fence());
//!
//!     // And a bad day for the server.
//!     node.server().restart_empty();
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`World`] makes everything; [`Node`] is a server with its clock; [`Client`] is a process with
//!   its clock, from which a builder comes that connects to every node.
//! - [`Link`] is the way between a client and a node, and what may happen to it.
//! - [`Request`] is what was written to a node, and when: what a test counts.
//!
//! tokio's timers have a granularity of one millisecond, so latencies are best given in whole ones.
//!
//! [`Server`]: crate::server::Server

mod clock;
mod entropy;
mod forgotten;
mod link;
mod net;
mod process;
mod tap;
mod world;

pub use clock::{SimClock, TrueTime, WallClock};
pub use entropy::SeededEntropy;
#[cfg(feature = "turmoil")]
pub(crate) use forgotten::Ends;
pub use forgotten::Forgotten;
pub use link::{Connecting, Direction, Link};
pub use process::{Pausable, Process};
pub use tap::Request;
pub use world::{Client, Node, World};
