//! The life of a link: connect, serve until the connection is lost, connect again.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Backoff, NodeId, Refusal, Reply, Request, RequestId, Rng, Words};
use tokio::sync::mpsc;

use crate::link::connect::{self, Connected, DialError, Dialer, Node};
use crate::link::connection::Wire;
use crate::link::handle::{InspectError, Look};
use crate::link::session::{BATCH, End, Session, Shared};
use crate::link::{LinkConfig, LinkStatus, Target, Work};
use crate::protocol::encode::Encoder;
use crate::runtime::seams::Seams;

/// Between two tries to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Where connections come from.
enum Source {
    Dialled(Dialer),
    Given(Arc<dyn Wire>),
}

/// See the module.
pub(crate) struct Link {
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
    pub(crate) fn new(
        node: NodeId,
        target: Target,
        config: LinkConfig,
        work: Arc<dyn Work>,
        looks: mpsc::Receiver<Look>,
        seams: &Seams,
    ) -> Self {
        let mut seed = [0; 8];
        seams.entropy.fill(&mut seed);
        Self {
            target: match target {
                Target::Address(address) => {
                    Source::Dialled(Dialer::new(address, Arc::clone(&seams.connector)))
                }
                Target::Connection(wire) => Source::Given(wire),
            },
            encoder: Encoder::new(),
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
                singly_until: tenure_core::Instant::ORIGIN,
            },
        }
    }

    /// Runs until the work is finished.
    pub(crate) async fn run(mut self) {
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
                let node = connect::set_up(&*wire, quarantine.is_some()).await?;
                let marker = quarantine
                    .map(|quarantine| node.marker(quarantine))
                    .transpose()?;
                connect::begin(&*wire, &node, previous.as_ref(), marker.as_ref()).await?;
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
