//! What an operator asks and does: which locks a client holds, which there are at the nodes, and to
//! take one away by force.

use std::collections::{BTreeMap, BTreeSet};

use tenure_core::Rng;
use tenure_redis::{
    BreakOutcome, BreakReport, Holder, Locks, Loss, NodeBreak, PatternError, Scan, ScanError, Seen,
};
use tenure_sim::memory_net::{Connecting, Direction, World};
use tenure_sim::server::Reply;

use crate::support::{
    Cut, MARGIN, Outcome, TTL, builder, calls, client, cut, ms, nodes, secs, until,
};

type Failed = Box<dyn std::error::Error>;

/// What is held of a key.
fn held(locks: &Locks, key: &str) -> Option<tenure_redis::HeldLock> {
    let mut held = locks.held();
    held.retain(|lock| lock.key.as_bytes() == key.as_bytes());
    held.pop()
}

#[test]
fn what_a_client_holds_is_told_key_by_key_without_asking_a_node() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let one = world.client("one");
        let locks = builder(&one).prefix("p:").connect().await?;
        assert_eq!(locks.held(), []);
        let second = locks.lock("b").await?;
        world.sleep(secs(2)).await;
        let first = locks.with(|options| options)?.lock("a").await?;
        world.sleep(secs(3)).await;
        let asked = world.requests().len();
        let told = locks.held();
        assert_eq!(world.requests().len(), asked);
        let keys: Vec<_> = told.iter().map(|lock| lock.key.as_bytes()).collect();
        assert_eq!(keys, [b"a", b"b"]);
        assert_eq!(told[0].fence, first.fence());
        assert_eq!(told[1].fence, second.fence());
        assert_eq!(told[0].held_for, secs(3));
        assert!(told[1].held_for >= secs(5) && told[1].held_for < secs(5) + ms(20));
        assert_eq!(told[0].left, first.remaining());
        assert!(told.iter().all(|lock| !lock.suspect && !lock.watched));

        first.release().await?;
        assert!(held(&locks, "a").is_none(), "it was released");
        drop(second);
        assert_eq!(locks.held(), []);
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_lease_is_told_as_suspect_until_a_renewal_is_confirmed() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        one.link("a").stall();
        assert!(guard.renew().await.is_err());
        let told = held(&locks, "k").expect("it is held all the same");
        assert!(told.suspect && told.left < TTL - MARGIN);
        one.link("a").heal();
        until(&world, TTL, || {
            held(&locks, "k").is_some_and(|lock| !lock.suspect)
        })
        .await;

        let lost = tokio::spawn(async move { guard.lost().await });
        until(&world, ms(10), || {
            held(&locks, "k").is_some_and(|lock| lock.watched)
        })
        .await;
        one.link("a").stall();
        let before = world.now();
        lost.await?;
        assert!(world.now() - before < TTL);
        assert_eq!(locks.held(), [], "its validity has ended");
        Ok::<(), Failed>(())
    })
}

/// They are read a part at a time.
#[test]
fn each_of_a_thousand_held_locks_is_told_once_and_in_order() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let mut guards = BTreeMap::new();
        for number in 0..1_000 {
            let key = format!("k{number}");
            let guard = locks.lock(&key).await?;
            guards.insert(key.into_bytes(), guard);
        }
        let told = locks.held();
        assert!(
            told.iter()
                .map(|lock| lock.key.as_bytes())
                .eq(guards.keys())
        );
        let fences = guards.values().map(tenure_redis::Guard::fence);
        assert!(told.iter().map(|lock| lock.fence).eq(fences));
        Ok::<(), Failed>(())
    })
}

/// All that a scan finds: node, key and holder.
async fn found(mut scan: Scan) -> Result<BTreeSet<(String, String, String)>, ScanError> {
    let mut found = BTreeSet::new();
    while let Some(lock) = scan.next().await? {
        let key = String::from_utf8_lossy(lock.key.as_bytes()).into_owned();
        found.insert((lock.at.node, key, format!("{:?}", lock.at.holder)));
    }
    Ok(found)
}

