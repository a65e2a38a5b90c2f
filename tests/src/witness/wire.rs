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

/// What a request asks for one lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// The lock key.
    pub(super) key: &'a [u8],
    /// The token with which it is asked for.
    pub(super) token: &'a [u8],
    /// Its queue, if the request may touch it.
    pub(super) queue: Option<&'a [u8]>,
    /// The stream that draws, if the request may draw.
    pub(super) stream: Option<&'a [u8]>,
    /// What stands in the queue for the lease.
    pub(super) place: Option<&'a [u8]>,
    /// The number of the request that keeps the place.
    pub(super) serial: Option<&'a [u8]>,
}

/// What a request asks, and for which locks; none if it is not a lease's.
pub(super) fn asked(argv: &[Vec<u8>]) -> Option<(OpKind, Vec<Asked<'_>>)> {
    if let [command, key, token, option, ..] = argv
        && command.eq_ignore_ascii_case(b"SET")
        && option.eq_ignore_ascii_case(b"NX")
    {
        let asked = Asked {
            key,
            token,
            ..Asked::default()
        };
        return Some((OpKind::Take, vec![asked]));
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
    let key = |at: usize, which| {
        let of = layout.lock_keys.iter().position(|key| *key == which)?;
        keys.get(at * keys_each + of).map(Vec::as_slice)
    };
    let arg = |at: usize, which| {
        let of = layout.lock_args.iter().position(|arg| *arg == which)?;
        args.get(at * args_each + of).map(Vec::as_slice)
    };
    let locks = (count - usize::from(layout.stream)) / keys_each;
    let lock = |at: usize| {
        Some(Asked {
            key: key(at, LockKey::Lock)?,
            token: arg(at, LockArg::Token)?,
            queue: key(at, LockKey::Queue),
            stream: keys
                .get(locks * keys_each)
                .filter(|_| layout.stream)
                .map(Vec::as_slice),
            place: arg(at, LockArg::Place),
            serial: arg(at, LockArg::Serial),
        })
    };
    Some((ask, (0..locks).filter_map(lock).collect()))
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
                    let sent = asked.iter().filter_map(|asked| self.sent(ask, asked));
                    (Some(ask), sent.collect())
                }
                None => {
                    self.listens(&argv);
                    (None, Vec::new())
                }
            };
            self.open.push_back(sent);
        }
    }

    fn sent(&self, ask: OpKind, asked: &Asked<'_>) -> Option<Sent> {
        let key = self.diary.witness().key(asked.key)?;
        let (lease, serial) = self.diary.sent(self.node, key, ask, asked)?;
        Some(Sent { lease, key, serial })
    }

    /// The client listens to a channel.
    fn listens(&self, argv: &[Vec<u8>]) {
        if let [command, channel] = argv
            && command.eq_ignore_ascii_case(b"SUBSCRIBE")
        {
            self.diary.listens(channel);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.answers.extend_from_slice(bytes);
        while let Some((answer, length)) = wire::reply(&self.answers) {
            self.answers.drain(..length);
            // That one is the reply to a request. No other push is.
            if let Wire::Push(parts) = &answer
                && !is(parts.first(), b"subscribe")
            {
                self.pushed(parts);
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

    /// A push came. If it says that the node has handed a lock on, or hints that one is free, that
    /// is told.
    fn pushed(&self, parts: &[Wire]) {
        if let [kind, _, Wire::Bulk(text)] = parts
            && is(Some(kind), b"message")
        {
            match handed_on(text) {
                Some((place, fence)) => self.diary.pushed(self.node, place, fence),
                None => self.diary.hinted(self.node, text),
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

fn is(part: Option<&Wire>, kind: &[u8]) -> bool {
    matches!(part, Some(Wire::Bulk(word)) if word == kind)
}

/// What a message says of a hand-off: the name of the place, and the fence that was drawn.
pub(super) fn handed_on(text: &[u8]) -> Option<(&[u8], u64)> {
    let mut words = text.split(|byte| *byte == b' ');
    let (place, _serial, id) = (words.next()?, words.next()?, words.next()?);
    Some((place, fence(id)?))
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
        b"held" | b"queued" => Answer::Held,
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
        (OpKind::Renew | OpKind::Release | OpKind::Stay, Wire::Array(failures)) => {
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
            let asks = vec![Asked {
                key: b"key",
                token: b"token",
                ..Asked::default()
            }];
            assert_eq!(asked(&call), Some((OpKind::Release, asks)), "{command}");
        }
    }
}
