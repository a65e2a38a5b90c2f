//! What a node says without being asked: that it handed a lock on, and that somebody touched a key
//! that it watches.

use redis::{PushInfo, PushKind, Value};
use tenure_core::{Fence, PlaceId, Serial};

use crate::protocol::decode;

/// What a node says without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    /// A lock was handed on to a place of this client.
    Granted {
        /// Whose turn it is.
        place: PlaceId,
        /// The request that had kept it last.
        serial: Serial,
        /// What the node drew.
        fence: Fence,
    },
    /// A lock is free for which this client has a place.
    Hint(PlaceId),
    /// Somebody may have touched a key that the node watches.
    Touched(Vec<u8>),
    /// Somebody may have touched any of them: the node was emptied, for example.
    TouchedAny,
}

/// Reads a push, which may be of several kinds and about several keys. What this client did not ask
/// for is left out.
pub(crate) fn read(push: PushInfo, channel: &[u8], mut each: impl FnMut(Push)) {
    match (push.kind, &push.data[..]) {
        (PushKind::Message, [of, text]) if decode::bytes(of) == Some(channel) => {
            if let Some(said) = decode::bytes(text).and_then(said) {
                each(said);
            }
        }
        (PushKind::Invalidate, [Value::Array(keys)]) => {
            let keys = keys.iter().filter_map(decode::bytes);
            keys.for_each(|key| each(Push::Touched(key.to_vec())));
        }
        (PushKind::Invalidate, [Value::Nil]) => each(Push::TouchedAny),
        _ => {}
    }
}

/// Reads what a hand-off publishes: the place, the serial and the id that the stream drew, with a
/// space between each two; or what a hint does: the place.
fn said(text: &[u8]) -> Option<Push> {
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let place = words.next().filter(|word| word.len() == 16)?;
    let place = u64::from_str_radix(place, 16).ok()?;
    let Some(serial) = words.next() else {
        return Some(Push::Hint(PlaceId::new(place)));
    };
    let serial: u32 = serial.parse().ok()?;
    let (millis, sequence) = words.next()?.split_once('-')?;
    let fence = Fence::of_stream(millis.parse().ok()?, sequence.parse().ok()?)?;
    words.next().is_none().then_some(Push::Granted {
        place: PlaceId::new(place),
        serial: Serial::of(serial),
        fence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: &[u8] = b"here";

    fn text(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    fn pushes(kind: PushKind, data: Vec<Value>) -> Vec<Push> {
        let mut pushes = Vec::new();
        read(PushInfo { kind, data }, CHANNEL, |push| pushes.push(push));
        pushes
    }

    fn message(channel: &[u8], words: &str) -> Vec<Push> {
        pushes(
            PushKind::Message,
            vec![text(channel), text(words.as_bytes())],
        )
    }

    #[test]
    fn a_message_at_the_channel_says_whose_turn_it_is() {
        let granted = Push::Granted {
            place: PlaceId::new(0xab),
            serial: Serial::of(7),
            fence: Fence::of_stream(5, 3).expect("it is small"),
        };
        assert_eq!(message(CHANNEL, "00000000000000ab 7 5-3"), [granted]);
    }

    #[test]
    fn a_message_that_names_a_place_alone_is_a_hint() {
        let hint = Push::Hint(PlaceId::new(0xab));
        assert_eq!(message(CHANNEL, "00000000000000ab"), [hint]);
    }

    #[test]
    fn what_is_no_grant_for_this_client_is_left_out() {
        assert_eq!(message(b"there", "00000000000000ab 7 5-3"), []);
        for words in [
            "",
            "ab 7 5-3",
            "00000000000000ab 7 5",
            "00000000000000ab 7",
            "00000000000000ab x 5-3",
            "00000000000000ab 7 5-3 more",
            "00000000000000ab 7 5-5000",
            "000000000000000\u{e9} 7 5-3",
        ] {
            assert_eq!(message(CHANNEL, words), [], "{words}");
        }
        assert_eq!(pushes(PushKind::Message, vec![text(CHANNEL)]), []);
        assert_eq!(pushes(PushKind::Disconnection, vec![]), []);
    }

    #[test]
    fn an_invalidation_names_keys_or_all_of_them() {
        let keys = Value::Array(vec![text(b"k"), text(b"l")]);
        assert_eq!(
            pushes(PushKind::Invalidate, vec![keys]),
            [Push::Touched(b"k".into()), Push::Touched(b"l".into())]
        );
        assert_eq!(
            pushes(PushKind::Invalidate, vec![Value::Nil]),
            [Push::TouchedAny]
        );
    }
}
