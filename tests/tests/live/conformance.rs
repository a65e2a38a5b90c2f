//! The embedded server against a real one: the same random histories, each reply compared; of an
//! error the code.
//!
//! Without a real server or a C compiler on the PATH the test passes and says so; with
//! TENURE_REQUIRE_LIVE=1 that is a failure. PROPTEST_CASES sets how many histories are tried.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tenure_redis::seams::{Answers, Script};
use tenure_sim::server::{ManualClock, Server, ServerClock, Session};
use tenure_tests::conformance::lock::{BEGIN_US, lock_step};
use tenure_tests::conformance::real::RealServer;
use tenure_tests::conformance::steps::{Step, step};
use tenure_tests::conformance::wire::{self, Wire};
use tenure_tests::live::gate;
use tenure_tests::scripts::{Lock, Marker, call};
use tenure_tests::variables::number;

/// The version after which the embedded server is made.
const MODEL: &str = "Redis 7.0.";
/// How many histories are tried, where nothing else is said.
const HISTORIES: u32 = 500;

/// The adapter's scripts, on a lock that another lease holds, on a free one, and some on both.
fn scripts() -> Vec<Vec<String>> {
    let lock = |key: &str| Lock {
        key: key.to_owned(),
        counter: "c".to_owned(),
        token: "x:1".to_owned(),
        ttl: "1000".to_owned(),
        proposal: "0".to_owned(),
        fence: "7".to_owned(),
        queue: format!("{key}:tenure:queue"),
        place: "Ax0123456789abcdef003x:1".to_owned(),
        serial: "7".to_owned(),
        hints: "0".to_owned(),
        // Of `v`, which the key has that is held.
        seen: "7a38d8cbd20d9932ba948efaa364bb62651d5ad4".to_owned(),
    };
    let marker = Marker {
        key: "m".to_owned(),
        run_id: "run".to_owned(),
        replication_id: "repl".to_owned(),
        durable: "0".to_owned(),
        since: "0".to_owned(),
        max_ttl: "1000".to_owned(),
        nodes: "3".to_owned(),
        name: String::new(),
    };
    let (held, free) = (lock("k"), lock("free"));
    let mut calls = Vec::new();
    for &script in Script::ALL {
        let layout = script.layout();
        if layout.lock_keys.is_empty() {
            let marker = (!layout.marker_args.is_empty()).then_some(&marker);
            calls.push(call(script, &[], marker));
            continue;
        }
        // From who has not authenticated a server takes ten words at most, each of 16 KiB.
        if layout.text.len() > 16 * 1024 {
            continue;
        }
        calls.push(call(script, std::slice::from_ref(&held), None));
        calls.push(call(script, std::slice::from_ref(&free), None));
        let both = call(script, &[held.clone(), free.clone()], None);
        if layout.answers == Answers::Failures && both.len() <= 10 {
            calls.push(both);
        }
    }
    calls
}

pub(super) fn argv(words: &[impl AsRef<str>]) -> Vec<Vec<u8>> {
    let bytes = words.iter().map(|word| word.as_ref().as_bytes().to_vec());
    bytes.collect()
}

struct Pair {
    real: RealServer,
    clock: ManualClock,
    embedded: Server,
    session: Session,
    commands: u64,
    /// The words that scripts answered.
    words: BTreeSet<String>,
}

impl Pair {
    fn set_clock(&self, now_us: u64) {
        self.real.set_clock(now_us);
        self.clock.set_us(now_us);
    }

    /// One command to both; the embedded server's reply is read off its bytes.
    fn call(&mut self, argv: &[Vec<u8>]) -> (Wire, Wire) {
        self.commands += 1;
        let real = self.real.call(argv);
        let bytes = self
            .session
            .exchange(&wire::request(argv))
            .expect("well formed");
        let (embedded, length) =
            wire::reply(&bytes).unwrap_or_else(|| panic!("no whole reply: {bytes:?}"));
        assert_eq!(length, bytes.len(), "one reply to one request");
        let word = match &real {
            Wire::Array(parts) => parts.first(),
            single => Some(single),
        };
        if let (true, Some(Wire::Bulk(word))) = (argv[0] == b"EVAL", word) {
            let word = String::from_utf8_lossy(word);
            self.words.extend(word.split(' ').next().map(str::to_owned));
        }
        (real, embedded)
    }

