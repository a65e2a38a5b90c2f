//! Fencing: a later grant has a larger fence, whatever happened in between.

use std::time::Duration;

use tenure_core::Fence;
use tenure_redis::seams::Script;
use tenure_redis::{ConnectError, Locks};
use tenure_sim::memory_net::{Node, World};
use tenure_sim::server::{ManualClock, Reply, Server};
use tenure_tests::scripts::{self, Lock, STREAM};

use crate::support::{Outcome, builder, calls, ms, nodes, secs};

async fn next(locks: &Locks, last: &mut u64, after: &str) -> Outcome {
    let guard = locks.lock("k").await?;
    assert!(
        guard.fence() > *last,
        "after {after}: {} is not above {last}",
        guard.fence()
    );
    *last = guard.fence();
    guard.release().await?;
    Ok(())
}

#[test]
fn the_fence_grows_whatever_becomes_of_the_counter() -> Outcome {
    for count in [1, 3] {
        World::run(1, async |world| {
            let nodes = nodes(&world, count);
            let (one, two) = (world.client("one"), world.client("two"));
            let locks = builder(&one).connect().await?;
            let mut last = 0;
            next(&locks, &mut last, "nothing").await?;
            next(&locks, &mut last, "a release").await?;

            let crashing = builder(&two).connect().await?;
            let forgotten = crashing.lock("k").await?;
            assert!(forgotten.fence() > last);
            last = forgotten.fence();
            two.crash();
            next(&locks, &mut last, "a crash and an expiry").await?;

            let all = |act: &dyn Fn(&Node)| nodes.iter().for_each(act);
            all(&|node| drop(node.server().call(&["FLUSHALL"])));
            next(&locks, &mut last, "FLUSHALL").await?;
            all(&|node| node.server().restart_empty());
            world.sleep(secs(1)).await;
            next(&locks, &mut last, "a restart without data").await?;

            let before: Vec<_> = nodes.iter().map(|node| node.server().snapshot()).collect();
            for _ in 0..10 {
                next(&locks, &mut last, "a release").await?;
            }
            for (node, before) in nodes.iter().zip(&before) {
                node.server().promote_stale(before);
            }
            world.sleep(secs(1)).await;
            next(&locks, &mut last, "the promotion of a stale replica").await?;

            // Within the day that the counter covers.
            all(&|node| node.clock().step_back(secs(3_600)));
            for _ in 0..10 {
                next(&locks, &mut last, "a clock step back by an hour").await?;
                world.sleep(secs(60)).await;
            }
            all(&|node| node.clock().step(secs(7_200)));
            next(&locks, &mut last, "a clock step forward").await?;
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// The clocks of the nodes differ.
#[test]
fn the_fence_grows_over_nodes_that_take_turns_in_being_away() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        nodes[0].clock().step(ms(300));
        nodes[1].clock().step_back(ms(400));
        nodes[2].clock().set_drift_ppm(2_000);
        let (one, two) = (world.client("one"), world.client("two"));
        let all = [
            builder(&one).connect().await?,
            builder(&two).connect().await?,
        ];
        let mut last = 0;
        for turn in 0..60 {
            let away = &nodes[turn % 3];
            away.server().set_down(true);
            if turn % 4 == 0 {
                away.server().restart_empty();
            }
            next(&all[turn % 2], &mut last, "another node is away").await?;
            away.server().set_down(false);
            world.sleep(ms(900)).await;
        }
        Ok(())
    })
}

/// The times of the nodes' clocks, from which a fence is proposed.
#[test]
fn a_grant_over_three_nodes_costs_one_round_trip_with_times_known() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        // Clocks that differ as those of real servers do.
        nodes[0].clock().step(ms(3));
        nodes[1].clock().step_back(ms(5));
        let (one, two) = (world.client("one"), world.client("two"));
        let all = [
            builder(&one).connect().await?,
            builder(&two).connect().await?,
        ];
        all[0].lock("k").await?.release().await?;
        all[1].lock("k").await?.release().await?;
        for turn in 0..50 {
            let before = world.requests().len();
            let begun = world.now();
            let guard = all[turn % 2].lock("k").await?;
            assert_eq!(world.now() - begun, ms(2), "one round trip");
            world.sleep(ms(5)).await;
            let asked = world.requests().split_off(before);
            assert_eq!(
                asked.iter().filter(|r| r.is("EVALSHA")).count(),
                3,
                "one per node"
            );
            guard.release().await?;
            world.sleep(ms(40)).await;
        }
        assert!(calls(&world, "confirm").len() <= 2 * 3);
        Ok(())
    })
}

