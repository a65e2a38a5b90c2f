//! What is told in which scene. Time is simulated, so the values are exact.

use std::collections::BTreeSet;

use tenure_redis::metrics::ALL;
use tenure_redis::{LockError, Loss};
use tenure_sim::memory_net::Connecting;
use tenure_tests::metered::Meter;

use crate::support::{NODE, Outcome, assert_seconds, client, metered, ms, secs};

const ACQUIRE: &str = "tenure_acquire_seconds";
const HELD: &str = "tenure_held_leases";
const HOLD: &str = "tenure_hold_seconds";
const LOSSES: &str = "tenure_losses_total";

fn acquired(meter: &Meter, outcome: &str) -> Vec<f64> {
    meter.values(ACQUIRE, &[("outcome", outcome)])
}

fn lost(meter: &Meter, reason: &str) -> f64 {
    meter.total(LOSSES, &[("reason", reason)])
}

#[test]
fn a_grant_and_its_release_tell_how_long_they_took() -> Outcome {
    metered(async |world, meter| {
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        // A request and its answer.
        assert_seconds(&acquired(meter, "granted"), &[0.010]);
        assert_eq!(meter.total(HELD, &[]), 1.0);
        assert_eq!(meter.total("tenure_grants_total", &[]), 1.0);
        world.sleep(secs(3)).await;
        guard.release().await?;
        assert_seconds(&meter.values(HOLD, &[]), &[3.0]);
        assert_eq!(meter.total(HELD, &[]), 0.0);
        // Nobody waited, and nothing was lost.
        let none: [&str; 2] = ["tenure_wait_seconds", "tenure_places_ahead"];
        assert!(none.iter().all(|name| meter.values(name, &[]).is_empty()));
        assert!(!meter.told().contains(LOSSES));
        assert_eq!(meter.total("tenure_contention_total", &[]), 0.0);
        Ok(())
    })
}

#[test]
fn a_dropped_guard_tells_its_hold_as_a_released_one_does() -> Outcome {
    metered(async |world, meter| {
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(2)).await;
        drop(guard);
        assert_seconds(&meter.values(HOLD, &[]), &[2.0]);
        assert_eq!(meter.total(HELD, &[]), 0.0);
        assert!(!meter.told().contains(LOSSES));
        Ok(())
    })
}

#[test]
fn those_in_line_tell_their_places_and_how_long_they_waited() -> Outcome {
    metered(async |world, meter| {
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let locks = locks.clone();
                tokio::spawn(async move {
                    let guard = locks.lock("k").await?;
                    guard.release().await.expect("it was held");
                    Ok::<(), LockError>(())
                })
            })
            .collect();
        world.sleep(secs(4)).await;
        assert_eq!(meter.values("tenure_places_ahead", &[]), [0.0, 1.0]);
        assert_eq!(meter.total("tenure_contention_total", &[]), 2.0);
        guard.release().await?;
        for waiting in waiting {
            waiting.await??;
        }
        // The release and the push: 10 ms. The next one: its release, and the push behind it.
        let waits = meter.values("tenure_wait_seconds", &[]);
        assert_seconds(&waits, &[4.010, 4.020]);
        assert_seconds(&acquired(meter, "granted"), &[0.010, 4.010, 4.020]);
        assert_eq!(meter.total(HELD, &[]), 0.0);
        Ok(())
    })
}

/// An acquire that meets another owner counts once as contention, however it ends.
#[test]
fn acquires_in_vain_tell_what_they_came_to() -> Outcome {
    metered(async |world, meter| {
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let contended = || meter.total("tenure_contention_total", &[]);
        locks.try_lock("k").await.expect_err("it is held");
        // The second request asks who has it.
        assert_seconds(&acquired(meter, "contended"), &[0.020]);
        assert_eq!(contended(), 1.0);
        let hasty = locks.with(|options| options.give_up_after(secs(1)))?;
        hasty.lock("k").await.expect_err("it is held");
        assert_seconds(&acquired(meter, "contended"), &[0.020, 1.0]);
        assert_eq!(contended(), 2.0);
        let dropped = tokio::spawn(async move { hasty.lock("k").await.map(drop) });
        world.sleep(ms(500)).await;
        dropped.abort();
        world.sleep(ms(1)).await;
        assert_seconds(&acquired(meter, "cancelled"), &[0.5]);
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { locks.lock("k").await.map(drop) }
        });
        world.sleep(ms(100)).await;
        locks.close().await;
        let error = waiting.await?.expect_err("the client is closed");
        assert!(matches!(error, LockError::Closed { .. }), "{error}");
        assert_seconds(&acquired(meter, "closed"), &[0.1]);
        assert_eq!(lost(meter, "closed"), 1.0, "the guard's");
        assert_eq!(meter.total(HELD, &[]), 0.0);
        drop(guard);
        assert_eq!(meter.total(HELD, &[]), 0.0, "it was over before");
        Ok(())
    })
}

