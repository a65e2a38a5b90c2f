//! How much a task of the client's does before others get their turn. Each is polled by hand, as a
//! runtime does, and what one poll did is counted.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tenure_core::{Config, Key, LeaseOptions, Manager, NodeId, Patience, Secret};
use tokio::sync::mpsc;

use crate::client::driver::drive;
use crate::client::hub::Hub;
use crate::link::address::Address;
use crate::link::alone::Alone;
use crate::link::connect::Connected;
use crate::link::connection::MockConnection;
use crate::link::context::LinkContext;
use crate::link::identity::NodeInfo;
use crate::link::interface::{Identity, LinkStatus, Target, Work};
use crate::link::mailbox::Mailbox;
use crate::link::session::{BATCH, Session, SessionEnd, TURN};
use crate::link::spawn_link;
use crate::link::tests::hub::{FakeHub, PausedClock};
use crate::link::tests::mocked::{Write, connection, error, one_node};
use crate::protocol::encode::Encoder;
use crate::protocol::testing::acquires;
use crate::runtime::{BoxFuture, ByteStream, Connector, Endpoint, OsEntropy, Seams, Spawner};

const MANY: usize = 2_000;
/// A reply to one write may answer so many requests at once.
const MOST: usize = TURN + BATCH;

/// Polls a task once, and then lets the runtime wake whom it has put off.
async fn turn<F: Future + ?Sized>(task: &mut Pin<&mut F>) -> Poll<F::Output> {
    let done = poll_fn(|cx| Poll::Ready(task.as_mut().poll(cx))).await;
    tokio::task::yield_now().await;
    done
}

/// Gives turns until `count` has grown to so many. In no turn does it grow by more than `most`.
/// Returns what the last turn did.
async fn count_turns<F: Future + ?Sized>(
    task: &mut Pin<&mut F>,
    until: usize,
    most: usize,
    mut count: impl FnMut() -> usize,
) -> Poll<F::Output> {
    let mut before = count();
    for _ in 0..10_000 {
        let done = turn(task).await;
        let now = count();
        assert!(now - before <= most, "{} in one turn", now - before);
        before = now;
        if before >= until {
            return done;
        }
    }
    panic!("{before} of {until}");
}

#[tokio::test(start_paused = true)]
async fn the_driver_gives_way_after_a_step_of_256_leases() {
    let config = Config::builder(1).build().expect("the defaults");
    let options = LeaseOptions::builder().build(&config);
    let options = Arc::new(options.expect("the defaults"));
    let node = NodeId::new(0);
    let names = vec!["a".to_owned()];
    let hub = Hub::new(Manager::new(config, 1), names, Arc::new(PausedClock::new()));
    let hub = Arc::new(hub);
    hub.status(node, LinkStatus::Up(Identity::default()));
    for number in 0..MANY {
        let secret = Secret::new((number as u128).to_le_bytes());
        let key = Key::new(number.to_le_bytes());
        let begun = hub.acquire(key, secret, Arc::clone(&options));
        assert!(begun.is_ok());
    }
    // All are asked for, and none is answered in time. Each is then owed one release.
    let mut asked = Vec::new();
    hub.poll(node, MANY, &mut asked);
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut driver = pin!(drive(Arc::clone(&hub)));
    let mut owed = Vec::new();
    let releases = || {
        hub.poll(node, usize::MAX, &mut owed);
        owed.len()
    };
    let done = count_turns(&mut driver, MANY, 256, releases).await;
    assert!(done.is_pending());

    // The same when the client is closed: those whose release is still unanswered are ended in
    // steps.
    hub.close(None);
    let mut steps = 0;
    while !hub.is_closing_done() {
        assert!(turn(&mut driver).await.is_pending());
        steps += 1;
    }
    assert!(steps >= MANY / 256, "{steps}");
}

