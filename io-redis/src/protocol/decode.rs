//! What the replies of a node mean for the core (*applied*, *not applied* or *unknown*), and for
//! the link itself.
//!
//! The scripts answer, with times of the server in microseconds and spans in milliseconds:
//!
//! - acquire, for each lock: `granted ID` (an id of the stream, over one node) or the number of the
//!   fence (over several, where the server's time follows the answers of all locks),
//!   `held LEFT NOW FINGERPRINT LABEL` (of the holder: eight hexadecimal digits, and its label if
//!   it has one), `queued AHEAD LEFT NOW FINGERPRINT LABEL` (the same, and a place is kept; over
//!   several nodes), `taken` (a newer attempt of the same lease is there), `foreign` (no expiry),
//!   `wrong NAME TYPE`, `unmarked`, `quarantine LEFT`, `misuse MAX-TTL NODES NAME`, `misuse` (the
//!   marker cannot be read), `-` and the text of an error, or `stream -` and that of drawing the
//!   fence;
//! - confirm and repair: `done`, `gone` (confirm only), `taken` or `wrong counter TYPE`;
//! - wait, for each lock: what acquire does over one node; or `waiting AHEAD LEFT HANDS-ON
//!   FINGERPRINT LABEL` (LEFT is -1 without an expiry; HANDS-ON is 1 if the holder is a token, else
//!   0), or `full`;
//! - renew, release and stay, for each failure: its index, and `gone`, `taken`, `full` (stay only:
//!   no place is kept) or the text of an error;
//! - inspect: `[seen, value or nil, PTTL, counter or nil, WAITING, places]`, or `wrong NAME TYPE`.
//!   The counter is there over several nodes only. The last are how many wait, and of the first of
//!   them `[token, LEFT, token, LEFT, …]`;
//! - mark: `[marked, SINCE]` (milliseconds of the server's time) or `[misuse, …]` as above;
//! - keep: an id, `wrong stream TYPE`, or `-` and the text of an error.
//!
//! A plain `SET` answers whether the key was free, and the `XADD` behind some of them an id.

use std::time::Duration;

use redis::{ErrorKind, RedisError, Value};
use tenure_core::{
    Answer, Doubt, Fence, Fingerprint, Holder, Key, Label, LockName, Refusal, Reply, ServerTime,
    Token, Words,
};

use crate::protocol::breaking::Seen;
use crate::protocol::encode::WATCH;
use crate::protocol::inspection::{KeyHolder, KeyState, QueueState};
use crate::protocol::marker::NodeSet;
use crate::protocol::scripts::{Answers, Script};
use crate::protocol::stream::{FenceStream, StreamId};
use crate::protocol::words::{NOT_IN_TIME, printable};

/// What came back for one command.
pub(crate) type CommandResult = Result<Value, RedisError>;

/// What a reply tells the link, besides what it tells the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The scripts must be loaded again.
    NoScript,
    /// The node's identity must be read again and its marker written.
    Unmarked,
    /// The node takes no writes, or no longer knows this user. Another connection may reach a node
    /// that does.
    Reconnect(Words),
    /// Keys of several slots cannot share a call, here or ever.
    CrossSlot,
    /// A call for several keys was refused, perhaps because of one of them. For a while requests
    /// share no calls.
    DoNotBatch,
    /// A release that names more than its lock was refused since a slot of a cluster moves, or may
    /// be. For a while releases of the key name their lock alone, and hand nothing on.
    BareReleases,
    /// A release that names more than its lock was rejected: the user has no right to the rest any
    /// more, or none to anything. The next one of the key names its lock alone.
    BareRelease,
    /// A release that names its lock alone was rejected as well. So it is not for what they name.
    FullReleases,
    /// A release that names its lock alone was not refused.
    Served,
    /// The connection is lost, or what it answers makes no sense.
    Broken(Words),
}

/// What a reply means.
pub(crate) type Meaning = (Reply, Option<Signal>);

/// The error for a number of replies that is not the number of commands.
pub(crate) fn miscounted() -> RedisError {
    let words = "the number of replies is not that of the commands";
    RedisError::from((ErrorKind::Parse, words))
}

fn broken(why: &str) -> Meaning {
    let why = Words::new(why);
    (
        Reply::Unknown(Doubt::Broken(why.clone())),
        Some(Signal::Broken(why)),
    )
}

