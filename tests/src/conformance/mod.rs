//! What the embedded server is held to: the same commands at the same times, sent to it and to a
//! real one.
//!
//! - [`real`]: a real server whose wall clock is steered.
//! - [`wire`]: one reader for the replies of both.
//! - [`steps`]: random histories: commands, scripts, and a clock that goes both ways.
//! - [`lock`]: random histories of locks: the adapter's own scripts.
//! - [`tracking`]: random histories of two connections that are told of changed keys.

pub mod lock;
pub mod real;
pub mod steps;
pub mod tracking;
pub mod wire;
