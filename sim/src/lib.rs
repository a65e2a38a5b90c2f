//! The simulation in which Tenure is tested.
//!
//! - [`world`]: simulates the real core in true time, with an event queue. Clocks drift and step,
//!   networks delay and lose messages, nodes crash and forget, processes pause. [`choice`] draws
//!   every decision, and [`node`] is the model of a node.
//! - [`observe`]: what happened in a run, as a list of facts, and which rare situations it met.
//! - [`judge`]: hears the facts, and finds the first law that is broken.
//! - [`explore`]: runs all variants of a small world, and shrinks a world that breaks a law.
//! - `picture` draws a run as a page. `cli` is the program that runs, shows and shrinks worlds.
//! - `server`: a Redis-compatible server inside the process, on a clock that the test sets.
//! - `memory_net`: the real adapter and such servers, on simulated time, over a network in memory.
//! - `turmoil_net`: the same over turmoil, where every process is a host of its own.
//! - `kit`: a short interface to `memory_net`, for the tests of programs that use locks.
//!
//! `server`, `memory_net` and `kit` need the feature `embedded`, `picture` and `cli` the feature
//! `program`; both are on by default. `turmoil_net` needs the feature `turmoil`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod choice;
#[cfg(feature = "program")]
pub mod cli;
mod clock;
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
