//! The fence stream of a node: it is tried on connecting, and kept from expiring while the
//! connection serves.

use std::collections::BTreeSet;
use std::task::{Context, Poll};
use std::time::Duration;

use redis::{Cmd, Value};
use tenure_core::{Instant, Key, Refusal, Reply};

use crate::link::connect::DialError;
use crate::link::connection::{Connection, exchange};
use crate::link::woken::Woken;
use crate::log_target::{LOG_TARGET, contained};
use crate::protocol::decode::{self, CommandResult, Kept, Signal};
use crate::protocol::encode::Encoder;
use crate::protocol::key;
use crate::protocol::stream::FenceStream;
use crate::protocol::words::printable;
use crate::runtime::Clock;

/// How often the stream is kept. It expires two days after that.
///
/// A stream may expire although a client still takes: over a cluster only a session that lasts for
/// an hour keeps it, and a process may sleep for days. That costs no fence its order. While the
/// stream lives, the server's clock has not come to its expiry, and so no id is later than that: an
/// id is of the clock or, after that was set back, close behind the last. So when it expires, the
/// clock is past all ids that it drew, and the next draw creates it anew with a larger one.
// Law: Fencing
// Law: No orphan
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Over a cluster so many streams are kept together at most, with a pause between.
// Law: Bounded work
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);

/// Asks whether the node is a cluster, over a connection of which that is not said, unless it is
/// known to be one.
pub(crate) async fn find_cluster(connection: &dyn Connection, stream: &FenceStream) {
    if stream.is_split() {
        return;
    }
    let answers = exchange(connection, vec![mode_query()]).await;
    if let Some(Ok(answer)) = answers.first()
        && is_cluster(answer)
    {
        stream.split();
    }
}

/// The command whose answer says whether the node is a cluster. It changes nothing, and everybody
/// may call it.
pub(super) fn mode_query() -> Cmd {
    redis::cmd("HELLO")
}

/// Whether the node is a cluster, by the answer to [`mode_query`].
pub(super) fn is_cluster(answer: &Value) -> bool {
    mode(answer) == Some(b"cluster")
}

/// Whether the node is a cluster, as it says itself; none if the user may not ask that. All clients
/// of a key must draw from one stream, whatever each of them may ask.
// Law: Fencing
pub(crate) async fn known(
    connection: &dyn Connection,
    stream: &FenceStream,
    is_cluster: Option<bool>,
) {
    match is_cluster {
        Some(true) => stream.split(),
        Some(false) => {}
        None if connection.is_own() => find_cluster(connection, stream).await,
        // It was asked before all else.
        None => {}
    }
}

/// The mode in an answer to HELLO.
fn mode(answer: &Value) -> Option<&[u8]> {
    let is_mode = |name: &Value| decode::bytes(name) == Some(b"mode");
    let mode = match answer {
        Value::Map(pairs) => pairs
            .iter()
            .find(|(name, _)| is_mode(name))
            .map(|(_, of)| of),
        Value::Array(parts) => {
            let mut pairs = parts.chunks_exact(2);
            pairs.find(|pair| is_mode(&pair[0])).map(|pair| &pair[1])
        }
        _ => None,
    };
    mode.and_then(decode::bytes)
}

/// The command that tries the stream of a node: the only one, or that of the slot of this key.
pub(crate) fn trial(stream: &FenceStream, unused: &Key, encoder: &mut Encoder) -> Option<Cmd> {
    let slot = stream.is_split().then(|| key::slot(unused.as_bytes()));
    encoder.keep(slot)
}

/// Whether the stream can be used, by the answer to its trial. A client that was served before goes
/// on: it may hold locks, which need no stream, and each that it asks for is told by itself.
pub(crate) async fn tried(
    connection: &dyn Connection,
    result: Option<CommandResult>,
    stream: &FenceStream,
    unused: &Key,
    encoder: &mut Encoder,
    served: bool,
) -> Result<(), DialError> {
    let mut result = result;
    let forgot = |result: &Option<CommandResult>| {
        let trouble = result.as_ref().and_then(decode::trouble);
        matches!(trouble, Some((_, Some(Signal::NoScript))))
    };
    if forgot(&result) {
        // This server does not keep scripts.
        encoder.by_text = true;
        let text = trial(stream, unused, encoder).into_iter().collect();
        result = exchange(connection, text).await.pop();
    }
    let Some(result) = result else { return Ok(()) };
    let mut name = Vec::new();
    stream.write_for(unused.as_bytes(), &mut name);
    let name = Key::new(name);
    let why = match decode::kept(result) {
        Kept::Yes => return Ok(()),
        Kept::WrongType(holds) => format!(
            "it holds {holds} under {name}, where its fence stream has to be: remove what is \
             there, or name another stream with `Builder::fence_stream`"
        ),
        Kept::Refused((Reply::NotApplied(Refusal::Rejected(words)), _))
            if !decode::is_about_texts(&words) =>
        {
            stream.refused(&words).as_str().to_owned()
        }
        // It cannot be used now. Each lock will be told why.
        Kept::Refused(_) => return Ok(()),
    };
    if served {
        contained(|| tracing::debug!(target: LOG_TARGET, why, "tolerated"));
        return Ok(());
    }
    Err(DialError::Rejected(printable(&why)))
}

/// When the streams of a node are to be kept next, and which wait for it.
pub(crate) struct Keeper {
    timer: Woken<()>,
    /// The slots of a cluster whose streams wait.
    waiting: BTreeSet<u16>,
}

impl Keeper {
    /// The stream was kept now.
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self {
            timer: Woken::new(clock.sleep_until(clock.now() + EVERY)),
            waiting: BTreeSet::new(),
        }
    }

    /// Ready once some are to be kept.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll(cx)
    }

    /// The commands that keep what is due now.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        clock: &dyn Clock,
        stream: &FenceStream,
        encoder: &mut Encoder,
    ) -> Vec<Cmd> {
        let mut commands = Vec::new();
        if !stream.is_split() {
            commands.extend(encoder.keep(None));
        } else if self.waiting.is_empty() {
            self.waiting = encoder.take_used();
        }
        while commands.len() < AT_ONCE
            && let Some(slot) = self.waiting.pop_first()
        {
            commands.extend(encoder.keep(Some(slot)));
        }
        let pause = if self.waiting.is_empty() {
            EVERY
        } else {
            PAUSE
        };
        self.timer = Woken::new(clock.sleep_until(now + pause));
        commands
    }
}
