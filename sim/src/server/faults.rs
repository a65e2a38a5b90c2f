//! The faults of a server that a test may make. (The network has its own.)

use super::reply::Reply;

/// How a reply gets lost, after its command was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection closes instead of answering.
    Cut,
    /// The connection stays open, executes what it is sent, and never says anything again.
    Mute,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loading: bool,
    pub(crate) readonly: bool,
    pub(crate) oom: bool,
    /// What every write is refused with: MISCONF, NOREPLICAS.
    pub(crate) write_error: Option<String>,
    lost: Vec<(Option<String>, Lost)>,
    answers: Vec<(String, Reply)>,
}

impl Faults {
    pub(crate) fn lose(&mut self, command: Option<&str>, how: Lost) {
        self.lost.push((command.map(str::to_ascii_lowercase), how));
    }

    pub(crate) fn answer(&mut self, command: &str, reply: Reply) {
        self.answers.push((command.to_ascii_lowercase(), reply));
    }

    pub(crate) fn clear_planted(&mut self) {
        self.lost.clear();
        self.answers.clear();
    }

    pub(crate) fn take_lost(&mut self, command: &str) -> Option<Lost> {
        let at = self
            .lost
            .iter()
            .position(|(name, _)| name.as_deref().is_none_or(|n| n == command))?;
        Some(self.lost.remove(at).1)
    }

    pub(crate) fn take_answer(&mut self, command: &str) -> Option<Reply> {
        let at = self.answers.iter().position(|(name, _)| name == command)?;
        Some(self.answers.remove(at).1)
    }
}
