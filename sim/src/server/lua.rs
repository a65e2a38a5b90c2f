//! The bridge to Lua 5.1: replies become Lua values, Lua values become replies, errors become
//! lines.
//!
//! Inside a script everything looks like RESP2, whatever the connection speaks. What a script can
//! see is in `prelude.lua`. Not deterministic, as in Redis: `tostring` of a table (an address), and
//! the order of `pairs` over keys that are tables.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState};

use super::VERSION;
use super::number::{c_cast_i64, format_g17};
use super::reply::Reply;
use super::state::sha1_hex;

const SOURCE: &str = "@user_script";
/// A script that takes more steps than this has an endless loop; a real server would answer BUSY.
const MAX_STEPS: u32 = 100_000_000;
const STEPS_PER_TICK: u32 = 1_000_000;
/// How deep a reply may nest.
const MAX_DEPTH: usize = 100;

/// A script ready to run.
#[derive(Clone)]
pub(crate) struct Compiled(Function);

/// One Lua state, and what was put into it.
pub(crate) struct Host {
    lua: Lua,
    globals: Table,
    run: Function,
    ticks: Arc<AtomicU32>,
}

/// What `redis.call` raises: an error line of the server.
#[derive(Debug)]
struct Raised(String);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl Host {
    pub(crate) fn new() -> Self {
        Self::build().expect("the prelude is fixed text, and every test runs it")
    }

    fn build() -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        // Lua's own pcall stays: nothing here panics, and scripts must see plain errors.
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let host = host_functions(&lua)?;
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        let spent = move || counted.load(Ordering::Relaxed) >= MAX_STEPS / STEPS_PER_TICK;
        host.set("exhausted", lua.create_function(move |_, ()| Ok(spent()))?)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude");
        let (globals, run): (Table, Function) = prelude.call(host)?;
        let counted = Arc::clone(&ticks);
        lua.set_global_hook(
            HookTriggers::new().every_nth_instruction(STEPS_PER_TICK),
            move |_, _| {
                if counted.fetch_add(1, Ordering::Relaxed) + 1 < MAX_STEPS / STEPS_PER_TICK {
                    return Ok(VmState::Continue);
                }
                Err(raise(
                    "ERR the script took too many steps for the embedded server",
                ))
            },
        )?;
        Ok(Self {
            lua,
            globals,
            run,
            ticks,
        })
    }

    /// Compiles a script's text; the error is the compiler's message.
    pub(crate) fn compile(&self, text: &[u8]) -> Result<Compiled, String> {
        let chunk = self
            .lua
            .load(text)
            .set_name(SOURCE)
            .set_mode(ChunkMode::Text);
        match chunk.set_environment(self.globals.clone()).into_function() {
            Ok(function) => Ok(Compiled(function)),
            Err(mlua::Error::SyntaxError { message, .. }) => Err(message),
            Err(other) => Err(other.to_string()),
        }
    }

    /// Runs a script; `call` executes the commands it calls.
    pub(crate) fn run(
        &self,
        code: &Compiled,
        sha: &str,
        keys: &[Vec<u8>],
        args: &[Vec<u8>],
        call: &mut dyn FnMut(&[Vec<u8>]) -> Reply,
    ) -> Reply {
        self.ticks.store(0, Ordering::Relaxed);
        let call = RefCell::new(call);
        let invoke = |args: MultiValue| match command_of(args) {
            Ok(argv) => (call.borrow_mut())(&argv),
            Err(problem) => Reply::Error(problem.to_owned()),
        };
        let done = self.lua.scope(|scope| {
            let raising = scope.create_function(|lua, args| match invoke(args) {
                Reply::Error(text) => Err(raise(text)),
                reply => to_lua(lua, reply),
            })?;
            let protected = scope.create_function(|lua, args| to_lua(lua, invoke(args)))?;
            let script = code.0.clone();
            let (keys, args) = (self.strings(keys)?, self.strings(args)?);
            let (ok, value): (bool, Value) =
                self.run.call((script, keys, args, raising, protected))?;
            Ok(if ok {
                to_reply(value, 0)
            } else {
                failure(value, sha)
            })
        });
        done.unwrap_or_else(|problem| {
            Reply::Error(format!("ERR Error running script {sha}: {problem}"))
        })
    }

    fn strings(&self, bytes: &[Vec<u8>]) -> mlua::Result<Table> {
        let strings = bytes
            .iter()
            .map(|b| self.lua.create_string(b))
            .collect::<mlua::Result<Vec<_>>>()?;
        self.lua.create_sequence_from(strings)
    }
}

fn raise(text: impl Into<String>) -> mlua::Error {
    mlua::Error::external(Raised(text.into()))
}

