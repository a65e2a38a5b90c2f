//! The link to one node: a task that takes the requests that are due from the hub, writes them to
//! the node, and answers each exactly once.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{
    Backoff, Fence, Key, NodeId, Refusal, Reply, Request, RequestId, Rng, ServerTime, Words,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::address::Address;
use crate::dial::{self, Connected, DialError, Dialer, Node};
use crate::script::Encoder;
use crate::seams::Seams;
use crate::session::{BATCH, End, Session, Shared};
use crate::wire::Wire;

/// What a link works for: the hub, seen from one node's side. The calls come from the link's task
/// and must not block.
pub(crate) trait Work: Send + Sync + 'static {
    /// Appends up to `max` requests that are due at the node, oldest first.
    fn poll(&self, node: NodeId, max: usize, out: &mut Vec<Request>);

    /// Takes the replies, and leaves the buffer empty. A batch costs one call.
    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>);

    /// The state of the link has changed.
    fn status(&self, node: NodeId, status: LinkStatus);

    /// Notified (`notify_one`) when requests for the node have become due and when the work is
    /// finished. Asked for once.
    fn wake(&self, node: NodeId) -> Arc<Notify>;

    /// Whether nothing will ever be due again: the link ends its task and closes its connection.
    fn finished(&self) -> bool;
}

/// The state of a link, as it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    /// It connects; requests wait until that has succeeded or failed.
    Connecting,
    /// It serves requests.
    Up(Identity),
    /// The node cannot be reached or cannot serve now. Requests are answered *not applied* at once.
    Down {
        /// Why.
        why: Words,
    },
    /// The server will not serve us. Requests are answered *not applied, rejected* at once.
    Rejected {
        /// The server's words.
        words: Words,
    },
}

/// Who answered on the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The run id of the server; none if we may not ask, or over a cluster connection. Two nodes
    /// with one run id are one server.
    pub(crate) run_id: Option<Words>,
    /// The server's time as the link came up.
    pub(crate) server_time: Option<ServerTime>,
}

/// What a link speaks to.
pub(crate) enum Target {
    /// A node that it dials.
    Address(Address),
    /// A connection that the user already has (see `UserWire`).
    Connection(Arc<dyn Wire>),
}

/// How a link behaves.
#[derive(Clone, Debug)]
pub(crate) struct LinkConfig {
    /// Without any reply for so long while a request is in flight, the connection is replaced.
    /// Over a connection of the user's: so long after its deadline a request is *unknown*.
    pub(crate) silence: Duration,
    /// How long connecting and the handshake may take together.
    pub(crate) dial_timeout: Duration,
    /// How much longer than its value's time a fence counter is kept.
    pub(crate) fence_grace: Duration,
    /// A fence proposal further ahead of the server's time than this is ignored.
    pub(crate) fence_ahead: Duration,
    /// Over several nodes: what their markers say. None for one node.
    pub(crate) quarantine: Option<Quarantine>,
}

impl LinkConfig {
    /// The defaults, for requests that are given up after this long.
    pub(crate) fn new(request_timeout: Duration) -> Self {
        Self {
            silence: request_timeout * 2,
            dial_timeout: Duration::from_secs(2),
            fence_grace: Duration::from_secs(86_400),
            fence_ahead: Duration::from_secs(60),
            quarantine: None,
        }
    }
}

/// What all clients of a set of nodes must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantine {
    /// In front of `tenure:node`, the marker's name.
    pub(crate) prefix: Vec<u8>,
    /// The largest TTL that any client of these nodes uses.
    pub(crate) max_ttl: Duration,
    /// The number of nodes.
    pub(crate) nodes: usize,
    /// The name of the set of nodes, if the user gave one.
    pub(crate) name: Option<String>,
}

/// What a node says about a key to who only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Who holds it.
    pub(crate) holder: Holder,
    /// What is left to the holder. None if the key is free or has no expiry.
    pub(crate) left: Option<Duration>,
    /// The last fence that was drawn, if the counter is still kept.
    pub(crate) fence: Option<Fence>,
    /// The server's time; none of a foreign key.
    pub(crate) server_time: Option<ServerTime>,
}

/// Who holds a key. The secret of the lease is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Free,
    /// A lease of Tenure's.
    Lease {
        /// Its owner's label.
        label: Option<String>,
        /// Its attempt.
        attempt: u32,
    },
    /// A string of another make, perhaps a lock of another library.
    Other,
    /// A key of another type, or a fence counter that is not a number.
    Foreign,
}

