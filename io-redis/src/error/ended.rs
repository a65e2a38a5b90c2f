//! The end of a client, for all operations that find it ended.

use std::fmt;

use crate::error::silent::SilentNode;

/// What to do about a runtime that has ended.
const RUNTIME_ENDED: &str = "the tokio runtime that the client was built on has ended: \
    build it where it is used, or with `Builder::own_thread`";

/// Why nothing can be asked of a client any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was closed.
    Closed,
    /// Its tasks do not run any more.
    RuntimeEnded(RuntimeEnd),
}

/// Why the tasks of a client do not run any more, although it was not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeEnd {
    /// The tokio runtime that the client was built on has ended.
    Ended,
    /// A task of the client's panicked. Most likely its runtime has no timers or no I/O, which
    /// tokio tells by a panic, or a connection of the program's own panicked. What was half done
    /// then is not known, so the whole client ends, over several nodes too.
    Panicked {
        /// The message of the panic, in one line and without passwords and tokens.
        message: String,
    },
}

impl fmt::Display for RuntimeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str(RUNTIME_ENDED),
            Self::Panicked { message } => write!(
                f,
                "the client has ended, since one of its tasks panicked: {}. Mend the cause, and \
                 build the client anew",
                message.trim_end_matches('.')
            ),
        }
    }
}

impl Ended {
    /// Why there was no answer to what had been asked before.
    pub(crate) fn unanswered(self) -> Vec<SilentNode> {
        SilentNode::this_process(match self {
            Self::Closed => "the client was closed before it was answered".to_owned(),
            Self::RuntimeEnded(why) => format!("it was not answered: {why}"),
        })
    }
}
