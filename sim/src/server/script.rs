//! Scripts: `EVAL` and its kin, the cache of compiled scripts, and what a script may do to the
//! server.

use std::collections::BTreeMap;

use super::commands::{
    self, Command, DENYOOM, NOSCRIPT, OOM, READONLY_REPLICA, REPLICATED, Run, Scripting, WRITE,
};
use super::lua::{Compiled, Host};
use super::reply::Reply;
use super::state::{ConnId, Ctx, Outcome, Reject, State, lower, sha1_hex};

/// The scripts of one server, and the Lua state that runs them.
pub(crate) struct Scripts {
    host: Host,
    cache: BTreeMap<String, Script>,
}

#[derive(Clone)]
struct Script {
    code: Compiled,
    flags: Flags,
}

/// What a script's first line (`#!lua flags=…`) says. Without that line, old rules hold: the script
/// is stopped at the first command that may not run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Flags {
    declared: bool,
    no_writes: bool,
    allow_oom: bool,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            host: Host::new(),
            cache: BTreeMap::new(),
        }
    }

    /// Forgets all scripts, and whatever they may have left in the Lua state.
    pub(crate) fn flush(&mut self) {
        *self = Self::new();
    }

    /// What the script that a request names has declared, as flags of the command: so that it is
    /// refused before it runs, and before `EVAL` would cache it.
    pub(crate) fn declared_flags(&self, command: &Command, argv: &[Vec<u8>]) -> u16 {
        let Some(text) = argv.get(1) else { return 0 };
        let flags = match command.name {
            "eval" | "eval_ro" => split_shebang(text).map_or(Flags::default(), |(flags, _)| flags),
            "evalsha" | "evalsha_ro" => self
                .cache
                .get(&lower(text))
                .map_or(Flags::default(), |script| script.flags),
            _ => return 0,
        };
        match flags {
            Flags {
                declared: false, ..
            }
            | Flags {
                no_writes: true, ..
            } => 0,
            Flags {
                allow_oom: true, ..
            } => WRITE,
            _ => WRITE | DENYOOM,
        }
    }

    fn load(&mut self, body: &[u8]) -> Result<String, Reject> {
        let sha = sha1_hex(body);
        if !self.cache.contains_key(&sha) {
            let (flags, text) = split_shebang(body)?;
            let code = self.host.compile(&text).map_err(|problem| {
                Reject::new(format!(
                    "ERR Error compiling script (new function): {problem}"
                ))
            })?;
            self.cache.insert(sha.clone(), Script { code, flags });
        }
        Ok(sha)
    }
}

/// Reads the first line if it is a shebang, and blanks it so that line numbers stay right.
fn split_shebang(body: &[u8]) -> Result<(Flags, Vec<u8>), Reject> {
    if !body.starts_with(b"#!") {
        return Ok((Flags::default(), body.to_vec()));
    }
    let Some(end) = body.iter().position(|b| *b == b'\n') else {
        return Err(Reject::new("ERR Invalid script shebang"));
    };
    let line = String::from_utf8_lossy(&body[..end]).into_owned();
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return Err(Reject::new(format!(
            "ERR Unexpected engine in script shebang: {engine}"
        )));
    }
    let mut flags = Flags {
        declared: true,
        ..Flags::default()
    };
    for word in words {
        let Some(names) = word.strip_prefix("flags=") else {
            return Err(Reject::new(format!(
                "ERR Unknown lua shebang option: {word}"
            )));
        };
        for name in names.split(',').filter(|name| !name.is_empty()) {
            match name {
                "no-writes" => flags.no_writes = true,
                "allow-oom" => flags.allow_oom = true,
                "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                _ => {
                    return Err(Reject::new(format!(
                        "ERR Unexpected flag in script shebang: {name}"
                    )));
                }
            }
        }
    }
    Ok((flags, body[end..].to_vec()))
}

/// Carries out a command that needs the scripts.
pub(crate) fn run(
    what: Scripting,
    state: &mut State,
    scripts: &mut Scripts,
    ctx: &Ctx<'_>,
) -> Outcome {
    match what {
        Scripting::Eval { read_only } => eval(state, scripts, ctx, read_only),
        Scripting::EvalSha { read_only } => eval_sha(state, scripts, ctx, read_only),
        Scripting::Script => script(scripts, ctx),
    }
}

fn eval(state: &mut State, scripts: &mut Scripts, ctx: &Ctx<'_>, read_only: bool) -> Outcome {
    let keys = count_keys(ctx)?;
    let sha = scripts.load(&ctx.argv[1])?;
    execute(state, scripts, ctx, &sha, keys, read_only)
}

fn eval_sha(state: &mut State, scripts: &mut Scripts, ctx: &Ctx<'_>, read_only: bool) -> Outcome {
    let sha = ctx.word(1);
    if sha.len() != 40 {
        return Err(no_script());
    }
    let keys = count_keys(ctx)?;
    if !scripts.cache.contains_key(&sha) {
        return Err(no_script());
    }
    execute(state, scripts, ctx, &sha, keys, read_only)
}

fn no_script() -> Reject {
    Reject::new("NOSCRIPT No matching script. Please use EVAL.")
}