/// Why a look did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InspectError(pub(crate) Words);

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the node could not be asked: {}", self.0)
    }
}

impl std::error::Error for InspectError {}

/// Reaches a running link.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    looks: mpsc::Sender<Look>,
}

/// One question of [`LinkHandle::inspect`].
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) key: Key,
    pub(crate) answer: oneshot::Sender<Result<Inspection, InspectError>>,
}

impl LinkHandle {
    /// Looks at a key. Changes nothing and decides nothing.
    pub(crate) async fn inspect(&self, key: Key) -> Result<Inspection, InspectError> {
        let (answer, answered) = oneshot::channel();
        let ended = || InspectError(Words::new("the link has ended"));
        self.looks
            .send(Look { key, answer })
            .await
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Starts the link to one node. Its task ends when the work is finished.
pub(crate) fn spawn_link(
    node: NodeId,
    target: Target,
    config: LinkConfig,
    work: Arc<dyn Work>,
    seams: &Seams,
) -> LinkHandle {
    let (handle, looks) = mpsc::channel(16);
    let grace = millis(config.fence_grace);
    let ahead = u64::try_from(config.fence_ahead.as_micros()).unwrap_or(u64::MAX);
    let mut seed = [0; 8];
    seams.entropy.fill(&mut seed);
    let link = Link {
        target: match target {
            Target::Address(address) => {
                Source::Dialled(Dialer::new(address, Arc::clone(&seams.connector)))
            }
            Target::Connection(wire) => Source::Given(wire),
        },
        encoder: Encoder::new(grace, ahead),
        rng: Rng::new(u64::from_ne_bytes(seed)),
        previous: None,
        failures: 0,
        shared: Shared {
            node,
            wake: work.wake(node),
            work,
            clock: Arc::clone(&seams.clock),
            config: Arc::new(config),
            looks,
            singly: false,
        },
    };
    seams.spawner.spawn(Box::pin(link.run()));
    LinkHandle { looks: handle }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Between two tries to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Where connections come from.
enum Source {
    Dialled(Dialer),
    Given(Arc<dyn Wire>),
}

struct Link {
    target: Source,
    encoder: Encoder,
    rng: Rng,
    /// Who answered on the connection before, which may still be in the server's eyes.
    previous: Option<Node>,
    /// Connections in a row that failed, or were lost before they were of use.
    failures: u32,
    shared: Shared,
}

/// There is nothing left to do.
struct Finished;

impl Link {
    async fn run(mut self) {
        // An end before the work is finished is that of the runtime.
        let Finished = self.connect_for_ever().await;
    }

    async fn connect_for_ever(&mut self) -> Finished {
        self.tell(LinkStatus::Connecting);
        // While the first try, or the first after a loss, goes on, requests wait for it.
        let mut refusal = None;
        loop {
            match self.attempt(refusal.as_ref()).await {
                Err(Finished) => return Finished,
                Ok(Ok((connected, node))) => {
                    self.tell(LinkStatus::Up(node.identity()));
                    self.previous = Some(node.clone());
                    let since = self.shared.clock.now();
                    let session =
                        Session::new(&mut self.shared, &mut self.encoder, connected, node);
                    let End::Lost { why, served } = session.serve().await else {
                        return Finished;
                    };
                    let node = self.shared.node;
                    tracing::info!(?node, %why, "the connection to a Redis node is replaced");
                    // One that was of use is replaced at once; one that is lost again and again
                    // is not.
                    let lived = self.shared.clock.now().saturating_since(since);
                    self.failures = match served && lived >= BACKOFF.longest() {
                        true => 0,
                        false => self.failures + 1,
                    };
                    if self.failures <= 1 {
                        refusal = None;
                        self.tell(LinkStatus::Connecting);
                        continue;
                    }
                    refusal = Some(Refusal::Unavailable);
                    self.tell(LinkStatus::Down { why });
                }
                Ok(Err(error)) => {
                    self.failures += 1;
                    let status = match error {
                        DialError::Unavailable(why) => {
                            refusal = Some(Refusal::Unavailable);
                            LinkStatus::Down { why }
                        }
                        DialError::Rejected(words) => {
                            refusal = Some(Refusal::Rejected(words.clone()));
                            LinkStatus::Rejected { words }
                        }
                    };
                    self.tell(status);
                }
            }
            let pause = BACKOFF.pause(self.failures, &mut self.rng);
            let until = self.shared.clock.now() + pause;
            let timer = self.shared.clock.sleep_until(until);
            if meanwhile(&mut self.shared, refusal.as_ref(), timer)
                .await
                .is_err()
            {
                return Finished;
            }
        }
    }

    fn tell(&self, status: LinkStatus) {
        tracing::debug!(node = ?self.shared.node, ?status, "link");
        self.shared.work.status(self.shared.node, status);
    }

    /// One try to get a connection that is ready for requests.
    async fn attempt(
        &mut self,
        refusal: Option<&Refusal>,
    ) -> Result<Result<(Connected, Node), DialError>, Finished> {
        let Self {
            target,
            encoder,
            previous,
            shared,
            ..
        } = self;
        let config = Arc::clone(&shared.config);
        let until = shared.clock.now() + config.dial_timeout;
        let timer = shared.clock.sleep_until(until);
        let (previous, quarantine) = (previous.clone(), config.quarantine.as_ref());
        let dialled = async {
            let mut connected = match target {
                Source::Dialled(dialer) => dialer.dial().await?,
                Source::Given(wire) => Connected {
                    wire: Arc::clone(wire),
                    driver: None,
                },
            };
            let wire = Arc::clone(&connected.wire);
            let set_up = async {
                let node = dial::set_up(&*wire, quarantine.is_some()).await?;
                let marker = quarantine
                    .map(|quarantine| node.marker(quarantine))
                    .transpose()?;
                dial::begin(&*wire, &node, previous.as_ref(), marker.as_ref()).await?;
                Ok((node, marker))
            };
            // Nothing is read or written unless the driver is polled.
            let driver = async {
                match &mut connected.driver {
                    Some(driver) => driver.await,
                    None => std::future::pending().await,
                }
            };
            let (node, marker) = match select(pin!(set_up), pin!(driver)).await {
                Either::Left((result, _)) => result?,
                Either::Right(_) => {
                    let words = Words::new("the node closed the connection as it was set up");
                    return Err(DialError::Unavailable(words));
                }
            };
            if let Some(marker) = marker {
                encoder.set_marker(marker);
            }
            Ok((connected, node))
        };
        let dialled = async {
            match select(pin!(dialled), timer).await {
                Either::Left((result, _)) => result,
                Either::Right(_) => Err(DialError::Unavailable(Words::new(
                    "the node did not answer in time as it was connected to",
                ))),
            }
        };
        meanwhile(shared, refusal, dialled).await
    }
}

/// Waits for the future. Given a refusal, answers whatever becomes due meanwhile with it.
async fn meanwhile<T>(
    shared: &mut Shared,
    refusal: Option<&Refusal>,
    future: impl Future<Output = T>,
) -> Result<T, Finished> {
    let mut future = pin!(future);
    let (mut due, mut replies) = (Vec::new(), Vec::new());
    loop {
        if shared.work.finished() {
            return Err(Finished);
        }
        if let Some(refusal) = refusal {
            refuse(shared, refusal, &mut due, &mut replies);
        }
        let Shared { wake, looks, .. } = &mut *shared;
        let mut woken = pin!(wake.notified());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            while let Some(refusal) = refusal
                && let Poll::Ready(Some(look)) = looks.poll_recv(cx)
            {
                let words = match refusal {
                    Refusal::Rejected(words) => words.clone(),
                    _ => Words::new("there is no connection to the node"),
                };
                // Nobody may be waiting any more.
                let _ = look.answer.send(Err(InspectError(words)));
            }
            woken.as_mut().poll(cx).map(|()| None)
        })
        .await;
        if let Some(value) = ended {
            return Ok(value);
        }
    }
}

/// Answers everything that is due: it was never sent.
fn refuse(
    shared: &Shared,
    refusal: &Refusal,
    due: &mut Vec<Request>,
    replies: &mut Vec<(RequestId, Reply)>,
) {
    loop {
        shared.work.poll(shared.node, BATCH, due);
        if due.is_empty() {
            return;
        }
        let answer = |request: Request| (request.id, Reply::NotApplied(refusal.clone()));
        replies.extend(due.drain(..).map(answer));
        shared.work.reply(replies);
        replies.clear();
    }
}
