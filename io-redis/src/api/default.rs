//! The default client of a program: set once, used by [`lock`] and [`try_lock`].

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tenure_core::Key;

use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::error::LockError;

static DEFAULT: RwLock<Option<Arc<Locks>>> = RwLock::new(None);

/// Sets the default client, once. If the default is closed, or its runtime has ended, this one
/// takes its place.
///
/// The tasks of a client run on the runtime that built it. Where several runtimes share the default
/// (each `#[tokio::test]` has its own), build it with
/// [`Builder::own_thread`](crate::Builder::own_thread).
///
/// # Errors
/// [`DefaultAlreadySet`] if there is one already that serves; it stays.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// tenure_redis::set_default(tenure_redis::Locks::connect("redis://127.0.0.1").await?)?;
///
/// let guard = tenure_redis::lock("orders/42").await?;
/// # Ok(())
/// # }
/// ```
pub fn set_default(locks: Locks) -> Result<(), DefaultAlreadySet> {
    let ended = {
        let mut default = DEFAULT.write().unwrap_or_else(PoisonError::into_inner);
        if default.as_ref().is_some_and(|locks| locks.serves()) {
            return Err(DefaultAlreadySet);
        }
        default.replace(Arc::new(locks))
    };
    // Not under the lock: the last handle of a client wakes its tasks.
    drop(ended);
    Ok(())
}

/// The default client, if it was set.
#[must_use]
pub fn default_locks() -> Option<Locks> {
    current().map(|locks| Locks::clone(&locks))
}

fn current() -> Option<Arc<Locks>> {
    let default = DEFAULT.read().unwrap_or_else(PoisonError::into_inner);
    default.clone()
}

/// Takes a lock with the default client, waiting until it is free: [`Locks::lock`].
///
/// # Errors
/// Those of [`Locks::lock`], and [`LockError::NoDefault`] before [`set_default`].
///
/// # Cancel safety
/// As [`Locks::lock`]: dropping the future leaves nothing held.
pub async fn lock(key: impl AsRef<[u8]>) -> Result<Guard, LockError> {
    needed(key.as_ref())?.lock(key).await
}

/// Tries once to take a lock with the default client: [`Locks::try_lock`].
///
/// # Errors
/// Those of [`Locks::try_lock`], and [`LockError::NoDefault`] before [`set_default`].
///
/// # Cancel safety
/// As [`Locks::try_lock`]: dropping the future leaves nothing held.
pub async fn try_lock(key: impl AsRef<[u8]>) -> Result<Guard, LockError> {
    needed(key.as_ref())?.try_lock(key).await
}

fn needed(key: &[u8]) -> Result<Arc<Locks>, LockError> {
    current().ok_or_else(|| LockError::NoDefault { key: Key::new(key) })
}

/// There is a default client already, and it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultAlreadySet;

impl fmt::Display for DefaultAlreadySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is a default client already: set it once, at the start of the program")
    }
}

impl std::error::Error for DefaultAlreadySet {}