/// What a node has beside the locks, by which its answers are explained.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside<'a> {
    /// What its marker must say, if it has one.
    pub(crate) node_set: Option<&'a NodeSet>,
    /// Its fence stream, if it has one.
    pub(crate) stream: Option<&'a FenceStream>,
}

impl Beside<'_> {
    /// An acquire was refused. Its call names the lock's key and the stream, and the server says no
    /// key.
    fn explain(self, reply: Reply) -> Reply {
        match (self.stream, reply) {
            (Some(stream), Reply::NotApplied(Refusal::Rejected(words)))
                if is_about_a_key(&words) =>
            {
                Reply::NotApplied(Refusal::Rejected(stream.perhaps_refused(&words)))
            }
            (_, reply) => reply,
        }
    }

    /// Drawing the fence was refused, with this text.
    fn undrawn(self, text: &str) -> Meaning {
        match (self.stream, refusal(text)) {
            (Some(stream), (Reply::NotApplied(Refusal::Rejected(words)), signal)) => {
                let words = stream.refused(&words);
                (Reply::NotApplied(Refusal::Rejected(words)), signal)
            }
            (_, meaning) => meaning,
        }
    }
}

/// The reply to a call for `count` requests: `each` is called for every request, in order.
pub(crate) fn replies(
    script: Script,
    result: CommandResult,
    count: usize,
    ours: Beside<'_>,
    mut each: impl FnMut(Meaning),
) {
    let answers = script.layout().answers;
    debug_assert!(count == 1 || answers.shares_calls(), "{script:?}");
    match answers {
        Answers::EachLock => {
            let whole = matches!(&result, Ok(Value::ServerError(_)) | Err(_));
            acquires(result, count, false, ours, |(reply, signal)| {
                let reply = if whole { ours.explain(reply) } else { reply };
                each((reply, signal));
            });
        }
        Answers::EachLockAndTime => acquires(result, count, true, ours, each),
        Answers::Failures
            if matches!(
                script,
                Script::ReleaseOne | Script::ReleaseSeveral | Script::Stay
            ) && count == 1 =>
        {
            failures(result, count, |meaning| {
                each(match meaning {
                    (Reply::NotApplied(Refusal::Unavailable(_)), Some(Signal::DoNotBatch)) => {
                        let signal = Some(Signal::BareReleases);
                        (Reply::NotApplied(Refusal::Again), signal)
                    }
                    (Reply::NotApplied(Refusal::Rejected(_)), None) => {
                        let signal = Some(Signal::BareRelease);
                        (Reply::NotApplied(Refusal::Again), signal)
                    }
                    // A connection of the user's to a cluster tries by itself for long where a slot
                    // moves, and says nothing meanwhile.
                    (silent @ Reply::Unknown(Doubt::Silent), None) => {
                        (silent, Some(Signal::BareReleases))
                    }
                    meaning => meaning,
                });
            });
        }
        Answers::Failures if script == Script::Release && count == 1 => {
            failures(result, count, |(reply, signal)| {
                // Law: Fairness
                let says = match &reply {
                    Reply::NotApplied(Refusal::Rejected(_)) => Some(Signal::FullReleases),
                    Reply::Applied(_) => Some(Signal::Served),
                    _ => None,
                };
                each((reply, signal.or(says)));
            });
        }
        Answers::Failures => failures(result, count, each),
        Answers::Word | Answers::Other => each(single(result)),
    }
}

/// The grants that the result of drawing from the stream makes of locks that were taken: none if it
/// is no fence, for whatever reason.
pub(crate) fn drawn(result: &CommandResult) -> Option<Answer> {
    granted(result.as_ref().ok().and_then(bytes)?)
}

/// The grant with this id of the stream.
fn granted(id: &[u8]) -> Option<Answer> {
    let id = StreamId::parse(id)?;
    Some(Answer::Granted {
        fence: id.fence()?,
        server_time: id.time(),
    })
}

