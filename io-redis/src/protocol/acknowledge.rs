//! Asking how many replicas of a node have what its locks were granted, by plain commands on a
//! connection that does nothing else, since `WAIT` holds up all that is written behind it.
//!
//! `WAIT` covers what its own connection has written. So a fence is drawn first, which is a write
//! behind each grant. Before that each lock is read: only a server that has the lock itself can say
//! that its replicas have it, and this connection may lead to another one than granted.

use std::time::Duration;

use redis::{Cmd, Value};
use tenure_core::{Answer, Doubt, Refusal, Reply, Request, Words};

use crate::protocol::decode::{self, CommandResult};
use crate::protocol::encode::millis;
use crate::protocol::scripts::DRAW;
use crate::protocol::stream::{FenceStream, StreamId};

/// The commands that ask for so many replicas to have these locks, within this time.
pub(crate) fn commands(
    stream: &FenceStream,
    requests: &[Request],
    replicas: u32,
    within: Duration,
) -> Vec<Cmd> {
    let read = |request: &Request| {
        let mut cmd = redis::cmd("GET");
        cmd.arg(request.key.as_bytes());
        cmd
    };
    let mut draw = redis::cmd("XADD");
    draw.arg(stream.name()).arg(DRAW);
    let mut commands: Vec<_> = requests.iter().map(read).collect();
    commands.extend([draw, wait(replicas, within)]);
    commands
}

/// The command that goes on waiting, for what was drawn before.
pub(crate) fn wait(replicas: u32, within: Duration) -> Cmd {
    let mut cmd = redis::cmd("WAIT");
    // Zero would be without end.
    // Law: Bounded work
    cmd.arg(replicas).arg(millis(within).max(1));
    cmd
}

/// What a node said to [`commands`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// For each lock the reply, if it does not depend on replicas.
    pub(crate) each: Vec<Option<Reply>>,
    /// How many replicas have the others, or the reply to them.
    pub(crate) replicas: Result<u32, Reply>,
}

impl Told {
    /// Whether it was said by the node that granted, and not by another server behind its name.
    pub(crate) fn is_of_the_node(&self) -> bool {
        let refused = matches!(
            self.replicas,
            Err(Reply::NotApplied(Refusal::Unavailable(_)))
        );
        !refused && self.each.iter().any(Option::is_none)
    }
}

/// The answers to [`commands`].
pub(crate) fn told(
    stream: &FenceStream,
    requests: &[Request],
    results: Vec<CommandResult>,
) -> Told {
    let mut results = results.into_iter();
    let mut next = || results.next().unwrap_or_else(|| Err(decode::miscounted()));
    let each = requests.iter().map(|request| held(request, &next()));
    let each = each.collect();
    let drawn = next();
    let waited = next();
    let replicas = drew(stream, &drawn).and_then(|()| replicas(&waited));
    Told { each, replicas }
}

/// Why the lock is not the one that was granted; none if it is.
// Law: Ownership
fn held(request: &Request, read: &CommandResult) -> Option<Reply> {
    if let Some(reply) = decode::error(read) {
        return Some(reply);
    }
    let mut token = Vec::new();
    request.token.write(&mut token);
    match read.as_ref().ok().and_then(decode::bytes) {
        Some(held) if held == token => None,
        Some(_) => Some(Reply::Applied(Answer::Taken)),
        None => Some(Reply::Applied(Answer::Gone)),
    }
}

/// Whether a write stands behind the grants. Without one, replicas are asked for what came before.
fn drew(stream: &FenceStream, drawn: &CommandResult) -> Result<(), Reply> {
    match decode::error(drawn) {
        Some(Reply::NotApplied(Refusal::Rejected(words))) => {
            let words = stream.refused(&words);
            return Err(Reply::NotApplied(Refusal::Rejected(words)));
        }
        Some(reply) => return Err(reply),
        None => {}
    }
    let id = drawn.as_ref().ok().and_then(decode::bytes);
    match id.and_then(StreamId::parse) {
        Some(_) => Ok(()),
        None => {
            let why = "its fence stream is gone, so that nothing shows what its replicas have";
            Err(Reply::NotApplied(Refusal::Unavailable(Words::fixed(why))))
        }
    }
}

