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
//!   [`inspect`](Locks::inspect), [`close`](Locks::close). [`Builder`] makes one, of one node or of a
//!   quorum of several. [`set_default`] sets one for the whole program, for [`lock`] and [`try_lock`].
//! - [`Guard`] is a held lock: [`is_valid`](Guard::is_valid), [`fence`](Guard::fence),
//!   [`lost`](Guard::lost), [`run`](Guard::run), [`ensure`](Guard::ensure),
//!   [`release`](Guard::release).
//! - [`LockOptions`] is what a lock is asked for with: TTL, renewal, giving up, a cap, a label.
//! - Each operation has an error type of its own, and each says whether it
//!   [is contention](LockError::is_contention), [is an outage](LockError::is_outage) or
//!   [is misuse](LockError::is_misuse). Loss has its own: [`Lost`], with a [`Loss`].
//!
//! # What is promised
//!
//! **Exclusion.** No two guards of one key are valid at the same time, as long as
//! 1. over one TTL the time that each client's clock and each server's wall clock measures differs from
//!    true time by at most the [drift bound](Builder::drift_ppm) (half a percent by default), steps included;
//! 2. all clients of a key name the same nodes and the same [max TTL](Builder::max_ttl);
//! 3. no node loses data *undetected*. Over several nodes a node that may have forgotten a lease is put in
//!    [quarantine](Quarantine), so any number of them may restart empty. What is not detected: eviction or
//!    deletion of single keys, a demotion and re-promotion on a live connection, a proxy that keeps client
//!    connections across a restart. With one node a loss of data breaks exclusion for at most one TTL, and
//!    a failover to a replica counts as such a loss.
//!
//! **Fencing.** If a grant was reported before the acquire of another was sent, its
//! [fence](Guard::fence) is smaller, and no two grants share one. This holds also where exclusion does not:
//! through pauses of any length, expiry, FLUSHALL, a restart with empty memory, the promotion of a stale
//! replica, as long as the servers' wall clocks agree: over several nodes, which are the same for all
//! clients and in quarantine when they may have forgotten, to within nine tenths of one max TTL (the rest is
//! for how far fences are proposed ahead; a loss that is not detected may cost Fencing for one max TTL, and
//! so may a client that has a shorter one);
//! with one node, a server that lost the counter must not show an earlier time than the one before it did.
//! The counter is kept for a day after the time that its value stands for, which covers a clock step of a day.
//!
//! **Ownership.** No request changes a key that holds another owner's token. **Honest validity.** A guard is
//! valid up to an instant that is counted from before its request was queued, on this process's own clock,
//! which goes on while the machine sleeps. **No resurrection.** A lease that was reported lost or released is
//! never held again. **Loss is told** at the end of validity at the latest: a guard that is asked reads its
//! own clock.
//!
//! **Progress.** After faults heal, a wanted free key is granted: over several nodes with a probability that
//! grows with each attempt, since rivals that split the nodes release them and back off by a random time.
//! **No orphan.** A dropped future or guard with a working network frees its key in one round trip; a crashed
//! process, or one whose runtime ended, leaves it for at most one TTL. **Bounded work.** At most one request
//! per lease and node is in flight, and one release behind it; renewals travel in batches of up to 128.
//!
//! # What is written to Redis
//!
//! The key itself is a plain string that holds the token, set with `NX` and `PX`, so a key can be shared
//! with the libraries that do likewise (redsync, bsm/redislock, redis-py, node-redlock, rslock). Beside it a
//! fence counter, whose name begins with the key and contains `:tenure:fence`. Over several nodes each has a
//! marker, `tenure:node` behind the [prefix](Builder::prefix). All have an expiry. It takes Redis 6.2 or
//! Valkey, and the right to `EVALSHA`, `SCRIPT LOAD` and what the scripts call (`GET`, `GETEX`, `SET`,
//! `DEL`, `PEXPIRE`, `PTTL`, `TIME`); `CLIENT`, `INFO` and `CONFIG GET` are used where they are permitted.
//! Whether a lock could be kept and freed is asked on connecting, of a name under which nothing is kept.
//!
//! # Features
//!
//! - `tls-rustls`: `rediss://` addresses, with the authorities that the operating system trusts or
//!   those of your own (`Builder::root_certificates`).
//! - `cluster`: redis-rs' `ClusterConnection`, to be handed in with [`Builder::connection`].
//!
//! None is on by default, and none changes behaviour.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod builder;
mod cell;
mod client;
mod clock;
mod default;
mod driver;
mod error;
mod guard;
mod hub;
mod inspect;
mod key;
mod link;
mod locks;
mod observe;
mod options;
pub mod seams;
mod thread;
#[cfg(feature = "tls-rustls")]
mod tls;

pub use address::AddressError;
pub use builder::{Builder, Quarantine};
pub use default::{DefaultAlreadySet, default_locks, lock, set_default, try_lock};
pub use error::{ConnectError, InspectError, LockError, Loss, Lost, ReleaseError, RenewError};
pub use guard::Guard;
pub use inspect::{Holder, Inspection, NodeInspection};
pub use key::KeyError;
pub use locks::Locks;
pub use options::{LockOptions, OptionsError};
#[doc(inline)]
pub use tenure_core::{AtCapacity, ConfigError, Key, LabelError};
