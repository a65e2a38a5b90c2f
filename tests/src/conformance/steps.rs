//! Random histories of a server, of few keys and few values, so that commands affect each other.

use std::fmt;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use tenure_sim::server::{ManualClock, Reply, Server};

/// One step of a history.
#[derive(Clone)]
pub enum Step {
    /// A command.
    Command(Vec<Vec<u8>>),
    /// The wall clock moves by so many microseconds.
    Move(i64),
    /// The wall clock goes to so many microseconds from the instant at which this key ends.
    ToExpiry(&'static str, i64),
    /// The server runs out of memory, or has some again.
    OutOfMemory(bool),
}

impl fmt::Debug for Step {
    /// A failing history is read by people: a command is its words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(argv) => argv
                .iter()
                .try_for_each(|arg| write!(f, "{:?} ", String::from_utf8_lossy(arg))),
            Self::Move(us) => write!(f, "[the clock moves by {us} µs]"),
            Self::ToExpiry(key, us) => {
                write!(f, "[the clock goes to the end of {key} and {us} µs]")
            }
            Self::OutOfMemory(oom) => write!(f, "[out of memory: {oom}]"),
        }
    }
}

const KEYS: &[&str] = &["a", "b", "c", "h", "s", "z"];
const VALUES: &[&str] = &[
    "",
    "x",
    "tok:1",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "01",
    " 1",
    "3.0",
    "\u{fc}\r\n\0",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "999",
    "1000",
    "1001",
    "5000",
    "-1",
    "-5000",
    "86400000",
    "1767225600",
    "1767225601000",
    "1767225600500",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "x",
    "",
    "1.5",
    "+1",
];

/// Scripts like those of locks, and every way in which values and errors pass between a script, its
/// commands and its caller. (For the adapter's own scripts see [`super::lock`].)
pub const SCRIPTS: &[&str] = &[
    // As locks are written.
    "if redis.call('get', KEYS[1]) == ARGV[1] then
       return redis.call('pexpire', KEYS[1], ARGV[2])
     end
     return 0",
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0",
    "if redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
       return {1, redis.call('incr', KEYS[2])}
     end
     return {0, redis.call('pttl', KEYS[1])}",
    "local t = redis.call('time') local now = t[1] * 1000000 + t[2]
     local next = math.max(now, (tonumber(redis.call('get', KEYS[2])) or 0) + 1)
     redis.call('set', KEYS[2], string.format('%.0f', next), 'PX', 5000)
     return {redis.call('get', KEYS[2]), tostring(next - now)}",
    "local failed = {} for i, k in ipairs(KEYS) do
       local r = redis.pcall('getex', k)
       if type(r) == 'table' and r.err then failed[#failed + 1] = i end
     end
     return failed",
    "local left = redis.call('pttl', KEYS[1])
     if left >= 0 and left < tonumber(ARGV[2] or '0') then
       redis.call('pexpire', KEYS[1], ARGV[2])
     end
     return {left, redis.call('pttl', KEYS[1]), redis.call('type', KEYS[1])}",
    // What a command says to a script.
    "return redis.call('get', KEYS[1])",
    "return {
       redis.call('get', KEYS[1]), redis.call('strlen', 'none'), redis.call('type', KEYS[2])
     }",
    "return redis.pcall('incr', KEYS[1])",
    "return redis.call('incr', KEYS[1])",
    "local ok, e = pcall(redis.call, 'incr', KEYS[1]) return {tostring(ok), type(e)}",
    "return redis.call('hgetall', KEYS[1])",
    "return redis.call('mget', KEYS[1], KEYS[2], 'none')",
    "return #redis.call('mget', KEYS[1], KEYS[2], 'none')",
    "return redis.call('set', KEYS[1], ARGV[1], 'GET', 'PX', ARGV[2])",
    "return redis.call('set', KEYS[1], ARGV[1], 'PXAT', ARGV[2])",
    "redis.call('select', 1) redis.call('set', KEYS[1], 'one') return redis.call('dbsize')",
    "redis.call('set', KEYS[1], ARGV[1]) redis.call('hget', KEYS[1], 'f') return 1",
    "redis.call('del', KEYS[1]) return redis.call('append', KEYS[2], ARGV[1])",
    "return redis.call('set', KEYS[1], tonumber(ARGV[2]))",
    "return redis.call('incrby', KEYS[1], 2 ^ 53)",
    "return redis.call('set', KEYS[1], 0.1 + 0.2)",
    "return redis.call('zmscore', KEYS[1], ARGV[1], 'm1')",
    "return redis.call('zadd', KEYS[1], 115360000000000 * 64 + 63, ARGV[1])",
    "return redis.call('zrange', KEYS[1], 1e13, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1,
       'WITHSCORES')",
    "local s = redis.call('zscore', KEYS[1], 'm1') return {type(s), tostring(s)}",
    "return redis.call('publish', KEYS[1], ARGV[1])",
    "return redis.call('pubsub', 'numsub', KEYS[1])",
    "return redis.call('subscribe', KEYS[1])",
    // What a script says to its caller.
    "return {1, 2.9, -2.9, 1e300, 0/0, 'x', true, false, nil, 3}",
    "return {{}, {1, {2}}, {ok = 'fine'}, {err = 'MY words'}}",
    "return {ok = 'fine'}",
    "return {err = 'MY words'}",
    "return {double = 3.5}",
    "return nil",
    "return false",
    "return redis.error_reply('MY words')",
    "return redis.error_reply('-MY words')",
    "return redis.error_reply('word')",
    "return redis.status_reply('fine')",
    "return redis.status_reply()",
    "return tostring(2 ^ 53)",
    "return tonumber(ARGV[2])",
    "return -0.5",
    "return tostring(tonumber(' 0x10 '))",
    "return {unpack(ARGV)}",
    "return redis.sha1hex(ARGV[1])",
    "return {#KEYS, #ARGV}",
    "return string.format('%d %s', 3, 'x')",
    // How a script fails.
    "error('boo')",
    "error({err = 'XX boo'})",
    "error()",
    "return nosuch",
    "x = 1",
    "return redis.call()",
    "return redis.call('nosuch')",
    "return redis.call('get')",
    "return redis.call('eval', 'return 1', 0)",
    "return redis.call({})",
    "return redis.pcall({})",
    "syntax error",
    "string.x = 1",
    "return redis.call('wait', 0, 0)",
    "assert(false, 'hm')",
    "return redis.call('client', 'id')",
    "return redis.call('config', 'get', 'save')",
    // With a declaration in the first line.
    "#!lua\nreturn 1",
    "#!lua\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=no-writes\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=no-writes\nreturn redis.call('get', KEYS[1])",
    "#!lua flags=allow-oom\nreturn redis.call('set', KEYS[1], 'v')",
    "#!lua flags=nonsense\nreturn 1",
    "#!python\nreturn 1",
    "#!lua",
];

