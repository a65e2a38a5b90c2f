//! The names of keys on a node: which keys may be locked, where fence counters, queues and markers
//! are kept, and in which slot of a cluster a name is.

use std::fmt;
use std::sync::Arc;

use tenure_core::{Key, LockName};

use crate::protocol::stream::FenceStream;

/// The longest key, in bytes.
pub(crate) const MAX_KEY_LEN: usize = 64 * 1024;
/// The longest prefix of a client, in bytes.
pub(crate) const MAX_PREFIX_LEN: usize = 1024;

/// The end of the name of a fence counter.
const COUNTER: &[u8] = b":tenure:fence";
/// The end of the name of a queue.
const QUEUE: &[u8] = b":tenure:queue";
/// The name of a fence stream, or its end.
pub(crate) const FENCES: &[u8] = b"tenure:fence";
/// The end of the name of a marker, behind the client's prefix.
const MARKER: &[u8] = b"tenure:node";
/// How the name of a client's channel begins behind the prefix.
const CHANNEL: &[u8] = b"tenure:client:";

/// The end of a name under which nothing is ever kept.
const UNUSED: &[u8] = b":tenure:fence:00";

/// Why a key cannot be locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It has no bytes, besides the prefix of the client.
    Empty,
    /// It has this many bytes, the prefix of the client included, which is more than 64 KiB.
    TooLong(usize),
    /// It is the name of a fence stream, of a fence counter, of a queue or of a marker, of this
    /// client or of another.
    Reserved,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "the key that was asked for is empty (a prefix alone is no key): name what is \
                 locked",
            ),
            Self::TooLong(len) => write!(
                f,
                "the key has {len} bytes, its prefix included; at most {MAX_KEY_LEN} are allowed, \
                 so use a digest of it"
            ),
            Self::Reserved => f.write_str(
                "the key is a name that Tenure keeps its own data under (it ends like \
                 `tenure:fence`, `tenure:queue` or `tenure:node`); use another",
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// Checks that a key, with its prefix, can be locked. What may be the marker of a client is
/// reserved, whatever that client's prefix is.
// Law: Ownership
pub(crate) fn check(key: &[u8]) -> Result<(), KeyError> {
    if key.is_empty() {
        Err(KeyError::Empty)
    } else if key.len() > MAX_KEY_LEN {
        Err(KeyError::TooLong(key.len()))
    } else if is_of(FENCES, key) || is_of(QUEUE, key) || key.ends_with(MARKER) {
        Err(KeyError::Reserved)
    } else {
        Ok(())
    }
}

/// Whether the name may be one that [`in_slot`] gives for this end, or the name of a fence stream.
fn is_of(end: &[u8], name: &[u8]) -> bool {
    if name.ends_with(end) {
        return true;
    }
    if name.ends_with(b"}") {
        return name
            .windows(end.len() + 2)
            .any(|part| part.starts_with(end) && part.ends_with(b":{"));
    }
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    digits > 0
        && name[..name.len() - digits]
            .strip_suffix(b":")
            .is_some_and(|rest| rest.ends_with(end))
}

/// A key with this prefix that never exists: it cannot be locked, and no counter has this name,
/// since their numbers do not begin with a zero.
// Law: Ownership, Fencing
pub(crate) fn unused(prefix: &[u8]) -> Key {
    Key::new([prefix, UNUSED].concat())
}

/// The name of the channel at which nodes push to a client. It begins with the prefix, so that a
/// pattern of an ACL covers those of all clients.
pub(crate) fn channel(prefix: &[u8], client: u64) -> Arc<[u8]> {
    let mut name = [prefix, CHANNEL].concat();
    name.extend(format!("{client:016x}").into_bytes());
    name.into()
}

/// The name of the marker of a node.
pub(crate) fn marker(prefix: &[u8]) -> Vec<u8> {
    [prefix, MARKER].concat()
}

/// The Redis key that is this name of a lock, whose fences come from this stream, if from one.
pub(crate) fn named(lock: &Key, name: LockName, stream: Option<&FenceStream>) -> Key {
    let mut named = Vec::new();
    match (name, stream) {
        (LockName::Counter, _) => counter(lock.as_bytes(), &mut named),
        (LockName::Stream, Some(stream)) => stream.write_for(lock.as_bytes(), &mut named),
        (LockName::Queue, _) => queue(lock.as_bytes(), &mut named),
        (LockName::Key, _) | (LockName::Stream, None) => return lock.clone(),
    }
    Key::new(named)
}

/// Writes the name of the key's fence counter.
// Law: Fencing
pub(crate) fn counter(key: &[u8], out: &mut Vec<u8>) {
    in_slot(key, COUNTER, out);
}

/// Writes the name of the key's queue.
pub(crate) fn queue(key: &[u8], out: &mut Vec<u8>) {
    in_slot(key, QUEUE, out);
}

/// Writes a name that belongs to a key: with the end `:tenure:fence` the first of `K:tenure:fence`,
/// `K:tenure:fence:{K}`, `K:tenure:fence:0`, `K:tenure:fence:1`, … that hashes to the slot of `K`.
/// So a script may use both on a cluster, and a pattern of an ACL that covers the key covers what
/// belongs to it.
fn in_slot(key: &[u8], end: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(key);
    out.extend_from_slice(end);
    // A tag inside the key comes first in every name that begins with the key.
    if tag(key).is_some() {
        return;
    }
    // Without a tag the whole key is hashed, and the whole name too, unless it completes a tag.
    let whole = crc16(0, key);
    let wanted = slot_of(whole);
    if slot_of(crc16(whole, end)) == wanted {
        return;
    }
    out.push(b':');
    let stem = out.len();
    out.push(b'{');
    out.extend_from_slice(key);
    out.push(b'}');
    // The key itself is the tag, unless it has a brace of its own.
    let is_plain = !key.iter().any(|byte| matches!(byte, b'{' | b'}'));
    if is_plain || slot(out) == wanted {
        return;
    }
    out.truncate(stem);
    // Digits complete no tag, so the whole name is hashed. The part that all names share is hashed
    // once, and so is the part that a hundred of them share. One in 16,384 fits.
    let stem_crc = crc16(0, out);
    for hundreds in 0_u64.. {
        let hundreds_crc = match hundreds {
            0 => stem_crc,
            _ => crc16(stem_crc, itoa(hundreds, &mut [0; 20])),
        };
        for ten in b'0'..=b'9' {
            let tens_crc = match (hundreds, ten) {
                (0, b'0') => hundreds_crc,
                _ => crc16(hundreds_crc, &[ten]),
            };
            if let Some(unit) = last_digit(tens_crc, wanted) {
                let tens = hundreds * 10 + u64::from(ten - b'0');
                if tens > 0 {
                    out.extend_from_slice(itoa(tens, &mut [0; 20]));
                }
                out.push(unit);
                return;
            }
        }
    }
}

/// The digit with which the hash goes on from `crc` to this slot, if there is one. For each digit
/// the last bits of its hash alone are those of its value.
fn last_digit(crc: u16, wanted: u16) -> Option<u8> {
    let differs = slot_of(crc16(crc, b"0") ^ wanted);
    let digit = differs & 0xf;
    (digit <= 9 && slot_of(TABLE[usize::from(digit)]) == differs).then_some(b'0' + digit as u8)
}

/// The decimal digits of a number.
pub(crate) fn itoa(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// The part of a name that a cluster hashes instead of the whole: from the first `{` to the next
/// `}`, if that is not empty.
fn tag(name: &[u8]) -> Option<&[u8]> {
    let open = name.iter().position(|b| *b == b'{')?;
    let rest = &name[open + 1..];
    match rest.iter().position(|b| *b == b'}')? {
        0 => None,
        close => Some(&rest[..close]),
    }
}

/// The cluster slot of a name.
pub(crate) fn slot(name: &[u8]) -> u16 {
    slot_of(crc16(0, tag(name).unwrap_or(name)))
}

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

const fn slot_of(crc: u16) -> u16 {
    crc % SLOTS
}

/// The CRC16 of a cluster (XMODEM), continued from `crc`.
fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counter_of(key: &[u8]) -> Vec<u8> {
        let mut out = b"left over".to_vec();
        counter(key, &mut out);
        out
    }

    #[test]
    fn slots_are_those_of_a_real_cluster() {
        // As `CLUSTER KEYSLOT` answers.
        for (name, expected) in [
            (&b"123456789"[..], 0x31c3),
            (b"a}b", 7866),
            (b"{a}b}", 15495),
            (b"a", 15495),
            (b"foo", 12182),
            (b"{foo}.bar", 12182),
        ] {
            assert_eq!(slot(name), expected, "{}", name.escape_ascii());
        }
        assert_ne!(slot(b"{}foo"), slot(b"foo"), "an empty tag is no tag");
    }

    #[test]
    fn an_ordinary_key_has_its_counter_under_its_own_name_as_a_tag() {
        assert_eq!(counter_of(b"orders:7"), b"orders:7:tenure:fence:{orders:7}");
        assert_eq!(counter_of(b"{shop}:7"), b"{shop}:7:tenure:fence");
    }

    #[test]
    fn a_counter_that_happens_to_be_in_the_keys_slot_needs_no_tag() {
        let key = (0..1_000_000)
            .map(|n| format!("k{n}").into_bytes())
            .find(|key| slot(&[key, COUNTER].concat()) == slot(key))
            .expect("one in 16384 does");
        assert_eq!(counter_of(&key), [&key, COUNTER].concat());
    }

    #[test]
    fn a_reserved_name_cannot_be_locked() {
        for key in [
            &b"a:tenure:fence"[..],
            b":tenure:fence",
            b"a:tenure:fence:0",
            b"a:tenure:fence:18446744073709551616",
            b"a:tenure:fence:{a}",
            b"a:tenure:fence:{a}b}",
            b"tenure:fence",
            b"tenure:fence:{17}",
            b"app:tenure:node",
            b"tenure:node",
            b"a:tenure:queue",
            b"a:tenure:queue:7",
            b"a:tenure:queue:{a}",
        ] {
            let refused = Err(KeyError::Reserved);
            assert_eq!(check(key), refused, "{}", key.escape_ascii());
        }
        for key in [
            &b"a:tenure:fence:"[..],
            b"a:tenure:fence:0x",
            b"a:tenure:fences",
            b"tenure:fences",
            b"tenure:nodes",
            b"a:tenure:queues",
            b"tenure:queue",
            b"{a}",
            b"7",
        ] {
            assert_eq!(check(key), Ok(()), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_key_has_between_one_byte_and_64_kib() {
        assert_eq!(check(b""), Err(KeyError::Empty));
        assert_eq!(check(&vec![b'k'; 65536]), Ok(()));
        assert_eq!(check(&vec![b'k'; 65537]), Err(KeyError::TooLong(65537)));
    }

    #[test]
    fn the_last_digit_is_found_without_trying_all() {
        for crc in (0..=u16::MAX).step_by(7) {
            for digit in b'0'..=b'9' {
                let wanted = slot_of(crc16(crc, &[digit]));
                assert_eq!(last_digit(crc, wanted), Some(digit));
            }
        }
        let fits = (0..16_384).filter(|slot| last_digit(77, *slot).is_some());
        assert_eq!(fits.count(), 10);
    }

    /// The first fitting name, tried one by one.
    fn naive(key: &[u8], end: &[u8]) -> Vec<u8> {
        let base = [key, end].concat();
        let tagged = [&base[..], b":{", key, b"}"].concat();
        let numbered = (0_u64..).map(|n| [&base[..], format!(":{n}").as_bytes()].concat());
        [base.clone(), tagged]
            .into_iter()
            .chain(numbered)
            .find(|name| slot(name) == slot(key))
            .expect("some number fits")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_belongs_to_a_key_has_the_first_name_in_its_slot_and_is_reserved(
            key in proptest::collection::vec(
                prop_oneof![2 => Just(b'{'), 2 => Just(b'}'), 3 => any::<u8>()], 1..12)
        ) {
            let mut queue_of = Vec::new();
            queue(&key, &mut queue_of);
            for (name, end) in [(counter_of(&key), COUNTER), (queue_of, QUEUE)] {
                prop_assert_eq!(&name, &naive(&key, end));
                prop_assert_eq!(slot(&name), slot(&key));
                prop_assert!(name.starts_with(&key));
                prop_assert_eq!(check(&name), Err(KeyError::Reserved));
                prop_assert!(!name.ends_with(UNUSED), "the name of nothing");
            }
            prop_assert_eq!(check(unused(&key).as_bytes()), Err(KeyError::Reserved));
        }
    }
}
