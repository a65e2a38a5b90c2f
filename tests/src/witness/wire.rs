//! What travels on the connections of a client: each request as it is written, each answer as it is
//! read, and the requests that were unanswered when a connection ended.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tenure_core::{Fence, OpKind};
use tenure_redis::seams::{BoxFuture, ByteStream, Connector, Endpoint, LockArg, LockKey, Script};
use tenure_sim::observe::fact::{Answer, Fact, Outcome, Record};
use tenure_sim::server::RequestParser;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::diary::Diary;
use crate::conformance::wire::{self, Wire};

/// A key and the token with which it is asked for.
type KeyAndToken<'a> = (&'a [u8], &'a [u8]);

/// What a request asks, and of which keys with which tokens; none if it is not a lease's.
pub(super) fn asked(argv: &[Vec<u8>]) -> Option<(OpKind, Vec<KeyAndToken<'_>>)> {
    if let [command, key, token, option, ..] = argv
        && command.eq_ignore_ascii_case(b"SET")
        && option.eq_ignore_ascii_case(b"NX")
    {
        return Some((OpKind::Take, vec![(key.as_slice(), token.as_slice())]));
    }
    let [command, named, count, rest @ ..] = argv else {
        return None;
    };
    let script = if command.eq_ignore_ascii_case(b"EVALSHA") {
        Script::by_sha(named)?
    } else if command.eq_ignore_ascii_case(b"EVAL") {
        // To a server that forgets scripts as soon as they are loaded.
        let mut all = Script::ALL.iter().copied();
        all.find(|script| script.text().as_bytes() == named)?
    } else {
        return None;
    };
    let ask = script.asks()?;
    let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
    let (keys, args) = rest.split_at_checked(count)?;
    let layout = script.layout();
    let (keys_each, args_each) = (layout.lock_keys.len(), layout.lock_args.len());
    let key = layout
        .lock_keys
        .iter()
        .position(|key| *key == LockKey::Lock)?;
    let token = layout
        .lock_args
        .iter()
        .position(|arg| *arg == LockArg::Token)?;
    let both = |at: usize| {
        let token = args.get(at * args_each + token)?;
        Some((keys.get(at * keys_each + key)?.as_slice(), token.as_slice()))
    };
    let locks = (count - usize::from(layout.stream)) / keys_each;
    Some((ask, (0..locks).filter_map(both).collect()))
}

/// Opens connections and listens on them.
#[derive(Debug)]
pub(super) struct Listener {
    diary: Diary,
    connector: Arc<dyn Connector>,
}

impl Listener {
    pub(super) fn new(diary: Diary, connector: Arc<dyn Connector>) -> Self {
        Self { diary, connector }
    }
}

impl Connector for Listener {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            let stream = self.connector.connect(endpoint).await?;
            let node = match endpoint {
                Endpoint::Tcp { host, .. } => self.diary.witness().node(host),
                _ => None,
            };
            Ok(match node {
                Some(node) => Box::new(Overheard {
                    stream,
                    ear: Ear {
                        diary: self.diary.clone(),
                        node,
                        requests: RequestParser::new(),
                        answers: Vec::new(),
                        open: VecDeque::new(),
                        taken: Vec::new(),
                    },
                }),
                None => stream,
            })
        })
    }
}

struct Overheard {
    stream: Box<dyn ByteStream>,
    ear: Ear,
}

/// Listens on one connection.
struct Ear {
    diary: Diary,
    node: u8,
    requests: RequestParser,
    answers: Vec<u8>,
    /// What was written and is not answered, in order: for each request the leases that it is for.
    open: VecDeque<(Option<OpKind>, Vec<Sent>)>,
    /// The leases that have taken their key, until their fence is drawn.
    taken: Vec<Sent>,
}

