//! The end of a client, for all operations that find it ended.

/// What to do about a runtime that has ended.
pub(crate) const RUNTIME_ENDED: &str = "the tokio runtime that the client was built on has ended: \
    build it where it is used, or with `Builder::own_thread`";

/// Why nothing can be asked of a client any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was closed.
    Closed,
    /// The runtime that ran its tasks has ended.
    RuntimeEnded,
}