    fn agree(&mut self, words: &[impl AsRef<str> + fmt::Debug]) {
        let (real, embedded) = self.call(&argv(words));
        assert_eq!(real, embedded, "{words:?}");
    }

    fn set_oom(&mut self, oom: bool) {
        let limit = if oom { "1" } else { "0" };
        self.agree(&["CONFIG", "SET", "maxmemory", limit]);
        self.embedded.set_oom(oom);
    }

    /// The same beginning for every history.
    fn reset(&mut self) {
        self.set_clock(BEGIN_US);
        self.agree(&["RESET"]);
        self.set_oom(false);
        // One in each, since Redis 6.2 sets no more.
        self.agree(&["CONFIG", "SET", "appendfsync", "everysec"]);
        self.agree(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        self.agree(&["FLUSHALL"]);
        self.agree(&["SCRIPT", "FLUSH"]);
    }

    fn play(&mut self, resp3: bool, steps: &[Step]) -> Result<(), TestCaseError> {
        self.reset();
        if resp3 {
            // The reply has versions and ids, which differ.
            self.call(&[b"HELLO".to_vec(), b"3".to_vec()]);
        }
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Command(argv) => {
                    let (real, embedded) = self.call(argv);
                    let hello = argv[0].eq_ignore_ascii_case(b"HELLO");
                    let names_ids =
                        hello && matches!((&real, &embedded), (Wire::Array(_), Wire::Array(_)));
                    if !names_ids && real != embedded {
                        let text: Vec<_> =
                            argv.iter().map(|a| String::from_utf8_lossy(a)).collect();
                        return Err(TestCaseError::fail(format!(
                            "step {i}, {text:?}:\n  the real server says     {real:?}\n  \
                             the embedded server says {embedded:?}"
                        )));
                    }
                }
                Step::Move(us) => self.set_clock(self.clock.now_us().saturating_add_signed(*us)),
                Step::ToExpiry(key, us) => {
                    let at = self
                        .embedded
                        .peek_expiry_ms(key)
                        .and_then(|ms| u64::try_from(ms).ok());
                    // Far from the epoch and from the end of what a clock can show.
                    let at = at.filter(|ms| (1_000_000..4_000_000_000_000).contains(ms));
                    if let Some(ms) = at {
                        self.set_clock((ms * 1000).saturating_add_signed(*us));
                    }
                }
                Step::OutOfMemory(oom) => self.set_oom(*oom),
            }
        }
        Ok(())
    }
}

/// Both servers, fresh; `None` if there is no real one, which was then said on standard error.
#[track_caller]
fn pair() -> Option<Pair> {
    let real = match RealServer::start(BEGIN_US) {
        Ok(real) => real,
        Err(missing) => {
            gate::leave_out(&missing);
            return None;
        }
    };
    let clock = ManualClock::new(BEGIN_US);
    let embedded = Server::new(clock.clone());
    let session = embedded.remote_session();
    Some(Pair {
        real,
        clock,
        embedded,
        session,
        commands: 0,
        words: BTreeSet::new(),
    })
}

/// Both servers, if the real one is none of those that are known to differ.
#[track_caller]
fn alike(differs: impl Fn(&str) -> bool) -> Option<Pair> {
    let mut pair = pair()?;
    let version = pair.real.version();
    if differs(&version) {
        leave_out_another(&version);
        return None;
    }
    Some(pair)
}

/// Says that what is compared differs at this server, and is known to.
#[track_caller]
pub(super) fn leave_out_another(version: &str) {
    gate::leave_out(&format!(
        "{version} has other words than {MODEL}x, after which the embedded server is made"
    ));
}

