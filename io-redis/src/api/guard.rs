//! The guard: a held lock, the truth about it, and its end.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tenure_core::{Fence, LeaseId, LeaseOptions, Release};

use tracing::Instrument;

use crate::client::cell::{Cell, Stage};
use crate::client::logging;
use crate::client::shared::{Client, Granted};
use crate::error::{Ended, Loss, Lost, ReleaseError, RenewError};

/// A held lock. It renews itself until it is released, dropped, or lost.
///
/// Holding a guard is not the same as holding the lock: a process may be paused, a network cut, a
/// key deleted. So before each step that must not have company, ask [`is_valid`](Self::is_valid) or
/// [`ensure`](Self::ensure), run the work under [`run`](Self::run), and let the resource behind the
/// lock refuse a smaller [`fence`](Self::fence): that alone protects it from a holder that was
/// paused in the middle of a write.
///
/// Dropping it releases the lock in the background; if the network works, within one round trip.
/// [`release`](Self::release) waits and says what became of it: use it, or
/// [`Locks::close`](crate::Locks::close), where the program or its runtime ends right after. A guard that is leaked renews itself
/// until its client is closed.
#[must_use = "dropping the guard releases the lock at once"]
pub struct Guard {
    client: Arc<Client>,
    lease: LeaseId,
    cell: Arc<Cell>,
    fence: Fence,
    options: Arc<LeaseOptions>,
}

impl Guard {
    pub(crate) fn new(client: Arc<Client>, granted: Granted, options: Arc<LeaseOptions>) -> Self {
        Self {
            client,
            lease: granted.lease,
            cell: granted.cell,
            fence: granted.fence,
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

    /// Whether the lock is held now, on this process's own clock. Asks nobody, and is right even if
    /// nothing of the client got to run since.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        // Over by this clock: looked at again in order with the renewals, so that what was found
        // over once stays over.
        self.is_within() || self.lost_now().is_none()
    }

    /// Whether validity, as it was last told, has not ended.
    fn is_within(&self) -> bool {
        self.client.hub().clock().now() < self.cell.valid_until()
    }

    /// How long the lock is held from now if no renewal succeeds; zero if it is not held. Asks
    /// nobody.
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
    /// [`RenewError`], an outage among them after which the lock is still held for [less](Self::remaining); if `min` is more than a renewal can give, [`RenewError::TooMuch`].
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
        // A renewal that is joined may have begun a while ago; one that was begun here is fresh.
        for _ in 0..2 {
            let left = self.remaining();
            if left >= min && self.is_valid() {
                return Ok(left);
            }
            self.renew().await?;
        }
        // Two more would give no more: the cap on the total hold is near.
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
    /// This asks once. If the answer is lost, or no answer comes within the request timeout, it
    /// ends with
    /// [`RenewError::Outage`] while the lock is still held and the client itself goes on trying;
    /// [`renewed`](Self::renewed) waits for that.
    ///
    /// # Errors
    /// [`RenewError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock as it is; the renewal may still succeed.
    pub async fn renew(&self) -> Result<Duration, RenewError> {
        let span = tracing::debug_span!("renew", key = %self.cell.key());
        self.renew_now().instrument(span).await
    }

    async fn renew_now(&self) -> Result<Duration, RenewError> {
        let before = self.cell.state();
        let outage = || RenewError::Outage {
            key: self.cell.key().clone(),
        };
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
            // Not refused by the nodes but never asked of them, if the tasks have ended meanwhile.
            Ok(false) => Err(match self.client.hub().check() {
                Ok(()) => outage(),
                Err(ended) => self.ended(ended),
            }),
            Err(loss) => Err(RenewError::Lost(self.lost_as(loss))),
        }
    }

    /// Ends when the next renewal is confirmed, by the client itself or by [`renew`](Self::renew).
    /// Returns how long the lock is held from then: for whoever has to pass it on, to a lease that
    /// depends on this one or to a page that shows it.
    ///
    /// # Errors
    /// [`Lost`], if the lock is lost first.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect. Renewals that are confirmed while nobody waits are not
    /// told afterwards: [`remaining`](Self::remaining) includes them.
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

