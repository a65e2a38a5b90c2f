//! Connections that were idle: whether somebody is still at the other end, and what becomes of a
//! request if nobody is.

use std::time::Duration;

use redis::Value;
use tenure_core::{Doubt, Instant, Op, Reply, Request};

use crate::link::session::SessionEnd;
use crate::link::tests::mocked::{error, granted};
use crate::link::tests::session::{SessionRig, is_granted};
use crate::protocol::testing::acquires;

/// An idle connection is asked at the latest after this time, and at the earliest after three
/// quarters of it.
const ASKED: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_millis(500);

fn pong() -> Value {
    Value::SimpleString("PONG".to_owned())
}

/// Time passes, in steps in which nothing is late.
async fn pass(rig: &SessionRig, span: Duration) {
    let step = Duration::from_millis(10);
    for _ in 0..span.as_millis() / step.as_millis() {
        tokio::time::advance(step).await;
        rig.settle().await;
    }
}

/// The next write, and after which time it came.
async fn next_after(rig: &mut SessionRig) -> (Vec<String>, Duration) {
    let mut waited = Duration::ZERO;
    loop {
        if let Ok(write) = rig.written.try_recv() {
            let names = write.names();
            write.answer([pong()]);
            rig.settle().await;
            return (names, waited);
        }
        assert!(waited < 2 * ASKED, "nothing was written");
        pass(rig, Duration::from_millis(10)).await;
        waited += Duration::from_millis(10);
    }
}

/// Such a request `asked` after the beginning, which is waited for until its deadline.
fn due(asked: Duration) -> Request {
    let mut request = acquires(1).remove(0);
    request.deadline = Instant::ORIGIN + asked + TIMEOUT;
    request
}