/// The reply to a plain command that takes a lock, if this was drawn behind it.
// Law: Fencing
pub(crate) fn taken(result: CommandResult, drawn: Option<&Answer>) -> Meaning {
    match value(result) {
        Ok(Value::Okay) => (
            Reply::Applied(drawn.cloned().unwrap_or(Answer::Unfenced)),
            None,
        ),
        Ok(Value::Nil) => (Reply::Applied(Answer::Busy), None),
        Ok(_) => broken("a lock that was taken was answered in a shape that is not its own"),
        // It was refused before the server saw the key. Acquire finds out whether that is held.
        Err((Reply::NotApplied(Refusal::Unavailable(words)), _))
            if code(words.as_str()) == "OOM" =>
        {
            (Reply::Applied(Answer::Busy), None)
        }
        Err(meaning) => meaning,
    }
}

/// The reply to a call that takes `count` locks, and tells the server's time or does not: `each` is
/// called for every lock, in order.
fn acquires(
    result: CommandResult,
    count: usize,
    with_time: bool,
    ours: Beside<'_>,
    mut each: impl FnMut(Meaning),
) {
    let nonsense = || broken("an acquire was answered in a shape that is not its own");
    let mut answers = match value(result) {
        Ok(Value::Array(answers)) => answers,
        Ok(_) => return all(nonsense(), count, each),
        Err(meaning) => return all(meaning, count, each),
    };
    let time = match with_time.then(|| answers.pop()) {
        None => None,
        Some(Some(Value::Int(micros))) => u64::try_from(micros).ok().map(ServerTime::from_micros),
        Some(_) => return all(nonsense(), count, each),
    };
    if answers.len() != count {
        return all(nonsense(), count, each);
    }
    for answer in answers {
        let meaning = match (&answer, time) {
            (Value::Int(fence), Some(server_time)) => fence_of_counter(*fence, server_time),
            _ => bytes(&answer)
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .and_then(|text| acquire(text, ours)),
        };
        each(meaning.unwrap_or_else(nonsense));
    }
}

/// The grant with this number from a counter.
fn fence_of_counter(number: i64, server_time: ServerTime) -> Option<Meaning> {
    let fence = Fence::new(u64::try_from(number).ok()?)?;
    let answer = Answer::Granted { fence, server_time };
    Some((Reply::Applied(answer), None))
}

/// Who holds a lock: eight digits, and behind a space what the holder is called, if it has a name.
fn holder(text: &str) -> Option<Holder> {
    let (digits, label) = text.split_once(' ').unwrap_or((text, ""));
    let bits = u32::from_str_radix(digits, 16).ok()?;
    Some(Holder {
        fingerprint: Fingerprint::new(bits),
        label: Label::new(label).ok(),
    })
}

/// What one of the answers means; none if it makes no sense.
fn acquire(text: &str, ours: Beside<'_>) -> Option<Meaning> {
    if let Some(error) = text.strip_prefix('-') {
        return Some(refusal(error));
    }
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let millis = |text: &str| text.parse().ok().map(Duration::from_millis);
    let time = |text: &str| text.parse().ok().map(ServerTime::from_micros);
    let answer = match word {
        "granted" => granted(rest.as_bytes())?,
        "held" => {
            let (now, who) = second.split_once(' ')?;
            Answer::Held {
                left: millis(first)?,
                server_time: time(now)?,
                holder: holder(who)?,
                ahead: None,
            }
        }
        "queued" => {
            let (left, rest) = second.split_once(' ')?;
            let (now, who) = rest.split_once(' ')?;
            Answer::Held {
                left: millis(left)?,
                server_time: time(now)?,
                holder: holder(who)?,
                ahead: Some(first.parse().ok()?),
            }
        }
        "waiting" => {
            let (left, rest) = second.split_once(' ')?;
            let (hands_on, who) = rest.split_once(' ')?;
            Answer::Waiting {
                ahead: first.parse().ok()?,
                left: match left {
                    "-1" => None,
                    left => Some(millis(left)?),
                },
                hands_on: match hands_on {
                    "1" => true,
                    "0" => false,
                    _ => return None,
                },
                holder: holder(who)?,
            }
        }
        "full" => Answer::Full,
        "quarantine" => Answer::Quarantined {
            left: millis(first)?,
        },
        "taken" => Answer::Taken,
        "foreign" => Answer::Foreign,
        "wrong" => wrong(first, second)?,
        "stream" => return Some(ours.undrawn(rest.strip_prefix('-')?)),
        "unmarked" => return Some((Reply::NotApplied(Refusal::Again), Some(Signal::Unmarked))),
        "misuse" => {
            let words = contradiction(rest, ours.node_set);
            return Some((Reply::NotApplied(Refusal::Misuse(words)), None));
        }
        _ => return None,
    };
    Some((Reply::Applied(answer), None))
}