#[test]
fn a_scan_tells_holders_and_places_and_leaves_out_what_is_no_lock() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let one = world.client("one");
        // Its characters stand for themselves.
        let locks = builder(&one).prefix("p*:").connect().await?;
        let labelled = locks.with(|options| options.label("10.0.0.7:80"))?;
        let guard = labelled.lock("a").await?;
        let waiting = tokio::spawn(async move { labelled.lock("a").await });
        world.sleep(ms(100)).await;
        let server = node.server();
        server.call(&["SET", "p*:theirs", "x", "PX", "60000"]);
        server.call(&["SET", "p*:for-ever", "x"]);
        server.call(&["HSET", "p*:hash", "f", "v"]);
        server.call(&["SET", "p*:a:tenure:fence", "7"]);
        server.call(&["SET", "p*:tenure:node", "marked"]);
        server.call(&["SET", "p*:", "no name"]);
        server.call(&["SET", "pq:other", "x"]);
        let mut scan = locks.scan("a")?;
        let lock = scan.next().await?.expect("it is there");
        let label = Some("10.0.0.7:80".to_owned());
        assert_eq!(
            lock.at.holder,
            Holder::Lease {
                label: label.clone()
            }
        );
        let queue = lock.at.queue.expect("it has one");
        assert_eq!((queue.waiting, &queue.first[0].label), (1, &label));
        assert_eq!(lock.at.seen, locks.inspect("a").await?.seen());
        assert!(lock.at.seen.is_some() && lock.at.from_primary);
        assert_eq!(scan.next().await?, None);
        assert_eq!(scan.next().await?, None);

        let all = found(locks.scan("*")?).await?;
        let keys: Vec<_> = all
            .iter()
            .map(|(_, key, holder)| (&key[..], &holder[..]))
            .collect();
        let lease = format!("{:?}", Holder::Lease { label });
        let expected = [
            ("a", &lease[..]),
            ("for-ever", "Foreign"),
            ("theirs", "Other"),
        ];
        assert_eq!(keys, expected);
        drop(guard);
        drop(waiting.await??);

        let error = locks.scan("").expect_err("nothing fits");
        let PatternError::Empty = (match &error {
            ScanError::Pattern { error } => error,
            other => panic!("{other}"),
        }) else {
            panic!("{error}");
        };
        assert!(error.is_misuse(), "{error}");
        Ok::<(), Failed>(())
    })
}

/// Nor does it leave out what is between two pages.
#[test]
fn a_scan_of_many_keys_is_many_small_requests() -> Outcome {
    const MANY: usize = 1_000;
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        for number in 0..MANY {
            let key = format!("k{number}");
            node.server().call(&["SET", &key, "x", "PX", "600000"]);
            node.server().call(&["SET", &format!("other{number}"), "x"]);
        }
        let before = calls(&world, "inspect").len();
        let mut scan = locks.scan("k*")?;
        scan.next().await?.expect("there are some");
        // A page, and a part of its keys.
        let inspected = calls(&world, "inspect").len() - before;
        assert!(inspected <= 32, "{inspected}");
        let scans = |world: &World| {
            let requests = world.requests();
            requests.iter().filter(|request| request.is("SCAN")).count()
        };
        assert_eq!(scans(&world), 1);
        assert_eq!(found(locks.scan("k*")?).await?.len(), MANY);
        assert_eq!(scans(&world), 1 + (2 * MANY).div_ceil(256));
        assert_eq!(found(locks.scan("nothing*")?).await?.len(), 0);
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_scan_goes_from_node_to_node_and_on_after_an_outage() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let guards = (locks.lock("a").await?, locks.lock("b").await?);
        // Something else is only at one of them.
        nodes[2].server().call(&["SET", "c", "x"]);
        let at = |names: &[&str]| {
            let key = |node: &str, key: &str| (format!("{node}:6379"), key.to_owned());
            let both = names
                .iter()
                .flat_map(|node| [key(node, "a"), key(node, "b")]);
            both.chain(names.contains(&"c").then(|| key("c", "c")))
                .collect::<BTreeSet<_>>()
        };
        let named = |found: BTreeSet<(String, String, String)>| {
            found
                .into_iter()
                .map(|(node, key, _)| (node, key))
                .collect::<BTreeSet<_>>()
        };
        let told = named(found(locks.scan("*")?).await?);
        assert_eq!(told.len(), at(&["a", "b", "c"]).len(), "{told:?}");

        one.link("b").set_connecting(Connecting::Refused);
        one.link("b").cut();
        let mut scan = locks.scan("*")?;
        let mut seen = 0;
        let error = loop {
            match scan.next().await {
                Ok(Some(lock)) => {
                    assert!(lock.at.node.starts_with("redis://a") || lock.at.node.starts_with('a'));
                    seen += 1;
                }
                Ok(None) => panic!("b is away"),
                Err(error) => break error,
            }
        };
        assert_eq!(seen, 2);
        assert!(
            error.is_outage() && error.to_string().contains('b'),
            "{error}"
        );
        assert!(
            scan.next().await.is_err_and(|error| error.is_outage()),
            "still"
        );
        scan.skip_node();
        assert_eq!(found(scan).await?.len(), 3, "those of c");

        let mut scan = locks.scan("*")?;
        while let Ok(lock) = scan.next().await {
            lock.expect("b is away");
        }
        one.link("b").heal();
        world.sleep(secs(5)).await;
        assert_eq!(found(scan).await?.len(), 5, "those of b and c");
        drop(guards);
        Ok::<(), Failed>(())
    })
}

