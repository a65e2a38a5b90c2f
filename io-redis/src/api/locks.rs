//! The handle: takes locks, and keeps the client alive.

use std::fmt;
use std::sync::Arc;

use tenure_core::{Instant, LeaseOptions};

use crate::api::guard::Guard;
use crate::api::inspect::Inspection;
use crate::api::options::{LockOptions, OptionsError};
use crate::client::patience::within;
use crate::client::shared::{Client, Granted, too_late};
use crate::error::{InspectError, LockError, SilentNode};

/// Takes locks.
///
/// A handle is cheap to clone, and `Send + Sync`. Handles and [guards](Guard) keep the client
/// alive: when the last of them is dropped, its connections and tasks end in the background.
///
/// # How long a call takes
///
/// All but [`lock`](Self::lock) end within a bound, and `lock` does if it is told to [give
/// up](LockOptions::give_up_after). The table is under [Bounded
/// work](crate::guarantees::bounded_work#how-long-a-call-takes). The client's own tasks keep these
/// bounds. Where they do not run (the runtime that it was built on is blocked, or this is a forked
/// child) a task on the caller's runtime ends the call a quarter later, with an outage that names
/// *this process*.
///
/// A caller outside of tokio has no such task, nor has one on a tokio runtime without
/// `enable_time`. There all works, but depends on the client's tasks. In the second case tokio
/// panics once, which is caught: the panic hook shows it, and a program that is built with `panic =
/// "abort"` ends.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tenure_redis::Locks;
///
/// let locks = Locks::connect("redis://127.0.0.1").await?;
/// let guard = locks.lock("orders/42").await?;
/// // … only one of us is here …
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Locks {
    client: Arc<Client>,
    options: LockOptions,
    lock: Arc<LeaseOptions>,
    try_lock: Arc<LeaseOptions>,
}

impl Locks {
    pub(crate) fn new(
        client: Arc<Client>,
        options: LockOptions,
        lock: LeaseOptions,
        try_lock: LeaseOptions,
    ) -> Self {
        Self {
            client,
            options,
            lock: Arc::new(lock),
            try_lock: Arc::new(try_lock),
        }
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Whether the client is open and its tasks run.
    pub(crate) fn serves(&self) -> bool {
        self.client.hub().check().is_ok()
    }

    /// A handle of the same client with other options, for one call or for many.
    ///
    /// # Errors
    /// [`OptionsError`] if the options cannot work.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(locks: tenure_redis::Locks) -> Result<(), Box<dyn std::error::Error>> {
    /// let hasty = locks.with(|options| options.give_up_after(Duration::from_secs(1)))?;
    /// let guard = hasty.lock("orders/42").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with(
        &self,
        change: impl FnOnce(LockOptions) -> LockOptions,
    ) -> Result<Self, OptionsError> {
        let options = change(self.options.clone());
        let lock = options.build(self.client.hub().config(), None)?;
        let try_lock = options.build(self.client.hub().config(), Some(1))?;
        Ok(Self::new(Arc::clone(&self.client), options, lock, try_lock))
    }

    /// Takes the lock on `key`. Waits until it is granted or, if the options say so, until it gives
    /// up: after [that time](LockOptions::give_up_after), but not before one attempt.
    ///
    /// Over one node it waits in a queue beside the key: whoever releases the lock hands it on, in
    /// the order in which the waiters came ([Fairness](crate::guarantees::fairness)). Over several
    /// nodes there is no order: each release lets the nodes hint to somebody who waits, who asks at
    /// once. Where a node cannot push, it tries again several times a second
    /// ([`LockOptions::backoff`]), and when that owner's time ends. While not enough nodes answer,
    /// its pauses grow. Errors that waiting cannot cure are returned at once.
    ///
    /// A key may have up to 64 KiB, its prefix included, but each request about it carries it, and
    /// those that are due together share a connection: many long keys at once can take longer than
    /// a request timeout, which is an outage. Use a digest of a long name.
    ///
    /// # Deadlocks
    /// A lock cannot be taken twice: a task that asks for a key whose guard it has waits for itself
    /// (the log warns of it). And two tasks that take two keys, each in another order, wait for
    /// each other. That ends when one of them [gives up](LockOptions::give_up_after), which by
    /// default is never. Take keys in one order, everywhere.
    ///
    /// # Errors
    /// [`LockError`]: contention, outage and a key without an expiry only after [giving
    /// up](LockOptions::give_up_after), misuse at once. A key without an expiry is warned of in the
    /// log, once.
    ///
    /// # Cancel safety
    /// Dropping the future at any point leaves nothing held. Whatever was granted, or may have
    /// been, is released in the background.
    pub async fn lock(&self, key: impl AsRef<[u8]>) -> Result<Guard, LockError> {
        let key = self
            .client
            .key(key.as_ref())
            .map_err(LockError::key_refused)?;
        let clock = &**self.client.hub().clock();
        let asked = clock.now();
        let give_up = self.lock.give_up_after().map(|span| asked + span);
        if let Some(whose) = self.client.own_keys().to_warn(&key, asked) {
            self.client.hub().log_waits_for_itself(&key, whose);
        }
        let mut options = Arc::clone(&self.lock);
        loop {
            if let Some(granted) = self.client.acquire(&key, &options).await? {
                return Ok(self.guard(granted, asked, &self.lock));
            }
            // It was granted, and its time ended before this task ran. What is left of the
            // caller's patience is for another lease.
            if let Some(at) = give_up {
                let left = at.saturating_since(clock.now());
                if left.is_zero() {
                    return Err(too_late(key));
                }
                options = Arc::new(options.with_give_up_after(left));
            }
            tokio::task::yield_now().await;
        }
    }