    /// Ends when the lock is lost, and says how: at the end of its validity at the latest.
    ///
    /// Inside a tokio runtime (with its timer enabled) that does not depend on the client's tasks;
    /// elsewhere they have to be running.
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
                // Shortened: the timer is set for too late.
                Stage::Held(_) if self.cell.valid_until() < until => Some(None),
                Stage::Held(_) => None,
                stage => Some(Some(loss(stage))),
            });
            let mut told = pin!(told);
            // A timer of the caller's runtime, if there is one: the client's own tasks may not get
            // to run.
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

    /// Runs `work` while the lock is held. It is dropped the moment the lock is lost.
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
            // Loss first: work that is ready and a lock that is lost is a loss.
            if let Poll::Ready(lost) = lost.as_mut().poll(cx) {
                return Poll::Ready(Err(lost));
            }
            match work.as_mut().poll(cx) {
                // The work may have taken long in this very poll.
                Poll::Ready(done) => Poll::Ready(match self.lost_now() {
                    Some(lost) => Err(lost),
                    None => Ok(done),
                }),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Releases the lock and says what became of it. In every case the lease is over: the guard is
    /// not valid from the moment this is called.
    ///
    /// # Errors
    /// [`ReleaseError::Lost`] if the lock had been lost before, [`ReleaseError::Unknown`] if not
    /// enough nodes answered in time.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the release.
    pub async fn release(self) -> Result<(), ReleaseError> {
        let span = tracing::debug_span!("release", key = %self.cell.key());
        self.release_now().instrument(span).await
    }

    async fn release_now(self) -> Result<(), ReleaseError> {
        let key = self.cell.key().clone();
        if let Some(lost) = self.lost_now() {
            return Err(ReleaseError::Lost(lost));
        }
        if self.cell.let_go() && self.client.hub().release(self.lease).is_err() {
            return Err(ReleaseError::RuntimeEnded { key });
        }
        let outcome = self.cell.wait_for(|state| match &state.stage {
            Stage::Held(_) | Stage::Acquiring | Stage::Releasing => None,
            Stage::Released(outcome) => Some(outcome.clone().into_loss()),
            stage => Some(Err(Some(loss(stage)))),
        });
        match outcome.await {
            Ok(()) => Ok(()),
            Err(Some(loss)) => Err(ReleaseError::Lost(self.lost_as(loss))),
            Err(None) => Err(match self.client.hub().check() {
                Err(Ended::RuntimeEnded) => ReleaseError::RuntimeEnded { key },
                _ => ReleaseError::Unknown { key },
            }),
        }
    }

    /// The loss, if the lock is lost now: told by the nodes, or by this process's own clock.
    fn lost_now(&self) -> Option<Lost> {
        if let Stage::Held(_) = self.cell.state().stage {
            if self.is_within() {
                return None;
            }
            // Nobody said so yet, but the clock does. The core knows why: its time, or its cap.
            self.client.hub().catch_up();
            if let Stage::Held(_) = self.cell.state().stage {
                // Renewed in time by another thread, which was about to say so.
                if self.is_within() {
                    return None;
                }
                if self.cell.finish(Stage::Lost(Loss::Expired)) {
                    self.client.hub().cancel(self.lease);
                    logging::expired(self.cell.key());
                }
            }
        }
        Some(self.lost_as(loss(&self.cell.state().stage)))
    }

    /// Why a renewal cannot be asked for any more.
    fn ended(&self, ended: Ended) -> RenewError {
        match ended {
            Ended::Closed => RenewError::Lost(self.lost_as(Loss::Closed)),
            Ended::RuntimeEnded => RenewError::RuntimeEnded {
                key: self.cell.key().clone(),
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
    /// What the guard can say of itself, not the whole client behind it with all of its leases.
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
        // Over already: its debts are the client's, and cancelling would hide nothing.
        if self.cell.finish(Stage::Released(Release::Unknown)) {
            self.client.hub().cancel(self.lease);
        }
    }
}

/// The loss that a stage which is over stands for.
fn loss(stage: &Stage) -> Loss {
    match stage {
        Stage::Lost(loss) => loss.clone(),
        Stage::Released(Release::Lost(loss)) => loss.clone().into(),
        // Only the owner releases, and it has no guard to ask with any more.
        _ => Loss::Closed,
    }
}

trait IntoLoss {
    fn into_loss(self) -> Result<(), Option<Loss>>;
}

impl IntoLoss for Release {
    fn into_loss(self) -> Result<(), Option<Loss>> {
        match self {
            Self::Released => Ok(()),
            Self::Lost(loss) => Err(Some(loss.into())),
            Self::Unknown => Err(None),
        }
    }
}