fn is_broken(reply: &Reply) -> bool {
    matches!(reply, Reply::Unknown(Doubt::Broken(_)))
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_asked_now_and_then_whether_it_lives() {
    let mut rig = SessionRig::new(true);
    let mut waits = Vec::new();
    for _ in 0..5 {
        let (names, waited) = next_after(&mut rig).await;
        assert_eq!(names, ["PING"]);
        assert!(waited <= ASKED && waited >= ASKED * 3 / 4, "{waited:?}");
        waits.push(waited);
    }
    waits.dedup();
    assert!(
        waits.len() > 1,
        "clients that connect together do not ask together"
    );
    assert!(!rig.session.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_used_is_asked_nothing_else() {
    let mut rig = SessionRig::new(true);
    for request in acquires(20) {
        pass(&rig, Duration::from_secs(2)).await;
        rig.hub.ask([request]);
        let write = rig.next().await;
        assert_eq!(write.names(), ["Acquire"]);
        write.answer([granted()]);
        rig.settle().await;
    }
    let mut users = SessionRig::new(false);
    pass(&users, 5 * ASKED).await;
    assert!(
        users.written.try_recv().is_err(),
        "a user's connection is the user's"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_on_which_nobody_answers_is_given_up() {
    let mut rig = SessionRig::new(true);
    let ping = rig.next().await;
    assert_eq!(ping.names(), ["PING"]);
    pass(&rig, TIMEOUT - Duration::from_millis(20)).await;
    assert!(!rig.session.is_finished(), "it has as long as a request");
    pass(&rig, Duration::from_millis(40)).await;
    assert!(rig.session.is_finished());
    assert_eq!(rig.lost().await.count(), 0, "nobody waited");
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_is_not_permitted_is_an_answer_and_the_last_one() {
    let mut rig = SessionRig::new(true);
    let ping = rig.next().await;
    ping.answer([error(
        "NOPERM User app has no permissions to run the 'ping' command",
    )]);
    pass(&rig, 5 * ASKED).await;
    assert!(rig.written.try_recv().is_err());
    assert!(!rig.session.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_finished_does_not_wait_for_a_ping() {
    let mut rig = SessionRig::new(true);
    let _unanswered = rig.next().await;
    rig.hub.finish();
    rig.settle().await;
    assert!(matches!(rig.session.await, Ok(SessionEnd::Finished)));
}

/// So there is time to ask again, on a new connection, within the same attempt.
#[tokio::test(start_paused = true)]
async fn the_first_request_on_an_idle_connection_is_broken_before_it_is_late() {
    for op in [
        None,
        Some(Op::Release {
            place: None,
            hints: false,
        }),
    ] {
        let mut rig = SessionRig::new(true);
        let idle = Duration::from_secs(2);
        pass(&rig, idle).await;
        let mut request = due(idle);
        request.op = op.unwrap_or(request.op);
        rig.hub.ask([request.clone()]);
        let _unanswered = rig.next().await;
        pass(&rig, TIMEOUT / 2 - Duration::from_millis(10)).await;
        assert_eq!(rig.hub.count(), 0);
        pass(&rig, Duration::from_millis(20)).await;
        assert!(is_broken(&rig.lost().await.reply(&request)));
    }
}

/// A ping was on its way for a while when it was asked.
#[tokio::test(start_paused = true)]
async fn what_is_asked_behind_a_ping_is_broken_no_later_than_the_ping() {
    let mut rig = SessionRig::new(true);
    let _unanswered = rig.next().await;
    pass(&rig, TIMEOUT * 9 / 10).await;
    let mut request = acquires(1).remove(0);
    request.deadline = Instant::ORIGIN + 10 * ASKED;
    rig.hub.ask([request.clone()]);
    let _unanswered = rig.next().await;
    pass(&rig, TIMEOUT / 10 + Duration::from_millis(10)).await;
    assert!(is_broken(&rig.lost().await.reply(&request)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_heard_a_moment_ago_is_trusted_for_longer() {
    let mut rig = SessionRig::new(true);
    let before = Duration::from_millis(400);
    pass(&rig, before).await;
    let request = due(before);
    rig.hub.ask([request.clone()]);
    let _unanswered = rig.next().await;
    pass(&rig, 2 * TIMEOUT - Duration::from_millis(20)).await;
    assert_eq!(rig.hub.count(), 0);
    let reply = rig.lost().await.reply(&request);
    assert_eq!(reply, Reply::Unknown(Doubt::Silent));
}

/// Else each idle spell would cost a connection that is well.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_far_away_has_the_time_that_it_needs() {
    let idle = Duration::from_secs(2);
    // Six round trips must be left, or there is no time to ask again.
    for (round_trip, given) in [(41, 250), (42, 1000), (200, 1000), (240, 960), (300, 1200)] {
        let round_trip = Duration::from_millis(round_trip);
        let mut rig = SessionRig::at(true, round_trip);
        pass(&rig, idle).await;
        let request = due(idle);
        rig.hub.ask([request.clone()]);
        let held = rig.next().await;
        pass(&rig, Duration::from_millis(given - 10)).await;
        assert_eq!(rig.hub.count(), 0, "{round_trip:?}");
        held.answer([granted()]);
        rig.settle().await;
        assert!(is_granted(&rig.hub.reply(&request)), "{round_trip:?}");
    }
    // What was measured later counts as well.
    let mut rig = SessionRig::new(true);
    let requests = [due(Duration::ZERO), due(idle + Duration::from_millis(200))];
    rig.hub.ask([requests[0].clone()]);
    let first = rig.next().await;
    pass(&rig, Duration::from_millis(200)).await;
    first.answer([granted()]);
    pass(&rig, idle).await;
    let mut second = requests[1].clone();
    second.id.serial += 1;
    rig.hub.ask([second.clone()]);
    let held = rig.next().await;
    pass(&rig, Duration::from_millis(490)).await;
    held.answer([granted()]);
    rig.settle().await;
    assert!(is_granted(&rig.hub.reply(&second)));
}

/// A TTL of 1 s leaves a request 125 ms. Else all clients with such a TTL would connect again when
/// a server stands still for half of that.
#[tokio::test(start_paused = true)]
async fn a_server_that_stands_still_for_a_moment_keeps_its_connections() {
    let idle = Duration::from_secs(2);
    for (millis, given) in [(125, 990), (390, 990), (400, 190)] {
        let mut rig = SessionRig::new(true);
        pass(&rig, idle).await;
        let mut request = due(idle);
        request.deadline = Instant::ORIGIN + idle + Duration::from_millis(millis);
        rig.hub.ask([request.clone()]);
        let held = rig.next().await;
        pass(&rig, Duration::from_millis(given)).await;
        assert_eq!(rig.hub.count(), 0, "{millis} ms");
        held.answer([granted()]);
        rig.settle().await;
        assert!(is_granted(&rig.hub.reply(&request)), "{millis} ms");
    }
}

/// The answer may have arrived while it was.
#[tokio::test(start_paused = true)]
async fn a_process_that_was_paused_gives_an_idle_connection_more_time() {
    let mut rig = SessionRig::new(true);
    let idle = Duration::from_secs(2);
    pass(&rig, idle).await;
    let requests = [due(idle), due(idle)];
    rig.hub.ask([requests[0].clone()]);
    let write = rig.next().await;
    tokio::time::advance(TIMEOUT).await;
    rig.settle().await;
    assert!(!rig.session.is_finished());
    write.answer([granted()]);
    rig.settle().await;
    assert!(is_granted(&rig.hub.reply(&requests[0])));
}
