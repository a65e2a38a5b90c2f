//! What Tenure is tested in.
//!
//! - [`world`]: an event queue in true time around the real core: clocks that drift and step, networks
//!   that delay, cut and hide outcomes, nodes that crash and forget, processes that stand still. The
//!   [`judge`] watches the laws, on the [`fact`]s alone; [`marks`] show which rare situations a run came
//!   to; every decision is drawn from [`choice`], and
//!   [`exhaust`] goes through all of those of a small world.
//! - [`picture`] draws a run as a page, [`shrink`] makes one that fails smaller, and [`cli`] is the program
//!   that runs, shows and shrinks worlds.
//! - `server`: a Redis-compatible server inside the process, on a clock that the test holds.
//! - `adapter`: the real adapter against such servers, on simulated time, with a network that fails.
//! - `network`: the same over turmoil, where every process is a host of its own.
//! - `kit`: `adapter` in the fewest words, for the tests of programs that use locks.
//!
//! `server`, `adapter` and `kit` need the feature `embedded`, the program and its pictures `program`; both
//! are on by default. `network` needs the feature `turmoil`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "embedded")]
pub mod adapter;
pub mod choice;
#[cfg(feature = "program")]
pub mod cli;
pub mod exhaust;
pub mod fact;
pub mod judge;
#[cfg(feature = "embedded")]
pub mod kit;
mod listed;
pub mod marks;
#[cfg(feature = "turmoil")]
pub mod network;
#[cfg(feature = "program")]
pub mod picture;
#[cfg(feature = "embedded")]
pub mod server;
pub mod shrink;
pub mod world;