/// Gives one meaning to all locks of a call. The server may have refused the call because of one of
/// its locks; then they are asked one by one. Only a refusal that came before anything was written
/// is *not applied*.
// Law: Honest validity
fn all(meaning: Meaning, count: usize, mut each: impl FnMut(Meaning)) {
    let again = |signal| (Reply::NotApplied(Refusal::Again), Some(signal));
    let meaning = match meaning {
        meaning if count == 1 => meaning,
        (Reply::NotApplied(_), Some(Signal::CrossSlot)) => again(Signal::CrossSlot),
        (Reply::NotApplied(_), Some(Signal::DoNotBatch))
        | (Reply::NotApplied(Refusal::Rejected(_)), None) => again(Signal::DoNotBatch),
        (doubt @ Reply::Unknown(_), None) => (doubt, Some(Signal::DoNotBatch)),
        meaning => meaning,
    };
    (0..count).for_each(|_| each(meaning.clone()));
}

/// Reads whether a node watches keys, and whether they hold what they should. Calls `each` once for
/// every token. Returns whether it is of use to ask this node to watch. Where it does not watch, it
/// says so only of keys that hold what they should.
pub(crate) fn watched(
    [watch, next, read]: [CommandResult; WATCH],
    tokens: impl ExactSizeIterator<Item = Token>,
    mut each: impl FnMut(Meaning),
) -> bool {
    let refused = [&watch, &next].into_iter().find_map(error);
    let held = match value(read) {
        Ok(Value::Array(held)) if held.len() == tokens.len() => held,
        read => {
            let broken = || broken("keys that were read were answered in a shape of its own");
            let unread = read.err().unwrap_or_else(broken);
            // What is refused for one of the keys, or for now, says nothing of the others.
            let refuses = matches!(
                &unread,
                (Reply::NotApplied(Refusal::Rejected(words)), None) if !is_about_a_key(words)
            );
            let watches = refused.is_none() && !(refuses && tokens.len() == 1);
            let meaning = refused.map_or(unread, |refused| (refused, None));
            all(meaning, tokens.len(), each);
            return watches;
        }
    };
    let mut text = Vec::new();
    for (token, held) in tokens.zip(held) {
        text.clear();
        token.write(&mut text);
        let reply = match (&refused, bytes(&held)) {
            (Some(refused), Some(held)) if held == text => refused.clone(),
            (None, Some(held)) if held == text => Reply::Applied(Answer::Done),
            (_, Some(_)) => Reply::Applied(Answer::Taken),
            (_, None) => Reply::Applied(Answer::Gone),
        };
        each((reply, None));
    }
    refused.is_none()
}

/// The reply to a confirm or a repair.
pub(crate) fn single(result: CommandResult) -> Meaning {
    match value(result) {
        Ok(value) => match bytes(&value).and_then(|said| plain_word(said).or_else(|| misfit(said)))
        {
            Some(answer) => (Reply::Applied(answer), None),
            None => broken("a request was answered in a shape that is not its own"),
        },
        Err(meaning) => meaning,
    }
}

fn plain_word(word: &[u8]) -> Option<Answer> {
    match word {
        b"done" => Some(Answer::Done),
        b"gone" => Some(Answer::Gone),
        b"taken" => Some(Answer::Taken),
        _ => None,
    }
}

/// The answer `wrong NAME TYPE`: one of the lock's names holds what no lock keeps there.
pub(crate) fn misfit(text: &[u8]) -> Option<Answer> {
    let rest = std::str::from_utf8(text).ok()?.strip_prefix("wrong ")?;
    let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
    wrong(name, kind)
}

