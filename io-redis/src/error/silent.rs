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

/// Why nothing was answered, where the client's own tasks should have answered.
const STALLED: &str = "the client's own tasks did not run in this time: the runtime that it was \
    built on is blocked, or this process was forked; use `Builder::own_thread`, and build a client \
    anew after a fork";

impl SilentNode {
    /// What is silent is the client itself.
    pub(crate) fn this_process(why: impl Into<String>) -> Vec<Self> {
        vec![Self::itself(why)]
    }

    fn itself(why: impl Into<String>) -> Self {
        Self::new("this process", why)
    }

    /// The client's own tasks do not run.
    pub(crate) fn stalled() -> Vec<Self> {
        vec![Self::stalled_itself()]
    }

    /// The same, where one node is asked.
    pub(crate) fn stalled_itself() -> Self {
        Self::itself(STALLED)
    }
}

impl fmt::Display for SilentNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, Open(&self.why))
    }
}

/// Words of a server inside a sentence of ours: without the full stop that they may end with.
pub(crate) struct Open<'a>(pub(crate) &'a str);

impl fmt::Display for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end_matches('.'))
    }
}

/// A node that refuses to serve, in its words, and what to do about it where that is known.
pub(crate) struct Refuses<'a> {
    pub(crate) node: &'a str,
    pub(crate) words: &'a str,
}

impl fmt::Display for Refuses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refuses to serve: {}", self.node, Open(self.words))?;
        match advice(self.words) {
            Some(advice) if self.words.ends_with(['?', '!']) => write!(f, " {advice}"),
            Some(advice) => write!(f, ". {advice}"),
            None => Ok(()),
        }
    }
}

/// What to do about a refusal. Only where its words leave no doubt: who is told to look at the
/// password looks there.
fn advice(words: &str) -> Option<&'static str> {
    let says = |signs: &[&str]| {
        let lower = words.to_ascii_lowercase();
        signs.iter().any(|sign| lower.contains(sign))
    };
    if says(&[
        "wrongpass",
        "noauth",
        "invalid password",
        "invalid username-password",
        "no password is set",
        "without any password",
    ]) {
        Some("Check the user and the password in the address of the node")
    } else if says(&["permissions to access", "access at least one of the keys"]) {
        Some("Give the user the right to these keys, or name others: see `Builder::prefix`")
    } else if says(&["noperm", "acl failure", "can't run this command"]) {
        Some("Give the user this right: the documentation lists all that are needed")
    } else if says(&[
        "unknown command",
        "unknown redis command",
        "unknown subcommand",
    ]) {
        Some("Redis 6.2 or later and Valkey have it, unless it was renamed")
    } else if says(&["db index", "select is not allowed"]) {
        Some("Check the number of the database at the end of the address")
    } else {
        None
    }
}

/// Writes the nodes behind what was said of them.
pub(crate) fn write_nodes(f: &mut fmt::Formatter<'_>, nodes: &[SilentNode]) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        write!(f, "{} {node}", if index == 0 { ":" } else { ";" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_a_refusal_fits_its_words() {
        let told = |words| Refuses { node: "a", words }.to_string();
        for (words, part) in [
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                "password",
            ),
            ("NOAUTH Authentication required.", "password"),
            (
                "NOPERM this user has no permissions to run the 'del' command",
                "right",
            ),
            ("NOPERM No permissions to access a key", "prefix"),
            ("ERR unknown command 'GETEX'", "6.2"),
            ("ERR DB index is out of range", "database"),
            ("ERR SELECT is not allowed in cluster mode", "database"),
        ] {
            let told = told(words);
            assert!(!told.contains(".."), "{told}");
            let (said, advice) = told.rsplit_once(". ").expect("two sentences");
            assert!(said.contains(words.trim_end_matches('.')), "{told}");
            assert!(advice.contains(part), "{told}");
            assert_eq!(advice.contains("password"), part == "password", "{told}");
        }
        let asks = told("ERR AUTH called without any password configured. Are you sure?");
        assert!(asks.contains("sure? Check the user"), "{asks}");
        let odd = told("DENIED Redis is running in protected mode.");
        assert_eq!(
            odd,
            "a refuses to serve: DENIED Redis is running in protected mode"
        );
    }

    #[test]
    fn the_words_of_several_nodes_stand_in_one_sentence() {
        let nodes = [
            SilentNode::new(
                "a",
                "OOM command not allowed when used memory > 'maxmemory'.",
            ),
            SilentNode::new("b", "it did not answer in time"),
        ];
        let told = format!("{}; {}", nodes[0], nodes[1]);
        let words = "a: OOM command not allowed when used memory > 'maxmemory'; b: it did not";
        assert!(told.starts_with(words), "{told}");
    }
}