/// Behind the last page of a node, where what comes next is another node's.
#[test]
fn a_node_that_is_left_out_of_a_scan_is_the_one_that_was_told() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let _guards = (locks.lock("a").await?, locks.lock("b").await?);
        let mut scan = locks.scan("*")?;
        let lock = scan.next().await?.expect("there are some");
        assert!(lock.at.node.contains('a'), "{}", lock.at.node);
        // Twice is no more than once.
        scan.skip_node();
        scan.skip_node();
        let lock = scan.next().await?.expect("those of b");
        assert!(lock.at.node.contains('b'), "{}", lock.at.node);
        one.link("b").stall();
        assert!(scan.next().await.is_ok(), "it was asked already");
        let dropped = cut(&world, Cut::Polls(1), scan.next()).await;
        assert!(dropped.is_none(), "c is being asked");
        scan.skip_node();
        assert_eq!(scan.next().await?, None);

        let mut scan = locks.scan("*")?;
        scan.skip_node();
        let rest = found(scan).await;
        assert!(rest.is_err_and(|error| error.is_outage()), "b is asked");
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_scan_whose_inspections_are_not_answered_asks_them_again() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (one, locks) = client(&world, "one").await?;
        for number in 0..100 {
            node.server().call(&["SET", &format!("k{number}"), "x"]);
        }
        let mut scan = locks.scan("k*")?;
        let mut keys: BTreeSet<_> = scan
            .next()
            .await?
            .map(|lock| lock.key)
            .into_iter()
            .collect();
        one.link("a").stall();
        let mut outages = 0;
        loop {
            match scan.next().await {
                Ok(Some(lock)) => drop(keys.insert(lock.key)),
                Ok(None) => break,
                Err(error) => {
                    assert!(error.is_outage(), "{error}");
                    outages += 1;
                    one.link("a").heal();
                    world.sleep(secs(5)).await;
                }
            }
        }
        assert_eq!((keys.len(), outages), (100, 1));
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_scan_that_is_dropped_anywhere_goes_on_where_it_was() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        for number in 0..50 {
            node.server().call(&["SET", &format!("k{number}"), "x"]);
        }
        for polls in 0..6 {
            let mut scan = locks.scan("k*")?;
            let mut keys = Vec::new();
            loop {
                // Whatever this call came to, the next one goes on.
                let first = cut(&world, Cut::Polls(polls), scan.next()).await;
                let lock = match first {
                    Some(lock) => lock?,
                    None => scan.next().await?,
                };
                let Some(lock) = lock else { break };
                keys.push(lock.key);
            }
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 50, "{polls}");
        }
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_user_without_the_right_to_scan_has_locks_and_is_told_at_the_scan() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        node.server().deny_default_user(&["scan"]);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let error = locks.scan("*")?.next().await.expect_err("it may not");
        let ScanError::Rejected { key, words, .. } = &error else {
            panic!("{error}");
        };
        assert!(
            key.is_none() && words.contains("NOPERM") && words.contains("scan"),
            "{error}"
        );
        assert!(error.is_misuse(), "{error}");
        guard.release().await?;
        locks.close().await;
        let error = locks.scan("*")?.next().await.expect_err("it is closed");
        assert_eq!(error, ScanError::Closed);
        Ok::<(), Failed>(())
    })
}

