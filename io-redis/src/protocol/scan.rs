//! Scanning a node for locks: the pattern, one step of the scan, and what is found by it.

use std::fmt;
use std::sync::Arc;

use redis::{Cmd, Value};
use tenure_core::{Key, Words};

use crate::protocol::decode::{self, CommandResult};
use crate::protocol::key;

/// How many keys a step looks at, about. With the longest keys its answer has 16 MiB, which is half
/// of what a server keeps for a connection that listens, before it closes that.
// Law: Bounded work
const COUNT: usize = 256;
/// The longest pattern, in bytes, without the client's prefix.
pub(crate) const MAX_PATTERN_LEN: usize = 1024;

/// Why a pattern finds no locks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// It is empty, so no key fits it.
    Empty,
    /// It has this many bytes, which is more than 1,024.
    TooLong(usize),
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern is empty, so no key fits it: `*` fits all"),
            Self::TooLong(len) => write!(
                f,
                "the pattern has {len} bytes; at most {MAX_PATTERN_LEN} are allowed: put `*` in \
                 the place of a part"
            ),
        }
    }
}

impl std::error::Error for PatternError {}

/// The pattern of keys that begin with the client's prefix and go on as this pattern says.
pub(crate) fn pattern(prefix: &[u8], pattern: &[u8]) -> Result<Arc<[u8]>, PatternError> {
    match pattern.len() {
        0 => return Err(PatternError::Empty),
        len if len > MAX_PATTERN_LEN => return Err(PatternError::TooLong(len)),
        _ => {}
    }
    let mut whole = Vec::with_capacity(2 * prefix.len() + pattern.len());
    for &byte in prefix {
        // In the prefix they stand for themselves.
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'\\') {
            whole.push(b'\\');
        }
        whole.push(byte);
    }
    whole.extend_from_slice(pattern);
    Ok(whole.into())
}

/// One step of a scan.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The whole pattern.
    pub(crate) pattern: Arc<[u8]>,
    /// Where the step before it ended; 0 at the beginning.
    pub(crate) cursor: u64,
    /// The client's prefix, behind which a lock has a name.
    pub(crate) prefix: Arc<[u8]>,
}

impl Step {
    /// The command.
    pub(crate) fn command(&self) -> Cmd {
        let mut cmd = redis::cmd("SCAN");
        cmd.arg(self.cursor).arg("MATCH").arg(&self.pattern[..]);
        cmd.arg("COUNT").arg(COUNT).arg("TYPE").arg("string");
        cmd
    }
}

/// What a step found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Keys that may be locks.
    Keys {
        /// Where the next step begins; 0 if there is none.
        cursor: u64,
        keys: Vec<Key>,
    },
    /// The node is a cluster, of which a step sees only a part, and nobody knows which.
    Cluster,
}

/// Reads what a step found. Fence counters, markers and names that no lock can have are left
/// out, and so are names without the prefix, which were not asked for.
pub(crate) fn page(step: &Step, result: CommandResult) -> Result<Page, Words> {
    let nonsense = || Words::fixed("the node's answer to a scan cannot be understood");
    let Value::Array(parts) = decode::told(result)? else {
        return Err(nonsense());
    };
    let [cursor, Value::Array(found)] = &parts[..] else {
        return Err(nonsense());
    };
    let cursor = decode::bytes(cursor).and_then(|digits| std::str::from_utf8(digits).ok());
    let cursor = cursor.and_then(|digits| digits.parse().ok());
    let cursor = cursor.ok_or_else(nonsense)?;
    let mut keys = Vec::with_capacity(found.len());
    for name in found {
        let name = decode::bytes(name).ok_or_else(nonsense)?;
        let is_ours = name.starts_with(&step.prefix) && name.len() > step.prefix.len();
        if is_ours && key::check(name).is_ok() {
            keys.push(Key::new(name));
        }
    }
    Ok(Page::Keys { cursor, keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn the_prefix_stands_for_itself_and_the_pattern_does_not() {
        let whole = pattern(b"a*[b]?\\^:", b"c*[d]").expect("it is short");
        assert_eq!(&*whole, br"a\*\[b\]\?\\\^:c*[d]");
        assert_eq!(pattern(b"p", b""), Err(PatternError::Empty));
        assert!(pattern(b"p", &[b'x'; 1024]).is_ok());
        let too_long = pattern(b"p", &[b'x'; 1025]);
        assert_eq!(too_long, Err(PatternError::TooLong(1025)));
    }

    #[test]
    fn what_no_lock_is_named_is_left_out_of_a_page() {
        let step = Step {
            pattern: pattern(b"p:", b"*").expect("it is short"),
            cursor: 0,
            prefix: (*b"p:").into(),
        };
        let names = [
            "p:a",
            "p:",
            "p:a:tenure:fence",
            "p:tenure:node",
            "p:a:tenure:queue",
            "q",
            "q:other",
            "p:b",
        ];
        let names = Value::Array(names.map(bulk).to_vec());
        let found = page(&step, Ok(Value::Array(vec![bulk("77"), names])));
        let keys = ["p:a", "p:b"].map(|key| Key::new(key.as_bytes())).to_vec();
        assert_eq!(found, Ok(Page::Keys { cursor: 77, keys }));
    }

    #[test]
    fn a_page_that_makes_no_sense_is_not_believed() {
        let step = Step {
            pattern: pattern(b"", b"*").expect("it is short"),
            cursor: 0,
            prefix: (*b"").into(),
        };
        for parts in [
            vec![],
            vec![bulk("0")],
            vec![bulk("x"), Value::Array(vec![])],
            vec![Value::Nil, Value::Array(vec![])],
            vec![bulk("0"), bulk("k")],
            vec![bulk("0"), Value::Array(vec![Value::Nil])],
        ] {
            let shown = format!("{parts:?}");
            page(&step, Ok(Value::Array(parts))).expect_err(&shown);
        }
        page(&step, Ok(Value::Okay)).expect_err("no page");
    }
}