/// One of the lock's names holds a value of this type, by the server's word for it.
fn wrong(name: &str, kind: &str) -> Option<Answer> {
    let name = match name {
        "key" => LockName::Key,
        "counter" => LockName::Counter,
        "stream" => LockName::Stream,
        "queue" => LockName::Queue,
        _ => return None,
    };
    let holds = match kind {
        "string" if name == LockName::Counter => NO_NUMBER,
        "string" => "a string",
        "stream" if name == LockName::Stream => "a stream whose ids are too large for fences",
        "hash" => "a hash",
        "list" => "a list",
        "set" => "a set",
        "zset" => "a sorted set",
        "stream" => "a stream",
        _ => ANOTHER_TYPE,
    };
    Some(Answer::WrongType { name, holds })
}

/// What is said of a fence counter that cannot be read as one.
const NO_NUMBER: &str = "a text that is no fence";
/// What is said of a value whose type is not known.
const ANOTHER_TYPE: &str = "a value of another type";

/// The reply to a call that renews or releases `count` locks and answers its failures only: `each`
/// is called for every lock, in order.
pub(crate) fn failures(result: CommandResult, count: usize, mut each: impl FnMut(Meaning)) {
    let nonsense = || broken("a request was answered in a shape that is not its own");
    let failures = match value(result) {
        Ok(Value::Array(failures)) => failures,
        Ok(_) => return all(nonsense(), count, each),
        Err(meaning) => return all(meaning, count, each),
    };
    // All parts are checked first: if one makes no sense, none is believed.
    let mut last = 0;
    for failure in failures.chunks(2) {
        match failure {
            [Value::Int(index), why]
                if bytes(why).is_some()
                    && *index > last
                    && usize::try_from(*index).is_ok_and(|index| index <= count) =>
            {
                last = *index;
            }
            _ => return all(nonsense(), count, each),
        }
    }
    let mut failures = failures.chunks_exact(2).peekable();
    for index in 0..count {
        let failed = failures
            .next_if(|failure| matches!(failure[0], Value::Int(at) if at == index as i64 + 1))
            .and_then(|failure| bytes(&failure[1]));
        let meaning = match failed {
            None => (Reply::Applied(Answer::Done), None),
            Some(b"full") => (Reply::Applied(Answer::Full), None),
            Some(why) => match plain_word(why) {
                Some(answer) => (Reply::Applied(answer), None),
                None => refusal(&String::from_utf8_lossy(why)),
            },
        };
        each(meaning);
    }
}

/// What an error in the place of a reply means. None if it is no error.
pub(crate) fn trouble(result: &CommandResult) -> Option<Meaning> {
    match result {
        Ok(Value::ServerError(_)) | Err(_) => value(result.clone()).err(),
        Ok(_) => None,
    }
}

/// What a reply means if it is an error.
pub(crate) fn error(result: &CommandResult) -> Option<Reply> {
    value(result.clone()).err().map(|(reply, _)| reply)
}

/// The value that came back for a question, or the words of the error in its place.
pub(crate) fn told(result: CommandResult) -> Result<Value, Words> {
    match result {
        Ok(Value::ServerError(error)) => Err(printable(&server_text(&error))),
        Ok(value) => Ok(value),
        Err(error) if error.is_timeout() => Err(Words::fixed(NOT_IN_TIME)),
        Err(error) => Err(printable(&error_text(&error))),
    }
}

/// The reply to an inspection.
pub(crate) fn inspection(result: CommandResult) -> Result<KeyState, Words> {
    let value = told(result)?;
    let nonsense = || Words::new("the node's answer to an inspection cannot be understood");
    if let Some(Answer::WrongType { name, holds }) = bytes(&value).and_then(misfit) {
        return Ok(KeyState {
            holder: KeyHolder::WrongType { name, holds },
            seen: None,
            left: None,
            fence: None,
            queue: None,
            from_primary: true,
        });
    }
    let parts = match value {
        Value::Array(parts) if word_of(parts.first()) == Some(b"seen") => parts,
        _ => return Err(nonsense()),
    };
    let none = &Value::Nil;
    let (held, left, fence, line, digest) = match &parts[..] {
        [_, held, Value::Int(left)] => (held, left, none, None, none),
        [_, held, Value::Int(left), fence] => (held, left, fence, None, none),
        [_, held, Value::Int(left), Value::Int(waiting), places, seen] => {
            (held, left, none, Some((waiting, places)), seen)
        }
        [
            _,
            held,
            Value::Int(left),
            fence,
            Value::Int(waiting),
            places,
            seen,
        ] => (held, left, fence, Some((waiting, places)), seen),
        _ => return Err(nonsense()),
    };
    let queue = line.map(|(waiting, places)| queue_of(*waiting, places).ok_or_else(nonsense));
    let seen = match digest {
        Value::Nil => None,
        digest => Some(bytes(digest).and_then(Seen::read).ok_or_else(nonsense)?),
    };
    let left = u64::try_from(*left).ok().map(Duration::from_millis);
    let mut holder = match held {
        Value::Nil => KeyHolder::Free,
        held => match (bytes(held).ok_or_else(nonsense)?, left) {
            (_, None) => KeyHolder::Foreign,
            (held, Some(_)) => owner(held),
        },
    };
    let counter = match fence {
        Value::Nil => None,
        fence => Some(bytes(fence).ok_or_else(nonsense)?),
    };
    let number = counter.and_then(fence_of);
    if counter.is_some() && number.is_none() {
        holder = KeyHolder::WrongType {
            name: LockName::Counter,
            holds: NO_NUMBER,
        };
    }
    Ok(KeyState {
        holder,
        seen,
        left,
        fence: number.and_then(Fence::new),
        queue: queue.transpose()?,
        from_primary: true,
    })
}