/// What was seen of a key, and what one node did as it was broken.
async fn seen(locks: &Locks, key: &str) -> Result<Seen, Failed> {
    let seen = locks.inspect(key).await?.seen();
    seen.ok_or_else(|| "nobody holds it".into())
}

fn outcome(report: &BreakReport) -> &BreakOutcome {
    assert_eq!(report.nodes.len(), 1);
    &report.nodes[0].outcome
}

#[test]
fn a_lock_is_broken_for_the_holder_that_was_seen_and_no_other() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, operator) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        let first = seen(&operator, "k").await?;
        let token = String::from_utf8(node.server().peek("k").expect("it is held"))?;
        let shown = format!("{first} {first:?} {:?}", operator.inspect("k").await?);
        let secret = token.split(':').next().expect("a token has parts");
        assert!(!shown.contains(secret), "{shown}");
        guard.release().await?;

        // Another lease of the same client.
        let guard = locks.lock("k").await?;
        let report = operator.break_lock("k", first).await?;
        assert_eq!(outcome(&report), &BreakOutcome::AnotherHolder);
        assert!(!report.is_broken() && report.is_over());
        guard.renew().await?;

        let second = seen(&operator, "k").await?;
        assert_ne!(first, second);
        let report = operator.break_lock("k", second).await?;
        assert_eq!(outcome(&report), &BreakOutcome::Deleted);
        assert!(report.is_broken());
        assert_eq!(node.server().peek("k"), None);
        // Its holder is told at its next renewal.
        assert_eq!(guard.lost().await.loss, Loss::Gone);
        let report = operator.break_lock("k", second).await?;
        assert_eq!(outcome(&report), &BreakOutcome::Free);
        assert!(!report.is_broken() && report.is_over());

        node.server().call(&["HSET", "k", "f", "v"]);
        let report = operator.break_lock("k", second).await?;
        let holds = "a hash".to_owned();
        assert_eq!(outcome(&report), &BreakOutcome::WrongType { holds });
        assert_eq!(operator.inspect("k").await?.seen(), None);
        assert_eq!(node.server().call(&["EXISTS", "k"]), Reply::Int(1));
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_broken_lock_goes_to_the_first_in_line_with_a_fence_of_its_own() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, waiters) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let waiters = waiters.clone();
            waiting.push(tokio::spawn(async move { waiters.lock("k").await }));
            world.sleep(ms(50)).await;
        }
        let report = locks.break_lock("k", seen(&locks, "k").await?).await?;
        assert_eq!(outcome(&report), &BreakOutcome::HandedOn);
        assert!(report.is_broken());
        let before = world.now();
        let next = waiting.remove(0).await??;
        assert!(world.now() - before <= ms(5), "it is told at once");
        assert!(next.fence() > guard.fence());
        assert_eq!(guard.lost().await.loss, Loss::Taken);
        assert!(next.is_valid());
        next.release().await?;
        drop(waiting.remove(0).await??);
        Ok::<(), Failed>(())
    })
}

/// The case in which it is needed most: whoever wrote the key is gone, and it stays.
#[test]
fn a_key_without_an_expiry_is_broken_and_handed_on() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        let long = "x".repeat(1025);
        for value in [
            &b"theirs"[..],
            b"\xff\x00 no text",
            &long.as_bytes()[..1024],
        ] {
            node.server().call(&[&b"SET"[..], b"k", value]);
            let waiting = locks.clone();
            let waiting = tokio::spawn(async move { waiting.lock("k").await });
            world.sleep(secs(1)).await;
            assert_eq!(locks.inspect("k").await?.holder(), &Holder::Foreign);
            let report = locks.break_lock("k", seen(&locks, "k").await?).await?;
            assert_eq!(outcome(&report), &BreakOutcome::HandedOn);
            let guard = waiting.await??;
            assert!(node.server().peek_expiry_ms("k").is_some());
            guard.release().await?;
        }
        // What is longer is no lock. No more than its beginning travels.
        node.server().call(&["SET", "k", &long]);
        let inspection = locks.inspect("k").await?;
        assert_eq!(
            (inspection.holder(), inspection.seen()),
            (&Holder::Foreign, None)
        );
        Ok::<(), Failed>(())
    })
}

