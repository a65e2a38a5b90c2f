//! What the live suite stands on: real servers that a test starts, kills and pauses, and a proxy
//! that stands between a client and a server and loses what it is told to lose.
//!
//! Everything here is for tests, so it panics with a sentence where a library would return an
//! error, and it talks to loopback only.

pub mod clients;
pub mod cluster;
pub mod gate;
mod group;
pub mod options;
pub(crate) mod process;
pub mod proxy;
mod resp;
pub mod server;
pub mod tls;
pub mod wait;

pub use cluster::Cluster;
pub use gate::servers_available;
pub use group::Group;
pub use options::{Fsync, Options};
pub use proxy::{Command, Direction, Fate, Fault, Match, Proxy, Rewrite, Rewriting, Rule};
pub use server::RedisServer;
pub use wait::{eventually, eventually_some, within};
