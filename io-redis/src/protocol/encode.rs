//! How requests are written as calls of the scripts.

use redis::{Cmd, RedisWrite};
use tenure_core::{Key, Op, Request, Token};

use crate::protocol::key;
use crate::protocol::marker::Marker;
use crate::protocol::scripts::Script;

/// Requests that share a call.
pub(crate) trait Requests<'a>:
    IntoIterator<Item = &'a Request, IntoIter: Clone + ExactSizeIterator>
{
}

impl<'a, T: IntoIterator<Item = &'a Request, IntoIter: Clone + ExactSizeIterator>> Requests<'a>
    for T
{
}

/// Writes requests as commands. Keeps what they have in common, and buffers.
#[derive(Debug)]
pub(crate) struct Encoder {
    marker: Option<Marker>,
    counter: Vec<u8>,
    token: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            marker: None,
            counter: Vec::new(),
            token: Vec::new(),
        }
    }

    /// From now on acquires are compared with this marker.
    pub(crate) fn set_marker(&mut self, marker: Marker) {
        self.marker = Some(marker);
    }

    /// One call for many acquires. Requests of another kind do not belong here, as below.
    pub(crate) fn acquire<'a>(&mut self, requests: impl Requests<'a>) -> Cmd {
        let requests = requests.into_iter();
        let count = requests.len();
        let size: usize = requests.clone().map(|r| 3 * r.key.as_bytes().len()).sum();
        let size = size + 160 * (count + 1);
        let mut cmd = match &self.marker {
            None => Script::Acquire.call(2 * count, 3 * count, size),
            Some(_) => Script::Acquire.call(2 * count + 1, 3 * count + 5, size),
        };
        for request in requests.clone() {
            cmd.write_arg(request.key.as_bytes());
            key::counter(request.key.as_bytes(), &mut self.counter);
            cmd.write_arg(&self.counter);
        }
        if let Some(marker) = &self.marker {
            cmd.write_arg(&marker.key);
        }
        for request in requests {
            write_token(&request.token, &mut self.token);
            cmd.write_arg(&self.token);
            if let Op::Acquire { ttl, proposal } = request.op {
                cmd.arg(millis(ttl));
                cmd.arg(proposal.map_or(0, tenure_core::Fence::get));
            }
        }
        if let Some(marker) = &self.marker {
            cmd.write_arg(marker.run_id.as_bytes());
            cmd.write_arg(marker.replication_id.as_bytes());
            cmd.arg(marker.max_ttl_ms).arg(marker.nodes);
            cmd.write_arg(marker.name.as_bytes());
        }
        cmd
    }

    /// The call for one request of a kind that shares none.
    pub(crate) fn single(&mut self, request: &Request) -> Cmd {
        let key = request.key.as_bytes();
        match request.op {
            Op::Acquire { .. } => self.acquire([request]),
            Op::Renew { .. } => self.renew([request]),
            Op::Release => self.release([request]),
            Op::Confirm { fence } => {
                self.prepare(key, &request.token);
                let size = key.len() + self.counter.len() + self.token.len() + 32;
                let mut cmd = Script::Confirm.call(2, 2, size);
                cmd.write_arg(key);
                cmd.write_arg(&self.counter);
                cmd.write_arg(&self.token);
                cmd.arg(fence.get());
                cmd
            }
            Op::Repair { ttl, fence } => {
                self.prepare(key, &request.token);
                let size = key.len() + self.counter.len() + self.token.len() + 48;
                let mut cmd = Script::Repair.call(2, 3, size);
                cmd.write_arg(key);
                cmd.write_arg(&self.counter);
                cmd.write_arg(&self.token);
                cmd.arg(millis(ttl)).arg(fence.get());
                cmd
            }
        }
    }

    /// One call for many renewals.
    pub(crate) fn renew<'a>(&mut self, requests: impl Requests<'a>) -> Cmd {
        self.locks(Script::Renew, 2, requests, |cmd, request| {
            if let Op::Renew { ttl } = request.op {
                cmd.arg(millis(ttl));
            }
        })
    }

    /// One call for many releases.
    pub(crate) fn release<'a>(&mut self, requests: impl Requests<'a>) -> Cmd {
        self.locks(Script::Release, 1, requests, |_, _| {})
    }

    /// A call with the locks as its keys, and for each the token and `more` as its `args` arguments.
    fn locks<'a>(
        &mut self,
        script: Script,
        args: usize,
        requests: impl Requests<'a>,
        more: impl Fn(&mut Cmd, &Request),
    ) -> Cmd {
        let requests = requests.into_iter();
        let size = requests.clone().map(|r| r.key.as_bytes().len() + 120).sum();
        let mut cmd = script.call(requests.len(), args * requests.len(), size);
        for request in requests.clone() {
            cmd.write_arg(request.key.as_bytes());
        }
        for request in requests {
            write_token(&request.token, &mut self.token);
            cmd.write_arg(&self.token);
            more(&mut cmd, request);
        }
        cmd
    }

    /// The look at a key.
    pub(crate) fn inspect(&mut self, key: &Key) -> Cmd {
        key::counter(key.as_bytes(), &mut self.counter);
        let size = key.as_bytes().len() + self.counter.len();
        let mut cmd = Script::Inspect.call(2, 0, size);
        cmd.write_arg(key.as_bytes());
        cmd.write_arg(&self.counter);
        cmd
    }

    fn prepare(&mut self, key: &[u8], token: &Token) {
        key::counter(key, &mut self.counter);
        write_token(token, &mut self.token);
    }
}

/// The call that writes or refreshes the marker of a node.
pub(crate) fn mark(marker: &Marker) -> Cmd {
    let mut cmd = Script::Mark.call(1, 6, marker.key.len() + 160);
    cmd.write_arg(&marker.key);
    cmd.write_arg(marker.run_id.as_bytes());
    cmd.write_arg(marker.replication_id.as_bytes());
    cmd.arg(u8::from(marker.durable));
    cmd.arg(marker.max_ttl_ms).arg(marker.nodes);
    cmd.write_arg(marker.name.as_bytes());
    cmd
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn write_token(token: &Token, out: &mut Vec<u8>) {
    use std::io::Write as _;
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.clear();
    if let Some(label) = &token.label {
        out.extend_from_slice(label.as_str().as_bytes());
        out.push(b':');
    }
    for byte in token.secret.expose() {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
    // Writing to a vector does not fail.
    let _ = write!(out, ":{}", token.attempt);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenure_core::{Fence, Label, Secret};

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
    fn a_text_says_nothing_of_flags_so_that_6_2_runs_it() {
        for script in Script::ALL {
            assert!(!script.text().starts_with("#!"), "{script:?}");
            assert_eq!(script.sha().len(), 40);
        }
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
        let words_of = words(&encoder.acquire([&request]));
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
        let words_of = words(&encoder.acquire([&request]));
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
        let words = words(&Encoder::new().renew(&requests));
        assert_eq!(words[2..5], ["2", "lock-0", "lock-1"]);
        assert_eq!(words[5], format!("{}:1", "00".repeat(16)));
        assert_eq!(words[6], "1500");
        assert_eq!(words.len(), 9);
    }
}