/// The arguments of `redis.call` as a command.
fn command_of(args: MultiValue) -> Result<Vec<Vec<u8>>, &'static str> {
    if args.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call");
    }
    let bytes = |value: Value| match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Number(n) => Ok(format_g17(n).into_bytes()),
        // mlua tells whole numbers apart; to Lua 5.1 they are doubles like any other.
        Value::Integer(n) => Ok(format_g17(n as f64).into_bytes()),
        _ => Err("ERR Lua redis lib command arguments must be strings or integers"),
    };
    args.into_iter().map(bytes).collect()
}

fn host_functions(lua: &Lua) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("version", VERSION)?;
    host.set("version_num", version_number())?;
    host.set(
        "unwrap",
        lua.create_function(|lua, value: Value| unwrap(lua, value))?,
    )?;
    host.set(
        "line",
        lua.create_function(|lua, ()| Ok(current_line(lua)))?,
    )?;
    host.set(
        "sha1hex",
        lua.create_function(|lua, args: MultiValue| {
            let only = if args.len() == 1 {
                args.into_iter().next()
            } else {
                None
            };
            let text = only
                .map(|value| lua.coerce_string(value))
                .transpose()?
                .flatten();
            let text = text.ok_or_else(|| raise("ERR wrong number of arguments"))?;
            Ok(sha1_hex(&text.as_bytes()))
        })?,
    )?;
    host.set(
        "error_reply",
        lua.create_function(|lua, args| single_field(lua, "err", args))?,
    )?;
    host.set(
        "status_reply",
        lua.create_function(|lua, args| single_field(lua, "ok", args))?,
    )?;
    host.set(
        "log",
        lua.create_function(|_, args: MultiValue| match args.len() {
            0 | 1 => Err(raise("ERR redis.log() requires two arguments or more.")),
            _ => Ok(()),
        })?,
    )?;
    host.set(
        "setresp",
        lua.create_function(|_, version: f64| match version {
            2.0 => Ok(()),
            _ => Err(raise("ERR the embedded server knows redis.setresp(2) only")),
        })?,
    )?;
    let random = Arc::new(Random::default());
    let seeded = Arc::clone(&random);
    host.set(
        "random",
        lua.create_function(move |_, args: MultiValue| random.draw(args))?,
    )?;
    host.set(
        "randomseed",
        lua.create_function(move |_, seed: f64| {
            seeded.seed(c_cast_i64(seed));
            Ok(())
        })?,
    )?;
    Ok(host)
}

/// `7.0.15` as 0x0007000f.
fn version_number() -> u32 {
    VERSION
        .split('.')
        .fold(0, |n, part| (n << 8) | part.parse::<u32>().unwrap_or(0))
}

/// A raised error as the table that scripts know; anything else as it is.
fn unwrap(lua: &Lua, value: Value) -> mlua::Result<Value> {
    let Value::Error(problem) = value else {
        return Ok(value);
    };
    let text = match problem.downcast_ref::<Raised>() {
        Some(Raised(text)) => text.clone(),
        None => format!("ERR {problem}"),
    };
    let table = lua.create_table()?;
    table.raw_set("err", text)?;
    Ok(Value::Table(table))
}

/// The line of the script that is running: the innermost frame that is the script's own.
fn current_line(lua: &Lua) -> Option<usize> {
    let mut level = 0;
    loop {
        let line = lua.inspect_stack(level, |frame| {
            let own = frame.source().source.as_deref() == Some(SOURCE);
            if own { frame.current_line() } else { None }
        })?;
        if line.is_some() {
            return line;
        }
        level += 1;
    }
}

/// `redis.error_reply` and `redis.status_reply`. A wrong argument gives an error, and raises none.
fn single_field(lua: &Lua, field: &str, args: MultiValue) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(Value::String(text)), None) if field == "err" => {
            table.raw_set("err", lua.create_string(with_code(&text.as_bytes()))?)?;
        }
        (Some(Value::String(text)), None) => table.raw_set(field, text)?,
        _ => table.raw_set("err", "ERR wrong number or type of arguments")?,
    }
    Ok(table)
}

/// An error text with its code: `-CODE text` and `CODE text` have one, a single word has not.
fn with_code(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"-").unwrap_or(text).trim_ascii_end();
    if text.contains(&b' ') {
        text.to_vec()
    } else {
        [b"ERR ", text].concat()
    }
}

