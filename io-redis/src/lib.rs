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
//!   [`inspect`](Locks::inspect), [`close`](Locks::close). [`Builder`] makes one, of one node or of
//!   a quorum of several. [`set_default`] sets one for the whole program, for [`lock`] and
//!   [`try_lock`].
//! - [`Guard`] is a held lock: [`is_valid`](Guard::is_valid), [`fence`](Guard::fence),
//!   [`lost`](Guard::lost), [`run`](Guard::run), [`ensure`](Guard::ensure),
//!   [`release`](Guard::release).
//! - [`LockOptions`] is what a lock is asked for with: TTL, renewal, giving up, a cap, a label.
//! - Each operation has an error type of its own, and each says whether it [is
//!   contention](LockError::is_contention), [is an outage](LockError::is_outage) or [is
//!   misuse](LockError::is_misuse). Loss has its own: [`Lost`], with a [`Loss`].
//!
//! # What is promised
//!
//! The module [`guarantees`] has a page for each promise: what holds, under which assumptions, what
//! happens without them, and what to do. In short:
//!
//! - [Exclusion](guarantees::exclusion): no two guards of one key are valid at the same time, while
//!   clocks are right to within half a percent of a TTL, all clients use the same nodes, and no
//!   node loses data undetected.
//! - [Fencing](guarantees::fencing): a later grant of a key has a larger number than an earlier
//!   one, also where Exclusion does not hold.
//! - [Ownership](guarantees::ownership): no request changes a key that holds another owner's token.
//! - [Honest validity](guarantees::honest_validity): a guard is valid no longer than the nodes hold
//!   its key.
//! - [No resurrection](guarantees::no_resurrection): what was reported lost or released is never
//!   held again.
//! - [Loss is told](guarantees::loss_is_told): you learn of a loss at the end of validity at the
//!   latest.
//! - [Progress](guarantees::progress): after faults heal, a wanted key that is free is granted.
//! - [No orphan](guarantees::no_orphan): what is dropped is freed, and all that is written expires.
//! - [Bounded work](guarantees::bounded_work): requests, queues and retries have bounds.
//! - [Replay](guarantees::replay): the same inputs and seed give the same outputs, byte for byte.
//!
//! # What is written to Redis
//!
//! The key itself is a plain string that holds the owner's token. Beside it is a fence counter,
//! whose name begins with the key and contains `:tenure:fence`. Over several nodes each node also
//! has a marker, `tenure:node` behind the [prefix](Builder::prefix). All have an expiry. Redis 6.2
//! or Valkey is needed. The repository's `docs/redis.md` lists the commands and rights, and the
//! libraries with which a key can be shared.
//!
//! # Features
//!
//! - `tls-rustls`: `rediss://` addresses. The certificate authorities are those that the operating
//!   system trusts, or your own (`Builder::root_certificates`).
//! - `cluster`: redis-rs' `ClusterConnection`, to be handed in with [`Builder::connection`].
//!
//! None is on by default, and none changes behaviour.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod api;
mod client;
mod error;
pub mod guarantees;
mod link;
mod protocol;
mod runtime;
pub mod seams;

pub use api::builder::{Builder, Quarantine};
pub use api::default::{DefaultAlreadySet, default_locks, lock, set_default, try_lock};
pub use api::guard::Guard;
pub use api::inspect::{Holder, Inspection, NodeInspection};
pub use api::locks::Locks;
pub use api::options::{LockOptions, OptionsError};
pub use error::{
    ConnectError, InspectError, LockError, Loss, Lost, ReleaseError, RenewError, SilentNode,
};
pub use link::address::AddressError;
pub use protocol::key::KeyError;
#[doc(inline)]
pub use tenure_core::{AtCapacity, ConfigError, Key, LabelError};
