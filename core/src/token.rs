//! What is written to a node: the key that is locked, the token that proves who holds it, and the
//! fence.

use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU64;

/// What is locked: a string of bytes. Clones share it.
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
    /// At most the first 64 bytes. What is not printable ASCII is escaped.
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

/// The 128 random bits of a lease. They are never shown, since whoever knows them can release the
/// lock.
///
/// They come from outside: from the operating system, or in a simulation from the seed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Takes 16 bytes that nobody can guess.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes. Only the code that writes them to a node should need this.
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

/// A name for operators, in front of the token. Whoever looks at the key sees it.
///
/// At most 64 bytes of printable ASCII without `:`, which separates the parts of a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes a label, if it is valid.
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
    /// It has this many bytes. One to [`Label::MAX_LEN`] are allowed.
    Length(usize),
    /// It has this character. Printable ASCII without `:` is allowed.
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

/// What a key holds: it proves to the node which lease and which of its attempts has the key.
///
/// As text it is `label:` if there is a label, the secret in 32 lower-case hexadecimal digits, `:`,
/// and the attempt in decimal. Two tokens belong to one lease if all but the attempt is equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// Shown to operators.
    pub label: Option<Label>,
    /// Tells the lease from all others.
    pub secret: Secret,
    /// Which attempt of the lease, counted from one.
    pub attempt: u32,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, …, attempt {})", self.label, self.attempt)
    }
}

/// Tells two holders of a key apart, and says nothing else of them: a few bits of the secret, with
/// which nobody can release the lock. It is never shown all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u32);

impl Fingerprint {
    /// What a node answered. Of two holders it should differ; where it does not, the second counts
    /// as the first.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// A fencing token: a number that grows with every grant of a key. The resource behind the lock
/// refuses a number that is smaller than one that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(NonZeroU64);

impl Fence {
    /// The fence with this number. None if it is zero.
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
