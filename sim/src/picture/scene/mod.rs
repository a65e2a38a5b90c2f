//! The scene: the bars, messages and faults of a picture, derived from the facts.

mod write;

pub(super) use write::index;

use std::collections::BTreeMap;

use tenure_core::OpKind;

use crate::observe::fact::fault::{Hits, Process};
use crate::observe::fact::{Fact, Fault, Holder, Link, Loss, Nanos, Outcome, Record, Why};
use crate::world::ClockLine;

/// What a picture shows of a run.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) clients: usize,
    pub(super) nodes: usize,
    pub(super) keys: usize,
    leases: Vec<Bar>,
    holds: Vec<Hold>,
    places: Vec<Place>,
    messages: Vec<Message>,
    pushes: Vec<Push>,
    shades: Vec<Shade>,
    cuts: Vec<Cut>,
    points: Vec<Point>,
    texts: BTreeMap<String, usize>,
    facts: Vec<(Record, usize)>,
}

/// How a bar is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Acquiring,
    Waiting,
    Held,
    Suspect,
    Lost,
    Releasing,
    Failed,
    Queued,
}

/// A lease, in the lane of its client.
#[derive(Debug)]
struct Bar {
    lease: u32,
    client: u8,
    key: u8,
    row: usize,
    end: Nanos,
    /// The states that it was in, each with its beginning.
    states: Vec<(Nanos, State)>,
    /// From when to when it was valid.
    valid: Vec<(Nanos, Nanos)>,
    fence: u64,
    loss: Option<Loss>,
    /// Its client died, so later facts no longer change it.
    dead: bool,
}

/// What a lock key holds, in the lane of its node.
#[derive(Clone, Copy, Debug)]
struct Hold {
    node: u8,
    key: u8,
    holder: Holder,
    from: Nanos,
    until: Option<Nanos>,
}

/// A place in the queue of a key, below what the key holds.
#[derive(Clone, Copy, Debug)]
struct Place {
    node: u8,
    key: u8,
    lease: u32,
    from: Nanos,
    until: Nanos,
    /// How many were ahead of it when it was entered.
    ahead: usize,
    /// Whether it has a channel.
    channel: bool,
}

/// A lock that was handed on, and the push that says so; or a hint.
#[derive(Clone, Copy, Debug)]
struct Push {
    lease: u32,
    client: u8,
    node: u8,
    key: u8,
    sent: Nanos,
    heard: Option<Nanos>,
    text: usize,
}

/// A request and its reply.
#[derive(Clone, Copy, Debug)]
struct Message {
    lease: u32,
    client: u8,
    node: u8,
    key: u8,
    ask: OpKind,
    sent: Nanos,
    did: Option<Nanos>,
    heard: Option<Nanos>,
    /// Whether a reply came to the client. If not, the outcome is unknown.
    answered: bool,
    yes: bool,
    text: usize,
}

/// A fault that lasts, of a client or a node.
#[derive(Clone, Copy, Debug)]
struct Shade {
    client: Option<u8>,
    node: Option<u8>,
    fault: Fault,
    from: Nanos,
    until: Nanos,
}

/// A link on which messages are lost.
#[derive(Clone, Copy, Debug)]
struct Cut {
    client: u8,
    node: u8,
    fault: Fault,
    from: Nanos,
    until: Nanos,
}

/// Something that takes no time.
#[derive(Clone, Copy, Debug)]
struct Point {
    record: Record,
    kind: u8,
    text: usize,
}

/// What has begun and not ended yet, while the facts are read.
#[derive(Default)]
struct Open {
    /// The place of each lease in the list of bars.
    bars: BTreeMap<u32, usize>,
    holds: BTreeMap<(u8, u8), Hold>,
    places: BTreeMap<(u32, u8), Place>,
    /// When a node last did a release of a key: only with that it may hint.
    freed: BTreeMap<(u8, u8), Nanos>,
    messages: BTreeMap<(u32, u8, u32), usize>,
    shades: BTreeMap<(Option<u8>, Option<u8>, Fault), Nanos>,
    cuts: BTreeMap<(u8, u8), (Fault, Nanos)>,
}

impl Scene {
    pub(super) fn of(records: &[Record], clocks: &[ClockLine], end: Nanos) -> Self {
        let mut scene = Self::default();
        let of_facts = records.iter().map(|record| (record.client, record.node));
        let of_clocks = clocks.iter().map(|line| (line.client, line.node));
        for (client, node) in of_facts.chain(of_clocks) {
            scene.clients = scene.clients.max(client.map_or(0, |c| usize::from(c) + 1));
            scene.nodes = scene.nodes.max(node.map_or(0, |n| usize::from(n) + 1));
        }
        for record in records {
            let keys = record.key.map_or(0, |key| usize::from(key) + 1);
            scene.keys = scene.keys.max(keys);
        }
        let mut open = Open::default();
        for record in records {
            scene.hear(record, &mut open);
        }
        scene.close(open, end);
        scene.place();
        scene
    }