pub(super) fn key() -> impl Strategy<Value = String> {
    select(KEYS).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    select(VALUES).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (1i64..4000).prop_map(|n| n.to_string()),
        2 => select(NUMBERS).prop_map(str::to_owned),
    ]
}

/// Words in a row: each is a fixed one or drawn.
pub(super) fn line(words: Vec<BoxedStrategy<String>>) -> BoxedStrategy<Vec<String>> {
    words
        .into_iter()
        .fold(Just(Vec::new()).boxed(), |line, word| {
            (line, word)
                .prop_map(|(mut line, word)| {
                    line.push(word);
                    line
                })
                .boxed()
        })
}

pub(super) fn word(text: &'static str) -> BoxedStrategy<String> {
    Just(text.to_owned()).boxed()
}

pub(super) fn one_of(words: &'static [&'static str]) -> BoxedStrategy<String> {
    select(words).prop_map(str::to_owned).boxed()
}

fn expiry_option() -> impl Strategy<Value = Vec<String>> {
    (select(&["EX", "PX", "EXAT", "PXAT", "px"][..]), number())
        .prop_map(|(name, n)| vec![name.to_owned(), n])
}

fn set_options() -> impl Strategy<Value = Vec<String>> {
    let single = select(&["NX", "XX", "GET", "KEEPTTL", "PERSIST", "nx", "nonsense"][..]);
    let option =
        prop_oneof![3 => single.prop_map(|name| vec![name.to_owned()]), 2 => expiry_option()];
    prop::collection::vec(option, 0..3).prop_map(|options| options.concat())
}

fn commands() -> BoxedStrategy<Vec<String>> {
    prop_oneof![
        17 => with_expiry(),
        16 => scripts(),
        4 => super::lock::script_call(),
        22 => on_keys(),
        8 => streams(),
        8 => sorted_sets(),
        7 => on_the_server(),
    ]
    .boxed()
}

