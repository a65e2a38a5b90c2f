//! Faults: what each does to the world, and how it ends.
//!
//! Which faults there are, and what is to be known of each, is in [`crate::observe::fact::fault`].

mod at_client;
mod at_link;
mod at_node;
mod end;
mod ongoing;
mod strike;

pub(super) use ongoing::Ongoing;
