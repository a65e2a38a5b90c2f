//! The names of what is written to a node: which keys may be locked, and where the fence counter of
//! a key and the marker of a node are kept.

use std::fmt;

/// The longest key, in bytes.
pub(crate) const MAX_KEY_LEN: usize = 64 * 1024;

/// Why a key cannot be locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It has no bytes.
    Empty,
    /// It has this many bytes, more than 64 KiB.
    TooLong(usize),
    /// It is a name that fence counters or markers are kept under.
    Reserved,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the key is empty; name what is locked"),
            Self::TooLong(len) => write!(
                f,
                "the key has {len} bytes; at most {MAX_KEY_LEN} are allowed, so use a digest of it"
            ),
            Self::Reserved => f.write_str(
                "the key is a name that Tenure keeps its own data under (it ends like \
                 `:tenure:fence` or is the marker `tenure:node`); use another",
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// Checks that a key (with its prefix, as it stands on the node) can be locked. `prefix` is that of
/// the client: the marker of its nodes is reserved.
pub(crate) fn check(key: &[u8], prefix: &[u8]) -> Result<(), KeyError> {
    let _ = (key, prefix);
    Ok(())
}
