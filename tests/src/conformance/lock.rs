//! Random histories of locks: the adapter's own scripts, called as the adapter calls them, and with
//! wrong arguments too. There are few keys, so that leases, attempts and markers collide.
//!
//! The wall clock is steered and the same for both servers, so even what an answer says of the
//! server's time is compared exactly.

use proptest::prelude::*;
use proptest::sample::select;

use tenure_redis::seams::Script;

use super::steps::Step;
use crate::scripts::{LARGEST_ID, STREAM};

/// Where histories begin, and what proposals lie around: a bit after midnight, so that rounding
/// shows.
pub const BEGIN_US: u64 = 1_767_225_600_123_456;

/// Locks; the last is a hash as often as not.
const LOCKS: &[&str] = &["a", "b", "h"];
/// Counters, one for each lock; and one that several share by mistake.
const COUNTERS: &[&str] = &["a:tenure:fence", "b:tenure:fence", "h:tenure:fence", "a"];
const MARKER: &str = "tenure:node";

/// Leases: of one owner, of none, and of one whose label is another's token. And something that is
/// a prefix of the first.
const LEASES: &[&str] = &[
    "web-1:00112233445566778899aabbccddeeff",
    "ffeeddccbbaa99887766554433221100",
    "ffeeddccbbaa99887766554433221100:9:00112233445566778899aabbccddeeff",
    "web-1:0011",
];
/// Attempts: as numbers they have another order than as text.
const ATTEMPTS: &[&str] = &["1", "2", "9", "10", "4294967295"];
/// What else may be in the place of a token or a counter or a marker.
const FOREIGN: &[&str] = &[
    "",
    "somebody",
    "0",
    "-1",
    "1.5",
    "1767225600123456",
    "1767225601000000",
    "3534451200246912",
    "9007199254740990",
    "9007199254740991",
    "9007199254740993",
    "web-1:00112233445566778899aabbccddeeff:",
    "web-1:00112233445566778899aabbccddeeff:x",
    "run repl 0 1767225600123 10000 3 ",
    "run repl 1 99999999999999 10000 3 blue",
];
const TTLS: &[&str] = &["1", "2", "1000", "10000", "10000", "86400000"];

fn one(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(of).prop_map(str::to_owned)
}

fn token() -> impl Strategy<Value = String> {
    (select(LEASES), select(ATTEMPTS)).prop_map(|(lease, attempt)| format!("{lease}:{attempt}"))
}

/// A lock and its counter, mostly the right one.
fn lock() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        12 => select(LOCKS).prop_map(|lock| vec![lock.to_owned(), format!("{lock}:tenure:fence")]),
        1 => (one(LOCKS), one(COUNTERS)).prop_map(|(lock, counter)| vec![lock, counter]),
    ]
}

/// A fence or a proposal: none, past, near, a minute ahead and more.
fn fence() -> impl Strategy<Value = String> {
    let from_now = select(
        &[
            -3_600_000_000_i64,
            -1,
            0,
            1,
            1_000,
            59_999_999,
            60_000_000,
            60_000_001,
            90_000_000_000,
        ][..],
    );
    prop_oneof![
        2 => Just("0".to_owned()),
        4 => from_now.prop_map(|us| (2 * BEGIN_US.saturating_add_signed(us)).to_string()),
        1 => one(&["1", "9007199254740990"]),
    ]
}

/// Run id and replication id.
fn ids() -> impl Strategy<Value = [String; 2]> {
    prop_oneof![
        6 => Just(["run", "repl"]),
        1 => Just(["run", "other"]),
        1 => Just(["other", "repl"]),
    ]
    .prop_map(|ids| ids.map(str::to_owned))
}

/// Largest TTL, number of nodes, name.
fn set() -> impl Strategy<Value = [String; 3]> {
    prop_oneof![
        10 => Just(["10000", "3", ""]),
        1 => Just(["30000", "3", ""]),
        1 => Just(["10000", "5", ""]),
        1 => Just(["10000", "3", "blue team"]),
    ]
    .prop_map(|set| set.map(str::to_owned))
}

