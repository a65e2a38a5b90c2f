//! The guard: a held lock, whether it is still held, and its release.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tenure_core::{Fence, LeaseId, LeaseOptions, Release, RenewalFailure};
use tracing::Instrument;

use crate::client::cell::{Cell, Stage, UNANSWERED};
use crate::client::shared::{Client, Granted};
use crate::error::{Ended, Loss, Lost, ReleaseError, RenewError};
use crate::log_target::LOG_TARGET;

/// A held lock. It renews itself until it is released, dropped, or lost.
///
/// Holding a guard is not the same as holding the lock: the process may be paused, the network cut,
/// or the key deleted. So before each step that nobody else may do at the same time, ask
/// [`is_valid`](Self::is_valid) or [`ensure`](Self::ensure), or run the work under
/// [`run`](Self::run). And let the resource behind the lock refuse a smaller
/// [`fence`](Self::fence): only that protects it from a holder that was paused in the middle of a
/// write.
///
/// Dropping the guard releases the lock in the background; if the network works, within one round
/// trip. [`release`](Self::release) waits and tells the result. Use it, or
/// [`Locks::close`](crate::Locks::close), where the program or its runtime ends right after. A
/// guard that is leaked renews itself until its client is closed.
#[must_use = "dropping the guard releases the lock at once"]
pub struct Guard {
    client: Arc<Client>,
    lease: LeaseId,
    cell: Arc<Cell>,
    fence: Fence,
    options: Arc<LeaseOptions>,
}

impl Guard {
    pub(crate) fn new(
        client: Arc<Client>,
        granted: Granted<'_>,
        options: Arc<LeaseOptions>,
    ) -> Self {
        let (lease, cell, fence) = granted.hand_over();
        Self {
            client,
            lease,
            cell,
            fence,
            options,
        }
    }

