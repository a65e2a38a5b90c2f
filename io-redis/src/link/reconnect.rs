//! The life of a link: connect, serve until the connection is lost, connect again.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Instant, NodeId, Patience, Refusal, Reply, Request, RequestId, Rng, Words};
use tokio::sync::mpsc;

use crate::link::acknowledge::Acknowledger;
use crate::link::alone::Alone;
#[cfg(feature = "cluster")]
use crate::link::cluster::Cluster;
use crate::link::connect::{Connected, DialError, Dialer};
use crate::link::connection::Connection;
use crate::link::context::LinkContext;
use crate::link::group::Group;
use crate::link::handle::Inquiry;
use crate::link::identity::{self, NodeInfo};
use crate::link::interface::{LinkConfig, LinkStatus, Target, Work};
use crate::link::onlooker::Onlooker;
use crate::link::session::{BATCH, Loss, Session, SessionEnd};
use crate::protocol::encode::Encoder;
use crate::runtime::{Clock, Seams};

/// A connection that is closed while it is idle is replaced so often at most, if nothing is asked.
const OFTEN: Duration = Duration::from_secs(1);
/// And so often if something is.
const AT_LEAST: Duration = Duration::from_millis(50);

/// Where connections come from.
enum Source {
    Dialled(Box<Dialer>),
    Group(Box<Group>),
    #[cfg(feature = "cluster")]
    Cluster(Box<Cluster>),
    Given(Arc<dyn Connection>),
}

impl Source {
    /// A connection, or why there is none. Of the time that it has it takes a part to connect to
    /// one server of several, so that others serve where one does not answer.
    async fn dial(&mut self, within: Duration, silence: Duration) -> Result<Connected, DialError> {
        #[cfg(not(feature = "cluster"))]
        let _ = (within, silence);
        match self {
            Self::Dialled(dialer) => dialer.dial().await,
            Self::Group(group) => group.dial().await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => {
                let pace = cluster.pace(within, silence);
                cluster.dial(pace).await
            }
            Self::Given(connection) => Ok(Connected::given(connection)),
        }
    }

    /// What waits for replicas beside the last connection, if they must acknowledge grants.
    fn acknowledger(
        &self,
        config: &LinkConfig,
        clock: &Arc<dyn Clock>,
    ) -> Option<Box<Acknowledger>> {
        let stream = config.stream.as_ref();
        let stream = stream.filter(|_| config.acknowledged_by > 0)?;
        let dialer = match self {
            Self::Dialled(dialer) => dialer.beside(),
            Self::Group(group) => group.beside(),
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => return None,
            Self::Given(_) => return None,
        };
        Some(Box::new(Acknowledger::new(dialer, stream, clock, config)))
    }

    /// Its last connection serves.
    fn served(&mut self) {
        match self {
            Self::Dialled(dialer) => dialer.served(),
            Self::Group(group) => group.served(),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.served(),
            Self::Given(_) => {}
        }
    }

    /// Listens no more to a connection that was set up. Gives the words with which the server hung
    /// up, if it has.
    fn last_words(&self, connected: &mut Connected) -> Option<String> {
        let password = match self {
            Self::Dialled(dialer) => dialer.password(),
            Self::Group(group) => group.password(),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.password(),
            Self::Given(_) => None,
        };
        connected.ear.take()?.take_away(password)
    }

    /// Why the server that was connected to will not do. Of a group it is said which server that
    /// was.
    fn about(&self, why: DialError) -> DialError {
        match self {
            Self::Group(group) => group.about(why),
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => why,
            Self::Dialled(_) | Self::Given(_) => why,
        }
    }

    /// Why there was no connection in time. What one of several addresses said is the reason,
    /// whatever the others did not say.
    fn out_of_time(&self) -> DialError {
        let said = match self {
            Self::Dialled(dialer) => dialer.why_not(),
            Self::Group(group) => group.why_not(),
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => None,
            Self::Given(_) => None,
        };
        self.about(said.unwrap_or_else(|| {
            let words = "the node did not answer in time as it was connected to";
            DialError::Unavailable(Words::new(words))
        }))
    }
}

/// A link, from one connection to the next.
pub(crate) struct Link {
    target: Source,
    encoder: Encoder,
    /// The node on the previous connection, which the server may not have closed yet.
    previous: Option<NodeInfo>,
    /// How many connections in a row failed, or were lost before they were of use.
    failures: u32,
    /// The last connection that was refused, while the user may only read.
    onlooker: Option<Onlooker>,
    context: LinkContext,
}

