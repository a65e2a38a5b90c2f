//! Faults: what each does to the world, and how it ends.

mod ongoing;
mod strike;

pub(super) use ongoing::Ongoing;
