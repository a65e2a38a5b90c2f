//! The connection beside a session on which replicas of the node are waited for: `WAIT` holds up
//! all that is written behind it.
//!
//! It is dialled when a grant is to be acknowledged for the first time, kept while it leads to the
//! server that granted, dialled again when it is lost, and closed with the session. One round is
//! under way at a time: a fence is drawn behind all grants that waited, and one `WAIT` covers them.
//! It ends with the time of the first whose time is up; a second one goes on for the others. There
//! is no third: a server counts the replicas that have what was written before the `WAIT` before,
//! so each would ask for more than the one before it. What comes meanwhile waits for the next
//! round.

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
use crate::runtime::{BoxFuture, Clock};

/// How many grants one `WAIT` covers at most.
// Law: Bounded work
const TOGETHER: usize = 128;
/// Servers time out in whole milliseconds.
const TICK: Duration = Duration::from_millis(1);
/// What is told if nothing is.
const NOT_IN_TIME: &str = "it did not say in time how many replicas have the grant";

/// The pause after a dial that failed, and what it grows to by doubling.
// Law: Bounded work
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is told to the hub.
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
    /// How many dials in a row led to nothing.
    failures: u32,
    /// Until when no other is tried, and why not.
    pause: Option<(Instant, Refusal)>,
}

/// What is under way.
struct Round {
    work: Woken<(Side, Result<Told, Untold>)>,
    /// Whom it is about, in the order in which they are asked. None for who is answered already.
    asked: Vec<Option<Asked>>,
    /// Until when the server waits.
    until: Instant,
    /// How many replicas the first `WAIT` has found, if this is the second.
    found: Option<u32>,
}

/// What waits for replicas in a session.
pub(crate) struct Acknowledger {
    /// None while a round is under way.
    side: Option<Side>,
    round: Option<Round>,
    waiting: VecDeque<Asked>,
    /// Fires when the time of somebody may be up.
    timer: Option<(Instant, Woken<()>)>,
    demanded: u32,
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
        let demanded = config.acknowledged_by;
        let side = Side {
            dialer,
            connected: None,
            heard: clock.now(),
            stream: Arc::clone(stream),
            demanded,
            clock: Arc::clone(clock),
            ask_after: config.ask_after,
            failures: 0,
            pause: None,
        };
        Self {
            side: Some(side),
            round: None,
            waiting: VecDeque::new(),
            timer: None,
            demanded,
            clock: Arc::clone(clock),
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.round.is_none() && self.waiting.is_empty()
    }

    /// Asks for a grant. It is answered once, and by its deadline.
    pub(crate) fn ask(&mut self, request: Request) {
        let now = self.clock.now();
        let time = request.deadline.saturating_since(now);
        let until = now + (time - time / 4);
        self.waiting.push_back(Asked { request, until });
        self.arm(until);
    }

