//! The guard: a held lock, whether it is still held, and its release.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Fence, Instant, LeaseId, LeaseOptions, Release, RenewalFailure};

use crate::api::until_lost::{Run, UntilLost};
use crate::client::cell::{Cell, Stage};
use crate::client::patience::within;
use crate::client::shared::{Client, Granted};
use crate::error::{Ended, Loss, Lost, ReleaseError, RenewError, SilentNode};

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
///
/// - **Give it a name.** `let _ = locks.lock("k").await?;` drops the guard at once, and the work
///   behind it is not protected. `let _guard = …` keeps it to the end of the block.
/// - **A child after `fork`** has a copy of the guard that nothing renews. Its validity ends by the
///   clock, but what the child's copy of the client still does, it does on the connections of the
///   parent. Do not touch in the child what it inherited: build a client there.
#[must_use = "dropping the guard releases the lock at once"]
pub struct Guard {
    pub(super) client: Arc<Client>,
    pub(super) lease: LeaseId,
    pub(super) cell: Arc<Cell>,
    fence: Fence,
    waited_nanos: u64,
    options: Arc<LeaseOptions>,
}

impl Guard {
    pub(crate) fn new(
        client: Arc<Client>,
        granted: Granted<'_>,
        asked: Instant,
        options: Arc<LeaseOptions>,
    ) -> Self {
        let since = granted.at();
        let waited = since.saturating_since(asked).as_nanos();
        let (lease, cell, fence) = granted.hand_over();
        client.own_keys().took(&cell);
        Self {
            client,
            lease,
            cell,
            fence,
            // In 584 years it is full.
            waited_nanos: u64::try_from(waited).unwrap_or(u64::MAX),
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
    ///
    /// It is about twice the Unix time in microseconds as the lock was granted, and below 2^53
    /// until 2112: it fits a signed 64-bit column and a number of JavaScript. Over one node it
    /// grows over all keys together, so one resource may be guarded by several locks:
    /// [Fencing](crate::guarantees::fencing).
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.fence.get()
    }

    /// How long the call that took the lock waited for it, [`lock`](crate::Locks::lock) or
    /// [`try_lock`](crate::Locks::try_lock): from its first poll until its task was told that the
    /// lock is granted, by this process's own clock. Round trips, outages and the wait for other
    /// owners are all in it.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_nanos)
    }