fn call(script: Script, keys: &[String], args: &[String]) -> Vec<String> {
    let mut argv = vec![
        "EVAL".to_owned(),
        script.text().to_owned(),
        keys.len().to_string(),
    ];
    argv.extend_from_slice(keys);
    argv.extend_from_slice(args);
    argv
}

/// Some acquires: all their locks before all their tokens.
fn acquires() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let acquire = (lock(), token(), one(TTLS), fence())
        .prop_map(|(keys, token, ttl, fence)| (keys, vec![token, ttl, fence]));
    prop::collection::vec(acquire, 1..4).prop_map(|acquires| {
        let (keys, args): (Vec<_>, Vec<_>) = acquires.into_iter().unzip();
        (keys.concat(), args.concat())
    })
}

/// The same over one node, where the stream draws for all.
fn acquires_of_one() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let acquire = (one(LOCKS), token(), one(TTLS));
    prop::collection::vec(acquire, 1..4).prop_map(|acquires| {
        let mut keys: Vec<_> = acquires.iter().map(|(key, ..)| key.clone()).collect();
        keys.push(STREAM.to_owned());
        let args = acquires.into_iter();
        (
            keys,
            args.flat_map(|(_, token, ttl)| [token, ttl]).collect(),
        )
    })
}

/// The queue of a lock; and a lock's own key by mistake.
fn queue_of(lock: &str, mistaken: bool) -> String {
    if mistaken {
        "h".to_owned()
    } else {
        format!("{lock}:tenure:queue")
    }
}

/// A place of the lease with this token, which listens at this channel if it has one.
fn place(token: &str, channel: &str) -> String {
    let id = digits_of(token);
    format!("Ax{id}{:03}{token}{channel}", token.len())
}

/// Sixteen digits that a token always gives.
fn digits_of(token: &str) -> String {
    let mix = |digest: u64, byte: u8| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", token.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

const CHANNELS: &[&str] = &["", "", "pushes:1"];
const SERIALS: &[&str] = &["0", "1", "31", "32", "63"];

/// Leases that wait for a lock of one node.
fn waits() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let mistaken = || prop::bool::weighted(0.05);
    let parts = (
        one(LOCKS),
        mistaken(),
        token(),
        one(TTLS),
        select(CHANNELS),
        one(SERIALS),
    );
    let wait = parts.prop_map(|(lock, mistaken, token, ttl, channel, serial)| {
        let place = place(&token, channel);
        let queue = queue_of(&lock, mistaken);
        ([lock, queue], [token, ttl, place, serial])
    });
    prop::collection::vec(wait, 1..4).prop_map(|waits| {
        let (mut keys, mut args) = (Vec::new(), Vec::new());
        for (lock, wait) in waits {
            keys.extend(lock);
            args.extend(wait);
        }
        keys.push(STREAM.to_owned());
        (keys, args)
    })
}

/// Releases of locks of one node, some of leases that have a place.
fn releases_of_one() -> impl Strategy<Value = Vec<String>> {
    let mistaken = || prop::bool::weighted(0.05);
    let parts = (
        one(LOCKS),
        mistaken(),
        token(),
        any::<bool>(),
        select(CHANNELS),
    );
    let release = parts.prop_map(|(lock, mistaken, token, placed, channel)| {
        let place = if placed {
            place(&token, channel)
        } else {
            String::new()
        };
        let queue = queue_of(&lock, mistaken);
        ([lock, queue], [token, place])
    });
    prop::collection::vec(release, 1..4).prop_map(|releases| {
        let (mut keys, mut args) = (Vec::new(), Vec::new());
        for (lock, release) in releases {
            keys.extend(lock);
            args.extend(release);
        }
        keys.push(STREAM.to_owned());
        call(Script::ReleaseOne, &keys, &args)
    })
}

