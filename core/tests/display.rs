//! How ids, sets, keys, secrets and times are shown to people.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use support::{World, id};
use tenure_core::{Fence, Key, NodeSet, Words};

#[test]
fn leases_and_nodes_are_named_by_number() {
    let mut world = World::new(1);
    let first = world.acquire("a");
    world.release(first);
    let second = world.acquire("b");
    assert_eq!(format!("{first:?} {second:?}"), "lease 0.0 lease 0.1");
    assert_eq!(format!("{:?}", id(2)), "node 2");
}

#[test]
fn a_set_of_nodes_is_collected_and_shown() {
    let nodes: NodeSet = [id(4), id(0), id(4)].into_iter().collect();
    assert_eq!(nodes.iter().collect::<Vec<_>>(), [id(0), id(4)]);
    assert_eq!(format!("{nodes:?}"), "{0, 4}");
}

#[test]
fn a_key_is_shown_as_ascii_and_only_its_beginning() {
    assert_eq!(Key::new(*b"orders/42").to_string(), "orders/42");
    assert_eq!(Key::new(*b"\xffq\n").to_string(), r"\xffq\n");
    assert_eq!(format!("{:?}", Key::new(*b"k")), "\"k\"");
    assert_eq!(Key::new([b'x'; 64]).to_string(), "x".repeat(64));
    let long = format!("{}… (65 bytes)", "x".repeat(64));
    assert_eq!(Key::new([b'x'; 65]).to_string(), long);
}

#[test]
fn the_servers_words_and_a_fence_are_shown_as_they_are() {
    let words = Words::new("NOPERM no");
    assert_eq!(words.as_str(), "NOPERM no");
    assert_eq!(format!("{words} {words:?}"), "NOPERM no \"NOPERM no\"");
    assert_eq!(Fence::new(1_700).unwrap().to_string(), "1700");
}

#[test]
fn a_secret_is_never_shown_and_a_token_shows_its_label_and_attempt() {
    let secret = tenure_core::Secret::new([7; 16]);
    assert_eq!(format!("{secret:?}"), "Secret(…)");
    let label = tenure_core::Label::new("billing 7").ok();
    let token = tenure_core::Token {
        label,
        secret,
        attempt: 3,
    };
    let shown = "Token(Some(\"billing 7\"), …, attempt 3)";
    assert_eq!(format!("{token:?}"), shown);
}

#[test]
fn an_instant_is_shown_in_seconds() {
    let nanos = tenure_core::Instant::from_nanos;
    assert_eq!(
        format!("{:?}", nanos(1_500_000_000)),
        "Instant(1.500000000s)"
    );
    assert_eq!(
        format!("{:?}", nanos(-2_000_000_001)),
        "Instant(-2.000000001s)"
    );
    assert_eq!(format!("{:?}", tenure_core::Instant::MAX), "Instant(MAX)");
    assert_eq!(format!("{:?}", tenure_core::Instant::MIN), "Instant(MIN)");
}