/// One lease's part in a request.
struct Sent {
    lease: u32,
    key: u8,
    serial: u32,
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.ear.read(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = written {
            self.ear.wrote(&bytes[..n]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Ear {
    fn wrote(&mut self, bytes: &[u8]) {
        self.requests.feed(bytes);
        while let Ok(Some(argv)) = self.requests.next_request() {
            let sent = match asked(&argv) {
                Some((ask, asked)) => {
                    let sent = asked
                        .into_iter()
                        .filter_map(|(key, token)| self.sent(ask, key, token));
                    (Some(ask), sent.collect())
                }
                None => (None, Vec::new()),
            };
            self.open.push_back(sent);
        }
    }

    fn sent(&self, ask: OpKind, key: &[u8], token: &[u8]) -> Option<Sent> {
        let key = self.diary.witness().key(key)?;
        let (lease, serial) = self.diary.sent(self.node, key, ask, token)?;
        Some(Sent { lease, key, serial })
    }

    fn read(&mut self, bytes: &[u8]) {
        self.answers.extend_from_slice(bytes);
        while let Some((answer, length)) = wire::reply(&self.answers) {
            self.answers.drain(..length);
            if matches!(answer, Wire::Push(_)) {
                continue;
            }
            let Some((ask, sent)) = self.open.pop_front() else {
                continue;
            };
            if ask == Some(OpKind::Take) && answer == Wire::Status("OK".to_owned()) {
                self.taken.extend(sent);
                continue;
            }
            // The next answer that is not for a lease is that of the draw.
            if ask.is_none() {
                let drawn = Outcome::Answered(drawn(&answer));
                for sent in std::mem::take(&mut self.taken) {
                    self.heard(Some(OpKind::Take), &sent, drawn);
                }
            }
            for (at, sent) in sent.iter().enumerate() {
                let outcome = ask.map_or(Outcome::Unknown, |ask| meaning(ask, &answer, at));
                self.heard(ask, sent, outcome);
            }
        }
    }

    fn heard(&self, ask: Option<OpKind>, sent: &Sent, outcome: Outcome) {
        let Some(ask) = ask else { return };
        let fact = Fact::Heard {
            ask,
            serial: sent.serial,
            outcome,
        };
        self.diary.tell_record(Record {
            node: Some(self.node),
            key: Some(sent.key),
            lease: Some(sent.lease),
            ..Record::new(0, fact)
        });
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        for sent in &self.taken {
            self.heard(Some(OpKind::Take), sent, Outcome::Unknown);
        }
        for (ask, sent) in &self.open {
            for sent in sent {
                self.heard(*ask, sent, Outcome::Unknown);
            }
        }
    }
}

/// What the answer of a draw says to the leases that have taken their keys before it.
fn drawn(answer: &Wire) -> Answer {
    match answer {
        Wire::Bulk(id) => fence(id).map_or(Answer::Unfenced, Answer::Granted),
        _ => Answer::Unfenced,
    }
}

/// The fence that is an id of a stream.
fn fence(id: &[u8]) -> Option<u64> {
    let (ms, seq) = std::str::from_utf8(id).ok()?.split_once('-')?;
    let fence = Fence::of_stream(ms.parse().ok()?, seq.parse().ok()?)?;
    Some(fence.get())
}

/// What an answer says to the lease at this place of the request.
fn meaning(ask: OpKind, answer: &Wire, at: usize) -> Outcome {
    let word = |bytes: &[u8]| match bytes {
        b"done" => Answer::Done,
        b"gone" => Answer::Gone,
        b"taken" => Answer::Taken,
        b"foreign" => Answer::Foreign,
        b"wrong" => Answer::WrongType,
        b"held" => Answer::Held,
        b"waiting" => Answer::Waiting,
        b"full" => Answer::Full,
        b"quarantine" => Answer::Quarantined,
        b"misuse" => Answer::Misuse,
        b"unmarked" => Answer::Again,
        // The text of an error.
        _ => Answer::Unavailable,
    };
    Outcome::Answered(match (ask, answer) {
        (_, Wire::Error(code)) if code == "NOSCRIPT" => Answer::Again,
        (_, Wire::Error(_)) => Answer::Unavailable,
        (OpKind::Renew | OpKind::Release, Wire::Array(failures)) => {
            let ours = i64::try_from(at + 1).unwrap_or(i64::MAX);
            let failure = failures
                .chunks_exact(2)
                .find(|pair| pair[0] == Wire::Int(ours));
            match failure.map(|pair| &pair[1]) {
                None => Answer::Done,
                Some(Wire::Bulk(why)) => word(why),
                Some(_) => Answer::Unavailable,
            }
        }
        (OpKind::Take, Wire::Null | Wire::NullBulk) => Answer::Busy,
        (OpKind::Acquire | OpKind::Wait, Wire::Array(answers)) => match answers.get(at) {
            Some(Wire::Int(fence)) => Answer::Granted(fence.unsigned_abs()),
            Some(Wire::Bulk(said)) => {
                let mut words = said.split(|byte| *byte == b' ');
                match words.next() {
                    Some(b"granted") => {
                        let fence = words.next().and_then(fence);
                        Answer::Granted(fence.unwrap_or_default())
                    }
                    first => first.map_or(Answer::Unavailable, word),
                }
            }
            _ => Answer::Unavailable,
        },
        (_, Wire::Bulk(said)) => word(said.split(|byte| *byte == b' ').next().unwrap_or_default()),
        _ => Answer::Unavailable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_its_name_and_by_its_text() {
        let script = Script::Release;
        for (command, named) in [("EVALSHA", script.sha()), ("EVAL", script.text())] {
            let call = [command, named, "1", "key", "token"].map(|part| part.as_bytes().to_vec());
            let asks = vec![(&b"key"[..], &b"token"[..])];
            assert_eq!(asked(&call), Some((OpKind::Release, asks)), "{command}");
        }
    }
}
