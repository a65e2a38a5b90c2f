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
    FsyncRests,
    MinReplicas,
    OutputBuffers,
    TrackingTable,
}

impl Setting {
    const ALL: [Self; 5] = [
        Self::AppendFsync,
        Self::FsyncRests,
        Self::MinReplicas,
        Self::OutputBuffers,
        Self::TrackingTable,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::AppendFsync => "appendfsync",
            Self::FsyncRests => "no-appendfsync-on-rewrite",
            Self::MinReplicas => "min-replicas-to-write",
            Self::OutputBuffers => "client-output-buffer-limit",
            Self::TrackingTable => "tracking-table-max-keys",
        }
    }
}

/// A right that locks work without, with what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Right {
    /// As an ACL names it.
    name: &'static str,
    /// What happens without it.
    without: &'static str,
    /// Behind them comes the key that never exists, if there is only one.
    words: &'static [&'static str],
}

const OLD_REQUESTS: &str =
    "a request on a connection that was given up may be run after those of the next";
const LATE_LOSS: &str = "a lock that somebody deletes is found out by the next renewal only";

/// In the order in which they are tried. Each command is wrong in its arguments or does nothing,
/// so that nothing but the right is tried. (`CLIENT KILL ID 0` kills everybody before Redis 7.)
const RIGHTS: &[Right] = &[
    Right {
        name: "client|id",
        without: OLD_REQUESTS,
        words: &["CLIENT", "ID"],
    },
    Right {
        name: "client|kill",
        without: OLD_REQUESTS,
        words: &["CLIENT", "KILL", "ID", "NONE"],
    },
    Right {
        name: "ping",
        without: "an idle connection that has died is found out by the next request",
        words: &["PING", "PONG"],
    },
    Right {
        name: "eval",
        without: "a server that forgets its scripts refuses each request until it is loaded again",
        words: &["EVAL", "return 0", "0"],
    },
    Right {
        name: "client|tracking",
        without: LATE_LOSS,
        words: &["CLIENT", "TRACKING", "MAYBE"],
    },
    Right {
        name: "client|caching",
        without: LATE_LOSS,
        words: &["CLIENT", "CACHING", "MAYBE"],
    },
    Right {
        name: "mget",
        without: LATE_LOSS,
        words: &["MGET"],
    },
];

/// The right without which no replica can be asked what it has, and a command that only tries it.
const WAIT: &[&str] = &["WAIT", "NONE", "1"];

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
    /// The server's words, if its user may not wait for replicas, and was to.
    pub(crate) cannot_wait: Option<Words>,
}

/// The commands of a check. `unused` is a key that never exists; `waits`: whether grants are to be
/// acknowledged by replicas.
pub(crate) fn commands(unused: &[u8], waits: bool) -> Vec<Cmd> {
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
    commands.extend(RIGHTS.iter().map(|right| {
        let mut tried = command(right.words);
        if let [_] = right.words {
            tried.arg(unused);
        }
        tried
    }));
    let pushes = PUSHES.iter();
    commands.extend(pushes.map(|(command, ..)| command.probe(unused)));
    commands.extend(waits.then(|| command(WAIT)));
    // Last, since the last answer speaks for the node: everybody who takes locks may ask this.
    commands.push(command(&["TIME"]));
    commands
}

/// The answers to [`commands`].
pub(crate) fn health(results: Vec<CommandResult>, waits: bool) -> Health {
    let mut results = results.into_iter();
    let mut next = || results.next().unwrap_or_else(|| Err(decode::miscounted()));
    let info = said(next()).and_then(|value| match decode::bytes(&value) {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        // Each server of a cluster has its own.
        None => Err(Words::fixed(
            "the connection leads to several servers: check each with a client of its own",
        )),
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
    let cannot_wait = waits.then(&mut next).and_then(|waited| said(waited).err());
    let cannot_wait = cannot_wait.filter(decode::is_refusal);
    let time = said(next()).ok().and_then(|value| decode::time(&value));
    Health {
        info,
        settings,
        time,
        refused,
        cannot_wait,
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

/// Whether a server keeps every write that it has answered, as far as its file goes: `info` has the
/// fields of `INFO`, and the others are settings.
pub(crate) fn keeps_writes<'a>(
    info: impl Fn(&str) -> Option<&'a str>,
    fsync: Option<&str>,
    fsync_rests: Option<&str>,
) -> bool {
    fsync == Some("always")
        && fsync_rests == Some("no")
        && info("aof_enabled") == Some("1")
        && info("aof_last_write_status") == Some("ok")
        && info("aof_last_bgrewrite_status") == Some("ok")
}

/// Whether nobody could take over for a server and lack what it has answered: it is a primary
/// without replicas, and was none itself.
pub(crate) fn is_alone<'a>(info: impl Fn(&str) -> Option<&'a str>) -> bool {
    let no_id = |id: &str| id.bytes().all(|digit| digit == b'0');
    info("role") == Some("master")
        && info("connected_slaves") == Some("0")
        && info("master_replid2").is_some_and(no_id)
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
