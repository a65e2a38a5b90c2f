//! The target of all tracing events, and what keeps a panic of a subscriber from the client.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Filters of users name it, so it does not follow the paths of the modules.
pub(crate) const LOG_TARGET: &str = "tenure_redis";

/// Runs code of the program: a waker, or a subscriber of the log. If it panics, the panic hook has
/// said so, and the client goes on. No span is entered, since a future that is in one enters and
/// leaves it in the caller's task, and a panic there could not be kept from it.
pub(crate) fn contained(code: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(code));
}