#[test]
fn a_confirmed_renewal_tells_how_much_was_left() -> Outcome {
    metered(async |world, meter| {
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(4)).await;
        let left = guard.remaining();
        guard.renew().await?;
        // The renewal and its answer.
        let left = (left - ms(10)).as_secs_f64();
        assert_seconds(&meter.values("tenure_renewal_left_seconds", &[]), &[left]);
        // The client's own.
        world.sleep(secs(10)).await;
        let values = meter.values("tenure_renewal_left_seconds", &[]);
        assert_eq!(values.len(), 2, "{values:?}");
        assert!(values[1] > 3.0 && values[1] < 3.4, "{values:?}");
        Ok(())
    })
}

#[test]
fn each_loss_is_counted_once_by_its_reason() -> Outcome {
    metered(async |world, meter| {
        let node = world.nodes().remove(0);
        let (one, locks) = client(&world, "one").await?;
        let capped = locks.with(|options| options.max_hold(secs(30)))?;
        let wanted = |reason: &str, guard_says: &Loss| {
            assert_eq!(lost(meter, reason), 1.0, "{reason}, {guard_says:?}");
            assert_eq!(meter.total(HELD, &[]), 0.0, "{reason}");
        };

        let guard = locks.lock("gone").await?;
        node.server().call(&["DEL", "gone"]);
        wanted("gone", &guard.lost().await.loss);

        let guard = locks.lock("taken").await?;
        node.server()
            .call(&["SET", "taken", "other", "PX", "100000"]);
        wanted("taken", &guard.lost().await.loss);

        let guard = capped.lock("capped").await?;
        wanted("capped", &guard.lost().await.loss);
        let held = meter.values(HOLD, &[]);
        // The longest time counts from the request.
        assert_seconds(&held[2..], &[29.990]);

        let guard = locks.lock("expired").await?;
        let left = guard.remaining().as_secs_f64();
        one.link("a").stall();
        wanted("expired", &guard.lost().await.loss);
        assert_seconds(&meter.values(HOLD, &[])[3..], &[left]);
        one.link("a").heal();
        world.sleep(secs(20)).await;

        let guard = locks.lock("rejected").await?;
        node.server().deny_default_user(&["evalsha", "eval"]);
        wanted("rejected", &guard.lost().await.loss);
        Ok(())
    })
}

/// Its guard is asked before any task of the client ran.
#[test]
fn a_loss_that_a_guard_tells_from_its_own_clock_is_counted_once() -> Outcome {
    metered(async |world, meter| {
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let left = guard.remaining().as_secs_f64();
        one.stall();
        world.sleep(secs(60)).await;
        assert!(!guard.is_valid());
        assert_eq!(lost(meter, "expired"), 1.0);
        one.resume();
        world.sleep(secs(1)).await;
        drop(guard);
        assert_eq!(lost(meter, "expired"), 1.0);
        // It was valid until its end, and not for a minute.
        assert_seconds(&meter.values(HOLD, &[]), &[left]);
        assert_eq!(meter.total(HELD, &[]), 0.0);
        Ok(())
    })
}

#[test]
fn an_outage_counts_silent_nodes_unknown_outcomes_and_reconnects() -> Outcome {
    metered(async |world, meter| {
        let (one, locks) = client(&world, "one").await?;
        let of_node = |name: &str| meter.total(name, &[NODE]);
        let names = [
            "tenure_outages_total",
            "tenure_unknown_outcomes_total",
            "tenure_reconnects_total",
        ];
        assert_eq!(names.map(of_node), [0.0; 3], "it was connected once");
        one.link("a").stall();
        let error = locks.try_lock("k").await.expect_err("nobody answers");
        assert!(error.is_outage(), "{error}");
        assert_eq!(of_node("tenure_outages_total"), 1.0);
        assert_eq!(acquired(meter, "outage").len(), 1);
        world.sleep(secs(10)).await;
        assert!(of_node("tenure_unknown_outcomes_total") >= 1.0);
        one.link("a").heal();
        locks.lock("k").await?.release().await?;
        assert_eq!(of_node("tenure_reconnects_total"), 1.0);
        Ok(())
    })
}

