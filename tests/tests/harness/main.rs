//! The harness of the live suite, proven on real servers before anything is proven with it.
//!
//! What a fault claims to do is checked from both ends: what the client saw, and what the server
//! has.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cluster;
mod gate;
mod proxy;
mod server;
