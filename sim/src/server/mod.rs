//! A Redis-compatible server inside the process: the very Lua texts of the adapter run in it, its
//! time is a clock that the test holds, and the same requests at the same times give the same
//! replies.
//!
//! - [`Server`] is the handle: it serves byte streams, and a test makes its faults.
//! - [`ServerClock`] is its wall clock; [`ManualClock`] moves when told, [`SystemClock`] is the
//!   machine's.
//! - [`Session`] talks to it without a network, in requests or in bytes.
//!
//! Inside, the engine is a pure machine (a request and the time in, effects out); `net` carries
//! bytes to it. It knows what Tenure needs and answers as Redis 7.0 does; `tests/` compares the
//! two. A connection that asks for it by `CLIENT TRACKING` is told when a key changes that it has
//! read. Not modelled: `MULTI`, blocking commands (`WAIT` answers 0 at once), replication as such,
//! eviction, the libraries `cjson`, `cmsgpack`, `struct` and `bit`, `redis.setresp(3)`, and expiry
//! on the server's own initiative (see [`Server::expire_now`]).

mod clock;
mod commands;
mod config;
mod engine;
mod faults;
mod glob;
mod handle;
mod keyspace;
mod lua;
mod net;
mod number;
mod reply;
mod request;
mod script;
mod session;
mod state;
mod tracking;

pub use clock::{ManualClock, ServerClock, SystemClock};
pub use faults::Lost;
pub use handle::{Server, Snapshot};
pub use net::Listening;
pub use reply::{Protocol, Reply};
pub use request::{MAX_ARG, MAX_ARGS, MAX_LINE, ProtocolError, RequestParser};
pub use session::Session;

/// The version of Redis whose answers this server gives.
pub const VERSION: &str = "7.0.15";