/// Who waits. The secrets are dropped.
fn queue_of(waiting: i64, places: &Value) -> Option<QueueState> {
    let Value::Array(places) = places else {
        return None;
    };
    let place = |place: &[Value]| match place {
        [token, Value::Int(left)] => {
            let label = match owner(bytes(token)?) {
                KeyHolder::Lease { label, .. } => label,
                _ => None,
            };
            let left = Duration::from_millis(u64::try_from(*left).ok()?);
            Some((label, left))
        }
        _ => None,
    };
    Some(QueueState {
        waiting: u64::try_from(waiting).ok()?,
        first: places.chunks(2).map(place).collect::<Option<_>>()?,
    })
}

/// The replies to [`looks_at`](crate::protocol::encode::looks_at).
pub(crate) fn look(results: &[CommandResult]) -> Result<KeyState, Words> {
    let nonsense = || Words::new("the node's answer to an inspection cannot be understood");
    let (held, left, key_type, counter) = match results {
        [held, left, key_type] => (held, left, key_type, None),
        [held, left, key_type, counter, counter_type] => {
            (held, left, key_type, Some((counter, counter_type)))
        }
        _ => return Err(nonsense()),
    };
    let of_counter = counter.map(|(value, kind)| ("counter", value, kind));
    for (name, value, kind) in [Some(("key", held, key_type)), of_counter]
        .into_iter()
        .flatten()
    {
        match trouble(value) {
            None => {}
            Some((Reply::Applied(Answer::WrongType { .. }), _)) => {
                let kind = kind.as_ref().ok().and_then(bytes).unwrap_or_default();
                let text = [b"wrong ", name.as_bytes(), b" ", kind].concat();
                let mut seen = inspection(Ok(Value::BulkString(text)))?;
                seen.from_primary = false;
                return Ok(seen);
            }
            Some((reply, _)) => return Err(reply.words().cloned().unwrap_or_else(nonsense)),
        }
    }
    let (Ok(held), Ok(left @ Value::Int(millis))) = (held, left) else {
        let why = trouble(left).and_then(|(reply, _)| reply.words().cloned());
        return Err(why.unwrap_or_else(nonsense));
    };
    // They were read one after the other, and the key may have gone in between.
    let held = if *millis == -2 { &Value::Nil } else { held };
    let word = Value::BulkString(b"seen".to_vec());
    let mut parts = vec![word, held.clone(), left.clone()];
    parts.extend(counter.and_then(|(value, _)| value.as_ref().ok()).cloned());
    let mut seen = inspection(Ok(Value::Array(parts)))?;
    if seen.holder == KeyHolder::Free {
        seen.left = None;
    }
    seen.from_primary = false;
    Ok(seen)
}

/// Since when a node that was marked has lost nothing, in milliseconds of its time.
pub(crate) fn marked(result: &CommandResult) -> Option<u64> {
    let Ok(Value::Array(parts)) = result else {
        return None;
    };
    let [word, since] = &parts[..] else {
        return None;
    };
    let since = bytes(since).filter(|_| word_of(Some(word)) == Some(b"marked"))?;
    std::str::from_utf8(since).ok()?.parse().ok()
}

