//! A session over a mocked connection: what it writes, in which order, and that it answers every
//! request exactly once.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tenure_core::{Answer, Doubt, NodeId, Op, Patience, Refusal, Reply, Request, Words};
use tokio::sync::{mpsc, oneshot};

use crate::link::alone::Alone;
use crate::link::connect::Connected;
use crate::link::context::LinkContext;
use crate::link::handle::LinkHandle;
use crate::link::identity::NodeInfo;
use crate::link::interface::{LinkConfig, Work};
use crate::link::mailbox::Mailbox;
use crate::link::session::{Session, SessionEnd};
use crate::link::tests::hub::{FakeHub, PausedClock};
use crate::link::tests::mocked::{
    Write, connection, done, error, granted, list, loaded, loads, one_node, word,
};
use crate::protocol::encode::Encoder;
use crate::protocol::testing::{acquires, request};
use crate::runtime::BoxFuture;

/// A session with a request timeout of 500 ms.
pub(super) struct SessionRig {
    pub(super) hub: Arc<FakeHub>,
    pub(super) written: mpsc::UnboundedReceiver<Write>,
    pub(super) session: tokio::task::JoinHandle<SessionEnd>,
    /// Ends the connection, with a last reply on it.
    hang_up: Option<oneshot::Sender<Write>>,
    /// Says that another server is the primary.
    pub(super) switch: Option<oneshot::Sender<Words>>,
    pub(super) link: LinkHandle,
}

impl SessionRig {
    pub(super) fn new(own: bool) -> Self {
        Self::at(own, Duration::ZERO)
    }

    /// With a node that took so long for an answer when the connection was set up.
    pub(super) fn at(own: bool, round_trip: Duration) -> Self {
        Self::with(own, round_trip, one_node())
    }

    pub(super) fn with(own: bool, round_trip: Duration, config: LinkConfig) -> Self {
        let (connection, written) = connection(own);
        let hub = Arc::new(FakeHub::default());
        let (hang_up, hung_up) = oneshot::channel::<Write>();
        let (switch, switched) = oneshot::channel::<Words>();
        let (inquiries, asked) = mpsc::channel(1);
        let work: Arc<dyn Work> = Arc::clone(&hub) as Arc<dyn Work>;
        let mut context = LinkContext {
            node: NodeId::new(0),
            wake: work.wake(NodeId::new(0)),
            work,
            clock: Arc::new(PausedClock::new()),
            config: Arc::new(config),
            patience: Patience::new(Duration::from_millis(500)),
            rng: tenure_core::Rng::new(1),
            inquiries: asked,
            ask_again: Vec::new(),
            unbatched_until: tenure_core::Instant::ORIGIN,
            alone: Alone::default(),
        };
        context.patience.connected(round_trip);
        let session = tokio::spawn(async move {
            let mut encoder = Encoder::new(context.config.stream.clone());
            let connected = Connected {
                connection: Arc::new(connection),
                io: own.then(|| {
                    Box::pin(async move {
                        if let Ok(last) = hung_up.await {
                            last.answer([granted()]);
                        }
                    }) as BoxFuture<'static, ()>
                }),
                round_trip,
                mailbox: Mailbox::default(),
                ear: None,
                acknowledger: None,
                lookout: Some(Box::pin(async move {
                    match switched.await {
                        Ok(words) => words,
                        Err(_) => std::future::pending().await,
                    }
                })),
            };
            Session::new(&mut context, &mut encoder, connected, NodeInfo::default())
                .serve()
                .await
        });
        Self {
            hub,
            written,
            session,
            hang_up: Some(hang_up),
            switch: Some(switch),
            link: LinkHandle { inquiries },
        }
    }

    pub(super) async fn next(&mut self) -> Write {
        self.written.recv().await.expect("the session lives")
    }

    pub(super) async fn lost(self) -> Arc<FakeHub> {
        let end = self.session.await.expect("no panic");
        assert!(matches!(end, SessionEnd::Lost { .. }), "{end:?}");
        self.hub
    }

    /// Lets the session do everything that it can do now.
    pub(super) async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) fn is_granted(reply: &Reply) -> bool {
    matches!(reply, Reply::Applied(Answer::Granted { .. }))
}

pub(super) const RENEW: Op = Op::Renew {
    ttl: Duration::from_secs(5),
};

