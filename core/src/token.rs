//! What is written to a node: the key that is locked, the token that proves who holds it, and the
//! fence.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::num::{NonZeroU32, NonZeroU64};

use crate::request::ServerTime;

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
    /// As text, if it is UTF-8; what cannot be seen in a text is escaped. Of more than 128 bytes,
    /// the beginning and the end, with the length and a digest, so that two keys never look alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 128;
        let bytes = self.as_bytes();
        if bytes.len() <= SHOWN {
            return write_text(f, bytes);
        }
        // No character is cut in two.
        let begins = |at: &usize| bytes[*at] & 0xc0 != 0x80;
        let head = (SHOWN / 2 - 3..=SHOWN / 2)
            .rfind(begins)
            .unwrap_or(SHOWN / 2);
        let tail = bytes.len() - SHOWN / 4;
        let tail = (tail..tail + 4).find(begins).unwrap_or(tail);
        write_text(f, &bytes[..head])?;
        f.write_str("…")?;
        write_text(f, &bytes[tail..])?;
        write!(f, " ({} bytes, {:08x})", bytes.len(), digest(bytes))
    }
}

/// Writes bytes as text, as `str` does for a debugger, but without the quotation marks.
fn write_text(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        let quoted = format!("{:?}", chunk.valid());
        f.write_str(&quoted[1..quoted.len() - 1])?;
        write!(f, "{}", chunk.invalid().escape_ascii())?;
    }
    Ok(())
}

/// Tells long keys apart (FNV-1a).
fn digest(bytes: &[u8]) -> u32 {
    let step = |digest: u32, byte: &u8| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
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

/// A name for operators, in front of the secret. Whoever looks at the key sees it.
///
/// 1 to 128 characters of printable ASCII: a name, `host:port`, a trace id.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(Arc<str>);

impl Label {
    /// The longest label, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Takes a label, if it is valid.
    ///
    /// # Errors
    /// [`LabelError`] if it is empty, too long, or has a character that a token cannot carry.
    ///
    /// ```
    /// use tenure_core::Label;
    ///
    /// assert!(Label::new("10.0.0.7:8080").is_ok());
    /// assert!(Label::new("billing\n7").is_err());
    /// ```
    pub fn new(label: &str) -> Result<Self, LabelError> {
        if label.is_empty() || label.len() > Self::MAX_LEN {
            return Err(LabelError::Length(label.len()));
        }
        match label.char_indices().find(|(_, c)| !(' '..='~').contains(c)) {
            Some((at, character)) => Err(LabelError::Character {
                label: label.into(),
                character,
                at,
            }),
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// It has this many bytes. One to [`Label::MAX_LEN`] are allowed.
    Length(usize),
    /// It has a character that is not printable ASCII.
    Character {
        /// The label.
        label: Arc<str>,
        /// The first such character.
        character: char,
        /// At which byte of the label it begins, counted from zero.
        at: usize,
    },
}

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = Label::MAX_LEN;
        match self {
            Self::Length(len) => write!(f, "the owner label has {len} bytes; use 1 to {most}"),
            Self::Character {
                label,
                character,
                at,
            } => write!(
                f,
                "the owner label {label:?} has {character:?} at byte {at}; use printable ASCII"
            ),
        }
    }
}

impl core::error::Error for LabelError {}

/// What a key holds: it proves to the node which lease and which of its attempts has the key.
///
/// As text it is
///
/// ```text
/// token   = [label ":"] secret ":" attempt
/// label   = 1 to 128 characters of printable ASCII, ":" included
/// secret  = 32 digits of 0-9 and a-f
/// attempt = a decimal number from 1 to 4294967295, without leading zeros
/// ```
///
/// It is read from the right, since the label may look like anything: the attempt is what stands
/// behind the last colon, the secret has a fixed length, and the label is what is left. Two tokens
/// belong to one lease if all but the attempt is equal.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// Shown to operators.
    pub label: Option<Label>,
    /// Tells the lease from all others.
    pub secret: Secret,
    /// Which attempt of the lease, counted from one.
    pub attempt: u32,
}