/// What the stream of a node said as it was to be kept.
pub(crate) enum Kept {
    /// It drew an id.
    Yes,
    /// Its key holds something else.
    WrongType(&'static str),
    /// An error.
    Refused(Meaning),
}

/// The reply to keeping the stream.
pub(crate) fn kept(result: CommandResult) -> Kept {
    let value = match value(result) {
        Ok(value) => value,
        Err(meaning) => return Kept::Refused(meaning),
    };
    let said = bytes(&value).unwrap_or_default();
    match (misfit(said), said) {
        (Some(Answer::WrongType { holds, .. }), _) => Kept::WrongType(holds),
        (_, [b'-', error @ ..]) => Kept::Refused(refusal(&String::from_utf8_lossy(error))),
        _ if StreamId::parse(said).is_some() => Kept::Yes,
        _ => Kept::Refused(broken(
            "the stream was answered in a shape that is not its own",
        )),
    }
}

/// The fence that a counter holds, by the rule of the scripts.
fn fence_of(counter: &[u8]) -> Option<u64> {
    const TOO_LARGE: u64 = (1 << 53) - 1;
    let text = std::str::from_utf8(counter).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let fence = digits.then(|| text.parse().ok())??;
    (fence < TOO_LARGE).then_some(fence)
}

/// Who holds a key with this value. The secret part is dropped.
fn owner(value: &[u8]) -> KeyHolder {
    match Token::parse(value) {
        Some(token) => KeyHolder::Lease {
            label: token.label.map(|label| label.as_str().to_owned()),
            attempt: token.attempt,
        },
        None => KeyHolder::Other,
    }
}

/// The value, or the meaning of the error in its place.
fn value(result: CommandResult) -> Result<Value, Meaning> {
    match result {
        Ok(Value::ServerError(error)) => Err(refusal(&server_text(&error))),
        Ok(value) => Ok(value),
        Err(error) if error.code().is_some() => Err(refusal(&error_text(&error))),
        Err(error) if error.is_timeout() => Err((Reply::Unknown(Doubt::Silent), None)),
        // A connection that reconnects by itself could not, so the request was never sent.
        Err(error) if error.is_connection_refusal() => {
            let why = printable(&error.to_string());
            let refusal = Refusal::Unavailable(why.clone());
            Err((Reply::NotApplied(refusal), Some(Signal::Broken(why))))
        }
        // Not an error reply: the connection is lost, or does not speak the protocol.
        Err(error) => Err(broken(printable(&error.to_string()).as_str())),
    }
}

/// What an error reply means. A 6.2 server wraps the error that a script met, so the code may stand
/// inside: `ERR Error running script (call to f_…): @user_script:3: @user_script: 3: -READONLY You
/// can't …`. Only what surely changed nothing is *not applied*; else it is *unknown*.
// Law: Honest validity
pub(crate) fn refusal(text: &str) -> Meaning {
    let words = || match printable(text) {
        words if words.as_str().is_empty() => Words::fixed("an error without words"),
        words => words,
    };
    let unavailable = |signal| (Reply::NotApplied(Refusal::Unavailable(words())), signal);
    let rejected = |signal| (Reply::NotApplied(Refusal::Rejected(words())), signal);
    match code(text) {
        "NOSCRIPT" => (Reply::NotApplied(Refusal::Again), Some(Signal::NoScript)),
        "READONLY" => unavailable(Some(Signal::Reconnect(words()))),
        "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "OOM" | "MISCONF"
        | "NOREPLICAS" => unavailable(None),
        // A slot is being moved, and the keys of the call are on both sides.
        "TRYAGAIN" => unavailable(Some(Signal::DoNotBatch)),
        // It listens, and the server takes it for one of the older protocol, which then serves
        // nothing else.
        _ if text.contains("are allowed in this context") => {
            unavailable(Some(Signal::Reconnect(words())))
        }
        "NOAUTH" | "WRONGPASS" => rejected(Some(Signal::Reconnect(words()))),
        "NOPERM" => rejected(None),
        "CROSSSLOT" => rejected(Some(Signal::CrossSlot)),
        // As some proxies in front of a cluster say it.
        _ if text.contains("in same slot") => rejected(Some(Signal::CrossSlot)),
        "WRONGTYPE" => {
            let name = LockName::Key;
            let holds = ANOTHER_TYPE;
            (Reply::Applied(Answer::WrongType { name, holds }), None)
        }
        _ if is_rejection(text) => rejected(None),
        _ => (Reply::Unknown(Doubt::Said(words())), None),
    }
}

/// The codes that the error of a script may carry inside its text.
const CODES: [&str; 16] = [
    "NOSCRIPT",
    "LOADING",
    "BUSY",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "NOPERM",
    "CROSSSLOT",
    "WRONGTYPE",
    "NOAUTH",
];

fn code(text: &str) -> &str {
    let first = text.split_whitespace().next().unwrap_or("");
    let by_a_script = text.contains("@user_script") || text.contains("running script");
    if CODES.contains(&first) || !by_a_script {
        return first;
    }
    text.split_whitespace()
        .map(|word| word.trim_start_matches('-'))
        .find(|word| CODES.contains(word))
        .unwrap_or(first)
}

/// Refusals that have no code of their own.
fn is_rejection(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    [
        "unknown command",
        "unknown redis command",
        "unknown subcommand",
        "can't run this command",
        "can't access at least one of the keys",
        "acl failure in script",
        // The script calls a command that this server does not have or does not allow.
        "command is not allowed from script",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
}

/// Whether a refusal is about the key that was named: the user may do the same to other keys.
pub(crate) fn is_about_a_key(refusal: &Words) -> bool {
    let signs = [
        "permissions to access",
        "can't access at least one of the keys",
    ];
    signs.iter().any(|sign| refusal.as_str().contains(sign))
}

/// Whether a refusal is of scripts that are sent as texts, and neither of the key nor of what the
/// script does.
pub(crate) fn is_about_texts(refusal: &Words) -> bool {
    let lower = refusal.as_str().to_ascii_lowercase();
    let names = ["'eval'", "`eval`", "\"eval\""];
    names.iter().any(|name| lower.contains(name)) && !is_about_a_key(refusal)
}

/// Whether these words of a server refuse until somebody changes something.
pub(crate) fn is_refusal(words: &Words) -> bool {
    matches!(
        refusal(words.as_str()).0,
        Reply::NotApplied(Refusal::Rejected(_))
    )
}

/// The reply to `TIME`.
pub(crate) fn time(value: &Value) -> Option<ServerTime> {
    let Value::Array(parts) = value else {
        return None;
    };
    let part = |at: usize| -> Option<u64> {
        std::str::from_utf8(bytes(parts.get(at)?)?)
            .ok()?
            .parse()
            .ok()
    };
    Some(ServerTime::from_micros(
        part(0)?.checked_mul(1_000_000)?.checked_add(part(1)?)?,
    ))
}

/// The text of an error, code first.
pub(crate) fn error_text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

pub(crate) fn server_text(error: &redis::ServerError) -> String {
    match error.details() {
        Some(detail) => format!("{} {detail}", error.code()),
        None => error.code().to_owned(),
    }
}

/// How the node's marker contradicts this client.
fn contradiction(marked: &str, ours: Option<&NodeSet>) -> Words {
    let Some(ours) = ours else {
        return Words::new("the node answered about a marker that was not asked for");
    };
    let marker = crate::protocol::key::marker(&ours.prefix);
    let marker = Key::new(marker);
    let mut parts = marked.splitn(3, ' ');
    let (Some(ttl), Some(nodes), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Words::new(&format!(
            "the key {marker}, where the node is marked, holds something else: delete it, or give \
             the clients another prefix"
        ));
    };
    let our_name = ours.name.as_deref().unwrap_or("");
    Words::new(&format!(
        "the node is marked (at the key {marker}) for a max TTL of {ttl} ms, {nodes} nodes, name \
         {name:?}; this client says {} ms, {} nodes, name {our_name:?}. All clients of these nodes \
         must say the same. To change it, stop them all, delete the marker on every node, and \
         start them with the new values",
        ours.max_ttl.as_millis(),
        ours.nodes,
    ))
}

fn word_of(value: Option<&Value>) -> Option<&[u8]> {
    value.and_then(bytes)
}

pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        Value::VerbatimString { text, .. } => Some(text.as_bytes()),
        _ => None,
    }
}
