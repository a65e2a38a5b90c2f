//! The table of commands: name, arity, flags and keys, as `COMMAND INFO` of Redis 7.0 lists them.

mod admin;
pub(crate) mod channels;
pub(crate) mod client;
mod config;
mod connection;
mod expiry;
mod hashes;
mod info;
mod keys;
mod sorted;
mod streams;
mod strings;

use super::reply::Reply;
use super::state::{Ctx, Outcome, Reject, State};

pub(crate) const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
pub(crate) const READONLY_REPLICA: &str = "READONLY You can't write against a read only replica.";

/// May change data: refused by a replica.
pub(crate) const WRITE: u16 = 1;
/// May need memory: refused when the server is out of it.
pub(crate) const DENYOOM: u16 = 1 << 1;
/// Reads only.
pub(crate) const READONLY: u16 = 1 << 2;
/// Not to be called from a script.
pub(crate) const NOSCRIPT: u16 = 1 << 3;
/// Also served while the data set is loaded.
pub(crate) const LOADING: u16 = 1 << 4;
/// Served before authentication.
pub(crate) const NO_AUTH: u16 = 1 << 5;
/// May be run by a connection that listens, in RESP2 too.
pub(crate) const LISTENING: u16 = 1 << 7;
/// Writes nothing, but a script that may not write must not call it.
pub(crate) const REPLICATED: u16 = 1 << 8;
/// Has subcommands, each counted on its own.
pub(crate) const CONTAINER: u16 = 1 << 6;

#[derive(Clone, Copy)]
pub(crate) enum Run {
    State(fn(&mut State, &mut Ctx<'_>) -> Outcome),
    Scripts(Scripting),
}

/// The commands that need the scripts of the server, which `script` carries out.
#[derive(Clone, Copy)]
pub(crate) enum Scripting {
    Eval { read_only: bool },
    EvalSha { read_only: bool },
    Script,
}

pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Counts the name; negative means *at least*.
    pub(crate) arity: i32,
    pub(crate) flags: u16,
    /// First key, last key (negative from the end), step.
    keys: (i64, i64, i64),
    pub(crate) run: Run,
}

impl Command {
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The keys that a request of this command names.
    pub(crate) fn keys_of<'a>(
        &self,
        argv: &'a [Vec<u8>],
    ) -> impl Iterator<Item = &'a Vec<u8>> + use<'a> {
        let (first, last, step) = self.keys;
        let end = if last < 0 {
            argv.len() as i64 + last
        } else {
            last
        };
        // No keys are written as zeros: what begins at the name of the command ends there.
        let range = if first == 0 { 0..0 } else { first..end + 1 };
        let places = range.step_by(step.max(1) as usize);
        places.filter_map(|at| argv.get(usize::try_from(at).ok()?))
    }

    pub(crate) fn accepts(&self, args: usize) -> bool {
        let args = i32::try_from(args).unwrap_or(i32::MAX);
        if self.arity < 0 {
            args >= -self.arity
        } else {
            args == self.arity
        }
    }
}

/// The command of this name, in any case of letters.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

const NO_KEYS: (i64, i64, i64) = (0, 0, 0);
const ONE: (i64, i64, i64) = (1, 1, 1);
const ALL: (i64, i64, i64) = (1, -1, 1);
const WD: u16 = WRITE | DENYOOM;
const ANYTIME: u16 = NOSCRIPT | LOADING | NO_AUTH;

const EVAL: Scripting = Scripting::Eval { read_only: false };
const EVAL_RO: Scripting = Scripting::Eval { read_only: true };
const EVALSHA: Scripting = Scripting::EvalSha { read_only: false };
const EVALSHA_RO: Scripting = Scripting::EvalSha { read_only: true };

macro_rules! commands {
    ($($name:literal $arity:literal $flags:expr, $keys:expr, $kind:ident $handler:path;)*) => {
        &[$(Command {
            name: $name,
            arity: $arity,
            flags: $flags,
            keys: $keys,
            run: Run::$kind($handler),
        }),*]
    };
}

