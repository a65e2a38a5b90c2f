//! Quorum arithmetic, purely.

/// How many of `nodes` are a majority.
///
/// ```
/// assert_eq!([1, 2, 3, 4, 5].map(tenure_core::quorum), [1, 2, 2, 3, 3]);
/// ```
#[must_use]
pub const fn quorum(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// Where a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It can still go either way.
    Open,
    /// A quorum said yes.
    Won,
    /// Too few can still say yes.
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