    /// The key that was asked for, without the client's prefix.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.cell.key().as_bytes()[self.client.prefix_len()..]
    }

    /// The fencing token: larger than that of every earlier grant of this key. Hand it to the
    /// resource behind the lock, which refuses a smaller one than it has seen.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.fence.get()
    }

    /// Whether the lock is held now, by this process's own clock. Asks no node, and is right even
    /// if no task of the client has run lately.
    // Law: Loss is told
    #[must_use]
    pub fn is_valid(&self) -> bool {
        // By this clock the lease is over. `lost_now` looks again under the hub's lock, in order
        // with renewals, so that a lease that was once seen to be over stays over.
        self.is_within() || self.lost_now().is_none()
    }

    /// Whether the validity that was last told has not ended yet.
    fn is_within(&self) -> bool {
        self.client.hub().clock().now() < self.cell.valid_until()
    }

    /// How long the lock is held from now if no renewal succeeds; zero if it is not held. Asks no
    /// node.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.cell
            .valid_until()
            .saturating_since(self.client.hub().clock().now())
    }

    /// Makes sure that the lock is held for at least `min` from now: [renews](Self::renew) it if
    /// less is left. Returns what is left.
    ///
    /// # Errors
    /// [`RenewError`]. After an outage the lock is still held for what is [left](Self::remaining).
    /// If `min` is more than a renewal can give, [`RenewError::TooMuch`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock as it is; a renewal that is under way may still succeed.
    pub async fn ensure(&self, min: Duration) -> Result<Duration, RenewError> {
        let most = self.options.valid_for();
        if min >= most {
            return Err(RenewError::TooMuch {
                key: self.cell.key().clone(),
                wanted: min,
                most,
            });
        }
        // The first `renew` may join a renewal that began earlier and so gives less time; the
        // second begins now.
        for _ in 0..2 {
            let left = self.remaining();
            if left >= min && self.is_valid() {
                return Ok(left);
            }
            self.renew().await?;
        }
        // Further renewals would not help: the cap on the total hold is near.
        let left = self.remaining();
        if left >= min {
            return Ok(left);
        }
        Err(RenewError::TooMuch {
            key: self.cell.key().clone(),
            wanted: min,
            most: left,
        })
    }

    /// Renews the lock now, whether or not a renewal is due. Returns how long it is held from now.
    ///
    /// This asks once. If the answer is lost, or none comes within the request timeout, it ends
    /// with [`RenewError::Outage`]. The lock is still held then, and the client goes on trying;
    /// [`renewed`](Self::renewed) waits for that.
    ///
    /// # Errors
    /// [`RenewError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock as it is; the renewal may still succeed.
    pub async fn renew(&self) -> Result<Duration, RenewError> {
        let span = tracing::debug_span!(target: LOG_TARGET, "renew", key = ?self.cell.key());
        self.renew_now().instrument(span).await
    }

    async fn renew_now(&self) -> Result<Duration, RenewError> {
        let before = self.cell.state();
        if let Some(lost) = self.lost_now() {
            return Err(RenewError::Lost(lost));
        }
        self.client
            .hub()
            .renew(self.lease)
            .map_err(|ended| self.ended(ended))?;
        let renewed = self.cell.wait_for(|state| match &state.stage {
            Stage::Held(_) if state.renewed > before.renewed => Some(Ok(true)),
            Stage::Held(_) if state.failed > before.failed => Some(Ok(false)),
            Stage::Held(_) => None,
            stage => Some(Err(loss(stage))),
        });
        match renewed.await {
            Ok(true) => Ok(self.remaining()),
            // If the tasks have ended meanwhile, the nodes were never asked.
            Ok(false) => Err(match self.client.hub().check() {
                Ok(()) => self.unconfirmed(),
                Err(ended) => self.ended(ended),
            }),
            Err(loss) => Err(RenewError::Lost(self.lost_as(loss))),
        }
    }

    /// Ends when the next renewal is confirmed, whether the client began it or
    /// [`renew`](Self::renew). Returns how long the lock is held from then. Use it to pass that
    /// time on: to a lease that depends on this one, or to a page that shows it.
    ///
    /// # Errors
    /// [`Lost`], if the lock is lost first.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect. Renewals that are confirmed while nobody waits are not
    /// told afterwards; [`remaining`](Self::remaining) includes them.
    ///
    /// ```no_run
    /// # async fn example(guard: tenure_redis::Guard) -> Result<(), tenure_redis::Lost> {
    /// loop {
    ///     println!("held for {:?} more", guard.renewed().await?);
    /// }
    /// # }
    /// ```
    pub async fn renewed(&self) -> Result<Duration, Lost> {
        let before = self.cell.state().renewed;
        let next = self
            .cell
            .wait_for(|state| (state.renewed > before).then_some(()));
        self.run(next).await?;
        Ok(self.remaining())
    }

    /// Ends when the lock is lost, and says how. It ends with the validity of the lock at the
    /// latest.
    ///
    /// Inside a tokio runtime with a timer, this does not depend on the client's tasks. Elsewhere
    /// they must be running.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn lost(&self) -> Lost {
        loop {
            if let Some(lost) = self.lost_now() {
                return lost;
            }
            let until = self.cell.valid_until();
            let told = self.cell.wait_for(|state| match &state.stage {
                // Validity was shortened, so the timer below is set for too late.
                Stage::Held(_) if self.cell.valid_until() < until => Some(None),
                Stage::Held(_) => None,
                stage => Some(Some(loss(stage))),
            });
            let mut told = pin!(told);
            // A timer of the caller's runtime, if there is one, since the client's own tasks may
            // not get to run.
            // Law: Loss is told
            let in_runtime = tokio::runtime::Handle::try_current().is_ok();
            let mut timer = in_runtime.then(|| self.client.hub().clock().sleep_until(until));
            let loss = std::future::poll_fn(|cx| {
                if let Poll::Ready(loss) = told.as_mut().poll(cx) {
                    return Poll::Ready(loss);
                }
                match &mut timer {
                    Some(timer) => timer.as_mut().poll(cx).map(|()| None),
                    None => Poll::Pending,
                }
            });
            if let Some(loss) = loss.await {
                return self.lost_as(loss);
            }
        }
    }

    /// Runs `work` while the lock is held. When the lock is lost, `work` is dropped at once.
    ///
    /// # Errors
    /// [`Lost`], if the lock was lost before the work was done. The work may have had effects.
    ///
    /// # Cancel safety
    /// Dropping the future drops `work`; the lock stays held.
    ///
    /// ```no_run
    /// # async fn example(guard: tenure_redis::Guard) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn nightly_report(fence: u64) {}
    /// guard.run(nightly_report(guard.fence())).await?;
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        let mut lost = pin!(self.lost());
        let mut work = pin!(work);
        std::future::poll_fn(|cx| {
            // Loss first: if the lock is lost and the work is ready, the answer is the loss.
            if let Poll::Ready(lost) = lost.as_mut().poll(cx) {
                return Poll::Ready(Err(lost));
            }
            match work.as_mut().poll(cx) {
                // This one poll of the work may have taken long.
                Poll::Ready(done) => Poll::Ready(match self.lost_now() {
                    Some(lost) => Err(lost),
                    None => Ok(done),
                }),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Releases the lock and tells the result. In every case the lease is over: the guard is not
    /// valid from the moment this is called.
    ///
    /// `Ok` means that the lock was held until now and freed by this release. There is one double
    /// fault that cannot be told from that: the lock was deleted or flushed at the node by
    /// somebody, *and* the release that was sent first had no answer, for example since its
    /// connection broke. It is sent again then, and *gone* or *taken* is understood as the work of
    /// the first.
    ///
    /// # Errors
    /// [`ReleaseError::Lost`] if the lock had been lost before, [`ReleaseError::Unknown`] if not
    /// enough nodes answered in time.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the release.
    pub async fn release(self) -> Result<(), ReleaseError> {
        let span = tracing::debug_span!(target: LOG_TARGET, "release", key = ?self.cell.key());
        self.release_now().instrument(span).await
    }

    async fn release_now(self) -> Result<(), ReleaseError> {
        let key = self.cell.key().clone();
        if let Some(lost) = self.lost_now() {
            return Err(ReleaseError::Lost(lost));
        }
        // Validity ends before the request is queued.
        // Law: No resurrection
        if self.cell.let_go()
            && let Err(ended) = self.client.hub().release(self.lease)
        {
            return Err(match ended {
                Ended::RuntimeEnded(why) => ReleaseError::RuntimeEnded { key, why },
                Ended::Closed => ReleaseError::Lost(self.lost_as(Loss::Closed)),
            });
        }
        let outcome = self.cell.wait_for(|state| match &state.stage {
            Stage::Held(_) | Stage::Acquiring | Stage::Releasing => None,
            Stage::Released(outcome) => Some(Ok(outcome.clone())),
            stage => Some(Err(loss(stage))),
        });
        let hub = self.client.hub();
        Err(match outcome.await {
            Ok(Release::Released) => return Ok(()),
            Ok(Release::Lost(loss)) => ReleaseError::Lost(self.lost_as(loss.into())),
            Err(loss) => ReleaseError::Lost(self.lost_as(loss)),
            Ok(Release::Rejected { node, words }) => ReleaseError::Rejected {
                key,
                node: hub.name(node).to_owned(),
                words: words.as_str().to_owned(),
            },
            Ok(Release::Unknown { silent }) => match hub.check() {
                Err(Ended::RuntimeEnded(why)) => ReleaseError::RuntimeEnded { key, why },
                _ => ReleaseError::Unknown {
                    key,
                    nodes: hub.silence(&silent),
                },
            },
        })
    }

    /// The loss, if the lock is lost now, by what the nodes said or by this process's own clock.
    // Law: Loss is told
    fn lost_now(&self) -> Option<Lost> {
        if let Stage::Held(_) = self.cell.state().stage {
            if self.is_within() {
                return None;
            }
            // The clock says that it is over, and no event has said so yet. The core knows whether
            // its time or its cap has ended.
            self.client.hub().catch_up();
            if let Stage::Held(_) = self.cell.state().stage {
                // Another thread renewed it in time, and its event is here now.
                if self.is_within() {
                    return None;
                }
                if self.cell.finish(Stage::Lost(Loss::Expired)) {
                    self.client.hub().cancel(self.lease);
                    self.client.hub().log_expired(self.cell.key());
                }
            }
        }
        Some(self.lost_as(loss(&self.cell.state().stage)))
    }

    /// Why the last renewal was not confirmed.
    fn unconfirmed(&self) -> RenewError {
        let key = self.cell.key().clone();
        match self.cell.state().failure {
            Some(RenewalFailure::Rejected { node, words }) => RenewError::Rejected {
                key,
                node: self.client.hub().name(node).to_owned(),
                words: words.as_str().to_owned(),
            },
            Some(RenewalFailure::Outage { silent }) => RenewError::Outage {
                key,
                nodes: self.client.hub().silence(&silent),
            },
            None => RenewError::Outage {
                key,
                nodes: Vec::new(),
            },
        }
    }

    /// Why a renewal cannot be asked for any more.
    fn ended(&self, ended: Ended) -> RenewError {
        match ended {
            Ended::Closed => RenewError::Lost(self.lost_as(Loss::Closed)),
            Ended::RuntimeEnded(why) => RenewError::RuntimeEnded {
                key: self.cell.key().clone(),
                why,
            },
        }
    }

    fn lost_as(&self, loss: Loss) -> Lost {
        Lost {
            key: self.cell.key().clone(),
            loss,
        }
    }
}

impl fmt::Debug for Guard {
    /// Shows what the guard knows of itself, not the whole client with all of its leases.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("key", self.cell.key())
            .field("fence", &self.fence())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // If the lease is over already, there is nothing left to cancel: what is owed to nodes is
        // the client's.
        // Law: No orphan
        if self.cell.finish(Stage::Released(UNANSWERED)) {
            self.client.hub().cancel(self.lease);
        }
    }
}

/// The loss that a final stage stands for.
fn loss(stage: &Stage) -> Loss {
    match stage {
        Stage::Lost(loss) => loss.clone(),
        Stage::Released(Release::Lost(loss)) => loss.clone().into(),
        // Released by its owner, who has no guard left to ask with.
        _ => Loss::Closed,
    }
}