#[tokio::test(start_paused = true)]
async fn requests_share_calls_and_those_of_a_lease_keep_their_order() {
    let mut rig = SessionRig::new(true);
    let acquires = acquires(4);
    let mut behind = acquires[0].clone();
    behind.op = Op::Release {
        place: None,
        hints: false,
    };
    behind.id.serial += 1;
    let release = request(
        3,
        Op::Release {
            place: None,
            hints: false,
        },
    );
    rig.hub.ask([
        acquires[0].clone(),
        behind.clone(),
        acquires[1].clone(),
        release.clone(),
    ]);
    let first = rig.next().await;
    assert_eq!(first.names(), ["Release", "Acquire", "Release"]);
    assert_eq!(first.keys(), ["lock-3", "lock-0", "lock-0"]);
    assert_eq!(
        first.commands[1][3..6].join(" "),
        "lock-0 lock-1 tenure:fence"
    );
    rig.hub.ask([acquires[2].clone()]);
    let second = rig.next().await;
    assert_eq!(
        second.keys(),
        ["lock-2"],
        "a second batch does not wait for the first's replies"
    );
    first.answer([done(), list(["granted 7-7", "held 5 7 00ff17a0"]), done()]);
    second.answer([granted()]);
    rig.settle().await;
    assert!(is_granted(&rig.hub.reply(&acquires[0])));
    let held = rig.hub.reply(&acquires[1]);
    assert!(
        matches!(held, Reply::Applied(Answer::Held { .. })),
        "{held:?}"
    );
    assert!(is_granted(&rig.hub.reply(&acquires[2])));
    for release in [behind, release] {
        assert_eq!(rig.hub.reply(&release), Reply::Applied(Answer::Done));
    }
    rig.hub.finish();
    assert!(matches!(rig.session.await, Ok(SessionEnd::Finished)));
}

