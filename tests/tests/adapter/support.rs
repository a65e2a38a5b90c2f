//! What the tests share: time spans, requests by script, waiting for a condition, dropping futures.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tenure_redis::seams::Script;
use tenure_redis::{Builder, ConnectError, Locks, Quarantine};
use tenure_sim::memory_net::{Client, Node, Request, World};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Subscriber};

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The TTL where nothing else is said.
pub(crate) const TTL: Duration = secs(10);
/// What is subtracted from it: twice half a percent, and two milliseconds.
pub(crate) const MARGIN: Duration = ms(102);

/// The first nodes of `a`, `b`, `c`, …
pub(crate) fn nodes(world: &World, count: usize) -> Vec<Node> {
    ["a", "b", "c", "d", "e"][..count]
        .iter()
        .map(|name| world.node(name))
        .collect()
}

/// A builder with quarantine off, so that new nodes grant at once.
pub(crate) fn builder(client: &Client) -> Builder {
    client.builder().quarantine(Quarantine::Off)
}

/// A process, and a handle in it that knows all nodes.
pub(crate) async fn client(world: &World, name: &str) -> Result<(Client, Locks), ConnectError> {
    let client = world.client(name);
    let locks = builder(&client).connect().await?;
    Ok((client, locks))
}

/// Lets a subscriber hear what this thread does, as long as the answer lives.
///
/// While there is one subscriber, `tracing` asks the thread that first reaches an event whether
/// anybody listens, and the thread of another test would say no for all. With two it asks both.
pub(crate) fn listen<S>(subscriber: &S) -> (Dispatch, DefaultGuard)
where
    S: Subscriber + Clone + Send + Sync + 'static,
{
    let second = Dispatch::new(subscriber.clone());
    let here = tracing::subscriber::set_default(subscriber.clone());
    (second, here)
}

/// Whether the lock key exists on any of the nodes.
pub(crate) fn stands(nodes: &[Node], key: &str) -> bool {
    nodes.iter().any(|node| node.server().peek(key).is_some())
}

/// The requests of one script: `acquire`, `renew`, `release`, …
pub(crate) fn calls(world: &World, script: &str) -> Vec<Request> {
    let named = |known: &&Script| known.name().eq_ignore_ascii_case(script);
    assert!(
        Script::ALL.iter().any(|known| named(&known)),
        "no script {script}"
    );
    let shas: Vec<_> = Script::ALL
        .iter()
        .filter(named)
        .map(|known| known.sha())
        .collect();
    let called = |request: &Request| shas.iter().any(|sha| request.argv[1] == sha.as_bytes());
    let mut requests = world.requests();
    requests.retain(|request| request.is("EVALSHA") && called(request));
    requests
}

/// Looks every millisecond whether the condition holds. Says how long that took.
pub(crate) async fn until(
    world: &World,
    within: Duration,
    mut so: impl FnMut() -> bool,
) -> Duration {
    let begun = world.now();
    while !so() {
        assert!(world.now() - begun <= within, "not so within {within:?}");
        world.sleep(ms(1)).await;
    }
    world.now() - begun
}

/// Where a future is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// After so many polls.
    Polls(usize),
    /// So long after its first poll, and so many turns of the scheduler later.
    At(Duration, usize),
}

/// Runs the future up to the cut. None if it was dropped there.
pub(crate) async fn cut<T>(world: &World, cut: Cut, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let timer = async {
        match cut {
            Cut::Polls(_) => std::future::pending().await,
            Cut::At(span, turns) => {
                world.sleep(span).await;
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    let mut timer = pin!(timer);
    let mut polls = 0;
    poll_fn(|cx| {
        if matches!(cut, Cut::Polls(most) if polls >= most) {
            return Poll::Ready(None);
        }
        polls += 1;
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if matches!(cut, Cut::Polls(most) if polls >= most) {
            return Poll::Ready(None);
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Every cut of a future that takes at most this long: after each of its first polls, and at each
/// of its first milliseconds, before and after other tasks had a turn. Later the cuts are less
/// dense.
pub(crate) fn cuts(longest: Duration) -> impl Iterator<Item = Cut> {
    let polls = (0..8).map(Cut::Polls);
    let longest = longest.as_millis() as u64;
    let dense =
        (0..=longest.min(16)).flat_map(|at| (0..2).map(move |turns| Cut::At(ms(at), 2 * turns)));
    let sparse = (17..=longest).step_by(3).map(|at| Cut::At(ms(at), 0));
    polls.chain(dense).chain(sparse)
}