    /// Whether the lock is held now, by this process's own clock. Asks no node, and is right even
    /// if no task of the client has run lately.
    // Law: Loss is told
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.lost_now().is_none()
    }

    /// How long the lock is held from now if no renewal succeeds. Asks no node. Zero means that it
    /// is lost, and stays so.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.held_for().unwrap_or_default()
    }

    /// What is left of the validity that was last told.
    fn left(&self) -> Duration {
        self.cell
            .valid_until()
            .saturating_since(self.client.hub().clock().now())
    }

    /// What is left, which is not zero; or how the lock was lost.
    // Law: No resurrection, Loss is told
    fn held_for(&self) -> Result<Duration, Lost> {
        loop {
            let left = self.left();
            if !left.is_zero() {
                return Ok(left);
            }
            // By this clock the lease is over. `lost_now` looks again under the hub's lock, in
            // order with renewals: a lease that was once seen to be over stays over.
            if let Some(lost) = self.lost_now() {
                return Err(lost);
            }
        }
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
            let left = self.held_for().map_err(RenewError::Lost)?;
            if left >= min {
                return Ok(left);
            }
            self.renew().await?;
        }
        // Further renewals would not help: the cap on the total hold is near.
        let left = self.held_for().map_err(RenewError::Lost)?;
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
    /// This asks once, or joins a renewal that is under way. If no answer comes within the request
    /// timeout (or half of the time between a due renewal and the end of validity, if that is less)
    /// it ends with [`RenewError::Outage`]. If a server refuses to serve this client, it ends at
    /// once with [`RenewError::Rejected`]. In both cases the lock is still held for what is
    /// [left](Self::remaining), and unless renewal is off the client goes on trying;
    /// [`renewed`](Self::renewed) waits for that.
    ///
    /// # Errors
    /// [`RenewError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lock as it is; the renewal may still succeed.
    pub async fn renew(&self) -> Result<Duration, RenewError> {
        if let Some(lost) = self.lost_now() {
            return Err(RenewError::Lost(lost));
        }
        let hub = self.client.hub();
        let begun = hub.renew(self.lease).map_err(|ended| self.ended(ended))?;
        let before = begun.unwrap_or_else(|| self.cell.state());
        let renewed = self.cell.wait_for(|state| match &state.stage {
            Stage::Held(_) if state.renewed != before.renewed => Some(Ok(true)),
            Stage::Held(_) if state.failed != before.failed => Some(Ok(false)),
            Stage::Held(_) => None,
            stage => Some(Err(loss(stage))),
        });
        match within(self.client.alarms(), self.options.round_timeout(), renewed).await {
            Some(Ok(true)) => self.held_for().map_err(RenewError::Lost),
            Some(Ok(false)) => Err(match hub.check() {
                Ok(()) => self.unconfirmed(),
                Err(ended) => self.ended(ended),
            }),
            Some(Err(loss)) => Err(RenewError::Lost(self.lost_as(loss))),
            None => Err(match self.lost_now() {
                Some(lost) => RenewError::Lost(lost),
                None => RenewError::Outage {
                    key: self.cell.key().clone(),
                    nodes: SilentNode::stalled(),
                },
            }),
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
            .wait_for(|state| (state.renewed != before).then_some(()));
        self.run(next).await?;
        self.held_for()
    }

    /// Ends when the lock is lost, and says how. It ends with the validity of the lock at the
    /// latest.
    ///
    /// Inside a tokio runtime with a timer, this does not depend on the client's tasks. Elsewhere
    /// they must be running.
    ///
    /// It is polled when the lock is lost, or if its validity is shortened, and not between. For
    /// this, one task for all guards of the client runs on the caller's runtime while somebody
    /// awaits a loss or an answer there, and at most a second longer.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub fn lost(&self) -> impl Future<Output = Lost> + '_ {
        UntilLost::new(self)
    }

    /// Runs `work` while the lock is held. When the lock is lost, `work` is dropped at once. The
    /// clock is read before each poll of `work`, so no poll begins after the end of validity.
    ///
    /// That ends this future and what it awaits itself, and **nothing that it started elsewhere**:
    /// a task of `tokio::spawn`, the closure of `spawn_blocking`, a thread or a child process goes
    /// on without the lock. Make them end with it: await tasks in a `JoinSet`, which aborts them
    /// when it is dropped; set `kill_on_drop` for a child process; let a thread or a closure ask
    /// [`is_valid`](Self::is_valid) before each step. A request that was sent already arrives all
    /// the same. For what cannot be stopped in time there is the [`fence`](Self::fence).
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
    pub fn run<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Result<T, Lost>> {
        Run::new(self, work)
    }

    /// Releases the lock and tells the result. In every case the lease is over: the guard is not
    /// valid from the moment this is called.
    ///
    /// `Ok` means that the lock was held until now and freed by this release. There is one double
    /// fault that cannot be told from that: the lock was deleted or flushed at the node by
    /// somebody, *and* the release that was sent first had no answer, for example since its
    /// connection broke. It is sent again then, and *gone* or *taken* is understood as the work of
    /// the first. One crash can be both faults: of a node that keeps nothing on disk, while the
    /// release is in flight. A key that may have expired by itself before an answer came is not
    /// told as `Ok`, but as [`ReleaseError::Unknown`].
    ///
    /// It waits for four request timeouts at most, or one TTL if that is shorter. So one connection
    /// that turns out to be dead (two request timeouts) and another one in its place do not cost
    /// the answer.
    ///
    /// # Errors
    /// - [`ReleaseError::Lost`] if the lock had been lost before, also by the
    ///   [close](crate::Locks::close) of the client.
    /// - [`ReleaseError::Unknown`] if not enough nodes answered in time, or before the key may have
    ///   expired by itself. While the client lives, it goes on releasing
    ///   in the background, until a node answers or the key has expired.
    /// - [`ReleaseError::Rejected`], at once, if a server refuses to serve this client. That is not
    ///   tried again.
    /// - [`ReleaseError::RuntimeEnded`] if the client's runtime had ended before. Nothing was sent.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the release.
    pub async fn release(self) -> Result<(), ReleaseError> {
        let key = self.cell.key().clone();
        if let Some(lost) = self.lost_now() {
            return Err(ReleaseError::Lost(lost));
        }
        let hub = self.client.hub();
        // Validity ends before the request is queued.
        // Law: No resurrection
        if let Some(hold) = self.cell.let_go() {
            let released = hub.release(self.lease);
            hub.let_go(hold);
            if let Err(ended) = released {
                return Err(match ended {
                    Ended::RuntimeEnded(why) => ReleaseError::RuntimeEnded { key, why },
                    Ended::Closed => {
                        let nodes = ended.unanswered();
                        ReleaseError::Unknown { key, nodes }
                    }
                });
            }
        }
        let outcome = self.cell.wait_for(|state| match &state.stage {
            Stage::Held(_) | Stage::Acquiring | Stage::Releasing => None,
            stage => Some(stage.clone()),
        });
        let bound = self.options.release_timeout();
        let Some(outcome) = within(self.client.alarms(), bound, outcome).await else {
            let nodes = SilentNode::stalled();
            return Err(ReleaseError::Unknown { key, nodes });
        };
        Err(match outcome {
            Stage::Released => return Ok(()),
            Stage::NotReleased(why) => match *why {
                Release::Rejected { node, words } => ReleaseError::Rejected {
                    key,
                    node: hub.name(node).to_owned(),
                    words: words.as_str().to_owned(),
                },
                Release::Unknown { silent } => {
                    let nodes = hub.silence(&silent);
                    ReleaseError::Unknown { key, nodes }
                }
                why => ReleaseError::Lost(self.lost_as(loss(&Stage::NotReleased(why.into())))),
            },
            // It was handed over before, so it may have been sent.
            Stage::Abandoned(ended) => {
                let nodes = ended.unanswered();
                ReleaseError::Unknown { key, nodes }
            }
            stage => ReleaseError::Lost(self.lost_as(loss(&stage))),
        })
    }

    /// Has the nodes watch the key from the first call on, until the lock ends.
    pub(super) fn watch(&self) {
        if self.cell.watch() {
            self.client.hub().watch(self.lease, self.cell.key());
        }
    }

    /// The loss, if the lock is lost now, by what the nodes said or by this process's own clock.
    // Law: Loss is told
    pub(super) fn lost_now(&self) -> Option<Lost> {
        if !self.left().is_zero() {
            return None;
        }
        if let Stage::Held(_) = self.cell.state().stage {
            // The clock says that it is over, and no event has said so yet. The core knows whether
            // its time or its cap has ended.
            self.client.hub().catch_up(self.lease);
            if let Stage::Held(_) = self.cell.state().stage {
                // Another thread renewed it in time, and its event is here now.
                if !self.left().is_zero() {
                    return None;
                }
                self.client.hub().expire(self.lease, &self.cell);
            }
        }
        Some(self.lost_as(loss(&self.cell.state().stage)))
    }

    /// Why the last renewal was not confirmed.
    fn unconfirmed(&self) -> RenewError {
        let key = self.cell.key().clone();
        match self.cell.state().failure.map(|failure| *failure) {
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
            // A client that closes ends its leases one by one. This one is over from here on.
            // Law: No resurrection
            Ended::Closed => {
                self.client.hub().close_one(self.lease, &self.cell);
                RenewError::Lost(self.lost_as(loss(&self.cell.state().stage)))
            }
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
            .field("remaining", &self.left())
            .finish_non_exhaustive()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.client.own_keys().dropped(&self.cell);
        // If the lease is over already, there is nothing left to cancel: what is owed to nodes is
        // the client's.
        // Law: No orphan
        self.client.hub().drop_one(self.lease, &self.cell);
    }
}

