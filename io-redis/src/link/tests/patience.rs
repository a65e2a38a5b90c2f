//! How long a session waits for a silent node: it depends on the shortest TTL in use, and on how
//! far away the node is. The request timeout is 500 ms.

use std::time::Duration;

use crate::link::tests::hub::PausedClock;
use crate::link::tests::mocked::granted;
use crate::link::tests::session::SessionRig;
use crate::protocol::testing::acquires;
use crate::runtime::Clock;

const MS: Duration = Duration::from_millis(1);

/// After how long a session ends whose first request nobody answers.
async fn lost_after(mut rig: SessionRig) -> Duration {
    let clock = PausedClock::new();
    rig.hub.ask([acquires(1).remove(0)]);
    let _unanswered = rig.next().await;
    let asked = clock.now();
    rig.lost().await;
    clock.now().saturating_since(asked)
}

#[tokio::test(start_paused = true)]
async fn silence_is_shorter_while_a_lease_with_a_short_ttl_lives() {
    let near = |ttl: Option<Duration>| {
        let rig = SessionRig::new(true);
        *rig.hub.shortest_ttl.lock().expect("no panic") = ttl;
        lost_after(rig)
    };
    assert_eq!(near(None).await, 1_000 * MS, "twice the request timeout");
    assert_eq!(near(Some(2_000 * MS)).await, 500 * MS);
    assert_eq!(near(Some(100 * MS)).await, 200 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_far_away_may_be_silent_for_four_round_trips() {
    for round_trip in [300 * MS, 450 * MS] {
        let rig = SessionRig::at(true, round_trip);
        *rig.hub.shortest_ttl.lock().expect("no panic") = Some(1_000 * MS);
        assert_eq!(lost_after(rig).await, 4 * round_trip);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_shorter_shortens_a_silence_that_has_begun() {
    let mut rig = SessionRig::new(true);
    let clock = PausedClock::new();
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    let _unanswered = rig.next().await;
    let asked = clock.now();
    tokio::time::advance(100 * MS).await;
    *rig.hub.shortest_ttl.lock().expect("no panic") = Some(800 * MS);
    rig.hub.ask([requests[1].clone()]);
    let _unanswered = rig.next().await;
    rig.lost().await;
    assert_eq!(clock.now().saturating_since(asked), 200 * MS);
}

/// An answer that takes longer than those before it is measured, too.
#[tokio::test(start_paused = true)]
async fn a_way_that_becomes_longer_is_measured_while_it_is_used() {
    let mut rig = SessionRig::new(true);
    for request in acquires(40) {
        rig.hub.ask([request.clone()]);
        let write = rig.next().await;
        tokio::time::advance(400 * MS).await;
        write.answer([granted()]);
        rig.hub.answered(&request).await;
    }
    let silence = lost_after(rig).await;
    assert!(
        silence > 1_500 * MS && silence <= 1_600 * MS,
        "{silence:?}, which is not four times 400 ms"
    );
}
