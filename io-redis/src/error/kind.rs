//! What kind of answer an error is: contention, outage, misuse and loss are told apart for every
//! operation by the same questions.

/// The kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Someone else holds the key.
    Contention,
    /// The key has no expiry, and perhaps nobody holds it.
    Foreign,
    /// Not enough nodes answer.
    Outage,
    /// The caller has to change something.
    Misuse,
    /// The lock that was held is lost.
    Loss,
}

/// Gives an error type the questions that its `kind` answers, with what an outage and a misuse are
/// for this type.
macro_rules! kinds {
    ($error:ident, outage: $outage:literal, misuse: $misuse:literal) => {
        impl $error {
            /// Whether someone else holds the key. Only taking a lock fails so; for other
            /// operations it is always false.
            #[must_use]
            pub const fn is_contention(&self) -> bool {
                matches!(self.kind(), Kind::Contention)
            }

            #[doc = $outage]
            #[must_use]
            pub const fn is_outage(&self) -> bool {
                matches!(self.kind(), Kind::Outage)
            }

            #[doc = $misuse]
            #[must_use]
            pub const fn is_misuse(&self) -> bool {
                matches!(self.kind(), Kind::Misuse)
            }
        }
    };
    ($error:ident, outage: $outage:literal, misuse: $misuse:literal, with loss) => {
        kinds!($error, outage: $outage, misuse: $misuse);

        impl $error {
            /// Whether the lock is lost.
            #[must_use]
            pub const fn is_loss(&self) -> bool {
                matches!(self.kind(), Kind::Loss)
            }
        }
    };
}

pub(crate) use kinds;
