//! What is written to a node: the key that is locked, the token that proves ownership, the fence.

use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU64;

/// What is locked: bytes, shared cheaply.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The key with these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    /// The bytes with what is not printable ASCII escaped, at most the first 64 of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        write!(f, "{}", self.0[..self.0.len().min(SHOWN)].escape_ascii())?;
        if self.0.len() > SHOWN {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The 128 random bits of a lease. Whoever knows them can release the lock: a secret, never shown.
///
/// They come from outside: entropy of the operating system live, a seed in simulation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Takes 16 bytes that nobody can guess.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that writes them to a node.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A name for operators, written in front of the token: visible to whoever looks at the key.
///
/// At most 64 bytes of printable ASCII without `:`, which separates the parts of a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks and takes a label.
    ///
    /// # Errors
    /// [`LabelError`] if it is empty, too long, or has a character that a token cannot carry.
    ///
    /// ```
    /// use tenure_core::Label;
    ///
    /// assert!(Label::new("billing-7").is_ok());
    /// assert!(Label::new("billing:7").is_err());
    /// ```
    pub fn new(label: &str) -> Result<Self, LabelError> {
        if label.is_empty() || label.len() > Self::MAX_LEN {
            return Err(LabelError::Length(label.len()));
        }
        match label
            .chars()
            .find(|c| !(c.is_ascii_graphic() || *c == ' ') || *c == ':')
        {
            Some(c) => Err(LabelError::Character(c)),
            None => Ok(Self(label.into())),
        }
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a label was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// It has this many bytes; one to [`Label::MAX_LEN`] are allowed.
    Length(usize),
    /// It has this character; printable ASCII without `:` is allowed.
    Character(char),
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => {
                write!(
                    f,
                    "the owner label has {len} bytes; use 1 to {}",
                    Label::MAX_LEN
                )
            }
            Self::Character(c) => {
                write!(
                    f,
                    "the owner label has {c:?}; use printable ASCII without ':'"
                )
            }
        }
    }
}

impl core::error::Error for LabelError {}

/// Proof of ownership at a node: unique per attempt, not per owner.
///
/// In ASCII it is `label:` if there is one, the secret in 32 lower-case hexadecimal digits, `:`,
/// and the attempt in decimal. Two tokens are of one lease when all but the attempt is equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// Shown to operators.
    pub label: Option<Label>,
    /// Names the lease.
    pub secret: Secret,
    /// Counts the lease's attempts, from one.
    pub attempt: u32,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, …, attempt {})", self.label, self.attempt)
    }
}

/// A fencing token: grows with every grant of a key. The resource behind the lock refuses a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(NonZeroU64);

impl Fence {
    /// A fence as a node counted it; none if it is zero.
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number to hand to the resource.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