    fn text(&mut self, text: String) -> usize {
        let next = self.texts.len();
        *self.texts.entry(text).or_insert(next)
    }

    fn hear(&mut self, record: &Record, open: &mut Open) {
        let text = self.text(record.fact.to_string());
        self.facts.push((*record, text));
        if let Some(lease) = record.lease {
            self.of_lease(record, lease, open);
        }
        match record.fact {
            Fact::Sent { .. } | Fact::Did { .. } | Fact::Heard { .. } => {
                self.of_message(record, text, open);
            }
            Fact::Key { to, until, .. } => self.of_key(record, to, until, open),
            Fact::Place { until, channel } => self.of_place(record, until, channel, open),
            Fact::HandedOn { .. } => self.handed_on(record, text, open),
            Fact::Pushed { .. } => self.pushed(record),
            Fact::Hinted => self.hinted(record, text, open),
            Fact::Fault(fault) => self.strikes(record, fault, text, open),
            Fact::Mended(fault) => self.mended(record, fault, open),
            _ => {}
        }
        let kind = match record.fact {
            Fact::Read { accepted, .. } | Fact::Wrote { accepted, .. } => {
                Some(1 - u8::from(accepted))
            }
            Fact::Renew => Some(2),
            Fact::Link(Link::Up) => Some(3),
            Fact::Link(Link::Cut(_)) => Some(4),
            Fact::Link(Link::Down) => Some(5),
            Fact::Link(_) => Some(6),
            Fact::Full => Some(8),
            Fact::Healed | Fact::Quiet => Some(9),
            Fact::Doubted | Fact::DoubtOfAll => Some(10),
            _ => None,
        };
        if let Some(kind) = kind {
            self.point(record, kind, text);
        }
    }

    fn point(&mut self, record: &Record, kind: u8, text: usize) {
        self.points.push(Point {
            record: *record,
            kind,
            text,
        });
    }

    fn of_lease(&mut self, record: &Record, lease: u32, open: &mut Open) {
        let at = record.at;
        if let (Fact::Wanted { .. }, Some(client), Some(key)) =
            (record.fact, record.client, record.key)
        {
            open.bars.insert(lease, self.leases.len());
            self.leases.push(Bar {
                lease,
                client,
                key,
                row: 0,
                end: at,
                states: vec![(at, State::Acquiring)],
                valid: Vec::new(),
                fence: 0,
                loss: None,
                dead: false,
            });
        }
        let Some(bar) = open.bars.get(&lease).map(|index| &mut self.leases[*index]) else {
            return;
        };
        if bar.dead || may_be_late(&record.fact) {
            return;
        }
        bar.end = at;
        match record.fact {
            Fact::Waiting(_) => bar.turn(at, State::Waiting),
            Fact::Queued { .. } => bar.turn(at, State::Queued),
            Fact::Sent {
                ask: OpKind::Acquire,
                ..
            } if bar.state() == State::Waiting => bar.turn(at, State::Acquiring),
            Fact::Granted { fence, until } => {
                bar.fence = fence;
                bar.turn(at, State::Held);
                bar.valid.push((at, until));
            }
            Fact::Until { until, why } => {
                bar.invalid(at);
                bar.valid.push((at, until));
                if why == Why::Renewed && bar.state() == State::Suspect {
                    bar.turn(at, State::Held);
                }
            }
            Fact::Suspect => bar.turn(at, State::Suspect),
            Fact::Lost(loss) => {
                bar.loss = Some(loss);
                bar.invalid(at);
                bar.turn(at, State::Lost);
            }
            Fact::Failed { .. } => bar.turn(at, State::Failed),
            Fact::Release | Fact::Cancel => {
                bar.invalid(at);
                bar.turn(at, State::Releasing);
            }
            _ => {}
        }
    }