/// Why there is no connection that serves locks, and the connection, if it may serve to look at
/// keys.
struct Failed {
    why: DialError,
    connected: Option<Connected>,
}

impl From<DialError> for Failed {
    fn from(why: DialError) -> Self {
        let connected = None;
        Self { why, connected }
    }
}

/// There is nothing left to do.
struct Finished;

impl Link {
    pub(crate) fn new(
        node: NodeId,
        target: Target,
        config: LinkConfig,
        work: Arc<dyn Work>,
        inquiries: mpsc::Receiver<Inquiry>,
        seams: &Seams,
    ) -> Self {
        let mut seed = [0; 8];
        seams.entropy.fill(&mut seed);
        Self {
            target: match target {
                Target::Address(address) => {
                    let (connector, clock) = (&seams.connector, &seams.clock);
                    let credentials = config.credentials.clone();
                    let (connector, clock) = (Arc::clone(connector), Arc::clone(clock));
                    let dialer = Dialer::new(address, credentials, connector, clock);
                    Source::Dialled(Box::new(dialer))
                }
                Target::Group(address) => {
                    let mut seed = [0; 8];
                    seams.entropy.fill(&mut seed);
                    let rng = Rng::new(u64::from_ne_bytes(seed));
                    Source::Group(Box::new(Group::new(address, &config, seams, rng)))
                }
                #[cfg(feature = "cluster")]
                Target::Cluster(address) => {
                    // All clients of a key must draw from one stream, and nobody need ask what the
                    // program has said.
                    // Law: Fencing
                    if let Some(stream) = &config.stream {
                        stream.split();
                    }
                    let (credentials, clock) = (config.credentials.clone(), &seams.clock);
                    let cluster = Cluster::new(address, credentials, Arc::clone(clock));
                    Source::Cluster(Box::new(cluster))
                }
                Target::Connection(connection) => Source::Given(connection),
            },
            encoder: {
                let mut encoder = Encoder::new(config.stream.clone());
                encoder.channel.clone_from(&config.channel);
                encoder
            },
            previous: None,
            failures: 0,
            onlooker: None,
            context: LinkContext {
                node,
                wake: work.wake(node),
                work,
                clock: Arc::clone(&seams.clock),
                patience: Patience::new(config.request_timeout),
                config: Arc::new(config),
                rng: Rng::new(u64::from_ne_bytes(seed)),
                inquiries,
                ask_again: Vec::new(),
                unbatched_until: tenure_core::Instant::ORIGIN,
                alone: Alone::default(),
            },
        }
    }

    /// Runs until the work is finished.
    pub(crate) async fn run(mut self) {
        // The loop ends only when the work is finished. If the runtime ends first, it drops this
        // task.
        let Finished = self.connect_for_ever().await;
    }

    async fn connect_for_ever(&mut self) -> Finished {
        self.tell(LinkStatus::Connecting);
        // Requests wait during the first attempt, and during the first after a loss.
        let mut refusal = None;
        loop {
            match self.attempt(refusal.as_ref()).await {
                Err(Finished) => return Finished,
                Ok(Ok((connected, node))) => {
                    self.look_on(None);
                    self.tell(LinkStatus::Up(node.identity()));
                    self.previous = Some(node.clone());
                    let since = self.context.clock.now();
                    let session =
                        Session::new(&mut self.context, &mut self.encoder, connected, node);
                    let SessionEnd::Lost { why, served, how } = session.serve().await else {
                        return Finished;
                    };
                    let lived = self.context.clock.now().saturating_since(since);
                    self.count(how, served, lived);
                    if self.failures <= 1 || how == Loss::ClosedIdle {
                        refusal = None;
                        self.tell(LinkStatus::Connecting);
                        if how == Loss::ClosedIdle && rest(&mut self.context, since).await.is_err()
                        {
                            return Finished;
                        }
                        continue;
                    }
                    refusal = Some(Refusal::Unavailable(why.clone()));
                    self.tell(LinkStatus::Down { why });
                }
                Ok(Err(Failed { why, connected })) => {
                    self.failures += 1;
                    let status = match why {
                        DialError::Unavailable(why) => {
                            refusal = Some(Refusal::Unavailable(why.clone()));
                            self.look_on(None);
                            LinkStatus::Down { why }
                        }
                        DialError::Rejected(words) => {
                            refusal = Some(Refusal::Rejected(words.clone()));
                            self.look_on(connected);
                            LinkStatus::Rejected { words }
                        }
                    };
                    self.tell(status);
                }
            }
            // Nothing that the client does mends a wrong password, and each try is an attempt to
            // log in.
            let ttl = match refusal {
                Some(Refusal::Rejected(_)) => Duration::MAX,
                _ => self.context.ttl(),
            };
            let pauses = Patience::redial(ttl);
            let pause = pauses.pause(self.failures, &mut self.context.rng);
            let until = self.context.clock.now() + pause;
            let timer = self.context.clock.sleep_until(until);
            let Self {
                context, onlooker, ..
            } = self;
            let waited = wait_and_refuse(context, refusal.as_ref(), onlooker, timer);
            if waited.await.is_err() {
                return Finished;
            }
        }
    }