/// The length of a secret as text.
const SECRET_LEN: usize = 32;

impl Token {
    /// Appends the token as text, the secret too. Only the code that writes to a node should need
    /// this.
    pub fn write(&self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        if let Some(label) = &self.label {
            out.extend_from_slice(label.as_str().as_bytes());
            out.push(b':');
        }
        let mut text = [b':'; SECRET_LEN + 1];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.secret.expose()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        out.extend_from_slice(&text);
        // Without a text of its own, which would be allocated for each request.
        let mut digits = [0; 10];
        let first = decimal(self.attempt, &mut digits);
        out.extend_from_slice(&digits[first..]);
    }

    /// The token that this text is. None if it is none, and so was not written by [`Token::write`].
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let colon = text.iter().rposition(|byte| *byte == b':')?;
        let (lease, attempt) = (&text[..colon], &text[colon + 1..]);
        if !attempt.iter().all(u8::is_ascii_digit) || attempt.first() == Some(&b'0') {
            return None;
        }
        let attempt = core::str::from_utf8(attempt).ok()?.parse().ok()?;
        let (label, digits) = lease.split_at(lease.len().checked_sub(SECRET_LEN)?);
        let label = match label {
            [] => None,
            [label @ .., b':'] => Some(Label::new(core::str::from_utf8(label).ok()?).ok()?),
            _ => return None,
        };
        let mut secret = [0; SECRET_LEN / 2];
        for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self {
            label,
            secret: Secret::new(secret),
            attempt,
        })
    }
}

/// Writes a number to the end of `digits`. Answers where it begins.
const fn decimal(mut number: u32, digits: &mut [u8; 10]) -> usize {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return first;
        }
    }
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, …, attempt {})", self.label, self.attempt)
    }
}

/// Tells two holders of a key apart, and says nothing else of them: a few bits of the secret, with
/// which nobody can release the lock. It is never shown all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(NonZeroU32);

impl Fingerprint {
    /// What a node answered. Of two holders it should differ; where it does not, the second counts
    /// as the first.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        // Zero is taken for another holder, which saves memory in each lease.
        match NonZeroU32::new(bits) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU32::MAX),
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// How many fences there are for each microsecond of a server's time.
const PER_MICROSECOND: u64 = 2;

/// So many fences of one millisecond a stream may draw. By itself it draws far fewer. After its
/// server's clock was set back, it goes on in the last millisecond that it has seen, until it is
/// moved to the next one. What is drawn until then must stay below 2,000, where that one begins.
pub const STREAM_SEQUENCES: u64 = 1_800;

/// A fencing token: a number that grows with every grant of a key. The resource behind the lock
/// refuses a number that is smaller than one that it has seen.
///
/// It is about twice the server's time in microseconds as the lock was granted. So it stays below
/// 2^53 until the year 2112, and fits a number of JavaScript and a signed column of a database.
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

    /// Over several nodes: the fence that stands for a server's time. A node draws no smaller one.
    #[must_use]
    pub const fn of_time(time: ServerTime) -> Option<Self> {
        Self::new(time.as_micros().saturating_mul(PER_MICROSECOND))
    }

    /// Over one node: the fence for an id of the node's stream, `MILLISECONDS-SEQUENCE`. None if
    /// the sequence is [`STREAM_SEQUENCES`] or more: the next millisecond's fences begin soon after
    /// it, so the stream must be moved there first.
    #[must_use]
    pub const fn of_stream(milliseconds: u64, sequence: u64) -> Option<Self> {
        if sequence >= STREAM_SEQUENCES {
            return None;
        }
        Self::new(
            milliseconds
                .saturating_mul(1_000 * PER_MICROSECOND)
                .saturating_add(sequence),
        )
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
