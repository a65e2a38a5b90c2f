//! What the hub does once its lock is given back: it wakes tasks, and logs and counts events.
//!
//! Wakers and subscribers of the log are code of the program. A waker may drop a future, and with
//! it a guard, which calls the hub again. So none of that code runs while a lock is held. If it
//! panics, the panic ends here, and what else is owed is done: each link, lease and kind of waiter
//! has a `Notify` of its own. Only of several that wait at the same one, tokio may leave those
//! behind it unwoken.

use std::sync::Arc;

use tenure_core::{EventKind, NodeSet};
use tokio::sync::Notify;

use crate::link::bell::Bell;

use crate::client::cell::{Cell, Change, Former};
use crate::client::span::AcquireSpan;
use crate::log_target::contained;

/// What is owed to others.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// The nodes whose links have something to send.
    pub(crate) links: NodeSet,
    /// The driver must run earlier than it meant to.
    pub(crate) driver: bool,
    /// A link has changed its state.
    pub(crate) status: bool,
    /// The client is finished, or its tasks have ended. Everybody is woken.
    pub(crate) over: bool,
    /// The log must tell what it left out.
    pub(crate) counts: bool,
    /// What happened to cells.
    pub(crate) news: Vec<News>,
}

/// What happened to a cell.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) cell: Arc<Cell>,
    /// What was changed, and who must look again.
    pub(crate) change: Change,
    /// What is to be logged and counted.
    pub(crate) event: Option<EventKind>,
    /// What the lease was that the end of the client has ended.
    pub(crate) former: Option<Former>,
    /// The span of an acquire that is answered.
    pub(crate) span: Option<AcquireSpan>,
}

/// What the tasks of the client and its callers wait at.
#[derive(Debug)]
pub(crate) struct Bells {
    /// Rung for the driver, for an earlier deadline and at the end.
    pub(crate) driver: Notify,
    /// Rung for each link when there is something to send, and at the end.
    pub(crate) links: Vec<Arc<Bell>>,
    /// Rung when a link changes its state, and at the end.
    pub(crate) status: Notify,
    /// Rung when the client is finished, or its tasks have ended.
    pub(crate) end: Notify,
}

