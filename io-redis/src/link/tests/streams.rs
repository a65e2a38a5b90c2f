//! What a session of the one node of a client writes for its fences: plain commands or scripts, and
//! which stream they name.

use std::time::Duration;

use tenure_core::{Op, Refusal, Reply};

use crate::link::tests::mocked::{error, granted, one_node, word};
use crate::link::tests::session::{RENEW, SessionRig};
use crate::protocol::testing::request;

const TAKE: Op = Op::Take {
    ttl: Duration::from_secs(5),
};

#[tokio::test(start_paused = true)]
async fn locks_are_taken_by_plain_commands_only_over_a_connection_of_its_own() {
    for own in [true, false] {
        let mut rig = SessionRig::new(own);
        rig.hub.ask([request(0, TAKE), request(1, TAKE)]);
        if own {
            assert_eq!(rig.next().await.names(), ["SET", "SET", "XADD"]);
        } else {
            assert_eq!(rig.next().await.names(), ["Acquire"]);
            assert_eq!(rig.next().await.names(), ["Acquire"]);
        }
    }
}

/// The stream that the first calls name is not in the slot of their keys.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_found_late_is_asked_again_with_the_streams_of_slots() {
    let mut rig = SessionRig::new(false);
    let requests = [request(0, TAKE), request(1, TAKE)];
    rig.hub.ask(requests.clone());
    let crossslot = || error("CROSSSLOT Keys in request don't hash to the same slot");
    let first = rig.next().await;
    assert_eq!(first.commands[0][4], "tenure:fence");
    rig.next().await.answer([crossslot()]);
    first.answer([crossslot()]);
    rig.settle().await;
    for request in &requests {
        assert_eq!(rig.hub.reply(request), Reply::NotApplied(Refusal::Again));
    }
    let mut again = requests[0].clone();
    again.id.serial += 1;
    rig.hub.ask([again.clone()]);
    let write = rig.next().await;
    assert!(write.commands[0][4].starts_with("tenure:fence:{"));
    write.answer([crossslot()]);
    rig.settle().await;
    let refused = rig.hub.reply(&again);
    assert!(matches!(refused, Reply::NotApplied(Refusal::Rejected(_))));
}

#[tokio::test(start_paused = true)]
async fn over_a_cluster_nothing_shares_a_call() {
    let config = one_node();
    config.stream.as_ref().expect("one node").split();
    let mut rig = SessionRig::with(true, Duration::ZERO, config);
    rig.hub.ask([
        request(0, TAKE),
        request(1, TAKE),
        request(2, RENEW),
        request(3, RENEW),
    ]);
    let write = rig.next().await;
    assert_eq!(write.names(), ["Renew", "Renew", "Acquire", "Acquire"]);
}

/// Once an hour, for as long as the connection serves. Over a cluster those that were used.
#[tokio::test(start_paused = true)]
async fn the_stream_is_kept_from_expiring() {
    let hour = Duration::from_secs(3_601);
    let mut rig = SessionRig::new(false);
    for _ in 0..3 {
        tokio::time::advance(hour).await;
        let write = rig.next().await;
        assert_eq!(write.names(), ["Keep"]);
        assert_eq!(write.keys(), ["tenure:fence"]);
        write.answer([word("1700-0")]);
        rig.settle().await;
    }
    let config = one_node();
    config.stream.as_ref().expect("one node").split();
    let mut rig = SessionRig::with(false, Duration::ZERO, config);
    let request = request(0, TAKE);
    rig.hub.ask([request.clone()]);
    let write = rig.next().await;
    let stream = write.commands[0][4].clone();
    write.answer([granted()]);
    rig.settle().await;
    tokio::time::advance(hour).await;
    let write = rig.next().await;
    assert_eq!(write.names(), ["Keep"]);
    assert_eq!(write.keys(), [stream]);
    write.answer([word("1700-0")]);
    rig.settle().await;
    tokio::time::advance(hour).await;
    rig.settle().await;
    assert!(rig.written.try_recv().is_err(), "nobody has used it since");
}