    /// Looks at keys over this connection from now on, or over none. What was asked of the last one
    /// is asked again.
    fn look_on(&mut self, connected: Option<Connected>) {
        let fences = self.context.config.fences();
        let onlooker = connected.map(|connected| Onlooker::new(connected, fences));
        if let Some(last) = std::mem::replace(&mut self.onlooker, onlooker) {
            self.context.ask_again.extend(last.end());
        }
    }

    /// Counts the loss of a connection, if it is a failure. One that was of use is replaced at
    /// once. If connections are lost again and again, there is a pause. That a node closes what is
    /// idle is no failure: many do, and serve all the same.
    fn count(&mut self, how: Loss, served: bool, lived: Duration) {
        let of_use = match how {
            Loss::ClosedIdle => served || lived >= OFTEN,
            // It was idle until then, as a rule.
            Loss::Closed => lived >= OFTEN,
            Loss::GivenUp => served && lived >= Patience::OF_USE,
        };
        if of_use {
            self.failures = 0;
        } else if how != Loss::ClosedIdle {
            self.failures += 1;
        }
    }

    fn tell(&self, status: LinkStatus) {
        self.context.work.status(self.context.node, status);
    }

    /// One attempt to get a connection that is ready for requests.
    async fn attempt(
        &mut self,
        refusal: Option<&Refusal>,
    ) -> Result<Result<(Connected, NodeInfo), Failed>, Finished> {
        let Self {
            target,
            encoder,
            previous,
            context,
            onlooker,
            ..
        } = self;
        let (clock, config) = (Arc::clone(&context.clock), Arc::clone(&context.config));
        let within = context.dial_timeout();
        let silence = context.patience.silence(context.ttl());
        let until = context.clock.now() + within;
        let timer = context.clock.sleep_until(until);
        let (previous, node_set) = (previous.clone(), config.node_set.as_ref());
        let dialled = async {
            let mut connected = target.dial(within, silence).await?;
            let connection = Arc::clone(&connected.connection);
            let set_up = async {
                let asked = clock.now();
                let node = identity::set_up(&*connection, &config, previous.is_some()).await?;
                let round_trip = clock.now().saturating_since(asked);
                let mut marker = node_set.map(|node_set| node.marker(node_set)).transpose()?;
                identity::begin(&*connection, &node, previous.as_ref(), marker.as_mut()).await?;
                Ok((node, marker, round_trip))
            };
            let set_up = connected.driven(set_up).await;
            let last_words = target.last_words(&mut connected);
            let (node, marker, round_trip) = match set_up {
                Ok(done) => done,
                Err(why) => {
                    let why = target.about(why.or_said(last_words));
                    let connected = Some(connected);
                    return Err(Failed { why, connected });
                }
            };
            if let Some(marker) = marker {
                encoder.set_marker(marker);
            }
            connected.round_trip = round_trip;
            connected.acknowledger = target.acknowledger(&config, &clock);
            Ok((connected, node))
        };
        let dialled = async {
            match select(pin!(dialled), timer).await {
                Either::Left((result, _)) => Some(result),
                Either::Right(_) => None,
            }
        };
        let result = wait_and_refuse(context, refusal, onlooker, dialled).await?;
        let late = result.is_none();
        let result = result.unwrap_or_else(|| Err(target.out_of_time().into()));
        match &result {
            Ok((connected, _)) => {
                target.served();
                context.patience.connected(connected.round_trip);
                context.silence();
            }
            Err(_) => context.patience.failed(late),
        }
        Ok(result)
    }
}