    /// Tries once to take the lock on `key`: one attempt at the nodes, without waiting for another
    /// owner and without a place in the queue. It takes one request timeout at most (or half of the
    /// validity, if that is less), also if the options say to [give up](LockOptions::give_up_after)
    /// earlier. Over one node without quarantine it may take two: a key that is held is asked about
    /// once more, by a script that says for how long.
    ///
    /// # Errors
    /// [`LockError`]. Contention says how much time the present owner has left.
    ///
    /// # Cancel safety
    /// Dropping the future at any point leaves nothing held. Whatever was granted, or may have
    /// been, is released in the background.
    pub async fn try_lock(&self, key: impl AsRef<[u8]>) -> Result<Guard, LockError> {
        let key = self
            .client
            .key(key.as_ref())
            .map_err(LockError::key_refused)?;
        let asked = self.client.hub().clock().now();
        match self.client.acquire(&key, &self.try_lock).await? {
            Some(granted) => Ok(self.guard(granted, asked, &self.try_lock)),
            None => Err(too_late(key)),
        }
    }

    fn guard(&self, granted: Granted<'_>, asked: Instant, options: &Arc<LeaseOptions>) -> Guard {
        Guard::new(
            Arc::clone(&self.client),
            granted,
            asked,
            Arc::clone(options),
        )
    }

    /// Asks who holds `key`: the owner's label, how much time is left, and over one node who waits
    /// for it, over several the last fence. Changes nothing. It takes two tries to connect and four
    /// request timeouts at most, 8 s by default; or up to 12 s where round trips were found to take
    /// up to 1 s. Where the client's own tasks do not run, it ends a quarter later: after 10 s by
    /// default.
    ///
    /// It asks by a script that counts as a write, so that no replica answers. A user who may only
    /// read can inspect too, with a client from [`connect_lazy`](crate::Builder::connect_lazy):
    /// then it reads by plain commands, and a replica may answer with old data
    /// ([`NodeInspection::from_primary`](crate::NodeInspection::from_primary)).
    ///
    /// # Errors
    /// [`InspectError`] if no node answers: an outage, or misuse if one refuses this client.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn inspect(&self, key: impl AsRef<[u8]>) -> Result<Inspection, InspectError> {
        let key = self
            .client
            .key(key.as_ref())
            .map_err(|(key, error)| InspectError::Key { key, error })?;
        match self.client.inspect(&key).await {
            Ok(Some(answers)) => Inspection::collect(key, answers),
            Ok(None) => Err(InspectError::Outage {
                key,
                nodes: SilentNode::stalled(),
            }),
            Err(ended) => Err(InspectError::ended(key, ended)),
        }
    }

    /// Releases all that this client holds, for all of its handles and guards, and ends its tasks.
    ///
    /// Ends when the nodes have answered, or after four request timeouts: a connection that turns
    /// out to be dead costs two, and another one, with the answer, two more. What is not released
    /// by then ends with its TTL. Who waits for a lock leaves the queue and is told
    /// [`LockError::Closed`]. Guards of the client are lost with
    /// [`Loss::Closed`](crate::Loss::Closed). Who waits for a [release](Guard::release) that began
    /// before is told its outcome, or at the end that it is unknown.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the closing.
    pub async fn close(&self) {
        let hub = self.client.hub();
        let patience = hub.config().release_timeout();
        hub.close(Some(patience));
        within(self.client.alarms(), patience, hub.finished()).await;
        // If the client's own tasks do not run, it is finished here.
        hub.finish();
    }
}

impl fmt::Debug for Locks {
    /// Shows the nodes and the options, not every lease of the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks")
            .field("nodes", &self.client.hub().names())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
