//! A client: what is known of it, how its core is driven, and what its application does.

mod application;
mod driver;
mod state;

pub(super) use state::Client;