#[test]
fn over_three_nodes_each_breaks_for_itself_and_a_waiter_has_the_lock() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, waiters) = client(&world, "two").await?;
        let (three, operator) = client(&world, "three").await?;
        let guard = locks.lock("k").await?;
        let fence = guard.fence();
        let waiting = tokio::spawn(async move { waiters.lock("k").await });
        world.sleep(ms(500)).await;
        let shown = seen(&operator, "k").await?;

        // One of three is not enough: a holder that lives puts it back.
        for link in ["b", "c"] {
            three.link(link).set_connecting(Connecting::Refused);
            three.link(link).cut();
        }
        let report = operator.break_lock("k", shown).await?;
        assert_eq!((report.nodes.len(), report.silent.len()), (1, 2));
        assert!(!report.is_broken() && !report.is_over());
        guard.renew().await?;
        world.sleep(secs(1)).await;
        guard.renew().await?;
        let stands = |node: &tenure_sim::memory_net::Node| node.server().peek("k").is_some();
        assert!(nodes.iter().all(stands), "it was put back");

        three.link("b").heal();
        until(&world, secs(10), || three.link("b").dials() > 0).await;
        world.sleep(secs(3)).await;
        let report = operator.break_lock("k", shown).await?;
        assert_eq!(report.nodes.len(), 2, "{report:?}");
        assert!(
            report
                .nodes
                .iter()
                .all(|node| node.outcome == BreakOutcome::Deleted)
        );
        assert!(report.is_broken());
        let lost = guard.lost().await.loss;
        assert!(matches!(lost, Loss::Gone | Loss::Taken), "{lost:?}");
        let next = waiting.await??;
        assert!(next.is_valid() && next.fence() > fence);
        Ok::<(), Failed>(())
    })
}

/// It asks whenever it can, as one does that is told of each deletion.
#[test]
fn a_holder_that_repairs_what_is_broken_is_not_told_as_over() -> Outcome {
    const FAR: u64 = 20;
    for seed in 1..=40 {
        World::run(seed, async |world| {
            nodes(&world, 3);
            let (_one, locks) = client(&world, "one").await?;
            let (two, operator) = client(&world, "two").await?;
            let mut rng = Rng::new(seed);
            for node in ["a", "b", "c"] {
                let span = ms(1) + rng.below(ms(FAR));
                two.link(node).set_latency(span, span);
            }
            let guard = locks.lock("k").await?;
            let holding = tokio::spawn(async move {
                while guard.renew().await.is_ok() {}
                guard.lost().await.loss
            });
            let shown = seen(&operator, "k").await?;
            let report = operator.break_lock("k", shown).await?;
            let broken = calls(&world, "break").len();
            assert!(report.is_broken(), "seed {seed}: {broken}, {report:?}");
            until(&world, ms(100), || holding.is_finished()).await;
            let loss = holding.await?;
            assert_eq!(loss, Loss::Gone, "seed {seed}");
            assert_eq!(operator.inspect("k").await?.seen(), None);
            Ok::<(), Failed>(())
        })?;
    }
    Ok(())
}

#[test]
fn to_break_what_nobody_puts_back_takes_two_requests_to_each_node() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let _guard = locks.lock("k").await?;
        let shown = seen(&locks, "k").await?;
        for (broken, requests) in [(true, 6), (false, 3)] {
            let before = calls(&world, "break").len();
            let report = locks.break_lock("k", shown).await?;
            assert_eq!((report.is_broken(), report.is_over()), (broken, true));
            assert_eq!(calls(&world, "break").len() - before, requests);
            let deleted = |node: &NodeBreak| node.outcome == BreakOutcome::Deleted;
            assert_eq!(report.nodes.iter().all(deleted), broken, "{report:?}");
        }
        Ok::<(), Failed>(())
    })
}