/// The answer to [`wait`].
pub(crate) fn replicas(waited: &CommandResult) -> Result<u32, Reply> {
    if let Some(reply) = decode::error(waited) {
        return Err(reply);
    }
    let nonsense = "it was asked how many replicas have a grant, and its answer is no number";
    match waited {
        Ok(Value::Int(replicas)) => u32::try_from(*replicas).ok(),
        _ => None,
    }
    .ok_or_else(|| Reply::Unknown(Doubt::Said(Words::fixed(nonsense))))
}

#[cfg(test)]
mod tests {
    use tenure_core::Op;

    use super::*;
    use crate::protocol::testing::request;

    fn requests(count: usize) -> Vec<Request> {
        (0..count)
            .map(|lock| request(lock, Op::Acknowledge))
            .collect()
    }

    fn token(request: &Request) -> CommandResult {
        let mut token = Vec::new();
        request.token.write(&mut token);
        Ok(Value::BulkString(token))
    }

    fn error(text: &str) -> CommandResult {
        let line = format!("-{text}\r\n");
        redis::parse_redis_value(line.as_bytes())
    }

    fn id() -> CommandResult {
        Ok(Value::BulkString(b"1700-3".to_vec()))
    }

    fn of_one(read: CommandResult, drawn: CommandResult, waited: CommandResult) -> Told {
        let stream = FenceStream::default();
        told(&stream, &requests(1), vec![read, drawn, waited])
    }

    fn words(cmd: &Cmd) -> Vec<String> {
        let word = |arg| match arg {
            redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            _ => "?".to_owned(),
        };
        cmd.args_iter().map(word).collect()
    }

    #[test]
    fn locks_are_read_before_the_draw_that_is_waited_for() {
        let stream = FenceStream::default();
        let asked = commands(&stream, &requests(2), 2, Duration::from_millis(70));
        let asked: Vec<_> = asked.iter().map(words).collect();
        assert_eq!(asked[..2], [["GET", "lock-0"], ["GET", "lock-1"]]);
        assert_eq!(asked[2][..3], ["XADD", "tenure:fence", "NOMKSTREAM"]);
        assert_eq!(asked[3], ["WAIT", "2", "70"]);
        assert_eq!(asked.len(), 4);
    }

    /// `WAIT 1 0` never ends.
    #[test]
    fn a_wait_is_never_without_end() {
        for within in [Duration::ZERO, Duration::from_micros(900)] {
            assert_eq!(words(&wait(2, within)), ["WAIT", "2", "1"]);
        }
    }

    #[test]
    fn a_server_without_the_lock_says_nothing_of_its_replicas() {
        let locks = requests(3);
        let other = Ok(Value::BulkString(b"somebody".to_vec()));
        let results = vec![
            token(&locks[0]),
            Ok(Value::Nil),
            other,
            id(),
            Ok(Value::Int(5)),
        ];
        let told = told(&FenceStream::default(), &locks, results);
        let gone = Some(Reply::Applied(Answer::Gone));
        let taken = Some(Reply::Applied(Answer::Taken));
        assert_eq!(told.each, [None, gone, taken]);
        assert_eq!(told.replicas, Ok(5));
    }

    /// `WAIT` on a connection that has written nothing answers at once, with all replicas.
    #[test]
    fn without_a_draw_no_replica_counts() {
        let lock = || token(&requests(1)[0]);
        let told = of_one(lock(), Ok(Value::Nil), Ok(Value::Int(5)));
        assert!(
            matches!(
                told.replicas,
                Err(Reply::NotApplied(Refusal::Unavailable(_)))
            ),
            "{told:?}"
        );
        let told = of_one(lock(), error("READONLY You can't write"), Ok(Value::Int(5)));
        assert!(told.replicas.is_err(), "{told:?}");
        let told = of_one(lock(), id(), error("UNBLOCKED force unblock"));
        assert!(
            matches!(told.replicas, Err(Reply::Unknown(Doubt::Said(_)))),
            "{told:?}"
        );
        assert!(of_one(lock(), id(), Ok(Value::Nil)).replicas.is_err());
    }

    #[test]
    fn a_missing_right_is_told_in_the_words_of_the_server() {
        let lock = token(&requests(1)[0]);
        let refusal = "NOPERM this user has no permissions to run the 'wait' command";
        let told = of_one(lock, id(), error(refusal));
        let expected = Reply::NotApplied(Refusal::Rejected(Words::fixed(refusal)));
        assert_eq!(told.replicas, Err(expected));
    }
}
