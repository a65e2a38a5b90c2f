//! A link of a client to a node: what the adapter does with a connection, and what a network does to it.
//!
//! As in the adapter, a connection is given up after too long a silence, the first command on the next
//! one kills it, requests wait while a link connects and are refused while it is down, and scripts and
//! marker are mended before more is asked. `requests` are what is sent on it, `connection` is what
//! carries them.

mod connection;
mod requests;
mod state;

pub(super) use state::{Cut, Link, Message};
