//! Attempts of one lease compare as numbers: the tenth is newer than the ninth.

use tenure_core::OpKind;
use tenure_redis::seams::{LockArg, LockKey, Script};
use tenure_sim::server::{ManualClock, Reply, Server};

const SECRET: &str = "00112233445566778899aabbccddeeff";
/// Attempts with different numbers of digits. As text they would have another order.
const ATTEMPTS: [u32; 6] = [1, 2, 9, 10, 99, 100];

/// A lock that one attempt holds, and what another attempt of the same lease is answered by a
/// script there: the first word, and who holds the lock then.
fn ask(holder: u32, kind: OpKind, asker: u32) -> (String, Option<u32>) {
    let token = |attempt: u32| format!("web-1:{SECRET}:{attempt}");
    let server = Server::new(ManualClock::new(1_767_225_600_000_000));
    server.call(&["SET", "k", &token(holder), "PX", "10000"]);
    let asked = token(asker);
    let layout = Script::Lease(kind).layout();
    let count = layout.lock_keys.len().to_string();
    let keys = layout.lock_keys.iter().map(|key| match key {
        LockKey::Lock => "k",
        LockKey::Counter => "k:tenure:fence",
    });
    let args = layout.lock_args.iter().map(|arg| match arg {
        LockArg::Token => asked.as_str(),
        LockArg::Ttl => "10000",
        LockArg::Proposal | LockArg::Fence => "7",
    });
    let call = ["EVAL", layout.text, &count];
    let argv: Vec<_> = call.into_iter().chain(keys).chain(args).collect();
    let answer = match server.call(&argv) {
        // Of an acquire: an answer for each lock. Otherwise the failures, each after its index.
        Reply::Array(mut parts) if kind == OpKind::Acquire => parts.remove(0),
        Reply::Array(parts) => parts
            .get(1)
            .cloned()
            .unwrap_or(Reply::Bulk(b"done".to_vec())),
        single => single,
    };
    let Reply::Bulk(answer) = answer else {
        panic!("no word: {answer:?}");
    };
    let answer = String::from_utf8_lossy(&answer).into_owned();
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
        assert_eq!(
            ask(holder, OpKind::Acquire, asker),
            expected,
            "{holder} {asker}"
        );
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
            ask(holder, OpKind::Repair, asker),
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
            ask(holder, OpKind::Release, asker),
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
        for script in [OpKind::Renew, OpKind::Confirm] {
            let expected = (word.to_owned(), Some(holder));
            assert_eq!(ask(holder, script, asker), expected, "{holder} {asker}");
        }
    }
}
