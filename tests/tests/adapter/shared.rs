//! Calls that several locks share: what becomes of one lock does not depend on the others.

use futures_util::future::try_join_all;
use tenure_redis::seams::Script;
use tenure_sim::memory_net::World;
use tenure_sim::server::{ManualClock, Reply, Server};
use tenure_tests::scripts::{self, LARGEST_ID, Lock, STREAM};

use crate::support::{Outcome, builder, calls, ms, nodes, secs, stands};

const NOW: u64 = 1_767_225_600_000_000;

/// The first eight digits of the SHA-1 of `somebody`.
const SOMEBODY: &str = "d31186cd";

fn token(lease: u8) -> String {
    format!("{lease:08x}{:024x}:1", 7)
}

/// One call that takes these locks, each for a lease of its own: what is answered for each.
fn acquire(script: Script, server: &Server, locks: &[&str]) -> Vec<String> {
    let lock = |(lease, key): (u8, &&str)| Lock {
        key: (*key).to_owned(),
        counter: format!("{key}:tenure:fence"),
        token: token(lease),
        ttl: "10000".to_owned(),
        proposal: "0".to_owned(),
        ..Lock::default()
    };
    let asked: Vec<_> = (1..).zip(locks).map(lock).collect();
    let Reply::Array(answers) = server.call(&scripts::call(script, &asked, None)) else {
        panic!("no answers");
    };
    let text = |answer| match answer {
        Reply::Bulk(answer) => String::from_utf8_lossy(&answer).into_owned(),
        Reply::Int(fence) => format!("granted {fence}"),
        other => panic!("{other:?}"),
    };
    answers.into_iter().take(locks.len()).map(text).collect()
}

/// The scripts that take locks, and what they answer of a grant at [`NOW`].
fn acquires() -> [(Script, String); 2] {
    // The stream is created in the next millisecond.
    let of_stream = format!("granted {}-0", NOW / 1_000 + 1);
    let of_counter = format!("granted {}", 2 * NOW);
    [
        (Script::AcquireOne, of_stream),
        (Script::AcquireSeveral, of_counter),
    ]
}

#[test]
fn locks_that_are_taken_or_given_back_together_share_calls() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            nodes(&world, count);
            let one = world.client("one");
            let locks = builder(&one).connect().await?;
            let keys = (0..100).map(|index| format!("k{index}"));
            let taken = try_join_all(keys.map(|key| locks.lock(key)));
            let guards = taken.await?;
            // Over one node by plain commands, behind which one draws for all.
            let mut requests = world.requests();
            requests.retain(|request| request.is("XADD"));
            let acquires = requests.len() + calls(&world, "acquire").len();
            assert!((count..=3 * count).contains(&acquires), "{acquires}");
            try_join_all(guards.into_iter().map(|guard| guard.release())).await?;
            let releases = calls(&world, "release").len();
            assert!(releases <= 3 * count, "{releases}");
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
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
    for (script, granted) in acquires() {
        let server = Server::new(ManualClock::new(NOW));
        server.call(&["SET", "held", "somebody", "PX", "5000"]);
        server.call(&["HSET", "hash", "f", "v"]);
        server.call(&["SET", "counted:tenure:fence", "not a number"]);
        server.call(&["SET", "eternal", "somebody"]);
        let locks = ["a", "held", "eternal", "hash", "counted", "b"];
        let answers = acquire(script, &server, &locks);
        let held = format!("held 5000 {NOW} {SOMEBODY}");
        let counted = match script {
            Script::AcquireOne => &granted,
            _ => "wrong counter string",
        };
        let expected = [
            &granted,
            &held,
            "foreign",
            "wrong key hash",
            counted,
            &granted,
        ];
        assert_eq!(answers, expected);
        assert_eq!(server.peek("a"), Some(token(1).into_bytes()));
        assert_eq!(server.peek("b"), Some(token(6).into_bytes()));
        let taken = server.peek("counted").is_some();
        assert_eq!(taken, script == Script::AcquireOne, "it has no counter");
        assert_eq!(server.peek("held"), Some(b"somebody".to_vec()));
    }
}

#[test]
fn one_lock_twice_in_a_call_is_granted_once() {
    for (script, granted) in acquires() {
        let server = Server::new(ManualClock::new(NOW));
        let answers = acquire(script, &server, &["a", "a"]);
        let held = format!("held 10000 {NOW} 00000001");
        assert_eq!(answers, [granted, held]);
    }
}

/// The locks share a call.
#[test]
fn out_of_memory_no_lock_is_granted_and_a_held_one_is_told_as_held() {
    for (script, _) in acquires() {
        let server = Server::new(ManualClock::new(NOW));
        server.call(&["SET", "held", "somebody", "PX", "5000"]);
        server.call(&["SET", "counted:tenure:fence", "not a number"]);
        server.set_oom(true);
        let answers = acquire(script, &server, &["counted", "a", "held", "b"]);
        if script == Script::AcquireSeveral {
            assert_eq!(answers[0], "wrong counter string");
        }
        assert!(answers[1].starts_with("-OOM "), "{answers:?}");
        assert_eq!(answers[2], format!("held 5000 {NOW} {SOMEBODY}"));
        assert!(answers[3].starts_with("-OOM "), "{answers:?}");
        assert_eq!(server.peek("a"), None);
        assert_eq!(server.peek("b"), None);
        assert_eq!(server.peek_stream(STREAM), None);
    }
}

