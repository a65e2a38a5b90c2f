//! The tests of a link, and what they share: a made-up hub and a made-up connection.

mod connect;
mod hub;
mod mocked;
mod reconnect;
mod session;
mod with_core;