/// A failover that was planned leaves the former primary well.
#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_answered_before_a_new_primary_is_followed() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    let write = rig.next().await;
    let switch = rig.switch.take().expect("it is sent once");
    switch.send(Words::new("b leads")).expect("it is heard");
    rig.settle().await;
    rig.hub.ask([requests[1].clone()]);
    rig.settle().await;
    assert_eq!(rig.hub.due(), 1, "the new one is asked");
    write.answer([granted()]);
    let end = rig.session.await.expect("no panic");
    assert!(
        matches!(&end, SessionEnd::Lost { why, served: true, .. } if why.as_str() == "b leads"),
        "{end:?}"
    );
    assert!(is_granted(&rig.hub.reply(&requests[0])));
    assert_eq!(rig.hub.due(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_call_answers_the_failures_and_the_rest_is_done() {
    let mut rig = SessionRig::new(true);
    let op = |index, op| request(index, op);
    let requests = [
        op(0, RENEW),
        op(1, RENEW),
        op(
            2,
            Op::Release {
                place: None,
                hints: false,
            },
        ),
        op(3, RENEW),
        op(4, RENEW),
        op(5, RENEW),
    ];
    rig.hub.ask(requests.clone());
    let write = rig.next().await;
    assert_eq!(write.names(), ["Release", "Renew"]);
    write.answer([
        Value::Array(vec![Value::Int(1), word("taken")]),
        Value::Array(vec![
            Value::Int(2),
            word("gone"),
            Value::Int(3),
            word("READONLY You can't write against a read only replica."),
            Value::Int(5),
            word("taken"),
        ]),
    ]);
    rig.settle().await;
    let applied = Reply::Applied;
    let expected = [
        applied(Answer::Done),
        applied(Answer::Gone),
        applied(Answer::Taken),
        Reply::NotApplied(Refusal::Unavailable(Words::new(
            "READONLY You can't write against a read only replica.",
        ))),
        applied(Answer::Done),
        applied(Answer::Taken),
    ];
    for (request, expected) in requests.iter().zip(expected) {
        assert_eq!(rig.hub.reply(request), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_renews_128_locks_at_most() {
    let mut rig = SessionRig::new(true);
    let mut requests = acquires(300);
    requests.iter_mut().for_each(|request| request.op = RENEW);
    rig.hub.ask(requests.clone());
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 300 {
        let write = rig.next().await;
        sizes.extend(
            write
                .commands
                .iter()
                .map(|words| words[2].parse::<usize>().expect("a number")),
        );
        let nothing_failed = vec![Value::Array(vec![]); write.commands.len()];
        write.answer(nothing_failed);
    }
    assert_eq!(sizes, [128, 128, 44]);
    rig.settle().await;
    assert!(
        requests
            .iter()
            .all(|r| rig.hub.reply(r) == Reply::Applied(Answer::Done))
    );
}

#[tokio::test(start_paused = true)]
async fn where_keys_of_several_slots_are_refused_they_go_one_by_one() {
    let mut rig = SessionRig::new(true);
    let requests = [request(0, RENEW), request(1, RENEW)];
    rig.hub.ask(requests.clone());
    let crossslot = || error("CROSSSLOT Keys in request don't hash to the same slot");
    rig.next().await.answer([crossslot()]);
    rig.settle().await;
    for request in &requests {
        assert_eq!(rig.hub.reply(request), Reply::NotApplied(Refusal::Again));
    }
    let mut again = requests.clone();
    again.iter_mut().for_each(|request| request.id.serial += 1);
    rig.hub.ask(again.clone());
    let write = rig.next().await;
    assert_eq!(write.names(), ["Renew", "Renew"]);
    write.answer([Value::Array(vec![]), crossslot()]);
    rig.settle().await;
    assert_eq!(rig.hub.reply(&again[0]), Reply::Applied(Answer::Done));
    let refused = rig.hub.reply(&again[1]);
    assert!(
        matches!(refused, Reply::NotApplied(Refusal::Rejected(_))),
        "{refused:?}"
    );
}

/// Asks for these, answers every call, and says how many keys each of them had. A call with the key
/// `denied` is refused.
async fn calls_of(rig: &mut SessionRig, requests: &mut [Request], denied: &str) -> Vec<usize> {
    for request in &mut *requests {
        request.id.serial += 1;
    }
    rig.hub.ask(requests.to_vec());
    rig.settle().await;
    let mut calls = Vec::new();
    while let Ok(write) = rig.written.try_recv() {
        let mut answers = Vec::new();
        for words in &write.commands {
            calls.push(words[2].parse().expect("a number"));
            answers.push(match words.iter().any(|word| word == denied) {
                true => error("NOPERM No permissions to access a key"),
                false => list([]),
            });
        }
        write.answer(answers);
    }
    rig.settle().await;
    calls
}

/// For some seconds after the first refusal each key gets its own answer. Then the others share
/// calls again, for as long as somebody asks for the denied one.
#[tokio::test(start_paused = true)]
async fn one_key_that_is_denied_is_asked_for_alone_and_others_share_calls() {
    for (own, without_it) in [(true, &[3, 1][..]), (false, &[2, 1, 1])] {
        let mut rig = SessionRig::new(own);
        let mut requests: Vec<_> = (0..4).map(|index| request(index, RENEW)).collect();
        let denied = "lock-2";
        assert_eq!(calls_of(&mut rig, &mut requests, denied).await, [4]);
        assert_eq!(calls_of(&mut rig, &mut requests, denied).await, [1; 4]);
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(30)).await;
            assert_eq!(calls_of(&mut rig, &mut requests, denied).await, without_it);
            let last = rig.hub.reply(&requests[2]);
            assert!(matches!(last, Reply::NotApplied(Refusal::Rejected(_))));
        }
        let nobody = "";
        assert_eq!(calls_of(&mut rig, &mut requests, nobody).await, without_it);
        assert_eq!(calls_of(&mut rig, &mut requests, nobody).await, [4]);
    }
}

#[tokio::test(start_paused = true)]
async fn forgotten_scripts_are_loaded_before_the_next_request() {
    let mut rig = SessionRig::new(true);
    let mut requests = acquires(3);
    rig.hub.ask(requests.drain(..2).collect::<Vec<_>>());
    let write = rig.next().await;
    let ids = acquires(2);
    write.answer([noscript()]);
    rig.hub.ask(requests.clone());
    let load = rig.next().await;
    assert_eq!(load.names(), loads());
    assert!(
        ids.iter()
            .all(|r| rig.hub.reply(r) == Reply::NotApplied(Refusal::Again))
    );
    rig.settle().await;
    assert!(
        rig.written.try_recv().is_err(),
        "no request is taken while scripts are loaded"
    );
    load.answer(loaded());
    let write = rig.next().await;
    assert_eq!(write.keys(), ["lock-2"]);
    write.answer([noscript()]);
    rig.settle().await;
    let reply = rig.hub.reply(&requests[0]);
    assert_eq!(reply, Reply::NotApplied(Refusal::Again));
}

pub(super) fn noscript() -> Value {
    error("NOSCRIPT No matching script. Please use EVAL.")
}

/// Asks for something, whose script the server has forgotten, and loads the scripts.
async fn forgotten_and_loaded(rig: &mut SessionRig, request: &Request) {
    rig.hub.ask([request.clone()]);
    rig.next().await.answer([noscript()]);
    let load = rig.next().await;
    assert_eq!(load.names(), loads());
    load.answer(loaded());
}

/// Loading them again and again would flood the server, and refusing would be an outage.
#[tokio::test(start_paused = true)]
async fn scripts_that_do_not_stay_are_sent_as_texts_for_a_while() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(5);
    forgotten_and_loaded(&mut rig, &requests[0]).await;
    rig.hub.ask([requests[1].clone()]);
    rig.next().await.answer([noscript()]);
    for request in &requests[2..4] {
        rig.hub.ask([request.clone()]);
        let write = rig.next().await;
        assert_eq!(write.names(), ["Acquire by its text"]);
        write.answer([granted()]);
        rig.settle().await;
        assert!(is_granted(&rig.hub.reply(request)));
    }
    for request in &requests[..2] {
        assert_eq!(rig.hub.reply(request), Reply::NotApplied(Refusal::Again));
    }
    // Later it tries the names again.
    tokio::time::advance(Duration::from_secs(10)).await;
    rig.hub.ask([requests[4].clone()]);
    while rig.next().await.names() != ["Acquire"] {}
}

#[tokio::test(start_paused = true)]
async fn where_texts_are_not_permitted_the_scripts_are_loaded_again() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(4);
    forgotten_and_loaded(&mut rig, &requests[0]).await;
    rig.hub.ask([requests[1].clone()]);
    rig.next().await.answer([noscript()]);
    rig.hub.ask([requests[2].clone()]);
    let write = rig.next().await;
    assert_eq!(write.names(), ["Acquire by its text"]);
    write.answer([error("NOPERM no permissions to run the 'eval' command")]);
    rig.settle().await;
    let reply = rig.hub.reply(&requests[2]);
    assert_eq!(reply, Reply::NotApplied(Refusal::Again));
    rig.hub.ask([requests[3].clone()]);
    let write = rig.next().await;
    assert_eq!(write.names(), ["Acquire"]);
    write.answer([noscript()]);
    assert_eq!(rig.next().await.names(), loads());
    let reply = rig.hub.reply(&requests[3]);
    assert!(
        matches!(reply, Reply::NotApplied(Refusal::Unavailable(_))),
        "{reply:?}"
    );
}

/// Nor one whose script calls what is not permitted.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_denied_does_not_switch_the_texts_off() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(5);
    forgotten_and_loaded(&mut rig, &requests[0]).await;
    rig.hub.ask([requests[1].clone()]);
    rig.next().await.answer([noscript()]);
    let denials = [
        "NOPERM User eval has no permissions to access the 'k' key",
        "NOPERM this user has no permissions to access one of the keys used as arguments",
        "ERR ACL failure in script: User app has no permissions to run the 'getex' command",
    ];
    for (request, words) in requests[2..].iter().zip(denials) {
        rig.hub.ask([request.clone()]);
        let write = rig.next().await;
        assert_eq!(write.names(), ["Acquire by its text"], "{words}");
        write.answer([error(words)]);
        rig.settle().await;
        let reply = rig.hub.reply(request);
        assert!(
            matches!(reply, Reply::NotApplied(Refusal::Rejected(_))),
            "{words}: {reply:?}"
        );
    }
}

