//! Attempts of one lease compare as numbers: the tenth is newer than the ninth.

use tenure_redis::seams::Script;
use tenure_sim::server::{ManualClock, Reply, Server};
use tenure_tests::scripts::{self, Lock};

const SECRET: &str = "00112233445566778899aabbccddeeff";
/// Attempts with different numbers of digits. As text they would have another order.
const ATTEMPTS: [u32; 6] = [1, 2, 9, 10, 99, 100];
const ACQUIRES: [Script; 2] = [Script::AcquireOne, Script::AcquireSeveral];

/// A lock that one attempt holds, and what another attempt of the same lease is answered by a
/// script there: the first word, and who holds the lock then.
fn ask(holder: u32, script: Script, asker: u32) -> (String, Option<u32>) {
    let token = |attempt: u32| format!("web-1:{SECRET}:{attempt}");
    let server = Server::new(ManualClock::new(1_767_225_600_000_000));
    server.call(&["SET", "k", &token(holder), "PX", "10000"]);
    let lock = Lock {
        key: "k".to_owned(),
        counter: "k:tenure:fence".to_owned(),
        token: token(asker),
        ttl: "10000".to_owned(),
        proposal: "7".to_owned(),
        fence: "7".to_owned(),
        ..Lock::default()
    };
    let answer = match server.call(&scripts::call(script, &[lock], None)) {
        // Of an acquire: an answer for each lock. Otherwise the failures, each after its index.
        Reply::Array(mut parts) if ACQUIRES.contains(&script) => parts.remove(0),
        Reply::Array(parts) => parts
            .get(1)
            .cloned()
            .unwrap_or(Reply::Bulk(b"done".to_vec())),
        single => single,
    };
    let answer = match answer {
        Reply::Bulk(answer) => String::from_utf8_lossy(&answer).into_owned(),
        Reply::Int(_) => "granted".to_owned(),
        other => panic!("no word: {other:?}"),
    };
    let held = server.peek("k").map(|held| {
        let held = String::from_utf8_lossy(&held).into_owned();
        let (_, attempt) = held.rsplit_once(':').expect("a token");
        attempt.parse().expect("a number")
    });
    let word = answer.split(' ').next().unwrap_or_default();
    (word.to_owned(), held)
}

fn pairs() -> impl Iterator<Item = (u32, u32)> {
    let others = |holder| ATTEMPTS.map(|asker| (holder, asker));
    ATTEMPTS.into_iter().flat_map(others)
}

#[test]
fn an_acquire_replaces_an_earlier_attempt_and_never_a_later_one() {
    for (holder, asker) in pairs() {
        let expected = if holder <= asker {
            ("granted".to_owned(), Some(asker))
        } else {
            ("taken".to_owned(), Some(holder))
        };
        for script in ACQUIRES {
            assert_eq!(ask(holder, script, asker), expected, "{holder} {asker}");
        }
    }
}

#[test]
fn a_repair_replaces_an_earlier_attempt_and_never_a_later_one() {
    for (holder, asker) in pairs() {
        let expected = if holder <= asker {
            ("done".to_owned(), Some(asker))
        } else {
            ("taken".to_owned(), Some(holder))
        };
        assert_eq!(
            ask(holder, Script::Repair, asker),
            expected,
            "{holder} {asker}"
        );
    }
}

#[test]
fn a_release_deletes_an_earlier_attempt_and_never_a_later_one() {
    for (holder, asker) in pairs() {
        let expected = if holder <= asker {
            ("done".to_owned(), None)
        } else {
            ("taken".to_owned(), Some(holder))
        };
        assert_eq!(
            ask(holder, Script::Release, asker),
            expected,
            "{holder} {asker}"
        );
    }
}

/// An earlier attempt is never taken for a later one.
#[test]
fn renewals_and_confirmations_are_for_exactly_one_attempt() {
    for (holder, asker) in pairs() {
        let word = match holder.cmp(&asker) {
            std::cmp::Ordering::Less => "gone",
            std::cmp::Ordering::Equal => "done",
            std::cmp::Ordering::Greater => "taken",
        };
        for script in [Script::Renew, Script::Confirm] {
            let expected = (word.to_owned(), Some(holder));
            assert_eq!(ask(holder, script, asker), expected, "{holder} {asker}");
        }
    }
}
