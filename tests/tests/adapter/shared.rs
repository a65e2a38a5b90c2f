//! Calls that several locks share: what becomes of one lock does not depend on the others.

use tenure_sim::memory_net::World;
use tenure_sim::server::{ManualClock, Reply, Server};
use tenure_tests::scripts;

use crate::support::{Outcome, builder, calls, nodes, secs};

const NOW: u64 = 1_767_225_600_000_000;

/// The first eight digits of the SHA-1 of `somebody`.
const SOMEBODY: &str = "d31186cd";

fn token(lease: u8) -> String {
    format!("{lease:08x}{:024x}:1", 7)
}

/// One call that takes these locks, each for a lease of its own.
fn acquire(server: &Server, locks: &[&str]) -> Vec<String> {
    let counters: Vec<_> = locks
        .iter()
        .map(|lock| format!("{lock}:tenure:fence"))
        .collect();
    let tokens: Vec<_> = (1..).take(locks.len()).map(token).collect();
    let count = (2 * locks.len()).to_string();
    let mut argv = vec!["EVAL", scripts::ACQUIRE, &count];
    argv.extend(
        locks
            .iter()
            .zip(&counters)
            .flat_map(|(lock, counter)| [*lock, counter]),
    );
    argv.extend(tokens.iter().flat_map(|token| [token, "10000", "0"]));
    match server.call(&argv) {
        Reply::Array(answers) => answers
            .into_iter()
            .map(|answer| match answer {
                Reply::Bulk(answer) => String::from_utf8_lossy(&answer).into_owned(),
                other => panic!("{other:?}"),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn locks_that_are_taken_or_given_back_together_share_calls() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let keys = (0..100).map(|index| format!("k{index}"));
        let guards = futures_util::future::try_join_all(keys.map(|key| locks.lock(key))).await?;
        assert!(
            calls(&world, "acquire").len() <= 3,
            "{:?}",
            calls(&world, "acquire").len()
        );
        futures_util::future::try_join_all(guards.into_iter().map(|guard| guard.release())).await?;
        assert!(
            calls(&world, "release").len() <= 3,
            "{:?}",
            calls(&world, "release").len()
        );
        Ok(())
    })
}

#[test]
fn a_key_whose_guard_is_dropped_can_be_taken_at_once() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        for _ in 0..5 {
            let guard = locks.try_lock("k").await?;
            drop(guard);
            locks.try_lock("k").await?.release().await?;
        }
        Ok(())
    })
}

#[test]
fn a_held_or_foreign_lock_does_not_touch_its_neighbours_in_the_call() {
    let server = Server::new(ManualClock::new(NOW));
    server.call(&["SET", "held", "somebody", "PX", "5000"]);
    server.call(&["HSET", "hash", "f", "v"]);
    server.call(&["SET", "counted:tenure:fence", "not a number"]);
    server.call(&["SET", "eternal", "somebody"]);
    let locks = ["a", "held", "eternal", "hash", "counted", "b"];
    let answers = acquire(&server, &locks);
    let granted = format!("granted {NOW} {NOW}");
    let held = format!("held 5000 {NOW} {SOMEBODY}");
    let expected = [
        &granted,
        &held,
        "foreign",
        "wrong key hash",
        "wrong counter string",
        &granted,
    ];
    assert_eq!(answers, expected);
    assert_eq!(server.peek("a"), Some(token(1).into_bytes()));
    assert_eq!(server.peek("b"), Some(token(6).into_bytes()));
    assert_eq!(server.peek("counted"), None);
    assert_eq!(server.peek("held"), Some(b"somebody".to_vec()));
}

#[test]
fn one_lock_twice_in_a_call_is_granted_once() {
    let server = Server::new(ManualClock::new(NOW));
    let answers = acquire(&server, &["a", "a"]);
    assert!(answers[0].starts_with("granted"), "{answers:?}");
    assert_eq!(answers[1], format!("held 10000 {NOW} 00000001"));
}

/// The locks share a call.
#[test]
fn out_of_memory_no_lock_is_granted_and_a_held_one_is_told_as_held() {
    let server = Server::new(ManualClock::new(NOW));
    server.call(&["SET", "held", "somebody", "PX", "5000"]);
    server.call(&["SET", "counted:tenure:fence", "not a number"]);
    server.set_oom(true);
    let answers = acquire(&server, &["counted", "a", "held", "b"]);
    assert_eq!(answers[0], "wrong counter string");
    assert!(answers[1].starts_with("-OOM "), "{answers:?}");
    assert_eq!(answers[2], format!("held 5000 {NOW} {SOMEBODY}"));
    assert!(answers[3].starts_with("-OOM "), "{answers:?}");
    assert_eq!(server.peek("a"), None);
    assert_eq!(server.peek("b"), None);
}

#[test]
fn a_refusal_of_a_shared_call_is_asked_again_lock_by_lock() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let before = calls(&world, "acquire").len();
        let refusal = "NOPERM this user has no permissions to access one of the keys";
        node.server()
            .answer_next("EVALSHA", Reply::Error(refusal.into()));
        let keys = ["a", "b", "c"].map(|key| locks.try_lock(key));
        let guards = futures_util::future::try_join_all(keys).await?;
        let counts: Vec<_> = calls(&world, "acquire")[before..]
            .iter()
            .map(|call| String::from_utf8_lossy(&call.argv[2]).into_owned())
            .collect();
        assert_eq!(counts, ["6", "2", "2", "2"], "two keys for each lock");
        drop(guards);
        // After one key that may not be used, locks share calls again.
        world.sleep(secs(6)).await;
        let before = calls(&world, "acquire").len();
        let keys = ["a", "b", "c"].map(|key| locks.try_lock(key));
        let guards = futures_util::future::try_join_all(keys).await?;
        assert_eq!(calls(&world, "acquire").len(), before + 1);
        drop(guards);
        Ok(())
    })
}
