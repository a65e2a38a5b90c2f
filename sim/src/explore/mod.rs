//! Searches among worlds: all runs of a small one, and a smaller one that still fails.

pub mod exhaust;
pub mod shrink;
