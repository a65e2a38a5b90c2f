//! What is recorded of a run: the facts, and the rare situations that are derived from them.

pub mod fact;
mod lines;
pub mod marks;
