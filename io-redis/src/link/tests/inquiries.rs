//! Inquiries on a session: they are written when requests would be, and not otherwise.

use std::collections::VecDeque;

use tenure_core::{Key, Words};

use crate::link::session::SessionEnd;
use crate::link::tests::mocked::{Write, granted, list, loaded, loads};
use crate::link::tests::session::{SessionRig, is_granted, noscript};
use crate::protocol::testing::acquires;

/// How many writes may be in flight.
const ROOM: usize = 64;

/// Asks who holds a key, and does not wait for the answer.
fn inspect(rig: &SessionRig) {
    let link = rig.link.clone();
    let key = Key::new(b"lock".to_vec());
    tokio::spawn(async move { link.inspect(key).await });
}

/// What has been written.
async fn written(rig: &mut SessionRig) -> Vec<Write> {
    rig.settle().await;
    std::iter::from_fn(|| rig.written.try_recv().ok()).collect()
}

/// The server may be a primary no more, and locks wait for the next one.
#[tokio::test(start_paused = true)]
async fn inquiries_without_a_pause_do_not_keep_a_closing_session_open() {
    let mut rig = SessionRig::new(true);
    inspect(&rig);
    inspect(&rig);
    let mut in_flight = VecDeque::from(written(&mut rig).await);
    assert_eq!(in_flight.len(), 2);
    let switch = rig.switch.take().expect("it is sent once");
    switch.send(Words::new("b leads")).expect("it is heard");
    // Each answer leads to the next inquiry, and one was in flight all the time.
    for _ in 0..10 {
        inspect(&rig);
        in_flight.extend(written(&mut rig).await);
        let Some(oldest) = in_flight.pop_front() else {
            break;
        };
        oldest.answer([list([])]);
    }
    rig.settle().await;
    assert!(rig.session.is_finished(), "it serves on");
    let end = rig.session.await.expect("no panic");
    assert!(
        matches!(&end, SessionEnd::Lost { why, .. } if why.as_str() == "b leads"),
        "{end:?}"
    );
    assert!(rig.written.try_recv().is_err(), "the next one is asked");
}

#[tokio::test(start_paused = true)]
async fn inquiries_are_bounded_in_flight_and_locks_go_before_them() {
    let mut rig = SessionRig::new(true);
    for _ in 0..2 * ROOM {
        inspect(&rig);
    }
    let mut in_flight = VecDeque::from(written(&mut rig).await);
    assert_eq!(in_flight.len(), ROOM);
    let request = acquires(1).remove(0);
    rig.hub.ask([request.clone()]);
    assert!(written(&mut rig).await.is_empty(), "there is no room");
    for name in ["Acquire", "Inspect"] {
        let oldest = in_flight.pop_front().expect("they are in flight");
        oldest.answer([list([])]);
        let next = written(&mut rig).await;
        let names: Vec<_> = next.iter().flat_map(Write::names).collect();
        assert_eq!(names, [name]);
        in_flight.extend(next);
    }
    let acquire = in_flight.remove(ROOM - 2).expect("it is in flight");
    acquire.answer([granted()]);
    rig.settle().await;
    assert!(is_granted(&rig.hub.reply(&request)));
}

#[tokio::test(start_paused = true)]
async fn inquiries_wait_while_scripts_are_missing() {
    let mut rig = SessionRig::new(true);
    rig.hub.ask(acquires(1));
    rig.next().await.answer([noscript()]);
    let load = rig.next().await;
    assert_eq!(load.names(), loads());
    inspect(&rig);
    assert!(written(&mut rig).await.is_empty(), "it would be refused");
    load.answer(loaded());
    assert_eq!(rig.next().await.names(), ["Inspect"]);
}
