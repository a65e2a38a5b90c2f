//! What the embedded server pushes to whom, and in which order, against a real one: the same
//! commands of two connections to both.

use std::cell::RefCell;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tenure_sim::server::{ManualClock, Server, ServerClock, Session};
use tenure_tests::conformance::lock::BEGIN_US;
use tenure_tests::conformance::real::{RealClient, RealServer};
use tenure_tests::conformance::steps::Step;
use tenure_tests::conformance::tracking::{Turn, beginning, turns};
use tenure_tests::conformance::wire::{self, Wire};
use tenure_tests::live::gate;

use crate::conformance::{argv, histories, is_another, is_older, leave_out_another};

/// What is pushed is asked for by this: it changes nothing, not even what `CLIENT CACHING` did.
const FENCE: &[&str] = &["CLIENT", "GETNAME"];

/// Two connections to each of two servers.
struct Quartet {
    real: RealServer,
    clock: ManualClock,
    embedded: Server,
    talkers: Vec<(RealClient, Session)>,
    /// How many pushes were compared.
    pushes: u64,
}

/// All that an embedded server has written for a connection.
fn read(mut bytes: &[u8]) -> Vec<Wire> {
    let mut heard = Vec::new();
    while !bytes.is_empty() {
        let (said, length) = wire::reply(bytes).expect("it writes whole replies");
        heard.push(said);
        bytes = &bytes[length..];
    }
    heard
}

impl Quartet {
    /// `None` if there is no real server, which was then said on standard error.
    #[track_caller]
    fn start() -> Option<Self> {
        let real = match RealServer::start(BEGIN_US) {
            Ok(real) => real,
            Err(missing) => {
                gate::leave_out(&missing);
                return None;
            }
        };
        let clock = ManualClock::new(BEGIN_US);
        let embedded = Server::new(clock.clone());
        let talker = || {
            let client = real.connect().expect("it takes another connection");
            (client, embedded.remote_session())
        };
        let talkers = vec![talker(), talker()];
        Some(Self {
            real,
            clock,
            embedded,
            talkers,
            pushes: 0,
        })
    }

    /// Those of which the real one is none of those that are known to differ.
    #[track_caller]
    fn alike(differs: impl Fn(&str) -> bool) -> Option<Self> {
        let mut quartet = Self::start()?;
        let version = quartet.real.version();
        if differs(&version) {
            leave_out_another(&version);
            return None;
        }
        Some(quartet)
    }

    fn set_clock(&self, now_us: u64) {
        self.real.set_clock(now_us);
        self.clock.set_us(now_us);
    }

    /// A command of a connection: what each connection hears of it, from both servers.
    fn hear(&mut self, by: usize, command: &[Vec<u8>]) -> [(Vec<Wire>, Vec<Wire>); 2] {
        let fence = argv(FENCE);
        let exchange = |session: &mut Session, command| {
            let written = session.exchange(&wire::request(command));
            read(&written.expect("well formed"))
        };
        let mut heard = [const { (Vec::new(), Vec::new()) }; 2];
        let talker = &mut self.talkers[by];
        heard[by] = (talker.0.hear(command), exchange(&mut talker.1, command));
        for (talker, heard) in self.talkers.iter_mut().zip(&mut heard) {
            heard.0.extend(talker.0.hear(&fence));
            heard.1.extend(exchange(&mut talker.1, &fence));
            let pushes = heard.0.iter().filter(|said| matches!(said, Wire::Push(_)));
            self.pushes += pushes.count() as u64;
        }
        heard
    }