#[test]
fn over_three_nodes_the_release_of_force_hints_to_a_waiter_at_once() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 3);
        let (_one, locks) = client(&world, "one").await?;
        let (_two, waiters) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        let waiting = tokio::spawn(async move { waiters.lock("k").await });
        world.sleep(ms(500)).await;
        let report = locks.break_lock("k", seen(&locks, "k").await?).await?;
        assert!(report.is_broken());
        let before = world.now();
        let next = waiting.await??;
        assert!(world.now() - before <= ms(20), "{:?}", world.now() - before);
        assert!(next.fence() > guard.fence());
        Ok::<(), Failed>(())
    })
}

/// It would find what it did itself, and tell that somebody else had ended the lock.
#[test]
fn a_break_whose_answer_is_lost_is_unknown_and_not_sent_again() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        let (two, operator) = client(&world, "two").await?;
        let guard = locks.lock("k").await?;
        for cut in [true, false] {
            node.server().call(&["SET", "k", "theirs"]);
            let shown = seen(&operator, "k").await?;
            let before = calls(&world, "break").len();
            two.link("a").stall_one(Direction::Back);
            let broken = operator.break_lock("k", shown);
            let cut = async {
                until(&world, secs(1), || node.server().peek("k").is_none()).await;
                if cut {
                    two.link("a").heal();
                    two.link("a").cut();
                }
            };
            let (broken, ()) = tokio::join!(broken, cut);
            let error = broken.expect_err("no answer");
            assert!(error.is_outage(), "{error}");
            assert!(
                error
                    .to_string()
                    .contains("whether it broke the lock is not known")
            );
            two.link("a").heal();
            world.sleep(secs(5)).await;
            assert_eq!(calls(&world, "break").len() - before, 1);
        }
        drop(guard);
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_replica_and_a_server_that_refuses_break_nothing() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let shown = seen(&locks, "k").await?;
        node.server().set_readonly(true);
        let error = locks.break_lock("k", shown).await.expect_err("a replica");
        assert!(
            error.is_outage() && error.to_string().contains("READONLY"),
            "{error}"
        );
        assert!(!error.to_string().contains("whether"), "{error}");
        let error = locks
            .break_lock("free", shown)
            .await
            .expect_err("a replica");
        assert!(error.is_outage(), "{error}");
        node.server().set_readonly(false);
        until(&world, secs(10), || guard.is_valid()).await;
        world.sleep(secs(5)).await;
        node.server().deny_default_user(&["evalsha"]);
        let error = locks.break_lock("k", shown).await.expect_err("it may not");
        assert!(
            error.is_misuse() && error.to_string().contains("NOPERM"),
            "{error}"
        );
        assert!(node.server().peek("k").is_some());
        let error = locks.break_lock("", shown).await.expect_err("no key");
        assert!(error.is_misuse(), "{error}");
        Ok::<(), Failed>(())
    })
}

/// Out of memory, when a lock may be needed back most.
#[test]
fn a_server_that_is_out_of_memory_breaks_locks() -> Outcome {
    World::run(1, async |world| {
        let node = nodes(&world, 1).remove(0);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let shown = seen(&locks, "k").await?;
        node.server().set_oom(true);
        let report = locks.break_lock("k", shown).await?;
        assert!(report.is_broken());
        assert_eq!(node.server().peek("k"), None);
        drop(guard);
        Ok::<(), Failed>(())
    })
}

#[test]
fn a_break_takes_its_time_at_most_where_nobody_answers() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let _guard = locks.lock("k").await?;
        let shown = seen(&locks, "k").await?;
        one.link("a").stall();
        for _ in 0..2 {
            let before = world.now();
            let error = locks.break_lock("k", shown).await.expect_err("no answer");
            assert!(error.is_outage(), "{error}");
            assert!(world.now() - before <= secs(8));
            let error = locks.scan("*")?.next().await.expect_err("no answer");
            assert!(error.is_outage(), "{error}");
            assert!(world.now() - before <= secs(16));
        }
        Ok::<(), Failed>(())
    })
}