/// What a session says of a request over a connection of the user's that fails so.
async fn failed(rig: &mut SessionRig, request: &Request, kind: ErrorKind) -> String {
    rig.hub.ask([request.clone()]);
    rig.next().await.fail_with(kind);
    rig.settle().await;
    match rig.hub.reply(request) {
        Reply::Unknown(Doubt::Broken(words)) => words.as_str().to_owned(),
        // It was not connected, so nothing was sent.
        Reply::NotApplied(Refusal::Unavailable(words)) if kind == ErrorKind::ConnectionRefused => {
            words.as_str().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_connection_that_does_not_come_back_is_told_as_that() {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
    let mut rig = SessionRig::new(false);
    let gone = |said: &String| said.contains("ConnectionManager");
    let requests = acquires(10);
    let mut said = Vec::new();
    for (request, kind) in requests.iter().zip([
        ConnectionReset,
        BrokenPipe,
        // It tries to connect.
        ConnectionRefused,
        BrokenPipe,
        BrokenPipe,
        BrokenPipe,
        BrokenPipe,
    ]) {
        said.push(failed(&mut rig, request, kind).await);
    }
    let told: Vec<_> = said.iter().map(gone).collect();
    assert_eq!(
        told,
        [false, false, false, false, false, true, true],
        "{said:?}"
    );
    assert!(
        said[6].contains("broken pipe"),
        "the reason is kept: {}",
        said[6]
    );
    // It came back after all.
    rig.hub.ask([requests[7].clone()]);
    rig.next().await.answer([granted()]);
    rig.settle().await;
    assert!(is_granted(&rig.hub.reply(&requests[7])));
    let said = failed(&mut rig, &requests[8], BrokenPipe).await;
    assert!(!gone(&said), "{said}");
}

/// They were written before the first of them had failed, so they say no more than that.
#[tokio::test(start_paused = true)]
async fn requests_that_break_together_do_not_show_that_nothing_comes_back() {
    let mut rig = SessionRig::new(false);
    let requests = acquires(5);
    rig.hub.ask(requests.clone());
    for _ in &requests {
        rig.next().await.fail_with(ErrorKind::BrokenPipe);
    }
    rig.settle().await;
    let told = format!(
        "{:?}",
        requests
            .iter()
            .map(|request| rig.hub.reply(request))
            .collect::<Vec<_>>()
    );
    assert!(!told.contains("ConnectionManager"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_given_up_and_what_was_in_flight_is_unknown_once() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    let held = rig.next().await;
    rig.hub.ask([requests[1].clone()]);
    let _later = rig.next().await;
    let began = rig.hub.count();
    assert_eq!(began, 0);
    let hub = rig.lost().await;
    assert!(
        requests
            .iter()
            .all(|r| matches!(hub.reply(r), Reply::Unknown(_)))
    );
    held.answer([granted()]);
    assert_eq!(hub.count(), 2, "a reply that comes later is nobody's");
}

#[tokio::test(start_paused = true)]
async fn replies_to_others_keep_a_connection_alive() {
    let mut rig = SessionRig::new(true);
    for request in acquires(20) {
        rig.hub.ask([request.clone()]);
        let write = rig.next().await;
        tokio::time::advance(Duration::from_millis(900)).await;
        write.answer([granted()]);
        rig.settle().await;
        assert!(is_granted(&rig.hub.reply(&request)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_arrived_before_the_connection_ended_counts() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    let first = rig.next().await;
    rig.hub.ask([requests[1].clone()]);
    let _second = rig.next().await;
    // One read brings both the reply and the end.
    let hang_up = rig.hang_up.take().expect("it is up");
    assert!(hang_up.send(first).is_ok());
    let hub = rig.lost().await;
    assert!(is_granted(&hub.reply(&requests[0])));
    assert!(matches!(hub.reply(&requests[1]), Reply::Unknown(_)));
}

#[tokio::test(start_paused = true)]
async fn a_reset_answers_everything_in_flight_once() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(5);
    rig.hub.ask(requests.clone());
    rig.next().await.fail();
    let hub = rig.lost().await;
    assert!(
        requests
            .iter()
            .all(|r| matches!(hub.reply(r), Reply::Unknown(_)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_the_wrong_shape_is_unknown_and_ends_the_connection() {
    for nonsense in [
        Value::Okay,
        Value::Nil,
        list(["granted seven-7"]),
        list(["granted 0-0"]),
        list(["held -1 7"]),
        list(["granted 7-7", "granted 7-7"]),
        word("granted 7-7"),
        list(["done"]),
    ] {
        let mut rig = SessionRig::new(true);
        let requests = acquires(1);
        rig.hub.ask(requests.clone());
        rig.next().await.answer([nonsense]);
        assert!(matches!(
            rig.lost().await.reply(&requests[0]),
            Reply::Unknown(_)
        ));
    }
    let mut rig = SessionRig::new(true);
    let requests = acquires(2);
    rig.hub.ask(requests.clone());
    rig.next().await.answer([granted()]);
    let hub = rig.lost().await;
    assert!(
        requests
            .iter()
            .all(|r| matches!(hub.reply(r), Reply::Unknown(_))),
        "one reply for two"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_became_a_replica_is_left_when_all_is_answered() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(3);
    rig.hub.ask([requests[0].clone()]);
    let first = rig.next().await;
    rig.hub.ask([requests[1].clone()]);
    let second = rig.next().await;
    first.answer([error(
        "READONLY You can't write against a read only replica.",
    )]);
    rig.settle().await;
    rig.hub.ask([requests[2].clone()]);
    rig.settle().await;
    assert!(
        rig.written.try_recv().is_err(),
        "nothing more is written to it"
    );
    second.answer([granted()]);
    let hub = rig.lost().await;
    assert!(matches!(
        hub.reply(&requests[0]),
        Reply::NotApplied(Refusal::Unavailable(_))
    ));
    assert!(is_granted(&hub.reply(&requests[1])));
    assert_eq!(
        hub.count(),
        2,
        "the third was never taken and waits for the next connection"
    );
}

#[tokio::test(start_paused = true)]
async fn a_temporary_refusal_is_not_applied_and_keeps_the_connection() {
    let mut rig = SessionRig::new(true);
    let texts = [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "OOM command not allowed when used memory > 'maxmemory'.",
    ];
    for (request, text) in acquires(texts.len()).into_iter().zip(texts) {
        rig.hub.ask([request.clone()]);
        rig.next().await.answer([error(text)]);
        rig.settle().await;
        let reply = rig.hub.reply(&request);
        assert!(
            matches!(reply, Reply::NotApplied(Refusal::Unavailable(_))),
            "{text}"
        );
    }
    assert!(!rig.session.is_finished());
}

#[tokio::test(start_paused = true)]
async fn an_acquire_that_nobody_waits_for_is_not_sent_but_a_release_is() {
    let mut rig = SessionRig::new(true);
    let mut late = acquires(2);
    late[1].op = Op::Release {
        place: None,
        hints: false,
    };
    late.iter_mut()
        .for_each(|request| request.deadline = tenure_core::Instant::ORIGIN);
    rig.hub.ask(late.clone());
    let write = rig.next().await;
    assert_eq!(write.names(), ["Release"]);
    write.answer([Value::Array(vec![Value::Int(1), word("gone")])]);
    rig.settle().await;
    assert_eq!(rig.hub.reply(&late[0]), Reply::NotApplied(Refusal::NotSent));
    assert_eq!(rig.hub.reply(&late[1]), Reply::Applied(Answer::Gone));
}

/// A command without a reply is unknown some time after its deadline, and delays no other.
#[tokio::test(start_paused = true)]
async fn over_a_users_connection_each_command_goes_alone() {
    let mut rig = SessionRig::new(false);
    let mut requests = acquires(2);
    requests.iter_mut().for_each(|request| {
        request.deadline = tenure_core::Instant::ORIGIN + Duration::from_millis(500);
    });
    rig.hub.ask(requests.clone());
    let held = rig.next().await;
    let answered = rig.next().await;
    assert_eq!(held.keys(), ["lock-0"]);
    answered.answer([granted()]);
    tokio::time::advance(Duration::from_millis(1400)).await;
    rig.settle().await;
    assert!(
        is_granted(&rig.hub.reply(&requests[1])),
        "it does not wait for the first"
    );
    assert_eq!(rig.hub.count(), 1);
    tokio::time::advance(Duration::from_millis(200)).await;
    rig.settle().await;
    assert!(matches!(rig.hub.reply(&requests[0]), Reply::Unknown(_)));
    held.answer([granted()]);
    rig.settle().await;
    assert_eq!(rig.hub.count(), 2);
    assert!(
        !rig.session.is_finished(),
        "the connection is the user's and stays"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_process_reads_replies_before_it_calls_a_node_silent() {
    let mut rig = SessionRig::new(true);
    let requests = acquires(2);
    rig.hub.ask([requests[0].clone()]);
    let write = rig.next().await;
    tokio::time::advance(Duration::from_secs(10)).await;
    rig.settle().await;
    assert!(!rig.session.is_finished());
    write.answer([granted()]);
    rig.settle().await;
    assert!(is_granted(&rig.hub.reply(&requests[0])));
    // If nothing came, it does not wait for ever.
    rig.hub.ask([requests[1].clone()]);
    let _write = rig.next().await;
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(matches!(
        rig.lost().await.reply(&requests[1]),
        Reply::Unknown(_)
    ));
}

/// A client that is closed waits for the answer to what is in flight; one whose task panicked does
/// not.
#[tokio::test(start_paused = true)]
async fn a_session_waits_for_what_is_in_flight_unless_its_client_is_dead() {
    for dead in [false, true] {
        let mut rig = SessionRig::new(true);
        rig.hub.ask(acquires(1));
        let unanswered = rig.next().await;
        match dead {
            true => rig.hub.die(),
            false => rig.hub.finish(),
        }
        rig.settle().await;
        assert_eq!(rig.session.is_finished(), dead);
        unanswered.answer([granted()]);
        let end = rig.session.await;
        assert!(matches!(end, Ok(SessionEnd::Finished)), "{end:?}");
    }
}
