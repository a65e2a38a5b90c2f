//! The tools of the live suite, themselves tested on real servers before anything is tested with
//! them.
//!
//! What a fault should do is checked from both ends: what the client saw, and what the server has.

mod cluster;
mod doom;
mod gate;
mod proxy;
mod server;
