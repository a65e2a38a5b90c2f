//! Tokens as text: what a label may be, and that every token is read as it was written.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use proptest::prelude::*;
use tenure_core::{Fence, Label, LabelError, STREAM_SEQUENCES, Secret, ServerTime, Token};

/// Labels that look like parts of a token, or like several.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,128}",
        "[0-9a-f:]{1,128}",
        "[:]{1,8}",
        "[0-9a-f]{32}(:[0-9]{1,3})?",
        "[a-z]{0,8}:[0-9a-f]{32}:[0-9]{1,10}:?",
        "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-01",
        "[a-z0-9.-]{1,60}:[0-9]{1,5}",
    ]
}

fn token() -> impl Strategy<Value = Token> {
    let attempt = prop_oneof![1..20_u32, 1..=u32::MAX];
    (prop::option::of(label()), any::<[u8; 16]>(), attempt).prop_map(|(label, secret, attempt)| {
        Token {
            label: label.map(|label| Label::new(&label).expect("printable")),
            secret: Secret::new(secret),
            attempt,
        }
    })
}

fn text(token: &Token) -> Vec<u8> {
    let mut text = Vec::new();
    token.write(&mut text);
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_token_is_read_as_it_was_written(token in token()) {
        prop_assert_eq!(Token::parse(&text(&token)), Some(token));
    }

    /// Two leases differ in what stands before the last colon, whatever their labels are.
    #[test]
    fn the_text_before_the_attempt_tells_leases_apart(one in token(), other in token()) {
        let lease = |token: &Token| {
            let text = text(token);
            let colon = text.iter().rposition(|byte| *byte == b':').expect("a colon");
            text[..colon].to_vec()
        };
        let same = one.secret == other.secret && one.label == other.label;
        prop_assert_eq!(lease(&one) == lease(&other), same);
    }

    /// What is read is written the same again: no two texts are one token.
    #[test]
    fn what_is_no_token_is_not_read_as_one(
        text in prop_oneof![
            "\\PC{0,60}",
            "[0-9a-fA-F:+]{30,50}",
            "x?:?[0-9a-f]{31,33}:[0-9]{0,11}",
        ],
    ) {
        if let Some(token) = Token::parse(text.as_bytes()) {
            prop_assert_eq!(self::text(&token), text.into_bytes());
        }
    }

    #[test]
    fn a_label_is_taken_if_a_token_can_carry_it(text in "\\PC{0,140}|[ -~]{0,140}|[ -~]{0,9}\n") {
        let printable = text.chars().all(|c| (' '..='~').contains(&c));
        match Label::new(&text) {
            Ok(label) => {
                prop_assert!(printable && (1..=128).contains(&text.len()));
                prop_assert_eq!(label.as_str(), text);
            }
            Err(LabelError::Length(len)) => prop_assert!(len == 0 || len > 128),
            Err(error) => {
                let LabelError::Character { label, character, at } = &error else {
                    panic!("{error:?}");
                };
                prop_assert_eq!(&**label, &text);
                prop_assert_eq!(text[*at..].chars().next(), Some(*character));
                prop_assert!(Label::new(&text[..*at]).is_ok() || *at == 0, "the first");
                let words = error.to_string();
                for part in [format!("{text:?}"), format!("{character:?}"), format!("byte {at}")] {
                    prop_assert!(words.contains(&part), "{part} in {words}");
                }
            }
        }
    }
}

#[test]
fn a_token_has_the_form_that_the_documents_say() {
    let secret = "00112233445566778899aabbccddeeff";
    let token = Token {
        label: Label::new("10.0.0.7:8080").ok(),
        secret: Secret::new(std::array::from_fn(|at| 17 * at as u8)),
        attempt: 12,
    };
    let written = format!("10.0.0.7:8080:{secret}:12");
    assert_eq!(text(&token), written.as_bytes());
    for other in [
        String::new(),
        secret.to_owned(),
        format!("{secret}:"),
        format!("{secret}:0"),
        format!("{secret}:012"),
        format!("{secret}:+1"),
        format!("{secret}:4294967296"),
        format!(":{secret}:1"),
        format!("web{secret}:1"),
        format!("{}:1", secret.to_uppercase()),
        format!("{}:1", &secret[1..]),
        format!("we\nb:{secret}:1"),
        format!("{}:{secret}:1", "x".repeat(129)),
    ] {
        assert_eq!(Token::parse(other.as_bytes()), None, "{other:?}");
    }
    assert!(Token::parse(format!("{secret}:1").as_bytes()).is_some());
    assert!(Token::parse(format!("{}:{secret}:1", "x".repeat(128)).as_bytes()).is_some());
    assert_eq!(Token::parse(&[0xff; 34]), None);
}

#[test]
fn fences_are_twice_the_microseconds_from_a_stream_as_from_a_time() {
    let millis = 1_767_225_600_123;
    let of_stream = Fence::of_stream(millis, 7).map(Fence::get);
    assert_eq!(of_stream, Some(millis * 2_000 + 7));
    let of_time = Fence::of_time(ServerTime::from_micros(millis * 1_000 + 4)).map(Fence::get);
    assert_eq!(of_time, Some(millis * 2_000 + 8));
    let year_2112 = 4_481_049_600_000;
    let largest = Fence::of_stream(year_2112, STREAM_SEQUENCES - 1).map(Fence::get);
    assert!(largest.is_some_and(|fence| fence < 1 << 53));
    assert_eq!(Fence::of_stream(0, 0), None);
}

#[test]
fn a_stream_that_is_stuck_in_one_millisecond_grants_no_more() {
    let last = Fence::of_stream(5, STREAM_SEQUENCES - 1);
    assert!(last.is_some() && last < Fence::of_stream(6, 0));
    for sequence in [STREAM_SEQUENCES, 2_000, u64::MAX] {
        assert_eq!(Fence::of_stream(5, sequence), None, "{sequence}");
    }
}
