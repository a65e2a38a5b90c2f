//! The handshake of Redis' protocol, and what the server says until the connection serves.
//!
//! redis-rs makes the handshake, and does not pass on all that the server says in it: a refused
//! password has one text for all reasons, and words before a hang-up are lost. So an ear listens
//! beside it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, Parser, ProtocolVersion, RedisConnectionInfo, RedisError,
    Value,
};
use tenure_core::{Refusal, Reply};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::link::connect::{Connected, DialError};
use crate::link::connection::DialledConnection;
use crate::link::mailbox::Mailbox;
use crate::protocol::decode;
use crate::protocol::words::{hide, printable};
use crate::runtime::ByteStream;

/// How many commands redis-rs may queue before it writes them. More than the batches that a session
/// has in flight, so that no batch waits for room.
// Law: Bounded work
const BUFFERED: usize = 256;

/// So much of what a server says is kept. What it says of itself as it is set up is less.
const HEARD: usize = 64 * 1024;

/// What the handshake came to when there is no connection.
pub(crate) struct Refused {
    error: RedisError,
    /// The server's words, if there were any.
    said: Option<String>,
}

impl From<RedisError> for Refused {
    fn from(error: RedisError) -> Self {
        Self { error, said: None }
    }
}

impl Refused {
    /// Whether the server may serve over the older protocol. It does not serve who cannot name
    /// themselves, over either.
    pub(crate) fn may_know_resp2(&self) -> bool {
        if self.error.is_io_error() && !self.error.is_connection_dropped() {
            return false;
        }
        let text = self.text();
        let code = text.split_whitespace().next();
        let is_login = matches!(code, Some("WRONGPASS" | "NOAUTH")) || needs_a_hand(&text);
        !(self.is_of_server() && is_login)
    }

    /// What it means for the node. Only in the handshake the password is sent, and so only here
    /// something may repeat it.
    pub(crate) fn told(&self, password: Option<&str>) -> DialError {
        let text = self.text();
        let words = printable(&hide(&text, password));
        // By what was said, and not by what is shown of it. Other errors may have the same words,
        // in the name of a certificate for example.
        let rejected = match decode::refusal(&text).0 {
            _ if !self.is_of_server() => self.error.kind() == ErrorKind::InvalidClientConfig,
            Reply::NotApplied(refusal) => matches!(refusal, Refusal::Rejected(_)),
            _ => needs_a_hand(&text),
        };
        match rejected {
            true => DialError::Rejected(words),
            false => DialError::Unavailable(words),
        }
    }

    fn is_of_server(&self) -> bool {
        self.has_words() || self.error.code().is_some()
    }

    /// Whether the server said why.
    pub(crate) const fn has_words(&self) -> bool {
        self.said.is_some()
    }

    fn text(&self) -> String {
        match &self.said {
            Some(said) => said.clone(),
            None => decode::error_text(&self.error),
        }
    }
}

/// Whether a refusal without a code of its own stays until somebody changes something: who we are,
/// or the database that we ask for.
fn needs_a_hand(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let signs = [
        "password",
        "username",
        "db index",
        "not allowed in cluster mode",
    ];
    text.starts_with("DENIED") || signs.iter().any(|sign| lower.contains(sign))
}

/// Makes the handshake on a stream.
pub(crate) async fn greet(
    stream: Box<dyn ByteStream>,
    settings: &RedisConnectionInfo,
    protocol: ProtocolVersion,
) -> Result<Connected, Refused> {
    let settings = settings
        .clone()
        .set_protocol(protocol)
        .set_lib_name("tenure-redis", env!("CARGO_PKG_VERSION"));
    // No timeouts here: the link notices silence for all requests at once, on its own clock.
    let mailbox = Mailbox::default();
    let letters = mailbox.clone();
    let mut config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None)
        .set_pipeline_buffer_size(BUFFERED);
    // The older protocol has no pushes.
    if protocol != ProtocolVersion::RESP2 {
        config = config.set_push_sender(move |push| {
            letters.put(push);
            Ok::<_, Infallible>(())
        });
    }
    let ear = Ear::default();
    let stream = Overheard {
        stream,
        ear: Some(ear.clone()),
    };
    match MultiplexedConnection::new_with_config(&settings, stream, config).await {
        Ok((connection, io)) => Ok(Connected {
            connection: Arc::new(DialledConnection::new(connection)),
            io: Some(Box::pin(io)),
            round_trip: Duration::ZERO,
            mailbox,
            ear: Some(ear),
            lookout: None,
            acknowledger: None,
        }),
        Err(error) => Err(Refused {
            error,
            said: ear.refusal(&settings),
        }),
    }
}

/// Hears what a server says on one connection, until it is taken away.
#[derive(Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    /// The server says no more.
    ended: bool,
    /// The connection serves.
    taken_away: bool,
}

