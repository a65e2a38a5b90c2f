//! One established connection: it takes the requests that are due, keeps several batches in flight,
//! and ends when the connection does.
//!
//! It is one task: the connection is driven, requests are taken and replies handed on in turn. So a
//! request changes tasks twice on its whole way, as it would with redis-rs alone.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::{Pipeline, RedisError};
use tenure_core::{Instant, Op, Refusal, Reply, Request, RequestId, Words};
use tokio::sync::{Notify, mpsc};

use crate::link::connect::{Connected, Node};
use crate::link::connection::Wire;
use crate::link::handle::{InspectError, Look};
use crate::link::in_flight::{Cargo, Flights, Replies};
use crate::link::recovery::{self, Chore, Done, Mending};
use crate::link::{LinkConfig, LinkStatus, Work};
use crate::protocol::batch::Batch;
use crate::protocol::decode::{self, Meaning, Signal};
use crate::protocol::encode::Encoder;
use crate::runtime::seams::{BoxFuture, Clock};

/// How many requests are taken at a time.
pub(crate) const BATCH: usize = 128;
/// How many writes may wait for their replies; over a connection of the user's, each is one command.
const IN_FLIGHT: usize = 64;
const IN_FLIGHT_SINGLE: usize = 4096;
/// How often a node over which a quorum is taken is asked again who it is.
const IDENTITY_EVERY: Duration = Duration::from_secs(30);
/// For how long requests share no calls after one for several keys was refused: long enough for each to
/// have its own answer, and no longer, since one key that may not be used must not make all dear.
const SINGLY_FOR: Duration = Duration::from_secs(5);

/// What a session is given by its link.
pub(crate) struct Shared {
    pub(crate) node: tenure_core::NodeId,
    pub(crate) work: Arc<dyn Work>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<LinkConfig>,
    pub(crate) looks: mpsc::Receiver<Look>,
    /// Until when requests share no calls.
    pub(crate) singly_until: Instant,
}

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// There is nothing left to do.
    Finished,
    /// The connection must be replaced.
    Lost {
        why: Words,
        /// It had answered something.
        served: bool,
    },
}

enum Step {
    Replies(Cargo, Replies),
    Closed,
    Mended(Result<Done, Words>),
    Woken,
    Look(Look),
    Silence,
    Identity,
}

