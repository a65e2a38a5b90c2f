//! Words that are replaced for as long as a test likes: of commands on their way to the server, and
//! of replies on their way back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::faults::Command;

/// What is made of one command and of its reply.
pub enum Rewrite {
    /// The server never sees it, and the client reads this reply: a line such as `-ERR no`.
    Refuse(String),
    /// The server never sees it, and both connections are closed.
    HangUp,
    /// The server is given these words instead, and its reply goes back.
    Command(Vec<Vec<u8>>),
    /// The server applies it, and the client reads this reply instead of the server's: a line.
    Answer(String),
    /// The server applies it, and the client reads what the function makes of the bytes of the
    /// reply.
    Reply(Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>),
}

impl Rewrite {
    /// [`Command`](Self::Command) with these words.
    pub fn command<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::Command(words.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// What the client reads instead of this reply.
    pub(super) fn reply(self, frame: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Refuse(line) | Self::Answer(line) => format!("{line}\r\n").into_bytes(),
            Self::Reply(function) => function(frame),
            Self::HangUp | Self::Command(_) => frame,
        }
    }
}

impl fmt::Debug for Rewrite {
    /// Without words: a password or a token may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse(_) => "Refuse",
            Self::HangUp => "HangUp",
            Self::Command(_) => "Command",
            Self::Answer(_) => "Answer",
            Self::Reply(_) => "Reply",
        })
    }
}

/// Refuses every second command of this name with this line, the second first.
pub fn every_second(
    name: &str,
    line: &str,
) -> impl FnMut(&Command) -> Option<Rewrite> + Send + 'static {
    let (name, line, mut odd) = (name.to_owned(), line.to_owned(), false);
    move |command| {
        if !command.is(&name) {
            return None;
        }
        odd = !odd;
        (!odd).then(|| Rewrite::Refuse(line.clone()))
    }
}

/// A rewriter that a test has added, as the test sees it. When this is dropped, it goes on.
#[must_use = "a rewriter that nothing met proves nothing: look at `count`"]
#[derive(Debug)]
pub struct Rewriting {
    shared: Arc<Shared>,
}

impl Rewriting {
    /// How many commands it has rewritten.
    pub fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Ends it. Commands that it has met keep what it made of them.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    count: AtomicUsize,
}

/// What is made of a command, if anything.
type Function = dyn FnMut(&Command) -> Option<Rewrite> + Send;

/// A rewriter that is asked about commands.
pub(super) struct Rewriter {
    function: Box<Function>,
    shared: Arc<Shared>,
}

pub(super) fn begin(
    function: impl FnMut(&Command) -> Option<Rewrite> + Send + 'static,
) -> (Rewriter, Rewriting) {
    let shared = Arc::new(Shared::default());
    let rewriter = Rewriter {
        function: Box::new(function),
        shared: Arc::clone(&shared),
    };
    (rewriter, Rewriting { shared })
}

impl Rewriter {
    pub(super) fn goes_on(&self) -> bool {
        !self.shared.stopped.load(Ordering::SeqCst)
    }

    pub(super) fn rewrite(&mut self, command: &Command) -> Option<Rewrite> {
        let rewrite = (self.function)(command)?;
        self.shared.count.fetch_add(1, Ordering::SeqCst);
        Some(rewrite)
    }
}
