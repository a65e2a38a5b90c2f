//! A future may be dropped at any point. No orphan is left then, and no lock is lost.

use std::time::Duration;

use tenure_redis::{Guard, Locks};
use tenure_sim::memory_net::{Client, Node, World};
use tenure_sim::server::Lost;

use crate::support::{Cut, builder, cut, cuts, ms, nodes, secs, stands};

/// What happens on the way while the future is dropped, and how soon after it all is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    /// It takes a millisecond there and three back.
    Slow,
    /// The first request is executed, and its connection closed instead of a reply.
    ReplyCut,
    /// The first request is executed, and its connection never says anything again.
    ReplyMuted,
    /// The replies of one node come when everything else is over.
    OneLate,
}

impl Weather {
    const ALL: [Self; 5] = [
        Self::Fair,
        Self::Slow,
        Self::ReplyCut,
        Self::ReplyMuted,
        Self::OneLate,
    ];

    fn begin(self, client: &Client, nodes: &[Node]) {
        for node in nodes {
            match self {
                Self::Fair | Self::OneLate => {}
                Self::Slow => client.link(node.name()).set_latency(ms(1), ms(3)),
                Self::ReplyCut => node.server().lose_reply(Some("evalsha"), Lost::Cut),
                Self::ReplyMuted => node.server().lose_reply(Some("evalsha"), Lost::Mute),
            }
        }
        if let (Self::OneLate, Some(node)) = (self, nodes.last()) {
            client.link(node.name()).set_latency(ms(1), ms(200));
        }
    }

    /// For how long a future is cut at all points.
    fn longest(self) -> Duration {
        match self {
            Self::Fair => ms(8),
            Self::Slow => ms(16),
            // Until some requests after the loss.
            Self::ReplyCut => ms(60),
            Self::ReplyMuted | Self::OneLate => ms(12),
        }
    }

    /// A round trip, or what it takes to notice that the connection is to be replaced, and a retry.
    fn freed_within(self) -> Duration {
        match self {
            Self::Fair => ms(16),
            Self::Slow => ms(32),
            Self::ReplyCut => ms(300),
            Self::ReplyMuted => secs(4),
            Self::OneLate => ms(900),
        }
    }
}

async fn prove_free(world: &World, nodes: &[Node], rivals: &Locks, what: &str) {
    assert!(!stands(nodes, "k"), "orphan: {what}");
    let rival = rivals.try_lock("k").await;
    let rival = rival.unwrap_or_else(|error| panic!("{error}: {what}"));
    rival.release().await.expect("is released");
    // Nothing that was still on its way sets the key again.
    world.sleep(secs(1)).await;
    assert!(!stands(nodes, "k"), "orphan, later: {what}");
}

/// Drops what `ask` makes at one point. True if it was over before.
fn drop_acquire<F>(count: usize, weather: Weather, connected: bool, at: Cut, ask: F) -> bool
where
    F: AsyncFn(&Locks) -> Result<Guard, tenure_redis::LockError>,
{
    World::run(3, async |world| {
        let what = format!("{count} nodes, {weather:?}, connected {connected}, {at:?}");
        let nodes = nodes(&world, count);
        let (one, two) = (world.client("one"), world.client("two"));
        let rivals = builder(&two).connect().await.expect("connects");
        let locks = if connected {
            let locks = builder(&one).connect().await.expect("connects");
            weather.begin(&one, &nodes);
            locks
        } else {
            weather.begin(&one, &nodes);
            builder(&one).connect_lazy().expect("is configured")
        };
        let done = cut(&world, at, ask(&locks)).await;
        let over = done.is_some();
        // The future was done, so a guard is dropped here. That must free the key as well.
        drop(done);
        world.sleep(weather.freed_within()).await;
        nodes.iter().for_each(|node| node.server().clear_planted());
        prove_free(&world, &nodes, &rivals, &what).await;
        over
    })
}

fn drop_acquires<F>(count: usize, connected: bool, ask: F)
where
    F: AsyncFn(&Locks) -> Result<Guard, tenure_redis::LockError> + Copy,
{
    for weather in Weather::ALL {
        let mut over = 0;
        for at in cuts(weather.longest()) {
            over += usize::from(drop_acquire(count, weather, connected, at, ask));
        }
        assert!(
            over > 0 || weather == Weather::ReplyMuted,
            "{count} {weather:?}"
        );
    }
}

#[test]
fn a_lock_future_that_is_dropped_at_any_point_leaves_nothing_held() {
    drop_acquires(1, true, async |locks: &Locks| locks.lock("k").await);
}

#[test]
fn a_lock_over_three_nodes_dropped_at_any_point_leaves_nothing_held() {
    drop_acquires(3, true, async |locks: &Locks| locks.lock("k").await);
}

#[test]
fn a_try_lock_future_that_is_dropped_at_any_point_leaves_nothing_held() {
    drop_acquires(1, true, async |locks: &Locks| locks.try_lock("k").await);
}

#[test]
fn a_try_lock_over_three_nodes_dropped_at_any_point_leaves_nothing_held() {
    drop_acquires(3, true, async |locks: &Locks| locks.try_lock("k").await);
}

#[test]
fn a_lock_dropped_while_its_client_connects_leaves_nothing_held() {
    for count in [1, 3] {
        drop_acquires(count, false, async |locks: &Locks| locks.lock("k").await);
    }
}