    /// A command of which both servers let both connections hear the same.
    fn agree(&mut self, by: usize, command: &[Vec<u8>]) -> Result<(), String> {
        let heard = self.hear(by, command);
        for (of, (real, embedded)) in heard.into_iter().enumerate() {
            if real != embedded {
                let text: Vec<_> = command.iter().map(|a| String::from_utf8_lossy(a)).collect();
                return Err(format!(
                    "after {text:?} by {by}, connection {of} hears\n  of the real server     \
                     {real:?}\n  of the embedded server {embedded:?}"
                ));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn must_agree(&mut self, by: usize, words: &[&str]) {
        if let Err(difference) = self.agree(by, &argv(words)) {
            panic!("{difference}");
        }
    }

    /// The same beginning for every history. These connections have RESP3.
    fn reset(&mut self, resp3: [bool; 2]) {
        self.set_clock(BEGIN_US);
        for (by, resp3) in resp3.into_iter().enumerate() {
            self.hear(by, &argv(&["RESET"]));
            if resp3 {
                // The reply has versions and ids, which differ.
                self.hear(by, &argv(&["HELLO", "3"]));
            }
        }
        self.must_agree(0, &["FLUSHALL"]);
        self.must_agree(0, &["SCRIPT", "FLUSH"]);
    }

    fn play(&mut self, resp3: [bool; 2], turns: &[Turn]) -> Result<(), TestCaseError> {
        self.reset(resp3);
        for (i, Turn { by, step }) in turns.iter().enumerate() {
            match step {
                Step::Command(command) => {
                    let agreed = self.agree(*by, command);
                    agreed.map_err(|how| TestCaseError::fail(format!("step {i}: {how}")))?;
                }
                Step::Move(us) => self.set_clock(self.clock.now_us().saturating_add_signed(*us)),
                Step::ToExpiry(key, us) => {
                    let at = self.embedded.peek_expiry_ms(key);
                    let at = at.filter(|ms| (1_000_000..4_000_000_000_000).contains(ms));
                    if let Some(ms) = at.and_then(|ms| u64::try_from(ms).ok()) {
                        self.set_clock((ms * 1000).saturating_add_signed(*us));
                    }
                }
                Step::OutOfMemory(_) => unreachable!("no turn of these histories"),
            }
        }
        Ok(())
    }
}

#[test]
fn pushes_of_changed_keys_are_those_of_a_real_server() {
    // What a script may call is not the same elsewhere, which shows in these histories.
    let Some(quartet) = Quartet::alike(is_another) else {
        return;
    };
    let quartet = RefCell::new(quartet);
    let config = Config {
        failure_persistence: None,
        cases: histories(),
        ..Config::default()
    };
    let resp3 = proptest::array::uniform2(proptest::bool::weighted(0.8));
    let turns = proptest::collection::vec(turns(), 1..60);
    let history = (resp3, beginning(), turns);
    let outcome = TestRunner::new(config).run(&history, |(resp3, mut all, turns)| {
        all.extend(turns.concat());
        quartet.borrow_mut().play(resp3, &all)
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
    let pushes = quartet.into_inner().pushes;
    println!("{pushes} pushes compared");
    assert!(pushes >= u64::from(histories()) / 8, "{pushes}");
}

/// The words, and not only the codes.
#[test]
fn what_is_refused_of_tracking_is_refused_in_the_same_words() {
    let Some(mut quartet) = Quartet::alike(is_older) else {
        return;
    };
    for words in [
        &["CLIENT", "CACHING", "YES"][..],
        &["CLIENT", "CACHING", "MAYBE"],
        &["CLIENT", "CACHING"],
        &["CLIENT", "TRACKING"],
        &["CLIENT", "TRACKING", "MAYBE"],
        &["CLIENT", "TRACKING", "ON", "x"],
        &["CLIENT", "TRACKING", "ON", "OPTIN", "OPTOUT"],
        &["CLIENT", "TRACKING", "ON"],
        &["CLIENT", "CACHING", "YES"],
        &["CLIENT", "CACHING", "NO"],
        &["CLIENT", "TRACKING", "ON", "OPTIN"],
        &["CLIENT", "CACHING", "NO"],
        &["CLIENT", "CACHING", "MAYBE"],
        &["CLIENT", "TRACKING", "ON", "OPTOUT"],
        &["CLIENT", "TRACKING", "OFF"],
        &["CLIENT", "TRACKING", "ON", "OPTOUT"],
        &["CLIENT", "CACHING", "YES"],
        &["CONFIG", "SET", "tracking-table-max-keys", "-1"],
        &["CONFIG", "SET", "tracking-table-max-keys", "x"],
    ] {
        let command = argv(words);
        let (real, embedded) = &mut quartet.talkers[0];
        let written = embedded.exchange(&wire::request(&command));
        let written = String::from_utf8(written.expect("well formed")).expect("it is text");
        assert_eq!(real.line(&command), written, "{words:?}");
    }
}

/// Which keys are forgotten is a server's own choice, and how many is not.
#[test]
fn a_full_table_forgets_as_many_keys_as_that_of_a_real_server() {
    const KEYS: usize = 300;
    let Some(mut quartet) = Quartet::start() else {
        return;
    };
    quartet.reset([true, true]);
    let name = "tracking-table-max-keys";
    quartet.must_agree(1, &["CONFIG", "GET", name]);
    quartet.must_agree(1, &["CONFIG", "SET", name, "200"]);
    quartet.must_agree(0, &["CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"]);
    quartet.must_agree(0, &["CLIENT", "CACHING", "YES"]);
    let keys: Vec<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
    let mut read = vec!["MGET"];
    read.extend(keys.iter().map(String::as_str));
    // A command of its own would let it forget in silence, and so may its fence.
    let (real, embedded) = &mut quartet.talkers[0];
    real.hear(&argv(&read));
    embedded
        .exchange(&wire::request(&argv(&read)))
        .expect("well formed");
    let heard = quartet.hear(1, &argv(&["PING"]));
    let (real, embedded) = &heard[0];
    for heard in [real, embedded] {
        let told = |said: &&Wire| match said {
            Wire::Push(parts) => matches!(&parts[..], [_, Wire::Array(keys)] if keys.len() == 1),
            _ => false,
        };
        assert_eq!(heard.iter().filter(told).count(), KEYS - 200, "{heard:?}");
    }
}
