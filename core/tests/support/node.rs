//! A node of the test world: the model of a node, with keys and tokens instead of numbers.

use std::collections::HashMap;

use tenure_core::{Answer, Fingerprint, Instant, Key, PlaceId, Request, Token};
use tenure_sim::node::{self, Arrived, Entry, Exact, Fences, Pushed, SetOfNodes, Shown, Value};

/// What all clients of a test agree on. In nanoseconds.
const SET: SetOfNodes = SetOfNodes {
    max_ttl: 10_000_000_000,
    nodes: 0,
};

#[derive(Clone, Debug)]
pub(crate) struct Node {
    model: node::Node<Exact>,
    keys: HashMap<Key, usize>,
    /// By number: a token of the lease, with attempt 0.
    leases: Vec<Token>,
    /// By that token: the number of the lease.
    numbers: HashMap<Token, u32>,
    /// How far its wall clock is ahead, in microseconds.
    pub(crate) wall_ahead: u64,
}

pub(crate) fn same_lease(a: &Token, b: &Token) -> bool {
    a.secret == b.secret && a.label == b.label
}

impl Node {
    pub(crate) fn new(fences: Fences) -> Self {
        let mut node = Self {
            model: node::Node::new(0, fences),
            keys: HashMap::new(),
            leases: Vec::new(),
            numbers: HashMap::new(),
            wall_ahead: 0,
        };
        node.model.channels = vec![0];
        node.marked_at(Instant::from_nanos(-SET.max_ttl));
        let begin = node.shown(Instant::ORIGIN);
        node.model.keep_stream(begin);
        node
    }

    /// A client marks it: it has forgotten nothing since this instant.
    fn marked_at(&mut self, since: Instant) {
        let since = self.shown(since);
        self.model.mark(since, SET);
    }

    /// What its clock shows.
    fn shown(&self, now: Instant) -> Shown {
        let ahead = i64::try_from(self.wall_ahead).unwrap();
        Shown {
            ticks: now.as_nanos(),
            micros: ahead + now.as_nanos() / 1_000,
        }
    }

    /// It forgets everything, the fences too, and nobody notices.
    pub(crate) fn forget(&mut self) {
        self.model.forget();
        self.marked_at(Instant::from_nanos(-SET.max_ttl));
    }

    /// It may have forgotten a lease, and its quarantine ends at this instant.
    pub(crate) fn quarantined(&mut self, until: Instant) {
        self.model.identity.run += 1;
        let since = Instant::from_nanos(until.as_nanos() - SET.max_ttl);
        self.marked_at(since);
    }

    /// The token that a key holds, and when it expires.
    pub(crate) fn lock(&self, now: Instant, key: &Key) -> Option<(Token, Instant)> {
        let entry = self.model.entry(self.shown(now), *self.keys.get(key)?)?;
        let (Value::Token { lease, attempt }, Some(until)) = (entry.value, entry.until) else {
            return None;
        };
        let token = Token {
            attempt,
            ..self.leases[lease as usize].clone()
        };
        Some((token, Instant::from_nanos(until)))
    }

    pub(crate) fn holder(&self, now: Instant, key: &Key) -> Option<Token> {
        self.lock(now, key).map(|(token, _)| token)
    }

    /// The fence that is stored for a key.
    pub(crate) fn fence(&self, key: &Key) -> u64 {
        let counter = self
            .model
            .counter(self.shown(Instant::ORIGIN), self.keys[key]);
        counter.unwrap().0.unsigned_abs()
    }

    /// Lets a key hold this token.
    pub(crate) fn put(&mut self, key: &Key, token: &Token, until: Instant) {
        let lease = self.number_of_lease(token);
        let entry = Entry {
            value: Value::Token {
                lease,
                attempt: token.attempt,
            },
            until: Some(until.as_nanos()),
        };
        self.set(key, Some(entry));
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        self.set(key, None);
    }

    /// Makes a key without an expiry.
    pub(crate) fn make(&mut self, key: &Key, value: Value) {
        let entry = Entry { value, until: None };
        self.set(key, Some(entry));
    }

    fn set(&mut self, key: &Key, entry: Option<Entry>) {
        let key = self.number_of_key(key);
        self.model.set(key, entry);
    }

    pub(crate) fn apply(&mut self, now: Instant, request: &Request) -> Answer {
        let arrived = Arrived {
            key: self.number_of_key(&request.key),
            lease: self.number_of_lease(&request.token),
            attempt: request.token.attempt,
            op: request.op,
            channel: Some(0),
            marker: Some((self.model.identity, SET)),
        };
        let holder = self.holder(now, &request.key);
        let now = self.shown(now);
        let mut answer = self.model.apply(now, &arrived).expect("it is marked");
        // Each node numbers the leases for itself, but a holder has one name at all nodes.
        if let (Answer::Held { holder, .. }, Some(token)) = (&mut answer, holder) {
            let [.., a, b, c, d, _, _, _, _, _, _, _, _] = *token.secret.expose();
            holder.fingerprint = Fingerprint::new(u32::from_be_bytes([a, b, c, d]));
            holder.label = token.label;
        }
        answer
    }

    /// What it has pushed since the last call.
    pub(crate) fn pushed(&mut self) -> Vec<Pushed> {
        std::mem::take(&mut self.model.pushes)
    }

    /// How many places the queue of a key has.
    pub(crate) fn places(&self, key: &Key) -> usize {
        let waiters = |key: &usize| self.model.waiters(*key).len();
        self.keys.get(key).map_or(0, waiters)
    }

    /// What the client calls the places of a key, in order.
    pub(crate) fn place_ids(&self, key: &Key) -> Vec<PlaceId> {
        let waiters = self.model.waiters(self.keys[key]).iter();
        waiters.map(|waiter| waiter.place.id).collect()
    }

    /// Whether somebody listens at the channel of the client.
    pub(crate) fn is_heard(&mut self, heard: bool) {
        self.model.channels = if heard { vec![0] } else { Vec::new() };
    }

    /// So many replicas acknowledge what it has done.
    pub(crate) fn replicas(&mut self, replicas: u32) {
        self.model.replicas = replicas;
    }

    /// How many places a queue may have.
    pub(crate) fn most_places(&mut self, most: usize) {
        self.model.most_places = most;
    }

    fn number_of_key(&mut self, key: &Key) -> usize {
        if let Some(number) = self.keys.get(key) {
            return *number;
        }
        self.model.add_key();
        self.keys.insert(key.clone(), self.keys.len());
        self.keys.len() - 1
    }

    fn number_of_lease(&mut self, token: &Token) -> u32 {
        let lease = Token {
            attempt: 0,
            ..token.clone()
        };
        if let Some(number) = self.numbers.get(&lease) {
            return *number;
        }
        let number = self.leases.len() as u32;
        self.leases.push(lease.clone());
        self.numbers.insert(lease, number);
        number
    }
}