/// Waits until it is time to replace a connection that was made at `since` and was closed while it
/// was idle: [`OFTEN`] after that, or earlier if something is asked.
// Law: Bounded work
async fn rest(context: &mut LinkContext, since: Instant) -> Result<(), Finished> {
    let mut least = context.clock.sleep_until(since + AT_LEAST);
    let mut most = context.clock.sleep_until(since + OFTEN);
    let mut wanted = !context.ask_again.is_empty();
    let mut rested = false;
    loop {
        if context.work.finished() {
            return Err(Finished);
        }
        if rested && wanted {
            return Ok(());
        }
        let LinkContext {
            wake,
            inquiries,
            ask_again,
            ..
        } = &mut *context;
        let over = poll_fn(|cx| {
            if most.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if !rested && least.as_mut().poll(cx).is_ready() {
                rested = true;
                return Poll::Ready(false);
            }
            if !wanted && let Poll::Ready(Some(inquiry)) = inquiries.poll_recv(cx) {
                ask_again.push(inquiry);
                wanted = true;
                return Poll::Ready(false);
            }
            wake.poll(cx).map(|()| {
                wanted = true;
                false
            })
        })
        .await;
        if over {
            return Ok(());
        }
    }
}

/// Waits for the future. If there is a refusal, requests that become due meanwhile are answered
/// with it. So are inquiries, unless there is a connection to look on.
async fn wait_and_refuse<T>(
    context: &mut LinkContext,
    refusal: Option<&Refusal>,
    onlooker: &mut Option<Onlooker>,
    future: impl Future<Output = T>,
) -> Result<T, Finished> {
    let mut future = pin!(future);
    let (mut due, mut replies) = (Vec::new(), Vec::new());
    loop {
        if context.work.finished() {
            return Err(Finished);
        }
        let silence = context.silence();
        let more = match refusal {
            Some(refusal) => {
                let LinkContext {
                    ask_again, clock, ..
                } = &mut *context;
                for inquiry in ask_again.drain(..) {
                    look_or_refuse(inquiry, onlooker, refusal, &**clock, silence);
                }
                refuse(context, refusal, &mut due, &mut replies)
            }
            None => false,
        };
        let LinkContext {
            wake,
            inquiries,
            clock,
            ask_again,
            ..
        } = &mut *context;
        let mut turn = pin!(tokio::task::yield_now());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            while let Some(refusal) = refusal
                && let Poll::Ready(Some(inquiry)) = inquiries.poll_recv(cx)
            {
                look_or_refuse(inquiry, onlooker, refusal, &**clock, silence);
            }
            if let Some(looking) = onlooker
                && looking.poll(cx).is_ready()
                && let Some(ended) = onlooker.take()
            {
                ask_again.extend(ended.end());
                return Poll::Ready(None);
            }
            if more {
                return turn.as_mut().poll(cx).map(|()| None);
            }
            wake.poll(cx).map(|()| None)
        })
        .await;
        if let Some(value) = ended {
            return Ok(value);
        }
    }
}

/// Answers an inquiry while nothing is served.
fn look_or_refuse(
    inquiry: Inquiry,
    onlooker: &mut Option<Onlooker>,
    refusal: &Refusal,
    clock: &dyn Clock,
    silence: Duration,
) {
    match onlooker {
        Some(onlooker) => onlooker.look(inquiry, clock, silence, words_of(refusal)),
        None => inquiry.refuse(words_of(refusal)),
    }
}

/// What an inquiry is told that cannot be made.
fn words_of(refusal: &Refusal) -> Words {
    match refusal {
        Refusal::Rejected(words) | Refusal::Misuse(words) | Refusal::Unavailable(words) => {
            words.clone()
        }
        Refusal::Again | Refusal::NotSent => Words::fixed("there is no connection to the node"),
    }
}

/// Refuses some of what is due. Nothing of it was sent. Returns whether more may be due; others get
/// their turn first.
// Law: Bounded work
fn refuse(
    context: &LinkContext,
    refusal: &Refusal,
    due: &mut Vec<Request>,
    replies: &mut Vec<(RequestId, Reply)>,
) -> bool {
    context.work.poll(context.node, BATCH, due);
    if due.is_empty() {
        return false;
    }
    let answer = |request: Request| (request.id, Reply::NotApplied(refusal.clone()));
    replies.extend(due.drain(..).map(answer));
    context.work.reply(replies);
    replies.clear();
    true
}
