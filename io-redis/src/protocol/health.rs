//! What a node is asked by a check, and what it said: how it is set up, and which of the rights
//! that locks work without its user has not.

use redis::{Cmd, Value};
use tenure_core::{ServerTime, Words};

use crate::protocol::decode::{self, CommandResult};
use crate::protocol::scripts::Command;
use crate::protocol::words::printable;

/// A setting of a server that a check reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    AppendFsync,
    MinReplicas,
    OutputBuffers,
    TrackingTable,
}

impl Setting {
    const ALL: [Self; 4] = [
        Self::AppendFsync,
        Self::MinReplicas,
        Self::OutputBuffers,
        Self::TrackingTable,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::AppendFsync => "appendfsync",
            Self::MinReplicas => "min-replicas-to-write",
            Self::OutputBuffers => "client-output-buffer-limit",
            Self::TrackingTable => "tracking-table-max-keys",
        }
    }
}

/// A right that locks work without, with what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    /// As an ACL names it.
    pub(crate) name: &'static str,
    /// What happens without it.
    pub(crate) without: &'static str,
    words: &'static [&'static str],
}

/// In the order in which they are tried. Each command is wrong in its arguments or does nothing,
/// so that nothing but the right is tried.
const RIGHTS: &[Right] = &[
    Right {
        name: "client|kill",
        without: "a request on a connection that was given up may be run after those of the next",
        words: &["CLIENT", "KILL", "ID", "0"],
    },
    Right {
        name: "ping",
        without: "an idle connection that has died is found out by the next request",
        words: &["PING"],
    },
    Right {
        name: "eval",
        without: "a server that forgets its scripts refuses each request until it is loaded again",
        words: &["EVAL", "return 0", "0"],
    },
    Right {
        name: "client|tracking",
        without: "a lock that somebody deletes is found out by the next renewal only",
        words: &["CLIENT", "TRACKING", "MAYBE"],
    },
    Right {
        name: "client|caching",
        without: "a lock that somebody deletes is found out by the next renewal only",
        words: &["CLIENT", "CACHING", "MAYBE"],
    },
];

/// What stands in for the pushes of a node.
const PUSHES: [(Command, &str, &str); 2] = [
    (
        Command::Publish,
        "publish",
        "who is handed a lock is not told, and finds out after two thirds of a TTL",
    ),
    (
        Command::Pubsub,
        "pubsub|numsub",
        "a lock may be handed to a waiter whose process has died",
    ),
];

/// What a node said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    /// The text of `INFO`, or why there is none.
    pub(crate) info: Result<String, Words>,
    settings: Vec<Result<Option<String>, Words>>,
    pub(crate) time: Option<ServerTime>,
    /// What its user may not do, with what happens without it, and the server's words.
    pub(crate) refused: Vec<(&'static str, &'static str, Words)>,
}

/// The commands of a check. `unused` is a key that never exists.
pub(crate) fn commands(unused: &[u8]) -> Vec<Cmd> {
    let command = |words: &[&str]| {
        let mut cmd = Cmd::new();
        words.iter().for_each(|word| {
            cmd.arg(word);
        });
        cmd
    };
    let mut commands = vec![command(&["INFO"])];
    let settings = Setting::ALL.iter();
    commands.extend(settings.map(|setting| command(&["CONFIG", "GET", setting.name()])));
    commands.extend(RIGHTS.iter().map(|right| command(right.words)));
    let pushes = PUSHES.iter();
    commands.extend(pushes.map(|(command, ..)| command.probe(unused)));
    // Last, since the last answer speaks for the node: everybody who takes locks may ask this.
    commands.push(command(&["TIME"]));
    commands
}

/// The answers to [`commands`].
pub(crate) fn health(results: Vec<CommandResult>) -> Health {
    let mut results = results.into_iter();
    let mut next = || results.next().unwrap_or_else(|| Err(decode::miscounted()));
    let info = said(next()).map(|value| {
        let bytes = decode::bytes(&value).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    });
    let settings = Setting::ALL.iter().map(|_| said(next()).map(setting));
    let settings = settings.collect();
    let rights = RIGHTS.iter().map(|right| (right.name, right.without));
    let pushes = PUSHES.iter();
    let pushes = pushes.map(|(_, name, without)| (*name, *without));
    let refused = rights.chain(pushes).filter_map(|(name, without)| {
        let words = said(next()).err()?;
        decode::is_refusal(&words).then_some((name, without, words))
    });
    let refused = refused.collect();
    let time = said(next()).ok().and_then(|value| decode::time(&value));
    Health {
        info,
        settings,
        time,
        refused,
    }
}

fn said(result: CommandResult) -> Result<Value, Words> {
    match result {
        Ok(Value::ServerError(error)) => Err(printable(&decode::server_text(&error))),
        Ok(value) => Ok(value),
        Err(error) => Err(printable(&decode::error_text(&error))),
    }
}

/// The value of a setting; none if the server has no such setting.
fn setting(value: Value) -> Option<String> {
    let value = match value {
        Value::Map(pairs) => pairs.into_iter().next().map(|(_, value)| value),
        Value::Array(parts) => parts.into_iter().nth(1),
        _ => None,
    }?;
    let bytes = decode::bytes(&value)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

impl Health {
    /// A field of `INFO`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let info = self.info.as_deref().ok()?;
        let of = |line: &'_ str| -> Option<usize> {
            let (known, _) = line.split_once(':')?;
            (known == name).then_some(known.len() + 1)
        };
        let mut lines = info.lines();
        lines.find_map(|line| of(line).map(|at| line[at..].trim_end()))
    }

    /// … that is a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// A setting, as `CONFIG GET` has it; none if the server has none such; or why it is not told.
    pub(crate) fn setting(&self, setting: Setting) -> Result<Option<&str>, &Words> {
        let at = Setting::ALL.iter().position(|known| *known == setting);
        match at.and_then(|at| self.settings.get(at)) {
            Some(Ok(value)) => Ok(value.as_deref()),
            Some(Err(words)) => Err(words),
            None => Ok(None),
        }
    }
}