impl Ear {
    /// Hears no more. Gives the words with which the server hung up, if it has, without this
    /// password.
    pub(crate) fn take_away(self, password: Option<&str>) -> Option<String> {
        let last_words = self.last_words().map(|text| hide(&text, password));
        let mut heard = self.lock();
        heard.taken_away = true;
        heard.bytes = Vec::new();
        last_words
    }

    fn last_words(&self) -> Option<String> {
        let ended = self.lock().ended;
        let last = ended.then(|| self.said().pop()).flatten();
        error_of(&last?).filter(|text| !is_tolerated(text))
    }

    /// The words with which the server refused the handshake with these settings, or hung up.
    fn refusal(&self, settings: &RedisConnectionInfo) -> Option<String> {
        let protocol = settings.protocol();
        let names_itself = protocol != ProtocolVersion::RESP2 || settings.password().is_some();
        // What comes behind these cannot fail: it names the client.
        let decisive = usize::from(names_itself) + usize::from(settings.db() != 0);
        let mut said = self.said();
        let knows_no_users = "wrong number of arguments for 'auth' command";
        let first = said.first().and_then(error_of);
        if names_itself && first.is_some_and(|text| text.contains(knows_no_users)) {
            // redis-rs has asked once more, without a user.
            let once = said.len().min(decisive + 2);
            said.drain(..once);
        }
        let refused = said.iter().take(decisive).find_map(error_of);
        refused.or_else(|| self.last_words())
    }

    /// All that the server has said.
    fn said(&self) -> Vec<Value> {
        let heard = self.lock();
        let (mut rest, mut parser) = (heard.bytes.as_slice(), Parser::new());
        std::iter::from_fn(|| parser.parse_value(&mut rest).ok()).collect()
    }

    /// Whether it hears anything more.
    fn hear(&self, bytes: &[u8]) -> bool {
        let mut heard = self.lock();
        let room = HEARD - heard.bytes.len();
        if !heard.taken_away {
            heard.bytes.extend(bytes.iter().take(room));
        }
        !heard.taken_away
    }

    fn end(&self) {
        self.lock().ended = true;
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection goes on after this error: a client's name that an older server does not
/// want to hear, what the user may not ask, what the server does not know, and the end of a
/// connection that has ended. So nobody hangs up with it.
fn is_tolerated(text: &str) -> bool {
    let refused = || decode::refusal(text).0;
    let of_the_login = || matches!(text.split(' ').next(), Some("NOAUTH" | "WRONGPASS"));
    text.to_ascii_lowercase().contains("setinfo")
        || text.contains("No such client")
        || (matches!(refused(), Reply::NotApplied(Refusal::Rejected(_))) && !of_the_login())
}

fn error_of(value: &Value) -> Option<String> {
    match value {
        Value::ServerError(error) => Some(decode::server_text(error)),
        _ => None,
    }
}

/// A stream with an ear on it.
struct Overheard {
    stream: Box<dyn ByteStream>,
    ear: Option<Ear>,
}

impl Overheard {
    /// A server that says why and hangs up may have done so before it is written to. What it said
    /// can still be read, and nobody else will.
    fn listen_once_more<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let (Poll::Ready(Err(_)), Some(_)) = (&written, &self.ear) {
            let mut room = [0; 512];
            for _ in 0..HEARD / room.len() {
                let mut buf = ReadBuf::new(&mut room);
                let read = Pin::new(&mut *self).poll_read(cx, &mut buf);
                if !matches!(read, Poll::Ready(Ok(()))) || buf.filled().is_empty() {
                    break;
                }
            }
            if let Some(ear) = &self.ear {
                ear.end();
            }
        }
        written
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let (Some(ear), Poll::Ready(result)) = (&this.ear, &read) {
            let bytes = &buf.filled()[before..];
            if result.is_err() || (bytes.is_empty() && room > 0) {
                ear.end();
            }
            if !ear.hear(bytes) {
                this.ear = None;
            }
        }
        read
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.listen_once_more(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.listen_once_more(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.listen_once_more(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a server that says this once it has greeted, and hangs up.
    fn told(said: &str) -> Option<String> {
        let ear = Ear::default();
        ear.hear(b"+OK\r\n");
        ear.hear(format!("-{said}\r\n").as_bytes());
        ear.end();
        ear.take_away(Some("pa55word"))
    }

    #[test]
    fn the_words_with_which_a_server_hangs_up_show_no_password() {
        let words = told("ERR no backend for user:pa55word").expect("words");
        assert_eq!(words, "ERR no backend for user:…");
    }

    #[test]
    fn an_answer_that_ends_nothing_is_not_why_a_server_hung_up() {
        for tolerated in [
            "ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.",
            "NOPERM this user has no permissions to run the 'config|get' command",
            "ERR unknown command 'CONFIG', with args beginning with: 'GET'",
            "ERR No such client",
        ] {
            assert_eq!(told(tolerated), None, "{tolerated}");
        }
        for reason in [
            "ERR max number of clients reached",
            "NOAUTH Authentication required.",
            "LOADING Redis is loading the dataset in memory",
        ] {
            assert_eq!(told(reason).as_deref(), Some(reason));
        }
    }
}
