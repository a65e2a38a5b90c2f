//! The Tenure lock, without the network: every decision of a lease based, fenced, quorum lock on
//! Redis-like nodes, as a sans-I/O state machine.
//!
//! This crate is what `tenure-redis` drives live and what `tenure-sim` drives in simulation. Use
//! `tenure-redis` to take locks; read this crate to know what it does.
//!
//! # What is promised
//!
//! The laws below are kept by code in this crate, and under the assumptions stated.
//!
//! - **Exclusion.** At no instant of true time do two leases on one key both lie inside their validity,
//!   while (a) over one TTL the time measured by each client's clock and by each server's wall clock
//!   differs from true time by at most the [drift bound](Drift), steps included; (b) all clients of a
//!   key agree on the set of nodes and on max TTL; (c) no node loses data undetected.
//! - **Fencing.** If one grant of a key was reported before the acquire of another was sent, its
//!   [fence](Fence) is smaller, and no two grants share a fence; also where exclusion does not hold.
//! - **Ownership.** No request changes a key that holds another lease's token.
//! - **Honest validity.** Counted from the moment before a request was queued, never from its reply; the
//!   instant up to which a quorum is known to hold the token ([`held_until`]), so it may also go down.
//! - **No resurrection.** A lease reported lost or released is never held again.
//! - **Loss is told** no later than the end of validity: [`Manager::valid_until`] compared with a clock
//!   is always right, whether or not anything else got to run.
//! - **Progress.** After faults heal, a wanted free key is granted. A round that failed releases every
//!   node that it touched before its backoff begins.
//! - **No orphan.** Whatever a dropped, lost or failed lease left or may have left at a node is released,
//!   and the release retried, until it is answered or the TTL has passed.
//! - **Bounded work.** At most one request in flight per lease and node, and one release behind it;
//!   every queue is bounded by [`Config::max_leases`].
//! - **Replay.** The same inputs and seed give the same outputs, byte for byte.
//!
//! # How it is driven
//!
//! See [`Manager`]: commands and events in, outputs polled until empty. Time is an [`Instant`] that
//! the driver reads from a clock that goes on while the machine sleeps. Random bits come from outside.
//!
//! # Map
//!
//! [`Manager`] owns all leases, the timer queue and an outbox per node. [`Lease`] is the machine of
//! one lease, a pure value. [`held_until`], [`quorum`](quorum()), [`verdict`], [`Drift`], [`Backoff`]
//! and [`ServerClock`] are the arithmetic, each tested alone. [`Request`] and [`Reply`] are what is
//! asked of a node and its three outcomes; [`Event`] is what the application is told.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod backoff;
mod config;
mod event;
mod id;
mod lease;
mod manager;
mod options;
mod proposal;
mod quorum;
mod request;
mod rng;
mod time;
mod timers;
mod token;
mod validity;

pub use backoff::Backoff;
pub use config::{Config, ConfigBuilder, ConfigError, DEFAULT_TTL, LONGEST_TTL};
pub use event::{AcquireFailure, Event, EventKind, Loss, Release};
pub use id::{LeaseId, MAX_NODES, NodeId, NodeSet, RequestId};
pub use lease::{Context, Due, Lease, Outputs};
pub use manager::{AtCapacity, Manager};
pub use options::{LeaseOptions, LeaseOptionsBuilder, RenewalPolicy};
pub use proposal::ServerClock;
pub use quorum::{Verdict, quorum, verdict};
pub use request::{Answer, Op, Refusal, Reply, Request, ServerTime, Words};
pub use rng::Rng;
pub use time::Instant;
pub use token::{Fence, Key, Label, LabelError, Secret, Token};
pub use validity::{Drift, held_until};