/// Each of them is given back.
#[test]
fn without_a_stream_no_lock_of_a_call_is_granted() {
    for (command, why) in [
        (&["HSET", STREAM, "f", "v"][..], "wrong stream hash"),
        (&["SET", STREAM, "v"], "wrong stream string"),
        (
            &["XADD", STREAM, "4503599627370-0", "f", "v"],
            "wrong stream stream",
        ),
        (
            &["XADD", STREAM, LARGEST_ID, "f", "v"],
            "wrong stream stream",
        ),
    ] {
        let server = Server::new(ManualClock::new(NOW));
        server.call(command);
        server.call(&["SET", "held", "somebody", "PX", "5000"]);
        let answers = acquire(Script::AcquireOne, &server, &["a", "held", "b"]);
        assert_eq!(answers[0], why);
        assert!(answers[1].starts_with("held"), "{answers:?}");
        assert_eq!(answers[2], why);
        assert_eq!(server.keys(), [b"held".to_vec(), STREAM.into()]);
    }
}

#[test]
fn a_refusal_of_a_shared_call_is_asked_again_lock_by_lock() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        let take = || try_join_all(["a", "b", "c"].map(|key| locks.try_lock(key)));
        let refusal = "NOPERM this user has no permissions to access one of the keys";
        drop(take().await?);
        let before = calls(&world, "release").len();
        node.server()
            .answer_next("EVALSHA", Reply::Error(refusal.into()));
        world.sleep(ms(50)).await;
        let counts: Vec<_> = calls(&world, "release")[before..]
            .iter()
            .map(|call| String::from_utf8_lossy(&call.argv[2]).into_owned())
            .collect();
        assert_eq!(counts, ["7", "3", "3", "3"]);
        assert!(!stands(&[node], "a"));
        // What is taken meanwhile is asked for one by one, and so by script.
        let before = calls(&world, "acquire").len();
        drop(take().await?);
        assert_eq!(calls(&world, "acquire").len(), before + 3);
        // After one key that may not be used, locks share calls again.
        world.sleep(secs(6)).await;
        let before = calls(&world, "release").len();
        drop(take().await?);
        world.sleep(ms(50)).await;
        assert_eq!(calls(&world, "release").len(), before + 1);
        Ok(())
    })
}

#[test]
fn a_place_whose_half_was_lost_does_not_outlive_its_queue() {
    let server = Server::new(ManualClock::new(NOW));
    let now = i64::try_from(NOW / 1_000).unwrap();
    let queue = "a:tenure:queue:{a}";
    let place = format!("Ax0123456789abcdef042{}", token(1));
    server.call(&["SET", "a", "somebody", "PX", "60000"]);
    // Its end is lost, and the set expires before the new one.
    server.call(&["ZADD", queue, "1", &place]);
    server.call(&["PEXPIREAT", queue, &(now + 1_000).to_string()]);
    let wait = [
        "EVAL",
        Script::WaitOne.text(),
        "3",
        "a",
        queue,
        STREAM,
        &token(1),
        "30000",
        &place,
        "1",
    ];
    let answer = format!("{:?}", server.call(&wait));
    assert!(!answer.contains("Error"), "{answer}");
    assert!(server.peek_expiry_ms(queue) >= Some(now + 30_000));
}

#[test]
fn a_rejected_release_is_sent_for_its_lock_alone_and_the_next_as_ever() -> Outcome {
    // What the node refuses, and how many keys each release names then: its lock, its queue and the
    // stream, or its lock alone.
    let rejected = ("NOPERM this user has no permissions", ["3", "1", "3"]);
    let moving = ("TRYAGAIN Multiple keys request", ["3", "1", "1"]);
    for (refusal, names) in [rejected, moving] {
        World::run(1, async |world| {
            let node = nodes(&world, 1).remove(0);
            let one = world.client("one");
            let locks = builder(&one).connect().await?;
            let guard = locks.try_lock("a").await?;
            let before = calls(&world, "release").len();
            node.server()
                .answer_next("EVALSHA", Reply::Error(refusal.into()));
            drop(guard);
            world.sleep(ms(50)).await;
            assert!(!stands(&[node], "a"));
            drop(locks.try_lock("a").await?);
            world.sleep(ms(50)).await;
            let named: Vec<_> = calls(&world, "release")[before..]
                .iter()
                .map(|call| String::from_utf8_lossy(&call.argv[2]).into_owned())
                .collect();
            assert_eq!(named, names, "{refusal}");
            Outcome::Ok(())
        })?;
    }
    Ok(())
}
