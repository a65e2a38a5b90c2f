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
        "No two guards of one key are valid at the same time.";
    Fencing, "Fencing",
        "A later grant of a key has a larger number than an earlier one.";
    Ownership, "Ownership",
        "No request changes another owner's key, but to break it by force.";
    HonestValidity, "Honest validity",
        "A guard is valid no longer than the nodes hold its key.";
    NoResurrection, "No resurrection",
        "What was reported lost or released is never held again.";
    LossIsTold, "Loss is told",
        "You learn of a loss at the end of validity at the latest.";
    Progress, "Progress",
        "After faults heal, a wanted key that is free is granted.";
    NoOrphan, "No orphan",
        "What is dropped is freed, and all that is written expires.";
    Fairness, "Fairness",
        "Waiters of a node are granted a lock in the order in which they came.";
    BoundedWork, "Bounded work",
        "Requests, queues and retries have bounds.";
    Replay, "Replay",
        "The same inputs and seed give the same outputs, byte for byte.";
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