    fn of_message(&mut self, record: &Record, text: usize, open: &mut Open) {
        let (Some(lease), Some(client), Some(node), Some(key)) =
            (record.lease, record.client, record.node, record.key)
        else {
            return;
        };
        let at = record.at;
        let serial = match record.fact {
            Fact::Sent { serial, .. } | Fact::Did { serial, .. } | Fact::Heard { serial, .. } => {
                serial
            }
            _ => return,
        };
        let known = open.messages.get(&(lease, node, serial));
        let known = known.map(|index| &mut self.messages[*index]);
        match record.fact {
            Fact::Sent { ask, .. } => {
                open.messages
                    .insert((lease, node, serial), self.messages.len());
                self.messages.push(Message {
                    lease,
                    client,
                    node,
                    key,
                    ask,
                    sent: at,
                    did: None,
                    heard: None,
                    answered: false,
                    yes: false,
                    text,
                });
            }
            Fact::Did { ask, answer, .. } => {
                if ask == OpKind::Release {
                    open.freed.insert((node, key), at);
                }
                if let Some(message) = known {
                    message.did = Some(at);
                    message.yes = is_yes(answer);
                    message.text = text;
                }
            }
            Fact::Heard { outcome, .. } => {
                if let Some(message) = known
                    && message.heard.is_none()
                {
                    message.heard = Some(at);
                    message.answered = matches!(outcome, Outcome::Answered(_));
                    if let Outcome::Answered(answer) = outcome {
                        message.yes = is_yes(answer);
                    }
                    message.text = text;
                }
            }
            _ => {}
        }
    }

    fn of_key(&mut self, record: &Record, to: Holder, until: Option<Nanos>, open: &mut Open) {
        let (Some(node), Some(key)) = (record.node, record.key) else {
            return;
        };
        let at = record.at;
        let now = open.holds.get_mut(&(node, key));
        if let Some(hold) = now {
            let passed = hold.until.is_some_and(|until| until < at);
            if hold.holder == to && !passed {
                hold.until = until;
                return;
            }
            hold.until = Some(hold.until.map_or(at, |until| until.min(at)));
            self.holds.push(*hold);
        }
        open.holds.remove(&(node, key));
        if to != Holder::Nobody {
            let hold = Hold {
                node,
                key,
                holder: to,
                from: at,
                until,
            };
            open.holds.insert((node, key), hold);
        }
    }

    fn of_place(&mut self, record: &Record, until: Option<Nanos>, channel: bool, open: &mut Open) {
        let (Some(node), Some(key), Some(lease)) = (record.node, record.key, record.lease) else {
            return;
        };
        let from = record.at;
        let Some(until) = until else {
            if let Some(mut place) = open.places.remove(&(lease, node)) {
                place.until = place.until.min(from);
                self.places.push(place);
            }
            return;
        };
        let places = open.places.values();
        let ahead = places.filter(|place| (place.node, place.key) == (node, key));
        let new = Place {
            node,
            key,
            lease,
            from,
            until,
            ahead: ahead.count(),
            channel,
        };
        open.places.entry((lease, node)).or_insert(new).until = until;
    }

    fn handed_on(&mut self, record: &Record, text: usize, open: &Open) {
        let (Some(client), Some(node), Some(key), Some(lease)) =
            (record.client, record.node, record.key, record.lease)
        else {
            return;
        };
        // To one without a channel nothing is pushed.
        if open.places.get(&(lease, node)).is_some_and(|it| it.channel) {
            self.pushes.push(Push {
                lease,
                client,
                node,
                key,
                sent: record.at,
                heard: None,
                text,
            });
        }
    }

    fn pushed(&mut self, record: &Record) {
        let its =
            |push: &&mut Push| Some(push.lease) == record.lease && Some(push.node) == record.node;
        if let Some(push) = self.pushes.iter_mut().rev().find(its) {
            push.heard = push.heard.or(Some(record.at));
        }
    }

    /// That a node hints is no fact of its own, so one that is lost is not drawn. It is drawn from
    /// the last release before it was heard.
    fn hinted(&mut self, record: &Record, text: usize, open: &Open) {
        let (Some(client), Some(node), Some(key), Some(lease)) =
            (record.client, record.node, record.key, record.lease)
        else {
            return;
        };
        let sent = open.freed.get(&(node, key)).copied();
        self.pushes.push(Push {
            lease,
            client,
            node,
            key,
            sent: sent.unwrap_or(record.at),
            heard: Some(record.at),
            text,
        });
    }

    fn strikes(&mut self, record: &Record, fault: Fault, text: usize, open: &mut Open) {
        let Record {
            at, client, node, ..
        } = *record;
        match (fault.row().hits, client, node) {
            (Hits::Link, Some(client), Some(node)) if fault.lasts() => {
                self.cut(at, client, node, fault, open);
            }
            (Hits::Either, Some(client), None) => {
                for node in 0..self.nodes as u8 {
                    self.cut(at, client, node, Fault::Cut, open);
                }
                self.point(record, 7, text);
            }
            (Hits::Either, None, Some(node)) => {
                for client in 0..self.clients as u8 {
                    self.cut(at, client, node, Fault::Cut, open);
                }
                self.point(record, 7, text);
            }
            (Hits::Node | Hits::Client | Hits::Key, ..) if fault.lasts() => {
                open.shades.entry((client, node, fault)).or_insert(at);
            }
            _ => self.point(record, 7, text),
        }
        if fault.row().process == Process::Dies {
            for bar in self.leases.iter_mut().rev() {
                if Some(bar.client) == client && !bar.dead {
                    bar.die(at);
                }
            }
        }
    }

