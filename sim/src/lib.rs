//! What Tenure is tested in.
//!
//! - [`world`]: an event queue in true time around the real core: clocks that drift and step,
//!   networks that delay, cut and hide outcomes, nodes that crash and forget, processes that stand
//!   still. Every decision in it is drawn from [`choice`], and its nodes are [`node`]s.
//! - [`observe`]: what happened, as a list of facts, and which rare situations a run came to.
//! - [`judge`]: it hears the facts, and finds each law that is broken.
//! - [`explore`]: goes through every run of a small world, and makes a world that fails smaller.
//! - `picture` draws a run as a page, and `cli` is the program that runs, shows and shrinks worlds.
//! - `server`: a Redis-compatible server inside the process, on a clock that the test holds.
//! - `memory_net`: the real adapter against such servers, on simulated time, over a network in
//!   memory.
//! - `turmoil_net`: the same over turmoil, where every process is a host of its own.
//! - `kit`: `memory_net` in the fewest words, for the tests of programs that use locks.
//!
//! `server`, `memory_net` and `kit` need the feature `embedded`, `picture` and `cli` the feature
//! `program`; both are on by default. `turmoil_net` needs the feature `turmoil`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod choice;
#[cfg(feature = "program")]
pub mod cli;
mod clock;
mod counted;
pub mod explore;
pub mod judge;
#[cfg(feature = "embedded")]
pub mod kit;
mod listed;
#[cfg(feature = "embedded")]
pub mod memory_net;
pub mod node;
pub mod observe;
#[cfg(feature = "program")]
pub mod picture;
#[cfg(feature = "embedded")]
pub mod server;
#[cfg(feature = "turmoil")]
pub mod turmoil_net;
pub mod world;