    /// Ready with replies, when there are some.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Replies> {
        let mut replies = Vec::new();
        loop {
            if let Some((_, timer)) = &mut self.timer
                && timer.poll(cx).is_ready()
            {
                self.timer = None;
                self.give_up(&mut replies);
                continue;
            }
            if let Some(side) = self.side.take() {
                self.begin(side, &mut replies);
            }
            if let Some(mut round) = self.round.take() {
                let Poll::Ready((side, told)) = round.work.poll(cx) else {
                    self.round = Some(round);
                    break;
                };
                self.settle(side, told, round, &mut replies);
                continue;
            }
            break;
        }
        match replies.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(replies),
        }
    }

    /// Answers those whose time is up. What they are waiting in goes on for the others.
    // Law: Progress
    fn give_up(&mut self, replies: &mut Replies) {
        let now = self.clock.now();
        let mut next = None;
        let mut is_over = |end: Instant| {
            if end > now {
                next = Some(next.map_or(end, |next: Instant| next.min(end)));
            }
            end <= now
        };
        if let Some(Round { asked, found, .. }) = &mut self.round {
            for slot in asked {
                let end = slot.as_ref().map(|asked| asked.ends(*found));
                if end.is_some_and(&mut is_over)
                    && let Some(asked) = slot.take()
                {
                    let found = found.map(|replicas| Reply::Applied(acknowledged(replicas)));
                    replies.push((asked.request.id, found.unwrap_or_else(not_in_time)));
                }
            }
        }
        self.waiting.retain(|asked| {
            let over = is_over(asked.until);
            if over {
                replies.push((asked.request.id, not_in_time()));
            }
            !over
        });
        if let Some(next) = next {
            self.arm(next);
        }
    }

    /// Sees to it that the timer fires by then.
    fn arm(&mut self, at: Instant) {
        if self.timer.as_ref().is_none_or(|(before, _)| at < *before) {
            self.timer = Some((at, Woken::new(self.clock.sleep_until(at))));
        }
    }

    /// Begins a round for those who wait, if there are some.
    fn begin(&mut self, side: Side, replies: &mut Replies) {
        // The timer may be late.
        let now = self.clock.now();
        let mut asked: Vec<Asked> = Vec::new();
        while asked.len() < TOGETHER
            && let Some(next) = self.waiting.pop_front()
        {
            match next.until > now {
                true => asked.push(next),
                false => replies.push((next.request.id, not_in_time())),
            }
        }
        let first = asked.iter().map(|asked| asked.until).min();
        let last = asked.iter().map(|asked| asked.request.deadline).max();
        let (Some(first), Some(last)) = (first, last) else {
            self.side = Some(side);
            return;
        };
        let requests = asked.iter().map(|asked| asked.request.clone()).collect();
        self.round = Some(Round {
            work: Woken::new(Box::pin(side.first(requests, first, last))),
            asked: asked.into_iter().map(Some).collect(),
            until: first,
            found: None,
        });
    }

    /// Hands on what was told, and begins the second `WAIT` for those who have time left.
    fn settle(
        &mut self,
        side: Side,
        told: Result<Told, Untold>,
        round: Round,
        replies: &mut Replies,
    ) {
        let now = self.clock.now();
        let Round {
            asked,
            until,
            found,
            ..
        } = round;
        // A server that does not wait is not asked again.
        // Law: Bounded work
        let may_go_on = found.is_none() && now + TICK >= until;
        let mut answer = |asked: Asked, reply: Reply| replies.push((asked.request.id, reply));
        let told = match told {
            Ok(told) => told,
            Err(why) => {
                let reply = why.into_reply();
                for asked in asked.into_iter().flatten() {
                    answer(asked, reply.clone());
                }
                self.side = Some(side);
                return;
            }
        };
        let mut left = Vec::new();
        for (asked, each) in asked.into_iter().zip(told.each) {
            let Some(asked) = asked else { continue };
            match (each, &told.replicas) {
                (Some(reply), _) => answer(asked, reply),
                (None, Err(reply)) => answer(asked, reply.clone()),
                (None, Ok(replicas)) => {
                    let few = *replicas < self.demanded;
                    if few && may_go_on && asked.until > now + TICK {
                        left.push(asked);
                    } else {
                        answer(asked, Reply::Applied(acknowledged(*replicas)));
                    }
                }
            }
        }
        let until = left.iter().map(|asked| asked.until).max();
        let last = left.iter().map(|asked| asked.request.deadline).max();
        let first = left.iter().map(|asked| asked.until).min();
        let (Some(until), Some(last), Some(first), Ok(found)) = (until, last, first, told.replicas)
        else {
            self.side = Some(side);
            return;
        };
        self.round = Some(Round {
            work: Woken::new(Box::pin(side.second(left.len(), until, last))),
            asked: left.into_iter().map(Some).collect(),
            until,
            found: Some(found),
        });
        self.arm(first);
    }

    /// Gives up. Returns what was not answered.
    pub(crate) fn end(self) -> impl Iterator<Item = RequestId> {
        let asked = self.round.map(|round| round.asked).unwrap_or_default();
        let asked = asked.into_iter().flatten().chain(self.waiting);
        asked.map(|asked| asked.request.id)
    }
}

impl Asked {
    /// When it is answered at the latest. Before that nothing is known, unless a `WAIT` has `found`
    /// replicas.
    fn ends(&self, found: Option<u32>) -> Instant {
        match found {
            Some(_) => self.until,
            None => self.request.deadline,
        }
    }
}

fn acknowledged(replicas: u32) -> Answer {
    Answer::Acknowledged { replicas }
}

fn not_in_time() -> Reply {
    Reply::NotApplied(Refusal::Unavailable(Words::fixed(NOT_IN_TIME)))
}

/// Why a connection told nothing.
enum Untold {
    /// It ended, and another one may tell.
    Broken(Words),
    Refused(Refusal),
    /// Nothing came in time.
    Late,
}

