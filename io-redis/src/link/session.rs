//! One established connection: it takes the requests that are due, keeps several batches in flight,
//! and ends when the connection does.
//!
//! It is one task, which in turn drives the connection, takes requests and hands replies on. So a
//! request changes tasks only twice on its way, as it would with redis-rs alone.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::{Pipeline, PushInfo, RedisError};
use tenure_core::{Doubt, Instant, Op, OpKind, Refusal, Reply, Request, RequestId, Rng, Words};

use crate::link::acknowledge::Acknowledger;
use crate::link::bare::Bare;
use crate::link::connect::Connected;
use crate::link::connection::Connection;
use crate::link::context::LinkContext;
use crate::link::handle::Inquiry;
use crate::link::identity::NodeInfo;
use crate::link::in_flight::{Answered, InFlight, Purpose, Replies, Written};
use crate::link::interface::LinkStatus;
use crate::link::mailbox::Mailbox;
use crate::link::onlooker::Looks;
use crate::link::pulse::{Beat, Pulse};
use crate::link::recovery::{self, Recovered, Recovery};
use crate::link::streams::Keeper;
use crate::link::woken::Woken;
use crate::protocol::batch::Batch;
use crate::protocol::decode::{self, Beside, CommandResult, Kept, Meaning, Signal};
use crate::protocol::encode::Encoder;
use crate::protocol::push::{self, Push};
use crate::protocol::words::NOT_IN_TIME;
use crate::runtime::BoxFuture;

/// How many requests are taken at a time.
// Law: Bounded work
pub(crate) const BATCH: usize = 128;
/// How many requests and replies are handled before other tasks of this thread get their turn: few,
/// so that it is short also in a debug build.
// Law: Bounded work
pub(crate) const TURN: usize = 256;
/// How many writes may wait for their replies. Over a connection of the user's, each is one
/// command.
// Law: Bounded work
const IN_FLIGHT: usize = 64;
const IN_FLIGHT_UNBATCHED: usize = 4096;
/// How often the identity of a node is asked for again, with quarantine on.
const IDENTITY_EVERY: Duration = Duration::from_secs(30);
/// How long batching stays off after a call for several keys was refused: long enough for each
/// request to get its own answer, by which the forbidden keys are known from then on.
const UNBATCHED_FOR: Duration = Duration::from_secs(5);
/// How long scripts are sent as texts after the server forgot them as soon as they were loaded.
const BY_TEXT_FOR: Duration = Duration::from_secs(10);
/// After so many failures in a row, each of something that was written after the one before, a
/// connection of the user's is taken for one that does not come back.
const BREAKS: u32 = 3;

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// There is nothing left to do.
    Finished,
    /// The connection must be replaced.
    Lost {
        why: Words,
        /// Whether it had answered anything.
        served: bool,
        how: Loss,
    },
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The node closed it, and nobody waited for anything.
    ClosedIdle,
    /// The node closed it while something was asked.
    Closed,
    /// It was of no use any more.
    GivenUp,
}

enum Step {
    Pushed,
    Replies(Answered),
    Acknowledged(Vec<(RequestId, Reply)>),
    Closed,
    Recovered(Result<Recovered, Words>),
    Woken,
    Asked(Inquiry),
    Silence,
    Pulse,
    Identity,
    Keep,
    /// Another server is the primary of the group.
    Switched(Words),
    /// More requests may be due.
    More,
}