/// Runs `act` on a held guard up to a cut, and then `check`.
fn with_guard<T>(
    count: usize,
    weather: Weather,
    act: impl AsyncFn(&World, Cut, Guard, &Locks) -> T,
    check: impl AsyncFn(&World, &[Node], &Locks, T, &str),
) {
    for at in cuts(weather.longest()) {
        World::run(5, async |world| {
            let what = format!("{count} nodes, {weather:?}, {at:?}");
            let nodes = nodes(&world, count);
            let (one, two) = (world.client("one"), world.client("two"));
            let rivals = builder(&two).connect().await.expect("connects");
            let locks = builder(&one).connect().await.expect("connects");
            let guard = locks.lock("k").await.expect("is free");
            weather.begin(&one, &nodes);
            let left = act(&world, at, guard, &locks).await;
            world.sleep(weather.freed_within()).await;
            nodes.iter().for_each(|node| node.server().clear_planted());
            check(&world, &nodes, &rivals, left, &what).await;
        });
    }
}

#[test]
fn a_release_whose_future_is_dropped_at_any_point_is_done_all_the_same() {
    for count in [1, 3] {
        for weather in Weather::ALL {
            with_guard(
                count,
                weather,
                async |world, at, guard, _| {
                    cut(world, at, guard.release()).await;
                },
                async |world, nodes, rivals, (), what| {
                    prove_free(world, nodes, rivals, what).await;
                },
            );
        }
    }
}

async fn prove_held(world: &World, nodes: &[Node], rivals: &Locks, guard: Guard, what: &str) {
    for _ in 0..4 {
        world.sleep(secs(5)).await;
        assert!(guard.is_valid(), "{what}");
        let rival = rivals.try_lock("k").await;
        assert!(rival.is_err_and(|error| error.is_contention()), "{what}");
    }
    guard.release().await.expect("was held");
    prove_free(world, nodes, rivals, what).await;
}

#[test]
fn a_renewal_whose_future_is_dropped_at_any_point_leaves_the_lock_held() {
    for count in [1, 3] {
        for weather in [Weather::Slow, Weather::ReplyCut, Weather::ReplyMuted] {
            with_guard(
                count,
                weather,
                async |world, at, guard, _| {
                    cut(world, at, guard.renew()).await;
                    guard
                },
                prove_held,
            );
        }
    }
}

#[test]
fn an_ensure_whose_future_is_dropped_at_any_point_leaves_the_lock_held() {
    with_guard(
        3,
        Weather::Slow,
        async |world, at, guard, _| {
            world.sleep(secs(5)).await;
            cut(world, at, guard.ensure(secs(9))).await;
            guard
        },
        prove_held,
    );
}

#[test]
fn work_whose_run_is_dropped_at_any_point_ends_and_the_lock_stays() {
    with_guard(
        1,
        Weather::Fair,
        async |world, at, guard, _| {
            let work = std::sync::Arc::new(());
            let seat = std::sync::Arc::clone(&work);
            let pause = world.sleep(ms(5));
            cut(
                world,
                at,
                guard.run(async move {
                    pause.await;
                    drop(seat);
                }),
            )
            .await;
            assert_eq!(
                std::sync::Arc::strong_count(&work),
                1,
                "the work is dropped"
            );
            guard
        },
        prove_held,
    );
}

#[test]
fn a_lost_future_that_is_dropped_at_any_point_has_no_effect() {
    with_guard(
        1,
        Weather::Fair,
        async |world, at, guard, _| {
            // By itself it would be polled once.
            let polled_again = async {
                loop {
                    world.sleep(ms(1)).await;
                }
            };
            let lost = futures_util::future::join(guard.lost(), polled_again);
            assert!(cut(world, at, lost).await.is_none());
            guard
        },
        prove_held,
    );
}

#[test]
fn closing_goes_on_if_its_future_is_dropped_at_any_point() {
    for weather in [Weather::Fair, Weather::Slow, Weather::ReplyCut] {
        for at in cuts(weather.longest()) {
            World::run(6, async |world| {
                let nodes = nodes(&world, 3);
                let one = world.client("one");
                let locks = builder(&one).connect().await.expect("connects");
                let guard = locks.lock("k").await.expect("is free");
                weather.begin(&one, &nodes);
                cut(&world, at, locks.close()).await;
                world.sleep(weather.freed_within()).await;
                if !matches!(at, Cut::Polls(0)) {
                    assert!(!guard.is_valid());
                    assert!(!stands(&nodes, "k"), "{weather:?} {at:?}");
                    let open: usize = nodes.iter().map(|n| n.server().connections()).sum();
                    assert_eq!(open, 0, "{weather:?} {at:?}");
                }
            });
        }
    }
}

#[test]
fn connecting_that_is_dropped_at_any_point_leaves_nothing_behind() {
    for weather in [Weather::Fair, Weather::Slow] {
        for at in cuts(ms(24)) {
            World::run(7, async |world| {
                let nodes = nodes(&world, 3);
                let one = world.client("one");
                weather.begin(&one, &nodes);
                drop(cut(&world, at, builder(&one).connect()).await);
                world.sleep(ms(100)).await;
                let open: usize = nodes.iter().map(|n| n.server().connections()).sum();
                assert_eq!(open, 0, "{weather:?} {at:?}");
            });
        }
    }
}
