//! **Replay.** The same inputs and seed give the same outputs, byte for byte.
//!
//! # What is promised
//!
//! The core, `tenure-core`, reads no clock, draws no random bits and starts no task. It is given
//! the time, the replies and one seed. The same inputs give the same outputs, byte for byte.
//!
//! This crate connects the core to a real clock, a real network and real random bits, through four
//! [seams](crate::seams). The simulation replaces these four. So the same adapter, with the same
//! seed, does the same there, down to the bytes on each connection.
//!
//! # What it means for your tests
//!
//! The package `tenure-sim` is in the repository beside this one. Its module `kit` runs your code
//! against a server inside the process, on time that jumps:
//!
//! ```ignore
//! #[test]
//! fn it_stops_when_its_lock_is_lost() {
//!     tenure_sim::kit::run(async |kit| {
//!         let work = kit.spawn(nightly(kit.locks().await));
//!         kit.advance(Duration::from_secs(100)).await;
//!         kit.lose("nightly").await;
//!         assert!(work.await.unwrap().is_err());
//!     });
//! }
//! ```
//!
//! A test that fails in there fails in the same way each time, and a test that passes is not lucky.
//!
//! # Assumptions
//!
//! - All of your code under test waits on tokio's time, and on nothing outside of it.
//! - It runs on the one thread of the test.
//!
//! # Without them
//!
//! - The clocks of `std::time` do not jump. Code that reads them sees no time pass.
//! - Threads of your own, a second runtime, and real sockets or files have their own order, which
//!   is not repeated.
//! - The order in which a `HashMap` is iterated differs from run to run, and so does the branch
//!   that `tokio::select!` tries first, unless it says `biased`.
//!
//! # What to do
//!
//! - Give your code its [`Locks`](crate::Locks) or its [`Builder`](crate::Builder), rather than an
//!   address to connect to.
//! - If a test must be exact to the byte, use `biased` in `tokio::select!`, and ordered maps.
//! - Look at `tests/tests/users_code.rs` in the repository: a whole service with its tests.
