//! The laws: what a lock promises, by name. A comment with `Law:` and the name marks the code that
//! keeps it.

use core::fmt;

macro_rules! laws {
    ($($law:ident, $name:literal, $sentence:literal;)*) => {
        /// A promise to the users of a lock. The documentation of `tenure-redis` has a page for
        /// each, with its assumptions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Law {
            $(#[doc = $sentence] $law,)*
        }

        impl Law {
            /// All of them, in the order in which they are told.
            pub const ALL: &'static [Self] = &[$(Self::$law,)*];

            /// Its name, as code, tests and documentation write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$law => $name,)*
                }
            }

            /// What it promises, in one sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$law => $sentence,)*
                }
            }
        }
    };
}

laws! {
    Exclusion, "Exclusion",
        "No two leases on one key are valid at the same instant.";
    Fencing, "Fencing",
        "Fences grow from each grant of a key to the next, and no two grants share one.";
    Ownership, "Ownership",
        "No request changes a key that holds another lease's token.";
    HonestValidity, "Honest validity",
        "Validity is the instant up to which a quorum is known to hold the token.";
    NoResurrection, "No resurrection",
        "A lease that was reported lost or released is never held again.";
    LossIsTold, "Loss is told",
        "A loss is told by the end of validity, even when nothing answers.";
    Progress, "Progress",
        "Once faults have healed, a wanted free key is granted.";
    NoOrphan, "No orphan",
        "Whatever was written expires, and what was dropped is freed.";
    BoundedWork, "Bounded work",
        "Requests, queues and retries have bounds.";
    Replay, "Replay",
        "The same inputs and the same seed give the same outputs, byte for byte.";
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