/// The number that the answer of an acquire over one node grants.
fn number(reply: Reply) -> u64 {
    let Reply::Array(answers) = reply else {
        panic!("{reply:?}");
    };
    let Some(Reply::Bulk(said)) = answers.first() else {
        panic!("{answers:?}");
    };
    let said = String::from_utf8_lossy(said).into_owned();
    fence_of(said.strip_prefix("granted ").expect("a grant")).expect("a fence")
}

fn fence_of(id: &str) -> Option<u64> {
    let (ms, seq) = id.split_once('-').expect("an id");
    let number = |digits: &str| digits.parse().expect("a number");
    Some(Fence::of_stream(number(ms), number(seq))?.get())
}

fn acquire(server: &Server) -> u64 {
    let lock = Lock {
        key: "k".to_owned(),
        token: format!("{}:1", "0".repeat(32)),
        ttl: "10000".to_owned(),
        ..Lock::default()
    };
    number(server.call(&scripts::call(Script::AcquireOne, &[lock], None)))
}

/// As the plain commands draw; none if what is drawn is no fence.
fn draw(server: &Server) -> Option<u64> {
    match server.call(&["XADD", STREAM, "NOMKSTREAM", "MAXLEN", "0", "*", "", ""]) {
        Reply::Bulk(id) => fence_of(&String::from_utf8_lossy(&id)),
        _ => None,
    }
}

#[test]
fn a_stream_created_again_within_a_millisecond_draws_larger_fences() {
    for draws in [0, 1, 700] {
        // Through two turns of the millisecond.
        let clock = ManualClock::new(1_767_225_600_000_500);
        let server = Server::new(clock.clone());
        let mut last = 0;
        for _ in 0..2_000 / (draws + 1) {
            let fence = acquire(&server);
            assert!(fence > last, "{fence} {last}");
            last = fence;
            for _ in 0..draws {
                let fence = draw(&server).expect("there are few");
                assert!(fence > last, "{fence} {last}");
                last = fence;
            }
            server.call(&["FLUSHALL"]);
            // Each takes a microsecond at least.
            clock.advance(Duration::from_micros(1 + draws));
        }
    }
}

/// It expires two days after it was last kept, also while fences are drawn from it.
#[test]
fn a_stream_that_expired_while_its_client_slept_draws_larger_fences() {
    let hour = secs(60 * 60);
    for pause in [hour, 72 * hour] {
        for back in [Duration::ZERO, hour] {
            let clock = ManualClock::new(1_767_225_600_000_000);
            let server = Server::new(clock.clone());
            let (mut last, mut expired) = (0, 0);
            for _ in 0..100 {
                let fence = acquire(&server);
                assert!(fence > last, "{fence} {last}");
                last = draw(&server).expect("there are few");
                clock.step_back(back);
                let fence = draw(&server).expect("there are few");
                assert!(fence > last, "{fence} {last}");
                last = fence;
                clock.advance(pause + back);
                expired += u32::from(server.peek_stream(STREAM).is_none());
            }
            assert!(expired > 0, "{pause:?}");
        }
    }
}

/// By an earlier attempt, or by this one, which may have been granted.
#[test]
fn a_draw_that_fails_leaves_what_the_lease_has_and_takes_nothing() {
    let token = |attempt: u32| format!("{}:{attempt}", "0".repeat(32));
    let lock = |key: &str| Lock {
        key: key.to_owned(),
        token: token(2),
        ttl: "10000".to_owned(),
        ..Lock::default()
    };
    let call = scripts::call(Script::AcquireOne, &[lock("own"), lock("free")], None);
    for attempt in [1, 2] {
        let server = Server::new(ManualClock::new(1_767_225_600_000_000));
        server.call(&["SET", "own", &token(attempt), "PX", "5000"]);
        server.call(&["HSET", STREAM, "f", "v"]);
        let until = server.peek_expiry_ms("own");
        let wrong = Reply::bulk("wrong stream hash");
        assert_eq!(server.call(&call), Reply::Array(vec![wrong.clone(), wrong]));
        assert_eq!(server.peek("own"), Some(token(attempt).into_bytes()));
        assert_eq!(server.peek_expiry_ms("own"), until);
        assert_eq!(server.peek("free"), None);
        server.call(&["DEL", STREAM]);
        number(server.call(&call));
        for key in ["own", "free"] {
            assert_eq!(server.peek(key), Some(token(2).into_bytes()));
            assert_eq!(server.peek_expiry_ms(key), until.map(|ms| ms + 5_000));
        }
    }
}

