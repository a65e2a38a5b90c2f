//! Who awaits a loss sleeps until it comes: no renewal and no tick wakes it, and the loss wakes it
//! once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tenure_redis::seams::Clock;
use tenure_redis::{Guard, Locks, Loss, Lost};
use tenure_sim::memory_net::World;

use crate::support::{Outcome, calls, client, ms, nodes, secs, until};

/// Counts how often it is woken.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future in a task of its own that counts how often it is woken.
pub(crate) struct Sleeper<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    counts: Arc<Counts>,
}

impl<'a, T> Sleeper<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        let mut sleeper = Self {
            future: Box::pin(future),
            counts: Arc::default(),
        };
        assert!(sleeper.poll().is_pending());
        sleeper
    }

    pub(crate) fn poll(&mut self) -> Poll<T> {
        let waker = Waker::from(Arc::clone(&self.counts));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub(crate) fn woken(&self) -> usize {
        self.counts.0.load(Ordering::SeqCst)
    }
}

pub(crate) async fn take(locks: &Locks, count: usize) -> Vec<Guard> {
    let asked = (0..count).map(|n| locks.try_lock(format!("k{n}")));
    let guards = futures_util::future::join_all(asked).await;
    guards
        .into_iter()
        .map(|guard| guard.expect("it is free"))
        .collect()
}

pub(crate) fn sleepers(guards: &[Guard]) -> Vec<Sleeper<'_, Lost>> {
    let lost = guards.iter().map(|guard| Sleeper::new(guard.lost()));
    lost.collect()
}

/// Each was woken once, and is told this.
pub(crate) fn told_once(sleepers: &mut [Sleeper<'_, Lost>], loss: &Loss) {
    for sleeper in sleepers {
        assert_eq!(sleeper.woken(), 1);
        match sleeper.poll() {
            Poll::Ready(lost) => assert_eq!(lost.loss, *loss),
            Poll::Pending => panic!("it was woken"),
        }
        assert_eq!(sleeper.woken(), 1, "and not again when it asked");
    }
}

#[test]
fn a_thousand_who_await_a_loss_sleep_through_ten_renewals_of_each() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let guards = take(&locks, 1_000).await;
        let mut sleepers = sleepers(&guards);
        world.sleep(secs(70)).await;
        let renewed: usize = calls(&world, "renew")
            .iter()
            .map(|call| call.argv.iter().filter(|arg| arg.starts_with(b"k")).count())
            .sum();
        assert_eq!(renewed, 10_000);
        let woken: usize = sleepers.iter().map(Sleeper::woken).sum();
        assert_eq!(woken, 0);

        nodes[0].server().call(&["FLUSHALL"]);
        world.sleep(secs(7)).await;
        told_once(&mut sleepers, &Loss::Gone);
        Ok(())
    })
}

/// By the alarm, by the driver, or by both at the same moment.
#[test]
fn an_end_by_the_clock_wakes_who_awaits_it_once_and_in_time() -> Outcome {
    for stalled in [true, false] {
        World::run(1, async |world| {
            let nodes = nodes(&world, 3);
            let (one, locks) = client(&world, "one").await?;
            let guards = take(&locks, 1_000).await;
            let mut sleepers = sleepers(&guards);
            for node in &nodes {
                one.link(node.name()).stall();
            }
            if stalled {
                one.stall();
            }
            let left = guards.iter().map(Guard::remaining).max();
            let woken = || sleepers.iter().map(Sleeper::woken).sum::<usize>();
            world.sleep(left.expect("there are some") - secs(1)).await;
            assert_eq!(woken(), 0);
            until(&world, secs(1) + ms(2), || woken() >= guards.len()).await;
            told_once(&mut sleepers, &Loss::Expired);
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// Timers stand still while the machine sleeps, and the clock goes on.
#[test]
fn a_suspend_past_the_validity_is_told_within_a_second() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guards = take(&locks, 100).await;
        let mut sleepers = sleepers(&guards);
        world.sleep(secs(3)).await;
        // What the client's tasks sleep for is not noticed before it would have come.
        one.stall();
        one.clock().step(secs(9));
        let woken = || sleepers.iter().map(Sleeper::woken).sum::<usize>();
        until(&world, secs(1) + ms(2), || woken() >= guards.len()).await;
        told_once(&mut sleepers, &Loss::Expired);
        Ok(())
    })
}

/// A suspend that a lease survives wakes nobody.
#[test]
fn a_suspend_within_the_validity_wakes_nobody_who_awaits_a_loss() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (one, locks) = client(&world, "one").await?;
        let guards = take(&locks, 100).await;
        let sleepers = sleepers(&guards);
        for _ in 0..5 {
            one.clock().step(secs(2));
            world.sleep(secs(15)).await;
        }
        assert!(guards.iter().all(Guard::is_valid));
        assert!(sleepers.iter().all(|sleeper| sleeper.woken() == 0));
        Ok(())
    })
}

#[test]
fn who_awaits_a_renewal_is_woken_by_it_beside_one_who_awaits_a_loss() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let lost = Sleeper::new(guard.lost());
        for _ in 0..3 {
            let mut renewed = Sleeper::new(guard.renewed());
            until(&world, secs(7), || renewed.woken() == 1).await;
            assert!(renewed.poll().is_ready());
        }
        assert_eq!(lost.woken(), 0);
        Ok(())
    })
}

/// One of three nodes says that its copy is gone, so that an earlier end counts.
#[test]
fn an_end_that_comes_sooner_than_was_told_is_told_in_time() -> Outcome {
    World::run(1, async |world| {
        let nodes = nodes(&world, 3);
        let (one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        world.sleep(secs(3)).await;
        one.link("c").stall();
        guard.renew().await?;
        let mut lost = Sleeper::new(guard.lost());
        let other = ["SET", "k", "somebody", "PX", "60000"];
        nodes[1].server().call(&other);
        let _ = guard.renew().await;
        assert_eq!(lost.woken(), 1, "it must look when that is");
        assert!(lost.poll().is_pending());
        let end = one.clock().now() + guard.remaining();
        one.stall();
        until(&world, secs(7), || lost.woken() == 2).await;
        let late = one.clock().now().saturating_since(end);
        assert!(one.clock().now() >= end && late <= ms(2), "{late:?}");
        assert!(lost.poll().is_ready());
        Ok(())
    })
}

/// It polls the work and nothing else: the work is woken by what it awaits itself.
#[test]
fn work_under_a_guard_is_polled_for_its_own_sake_alone() -> Outcome {
    World::run(1, async |world| {
        nodes(&world, 1);
        let (_one, locks) = client(&world, "one").await?;
        let guard = locks.lock("k").await?;
        let mut polls = 0;
        let work = poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        });
        let running = Sleeper::new(guard.run(work));
        world.sleep(secs(70)).await;
        assert_eq!(running.woken(), 0);
        drop(running);
        assert_eq!(polls, 1);
        Ok(())
    })
}