impl Untold {
    fn into_reply(self) -> Reply {
        match self {
            Self::Broken(words) => Reply::Unknown(Doubt::Broken(words)),
            Self::Refused(refusal) => Reply::NotApplied(refusal),
            Self::Late => not_in_time(),
        }
    }
}

/// Why there is no connection.
fn undialled(why: &DialError) -> Refusal {
    let said = |words: &Words| {
        let words = words.as_str();
        printable(&format!("its replicas could not be asked: {words}"))
    };
    match why {
        DialError::Unavailable(words) => Refusal::Unavailable(said(words)),
        DialError::Rejected(words) => Refusal::Rejected(said(words)),
    }
}

impl Side {
    /// Draws behind these grants, and waits for replicas. Given up at `last`, and with it the
    /// connection.
    async fn first(
        mut self,
        requests: Vec<Request>,
        until: Instant,
        last: Instant,
    ) -> (Self, Result<Told, Untold>) {
        let timer = self.clock.sleep_until(last);
        let told = by(timer, self.told(&requests, until)).await;
        (self, told)
    }

    /// Goes on waiting, for so many.
    async fn second(
        mut self,
        count: usize,
        until: Instant,
        last: Instant,
    ) -> (Self, Result<Told, Untold>) {
        let timer = self.clock.sleep_until(last);
        let told = by(timer, self.waited(count, until)).await;
        (self, told)
    }

    /// What the node says. If the future is dropped, so is the connection.
    async fn told(&mut self, requests: &[Request], until: Instant) -> Result<Told, Untold> {
        if let Some(kept) = self.connected.take()
            && let Some(kept) = self.living(kept, until).await
            && let Ok(told) = self.ask(kept, requests, until).await
        {
            return Ok(told);
        }
        let now = self.clock.now();
        if let Some((at, why)) = &self.pause
            && now < *at
        {
            return Err(Untold::Refused(why.clone()));
        }
        let dialled = self.dialer.dial().await;
        let mut connected = dialled.map_err(|why| {
            let why = undialled(&why);
            self.failed(why.clone());
            Untold::Refused(why)
        })?;
        // Whatever is said from now on is an answer.
        drop(connected.ear.take().map(|ear| ear.take_away(None)));
        let told = self.ask(connected, requests, until).await;
        told.map_err(|words| {
            self.failed(Refusal::Unavailable(words.clone()));
            Untold::Broken(words)
        })
    }

    /// A dial led to nothing. Others make a pause.
    // Law: Bounded work
    fn failed(&mut self, why: Refusal) {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.pause = Some((self.clock.now() + pause.min(LONGEST_PAUSE), why));
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

    /// Asks over this connection, and keeps it if it leads to the server that granted. An error if
    /// it ended.
    async fn ask(
        &mut self,
        mut connected: Connected,
        requests: &[Request],
        until: Instant,
    ) -> Result<Told, Words> {
        let within = until.saturating_since(self.clock.now());
        let commands = acknowledge::commands(&self.stream, requests, self.demanded, within);
        let results = exchanged(&mut connected, commands).await?;
        let told = acknowledge::told(&self.stream, requests, results);
        self.heard = self.clock.now();
        if told.is_of_the_node() {
            self.dialer.served();
            self.failures = 0;
            self.pause = None;
            self.connected = Some(connected);
        }
        Ok(told)
    }

    /// Goes on waiting for what was drawn on this connection.
    async fn waited(&mut self, count: usize, until: Instant) -> Result<Told, Untold> {
        let gone = || Untold::Broken(Words::fixed("the connection for its replicas ended"));
        let mut connected = self.connected.take().ok_or_else(gone)?;
        let within = until.saturating_since(self.clock.now());
        let commands = vec![acknowledge::wait(self.demanded, within)];
        let results = exchanged(&mut connected, commands).await;
        let results = results.map_err(Untold::Broken)?;
        self.heard = self.clock.now();
        self.connected = Some(connected);
        let replicas = results.first().map(acknowledge::replicas);
        Ok(Told {
            each: vec![None; count],
            replicas: replicas.ok_or_else(gone)?,
        })
    }
}

/// What is told before the timer fires.
async fn by(
    timer: BoxFuture<'static, ()>,
    told: impl Future<Output = Result<Told, Untold>>,
) -> Result<Told, Untold> {
    match select(pin!(told), timer).await {
        Either::Left((told, _)) => told,
        Either::Right(_) => Err(Untold::Late),
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
