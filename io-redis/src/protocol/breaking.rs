//! Breaking a lock: by what its holder is named, and what a node answers.
//!
//! Whoever breaks a lock names the value that the key had as they were shown it, by its SHA-1
//! digest. The node computes both digests, so a value that is no text is compared too. The secret
//! of a token is kept nowhere for that: 128 random bits cannot be found from a digest. The digest
//! may be shown, and be sent from one process of an operator to another.

use std::fmt;
use std::str::FromStr;

use tenure_core::{Answer, Words};

use crate::protocol::decode::{self, CommandResult};

/// How many digits a digest has.
const DIGITS: usize = 40;

/// What a node showed under a key: who held it there, told from all others. By this
/// [`Locks::break_lock`](crate::Locks::break_lock) knows whom to take the lock from.
///
/// It is a digest of the token, and tells nothing of the secret in that. It is shown as 40
/// hexadecimal digits and can be parsed from them, so one process may inspect and another break.
///
/// A lock of Tenure's has another one each time that it is taken. So has that of each library that
/// writes something random. One that always writes the same value, such as a name of a machine,
/// always shows the same, whoever took it and whenever.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen([u8; DIGITS]);

impl Seen {
    /// Reads the digits.
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let digits: [u8; DIGITS] = digits.try_into().ok()?;
        let digits = digits.map(|digit| digit.to_ascii_lowercase());
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        is_hex.then_some(Self(digits))
    }

    /// The digits, in small letters.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({self})")
    }
}

/// What was parsed is not what [`Seen`] is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenError;

impl fmt::Display for SeenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what an inspection has seen is 40 hexadecimal digits: give all of them")
    }
}

impl std::error::Error for SeenError {}

impl FromStr for Seen {
    type Err = SeenError;

    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        Self::read(digits.as_bytes()).ok_or(SeenError)
    }
}

/// What a node answers to who breaks a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyBreak {
    /// It was deleted.
    Deleted,
    /// It was given to the next in line.
    HandedOn,
    /// Nobody held it.
    Gone,
    /// It holds another value than the one that was seen.
    Taken,
    /// The key holds no string.
    WrongType(&'static str),
}

impl KeyBreak {
    /// Whether this call took the key from the holder that was seen.
    pub(crate) const fn took(self) -> bool {
        match self {
            Self::Deleted | Self::HandedOn => true,
            Self::Gone | Self::Taken | Self::WrongType(_) => false,
        }
    }
}

/// Reads the answer.
pub(crate) fn answer(result: CommandResult) -> Result<KeyBreak, Words> {
    let value = decode::told(result)?;
    let said = decode::bytes(&value).unwrap_or_default();
    Ok(match (said, decode::misfit(said)) {
        (b"deleted", _) => KeyBreak::Deleted,
        (b"handed", _) => KeyBreak::HandedOn,
        (b"gone", _) => KeyBreak::Gone,
        (b"taken", _) => KeyBreak::Taken,
        (_, Some(Answer::WrongType { holds, .. })) => KeyBreak::WrongType(holds),
        _ => {
            let why = "the node's answer to breaking a lock cannot be understood";
            return Err(Words::fixed(why));
        }
    })
}

/// What the node answered is unknown, in these words.
pub(crate) fn unknown(why: &Words) -> Words {
    Words::new(&format!("{why} (whether it broke the lock is not known)"))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    const DIGEST: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    #[test]
    fn what_was_seen_is_shown_as_what_it_is_parsed_from() {
        let seen: Seen = DIGEST.parse().expect("40 digits");
        assert_eq!(seen.to_string(), DIGEST);
        assert_eq!(DIGEST.to_uppercase().parse(), Ok(seen));
        for wrong in [
            "",
            &DIGEST[1..],
            &format!("{DIGEST}0"),
            &DIGEST.replace('a', "g"),
        ] {
            assert_eq!(wrong.parse::<Seen>(), Err(SeenError), "{wrong}");
        }
    }

    #[test]
    fn each_answer_to_a_break_is_read_and_no_other_is_believed() {
        let said = |text: &str| answer(Ok(Value::BulkString(text.into())));
        assert_eq!(said("deleted"), Ok(KeyBreak::Deleted));
        assert_eq!(said("handed"), Ok(KeyBreak::HandedOn));
        assert_eq!(said("gone"), Ok(KeyBreak::Gone));
        assert_eq!(said("taken"), Ok(KeyBreak::Taken));
        assert_eq!(said("wrong key hash"), Ok(KeyBreak::WrongType("a hash")));
        for text in ["", "done", "seen", "deleted k"] {
            said(text).expect_err(text);
        }
        answer(Ok(Value::Nil)).expect_err("no answer");
    }
}