/// One established connection.
pub(crate) struct Session<'a> {
    context: &'a mut LinkContext,
    encoder: &'a mut Encoder,
    connection: Arc<dyn Connection>,
    io: Option<Woken<()>>,
    node: NodeInfo,

    in_flight: InFlight,
    /// When the last reply came; or the first write, if nothing was in flight before it.
    quiet_since: Instant,
    silence: Option<(Instant, Woken<()>)>,
    /// None over a connection of the user's.
    pulse: Option<Pulse>,
    may_ping: bool,
    /// Whether the node may push when somebody touches a key that it was asked to watch.
    may_watch: bool,
    identity: Option<Woken<()>>,
    keeper: Option<Keeper>,
    /// Over a group.
    lookout: Option<Woken<Words>>,
    /// If replicas must acknowledge grants.
    acknowledger: Option<Box<Acknowledger>>,

    scripts: Recovery,
    /// Until when scripts are sent as texts, unless the server refuses that.
    by_text_until: Instant,
    may_send_text: bool,
    bare: Bare,
    marker: Recovery,
    recovery: Option<Woken<Result<Recovered, Words>>>,
    /// More requests may be due.
    more: bool,
    /// How many requests and replies were handled since others had their turn.
    handled: usize,
    /// No more requests or inquiries are taken; the connection ends when those in flight are
    /// answered.
    closing: Option<Words>,
    /// Why the connection is of no use any more, and what that means for what is in flight.
    lost: Option<Doubt>,
    served: bool,
    how: Loss,
    /// What the node has pushed.
    mailbox: Mailbox,
    letters: Vec<PushInfo>,
    pushes: Vec<Push>,
    /// How often in a row a connection of the user's has failed.
    breaks: u32,

    due: Vec<Request>,
    replies: Vec<(RequestId, Reply)>,
    spare: Vec<Batch>,
    /// Inspections of keys that the user may only read.
    looks: Looks,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        context: &'a mut LinkContext,
        encoder: &'a mut Encoder,
        connected: Connected,
        node: NodeInfo,
    ) -> Self {
        let now = context.clock.now();
        let identity = context
            .config
            .node_set
            .is_some()
            .then(|| Woken::new(context.clock.sleep_until(now + IDENTITY_EVERY)));
        let stream = context.config.stream.is_some();
        let keeper = stream.then(|| Keeper::new(&*context.clock));
        let own = connected.connection.is_own();
        encoder.natively = own;
        let pulse = own.then(|| {
            let rng = Rng::new(context.rng.next_u64());
            Pulse::new(&context.clock, &context.config, rng)
        });
        Self {
            connection: connected.connection,
            io: connected.io.map(Woken::new),
            node,
            in_flight: InFlight::default(),
            quiet_since: now,
            silence: None,
            pulse,
            may_ping: true,
            may_watch: own,
            identity,
            keeper,
            lookout: connected.lookout.map(Woken::new),
            acknowledger: connected.acknowledger,
            scripts: Recovery::default(),
            by_text_until: Instant::ORIGIN,
            may_send_text: true,
            bare: Bare::default(),
            marker: Recovery::default(),
            recovery: None,
            more: true,
            handled: 0,
            closing: None,
            lost: None,
            served: false,
            how: Loss::GivenUp,
            mailbox: connected.mailbox,
            letters: Vec::new(),
            pushes: Vec::new(),
            breaks: 0,
            due: Vec::new(),
            replies: Vec::new(),
            spare: Vec::new(),
            looks: Looks::default(),
            context,
            encoder,
        }
    }

    /// Serves until the connection is lost or the work is finished.
    pub(crate) async fn serve(mut self) -> SessionEnd {
        loop {
            self.hand_on();
            if self.handled >= TURN {
                self.handled = 0;
                tokio::task::yield_now().await;
            }
            if let Some(doubt) = self.lost.take() {
                return self.give_up(doubt).await;
            }
            self.recover();
            if self.more && self.may_take() {
                self.take();
            }
            while self.may_take()
                && let Some(inquiry) = self.context.ask_again.pop()
            {
                self.inquire(inquiry);
            }
            if !self.replies.is_empty() {
                continue;
            }
            if self.in_flight.is_unwanted() {
                if let Some(why) = self.closing.take() {
                    return self.give_up(Doubt::Broken(why)).await;
                }
                if self.context.work.finished() {
                    return SessionEnd::Finished;
                }
            }
            match self.step().await {
                Step::Pushed => self.take_pushes(),
                Step::Replies(answered) => {
                    self.take_replies(answered);
                    self.take_ready_replies();
                }
                Step::Acknowledged(mut replies) => self.replies.append(&mut replies),
                Step::Closed => {
                    self.io = None;
                    self.how = self.closed();
                    self.lost = Some(Doubt::Broken(Words::fixed(
                        "the node closed the connection",
                    )));
                }
                Step::Recovered(result) => self.recovered(result),
                Step::Woken if self.context.work.dead() => return SessionEnd::Finished,
                Step::Woken => self.more = true,
                Step::More => {}
                Step::Asked(inquiry) => self.inquire(inquiry),
                Step::Silence => self.silence(),
                Step::Pulse => self.beat(),
                Step::Keep => self.keep(),
                // What is in flight is still answered; all else goes to the new primary.
                // Law: Exclusion
                Step::Switched(why) => {
                    self.lookout = None;
                    self.closing.get_or_insert(why);
                }
                Step::Identity => {
                    let next = self.context.clock.now() + IDENTITY_EVERY;
                    self.identity = Some(Woken::new(self.context.clock.sleep_until(next)));
                    if self.recovery.is_none() {
                        self.identify();
                    }
                }
            }
        }
    }

    /// Tells the hub what the node has pushed.
    fn take_pushes(&mut self) {
        let now = self.context.clock.now();
        self.heard(now);
        self.mailbox.take(&mut self.letters);
        let channel = self.context.config.channel.as_deref().unwrap_or_default();
        for letter in self.letters.drain(..) {
            push::read(letter, channel, |push| self.pushes.push(push));
        }
        self.handled += self.pushes.len();
        self.context
            .work
            .pushed(self.context.node, &mut self.pushes);
        self.pushes.clear();
    }

    /// Tells the hub all replies that have come, at once.
    fn hand_on(&mut self) {
        if !self.replies.is_empty() {
            self.handled += self.replies.len();
            self.context.work.reply(&mut self.replies);
            self.replies.clear();
        }
    }

    /// Waits for the next event. Replies come first: callers wait for them, and neither the end of
    /// the connection nor a silence may overtake a reply that has arrived.
    async fn step(&mut self) -> Step {
        let may_take = self.may_take();
        let more = self.more && may_take;
        let LinkContext {
            wake, inquiries, ..
        } = &mut *self.context;
        let (in_flight, looks, io) = (&mut self.in_flight, &mut self.looks, &mut self.io);
        let (recovery, silence, pulse) = (&mut self.recovery, &mut self.silence, &mut self.pulse);
        let (identity, keeper) = (&mut self.identity, &mut self.keeper);
        let (lookout, acknowledger) = (&mut self.lookout, &mut self.acknowledger);
        let mailbox = &self.mailbox;
        poll_fn(|cx| {
            // Polled before the I/O future, for what is to be written, and after it, for what it
            // has read.
            if let Poll::Ready(answered) = in_flight.poll_answered(cx) {
                return Poll::Ready(Step::Replies(answered));
            }
            looks.poll(cx);
            if poll_some(io.as_mut(), cx).is_ready() {
                return Poll::Ready(Step::Closed);
            }
            // What was pushed goes before the replies that were read behind it.
            // Law: Honest validity
            if !mailbox.is_empty() {
                return Poll::Ready(Step::Pushed);
            }
            looks.poll(cx);
            if let Poll::Ready(answered) = in_flight.poll_answered(cx) {
                return Poll::Ready(Step::Replies(answered));
            }
            if let Poll::Ready(replies) = poll_replicas(acknowledger.as_deref_mut(), cx) {
                return Poll::Ready(Step::Acknowledged(replies));
            }
            if let Poll::Ready(result) = poll_some(recovery.as_mut(), cx) {
                return Poll::Ready(Step::Recovered(result));
            }
            if let Poll::Ready(why) = poll_some(lookout.as_mut(), cx) {
                return Poll::Ready(Step::Switched(why));
            }
            if wake.poll(cx).is_ready() {
                return Poll::Ready(Step::Woken);
            }
            if may_take && let Poll::Ready(Some(inquiry)) = inquiries.poll_recv(cx) {
                return Poll::Ready(Step::Asked(inquiry));
            }
            if poll_some(silence.as_mut().map(|(_, timer)| timer), cx).is_ready() {
                return Poll::Ready(Step::Silence);
            }
            if pulse
                .as_mut()
                .is_some_and(|pulse| pulse.poll(cx).is_ready())
            {
                return Poll::Ready(Step::Pulse);
            }
            if poll_some(identity.as_mut(), cx).is_ready() {
                return Poll::Ready(Step::Identity);
            }
            if keeper
                .as_mut()
                .is_some_and(|keeper| keeper.poll(cx).is_ready())
            {
                return Poll::Ready(Step::Keep);
            }
            if more {
                return Poll::Ready(Step::More);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether requests and inquiries may be written.
    // Law: Bounded work
    fn may_take(&self) -> bool {
        let room = if self.connection.is_own() {
            IN_FLIGHT
        } else {
            IN_FLIGHT_UNBATCHED
        };
        self.in_flight.len() < room
            && self.closing.is_none()
            && !self.scripts.needed
            && !self.marker.needed
    }

    /// Takes the requests that are due and writes them.
    fn take(&mut self) {
        self.due.clear();
        self.context
            .work
            .poll(self.context.node, BATCH, &mut self.due);
        self.more = self.due.len() >= BATCH;
        self.handled += self.due.len();
        if self.due.is_empty() {
            return;
        }
        let now = self.context.clock.now();
        // If nobody waits for an acquire any more, because connecting took too long, it would only
        // have to be released again. All other requests are still useful.
        let (replies, watches) = (&mut self.replies, self.may_watch);
        let acknowledger = &mut self.acknowledger;
        self.due.retain(|request| {
            let kind = request.op.kind();
            if kind == OpKind::Acknowledge {
                match acknowledger {
                    Some(acknowledger) => acknowledger.ask(request.clone()),
                    None => replies.push((request.id, Reply::NotApplied(Refusal::NotSent))),
                }
                return false;
            }
            let stale = kind.acquires() && request.deadline <= now;
            // Where the node cannot push, a loss is told at the next renewal.
            let unheard = kind == OpKind::Watch && !watches;
            if stale || unheard {
                replies.push((request.id, Reply::NotApplied(Refusal::NotSent)));
            }
            !(stale || unheard)
        });
        let due = std::mem::take(&mut self.due);
        if self.connection.is_own() {
            if !due.is_empty() {
                self.write(&due, now);
            }
        } else {
            self.write_unbatched(&due, now);
        }
        self.due = due;
    }

    fn write(&mut self, requests: &[Request], now: Instant) {
        let (purpose, commands) = self.encode(requests, now);
        let replies = self.connection.send(commands);
        let deadlines = requests.iter().map(|request| request.deadline);
        let deadline = deadlines.filter(|deadline| *deadline > now).min();
        self.track(purpose, replies, now, deadline);
    }

    /// Over a connection of the user's, every command is a write of its own. It is given up some
    /// time after its deadline, since nobody says when that connection is replaced.
    fn write_unbatched(&mut self, requests: &[Request], now: Instant) {
        let mut rest = requests;
        while let Some(first) = rest.first() {
            let alone = &self.context.alone;
            let renewal = |request: &&Request| {
                matches!(request.op, Op::Renew { .. }) && !alone.contains(&request.key)
            };
            let count = if now < self.context.unbatched_until || self.encoder.is_split() {
                1
            } else {
                rest.iter().take_while(renewal).count()
            };
            let (together, behind) = rest.split_at(count.max(1));
            rest = behind;
            let (purpose, commands) = self.encode(together, now);
            let replies = self.connection.send(commands);
            let replies = self.bounded(replies, first.deadline.max(now));
            self.track(purpose, replies, now, None);
        }
    }

    /// Bounds the wait for replies over a connection of the user's: it ends after as long a silence
    /// as would replace a connection of the link's own.
    fn bounded(
        &self,
        replies: BoxFuture<'static, Replies>,
        from: Instant,
    ) -> BoxFuture<'static, Replies> {
        let timer = self
            .context
            .clock
            .sleep_until(from + self.context.silence());
        Box::pin(async move {
            match select(replies, timer).await {
                Either::Left((replies, _)) => replies,
                Either::Right(_) => Err(RedisError::from(std::io::Error::from(
                    std::io::ErrorKind::TimedOut,
                ))),
            }
        })
    }

    fn encode(&mut self, requests: &[Request], now: Instant) -> (Purpose, Pipeline) {
        let mut batch = self.spare.pop().unwrap_or_default();
        let mut commands = Pipeline::with_capacity(Batch::commands(requests));
        let LinkContext {
            alone,
            unbatched_until,
            ..
        } = &mut *self.context;
        alone.forget(now);
        let batched = now >= *unbatched_until && !self.encoder.is_split();
        let share = |request: &Request| batched && !alone.contains(&request.key);
        self.encoder.by_text = now < self.by_text_until;
        self.bare.forget(now);
        let is_bare = |request: &Request| self.bare.contains(&request.key, now);
        batch.encode(requests, share, is_bare, self.encoder, &mut commands);
        (Purpose::Requests(batch), commands)
    }

    /// Something was written that is waited for until the deadline, if that is still to come.
    fn track(
        &mut self,
        purpose: Purpose,
        replies: BoxFuture<'static, Replies>,
        now: Instant,
        deadline: Option<Instant>,
    ) {
        if self.in_flight.is_empty() {
            self.quiet_since = now;
        }
        if let (Some(pulse), Some(deadline)) = (&mut self.pulse, deadline)
            && self.in_flight.is_unwanted()
        {
            pulse.asked(now, deadline, self.context.patience.slowest_round_trip());
        }
        let written = Written {
            loads: self.scripts.count,
            marks: self.marker.count,
            breaks: self.breaks,
            by_text: self.encoder.by_text,
            split: self.encoder.is_split(),
        };
        self.in_flight.add(purpose, written, replies);
        if self.connection.is_own() {
            // The timer may have been set when no lease had so short a TTL.
            let end = self.quiet_since + self.context.silence();
            if self.silence.as_ref().is_none_or(|(at, _)| end < *at) {
                self.arm(end);
            }
        }
    }

    /// Hands on the replies to one write.
    fn take_replies(&mut self, (purpose, written, replies): Answered) {
        let now = self.context.clock.now();
        if replies.is_ok() {
            self.heard(now);
            self.served = true;
        }
        self.note_break(&replies, written);
        match purpose {
            Purpose::Requests(mut batch) => {
                let config = Arc::clone(&self.context.config);
                let told = replies.is_ok();
                let ours = Beside {
                    node_set: config.node_set.as_ref(),
                    stream: config.stream.as_deref(),
                };
                let watches = batch.read(replies, ours, |id, key, meaning| {
                    if let Some(key) = key {
                        self.bare.note(key, meaning.1.as_ref(), now);
                    }
                    let reply = self.act_on(meaning, written, now);
                    if let Some(key) = key {
                        self.context.alone.note(key, &reply, now);
                    }
                    self.replies.push((id, reply));
                });
                // Over the older protocol, or without the right, it would refuse each time.
                self.may_watch &= watches || !told;
                self.spare.push(batch);
            }
            Purpose::Inquiry(inquiry) => self.answered(inquiry, replies, written, now),
            Purpose::Keep => {
                let result = replies.map(|mut values| values.pop().unwrap_or_default());
                if let Kept::Refused(meaning) = decode::kept(result) {
                    drop(self.act_on(meaning, written, now));
                }
            }
            Purpose::Ping => {
                let result = replies.map(|mut values| values.pop().unwrap_or_default());
                match decode::trouble(&result) {
                    // The user may not ask it. Another time it would only fill the server's log.
                    Some((Reply::NotApplied(Refusal::Rejected(_)), None)) => self.may_ping = false,
                    Some(meaning) => {
                        drop(self.act_on(meaning, written, now));
                        if self.how == Loss::Closed {
                            self.how = self.closed();
                        }
                    }
                    None => {}
                }
            }
        }
    }

    fn heard(&mut self, now: Instant) {
        self.quiet_since = now;
        if let Some(took) = self.pulse.as_mut().and_then(|pulse| pulse.heard(now)) {
            self.context.patience.measured(took);
        }
    }

    /// Counts how often in a row a connection of the user's has failed.
    fn note_break(&mut self, replies: &Replies, written: Written) {
        match replies {
            Err(error) if error.is_connection_dropped() && !error.is_connection_refusal() => {
                if written.breaks == self.breaks {
                    self.breaks += 1;
                }
            }
            // It tries to connect, or it works.
            _ => self.breaks = 0,
        }
    }

    /// Hands on the answer to an inquiry, or makes it again.
    fn answered(&mut self, inquiry: Inquiry, replies: Replies, written: Written, now: Instant) {
        let results: Vec<CommandResult> = match replies {
            Ok(values) => values.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        // What the answer says about the link holds for all requests.
        let trouble = results.last().and_then(decode::trouble);
        let reply = trouble.map(|meaning| self.act_on(meaning, written, now));
        let (again, unknown) = match &reply {
            Some(Reply::NotApplied(Refusal::Again)) => (inquiry.once_more(), false),
            Some(Reply::Unknown(Doubt::Broken(_))) => (inquiry.after_unknown(), true),
            Some(Reply::Unknown(_)) => (Err(inquiry), true),
            Some(Reply::NotApplied(_) | Reply::Applied(_)) | None => (Err(inquiry), false),
        };
        let inquiry = match again {
            Ok(inquiry) => return self.context.ask_again.push(inquiry),
            Err(inquiry) => inquiry,
        };
        match reply {
            // The script is a write. Perhaps the user may read.
            Some(Reply::NotApplied(Refusal::Rejected(why))) if inquiry.is_inspection() => {
                let silence = self.context.silence();
                let clock = &*self.context.clock;
                let fences = self.encoder.fences();
                self.looks
                    .add(inquiry, &self.connection, fences, clock, silence, why);
            }
            Some(Reply::NotApplied(Refusal::Rejected(why))) => inquiry.rejected(why),
            Some(reply) => match reply.words() {
                Some(why) if unknown => inquiry.unheard(why.clone()),
                Some(why) => inquiry.refuse(why.clone()),
                None if unknown => inquiry.unheard(Words::fixed(NOT_IN_TIME)),
                None => inquiry.answer(results),
            },
            None => inquiry.answer(results),
        }
    }

    /// Takes replies that have arrived, so that the hub is called once for many of them.
    fn take_ready_replies(&mut self) {
        while self.replies.len() < TURN
            && !self.in_flight.is_empty()
            && let Some(answered) = self.in_flight.answered_now()
        {
            self.take_replies(answered);
        }
    }

    /// Acts on what a reply tells the link.
    fn act_on(&mut self, (reply, signal): Meaning, written: Written, now: Instant) -> Reply {
        let own = self.connection.is_own();
        match signal {
            None => {
                if written.by_text
                    && let Reply::NotApplied(Refusal::Rejected(words)) = &reply
                    && decode::is_about_texts(words)
                {
                    // By its name the script is refused for what else there is.
                    self.may_send_text = false;
                    self.by_text_until = Instant::ORIGIN;
                    return Reply::NotApplied(Refusal::Again);
                }
            }
            Some(Signal::NoScript) => {
                if self.may_send_text && self.scripts.was_undone(written.loads, now) {
                    self.by_text_until = now + BY_TEXT_FOR;
                    return Reply::NotApplied(Refusal::Again);
                }
                let why = "it forgot the scripts again, which were loaded a moment ago";
                return Reply::NotApplied(self.scripts.ask(written.loads, now, why));
            }
            Some(Signal::Unmarked) => {
                let why = "its marker is gone again, which was written a moment ago";
                return Reply::NotApplied(self.marker.ask(written.marks, now, why));
            }
            Some(Signal::CrossSlot) => {
                self.context.unbatched_until = Instant::MAX;
                // It is a cluster, and the stream that was named is not in the slot of the key.
                if let Some(stream) = &self.context.config.stream
                    && !written.split
                {
                    stream.split();
                    return Reply::NotApplied(Refusal::Again);
                }
            }
            Some(Signal::DoNotBatch) => {
                let until = now + UNBATCHED_FOR;
                self.context.unbatched_until = self.context.unbatched_until.max(until);
            }
            // Noted with the key.
            Some(
                Signal::BareReleases | Signal::BareRelease | Signal::FullReleases | Signal::Served,
            ) => {}
            // The node's name may lead to another server by now.
            Some(Signal::Reconnect(why)) if own => self.closing = Some(why),
            Some(Signal::Reconnect(_)) => {
                self.marker.needed |= self.context.config.node_set.is_some();
            }
            Some(Signal::Broken(why)) if own => {
                self.how = Loss::Closed;
                self.lost = Some(Doubt::Broken(why));
            }
            Some(Signal::Broken(why)) if self.breaks >= BREAKS => {
                return Reply::Unknown(Doubt::Broken(gone_for_good(&why)));
            }
            Some(Signal::Broken(_)) => {}
        }
        reply
    }

    /// Starts a repair that must be done before more requests are taken.
    fn recover(&mut self) {
        if self.recovery.is_some() || self.closing.is_some() {
            return;
        }
        if self.scripts.needed {
            let LinkContext { clock, .. } = &*self.context;
            let within = self.context.dial_timeout();
            let fences = self.encoder.fences();
            let task = recovery::load(&self.connection, &**clock, fences, within);
            self.recovery = Some(Woken::new(task));
        } else if self.marker.needed {
            self.identify();
        }
    }

    /// Starts to ask again who the node is.
    fn identify(&mut self) {
        let LinkContext { clock, config, .. } = &*self.context;
        let within = self.context.dial_timeout();
        let task = recovery::identify(&self.connection, &**clock, config, within);
        self.recovery = Some(Woken::new(task));
    }

    fn recovered(&mut self, result: Result<Recovered, Words>) {
        self.recovery = None;
        let now = self.context.clock.now();
        if result.is_ok() {
            self.heard(now);
        }
        match result {
            Ok(Recovered::Loaded) => self.scripts.done(now),
            Ok(Recovered::Identified(identified)) => {
                let (node, marker) = *identified;
                self.marker.done(now);
                if let Some(marker) = marker {
                    self.encoder.set_marker(marker);
                }
                if node.run_id != self.node.run_id {
                    self.node.run_id = node.run_id;
                    let identity = self.node.identity();
                    self.context
                        .work
                        .status(self.context.node, LinkStatus::Up(identity));
                }
            }
            // Another connection may work, and if not, its set-up tells the caller why.
            Err(why) => self.closing = Some(why),
        }
    }

    fn inquire(&mut self, inquiry: Inquiry) {
        let now = self.context.clock.now();
        self.encoder.by_text = now < self.by_text_until;
        let mut commands = Pipeline::with_capacity(2);
        for command in inquiry.commands(self.encoder, &*self.connection) {
            commands.add_command(command);
        }
        let mut replies = self.connection.send(commands);
        if !self.connection.is_own() {
            replies = self.bounded(replies, now);
        }
        let deadline = now + self.context.config.request_timeout;
        self.track(Purpose::Inquiry(inquiry), replies, now, Some(deadline));
    }

    /// Keeps the streams that are due from expiring.
    fn keep(&mut self) {
        let now = self.context.clock.now();
        let LinkContext { config, clock, .. } = &*self.context;
        let (Some(stream), Some(keeper)) = (&config.stream, &mut self.keeper) else {
            return;
        };
        self.encoder.by_text = now < self.by_text_until;
        for command in keeper.due(now, &**clock, stream, self.encoder) {
            let mut commands = Pipeline::with_capacity(1);
            commands.add_command(command);
            let mut replies = self.connection.send(commands);
            if !self.connection.is_own() {
                replies = self.bounded(replies, now);
            }
            let deadline = now + self.context.config.request_timeout * 2;
            self.track(Purpose::Keep, replies, now, Some(deadline));
        }
    }

    /// How the connection is lost if the node closes it now.
    fn closed(&self) -> Loss {
        let idle = self.in_flight.is_unwanted()
            && self.looks.is_empty()
            && self
                .acknowledger
                .as_deref()
                .is_none_or(Acknowledger::is_idle)
            && self.recovery.is_none()
            && self.closing.is_none();
        if idle { Loss::ClosedIdle } else { Loss::Closed }
    }

    /// The pulse needs something.
    fn beat(&mut self) {
        let now = self.context.clock.now();
        let beat = self.pulse.as_mut().and_then(|pulse| pulse.beat(now));
        let quiet = self.in_flight.is_empty() && self.recovery.is_none() && self.may_take();
        match beat {
            Some(Beat::Ask) if quiet && self.may_ping => {
                let mut commands = Pipeline::with_capacity(1);
                commands.add_command(redis::cmd("PING"));
                let replies = self.connection.send(commands);
                // Nobody waits for it, so it gets all the time that a request has, which is half of
                // this.
                let deadline = now + self.context.config.request_timeout * 2;
                self.track(Purpose::Ping, replies, now, Some(deadline));
            }
            Some(Beat::Dead) => {
                let why = "it had been idle, and nothing answers on it any more";
                self.lost = Some(Doubt::Broken(Words::fixed(why)));
            }
            Some(Beat::Ask) | None => {}
        }
    }

    fn arm(&mut self, at: Instant) {
        self.silence = Some((at, Woken::new(self.context.clock.sleep_until(at))));
    }

    /// The silence timer fired. Gives the connection up if nothing came for too long.
    // Law: Progress
    fn silence(&mut self) {
        let Some((due, _)) = self.silence.take() else {
            return;
        };
        if self.in_flight.is_empty() {
            return;
        }
        let span = self.context.silence();
        let now = self.context.clock.now();
        let end = self.quiet_since + span;
        if now < end {
            self.arm(end);
        } else if now.saturating_since(due) > span / 4 && due >= end {
            // The timer fired late, so this process was paused, and replies may be waiting to be
            // read. They get a little more time.
            self.quiet_since = now - span * 3 / 4;
            self.arm(self.quiet_since + span);
        } else {
            self.lost = Some(Doubt::Silent);
        }
    }

    /// Ends the connection. Replies that have arrived count; everything else in flight is unknown.
    // Law: No orphan
    async fn give_up(mut self, doubt: Doubt) -> SessionEnd {
        loop {
            self.take_ready_replies();
            if self.replies.len() < TURN {
                break;
            }
            self.hand_on();
            tokio::task::yield_now().await;
        }
        let why = match &doubt {
            Doubt::Silent => Words::fixed("the node does not answer"),
            Doubt::Broken(why) | Doubt::Said(why) => why.clone(),
        };
        for inquiry in self.looks.take() {
            match inquiry.once_more() {
                Ok(inquiry) => self.context.ask_again.push(inquiry),
                Err(inquiry) => inquiry.refuse(why.clone()),
            }
        }
        if let Some(acknowledger) = self.acknowledger.take() {
            let unknown = Reply::Unknown(doubt.clone());
            let replies = acknowledger.end().map(|id| (id, unknown.clone()));
            self.replies.extend(replies);
        }
        // Dropping the I/O future closes the connection, so that nothing more is written.
        self.io = None;
        for purpose in std::mem::take(&mut self.in_flight).into_purposes() {
            match purpose {
                Purpose::Requests(mut batch) => {
                    let unknown = Reply::Unknown(doubt.clone());
                    batch.abandon(|id| self.replies.push((id, unknown.clone())));
                    if self.replies.len() >= TURN {
                        self.hand_on();
                        tokio::task::yield_now().await;
                    }
                }
                Purpose::Inquiry(inquiry) => match (&doubt, inquiry.after_unknown()) {
                    (Doubt::Broken(_), Ok(inquiry)) => self.context.ask_again.push(inquiry),
                    (_, Ok(inquiry) | Err(inquiry)) => inquiry.unheard(why.clone()),
                },
                Purpose::Ping | Purpose::Keep => {}
            }
        }
        self.hand_on();
        SessionEnd::Lost {
            why,
            served: self.served,
            how: self.how,
        }
    }
}

/// The words for a connection of the user's that has ended, and was not replaced by itself.
fn gone_for_good(why: &Words) -> Words {
    Words::new(&format!(
        "the connection that was given to `Builder::connection` has ended and does not come back \
         ({why}): give one that reconnects, such as redis-rs' ConnectionManager, or the URL of the \
         node"
    ))
}

/// What was heard of replicas, if they are asked; otherwise it is never ready.
fn poll_replicas(
    acknowledger: Option<&mut Acknowledger>,
    cx: &mut Context<'_>,
) -> Poll<Vec<(RequestId, Reply)>> {
    acknowledger.map_or(Poll::Pending, |acknowledger| acknowledger.poll(cx))
}

/// Polls a future that may be absent; then it is never ready.
fn poll_some<T>(future: Option<&mut Woken<T>>, cx: &mut Context<'_>) -> Poll<T> {
    future.map_or(Poll::Pending, |future| future.poll(cx))
}