/// A session over a mocked connection, not spawned. Dropping the sender ends the connection.
fn session(
    hub: &Arc<FakeHub>,
    connection: MockConnection,
    hung_up: tokio::sync::oneshot::Receiver<()>,
) -> BoxFuture<'static, SessionEnd> {
    let work: Arc<dyn Work> = Arc::clone(hub) as Arc<dyn Work>;
    Box::pin(async move {
        let mut context = LinkContext {
            node: NodeId::new(0),
            wake: work.wake(NodeId::new(0)),
            work,
            clock: Arc::new(PausedClock::new()),
            config: Arc::new(one_node()),
            patience: Patience::new(Duration::from_millis(500)),
            rng: tenure_core::Rng::new(1),
            inquiries: mpsc::channel(1).1,
            ask_again: Vec::new(),
            unbatched_until: tenure_core::Instant::ORIGIN,
            alone: Alone::default(),
        };
        let connected = Connected {
            connection: Arc::new(connection),
            io: Some(Box::pin(async move {
                let _ = hung_up.await;
            })),
            round_trip: Duration::ZERO,
            mailbox: Mailbox::default(),
            ear: None,
            lookout: None,
            acknowledger: None,
        };
        Session::new(
            &mut context,
            &mut Encoder::new(None),
            connected,
            NodeInfo::default(),
        )
        .serve()
        .await
    })
}

/// As many writes as there are now.
fn written(writes: &mut mpsc::UnboundedReceiver<Write>) -> Vec<Write> {
    std::iter::from_fn(|| writes.try_recv().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_link_gives_way_after_256_requests_or_replies() {
    let (connection, mut writes) = connection(true);
    let hub = Arc::new(FakeHub::default());
    let (hang_up, hung_up) = tokio::sync::oneshot::channel();
    let mut session = session(&hub, connection, hung_up);
    let mut session = session.as_mut();
    hub.ask(acquires(MANY));
    let done = count_turns(&mut session, MANY, TURN, || MANY - hub.due()).await;
    assert!(done.is_pending() && turn(&mut session).await.is_pending());
    for write in written(&mut writes) {
        write.answer([error("LOADING Redis is loading the dataset in memory")]);
    }
    let done = count_turns(&mut session, MANY, MOST, || hub.count()).await;
    assert!(done.is_pending());

    // The connection ends, and nothing in flight was answered.
    let again: Vec<_> = acquires(2 * MANY).split_off(MANY);
    hub.ask(again);
    let done = count_turns(&mut session, MANY, TURN, || MANY - hub.due()).await;
    assert!(done.is_pending());
    drop(hang_up);
    let end = count_turns(&mut session, 2 * MANY, MOST, || hub.count()).await;
    assert!(
        matches!(end, Poll::Ready(SessionEnd::Lost { .. })),
        "{end:?}"
    );
}

/// Nothing listens.
#[derive(Debug)]
struct Refusing;

impl Connector for Refusing {
    fn connect<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

/// Keeps the one task that is spawned.
#[derive(Default)]
struct ByHand(Mutex<Option<BoxFuture<'static, ()>>>);

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByHand")
    }
}

impl Spawner for ByHand {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        *self.0.lock().expect("no panic") = Some(task);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_without_a_connection_gives_way_after_each_batch() {
    let hub = Arc::new(FakeHub::default());
    let spawner = Arc::new(ByHand::default());
    let seams = Seams {
        connector: Arc::new(Refusing),
        clock: Arc::new(PausedClock::new()),
        spawner: Arc::clone(&spawner) as Arc<dyn Spawner>,
        entropy: Arc::new(OsEntropy),
    };
    let address = Address::parse("redis://127.0.0.1:1").expect("an address");
    let _link = spawn_link(
        NodeId::new(0),
        Target::Address(address),
        one_node(),
        Arc::clone(&hub) as Arc<dyn Work>,
        &seams,
    );
    let mut link = spawner.0.lock().expect("no panic").take().expect("a task");
    let mut link = link.as_mut();
    let down = || {
        let statuses = hub.statuses.lock().expect("no panic");
        let down = |status: &&LinkStatus| matches!(status, LinkStatus::Down { .. });
        statuses.iter().filter(down).count()
    };
    let done = count_turns(&mut link, 1, 1, down).await;
    assert!(done.is_pending());
    hub.ask(acquires(MANY));
    let done = count_turns(&mut link, MANY, BATCH, || hub.count()).await;
    assert!(done.is_pending());
}
