//! The stream that draws the fences of one node: its name, its ids, and the numbers that they are.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tenure_core::{Fence, Key, ServerTime, Words};

use crate::protocol::key;
use crate::protocol::words::printable;

/// The longest name, in bytes.
const MAX_NAME_LEN: usize = 1024;
/// The last millisecond whose fences are below 2^53, in 2112. The scripts know it too.
const LAST_MILLI: u64 = 4_503_599_627_369;

/// Why a name is none for a fence stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamNameError {
    /// It does not end in `tenure:fence`, so that somebody might lock it.
    NotReserved,
    /// It has this many bytes, more than 1,024.
    TooLong(usize),
    /// It has a `{`. Over a cluster each slot has a stream of its own, whose name tells the slot
    /// behind that of this one.
    Brace,
}

impl fmt::Display for StreamNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReserved => f.write_str(
                "the name of the fence stream must end in `tenure:fence`, as no name of a lock \
                 does: `app:tenure:fence`, for example",
            ),
            Self::TooLong(len) => write!(
                f,
                "the name of the fence stream has {len} bytes: at most {MAX_NAME_LEN} are allowed"
            ),
            Self::Brace => f.write_str(
                "the name of the fence stream has a `{`, by which a cluster would place it: leave \
                 it out",
            ),
        }
    }
}

impl std::error::Error for StreamNameError {}

/// The fence stream of a node; over a cluster, those of its slots.
#[derive(Debug)]
pub(crate) struct FenceStream {
    name: Vec<u8>,
    cluster: AtomicBool,
}

impl FenceStream {
    /// A stream of this name.
    pub(crate) fn new(name: Vec<u8>) -> Result<Self, StreamNameError> {
        if !name.ends_with(key::FENCES) {
            return Err(StreamNameError::NotReserved);
        }
        if name.len() > MAX_NAME_LEN {
            return Err(StreamNameError::TooLong(name.len()));
        }
        if name.contains(&b'{') {
            return Err(StreamNameError::Brace);
        }
        let cluster = AtomicBool::new(false);
        Ok(Self { name, cluster })
    }

    /// Its name, where it is the only one.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The node turned out to be a cluster: from now on each slot has a stream of its own.
    pub(crate) fn split(&self) {
        self.cluster.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_split(&self) -> bool {
        self.cluster.load(Ordering::Relaxed)
    }

    /// Writes the name of the stream for this key. Over a cluster it is in the slot of the key, so
    /// that a script may use both.
    pub(crate) fn write_for(&self, key: &[u8], out: &mut Vec<u8>) {
        match self.is_split() {
            true => self.write_in(key::slot(key), out),
            false => {
                out.clear();
                out.extend_from_slice(&self.name);
            }
        }
    }

    /// That the server refuses to draw from it, in these words, and what to allow.
    pub(crate) fn refused(&self, words: &Words) -> Words {
        let name = Key::new(self.name.clone());
        let all = if self.is_split() { "*" } else { "" };
        printable(&format!(
            "the fence stream {name}{all} cannot be used ({}): give the user the right to this key \
             (~{name}{all}) and to XADD, or name another stream with `Builder::fence_stream`",
            words.as_str().trim_end_matches('.')
        ))
    }

    /// That the server refuses a call that names a lock and the stream, in these words, which do
    /// not say because of which of the two.
    pub(crate) fn perhaps_refused(&self, words: &Words) -> Words {
        let name = Key::new(self.name.clone());
        let all = if self.is_split() { "*" } else { "" };
        printable(&format!(
            "{}: the user needs the right to the lock's key and to the fence stream \
             (~{name}{all})",
            words.as_str().trim_end_matches('.')
        ))
    }

    /// Writes the name of the stream of a slot.
    pub(crate) fn write_in(&self, slot: u16, out: &mut Vec<u8>) {
        let number = NUMBERS[usize::from(slot)];
        out.clear();
        out.extend_from_slice(&self.name);
        out.extend_from_slice(b":{");
        out.extend_from_slice(key::itoa(number.into(), &mut [0; 20]));
        out.push(b'}');
    }
}

impl Default for FenceStream {
    fn default() -> Self {
        Self {
            name: key::FENCES.to_vec(),
            cluster: AtomicBool::new(false),
        }
    }
}

/// For each slot the smallest number whose decimal digits are in it.
static NUMBERS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut numbers = vec![None; usize::from(key::SLOTS)];
    let mut missing = numbers.len();
    for number in 0_u32.. {
        let slot = key::slot(key::itoa(number.into(), &mut [0; 20]));
        let place = &mut numbers[usize::from(slot)];
        if place.is_none() {
            *place = Some(number);
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    numbers.into_iter().flatten().collect()
});

/// An id that the stream drew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId {
    ms: u64,
    seq: u64,
}