/// The loss that a final stage stands for.
fn loss(stage: &Stage) -> Loss {
    match stage {
        Stage::Lost(loss) => (**loss).clone(),
        Stage::NotReleased(why) => match &**why {
            Release::Lost(loss) => loss.clone().into(),
            _ => Loss::Closed,
        },
        // Released by its owner, who has no guard left to ask with.
        _ => Loss::Closed,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use futures_util::FutureExt;
    use tenure_core::{Config, Op};

    use super::*;
    use crate::client::alarm::Alarms;
    use crate::client::shared::tests::{TestClock, answer_all, client, client_on};
    use crate::error::RuntimeEnd;
    use crate::runtime::Clock;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn guard() -> (Guard, Arc<Client>, Arc<TestClock>) {
        let (client, clock, lease, cell) = client();
        let guard = of(&client, lease, &cell);
        (guard, client, clock)
    }

    /// A guard whose client has no tasks.
    pub(crate) fn guard_on(clock: Arc<dyn Clock>) -> Guard {
        let (client, lease, cell) = client_on(clock);
        of(&client, lease, &cell)
    }

    impl Guard {
        /// What awaits the loss of its lease.
        pub(crate) fn parts(&self) -> (&Arc<Alarms>, LeaseId, &Arc<Cell>) {
            (self.client.alarms(), self.lease, &self.cell)
        }
    }

    fn of(client: &Arc<Client>, lease: LeaseId, cell: &Arc<Cell>) -> Guard {
        let config = Config::builder(1).build().expect("the defaults");
        let options = LeaseOptions::builder().build(&config);
        let granted = client.grant(lease, cell);
        let (asked, options) = (granted.at(), Arc::new(options.expect("the defaults")));
        Guard::new(Arc::clone(client), granted, asked, options)
    }

    /// Another thread takes the answer to the renewal between the moments at which this one reads
    /// the end of validity and the clock.
    #[test]
    fn what_remains_is_not_zero_while_a_renewal_in_time_is_applied() {
        let (guard, client, clock) = guard();
        clock.set(Instant::ORIGIN + secs(5));
        client.hub().renew(guard.lease).expect("it is open");
        let end = guard.cell.valid_until();
        let (hub, theirs) = (Arc::clone(client.hub()), Arc::clone(&clock));
        clock.before(move || {
            theirs.set(end - Duration::from_nanos(1));
            assert!(matches!(answer_all(&hub)[..], [Op::Renew { .. }]));
            theirs.set(end);
        });
        assert!(guard.remaining() >= secs(4), "{:?}", guard.remaining());
        assert!(guard.is_valid());
    }

    /// Nobody handled the end of the renewal before it in time.
    #[test]
    fn a_renewal_is_not_told_that_the_one_before_it_failed() {
        let (guard, client, clock) = guard();
        clock.set(Instant::ORIGIN + secs(5));
        client.hub().renew(guard.lease).expect("it is open");
        clock.set(Instant::ORIGIN + secs(7));
        let mut renewing = Box::pin(guard.renew());
        assert_eq!(renewing.as_mut().now_or_never(), None);
        assert!(matches!(answer_all(client.hub())[..], [Op::Renew { .. }]));
        let renewed = renewing.now_or_never().expect("it is answered");
        assert!(renewed.is_ok_and(|left| left >= secs(9)));
    }

    #[test]
    fn what_remains_stays_zero_once_it_was() {
        let (guard, client, clock) = guard();
        clock.set(Instant::ORIGIN + secs(5));
        client.hub().renew(guard.lease).expect("it is open");
        clock.set(guard.cell.valid_until());
        assert_eq!(guard.remaining(), Duration::ZERO);
        answer_all(client.hub());
        assert_eq!(guard.remaining(), Duration::ZERO);
        let lost = guard.lost().now_or_never().expect("it is lost");
        assert_eq!(lost.loss, Loss::Expired);
        let ensured = guard.ensure(Duration::ZERO).now_or_never();
        assert_eq!(ensured, Some(Err(RenewError::Lost(lost))));
    }

    /// What a release says that was queued when its client ended as told.
    fn released(end: impl FnOnce(&crate::client::hub::Hub)) -> ReleaseError {
        let (guard, client, _) = guard();
        let mut release = Box::pin(guard.release());
        assert!(release.as_mut().now_or_never().is_none());
        end(client.hub());
        let said = release.now_or_never().expect("nobody will answer");
        said.expect_err("nobody answered")
    }

    #[test]
    fn a_release_under_way_as_its_client_ends_is_unknown_and_says_why() {
        let finished = released(|hub| {
            hub.close(Some(secs(1)));
            hub.finish();
        });
        let ended = released(|hub| hub.task_ended(RuntimeEnd::Ended));
        for (error, words) in [(finished, "closed"), (ended, "has ended")] {
            let ReleaseError::Unknown { nodes, .. } = &error else {
                panic!("{error}");
            };
            let node = &nodes[0];
            assert!(
                node.node == "this process" && node.why.contains(words),
                "{error}"
            );
        }
    }

    #[test]
    fn a_release_after_the_runtime_ended_says_that_nothing_was_sent() {
        let (guard, client, _) = guard();
        client.hub().task_ended(RuntimeEnd::Ended);
        let said = guard.release().now_or_never().expect("it is told at once");
        assert!(
            matches!(said, Err(ReleaseError::RuntimeEnded { .. })),
            "{said:?}"
        );
    }

    #[test]
    fn a_release_after_the_client_closed_says_that_it_was_lost_by_that() {
        let (guard, client, _) = guard();
        client.hub().close(Some(secs(1)));
        let said = guard.release().now_or_never().expect("it is told at once");
        let closed = |lost: &Lost| lost.loss == Loss::Closed;
        assert!(
            matches!(&said, Err(ReleaseError::Lost(lost)) if closed(lost)),
            "{said:?}"
        );
    }
}