#[test]
fn a_clock_that_was_set_back_with_5_000_grants_does_not_wear_a_stream_out() {
    let clock = ManualClock::new(1_767_225_600_000_000);
    let server = Server::new(clock.clone());
    let first = acquire(&server);
    clock.step_back(secs(3_600));
    let (mut last, mut moves) = (first, 0);
    for _ in 0..5_000 {
        // What is no fence is asked for by script.
        let fence = draw(&server).unwrap_or_else(|| {
            moves += 1;
            acquire(&server)
        });
        assert!(fence > last, "{fence} {last}");
        last = fence;
    }
    assert_eq!(moves, 2);
    assert!(last < first + 3 * 2_000, "of three milliseconds");
    clock.advance(secs(7_200));
    assert!(draw(&server) > Some(last + 3_600_000_000));
}

/// As before, through the whole adapter.
#[test]
fn locks_are_granted_as_ever_after_a_clock_was_set_back() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        node.clock().step_back(secs(3_600));
        let (mut last, mut moved) = (0, 0);
        for _ in 0..40 {
            // Each write draws once.
            for _ in 0..49 {
                draw(node.server());
            }
            let before = calls(&world, "wait").len();
            next(&locks, &mut last, "many grants").await?;
            moved += calls(&world, "wait").len() - before;
        }
        assert!((1..=4).contains(&moved), "{moved}");
        Ok(())
    })
}

/// FLUSHALL, the stream that is deleted by hand, and a server without the stream on which a client
/// is connected already.
#[test]
fn a_lock_is_granted_with_a_larger_fence_though_the_stream_is_gone() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let one = world.client("one");
        let locks = builder(&one).connect().await?;
        assert!(
            node.server().peek_stream(STREAM).is_some(),
            "made on connecting"
        );
        let two_days = 2 * 24 * 3_600_000;
        let mut last = 0;
        for command in [&["FLUSHALL"][..], &["DEL", STREAM], &["FLUSHDB"]] {
            next(&locks, &mut last, "nothing").await?;
            node.server().call(command);
            let guard = locks.try_lock("k").await?;
            assert!(guard.fence() > last, "{command:?}");
            last = guard.fence();
            guard.release().await?;
            let (ms, _) = node.server().peek_stream(STREAM).expect("made again");
            let until = node.server().peek_expiry_ms(STREAM);
            assert_eq!(until, Some(ms.cast_signed() + two_days));
        }
        // It is kept from expiring as long as a client is connected.
        let begun = node.server().peek_expiry_ms(STREAM).expect("it expires");
        world.sleep(secs(5 * 3_600)).await;
        let kept = node.server().peek_expiry_ms(STREAM).expect("it expires");
        assert!((4 * 3_600_000..=5 * 3_600_000).contains(&(kept - begun)));
        next(&locks, &mut last, "some hours").await?;
        locks.close().await;
        node.clock().step(secs(3 * 24 * 3_600));
        assert_eq!(node.server().peek_stream(STREAM), None, "nobody needs it");
        Ok(())
    })
}

#[test]
fn clients_with_a_stream_of_their_own_name_draw_from_it() -> Outcome {
    World::run(1, async |world| {
        let node = world.node("a");
        let one = world.client("one");
        let locks = builder(&one).fence_stream("app:tenure:fence");
        let locks = locks.connect().await?;
        let mut last = 0;
        next(&locks, &mut last, "nothing").await?;
        next(&locks, &mut last, "a release").await?;
        assert!(node.server().peek_stream("app:tenure:fence").is_some());
        assert_eq!(node.server().peek_stream(STREAM), None);
        for name in ["", "app", "{a}:tenure:fence"] {
            let error = builder(&one).fence_stream(name).connect().await;
            let error = error.expect_err("no name for a stream");
            assert!(matches!(error, ConnectError::FenceStream(_)), "{error}");
            assert!(error.is_misuse(), "{error}");
            let over_several = ["a", "b", "c"].map(|node| format!("redis://{node}"));
            let several = Locks::builder().nodes(over_several).fence_stream(name);
            let error = several.connect_lazy().expect_err("nor over several nodes");
            assert!(matches!(error, ConnectError::FenceStream(_)), "{error}");
        }
        Ok(())
    })
}