impl StreamId {
    /// Reads `ms-seq`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        let (ms, seq) = (ms.parse().ok()?, seq.parse().ok()?);
        Some(Self { ms, seq })
    }

    /// The fence that it is. None if it is none: the stream is ahead of the clock, so that its
    /// milliseconds hold more ids than there are fences.
    // Law: Fencing
    pub(crate) fn fence(self) -> Option<Fence> {
        if self.ms > LAST_MILLI {
            return None;
        }
        Fence::of_stream(self.ms, self.seq)
    }

    /// The server's time as it was drawn, or later if the clock was set back.
    pub(crate) fn time(self) -> ServerTime {
        ServerTime::from_micros(self.ms.saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(stream: &FenceStream, key: &[u8]) -> String {
        let mut out = b"left over".to_vec();
        stream.write_for(key, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn over_a_cluster_the_stream_is_in_the_slot_of_the_key() {
        let stream = FenceStream::default();
        assert_eq!(name(&stream, b"orders:7"), "tenure:fence");
        stream.split();
        for key in [&b"orders:7"[..], b"{shop}:7", b"a}b", b"", b"\xff{"] {
            let name = name(&stream, key);
            assert_eq!(key::slot(name.as_bytes()), key::slot(key), "{name}");
            assert_eq!(key::check(name.as_bytes()), Err(key::KeyError::Reserved));
        }
        for slot in (0..key::SLOTS).step_by(97) {
            let is_there = |n: &u32| key::slot(n.to_string().as_bytes()) == slot;
            let smallest = (0..).find(is_there).expect("some number is");
            let mut out = Vec::new();
            stream.write_in(slot, &mut out);
            assert_eq!(out, format!("tenure:fence:{{{smallest}}}").as_bytes());
        }
    }

    #[test]
    fn a_name_must_be_one_that_nobody_can_lock() {
        for (name, why) in [
            (&b""[..], StreamNameError::NotReserved),
            (b"fences", StreamNameError::NotReserved),
            (b"tenure:fence:1", StreamNameError::NotReserved),
            (b"{app}:tenure:fence", StreamNameError::Brace),
            (
                &[&[b'x'; 1013][..], b"tenure:fence"].concat(),
                StreamNameError::TooLong(1025),
            ),
        ] {
            assert_eq!(FenceStream::new(name.to_vec()).err(), Some(why));
        }
        for name in ["tenure:fence", "app:tenure:fence"] {
            assert!(FenceStream::new(name.into()).is_ok());
            assert_eq!(key::check(name.as_bytes()), Err(key::KeyError::Reserved));
        }
    }

    #[test]
    fn ids_are_fences_as_long_as_a_millisecond_has_room() {
        let fence = |text: &str| StreamId::parse(text.as_bytes())?.fence().map(Fence::get);
        assert_eq!(fence("1700000000000-0"), Some(3_400_000_000_000_000));
        assert_eq!(fence("1700000000000-1799"), Some(3_400_000_000_001_799));
        assert_eq!(fence("1700000000000-1800"), None);
        let largest = fence("4503599627369-1799").expect("a fence");
        assert!(largest < 1 << 53);
        assert_eq!(fence("4503599627370-0"), None);
        for nonsense in ["", "1", "1-", "-1", "1-x", "1-2-3", "-1-1"] {
            assert_eq!(StreamId::parse(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