/// Others word some refusals differently, and take what it refuses.
pub(super) fn is_another(version: &str) -> bool {
    !version.starts_with(MODEL)
}

/// It says within each error of a command in which line of the script it was.
pub(super) fn is_older(version: &str) -> bool {
    version.starts_with("Redis 6.")
}

/// How many histories are tried.
pub(super) fn histories() -> u32 {
    let asked = number("PROPTEST_CASES").map(u32::try_from);
    asked.map_or(HISTORIES, |number| number.expect("a number of 32 bits"))
}

/// Plays random histories on both servers.
fn compare(pair: Pair, step: impl Strategy<Value = Step>) -> Pair {
    let pair = RefCell::new(pair);
    let config = Config {
        failure_persistence: None,
        cases: histories(),
        ..Config::default()
    };
    let history = (proptest::bool::ANY, proptest::collection::vec(step, 1..60));
    let outcome = TestRunner::new(config).run(&history, |(resp3, steps)| {
        pair.borrow_mut().play(resp3, &steps)
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
    let pair = pair.into_inner();
    println!("{} commands compared", pair.commands);
    pair
}

#[test]
fn the_embedded_server_answers_as_the_real_one_does() {
    let Some(pair) = alike(is_another) else {
        return;
    };
    compare(pair, step());
}

#[test]
fn the_scripts_of_the_adapter_answer_as_on_a_real_server() {
    let Some(pair) = alike(is_older) else { return };
    let pair = compare(pair, lock_step());
    // Fewer than the usual need not come to every word that a script can answer.
    if histories() < HISTORIES {
        return;
    }
    for word in [
        "granted",
        "held",
        "taken",
        "waiting",
        "foreign",
        "wrong",
        "unmarked",
        "quarantine",
        "misuse",
        "done",
        "gone",
        "seen",
        "marked",
        "handed",
        "deleted",
    ] {
        assert!(
            pair.words.contains(word),
            "never: {word}; seen: {:?}",
            pair.words
        );
    }
}

/// All that a scan with these options finds, in the order of the names.
fn scanned(mut call: impl FnMut(&[Vec<u8>]) -> Wire, options: &[&str]) -> Vec<Vec<u8>> {
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    loop {
        let reply = call(&argv(&[&["SCAN", &cursor], options].concat()));
        let Wire::Array(parts) = &reply else {
            panic!("{reply:?}");
        };
        let [Wire::Bulk(next), Wire::Array(keys)] = &parts[..] else {
            panic!("{reply:?}");
        };
        for key in keys {
            let Wire::Bulk(key) = key else {
                panic!("{key:?}");
            };
            found.insert(key.clone());
        }
        cursor = String::from_utf8(next.clone()).expect("digits");
        if cursor == "0" {
            return found.into_iter().collect();
        }
    }
}

/// The order of what is found, and how much each step finds, are a server's own.
#[test]
fn a_scan_finds_what_it_finds_on_a_real_server() {
    let Some(mut pair) = alike(is_another) else {
        return;
    };
    for number in 0..300 {
        pair.agree(&["SET", &format!("k{number}"), "v"]);
    }
    pair.agree(&["SET", "brief", "v", "PX", "1"]);
    pair.agree(&["ZADD", "k-sorted", "1", "m"]);
    pair.agree(&["HSET", "k-hash", "f", "v"]);
    pair.set_clock(BEGIN_US + 10_000);
    for options in [
        &[][..],
        &["COUNT", "1"],
        &["MATCH", "k1?"],
        &["MATCH", "k*", "COUNT", "7", "TYPE", "string"],
        &["type", "zset", "match", "k*"],
        &["TYPE", "none"],
        &["MATCH", ""],
    ] {
        let real = scanned(|argv| pair.real.call(argv), options);
        let embedded = scanned(
            |argv| {
                let reply = pair.session.exchange(&wire::request(argv));
                wire::reply(&reply.expect("well formed")).expect("whole").0
            },
            options,
        );
        assert_eq!(real, embedded, "{options:?}");
    }
    for wrong in [
        &["SCAN"][..],
        &["SCAN", "x"],
        &["SCAN", "1 "],
        &["SCAN", "0", "COUNT"],
        &["SCAN", "0", "COUNT", "0"],
        &["SCAN", "0", "COUNT", "x"],
        &["SCAN", "0", "LIMIT", "1"],
        &["SCAN", "x", "COUNT", "x"],
    ] {
        pair.agree(wrong);
    }
}

/// What is tried on a server that refuses.
const TRIED: &[&[&str]] = &[
    &["GET", "k"],
    &["SET", "k", "v"],
    &["GETEX", "k"],
    &["PTTL", "k"],
    &["DEL", "k"],
    &["PEXPIRE", "k", "1"],
    &["PING"],
    &["TIME"],
    &["NOSUCH"],
    &["GET"],
    &["CLIENT", "SETNAME", "x"],
    &["SCRIPT", "EXISTS", "x"],
    &["EVAL", "return 1", "0"],
    &["EVAL", "return redis.call('get', 'k')", "0"],
    &["EVAL", "return redis.call('set', 'k', 'v')", "0"],
    &["EVAL", "return redis.pcall('set', 'k', 'v')", "0"],
    &["EVAL", "return redis.call('getex', 'k')", "0"],
    &["EVAL", "#!lua\nreturn 1", "0"],
    &["EVAL_RO", "#!lua\nreturn 1", "0"],
    &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"],
    &["EVAL_RO", "return redis.call('get', 'k')", "0"],
    &["EVALSHA", "x", "0"],
    &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
    &["FLUSHALL"],
];

fn try_all(pair: &mut Pair) {
    TRIED.iter().for_each(|words| pair.agree(words));
    scripts().iter().for_each(|words| pair.agree(words));
}

#[test]
fn a_replica_refuses_what_a_real_one_refuses() {
    let Some(mut pair) = alike(is_another) else {
        return;
    };
    pair.agree(&["SET", "k", "v"]);
    // A replica of a primary that does not exist.
    assert_eq!(
        pair.real.call(&argv(&["REPLICAOF", "127.0.0.1", "1"])),
        Wire::Status("OK".to_owned())
    );
    pair.embedded.set_readonly(true);
    try_all(&mut pair);
    assert_eq!(
        pair.real.call(&argv(&["REPLICAOF", "NO", "ONE"])),
        Wire::Status("OK".to_owned())
    );
    pair.embedded.set_readonly(false);
    try_all(&mut pair);
}

#[test]
fn who_may_not_is_refused_as_by_a_real_server() {
    let Some(mut pair) = alike(is_another) else {
        return;
    };
    let bob = [
        "ACL", "SETUSER", "bob", "on", ">hammer", "~*", "+@all", "-set", "-evalsha", "-getex",
    ];
    assert_eq!(pair.real.call(&argv(&bob)), Wire::Status("OK".to_owned()));
    pair.embedded
        .set_user("bob", "hammer", &["set", "evalsha", "getex"]);
    pair.agree(&["AUTH", "bob", "wrong"]);
    pair.agree(&["AUTH", "nobody", "hammer"]);
    pair.agree(&["HELLO", "3", "AUTH", "bob", "wrong"]);
    pair.agree(&["AUTH", "bob", "hammer"]);
    try_all(&mut pair);
    pair.agree(&["AUTH", "default", "any"]);
    pair.agree(&["CONFIG", "SET", "requirepass", "sesame"]);
    try_all(&mut pair);
    pair.agree(&["RESET"]);
    try_all(&mut pair);
    pair.agree(&["HELLO", "3"]);
    pair.agree(&["HELLO", "3", "SETNAME", "x"]);
    pair.agree(&["AUTH", "wrong"]);
    pair.agree(&["AUTH", "sesame", "and", "more"]);
    pair.agree(&["AUTH", "sesame"]);
    try_all(&mut pair);
}
