//! How requests are written as calls of the scripts.

use std::time::Duration;

use redis::{Cmd, RedisWrite};
use tenure_core::{Fence, Key, LockName, Op, OpKind, Request};

use crate::protocol::key;
use crate::protocol::marker::Marker;
use crate::protocol::scripts::{Layout, LockArg, LockKey, MarkerArg, Script};

/// Requests that share a call.
pub(crate) trait Requests<'a>:
    IntoIterator<Item = &'a Request, IntoIter: Clone + ExactSizeIterator>
{
}

impl<'a, T: IntoIterator<Item = &'a Request, IntoIter: Clone + ExactSizeIterator>> Requests<'a>
    for T
{
}

/// Writes requests as commands. Keeps buffers, and the marker that acquires are compared with.
#[derive(Debug)]
pub(crate) struct Encoder {
    marker: Option<Marker>,
    /// Whether scripts are sent as texts, to a server that does not keep them.
    pub(crate) by_text: bool,
    counter: Vec<u8>,
    token: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            marker: None,
            by_text: false,
            counter: Vec::new(),
            token: Vec::new(),
        }
    }

    /// Sets the marker that acquires are compared with from now on.
    pub(crate) fn set_marker(&mut self, marker: Marker) {
        self.marker = Some(marker);
    }

    /// One call for all of these requests, which are of one kind.
    pub(crate) fn call<'a>(&mut self, kind: OpKind, requests: impl Requests<'a>) -> Cmd {
        let requests = requests.into_iter();
        let script = Script::Lease(kind);
        let layout = script.layout();
        // The name of a counter is less than 40 bytes longer than twice its key.
        let is_counter = |key: &&LockKey| **key == LockKey::Counter;
        let counters = layout.lock_keys.iter().filter(is_counter).count();
        let size_of = |request: &Request| {
            (1 + 2 * counters) * request.key.as_bytes().len() + 40 * counters + 120
        };
        let mut size = requests.clone().map(size_of).sum();
        let marker = match &self.marker {
            Some(marker) if !layout.marker_args.is_empty() => Some(marker),
            _ => None,
        };
        if marker.is_some() {
            size += 160;
        }
        let mut cmd = script.call(self.by_text, requests.len(), marker.is_some(), size);
        for request in requests.clone() {
            write_keys(&mut cmd, layout, &request.key, &mut self.counter);
        }
        if let Some(marker) = marker {
            cmd.write_arg(&marker.key);
        }
        for request in requests {
            debug_assert_eq!(request.op.kind(), kind);
            write_args(&mut cmd, layout, request, &mut self.token);
        }
        if let Some(marker) = marker {
            write_marker(&mut cmd, layout, marker);
        }
        cmd
    }

    /// The call that inspects a key.
    pub(crate) fn inspect(&mut self, key: &Key) -> Cmd {
        let size = 3 * key.as_bytes().len() + 40;
        let mut cmd = Script::Inspect.call(self.by_text, 1, false, size);
        write_keys(&mut cmd, Script::Inspect.layout(), key, &mut self.counter);
        cmd
    }
}

/// The commands that look at a key and its counter without a script, for a user who may only read:
/// what the key holds, for how long, what the counter holds, and of what type they are.
pub(crate) fn looks_at(key: &Key) -> Vec<Cmd> {
    let counter = key::named(key, LockName::Counter);
    let of = |name: &str, key: &Key| {
        let mut cmd = redis::cmd(name);
        cmd.arg(key.as_bytes());
        cmd
    };
    vec![
        of("GET", key),
        of("PTTL", key),
        of("GET", &counter),
        of("TYPE", key),
        of("TYPE", &counter),
    ]
}

/// The call that writes or refreshes the marker of a node.
pub(crate) fn mark(marker: &Marker, by_text: bool) -> Cmd {
    let mut cmd = Script::Mark.call(by_text, 0, true, marker.key.len() + 160);
    cmd.write_arg(&marker.key);
    write_marker(&mut cmd, Script::Mark.layout(), marker);
    cmd
}

/// Writes the keys of one lock.
fn write_keys(cmd: &mut Cmd, layout: &Layout, lock: &Key, counter: &mut Vec<u8>) {
    for key in layout.lock_keys {
        match key {
            LockKey::Lock => cmd.write_arg(lock.as_bytes()),
            LockKey::Counter => {
                key::counter(lock.as_bytes(), counter);
                cmd.write_arg(counter);
            }
        }
    }
}

