//! The adapter's scripts for the tests that call them with arguments of their own: what a call is
//! made of, laid out as the adapter's table of scripts says.

use tenure_redis::seams::{LockArg, LockKey, MarkerArg, Script};

/// The stream that draws the fences of one node.
pub const STREAM: &str = "tenure:fence";
/// The largest id that a stream may have: it draws no more.
pub const LARGEST_ID: &str = "18446744073709551615-18446744073709551615";

/// What a call says of one lock. A script reads those of the parts that it has.
#[derive(Clone, Debug, Default)]
pub struct Lock {
    /// What is locked.
    pub key: String,
    /// Its fence counter.
    pub counter: String,
    /// The token of the attempt.
    pub token: String,
    /// The TTL in milliseconds.
    pub ttl: String,
    /// The fence that is proposed; 0 if none is.
    pub proposal: String,
    /// The fence that was drawn.
    pub fence: String,
    /// Its queue.
    pub queue: String,
    /// What stands in the queue for the lease; empty if it has no place.
    pub place: String,
    /// The serial of the request.
    pub serial: String,
    /// 1 if those who wait are to be told that the lock is free.
    pub hints: String,
    /// The digest of the value that somebody was shown.
    pub seen: String,
}

/// What a call says of the marker of its node.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    /// Its name.
    pub key: String,
    /// The run id of the server.
    pub run_id: String,
    /// Its replication id.
    pub replication_id: String,
    /// 1 if every write was on its disk before the reply, else 0.
    pub durable: String,
    /// Since when the node has lost nothing, in milliseconds of its time.
    pub since: String,
    /// The largest TTL of any client, in milliseconds.
    pub max_ttl: String,
    /// The number of nodes.
    pub nodes: String,
    /// The name of the set of nodes.
    pub name: String,
}

/// A call of a script for these locks, with the parts of the marker or without: the words of an
/// `EVAL`.
#[must_use]
pub fn call(script: Script, locks: &[Lock], marker: Option<&Marker>) -> Vec<String> {
    let layout = script.layout();
    let (mut keys, mut args) = (Vec::new(), Vec::new());
    for lock in locks {
        keys.extend(layout.lock_keys.iter().map(|key| lock.key(*key)));
        args.extend(layout.lock_args.iter().map(|arg| lock.arg(*arg)));
    }
    if layout.stream {
        keys.push(STREAM.to_owned());
    }
    if let Some(marker) = marker {
        keys.push(marker.key.clone());
        args.extend(layout.marker_args.iter().map(|arg| marker.arg(*arg)));
    }
    let count = keys.len().to_string();
    let head = vec!["EVAL".to_owned(), layout.text.to_owned(), count];
    [head, keys, args].concat()
}

impl Lock {
    fn key(&self, key: LockKey) -> String {
        match key {
            LockKey::Lock => &self.key,
            LockKey::Counter => &self.counter,
            LockKey::Queue => &self.queue,
        }
        .clone()
    }

    fn arg(&self, arg: LockArg) -> String {
        match arg {
            LockArg::Token => &self.token,
            LockArg::Ttl => &self.ttl,
            LockArg::Proposal => &self.proposal,
            LockArg::Fence => &self.fence,
            LockArg::Place => &self.place,
            LockArg::Serial => &self.serial,
            LockArg::Hints => &self.hints,
            LockArg::Seen => &self.seen,
        }
        .clone()
    }
}

impl Marker {
    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let ids = [&*self.run_id, &self.replication_id, &self.durable];
        let rest = [&*self.since, &self.max_ttl, &self.nodes, &self.name];
        [&ids[..], &rest].concat().join(" ")
    }

    fn arg(&self, arg: MarkerArg) -> String {
        let number = |text: &str| text.parse::<i64>().expect("a number of milliseconds");
        match arg {
            MarkerArg::Over => return (number(&self.since) + number(&self.max_ttl)).to_string(),
            MarkerArg::Text => return self.text(),
            MarkerArg::RunId => &self.run_id,
            MarkerArg::ReplicationId => &self.replication_id,
            MarkerArg::Durable => &self.durable,
            MarkerArg::MaxTtl => &self.max_ttl,
            MarkerArg::Nodes => &self.nodes,
            MarkerArg::Name => &self.name,
        }
        .clone()
    }
}