    fn cut(&mut self, at: Nanos, client: u8, node: u8, fault: Fault, open: &mut Open) {
        // A cut in each direction together is a whole cut.
        let before = open.cuts.insert((client, node), (fault, at));
        if let Some((before, from)) = before {
            let fault = if before == fault { fault } else { Fault::Cut };
            open.cuts.insert((client, node), (fault, at));
            self.end_cut((client, node), (before, from), at);
        }
    }

    fn end_cut(&mut self, (client, node): (u8, u8), (fault, from): (Fault, Nanos), until: Nanos) {
        self.cuts.push(Cut {
            client,
            node,
            fault,
            from,
            until,
        });
    }

    fn mended(&mut self, record: &Record, fault: Fault, open: &mut Open) {
        let Record {
            at, client, node, ..
        } = *record;
        if let (Hits::Link, Some(client), Some(node)) = (fault.row().hits, client, node)
            && let Some(cut) = open.cuts.remove(&(client, node))
        {
            self.end_cut((client, node), cut, at);
        }
        if let Some(from) = open.shades.remove(&(client, node, fault)) {
            self.shade((client, node, fault), from, at);
        }
    }

    fn shade(
        &mut self,
        (client, node, fault): (Option<u8>, Option<u8>, Fault),
        from: Nanos,
        until: Nanos,
    ) {
        self.shades.push(Shade {
            client,
            node,
            fault,
            from,
            until,
        });
    }

    fn close(&mut self, open: Open, end: Nanos) {
        for (link, cut) in open.cuts {
            self.end_cut(link, cut, end);
        }
        for (whose, from) in open.shades {
            self.shade(whose, from, end);
        }
        self.holds.extend(open.holds.into_values());
        for hold in &mut self.holds {
            hold.until = Some(hold.until.map_or(end, |until| until.min(end)));
        }
        self.holds.sort_by_key(|hold| hold.from);
        self.places.extend(open.places.into_values());
        for place in &mut self.places {
            place.until = place.until.min(end);
        }
        self.places.sort_by_key(|place| place.from);
        for bar in &mut self.leases {
            // A lease that has not ended goes on until the end of the run.
            if matches!(
                bar.state(),
                State::Acquiring | State::Waiting | State::Queued | State::Held | State::Suspect
            ) && !bar.dead
            {
                bar.end = end;
            }
        }
        self.cuts.sort_by_key(|cut| cut.from);
        self.shades.sort_by_key(|shade| shade.from);
    }

    /// Puts the bars of a client that overlap into different rows.
    fn place(&mut self) {
        let mut rows: BTreeMap<u8, Vec<Nanos>> = BTreeMap::new();
        for bar in &mut self.leases {
            let rows = rows.entry(bar.client).or_default();
            let began = bar.states[0].0;
            let free = rows.iter().position(|end| *end < began);
            bar.row = free.unwrap_or(rows.len());
            match free {
                Some(row) => rows[row] = bar.end,
                None => rows.push(bar.end),
            }
        }
    }
}

const fn is_yes(answer: crate::observe::fact::Answer) -> bool {
    use crate::observe::fact::Answer;
    matches!(
        answer,
        Answer::Granted(_) | Answer::Done | Answer::Acknowledged(_)
    )
}

impl Bar {
    fn state(&self) -> State {
        self.states[self.states.len() - 1].1
    }

    fn turn(&mut self, at: Nanos, state: State) {
        if self.state() != state {
            self.states.push((at, state));
        }
    }

    /// Validity ends at this instant, if it would have ended later.
    fn invalid(&mut self, at: Nanos) {
        if let Some((_, until)) = self.valid.last_mut() {
            *until = (*until).min(at);
        }
    }

    /// Its process died. A lease that had ended before keeps its end.
    fn die(&mut self, at: Nanos) {
        self.dead = true;
        self.invalid(at);
        if !matches!(self.state(), State::Releasing | State::Lost | State::Failed) {
            self.end = at;
        }
    }
}

/// Whether a fact may come after its lease has ended: it does not make the bar of that longer.
const fn may_be_late(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Did { .. }
            | Fact::Key { .. }
            | Fact::Read { .. }
            | Fact::Wrote { .. }
            | Fact::Place { .. }
            | Fact::HandedOn { .. }
            | Fact::Pushed { .. }
            | Fact::Hinted
    )
}
