//! What the embedded server is held to: the same commands at the same times, sent to it and to a
//! real one.
//!
//! - [`real`]: a real server whose wall clock is steered.
//! - [`wire`]: one reader for the replies of both.
//! - [`steps`]: random histories: commands, scripts, and a clock that goes both ways.
//! - [`lock`]: random histories of locks: the adapter's own scripts.

pub mod lock;
pub mod real;
pub mod steps;
pub mod wire;