/// See the module.
pub(crate) struct Session<'a> {
    shared: &'a mut Shared,
    encoder: &'a mut Encoder,
    wire: Arc<dyn Wire>,
    driver: Option<BoxFuture<'static, ()>>,
    node: Node,

    flights: Flights,
    /// When the last reply came, or the first write after there was nothing in flight.
    heard: Instant,
    silence: Option<(Instant, BoxFuture<'static, ()>)>,
    identity: Option<BoxFuture<'static, ()>>,

    scripts: Mending,
    marker: Mending,
    chore: Option<Chore>,
    /// More requests may be due.
    more: bool,
    /// No more requests are taken; the connection ends when those in flight are answered.
    closing: Option<Words>,
    lost: Option<Words>,
    served: bool,

    due: Vec<Request>,
    replies: Vec<(RequestId, Reply)>,
    spare: Vec<Batch>,
    /// Looks that are to be asked again, once the scripts are loaded.
    looks: Vec<Look>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        shared: &'a mut Shared,
        encoder: &'a mut Encoder,
        connected: Connected,
        node: Node,
    ) -> Self {
        let now = shared.clock.now();
        let identity = shared
            .config
            .quarantine
            .is_some()
            .then(|| shared.clock.sleep_until(now + IDENTITY_EVERY));
        Self {
            wire: connected.wire,
            driver: connected.driver,
            node,
            flights: Flights::default(),
            heard: now,
            silence: None,
            identity,
            scripts: Mending::default(),
            marker: Mending::default(),
            chore: None,
            more: true,
            closing: None,
            lost: None,
            served: false,
            due: Vec::new(),
            replies: Vec::new(),
            spare: Vec::new(),
            looks: Vec::new(),
            shared,
            encoder,
        }
    }

    /// Serves until the connection is lost or the work is finished.
    pub(crate) async fn serve(mut self) -> End {
        loop {
            if !self.replies.is_empty() {
                self.shared.work.reply(&mut self.replies);
                self.replies.clear();
            }
            if let Some(why) = self.lost.take() {
                return self.give_up(why);
            }
            self.mend();
            while self.more && self.may_take() {
                self.take();
            }
            while self.may_take()
                && let Some(look) = self.looks.pop()
            {
                self.look(look);
            }
            if !self.replies.is_empty() {
                continue;
            }
            if self.flights.is_empty() {
                if let Some(why) = self.closing.take() {
                    return self.give_up(why);
                }
                if self.shared.work.finished() {
                    return End::Finished;
                }
            }
            match self.step().await {
                Step::Replies(cargo, replies) => {
                    self.land(cargo, replies);
                    self.land_ready();
                }
                Step::Closed => {
                    self.driver = None;
                    self.lost = Some(Words::new("the node closed the connection"));
                }
                Step::Mended(result) => self.mended(result),
                Step::Woken => self.more = true,
                Step::Look(look) => self.look(look),
                Step::Silence => self.silence(),
                Step::Identity => {
                    let next = self.shared.clock.now() + IDENTITY_EVERY;
                    self.identity = Some(self.shared.clock.sleep_until(next));
                    if self.chore.is_none() {
                        let Shared { clock, config, .. } = &*self.shared;
                        self.chore = Some(recovery::identify(&self.wire, &**clock, config));
                    }
                }
            }
        }
    }

    /// The next thing that happens. Replies first: they free their callers, and an end of the
    /// connection or a silence must not overtake a reply that is already there.
    async fn step(&mut self) -> Step {
        let Shared { wake, looks, .. } = &mut *self.shared;
        let mut woken = pin!(wake.notified());
        let (flights, driver) = (&mut self.flights, &mut self.driver);
        let (chore, silence, identity) = (&mut self.chore, &mut self.silence, &mut self.identity);
        poll_fn(|cx| {
            // Before the driver, for what is to be written; after it, for what it has read.
            if let Poll::Ready((cargo, replies)) = flights.poll_landed(cx) {
                return Poll::Ready(Step::Replies(cargo, replies));
            }
            if poll_some(driver.as_mut(), cx).is_ready() {
                return Poll::Ready(Step::Closed);
            }
            if let Poll::Ready((cargo, replies)) = flights.poll_landed(cx) {
                return Poll::Ready(Step::Replies(cargo, replies));
            }
            if let Poll::Ready(result) = poll_some(chore.as_mut(), cx) {
                return Poll::Ready(Step::Mended(result));
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Woken);
            }
            if let Poll::Ready(Some(look)) = looks.poll_recv(cx) {
                return Poll::Ready(Step::Look(look));
            }
            if poll_some(silence.as_mut().map(|(_, timer)| timer), cx).is_ready() {
                return Poll::Ready(Step::Silence);
            }
            if poll_some(identity.as_mut(), cx).is_ready() {
                return Poll::Ready(Step::Identity);
            }
            Poll::Pending
        })
        .await
    }

    fn may_take(&self) -> bool {
        let room = if self.wire.is_own() {
            IN_FLIGHT
        } else {
            IN_FLIGHT_SINGLE
        };
        self.flights.len() < room
            && self.closing.is_none()
            && !self.scripts.needed
            && !self.marker.needed
    }

    /// Takes the requests that are due and writes them.
    fn take(&mut self) {
        self.due.clear();
        self.shared
            .work
            .poll(self.shared.node, BATCH, &mut self.due);
        self.more = self.due.len() >= BATCH;
        if self.due.is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        // An acquire that nobody waits for any more (the link was connecting) would only have to
        // be released again. Everything else is still of use.
        let replies = &mut self.replies;
        self.due.retain(|request| {
            let stale = matches!(request.op, Op::Acquire { .. }) && request.deadline <= now;
            if stale {
                replies.push((request.id, Reply::NotApplied(Refusal::Unavailable)));
            }
            !stale
        });
        let due = std::mem::take(&mut self.due);
        if self.wire.is_own() {
            if !due.is_empty() {
                self.write(&due, now);
            }
        } else {
            self.write_singly(&due, now);
        }
        self.due = due;
    }

    fn write(&mut self, requests: &[Request], now: Instant) {
        let (cargo, commands) = self.encode(requests, now);
        let replies = self.wire.send(commands);
        self.launch(cargo, replies, now);
    }

    /// Over a connection of the user's: every command alone, and given up some time after its
    /// deadline, since nothing tells when that connection is replaced.
    fn write_singly(&mut self, requests: &[Request], now: Instant) {
        let mut rest = requests;
        while let Some(first) = rest.first() {
            let renewal = |request: &&Request| matches!(request.op, Op::Renew { .. });
            let count = if now < self.shared.singly_until {
                1
            } else {
                rest.iter().take_while(renewal).count()
            };
            let (together, behind) = rest.split_at(count.max(1));
            rest = behind;
            let (cargo, commands) = self.encode(together, now);
            let replies = self.wire.send(commands);
            let replies = self.bounded(replies, first.deadline.max(now));
            self.launch(cargo, replies, now);
        }
    }

    /// Replies over a connection of the user's, given up after as long a silence from `from` as would
    /// replace a connection of our own.
    fn bounded(
        &self,
        replies: BoxFuture<'static, Replies>,
        from: Instant,
    ) -> BoxFuture<'static, Replies> {
        let timer = self
            .shared
            .clock
            .sleep_until(from + self.shared.config.silence);
        Box::pin(async move {
            match select(replies, timer).await {
                Either::Left((replies, _)) => replies,
                Either::Right(_) => Err(RedisError::from(std::io::Error::from(
                    std::io::ErrorKind::TimedOut,
                ))),
            }
        })
    }

    fn encode(&mut self, requests: &[Request], now: Instant) -> (Cargo, Pipeline) {
        let mut batch = self.spare.pop().unwrap_or_default();
        let mut commands = Pipeline::with_capacity(requests.len());
        let share = now >= self.shared.singly_until;
        batch.encode(requests, share, self.encoder, &mut commands);
        let cargo = Cargo::Requests {
            batch,
            loads: self.scripts.count,
            marks: self.marker.count,
        };
        (cargo, commands)
    }

    fn launch(&mut self, cargo: Cargo, replies: BoxFuture<'static, Replies>, now: Instant) {
        if self.flights.is_empty() {
            self.heard = now;
        }
        self.flights.launch(cargo, replies);
        if self.silence.is_none() && self.wire.is_own() {
            self.arm(self.heard + self.shared.config.silence);
        }
    }

    /// Hands on the replies to one write.
    fn land(&mut self, cargo: Cargo, replies: Replies) {
        let now = self.shared.clock.now();
        if replies.is_ok() {
            self.heard = now;
            self.served = true;
        }
        match cargo {
            Cargo::Requests {
                mut batch,
                loads,
                marks,
            } => {
                let config = Arc::clone(&self.shared.config);
                batch.read(replies, config.quarantine.as_ref(), |id, meaning| {
                    let reply = self.heed(meaning, loads, marks, now);
                    self.replies.push((id, reply));
                });
                self.spare.push(batch);
            }
            Cargo::Look { look, loads } => {
                let result = replies.map(|mut values| values.pop().unwrap_or_default());
                // What the answer says of the link holds for all requests.
                let meaning = decode::look(&result);
                let reply = self.heed((Reply::Unknown, meaning), loads, self.marker.count, now);
                if reply == Reply::NotApplied(Refusal::Again) && !look.again {
                    self.looks.push(Look {
                        again: true,
                        ..look
                    });
                    return;
                }
                // Nobody may be waiting any more.
                let _ = look
                    .answer
                    .send(decode::inspection(result).map_err(InspectError));
            }
        }
    }

    /// Hands on whatever else has arrived, so that the hub is told once.
    fn land_ready(&mut self) {
        while !self.flights.is_empty()
            && let Some((cargo, replies)) = self.flights.landed()
        {
            self.land(cargo, replies);
        }
    }

    /// Acts on what a reply tells the link.
    fn heed(&mut self, (reply, signal): Meaning, loads: u32, marks: u32, now: Instant) -> Reply {
        let own = self.wire.is_own();
        match signal {
            None => {}
            Some(Signal::NoScript) => return Reply::NotApplied(self.scripts.ask(loads, now)),
            Some(Signal::Unmarked) => return Reply::NotApplied(self.marker.ask(marks, now)),
            Some(Signal::CrossSlot) => self.shared.singly_until = Instant::MAX,
            Some(Signal::Singly) => {
                let until = now + SINGLY_FOR;
                self.shared.singly_until = self.shared.singly_until.max(until);
            }
            // The name of the node may lead to another server by now.
            Some(Signal::Elsewhere(why)) if own => self.closing = Some(why),
            Some(Signal::Elsewhere(_)) => {
                self.marker.needed |= self.shared.config.quarantine.is_some();
            }
            Some(Signal::Broken(why)) if own => self.lost = Some(why),
            Some(Signal::Broken(_)) => {}
        }
        reply
    }

    /// Starts what must be done before more requests are taken.
    fn mend(&mut self) {
        if self.chore.is_some() || self.closing.is_some() {
            return;
        }
        let Shared { clock, config, .. } = &*self.shared;
        if self.scripts.needed {
            self.chore = Some(recovery::load(&self.wire, &**clock, config));
        } else if self.marker.needed {
            self.chore = Some(recovery::identify(&self.wire, &**clock, config));
        }
    }

    fn mended(&mut self, result: Result<Done, Words>) {
        self.chore = None;
        let now = self.shared.clock.now();
        match result {
            Ok(Done::Loaded) => self.scripts.done(now),
            Ok(Done::Identified(node)) => {
                self.marker.done(now);
                if let Some(quarantine) = &self.shared.config.quarantine
                    && let Ok(marker) = node.marker(quarantine)
                {
                    self.encoder.set_marker(marker);
                }
                if node.run_id != self.node.run_id {
                    self.node.run_id = node.run_id;
                    let identity = self.node.identity();
                    self.shared
                        .work
                        .status(self.shared.node, LinkStatus::Up(identity));
                }
            }
            // Another connection may do better, and its set-up tells the caller why not.
            Err(why) => self.closing = Some(why),
        }
    }

    fn look(&mut self, look: Look) {
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(self.encoder.inspect(&look.key));
        let now = self.shared.clock.now();
        let mut replies = self.wire.send(commands);
        if !self.wire.is_own() {
            replies = self.bounded(replies, now);
        }
        let loads = self.scripts.count;
        self.launch(Cargo::Look { look, loads }, replies, now);
    }

    fn arm(&mut self, at: Instant) {
        self.silence = Some((at, self.shared.clock.sleep_until(at)));
    }

    /// The silence timer fired: has nothing been heard for too long?
    fn silence(&mut self) {
        let Some((due, _)) = self.silence.take() else {
            return;
        };
        if self.flights.is_empty() {
            return;
        }
        let span = self.shared.config.silence;
        let now = self.shared.clock.now();
        let end = self.heard + span;
        if now < end {
            self.arm(end);
        } else if now.saturating_since(due) > span / 4 && due >= end {
            // The timer is late: this process stood still, and the replies may be waiting to be
            // read. They get a moment, on a timer of its own.
            self.heard = now - span * 3 / 4;
            self.arm(self.heard + span);
        } else {
            self.lost = Some(Words::new("the node does not answer"));
        }
    }

    /// Ends the connection. Replies that have arrived count; whatever else is in flight is unknown.
    fn give_up(mut self, why: Words) -> End {
        self.land_ready();
        // Closes the connection: nothing more of it is written.
        self.driver = None;
        for cargo in std::mem::take(&mut self.flights).abandon() {
            match cargo {
                Cargo::Requests { mut batch, .. } => {
                    batch.abandon(|id| self.replies.push((id, Reply::Unknown)));
                }
                Cargo::Look { look, .. } => {
                    let _ = look.answer.send(Err(InspectError(why.clone())));
                }
            }
        }
        if !self.replies.is_empty() {
            self.shared.work.reply(&mut self.replies);
        }
        End::Lost {
            why,
            served: self.served,
        }
    }
}

/// Polls what may not be there: then it is never ready.
fn poll_some<T>(future: Option<&mut BoxFuture<'static, T>>, cx: &mut Context<'_>) -> Poll<T> {
    future.map_or(Poll::Pending, |future| future.as_mut().poll(cx))
}
