//! Numbers of things, as a person says them.

use std::fmt::Display;

/// So many of these: `1 world`, `2 worlds`.
pub(crate) fn counted(count: impl Display, thing: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {thing}{plural}")
}