fn count_keys(ctx: &Ctx<'_>) -> Result<usize, Reject> {
    let keys = ctx.int(2)?;
    if keys > ctx.argv.len() as i64 - 3 {
        return Err(Reject::new(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    usize::try_from(keys).map_err(|_| Reject::new("ERR Number of keys can't be negative"))
}

/// One run of a script, as the commands it calls see it.
pub(crate) struct RunState<'a> {
    state: &'a mut State,
    conn: ConnId,
    /// The keys that its caller named: each command that reads counts as reading all of them.
    keys: &'a [Vec<u8>],
    /// `SELECT` inside a script changes this, and not the caller's database.
    db: usize,
    /// Time stands still while a script runs.
    now_us: u64,
    no_writes: bool,
    check_oom: bool,
    /// Once it wrote, a script may go on in spite of a lack of memory.
    wrote: bool,
}

fn execute(
    state: &mut State,
    scripts: &mut Scripts,
    ctx: &Ctx<'_>,
    sha: &str,
    keys: usize,
    read_only: bool,
) -> Outcome {
    let Some(Script { code, flags }) = scripts.cache.get(sha).cloned() else {
        return Err(no_script());
    };
    let no_writes = flags.no_writes || read_only;
    if flags.declared && !flags.no_writes && read_only {
        let text = "ERR Can not execute a script with write flag using *_ro command.";
        return Err(Reject::new(text));
    }
    let check_oom = state.faults.oom && !flags.allow_oom;
    let (keys, args) = ctx.argv[3..].split_at(keys);
    let mut run = RunState {
        state,
        conn: ctx.conn,
        keys,
        db: ctx.db,
        now_us: ctx.now_us,
        no_writes,
        check_oom,
        wrote: false,
    };
    Ok(scripts
        .host
        .run(&code, sha, keys, args, &mut |argv| run.call(argv)))
}

impl RunState<'_> {
    /// `redis.call` and `redis.pcall`: the checks of Redis, in its order.
    fn call(&mut self, argv: &[Vec<u8>]) -> Reply {
        match self.try_call(argv) {
            Ok(reply) => reply,
            Err(Reject(text)) => Reply::Error(text),
        }
    }

    fn try_call(&mut self, argv: &[Vec<u8>]) -> Outcome {
        let name = argv.first().map_or(&[][..], Vec::as_slice);
        let command = commands::find(name)
            .ok_or_else(|| Reject::new("ERR Unknown Redis command called from script"))?;
        if !command.accepts(argv.len()) {
            return Err(Reject::new(
                "ERR Wrong number of args calling Redis command from script",
            ));
        }
        let Run::State(run) = command.run else {
            return Err(not_from_script());
        };
        if command.has(NOSCRIPT) {
            return Err(not_from_script());
        }
        let checked = self.admit(command);
        let stat = self.state.stats.entry(command.name.to_owned()).or_default();
        if let Err(reject) = checked {
            stat.rejected += 1;
            return Err(reject);
        }
        stat.calls += 1;
        self.wrote |= command.has(WRITE);
        let mut ctx = Ctx {
            conn: self.conn,
            db: self.db,
            now_us: self.now_us,
            argv,
        };
        let outcome = run(self.state, &mut ctx);
        self.db = ctx.db;
        self.state.end_call(self.conn, command, self.keys.iter());
        if outcome.is_err() {
            self.state
                .stats
                .entry(command.name.to_owned())
                .or_default()
                .failed += 1;
        }
        outcome
    }

    fn admit(&self, command: &Command) -> Result<(), Reject> {
        if !self.state.permits(self.conn, command.name) {
            return Err(Reject::new(
                "ERR The user executing the script can't run this command or subcommand",
            ));
        }
        if self.no_writes && command.has(WRITE | REPLICATED) {
            return Err(Reject::new(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if command.has(WRITE) {
            if self.state.faults.readonly {
                return Err(Reject::new(READONLY_REPLICA));
            }
            if let Some(error) = self
                .state
                .faults
                .write_error
                .as_ref()
                .filter(|_| !self.wrote)
            {
                return Err(Reject::new(error));
            }
        }
        if self.check_oom && !self.wrote && command.has(DENYOOM) {
            return Err(Reject::new(OOM));
        }
        Ok(())
    }
}

fn not_from_script() -> Reject {
    Reject::new("ERR This Redis command is not allowed from script")
}

fn script(scripts: &mut Scripts, ctx: &Ctx<'_>) -> Outcome {
    match (ctx.word(1).as_str(), ctx.argv.len()) {
        ("load", 3) => Ok(Reply::bulk(scripts.load(&ctx.argv[2])?)),
        ("exists", 3..) => {
            let known = |i| Reply::Int(i64::from(scripts.cache.contains_key(&ctx.word(i))));
            Ok(Reply::Array((2..ctx.argv.len()).map(known).collect()))
        }
        ("flush", n @ 2..=3) => {
            if n == 3 && !matches!(ctx.word(2).as_str(), "sync" | "async") {
                return Err(Reject::new(
                    "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
                ));
            }
            scripts.flush();
            Ok(Reply::ok())
        }
        ("kill", 2) => Err(Reject::new("NOTBUSY No scripts in execution right now.")),
        (name @ ("load" | "exists" | "kill"), _) => {
            Err(Reject::wrong_arity(&format!("script|{name}")))
        }
        _ => Err(Reject::unknown_subcommand("SCRIPT", &ctx.argv[1])),
    }
}
