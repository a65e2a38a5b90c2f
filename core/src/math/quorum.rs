//! Majorities, and votes that are decided by one.

/// How many of `nodes` are a majority.
///
/// ```
/// assert_eq!([1, 2, 3, 4, 5].map(tenure_core::quorum), [1, 2, 2, 3, 3]);
/// ```
#[must_use]
pub const fn quorum(nodes: usize) -> usize {
    // Law: Exclusion
    nodes / 2 + 1
}

/// The state of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is not decided yet.
    Open,
    /// A quorum agreed.
    Won,
    /// No quorum can agree any more.
    Lost,
}

/// Decides a vote of `nodes` nodes in which `yes` agreed and `open` have not answered.
#[must_use]
pub const fn verdict(nodes: usize, yes: usize, open: usize) -> Verdict {
    if yes >= quorum(nodes) {
        Verdict::Won
    } else if yes + open < quorum(nodes) {
        Verdict::Lost
    } else {
        Verdict::Open
    }
}