/// Breaks of what a lock may hold.
fn breaks(script: Script) -> impl Strategy<Value = Vec<String>> {
    let seen = prop_oneof![6 => token(), 1 => one(FOREIGN)];
    let parts = (one(LOCKS), prop::bool::weighted(0.05), seen);
    parts.prop_map(move |(lock, mistaken, seen)| {
        let queue = queue_of(&lock, mistaken);
        let mut keys = vec![lock, queue];
        if script.layout().stream {
            keys.push(STREAM.to_owned());
        }
        // Its name is a digest of its text, as servers compute it.
        let digest = redis::Script::new(&seen).get_hash().to_owned();
        call(script, &keys, &[digest])
    })
}

/// These acquires, with the marker of the node.
fn marked(
    script: Script,
    acquires: impl Strategy<Value = (Vec<String>, Vec<String>)>,
) -> impl Strategy<Value = Vec<String>> {
    // By the clock that such a history begins with, sometimes as it is and mostly not.
    let since = one(&["0", "1767225600123", "1767225600124", "1767225610123"]);
    let marker = (ids(), since, set(), one(&["0", "1"]));
    (acquires, marker).prop_map(move |((mut keys, args), (ids, since, set, durable))| {
        keys.push(MARKER.to_owned());
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let over = number(&since) + number(&set[0]);
        let text = [&ids[..], &[durable, since], &set].concat().join(" ");
        let args = [&args[..], &[over.to_string(), text]].concat();
        call(script, &keys, &args)
    })
}

/// Locks that are taken without a script, and the draw of their fence.
fn native() -> impl Strategy<Value = Vec<String>> {
    let take = (one(LOCKS), token(), one(TTLS)).prop_map(|(key, token, ttl)| {
        ["SET", &key, &token, "NX", "PX", &ttl]
            .map(str::to_owned)
            .to_vec()
    });
    let draw = ["XADD", STREAM, "NOMKSTREAM", "MAXLEN", "0", "*", "", ""].map(str::to_owned);
    prop_oneof![1 => take, 2 => Just(draw.to_vec())]
}

/// A call of one of the scripts.
pub fn script_call() -> BoxedStrategy<Vec<String>> {
    let several = Script::AcquireSeveral;
    let acquire = acquires().prop_map(move |(keys, args)| call(several, &keys, &args));
    let one_node = Script::AcquireOne;
    let of_one = acquires_of_one().prop_map(move |(keys, args)| call(one_node, &keys, &args));
    let confirm = (lock(), token(), fence())
        .prop_map(|(keys, token, fence)| call(Script::Confirm, &keys, &[token, fence]));
    let renew = prop::collection::vec((one(LOCKS), token(), one(TTLS)), 0..5).prop_map(|leases| {
        let keys: Vec<_> = leases.iter().map(|(key, ..)| key.clone()).collect();
        let args: Vec<_> = leases
            .into_iter()
            .flat_map(|(_, token, ttl)| [token, ttl])
            .collect();
        call(Script::Renew, &keys, &args)
    });
    let repair = (lock(), token(), one(TTLS), fence())
        .prop_map(|(keys, token, ttl, fence)| call(Script::Repair, &keys, &[token, ttl, fence]));
    let release = prop::collection::vec((one(LOCKS), token()), 0..4).prop_map(|leases| {
        let (keys, tokens): (Vec<_>, Vec<_>) = leases.into_iter().unzip();
        call(Script::Release, &keys, &tokens)
    });
    let inspect = lock().prop_map(|mut keys| {
        keys.push(queue_of(&keys[0], false));
        call(Script::InspectSeveral, &keys, &[])
    });
    let inspect_one = (one(LOCKS), prop::bool::weighted(0.1)).prop_map(|(lock, mistaken)| {
        let queue = queue_of(&lock, mistaken);
        call(Script::InspectOne, &[lock, queue], &[])
    });
    let mark = (ids(), one(&["0", "0", "1"]), set()).prop_map(|(ids, durable, set)| {
        let args = [&ids[..], &[durable], &set].concat();
        call(Script::Mark, &[MARKER.to_owned()], &args)
    });
    let keep = Just(call(Script::Keep, &[STREAM.to_owned()], &[]));
    prop_oneof![
        6 => acquire,
        6 => of_one,
        6 => marked(several, acquires()),
        3 => marked(one_node, acquires_of_one()),
        3 => native(),
        3 => confirm,
        5 => renew,
        3 => repair,
        4 => release,
        12 => waits().prop_map(|(keys, args)| call(Script::WaitOne, &keys, &args)),
        3 => marked(Script::WaitOne, waits()),
        10 => releases_of_one(),
        1 => inspect,
        4 => inspect_one,
        5 => breaks(Script::BreakOne),
        2 => breaks(Script::BreakSeveral),
        3 => mark,
        1 => keep,
    ]
    .boxed()
}