impl Bells {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            driver: Notify::new(),
            links: (0..nodes).map(|_| Arc::default()).collect(),
            status: Notify::new(),
            end: Notify::new(),
        }
    }

    /// Wakes all who must look again. No lock may be held.
    pub(crate) fn ring(&self, out: &Delivery) {
        for (index, link) in self.links.iter().enumerate() {
            if out.over || out.links.contains(tenure_core::NodeId::new(index)) {
                contained(|| link.ring());
            }
        }
        if out.over || out.driver {
            contained(|| self.driver.notify_one());
        }
        for News { cell, change, .. } in &out.news {
            if let Some(concerns) = change.concerns {
                cell.wake(concerns);
            }
        }
        if out.over || out.status {
            contained(|| self.status.notify_waiters());
        }
        if out.over {
            contained(|| self.end.notify_waiters());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use tenure_core::LeaseId;

    use super::*;
    use crate::client::cell::Stage;
    use crate::client::hub::Hub;
    use crate::client::testing::{Says, acquire, hub, log_to, node};
    use crate::error::RuntimeEnd;
    use crate::link::interface::{Identity, LinkStatus, Work};
    use crate::runtime::BoxFuture;

    /// A waker of the program's. It drops a future with a lease in it, which cancels the lease.
    struct Drops {
        hub: Arc<Hub>,
        lease: LeaseId,
        woken: AtomicUsize,
    }

    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            self.hub.cancel(self.lease);
            self.woken.fetch_add(1, Ordering::SeqCst);
        }
    }

    type Wait = fn(Arc<Hub>, Arc<Cell>) -> BoxFuture<'static, ()>;
    type Act = fn(&Hub);

    /// What can be waited for, and what ends the wait.
    const WAITS: [(&str, Wait, Act); 9] = [
        ("a link", link, begin),
        ("a link, at the end", link, end_of_runtime),
        ("the driver", driver, |hub| {
            hub.close(Some(Duration::from_millis(1)));
        }),
        ("the driver, at the end", driver, end_of_runtime),
        ("an owner", owner, |hub| hub.close(None)),
        ("an owner, at the end", owner, end_of_runtime),
        ("who connects", nodes, |hub| {
            hub.status(node(), LinkStatus::Connecting)
        }),
        ("who connects, at the end", nodes, end_of_runtime),
        ("who closes", end, end_of_runtime),
    ];

    fn end_of_runtime(hub: &Hub) {
        hub.task_ended(RuntimeEnd::Ended);
    }

    fn begin(hub: &Hub) {
        acquire(hub);
    }

    fn link(hub: Arc<Hub>, _: Arc<Cell>) -> BoxFuture<'static, ()> {
        let wake = hub.wake(node());
        Box::pin(async move { std::future::poll_fn(|cx| wake.poll(cx)).await })
    }

    fn driver(hub: Arc<Hub>, _: Arc<Cell>) -> BoxFuture<'static, ()> {
        Box::pin(async move { hub.driver_woken().await })
    }

    fn owner(_: Arc<Hub>, cell: Arc<Cell>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let ended = |stage: &Stage| (*stage != Stage::Acquiring).then_some(());
            cell.wait_for(|state| ended(&state.stage)).await;
        })
    }

    fn nodes(hub: Arc<Hub>, _: Arc<Cell>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = hub.wait_for_nodes(|_| None::<()>).await;
        })
    }

    fn end(hub: Arc<Hub>, _: Arc<Cell>) -> BoxFuture<'static, ()> {
        Box::pin(async move { hub.finished().await })
    }

    /// Runs it on a thread of its own, which must not stand still.
    fn in_time(what: &'static str, run: impl FnOnce() + Send + 'static) {
        let (done, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            run();
            let _ = done.send(());
        });
        let ended = ended.recv_timeout(Duration::from_secs(30));
        assert_ne!(ended, Err(mpsc::RecvTimeoutError::Timeout), "{what}: stuck");
        thread.join().unwrap_or_else(|_| panic!("{what}: panicked"));
    }

    #[test]
    fn a_waker_may_drop_a_lease_whoever_is_woken() {
        for (what, wait, act) in WAITS {
            in_time(what, move || {
                let (hub, _) = hub();
                // Something is sent already, and the driver waits for its deadline.
                let (lease, _) = acquire(&hub);
                let (_, cell) = acquire(&hub);
                hub.poll(node(), 10, &mut Vec::new());
                let _ = hub.drive();
                drain(&hub);
                let drops = Arc::new(Drops {
                    hub: Arc::clone(&hub),
                    lease,
                    woken: AtomicUsize::new(0),
                });
                let mut waiting = wait(Arc::clone(&hub), cell);
                let waker = Waker::from(Arc::clone(&drops));
                let mut cx = Context::from_waker(&waker);
                assert!(waiting.as_mut().poll(&mut cx).is_pending(), "{what}");
                act(&hub);
                assert_eq!(drops.woken.load(Ordering::SeqCst), 1, "{what}");
            });
        }
    }

    /// Takes the notifications that are kept for the driver and the link, who were not waiting.
    fn drain(hub: &Arc<Hub>) {
        let mut cx = Context::from_waker(Waker::noop());
        let (_, cell) = acquire(hub);
        for wait in [link, driver] {
            let _ = wait(Arc::clone(hub), Arc::clone(&cell))
                .as_mut()
                .poll(&mut cx);
        }
        hub.poll(node(), 10, &mut Vec::new());
        let _ = hub.drive();
    }

    /// An event of a lease and one of a link, which are logged.
    fn log_something(hub: &Hub) {
        let (lease, _) = acquire(hub);
        hub.status(
            node(),
            LinkStatus::Down {
                why: tenure_core::Words::fixed("it is tried"),
            },
        );
        hub.cancel(lease);
    }

    #[test]
    fn a_subscriber_of_the_log_may_call_the_client() {
        in_time("a subscriber", || {
            let (hub, _) = hub();
            let (lease, _) = acquire(&hub);
            let theirs = Arc::clone(&hub);
            let told = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&told);
            let says = Says::new(move |_| {
                theirs.cancel(lease);
                counted.fetch_add(1, Ordering::SeqCst);
            });
            log_to(says, || log_something(&hub));
            assert!(told.load(Ordering::SeqCst) >= 10);
        });
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn a_recorder_of_metrics_may_call_the_client() {
        use crate::client::testing::Recorder;
        use std::sync::OnceLock;
        use tenure_core::{Instant, Request};

        in_time("a recorder", || {
            let theirs: Arc<OnceLock<(Arc<Hub>, LeaseId)>> = Arc::default();
            let told = Arc::new(AtomicUsize::new(0));
            let (hub_of, counted) = (Arc::clone(&theirs), Arc::clone(&told));
            let recorder = Recorder::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some((hub, lease)) = hub_of.get() {
                    hub.cancel(*lease);
                    hub.catch_up(*lease);
                }
            });
            let (hub, clock) = ::metrics::with_local_recorder(&recorder, hub);
            let (lease, _) = acquire(&hub);
            theirs.set((Arc::clone(&hub), lease)).expect("it is new");
            let did = |what: &str, act: &dyn Fn()| {
                let before = told.load(Ordering::SeqCst);
                act();
                assert!(told.load(Ordering::SeqCst) > before, "{what}");
            };
            did("a lease begins", &|| drop(acquire(&hub)));
            let mut requests: Vec<Request> = Vec::new();
            hub.poll(node(), 10, &mut requests);
            let unknown = tenure_core::Words::fixed("it is tried");
            let unknown = tenure_core::Reply::Unknown(tenure_core::Doubt::Broken(unknown));
            let replies: Vec<_> = requests
                .iter()
                .map(|request| (request.id, unknown.clone()))
                .collect();
            did("outcomes are not known", &|| {
                hub.reply(&mut replies.clone());
            });
            did("a connection is opened again", &|| {
                hub.status(node(), LinkStatus::Connecting);
                hub.status(node(), LinkStatus::Up(Identity::default()));
            });
            // The same connection, of which more is known by now.
            let before = told.load(Ordering::SeqCst);
            let identity = Identity {
                listens: true,
                ..Identity::default()
            };
            hub.status(node(), LinkStatus::Up(identity));
            assert_eq!(told.load(Ordering::SeqCst), before);
            let _ = hub.drive();
            clock.set(Instant::ORIGIN + Duration::from_secs(3_600));
            did("a deadline is late", &|| {
                let _ = hub.drive();
            });
            let (lease, cell) = acquire(&hub);
            did("a lease is dropped", &|| hub.drop_one(lease, &cell));
            acquire(&hub);
            did("a client is closed", &|| hub.close(None));
        });
    }

    #[test]
    fn a_subscriber_that_panics_harms_nobody() {
        in_time("a subscriber", || {
            let (hub, _) = hub();
            let told = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&told);
            let says = Says::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                panic!("of the subscriber");
            });
            let (lease, cell) = acquire(&hub);
            log_to(says, || log_something(&hub));
            assert!(told.load(Ordering::SeqCst) >= 2);
            assert_eq!(hub.check(), Ok(()));
            hub.cancel(lease);
            hub.status(node(), LinkStatus::Up(Identity::default()));
            let (_, after) = acquire(&hub);
            assert_eq!(after.state().stage, Stage::Acquiring);
            hub.close(None);
            assert_ne!(after.state().stage, Stage::Acquiring);
            drop(cell);
        });
    }
}
