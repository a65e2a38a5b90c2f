//! The nodes that did not answer or refused to, as errors tell them.

use std::fmt;

/// A node that did not answer, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SilentNode {
    /// The node: its address without secrets.
    pub node: String,
    /// Why it did not answer, as far as that is known.
    pub why: String,
}

impl SilentNode {
    /// A node, and why it did not answer.
    pub fn new(node: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            why: why.into(),
        }
    }
}

impl fmt::Display for SilentNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.why)
    }
}

/// What to do about a node that refuses to serve.
pub(crate) const CHECK_RIGHTS: &str = "Check the password and the rights of the user";

/// Writes the nodes behind what was said of them.
pub(crate) fn write_nodes(f: &mut fmt::Formatter<'_>, nodes: &[SilentNode]) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        write!(f, "{} {node}", if index == 0 { ":" } else { ";" })?;
    }
    Ok(())
}
