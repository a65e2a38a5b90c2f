//! The connection beside a session on which replicas of the node are waited for: `WAIT` holds up
//! all that is written behind it.
//!
//! It is dialled when a grant is to be acknowledged for the first time, kept, dialled again when it
//! is lost, and closed with the session. One `WAIT` is under way at a time. It covers all grants
//! that waited when it was written; those that come meanwhile wait for the next.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_core::{Answer, Doubt, Instant, Refusal, Reply, Request, RequestId, Words};

use crate::link::connect::{Connected, DialError, Dialer};
use crate::link::connection::exchange;
use crate::link::interface::LinkConfig;
use crate::link::woken::Woken;
use crate::protocol::acknowledge::{self, Told};
use crate::protocol::decode::CommandResult;
use crate::protocol::stream::FenceStream;
use crate::protocol::words::printable;
use crate::runtime::Clock;

/// How many grants one `WAIT` covers at most.
// Law: Bounded work
const TOGETHER: usize = 128;
/// Servers time out in whole milliseconds.
const TICK: Duration = Duration::from_millis(1);
/// What is told if nothing is.
const NOT_IN_TIME: &str = "it did not say in time how many replicas have the grant";

/// What is told in each round.
type Replies = Vec<(RequestId, Reply)>;

/// A grant that is to be acknowledged.
#[derive(Clone, Debug)]
struct Asked {
    request: Request,
    /// Until when replicas are waited for. The answer needs the rest of the time for its way.
    until: Instant,
}

/// The connection, and what it takes to have another one.
struct Side {
    dialer: Dialer,
    connected: Option<Connected>,
    /// When it was last heard.
    heard: Instant,
    stream: Arc<FenceStream>,
    /// How many replicas must have each grant.
    demanded: u32,
    clock: Arc<dyn Clock>,
    /// After so long without a word it is asked whether it lives before it is used.
    ask_after: Duration,
}

/// What came of a round.
struct Round {
    side: Side,
    replies: Replies,
    /// Whose time is not up. A fence was drawn behind them, unless the connection was lost.
    left: Vec<Asked>,
}

/// What waits for replicas in a session.
pub(crate) struct Acknowledger {
    /// None while a round is under way.
    side: Option<Side>,
    round: Option<Woken<Round>>,
    /// What the round is about.
    asked: Vec<RequestId>,
    waiting: VecDeque<Asked>,
    clock: Arc<dyn Clock>,
}

impl Acknowledger {
    /// Connects by this dialer, to the server of the session.
    pub(crate) fn new(
        dialer: Dialer,
        stream: &Arc<FenceStream>,
        clock: &Arc<dyn Clock>,
        config: &LinkConfig,
    ) -> Self {
        let side = Side {
            dialer,
            connected: None,
            heard: clock.now(),
            stream: Arc::clone(stream),
            demanded: config.acknowledged_by,
            clock: Arc::clone(clock),
            ask_after: config.ask_after,
        };
        Self {
            side: Some(side),
            round: None,
            asked: Vec::new(),
            waiting: VecDeque::new(),
            clock: Arc::clone(clock),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.round.is_none() && self.waiting.is_empty()
    }

    /// Asks for a grant. It is answered once.
    pub(crate) fn ask(&mut self, request: Request) {
        let now = self.clock.now();
        let time = request.deadline.saturating_since(now);
        let until = now + (time - time / 4);
        self.waiting.push_back(Asked { request, until });
    }

    /// Ready with replies, when there are some.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Replies> {
        loop {
            if let Some(side) = self.side.take() {
                if self.waiting.is_empty() {
                    self.side = Some(side);
                    return Poll::Pending;
                }
                let count = self.waiting.len().min(TOGETHER);
                let asked = self.waiting.drain(..count).collect();
                self.begin(side, asked, false);
            }
            let Some(round) = &mut self.round else {
                return Poll::Pending;
            };
            let Poll::Ready(Round {
                side,
                replies,
                left,
            }) = round.poll(cx)
            else {
                return Poll::Pending;
            };
            self.round = None;
            self.asked.clear();
            match left.is_empty() {
                true => self.side = Some(side),
                // Who came meanwhile is not drawn for yet: the draw would be behind these, and
                // replicas that are slow would never come so far.
                // Law: Progress
                false => self.begin(side, left, true),
            }
            if !replies.is_empty() {
                return Poll::Ready(replies);
            }
        }
    }

    fn begin(&mut self, side: Side, asked: Vec<Asked>, drawn: bool) {
        self.asked = asked.iter().map(|asked| asked.request.id).collect();
        self.round = Some(Woken::new(Box::pin(side.round(asked, drawn))));
    }

    /// Gives up. Returns what was not answered.
    pub(crate) fn end(self) -> impl Iterator<Item = RequestId> {
        let waiting = self.waiting.into_iter().map(|asked| asked.request.id);
        self.asked.into_iter().chain(waiting)
    }
}

/// Why a connection told nothing.
enum Untold {
    /// It ended, and another one may tell.
    Broken(Words),
    Refused(Refusal),
}

impl From<DialError> for Untold {
    fn from(why: DialError) -> Self {
        let said = |words: &Words| {
            let words = words.as_str();
            printable(&format!("its replicas could not be asked: {words}"))
        };
        Self::Refused(match &why {
            DialError::Unavailable(words) => Refusal::Unavailable(said(words)),
            DialError::Rejected(words) => Refusal::Rejected(said(words)),
        })
    }
}

