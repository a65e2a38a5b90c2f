//! The tests of a link, and what they share: a hub and a connection that the tests control.

mod connect;
mod greeting;
mod group;
pub(crate) mod hub;
mod inquiries;
mod load;
mod mocked;
mod patience;
mod pulse;
mod reconnect;
mod session;
#[cfg(feature = "cluster")]
mod shards;
mod streams;
mod with_core;