/// What others do to the same keys.
fn interference() -> BoxedStrategy<Vec<String>> {
    let key = || {
        let keys = [LOCKS, COUNTERS, &[MARKER, STREAM]].concat();
        select(keys).prop_map(str::to_owned)
    };
    let text = || prop_oneof![one(FOREIGN), token(), fence()];
    prop_oneof![
        3 => (key(), text(), one(TTLS))
            .prop_map(|(k, v, ttl)| ["SET", &k, &v, "PX", &ttl].map(str::to_owned).to_vec()),
        1 => (key(), text()).prop_map(|(k, v)| ["SET", &k, &v].map(str::to_owned).to_vec()),
        2 => (select(&["DEL", "PERSIST", "GET", "PTTL", "PEXPIRETIME"][..]), key())
            .prop_map(|(name, k)| [name, &k].map(str::to_owned).to_vec()),
        1 => key().prop_map(|k| ["HSET", &k, "f", "v"].map(str::to_owned).to_vec()),
        1 => (one(&["DEL", "ZCARD", "PEXPIRETIME"]), one(LOCKS))
            .prop_map(|(name, lock)| vec![name, queue_of(&lock, false)]),
        2 => one(LOCKS).prop_map(|lock| {
            let queue = queue_of(&lock, false);
            ["ZRANGE", &queue, "0", "-1", "WITHSCORES"].map(str::to_owned).to_vec()
        }),
        1 => one(LOCKS).prop_map(|lock| {
            let queue = queue_of(&lock, false);
            ["HSET", &queue, "f", "v"].map(str::to_owned).to_vec()
        }),
        1 => one(&["1767225600123-1799", "1767225601000-1800", "4503599627370-0", LARGEST_ID])
            .prop_map(|id| ["XADD", STREAM, &id, "", ""].map(str::to_owned).to_vec()),
    ]
    .boxed()
}

/// One step in the life of some locks.
pub fn lock_step() -> impl Strategy<Value = Step> {
    let command =
        |argv: Vec<String>| Step::Command(argv.into_iter().map(String::into_bytes).collect());
    let moves = select(
        &[
            1,
            999,
            1_000,
            1_001,
            500_000,
            1_000_000,
            5_000_000,
            9_999_000,
            10_000_000,
            86_400_000_000,
        ][..],
    );
    let near = select(&[-1_000_000, -1_000, -1, 0, 1, 1_000][..]);
    prop_oneof![
        30 => script_call().prop_map(command),
        6 => interference().prop_map(command),
        4 => (moves, prop::bool::weighted(0.2))
            .prop_map(|(us, back)| Step::Move(if back { -us } else { us })),
        3 => (select(LOCKS), near).prop_map(|(key, us)| Step::ToExpiry(key, us)),
        1 => prop::bool::weighted(0.3).prop_map(Step::OutOfMemory),
    ]
}
