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

fn shown(key: impl AsRef<[u8]>) -> String {
    Key::new(key.as_ref()).to_string()
}

#[test]
fn a_key_is_shown_as_the_text_that_it_is() {
    for text in ["orders/42", "größe:7", "注文", "it's", "a b"] {
        assert_eq!(shown(text), text);
    }
    assert_eq!(format!("{:?}", Key::new(*b"k ")), "\"k \"");
    assert_eq!(shown([b'x'; 128]), "x".repeat(128));
}

/// Not even two that look alike in a terminal.
#[test]
fn no_two_keys_are_shown_alike() {
    let long = |at: usize, byte| {
        let mut key = vec![b'x'; 200];
        key[at] = byte;
        key
    };
    let mut keys = vec![
        b"a".to_vec(),
        b"a ".to_vec(),
        b"a\n".to_vec(),
        b"a\\n".to_vec(),
        b"a\xff".to_vec(),
        b"a\\xff".to_vec(),
        "a\u{200b}".into(),
        "a\u{202e}".into(),
        "a\u{feff}".into(),
        "a\"".into(),
        vec![b'x'; 129],
        vec![b'x'; 199],
    ];
    keys.extend([0, 63, 64, 100, 167, 168, 199].map(|at| long(at, b'y')));
    keys.push(long(100, b'z'));
    let mut all: Vec<_> = keys.iter().map(shown).collect();
    for key in &all {
        assert!(key.len() < 200 && !key.contains(char::is_control), "{key}");
        assert!(!key.contains(['\u{200b}', '\u{202e}', '\u{feff}']), "{key}");
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), keys.len());
}

#[test]
fn a_long_key_is_cut_between_two_characters() {
    for shift in 0..4 {
        let key = format!("{}{}", "x".repeat(shift), "ö注".repeat(100));
        let shown = shown(&key);
        assert!(!shown.contains('\\'), "{shown}");
        let (head, rest) = shown.split_once('…').expect("it is cut");
        let (tail, size) = rest.split_once(' ').expect("its length follows");
        assert!(key.starts_with(head) && key.ends_with(tail), "{shown}");
        assert!(
            size.starts_with(&format!("({} bytes, ", key.len())),
            "{size}"
        );
    }
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