/// A reply as a script sees it.
fn to_lua(lua: &Lua, reply: Reply) -> mlua::Result<Value> {
    let field = |name: &str, text: &str| {
        let table = lua.create_table()?;
        table.raw_set(name, text)?;
        Ok(Value::Table(table))
    };
    let list = |items: Vec<Reply>| {
        let items = items
            .into_iter()
            .map(|item| to_lua(lua, item))
            .collect::<mlua::Result<Vec<_>>>()?;
        Ok(Value::Table(lua.create_sequence_from(items)?))
    };
    match reply {
        Reply::Status(text) => field("ok", &text),
        Reply::Error(text) => field("err", &text),
        Reply::Int(n) => Ok(Value::Number(n as f64)),
        Reply::Double(n) => Ok(Value::String(lua.create_string(format_g17(n))?)),
        Reply::Bulk(bytes) => Ok(Value::String(lua.create_string(bytes)?)),
        Reply::Text(text) => Ok(Value::String(lua.create_string(text)?)),
        Reply::Null => Ok(Value::Boolean(false)),
        Reply::Array(items) | Reply::Push(items) => list(items),
        Reply::Map(pairs) | Reply::Pairs(pairs) => list(
            pairs
                .into_iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
        ),
    }
}

/// What a script returned, as a reply.
fn to_reply(value: Value, depth: usize) -> Reply {
    match value {
        Value::String(text) => Reply::Bulk(text.as_bytes().to_vec()),
        Value::Number(n) => Reply::Int(c_cast_i64(n)),
        Value::Integer(n) => Reply::Int(n),
        Value::Boolean(true) => Reply::Int(1),
        Value::Table(_) if depth >= MAX_DEPTH => {
            Reply::Error("ERR reached lua stack limit".to_owned())
        }
        Value::Table(table) => table_to_reply(&table, depth),
        _ => Reply::Null,
    }
}

fn table_to_reply(table: &Table, depth: usize) -> Reply {
    if let Some(text) = text_field(table, "err") {
        return Reply::Error(text);
    }
    if let Some(text) = text_field(table, "ok") {
        return Reply::Status(text);
    }
    match table.raw_get("double") {
        Ok(Value::Number(n)) => return Reply::Double(n),
        Ok(Value::Integer(n)) => return Reply::Double(n as f64),
        _ => {}
    }
    let mut items = Vec::new();
    // An array ends at its first nil. Metamethods do not count.
    while let Ok(value) = table.raw_get::<Value>(items.len() + 1) {
        if value.is_nil() {
            break;
        }
        items.push(to_reply(value, depth + 1));
    }
    Reply::Array(items)
}

fn text_field(table: &Table, name: &str) -> Option<String> {
    match table.raw_get(name) {
        Ok(Value::String(text)) => Some(text.to_string_lossy()),
        _ => None,
    }
}

/// The error line of a script that failed: the text, and where it happened.
fn failure(value: Value, sha: &str) -> Reply {
    let Value::Table(table) = value else {
        return Reply::Error(format!("ERR Error running script {sha}, execution failure"));
    };
    // A real 7.0 crashes on a raised table that has no `err`. Here it is an error.
    let text = text_field(&table, "err").unwrap_or_else(|| "ERR unknown error".to_owned());
    match (
        text_field(&table, "source"),
        table.raw_get::<Option<usize>>("line"),
    ) {
        (Some(source), Ok(Some(line))) => {
            Reply::Error(format!("{text} script: {sha}, on {source}:{line}."))
        }
        _ => Reply::Error(text),
    }
}

/// The generator behind `math.random` in Redis: `lrand48`, so that every server draws the same.
struct Random(AtomicU64);

impl Default for Random {
    fn default() -> Self {
        Self(AtomicU64::new(0x1234_abcd_330e))
    }
}

impl Random {
    fn seed(&self, seed: i64) {
        let seed = u64::from(seed as u32);
        self.0.store((seed << 16) | 0x330e, Ordering::Relaxed);
    }

    fn next(&self) -> f64 {
        const MAX: u64 = 0x7fff_ffff;
        // One Lua state runs in one thread at a time, so this is no race.
        let state = self.0.load(Ordering::Relaxed);
        let state = state.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
        self.0.store(state, Ordering::Relaxed);
        ((state >> 17) % MAX) as f64 / MAX as f64
    }

    /// `math.random()`, `math.random(m)`, `math.random(m, n)`.
    fn draw(&self, args: MultiValue) -> mlua::Result<f64> {
        let bound = |value: &Value| match value {
            Value::Number(n) => Ok(n.floor()),
            Value::Integer(n) => Ok(*n as f64),
            _ => Err(raise("ERR bad argument to 'random' (number expected)")),
        };
        let drawn = self.next();
        let bounds = args.iter().map(bound).collect::<mlua::Result<Vec<f64>>>()?;
        let (low, high) = match bounds[..] {
            [] => return Ok(drawn),
            [high] => (1.0, high),
            [low, high] => (low, high),
            _ => return Err(raise("ERR wrong number of arguments")),
        };
        if low > high {
            return Err(raise("ERR bad argument to 'random' (interval is empty)"));
        }
        Ok((drawn * (high - low + 1.0)).floor() + low)
    }
}
