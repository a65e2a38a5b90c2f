//! Every decision of the Tenure lock, without the network: a state machine that takes the time,
//! requests of the application and replies of the nodes, and puts out requests, events and
//! deadlines.
//!
//! To take locks, use `tenure-redis`. Read this crate to know what a lock does and why.
//! `tenure-redis` drives it with real connections, and `tenure-sim` drives it in simulated worlds.
//!
//! # What it keeps
//!
//! The promises are called [laws](Law). The module `guarantees` of `tenure-redis` has a page for
//! each, with its assumptions. In this crate they are kept here:
//!
//! - **Exclusion**: a lease is held only while a quorum of nodes holds its token
//!   ([`quorum`](quorum()), [`held_until`]), less a margin for clocks that are wrong ([`Drift`]).
//! - **Fencing**: a [fence](Fence) is reported only once a quorum has stored it ([`ServerClock`]
//!   makes that one round trip in the usual case).
//! - **Ownership**: every [`Request`] carries the [`Token`] of its attempt, which the node
//!   compares.
//! - **Honest validity**: it counts from the moment before a request was queued, never from its
//!   reply. It is what a quorum is known to hold, so it may also go down.
//! - **No resurrection**: a lease that has ended takes no more replies into account.
//! - **Loss is told**: compare [`Manager::valid_until`] with a clock. That is right at any moment,
//!   whether or not anything else got to run.
//! - **Progress**: a round that failed releases every node that it touched before its [`Backoff`]
//!   begins.
//! - **No orphan**: whatever a lease may have left at a node is released, and the release repeated,
//!   until the node answers it or the TTL has passed.
//! - **Bounded work**: a lease has at most one request in flight at each node, and one release
//!   behind it. Every queue is bounded by [`Config::max_leases`].
//! - **Replay**: the same inputs and seed give the same outputs, byte for byte.
//!
//! # How it is driven
//!
//! [`Manager`] has three kinds of method: commands of the application, events of the world, and
//! outputs that are polled until they are empty. It reads no clock: the driver passes an
//! [`Instant`], from a clock that goes on while the machine sleeps. It draws no random bits: those
//! of a token come from outside, and those of the pauses from a seed.
//!
//! # Map
//!
//! - [`Manager`] has all leases, the timer queue, and an outbox for each node.
//! - [`Lease`] is the state machine of one lease, a value without side effects.
//! - [`Request`] and [`Reply`] are what is asked of a node, and the three kinds of outcome:
//!   applied, not applied, unknown.
//! - [`Event`] is what the application is told.
//! - [`held_until`], [`quorum`](quorum()), [`verdict`], [`Drift`], [`Backoff`], [`Patience`] and
//!   [`ServerClock`] are the arithmetic. Each is tested alone.
//!
//! `docs/architecture.md` in the repository follows one lock through all of it.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod config;
mod event;
mod id;
mod law;
mod lease;
mod manager;
mod math;
mod options;
mod place;
mod recall;
mod request;
mod rng;
mod slots;
mod time;
mod timers;
mod token;

pub use config::{Config, ConfigBuilder, ConfigError, DEFAULT_TTL, LONGEST_TTL, MOST_REPLICAS};
pub use event::{AcquireFailure, Event, EventKind, Loss, Release, RenewalFailure, Silence};
pub use id::{LeaseId, MAX_NODES, NodeId, NodeSet, RequestId};
pub use law::Law;
pub use lease::{Context, Due, Lease, Outputs};
pub use manager::{AtCapacity, Manager};
pub use math::{Backoff, Drift, Patience, ServerClock, Verdict, held_until, quorum, verdict};
pub use options::{LeaseOptions, LeaseOptionsBuilder, RenewalPolicy};
pub use place::{Place, PlaceId, Serial};
pub use request::{
    Answer, Doubt, Holder, LockName, Op, OpKind, Refusal, Reply, Request, ServerTime, Words,
};
pub use rng::Rng;
pub use time::Instant;
pub use token::{Fence, Fingerprint, Key, Label, LabelError, STREAM_SEQUENCES, Secret, Token};