impl Side {
    /// One `WAIT`, behind a draw unless that was `drawn`. It ends with the time of the first whose
    /// time is up.
    async fn round(mut self, asked: Vec<Asked>, drawn: bool) -> Round {
        let clock = Arc::clone(&self.clock);
        let first = asked.iter().map(|asked| asked.request.deadline).min();
        let timer = clock.sleep_until(first.unwrap_or(Instant::ORIGIN));
        let requests: Vec<_> = asked.iter().map(|asked| asked.request.clone()).collect();
        let until = asked.iter().map(|asked| asked.until).min();
        let until = until.unwrap_or(Instant::ORIGIN);
        let told = async {
            match select(pin!(self.told(&requests, until, drawn)), timer).await {
                Either::Left((told, _)) => Some(told),
                Either::Right(_) => None,
            }
        };
        let told = told.await;
        let now = clock.now();
        let (replies, left) = match told {
            Some(Ok(told)) => {
                // A server that does not wait is not asked again and again.
                // Law: Bounded work
                let waited = now + TICK >= until;
                let has_time = |asked: &Asked| waited && asked.until > now + TICK;
                settle(told, asked, self.demanded, has_time)
            }
            Some(Err(why)) => {
                let reply = match why {
                    Untold::Broken(words) => Reply::Unknown(Doubt::Broken(words)),
                    Untold::Refused(refusal) => Reply::NotApplied(refusal),
                };
                let replies = requests.iter().map(|it| (it.id, reply.clone()));
                (replies.collect(), Vec::new())
            }
            None => {
                let up = |asked: &Asked| asked.request.deadline <= now;
                let (up, left): (Vec<_>, _) = asked.into_iter().partition(up);
                let why = Reply::NotApplied(Refusal::Unavailable(Words::fixed(NOT_IN_TIME)));
                let replies = up.iter().map(|asked| (asked.request.id, why.clone()));
                (replies.collect(), left)
            }
        };
        let side = self;
        Round {
            side,
            replies,
            left,
        }
    }

    /// What the node says. If the future is dropped, so is the connection.
    async fn told(
        &mut self,
        requests: &[Request],
        until: Instant,
        drawn: bool,
    ) -> Result<Told, Untold> {
        let kept = self.connected.take();
        let drawn = drawn && kept.is_some();
        let kept = match kept {
            Some(kept) if !drawn => self.living(kept, until).await,
            kept => kept,
        };
        if let Some(kept) = kept
            && let Ok(told) = self.ask(kept, requests, until, drawn).await
        {
            return Ok(told);
        }
        let mut connected = self.dialer.dial().await?;
        // Whatever is said from now on is an answer.
        drop(connected.ear.take().map(|ear| ear.take_away(None)));
        self.dialer.served();
        let told = self.ask(connected, requests, until, false).await;
        told.map_err(Untold::Broken)
    }

    /// The connection, if it answers. Only one that was not used for long is asked.
    async fn living(&mut self, mut connected: Connected, until: Instant) -> Option<Connected> {
        let now = self.clock.now();
        if now < self.heard + self.ask_after {
            return Some(connected);
        }
        let half = until.saturating_since(now) / 2;
        let timer = self.clock.sleep_until(now + half);
        let asks = exchanged(&mut connected, vec![redis::cmd("PING")]);
        let answers = match select(pin!(asks), timer).await {
            Either::Left((answer, _)) => answer.is_ok(),
            Either::Right(_) => false,
        };
        answers.then_some(connected)
    }

    /// Asks over this connection, and keeps it if it answers. An error if it ended.
    async fn ask(
        &mut self,
        mut connected: Connected,
        requests: &[Request],
        until: Instant,
        drawn: bool,
    ) -> Result<Told, Words> {
        let within = until.saturating_since(self.clock.now());
        let commands = match drawn {
            true => vec![acknowledge::wait(self.demanded, within)],
            false => acknowledge::commands(&self.stream, requests, self.demanded, within),
        };
        let results = exchanged(&mut connected, commands).await?;
        self.heard = self.clock.now();
        self.connected = Some(connected);
        Ok(match (drawn, &results[..]) {
            (true, [waited]) => Told {
                each: vec![None; requests.len()],
                replicas: acknowledge::replicas(waited),
            },
            _ => acknowledge::told(&self.stream, requests, results),
        })
    }
}

/// Exchanges commands while the connection is driven. An error if it ended.
async fn exchanged(
    connected: &mut Connected,
    commands: Vec<redis::Cmd>,
) -> Result<Vec<CommandResult>, Words> {
    let connection = Arc::clone(&connected.connection);
    let exchanged = async { Ok(exchange(&*connection, commands).await) };
    let results = connected.driven(exchanged).await;
    let results = results.map_err(DialError::into_words)?;
    // The error reply to a command is a value. An error is about the connection.
    match results.iter().find_map(|result| result.as_ref().err()) {
        Some(error) => Err(printable(&error.to_string())),
        None => Ok(results),
    }
}

/// The replies to what was told, and what goes on waiting: what replicas are too few for, and has
/// time `left`.
fn settle(
    told: Told,
    asked: Vec<Asked>,
    demanded: u32,
    has_time: impl Fn(&Asked) -> bool,
) -> (Replies, Vec<Asked>) {
    let (mut replies, mut left) = (Vec::new(), Vec::new());
    for (asked, each) in asked.into_iter().zip(told.each) {
        let reply = match (each, &told.replicas) {
            (Some(reply), _) => reply,
            (None, Err(reply)) => reply.clone(),
            (None, Ok(replicas)) if *replicas < demanded && has_time(&asked) => {
                left.push(asked);
                continue;
            }
            (None, Ok(replicas)) => {
                let replicas = *replicas;
                Reply::Applied(Answer::Acknowledged { replicas })
            }
        };
        replies.push((asked.request.id, reply));
    }
    (replies, left)
}
