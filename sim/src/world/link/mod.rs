//! The link between a client and a node: what the adapter does with a connection, and what a
//! network does to it.
//!
//! It does as the adapter does. A connection is given up after too long a silence, and the first
//! command on the next connection kills it. Requests wait while the link connects, and are refused
//! while it is down. Scripts and marker are restored before more requests are sent; scripts that do
//! not stay are sent as texts. One thing is left out: an idle connection is not asked whether it
//! lives, so a request finds out.
//!
//! `requests` sends requests and takes replies; `connection` opens and closes what carries them;
//! `pushes` is what a node says without being asked.

mod connection;
mod pushes;
mod requests;
mod state;

pub(super) use pushes::{Push, Tracked};
pub(super) use state::{Cut, Link, Message, broken};
