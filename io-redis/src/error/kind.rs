//! What kind of answer an error is: contention, outage, misuse and loss are told apart for every
//! operation by the same questions.

/// The kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Someone else holds the key.
    Contention,
    /// Not enough nodes answer.
    Outage,
    /// The caller has to change something.
    Misuse,
    /// The lock that was held is lost.
    Loss,
    /// None of these.
    Other,
}

/// Gives an error type the questions that its `kind` answers.
macro_rules! kinds {
    ($error:ident) => {
        impl $error {
            /// Whether someone else holds the key. Only who asks for a lock is told so.
            #[must_use]
            pub const fn is_contention(&self) -> bool {
                matches!(self.kind(), Kind::Contention)
            }

            /// Whether not enough nodes answer, or not enough of those that do are counted. The
            /// same call may succeed later.
            #[must_use]
            pub const fn is_outage(&self) -> bool {
                matches!(self.kind(), Kind::Outage)
            }

            /// Whether the caller has to change something: the key, the configuration, the rights
            /// of the user, or the order of its calls.
            #[must_use]
            pub const fn is_misuse(&self) -> bool {
                matches!(self.kind(), Kind::Misuse)
            }
        }
    };
    ($error:ident, with loss) => {
        kinds!($error);

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
