//! What one lock costs a server, alone in its command and with others.
//!
//! The commands are written 125 at a time, or one for 125 locks, so that the system calls of a
//! write are shared by as many locks in both cases.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};
use support::clients::DELETE_IF_OURS;
use support::servers::Servers;
use tenure_core::OpKind;
use tenure_redis::seams::{Fences, Script};
use tenure_tests::scripts::{Lock, STREAM, call};

use crate::Effort;

/// How many locks are written at a time.
const LOCKS: usize = 125;
/// How often, in one turn.
const WRITES: usize = 60;

/// What is done to locks.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// `SET NX PX`: takes it, and draws no fence.
    Set,
    /// A script that compares and deletes.
    Delete,
    /// `SET NX PX`, and an `XADD` that draws a fence.
    Native,
    /// A script of this crate.
    Script(OpKind),
}

/// What a row is called, what is done, and whether many locks can share a command. They come one
/// after the other: what one takes, another gives back.
const ROWS: [(&str, Act, bool); 7] = [
    ("`SET NX PX`, without a fence", Act::Set, false),
    ("compare and delete, as others do", Act::Delete, false),
    ("`SET NX PX` and `XADD` (one for all)", Act::Native, true),
    ("the script `release`", Act::Script(OpKind::Release), true),
    ("the script `acquire`", Act::Script(OpKind::Acquire), true),
    ("the script `renew`", Act::Script(OpKind::Renew), true),
    ("the script `release`", Act::Script(OpKind::Release), true),
];

/// Microseconds of a server's processor for a lock.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) label: &'static str,
    /// In a command of its own.
    pub(crate) alone: Vec<f64>,
    /// With 124 others. None if there is no such command.
    pub(crate) together: Vec<f64>,
}

/// Measures all rows.
pub(crate) async fn measure(servers: &mut Servers, effort: Effort) -> Vec<Cost> {
    let mut link = servers.connection();
    let hashes = Hashes::load(&mut link).await;
    let mut create = redis::cmd("XADD");
    create.arg(STREAM).arg("*").arg("").arg("");
    let _: String = create.query_async(&mut link).await.expect("it answers");
    let mut costs: Vec<Cost> = ROWS
        .iter()
        .map(|(label, _, _)| Cost {
            label,
            alone: Vec::new(),
            together: Vec::new(),
        })
        .collect();
    for _ in 0..effort.rounds {
        for together in [false, true] {
            for (row, (_, act, shares)) in ROWS.iter().enumerate() {
                let spent = turn(servers, &mut link, &hashes, *act, together && *shares).await;
                match together {
                    false => costs[row].alone.push(spent),
                    true if *shares => costs[row].together.push(spent),
                    true => {}
                }
            }
        }
    }
    // The first of the two only makes room for what comes behind it.
    costs.remove(3);
    costs
}

/// Does it to all locks. Returns the microseconds of the server's processor for one.
async fn turn(
    servers: &mut Servers,
    link: &mut MultiplexedConnection,
    hashes: &Hashes,
    act: Act,
    together: bool,
) -> f64 {
    let mut writes = Vec::with_capacity(WRITES);
    for write in 0..WRITES {
        writes.push(commands(hashes, act, together, &of_a_write(write)));
    }
    let before = servers.ask().await;
    for commands in &writes {
        let answers: Vec<Value> = commands.query_async(link).await.expect("it answers");
        answers.iter().for_each(|answer| check(act, answer));
    }
    let spent = servers.ask().await.since(&before).cpu;
    spent / (WRITES * LOCKS) as f64
}

fn of_a_write(write: usize) -> Vec<Lock> {
    let lock = |number| {
        let key = format!("bench:{write:04}:{number:04}");
        Lock {
            counter: format!("{key}:tenure:fence:{{{key}}}"),
            token: format!("{write:016x}{number:016x}:1"),
            ttl: "60000".to_owned(),
            proposal: "0".to_owned(),
            hints: "0".to_owned(),
            fence: "0".to_owned(),
            queue: format!("{key}:tenure:queue:{{{key}}}"),
            place: String::new(),
            seen: String::new(),
            serial: "0".to_owned(),
            key,
        }
    };
    (0..LOCKS).map(lock).collect()
}

fn commands(hashes: &Hashes, act: Act, together: bool, locks: &[Lock]) -> Pipeline {
    let mut commands = redis::pipe();
    let set = |lock: &Lock| {
        let mut set = redis::cmd("SET");
        let words = [&lock.key, &lock.token, "NX", "PX", "30000"];
        set.arg(&words);
        set
    };
    match act {
        Act::Set => locks.iter().for_each(|lock| {
            commands.add_command(set(lock));
        }),
        Act::Native => {
            for (number, lock) in locks.iter().enumerate() {
                commands.add_command(set(lock));
                if !together || number + 1 == locks.len() {
                    commands.add_command(draw());
                }
            }
        }
        Act::Delete => locks.iter().for_each(|lock| {
            let words = ["EVALSHA", &hashes.delete, "1", &lock.key, &lock.token];
            commands.add_command(command(&words));
        }),
        Act::Script(kind) => {
            for call in locks.chunks(if together { LOCKS } else { 1 }) {
                commands.add_command(hashes.call(kind, call));
            }
        }
    }
    commands
}

/// Draws a fence from the stream.
fn draw() -> Cmd {
    let words = ["XADD", STREAM, "NOMKSTREAM", "MAXLEN", "0", "*", "", ""];
    command(&words)
}

fn command(words: &[impl AsRef<str>]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word.as_ref());
    }
    command
}

/// What is answered when all goes well. Otherwise something else is measured.
fn check(act: Act, answer: &Value) {
    let well = match act {
        Act::Set | Act::Native => matches!(answer, Value::Okay | Value::BulkString(_)),
        Act::Delete => matches!(answer, Value::Int(1)),
        Act::Script(OpKind::Acquire) => {
            let said = format!("{answer:?}");
            said.contains("granted") && !said.contains("held")
        }
        // The failures only.
        Act::Script(_) => matches!(answer, Value::Array(failed) if failed.is_empty()),
    };
    assert!(well, "{act:?}: {answer:?}");
}

/// The names by which the server knows the scripts.
struct Hashes {
    delete: String,
    scripts: Vec<(OpKind, String)>,
}

impl Hashes {
    async fn load(link: &mut MultiplexedConnection) -> Self {
        let mut scripts = Vec::new();
        for kind in [OpKind::Acquire, OpKind::Renew, OpKind::Release] {
            scripts.push((
                kind,
                load(link, Script::asking(kind, Fences::Stream).text()).await,
            ));
        }
        Self {
            delete: load(link, DELETE_IF_OURS).await,
            scripts,
        }
    }

    fn call(&self, kind: OpKind, locks: &[Lock]) -> Cmd {
        let mut words = call(Script::asking(kind, Fences::Stream), locks, None);
        let known = self.scripts.iter().find(|(of, _)| *of == kind);
        words[0] = "EVALSHA".to_owned();
        words[1].clone_from(&known.expect("it was loaded").1);
        command(&words)
    }
}

async fn load(link: &mut MultiplexedConnection, text: &str) -> String {
    let loaded = command(&["SCRIPT", "LOAD", text]).query_async(link).await;
    loaded.expect("a script is loaded")
}
