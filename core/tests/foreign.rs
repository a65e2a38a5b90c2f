//! Keys under a lock's name that no lease wrote: without an expiry, or of another type.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{World, id, key, secs};
use tenure_core::{
    AcquireFailure, EventKind, LeaseOptions, LeaseOptionsBuilder, LockName, Refusal, Words,
};
use tenure_sim::node::Value;

fn once() -> LeaseOptionsBuilder {
    LeaseOptions::builder().attempts(Some(1))
}

fn failed(event: EventKind) -> AcquireFailure {
    match event {
        EventKind::Failed { cause, .. } => cause,
        other => panic!("expected Failed, got {other:?}"),
    }
}

/// It may be the lock of another library. So it is waited for, and taken once it is deleted.
#[test]
fn a_key_without_an_expiry_is_told_as_that_and_waited_for() {
    for nodes in [1, 3] {
        let mut world = World::new(nodes);
        for node in &mut world.nodes {
            node.make(&key("k"), Value::Other);
        }
        world.acquire_with("k", once());
        let foreign = AcquireFailure::Foreign { node: id(0) };
        assert_eq!(failed(world.event()), foreign);

        let lease = world.acquire("k");
        world.advance(secs(60));
        let rounds = world.events();
        let told = |event: &EventKind| match event {
            EventKind::Waiting { cause, .. } => *cause == foreign,
            _ => false,
        };
        assert!(rounds.len() > 20 && rounds.iter().all(told), "{rounds:?}");
        for node in &mut world.nodes {
            node.delete(&key("k"));
        }
        world.advance(secs(5));
        assert!(world.may_act(lease));
    }
}

/// A minority is in nobody's way. With one holder more, waiting for that holder is enough.
#[test]
fn a_key_without_an_expiry_matters_where_it_leaves_no_quorum() {
    let mut world = World::new(3);
    world.nodes[2].make(&key("k"), Value::Other);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
    world.events();
    world.acquire_with("k", once());
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Contended { .. }
    ));
    // Which of the two it is, the last node decides.
    world.withhold([0]);
    world.acquire_with("k", once());
    assert_eq!(world.events(), []);
    world.deliver(0);
    world.pump();
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Contended { .. }
    ));
    world.nodes[1].make(&key("k"), Value::Other);
    world.acquire_with("k", once());
    world.deliver(0);
    world.pump();
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Foreign { node: id(1) }
    );
}

#[test]
fn a_key_of_another_type_is_told_at_once_however_long_one_would_wait() {
    for nodes in [1, 3, 5] {
        let mut world = World::new(nodes);
        let quorum = nodes / 2 + 1;
        for node in &mut world.nodes[nodes - quorum..] {
            node.make(&key("k"), Value::WrongType);
        }
        let started = world.now;
        world.acquire("k");
        let EventKind::Failed { cause, gave_up } = world.event() else {
            panic!("waiting does not mend it");
        };
        assert!(!gave_up);
        let told = AcquireFailure::WrongType {
            node: id(nodes - quorum),
            name: LockName::Key,
            holds: "a hash",
        };
        assert_eq!((cause, world.now), (told, started));
        assert!(world.manager.is_empty(), "nothing is left to do");
    }
}

#[test]
fn one_node_with_a_key_of_another_type_is_in_nobodys_way() {
    let mut world = World::new(3);
    world.nodes[0].make(&key("k"), Value::WrongType);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
    world.events();
    world.acquire_with("k", once());
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Contended { .. }
    ));
    // Beside a node that is down, it is told why this one does not count.
    world.release(lease);
    world.events();
    world.down(2);
    world.acquire_with("k", once());
    let AcquireFailure::Outage { silent } = failed(world.event()) else {
        panic!("too few are left");
    };
    let words = silent[0].words.as_ref().map(Words::as_str);
    assert_eq!(words, Some("it holds a hash where the lock belongs"));
    assert_eq!(silent.len(), 2);
}

#[test]
fn what_no_quorum_can_mend_is_told_whatever_it_is_at_each_node() {
    let mut world = World::new(3);
    world.nodes[1].make(&key("k"), Value::WrongType);
    world.withhold([0]);
    world.acquire("k");
    world.refuse(0, Refusal::Rejected(Words::new("NOPERM")));
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Rejected { node, .. } if node == id(0)
    ));
}

/// One node is down, so a quorum refuses as soon as the slowest of the others has said so.
#[test]
fn what_waiting_does_not_mend_is_told_beside_a_node_that_is_down() {
    for nodes in [3, 5] {
        let last = nodes - 1;
        let mut world = World::new(nodes);
        for node in &mut world.nodes {
            node.make(&key("k"), Value::WrongType);
        }
        world.down(1);
        world.withhold([last]);
        world.acquire("k");
        // Of five nodes, three have said it by now.
        if nodes == 3 {
            assert_eq!(world.events(), [], "the last one decides");
            world.deliver(last);
            world.pump();
        }
        assert!(matches!(
            failed(world.event()),
            AcquireFailure::WrongType { node, .. } if node == id(0)
        ));
    }
    for nodes in [3, 5] {
        let mut world = World::new(nodes);
        world.down(1);
        world.withhold((0..nodes).filter(|node| *node != 1));
        world.acquire("k");
        for node in (0..nodes).filter(|node| *node != 1).take(nodes / 2 + 1) {
            assert_eq!(world.events(), []);
            world.refuse(node, Refusal::Rejected(Words::new("NOPERM")));
        }
        assert!(matches!(
            failed(world.event()),
            AcquireFailure::Rejected { node, .. } if node == id(0)
        ));
    }
}

/// The last node does not answer in time: then it is an outage, which waiting may mend.
#[test]
fn too_few_refusals_for_a_verdict_are_an_outage_when_the_time_is_over() {
    let mut world = World::new(3);
    world.nodes[0].make(&key("k"), Value::WrongType);
    world.down(1);
    world.withhold([2]);
    world.acquire_with("k", once());
    assert_eq!(world.events(), []);
    world.advance(secs(2));
    assert!(matches!(
        failed(world.event()),
        AcquireFailure::Outage { silent } if silent.len() == 3
    ));
}

/// Two nodes are left, and one of them is free: a third that comes up makes a quorum without the
/// key.
#[test]
fn a_key_without_an_expiry_beside_a_node_that_is_down_is_waited_for() {
    let mut world = World::new(3);
    world.nodes[0].make(&key("k"), Value::Other);
    world.down(2);
    world.acquire_with("k", once());
    assert_eq!(
        failed(world.event()),
        AcquireFailure::Foreign { node: id(0) }
    );
    world.up(2);
    let lease = world.acquire("k");
    assert!(world.may_act(lease));
}
