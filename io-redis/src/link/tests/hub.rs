//! A hub for the tests of a link: it hands out the requests it is given, and notes the replies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::{Instant, NodeId, Reply, Request, RequestId};

use crate::link::bell::Bell;
use crate::link::interface::{LinkStatus, Work};
use crate::protocol::push::Push;
use crate::runtime::{BoxFuture, Clock};

/// A hub that hands out the requests it is given, and notes the replies.
#[derive(Default)]
pub(crate) struct FakeHub {
    due: Mutex<VecDeque<Request>>,
    replies: Mutex<BTreeMap<RequestId, Vec<Reply>>>,
    pub(crate) statuses: Mutex<Vec<LinkStatus>>,
    finished: Mutex<bool>,
    dead: Mutex<bool>,
    pub(crate) pushes: Mutex<Vec<Push>>,
    pub(crate) shortest_ttl: Mutex<Option<Duration>>,
    wake: Arc<Bell>,
}

impl FakeHub {
    pub(crate) fn ask(&self, requests: impl IntoIterator<Item = Request>) {
        self.due.lock().expect("no panic").extend(requests);
        self.wake.ring();
    }

    pub(crate) fn finish(&self) {
        *self.finished.lock().expect("no panic") = true;
        self.wake.ring();
    }

    /// A task of the client panicked.
    pub(crate) fn die(&self) {
        *self.dead.lock().expect("no panic") = true;
        self.finish();
    }

    /// The reply to the request, which is the only one.
    pub(crate) fn reply(&self, request: &Request) -> Reply {
        let replies = self.replies.lock().expect("no panic");
        let of = replies.get(&request.id).map_or(&[][..], Vec::as_slice);
        assert_eq!(
            of.len(),
            1,
            "{:?} is answered exactly once: {of:?}",
            request.id
        );
        of[0].clone()
    }

    /// Waits until it is true. Time is paused, so this takes no real time.
    pub(crate) async fn until(&self, is: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if is() {
                return;
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        panic!("it did not come about in 100 s of paused time");
    }

    /// Waits for the reply to the request, which is the only one.
    pub(crate) async fn answered(&self, request: &Request) -> Reply {
        let replied = || {
            let replies = self.replies.lock().expect("no panic");
            replies.contains_key(&request.id)
        };
        self.until(replied).await;
        self.reply(request)
    }

    /// How many requests are still to be handed out.
    pub(crate) fn due(&self) -> usize {
        self.due.lock().expect("no panic").len()
    }

    /// How many replies there were.
    pub(crate) fn count(&self) -> usize {
        let replies = self.replies.lock().expect("no panic");
        replies.values().map(Vec::len).sum()
    }
}

impl Work for FakeHub {
    fn poll(&self, _: NodeId, max: usize, out: &mut Vec<Request>) {
        let mut due = self.due.lock().expect("no panic");
        let count = max.min(due.len());
        out.extend(due.drain(..count));
    }

    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>) {
        let mut noted = self.replies.lock().expect("no panic");
        for (id, reply) in replies.drain(..) {
            noted.entry(id).or_default().push(reply);
        }
    }

    fn pushed(&self, _: NodeId, pushes: &mut Vec<Push>) {
        self.pushes.lock().expect("no panic").append(pushes);
    }

    fn status(&self, _: NodeId, status: LinkStatus) {
        self.statuses.lock().expect("no panic").push(status);
    }

    fn wake(&self, _: NodeId) -> Arc<Bell> {
        Arc::clone(&self.wake)
    }

    fn shortest_ttl(&self) -> Option<Duration> {
        *self.shortest_ttl.lock().expect("no panic")
    }

    fn finished(&self) -> bool {
        *self.finished.lock().expect("no panic")
    }

    fn dead(&self) -> bool {
        *self.dead.lock().expect("no panic")
    }
}

/// The clock of tokio's paused time.
#[derive(Debug)]
pub(crate) struct PausedClock(tokio::time::Instant);

impl PausedClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the origin of tokio's paused time"
    )]
    pub(crate) fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for PausedClock {
    #[allow(clippy::disallowed_methods, reason = "tokio's paused time")]
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.0.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "tokio's paused time")]
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let until = self.0 + at.saturating_since(Instant::ORIGIN);
        Box::pin(tokio::time::sleep_until(until))
    }
}