#[test]
fn requests_that_wait_for_a_connection_are_the_depth_of_the_outbox() -> Outcome {
    metered(async |world, meter| {
        let (one, locks) = client(&world, "one").await?;
        let depth = || meter.total("tenure_outbox_depth", &[NODE]);
        one.link("a").set_connecting(Connecting::Hangs);
        one.link("a").cut();
        world.sleep(ms(10)).await;
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let locks = locks.clone();
                tokio::spawn(async move { locks.lock(format!("k{number}")).await.map(drop) })
            })
            .collect();
        world.sleep(ms(10)).await;
        assert_eq!(depth(), 3.0);
        one.link("a").heal();
        for waiting in waiting {
            waiting.await??;
        }
        world.sleep(ms(100)).await;
        assert_eq!(depth(), 0.0);

        // What was sent does not wait here, though nobody answers.
        one.link("a").stall();
        let waiting = locks.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.map(drop) });
        world.sleep(ms(10)).await;
        assert_eq!(depth(), 0.0);
        one.link("a").heal();
        waiting.await??;
        world.sleep(ms(100)).await;

        // What a client still had to send when it ended waits no more.
        one.link("a").set_connecting(Connecting::Hangs);
        one.link("a").cut();
        world.sleep(ms(10)).await;
        let waiting = locks.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.map(drop) });
        world.sleep(ms(10)).await;
        assert_eq!(depth(), 1.0);
        locks.close().await;
        waiting.await?.expect_err("the client is closed");
        assert_eq!(depth(), 0.0);
        Ok(())
    })
}

#[test]
fn a_clock_that_jumps_over_a_deadline_is_counted_and_a_busy_day_is_not() -> Outcome {
    metered(async |world, meter| {
        let (one, locks) = client(&world, "one").await?;
        let late = || meter.total("tenure_late_deadlines_total", &[]);
        let guard = locks.lock("k").await?;
        world.sleep(secs(100)).await;
        assert_eq!(late(), 0.0, "it was renewed in time");
        one.pause();
        world.sleep(secs(60)).await;
        one.resume();
        world.sleep(secs(2)).await;
        assert_eq!(late(), 1.0);
        assert!(!guard.is_valid());
        Ok(())
    })
}

/// A guard stays valid until its time ends, and is held until then.
#[test]
fn what_a_client_whose_tasks_have_ended_still_held_is_told() -> Outcome {
    metered(async |world, meter| {
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let waiting = locks.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.map(drop) });
        world.sleep(ms(100)).await;
        one.crash();
        let error = waiting.await?.expect_err("nobody will answer");
        assert!(matches!(error, LockError::RuntimeEnded { .. }), "{error}");
        assert_seconds(&acquired(meter, "runtime_ended"), &[0.1]);
        assert!(guard.is_valid());
        assert_eq!(meter.total(HELD, &[]), 1.0);
        drop(guard);
        assert_eq!(meter.total(HELD, &[]), 0.0);
        assert_seconds(&meter.values(HOLD, &[]), &[0.1]);
        assert!(!meter.told().contains(LOSSES));
        Ok(())
    })
}

#[test]
fn what_several_clients_hold_is_added_up() -> Outcome {
    metered(async |world, meter| {
        let (_one, locks) = client(&world, "one").await?;
        let (_two, others) = client(&world, "two").await?;
        let guards = [locks.lock("a").await?, others.lock("b").await?];
        assert_eq!(meter.total(HELD, &[]), 2.0);
        others.close().await;
        assert_eq!(meter.total(HELD, &[]), 1.0);
        drop(guards);
        assert_eq!(meter.total(HELD, &[]), 0.0);
        Ok(())
    })
}

/// A scene with a bit of everything. So no row of the table is an empty promise.
#[test]
fn every_metric_of_the_table_is_told_and_described() -> Outcome {
    metered(async |world, meter| {
        let node = world.nodes().remove(0);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let waiting = locks.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.map(drop) });
        guard.renewed().await?;
        guard.release().await?;
        waiting.await??;
        let held = locks.lock("held").await?;
        let guard = locks.lock("k").await?;
        node.server().call(&["DEL", "k"]);
        guard.lost().await;
        one.link("a").stall();
        locks.try_lock("k").await.expect_err("nobody answers");
        world.sleep(secs(3)).await;
        one.link("a").heal();
        held.renewed().await?;
        one.pause();
        world.sleep(secs(5)).await;
        one.resume();
        world.sleep(secs(1)).await;
        one.link("a").set_connecting(Connecting::Hangs);
        one.link("a").cut();
        world.sleep(ms(10)).await;
        let queued = tokio::spawn(async move { locks.lock("k").await.map(drop) });
        world.sleep(ms(10)).await;

        let names: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(meter.told(), names);
        let described = meter.described();
        for metric in ALL {
            let of = (metric.unit.to_owned(), metric.meaning.to_owned());
            assert_eq!(described.get(metric.name), Some(&of), "{}", metric.name);
        }
        queued.abort();
        drop(held);
        Ok(())
    })
}
