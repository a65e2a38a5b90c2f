//! A distributed lock on Redis that renews itself, fences, and tells the truth when it is gone.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tenure_redis::Locks;
//!
//! let locks = Locks::connect("redis://127.0.0.1").await?;
//! let guard = locks.lock("orders/42").await?; // waits; renews itself from here on
//! println!("held, fence {}", guard.fence());
//! guard.release().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Locks`] is the handle: [`lock`](Locks::lock), [`try_lock`](Locks::try_lock),
//!   [`inspect`](Locks::inspect), [`close`](Locks::close); and for operators
//!   [`held`](Locks::held), [`scan`](Locks::scan), [`break_lock`](Locks::break_lock). [`Builder`]
//!   makes one, of one node or of
//!   a quorum of several. [`set_default`] sets one for the whole program, for [`lock`] and
//!   [`try_lock`].
//! - [`Guard`] is a held lock: [`is_valid`](Guard::is_valid), [`fence`](Guard::fence),
//!   [`lost`](Guard::lost), [`run`](Guard::run), [`ensure`](Guard::ensure),
//!   [`release`](Guard::release).
//! - [`LockOptions`] is what a lock is asked for with: TTL, renewal, giving up, a cap, a label.
//! - Each operation has an error type of its own, and each says whether it [is
//!   contention](LockError::is_contention), [is an outage](LockError::is_outage) or [is
//!   misuse](LockError::is_misuse). Loss has its own: [`Lost`], with a [`Loss`]. A key without an
//!   expiry [is foreign](LockError::is_foreign), which is none of these.
//!
//! # What is promised
//!
//! The module [`guarantees`] has a page for each promise: what holds, under which assumptions, what
//! happens without them, and what to do. In short:
//!
//! - [Exclusion](guarantees::exclusion): no two guards of one key are valid at the same time, while
//!   clocks are right to within half a percent of a TTL, all clients use the same nodes and max
//!   TTL, and no node loses data undetected.
//! - [Fencing](guarantees::fencing): a later grant of a key has a larger number than an earlier
//!   one, also where Exclusion does not hold, while the servers' wall clocks agree to within nine
//!   tenths of max TTL; with one node, while its clock is not set back when it loses its data.
//! - [Ownership](guarantees::ownership): no request changes another owner's key, but to break it by
//!   force.
//! - [Honest validity](guarantees::honest_validity): a guard is valid no longer than the nodes hold
//!   its key, while clocks are right and no node loses data undetected.
//! - [No resurrection](guarantees::no_resurrection): what was reported lost or released is never
//!   held again.
//! - [Loss is told](guarantees::loss_is_told): you learn of a loss at the end of validity at the
//!   latest, while the process runs.
//! - [Progress](guarantees::progress): after faults heal, a wanted key that is free is granted.
//!   Over several nodes rivals may meet, so this takes a few attempts.
//! - [No orphan](guarantees::no_orphan): what is dropped is freed, and all that is written expires.
//!   If the process dies or its runtime ends, the TTL frees the key.
//! - [Fairness](guarantees::fairness): waiters of a node are granted a lock in the order in which
//!   they came.
//! - [Bounded work](guarantees::bounded_work): requests, queues and retries have bounds.
//! - [Replay](guarantees::replay): the same inputs and seed give the same outputs, byte for byte,
//!   on simulated time and on one thread.
//!
//! # What is written to Redis
//!
//! The key itself is a plain string that holds the owner's token. With one node there is beside it
//! one stream for all keys, `tenure:fence`, which draws the fences
//! ([`Builder::fence_stream`]). With several nodes each key has a fence counter, whose name begins
//! with the key and contains `:tenure:fence`. With quarantine on, which is the
//! default over several nodes, each node also has a marker, `tenure:node` behind the
//! [prefix](Builder::prefix). All have an expiry. The repository's `docs/redis.md` names the
//! libraries with which a key can be shared.
//!
//! # What the server must permit
//!
//! Redis 6.2 or later, or Valkey. The user needs:
//!
//! - `EVALSHA` and `SCRIPT LOAD`;
//! - what locks are made of: `SET`, `GETEX`, `GET`, `PTTL`, `TYPE`, `TIME`, `PEXPIRE`, `DEL`; and
//!   with one node, `XADD` and `PEXPIREAT`, for the stream that draws the fences;
//! - the lock keys: a pattern that ends in `*`, such as `~locks:*` for the
//!   [prefix](Builder::prefix) `locks:`, covers them, and over several nodes their counters;
//! - with one node, the key of the [fence stream](Builder::fence_stream): `~tenure:fence`, over a
//!   cluster `~tenure:fence*`;
//! - with quarantine on, `INFO`, by which quarantine knows who the server is, and the marker's key;
//! - of a cluster that is named by its servers, `CLUSTER SLOTS`, `ASKING` and `PING`.
//!
//! Wanted, and done without where they are not permitted: `CLIENT ID` and `CLIENT KILL`, so that
//! requests on a connection that was given up are never run; `PING`, by which an idle connection
//! shows that it lives; `EVAL`, for a server that forgets its scripts as soon as they are loaded;
//! `INFO` also without quarantine; `CONFIG GET`, over several nodes, which shows that
//! a server cannot forget, and its passwords too.
//!
//! When it connects, the client tries all that locks need, on a key of its prefix that never
//! exists. A user who lacks a right is refused there, before the first lock. The repository's
//! `docs/redis.md` has the lines that make such a user.
//!
//! # What is logged
//!
//! Every turn of a lease and of a connection is an event of the [`tracing`] crate: at DEBUG what
//! goes well, at WARN what threatens a lock, at INFO that a node is connected. All have the target
//! `tenure_redis`, so a filter such as `tenure_redis=debug` shows them all. No token and no
//! password is ever logged. A line about a loss says how the lease was lost, and for how long it
//! had been held.
//!
//! Each acquire is a span, `acquire`, at DEBUG, inside the span in which its future is first
//! polled. It lasts from the call to its answer, and says at its end how many `attempts` it took,
//! how many places were `ahead`, how long it took (`waited_ms`), and what it came to (`outcome`).
//! It is not entered, so the events meanwhile are not inside it. The repository's
//! `docs/metrics.md` says more.
//!
//! What many leases meet at once is not logged for each: of a kind of line at INFO or WARN, three a
//! second that name the same node are written, the first at once. How many more there were follows
//! when the second is over, as the field `left_out` of a line that names the kind. Of losses, a
//! hundred a second are written; each guard is told its own in any case. Lines at DEBUG are not
//! counted.
//!
//! A subscriber that panics loses that line, or that span, and harms no lock.
//!
//! # Features
//!
//! - `tls-rustls`: `rediss://` addresses. The certificate authorities are those that the operating
//!   system trusts, or your own (`Builder::root_certificates`). The cryptography is that which the
//!   program has installed for rustls, or ring; nothing is installed into the process. It turns on
//!   the feature `ring` of rustls, for the whole program. If other code of the program uses rustls
//!   with `aws-lc-rs` and has installed no provider, rustls then finds two and panics there: call
//!   `rustls::crypto::aws_lc_rs::default_provider().install_default()` first in `main`. The
//!   connections to a cluster are redis-rs', which uses what is installed: if nothing is when the
//!   first is made, ring is from then on.
//! - `cluster`: clusters, by `Builder::cluster`. It also makes redis-rs' `ClusterConnection`
//!   available, to be handed in with [`Builder::connection`].
//! - `metrics`: what a client counts and measures, for the recorder of the `metrics` facade: times
//!   to acquire, to wait and to hold, losses by reason, outages by node and more. The module
//!   `metrics` has the names.
//!
//! None is on by default, and none changes what this crate does without it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod api;
mod client;
mod error;
pub mod guarantees;
mod link;
mod log_target;
#[cfg(feature = "metrics")]
pub mod metrics;
mod protocol;
mod runtime;
pub mod seams;

pub use api::break_lock::{BreakOutcome, BreakReport, NodeBreak};
pub use api::builder::{Builder, Quarantine};
pub use api::check::{Check, CheckedNode, Concern, Finding, Gravity};
pub use api::default::{DefaultAlreadySet, default_locks, lock, set_default, try_lock};
pub use api::guard::Guard;
pub use api::held::HeldLock;
pub use api::inspect::{Holder, Inspection, NodeInspection, Queue, QueuedPlace};
pub use api::locks::Locks;
pub use api::options::{LockOptions, OptionsError};
pub use api::scan::{FoundLock, Scan};
pub use error::{
    BreakError, ConnectError, InspectError, LockError, Loss, Lost, ReleaseError, RenewError,
    RuntimeEnd, ScanError, SilentNode,
};
pub use link::address::AddressError;
pub use link::credentials::Credentials;
pub use protocol::breaking::{Seen, SeenError};
pub use protocol::key::KeyError;
pub use protocol::scan::PatternError;
pub use protocol::stream::StreamNameError;
#[doc(inline)]
pub use tenure_core::{AtCapacity, ConfigError, Key, LabelError};