/// Writes the arguments of one lock.
fn write_args(cmd: &mut Cmd, layout: &Layout, request: &Request, token: &mut Vec<u8>) {
    let (ttl, fence) = match request.op {
        Op::Take { ttl } => (Some(ttl), None),
        Op::Acquire { ttl, proposal } => (Some(ttl), proposal),
        Op::Confirm { fence } => (None, Some(fence)),
        Op::Renew { ttl } => (Some(ttl), None),
        Op::Repair { ttl, fence } => (Some(ttl), Some(fence)),
        Op::Release => (None, None),
    };
    for arg in layout.lock_args {
        match arg {
            LockArg::Token => {
                token.clear();
                request.token.write(token);
                cmd.write_arg(token);
            }
            LockArg::Ttl => {
                // A renewal with a TTL of 0 would delete the key.
                debug_assert!(ttl.is_some(), "{:?} has no TTL", request.op);
                cmd.arg(ttl.map_or(0, millis));
            }
            LockArg::Proposal => {
                cmd.arg(fence.map_or(0, Fence::get));
            }
            LockArg::Fence => {
                debug_assert!(fence.is_some(), "{:?} has no fence", request.op);
                cmd.arg(fence.map_or(0, Fence::get));
            }
        }
    }
}

/// Writes the parts of a marker that the script is given.
fn write_marker(cmd: &mut Cmd, layout: &Layout, marker: &Marker) {
    for arg in layout.marker_args {
        match arg {
            MarkerArg::RunId => cmd.write_arg(marker.run_id.as_bytes()),
            MarkerArg::ReplicationId => cmd.write_arg(marker.replication_id.as_bytes()),
            MarkerArg::Durable => {
                cmd.arg(u8::from(marker.durable));
            }
            MarkerArg::MaxTtl => {
                cmd.arg(marker.max_ttl_ms);
            }
            MarkerArg::Nodes => {
                cmd.arg(marker.nodes);
            }
            MarkerArg::Name => cmd.write_arg(marker.name.as_bytes()),
        }
    }
}

/// A span as scripts and markers write it.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tenure_core::{Label, Secret};

    use super::*;
    use crate::protocol::testing::request;

    fn words(cmd: &Cmd) -> Vec<String> {
        cmd.args_iter()
            .map(|arg| match arg {
                redis::Arg::Simple(bytes) => bytes.escape_ascii().to_string(),
                _ => "?".to_owned(),
            })
            .collect()
    }

    #[test]
    fn an_acquire_carries_the_token_the_ttl_and_the_proposal() {
        let mut encoder = Encoder::new();
        let mut request = request(
            0,
            Op::Acquire {
                ttl: Duration::from_secs(5),
                proposal: Fence::new(77),
            },
        );
        request.token.label = Some(Label::new("billing").expect("a label"));
        request.token.secret = Secret::new([0xa0; 16]);
        let token = format!("billing:{}:1", "a0".repeat(16));
        let words_of = words(&encoder.call(OpKind::Acquire, [&request]));
        assert_eq!(words_of[0], "EVALSHA");
        assert_eq!(
            words_of[2..],
            [
                "2",
                "lock-0",
                "lock-0:tenure:fence:{lock-0}",
                &token,
                "5000",
                "77"
            ]
        );
        encoder.set_marker(Marker {
            key: key::marker(b"app:"),
            run_id: "run".into(),
            replication_id: "replication".into(),
            durable: false,
            max_ttl_ms: 9,
            nodes: 3,
            name: "a set".into(),
        });
        let words_of = words(&encoder.call(OpKind::Acquire, [&request]));
        assert_eq!(words_of[2], "3");
        assert_eq!(words_of[5], "app:tenure:node");
        assert_eq!(words_of[9..], ["run", "replication", "9", "3", "a set"]);
    }

    #[test]
    fn renewals_share_a_call_with_all_keys_before_all_tokens() {
        let renew = Op::Renew {
            ttl: Duration::from_millis(1500),
        };
        let requests = [request(0, renew), request(1, renew)];
        let words = words(&Encoder::new().call(OpKind::Renew, &requests));
        assert_eq!(words[2..5], ["2", "lock-0", "lock-1"]);
        assert_eq!(words[5], format!("{}:1", "00".repeat(16)));
        assert_eq!(words[6], "1500");
        assert_eq!(words.len(), 9);
    }
}