/// Commands on keys, which may change them.
pub(super) fn changes() -> BoxedStrategy<Vec<String>> {
    prop_oneof![
        8 => with_expiry(),
        5 => scripts(),
        10 => on_keys(),
        3 => streams(),
        4 => sorted_sets(),
    ]
    .boxed()
}

/// Commands that set, read or change an expiry, with any options.
fn with_expiry() -> BoxedStrategy<Vec<String>> {
    let set = (key(), value(), set_options())
        .prop_map(|(k, v, options)| [vec!["SET".to_owned(), k, v], options].concat());
    let getex = prop_oneof![
        Just(Vec::new()),
        Just(vec!["PERSIST".to_owned()]),
        expiry_option(),
        set_options()
    ];
    let getex =
        (key(), getex).prop_map(|(k, options)| [vec!["GETEX".to_owned(), k], options].concat());
    let names = select(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"][..]);
    let option = select(&["NX", "XX", "GT", "LT", "zz"][..]).prop_map(str::to_owned);
    let expire = (names, key(), number(), prop::collection::vec(option, 0..3))
        .prop_map(|(name, k, n, options)| [vec![name.to_owned(), k, n], options].concat());
    prop_oneof![8 => set, 4 => getex, 5 => expire].boxed()
}

/// Scripts that are called by their text or name, and loaded.
pub(super) fn scripts() -> BoxedStrategy<Vec<String>> {
    let by_text = select(&["EVAL", "EVAL", "EVAL", "EVAL_RO"][..]);
    let eval = (by_text, select(SCRIPTS), key(), key(), value(), number()).prop_map(
        |(name, script, k1, k2, v, n)| {
            [name, script, "2", &k1, &k2, &v, &n]
                .map(str::to_owned)
                .to_vec()
        },
    );
    let by_name = (select(&["EVALSHA", "EVALSHA_RO"][..]), select(&NAMES[..]));
    let evalsha = (by_name, number(), key(), key(), value(), number()).prop_map(
        |((name, sha), count, k1, k2, v, n)| {
            // Mostly two keys, sometimes nonsense.
            let count = match count.len() {
                0..=2 => count,
                _ => "2".to_owned(),
            };
            vec![name.to_owned(), sha, count, k1, k2, v, n]
        },
    );
    let load = select(SCRIPTS)
        .prop_map(|script| vec!["SCRIPT".to_owned(), "LOAD".to_owned(), script.to_owned()]);
    prop_oneof![10 => eval, 4 => evalsha, 2 => load].boxed()
}

/// Ids of entries of a stream: now, before, after, in the same millisecond, and nonsense.
const IDS: &[&str] = &[
    "*",
    "*",
    "*",
    "*",
    "0-0",
    "0-1",
    "1",
    "1767225600123",
    "1767225600123-*",
    "1767225600123-1799",
    "1767225600124-500",
    "1767225601000-0",
    "18446744073709551615-18446744073709551614",
    "18446744073709551616",
    "-",
    "+",
    "x",
    "1-",
    "1-x",
    "",
];

/// The fields of an entry, and what are none.
const FIELDS: &[&[&str]] = &[&["", ""], &["f", "v"], &["f", "v", "g", "w"], &["f"], &[]];

/// Draws from a stream, or adds to it, with options right and wrong.
fn streams() -> BoxedStrategy<Vec<String>> {
    let stream = || prop_oneof![6 => Just("s".to_owned()), 1 => key()];
    let option = prop_oneof![
        3 => Just(vec!["NOMKSTREAM"]),
        4 => Just(vec!["MAXLEN", "0"]),
        1 => Just(vec!["maxlen", "=", "1"]),
        1 => Just(vec!["MAXLEN", "-1"]),
        1 => Just(vec!["MAXLEN", "x"]),
        1 => Just(vec!["MAXLEN"]),
        1 => Just(vec!["nonsense"]),
    ];
    let options = prop::collection::vec(option, 0..3).prop_map(|options| options.concat());
    let fields = select(FIELDS);
    let add = (stream(), options, select(IDS), fields).prop_map(|(key, options, id, fields)| {
        let words = [&["XADD", &key][..], &options, &[id], fields].concat();
        words.into_iter().map(str::to_owned).collect()
    });
    let usual = stream().prop_map(|key| {
        ["XADD", &key, "NOMKSTREAM", "MAXLEN", "0", "*", "", ""]
            .map(str::to_owned)
            .to_vec()
    });
    let len = stream().prop_map(|key| vec!["XLEN".to_owned(), key]);
    prop_oneof![4 => add, 4 => usual, 1 => len].boxed()
}

/// Scores: those of queues, ends of ranges, and nonsense.
const SCORES: &[&str] = &[
    "1",
    "2",
    "3",
    "1",
    "(1",
    "(3",
    "-inf",
    "+inf",
    "113102438400000063",
    "10000000000000",
    "0.5",
    "-1",
    "-2",
    "1e3",
    "nan",
    "x",
    "",
];

/// Sorted sets, with options right and wrong.
fn sorted_sets() -> BoxedStrategy<Vec<String>> {
    let set = || prop_oneof![8 => Just("z".to_owned()), 1 => key()].boxed();
    let score = || one_of(SCORES);
    let member = || one_of(&["m1", "m2", "m3", "A1", "B1", ""]);
    let usual = || {
        one_of(&[
            "1",
            "2",
            "3",
            "4",
            "113102438400000063",
            "113102438400000127",
        ])
    };
    let flags = prop::collection::vec(select(&["NX", "XX", "GT", "LT", "CH"][..]), 0..3);
    let pairs = prop::collection::vec((usual(), member()), 1..3);
    let add = (set(), flags, pairs).prop_map(|(set, flags, pairs)| {
        let flags = flags.into_iter().map(str::to_owned);
        let pairs = pairs
            .into_iter()
            .flat_map(|(score, member)| [score, member]);
        ["ZADD".to_owned(), set]
            .into_iter()
            .chain(flags)
            .chain(pairs)
            .collect()
    });
    let option = prop_oneof![
        3 => Just(vec!["BYSCORE"]),
        2 => Just(vec!["REV"]),
        2 => Just(vec!["WITHSCORES"]),
        2 => Just(vec!["LIMIT", "0", "1"]),
        1 => Just(vec!["LIMIT", "1", "-1"]),
        1 => Just(vec!["LIMIT", "-1", "2"]),
        1 => Just(vec!["LIMIT", "x", "2"]),
        1 => Just(vec!["nonsense"]),
    ];
    let options = prop::collection::vec(option, 0..4).prop_map(|options| options.concat());
    let range = (set(), score(), score(), options).prop_map(|(set, from, to, options)| {
        let words = [&["ZRANGE", &set, &from, &to][..], &options].concat();
        words.into_iter().map(str::to_owned).collect()
    });
    prop_oneof![
        6 => add,
        1 => line(vec![word("ZADD"), set(), score(), member()]),
        5 => range,
        3 => line(vec![one_of(&["ZREM", "ZMSCORE"]), set(), member(), member()]),
        2 => line(vec![one_of(&["ZREM", "ZMSCORE", "ZSCORE", "ZRANK"]), set(), member()]),
        1 => line(vec![word("ZCARD"), set()]),
        1 => line(vec![word("ZCOUNT"), set(), score(), score()]),
    ]
    .boxed()
}

/// What a key alone is asked.
const OF_A_KEY: &[&str] = &[
    "GET",
    "TTL",
    "PTTL",
    "PEXPIRETIME",
    "EXPIRETIME",
    "TYPE",
    "STRLEN",
    "GETDEL",
    "PERSIST",
    "INCR",
    "DECR",
    "HGETALL",
    "HLEN",
    "DEL",
    "UNLINK",
    "EXISTS",
    "TOUCH",
];

/// Commands on keys and their values.
fn on_keys() -> BoxedStrategy<Vec<String>> {
    let (k, v, n) = (|| key().boxed(), || value().boxed(), || number().boxed());
    let field = || one_of(&["f", "g"]);
    prop_oneof![
        8 => line(vec![one_of(OF_A_KEY), k()]),
        2 => line(vec![one_of(&["DEL", "EXISTS", "MGET", "UNLINK"]), k(), k(), k()]),
        3 => line(vec![one_of(&["SETNX", "APPEND", "GETSET", "INCRBY", "DECRBY"]), k(), v()]),
        1 => line(vec![one_of(&["INCRBY", "DECRBY"]), k(), n()]),
        2 => line(vec![one_of(&["SETEX", "PSETEX"]), k(), n(), v()]),
        1 => line(vec![word("MSET"), k(), v(), k(), v()]),
        2 => line(vec![word("HSET"), word("h"), field(), v()]),
        1 => line(vec![word("HSET"), k(), field(), v(), one_of(&["f", "z"]), v()]),
        1 => line(vec![one_of(&["HGET", "HEXISTS", "HDEL"]), k(), field()]),
        1 => line(vec![word("WAIT"), word("0"), one_of(&["0", "1", "-1", "x"])]),
    ]
    .boxed()
}

/// Commands without random parts, valid and invalid.
const FIXED: &[&str] = &[
    "TIME",
    "PING",
    "PING hello",
    "PING a b",
    "ECHO x",
    "ECHO",
    "DBSIZE",
    "FLUSHALL",
    "FLUSHDB ASYNC",
    "FLUSHALL nonsense",
    "SCRIPT FLUSH",
    "SCRIPT EXISTS x",
    "SCRIPT KILL",
    "SCRIPT nonsense",
    "NOSUCH a",
    "GET",
    "CLIENT GETNAME",
    "CLIENT KILL ID 999999",
    "CLIENT KILL ID 0",
    "CLIENT KILL 1:1",
    "CLIENT nonsense",
    "CLIENT NO-EVICT on",
    "CONFIG RESETSTAT",
    "CONFIG nonsense",
    "AUTH x",
    "AUTH default x",
    "ROLE",
    "HELLO 2",
    "HELLO 4",
    "HELLO x",
    "SET a",
    "SET a b PX",
    "MSET a",
    "EVAL x",
    "KEYS [",
    "CLIENT ID x",
    "PUBLISH a x",
    "PUBSUB NUMSUB",
    "PUBSUB NUMSUB a b",
    "PUBSUB CHANNELS",
    "PUBSUB NUMPAT",
    "PUBSUB NUMPAT x",
    "PUBSUB nonsense",
];

/// Commands on the connection and the server.
fn on_the_server() -> BoxedStrategy<Vec<String>> {
    let setting = one_of(&["appendfsync", "maxmemory-policy", "nosuch"]);
    let to = one_of(&["always", "noeviction", "nonsense"]);
    let asked = one_of(&["appendfsync", "appendonly", "nosuch"]);
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    prop_oneof![
        1 => line(vec![word("SELECT"), one_of(&["0", "0", "1", "16", "-1", "x"])]),
        1 => line(vec![word("CONFIG"), word("SET"), setting, to]),
        1 => line(vec![word("CONFIG"), word("GET"), asked]),
        1 => line(vec![word("CLIENT"), word("SETNAME"), one_of(&["me", "", "a b"])]),
        3 => select(FIXED).prop_map(words),
    ]
    .boxed()
}

/// The SHA-1s of the scripts, computed by the embedded server. If it computed them wrongly, the
/// real one would not know the scripts.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let server = Server::new(ManualClock::default());
    let name =
        |script: &&str| match server.call(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", *script])
        {
            Reply::Bulk(sha) => String::from_utf8_lossy(&sha).into_owned(),
            other => panic!("no SHA-1: {other:?}"),
        };
    SCRIPTS.iter().map(name).collect()
});

/// The clock moves, often to where a key ends.
pub(super) fn time() -> impl Strategy<Value = Step> {
    let moves = select(
        &[
            1,
            499,
            500,
            1000,
            1001,
            999_000,
            1_000_000,
            1_001_000,
            7_777_777,
            90_000_000_000,
        ][..],
    );
    let near = select(&[-1_500_000, -500_000, -1000, -1, 0, 1, 999, 1000, 1001][..]);
    prop_oneof![
        4 => (moves, any::<bool>()).prop_map(|(us, back)| Step::Move(if back { -us } else { us })),
        3 => (select(KEYS), near).prop_map(|(k, us)| Step::ToExpiry(k, us)),
    ]
}

/// Any one step.
pub fn step() -> impl Strategy<Value = Step> {
    let command =
        |argv: Vec<String>| Step::Command(argv.into_iter().map(String::into_bytes).collect());
    prop_oneof![
        30 => commands().prop_map(command),
        7 => time(),
        1 => prop::bool::weighted(0.3).prop_map(Step::OutOfMemory),
    ]
}