pub(crate) static COMMANDS: &[Command] = commands! {
    "append" 3 WD, ONE, State strings::append;
    "auth" -2 ANYTIME, NO_KEYS, State connection::auth;
    "client" -2 NOSCRIPT | LOADING | CONTAINER, NO_KEYS, State client::client;
    "command" -1 LOADING | CONTAINER, NO_KEYS, State command;
    "config" -2 NOSCRIPT | LOADING | CONTAINER, NO_KEYS, State config::config;
    "dbsize" 1 READONLY, NO_KEYS, State admin::dbsize;
    "decr" 2 WD, ONE, State strings::decr;
    "decrby" 3 WD, ONE, State strings::decrby;
    "del" -2 WRITE, ALL, State keys::del;
    "echo" 2 LOADING, NO_KEYS, State connection::echo;
    "eval" -3 NOSCRIPT, NO_KEYS, Scripts EVAL;
    "eval_ro" -3 NOSCRIPT | READONLY, NO_KEYS, Scripts EVAL_RO;
    "evalsha" -3 NOSCRIPT, NO_KEYS, Scripts EVALSHA;
    "evalsha_ro" -3 NOSCRIPT | READONLY, NO_KEYS, Scripts EVALSHA_RO;
    "exists" -2 READONLY, ALL, State keys::exists;
    "expire" -3 WRITE, ONE, State expiry::expire;
    "expireat" -3 WRITE, ONE, State expiry::expireat;
    "expiretime" 2 READONLY, ONE, State expiry::expiretime;
    "flushall" -1 WRITE, NO_KEYS, State admin::flushall;
    "flushdb" -1 WRITE, NO_KEYS, State admin::flushdb;
    "get" 2 READONLY, ONE, State strings::get;
    "getdel" 2 WRITE, ONE, State strings::getdel;
    "getex" -2 WRITE, ONE, State strings::getex;
    "getset" 3 WD, ONE, State strings::getset;
    "hdel" -3 WRITE, ONE, State hashes::hdel;
    "hello" -1 ANYTIME, NO_KEYS, State connection::hello;
    "hexists" 3 READONLY, ONE, State hashes::hexists;
    "hget" 3 READONLY, ONE, State hashes::hget;
    "hgetall" 2 READONLY, ONE, State hashes::hgetall;
    "hlen" 2 READONLY, ONE, State hashes::hlen;
    "hset" -4 WD, ONE, State hashes::hset;
    "incr" 2 WD, ONE, State strings::incr;
    "incrby" 3 WD, ONE, State strings::incrby;
    "info" -1 LOADING, NO_KEYS, State info::info;
    "keys" 2 READONLY, NO_KEYS, State keys::keys;
    "mget" -2 READONLY, ALL, State strings::mget;
    "mset" -3 WD, (1, -1, 2), State strings::mset;
    "persist" 2 WRITE, ONE, State expiry::persist;
    "pexpire" -3 WRITE, ONE, State expiry::pexpire;
    "pexpireat" -3 WRITE, ONE, State expiry::pexpireat;
    "pexpiretime" 2 READONLY, ONE, State expiry::pexpiretime;
    "ping" -1 LISTENING, NO_KEYS, State connection::ping;
    "psetex" 4 WD, ONE, State strings::psetex;
    "pttl" 2 READONLY, ONE, State expiry::pttl;
    "publish" 3 LOADING | REPLICATED, NO_KEYS, State channels::publish;
    "pubsub" -2 LOADING | CONTAINER, NO_KEYS, State channels::pubsub;
    "quit" -1 ANYTIME | LISTENING, NO_KEYS, State connection::quit;
    "reset" 1 ANYTIME | LISTENING, NO_KEYS, State connection::reset;
    "role" 1 NOSCRIPT | LOADING, NO_KEYS, State admin::role;
    "scan" -2 READONLY, NO_KEYS, State keys::scan;
    "script" -2 NOSCRIPT | CONTAINER, NO_KEYS, Scripts Scripting::Script;
    "select" 2 LOADING, NO_KEYS, State connection::select;
    "set" -3 WD, ONE, State strings::set;
    "setex" 4 WD, ONE, State strings::setex;
    "setnx" 3 WD, ONE, State strings::setnx;
    "strlen" 2 READONLY, ONE, State strings::strlen;
    "subscribe" -2 NOSCRIPT | LOADING | LISTENING, NO_KEYS, State channels::subscribe;
    "time" 1 LOADING, NO_KEYS, State admin::time;
    "touch" -2 READONLY, ALL, State keys::exists;
    "ttl" 2 READONLY, ONE, State expiry::ttl;
    "type" 2 READONLY, ONE, State keys::type_;
    "unlink" -2 WRITE, ALL, State keys::del;
    "unsubscribe" -1 NOSCRIPT | LOADING | LISTENING, NO_KEYS, State channels::unsubscribe;
    "wait" 3 NOSCRIPT, NO_KEYS, State admin::wait;
    "xadd" -5 WD, ONE, State streams::xadd;
    "xlen" 2 READONLY, ONE, State streams::xlen;
    "zadd" -4 WD, ONE, State sorted::zadd;
    "zcard" 2 READONLY, ONE, State sorted::zcard;
    "zcount" 4 READONLY, ONE, State sorted::zcount;
    "zmscore" -3 READONLY, ONE, State sorted::zmscore;
    "zrange" -4 READONLY, ONE, State sorted::zrange;
    "zrank" 3 READONLY, ONE, State sorted::zrank;
    "zrem" -3 WRITE, ONE, State sorted::zrem;
    "zscore" 3 READONLY, ONE, State sorted::zscore;
};

/// `COMMAND`, `COMMAND COUNT` and `COMMAND INFO`; `COMMAND DOCS` is empty.
fn command(_: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    let describe = |command: &Command| {
        let names = [
            (WRITE, "write"),
            (DENYOOM, "denyoom"),
            (READONLY, "readonly"),
            (NOSCRIPT, "noscript"),
        ];
        let more = [(LOADING, "loading"), (NO_AUTH, "no_auth")];
        let flags = names
            .iter()
            .chain(&more)
            .filter(|(flag, _)| command.has(*flag));
        let (first, last, step) = command.keys;
        Reply::Array(vec![
            Reply::bulk(command.name),
            Reply::Int(i64::from(command.arity)),
            Reply::Array(
                flags
                    .map(|(_, name)| Reply::Status((*name).to_owned()))
                    .collect(),
            ),
            Reply::Int(first),
            Reply::Int(last),
            Reply::Int(step),
        ])
    };
    match ctx.word(1).as_str() {
        "" => Ok(Reply::Array(COMMANDS.iter().map(describe).collect())),
        "count" => Ok(Reply::Int(COMMANDS.len() as i64)),
        "docs" => Ok(Reply::Map(Vec::new())),
        "info" => {
            let found = ctx.argv[2..]
                .iter()
                .map(|name| find(name).map_or(Reply::Null, describe));
            Ok(Reply::Array(found.collect()))
        }
        _ => Err(Reject::unknown_subcommand("COMMAND", &ctx.argv[1])),
    }
}
