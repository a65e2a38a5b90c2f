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
    /// How many replicas acknowledge.
    pub(crate) replicas: i64,
    lost: Vec<(Option<String>, Lost)>,
    lost_messages: usize,
    lost_invalidations: usize,
    answers: Vec<(String, Reply)>,
}

impl Faults {
    pub(crate) fn lose(&mut self, word: Option<&str>, how: Lost) {
        self.lost.push((word.map(str::to_ascii_lowercase), how));
    }

    pub(crate) fn answer(&mut self, command: &str, reply: Reply) {
        self.answers.push((command.to_ascii_lowercase(), reply));
    }

    pub(crate) fn lose_message(&mut self) {
        self.lost_messages += 1;
    }

    pub(crate) fn take_lost_message(&mut self) -> bool {
        let is_lost = self.lost_messages > 0;
        self.lost_messages -= usize::from(is_lost);
        is_lost
    }

    pub(crate) fn lose_invalidation(&mut self) {
        self.lost_invalidations += 1;
    }

    pub(crate) fn take_lost_invalidation(&mut self) -> bool {
        let is_lost = self.lost_invalidations > 0;
        self.lost_invalidations -= usize::from(is_lost);
        is_lost
    }

    pub(crate) fn clear_planted(&mut self) {
        self.lost.clear();
        self.lost_messages = 0;
        self.lost_invalidations = 0;
        self.answers.clear();
    }

    pub(crate) fn take_lost(&mut self, argv: &[Vec<u8>]) -> Option<Lost> {
        let names = |word: &String| {
            argv.iter()
                .any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
        };
        let mut lost = self.lost.iter();
        let at = lost.position(|(word, _)| word.as_ref().is_none_or(names))?;
        Some(self.lost.remove(at).1)
    }

    pub(crate) fn take_answer(&mut self, command: &str) -> Option<Reply> {
        let at = self.answers.iter().position(|(name, _)| name == command)?;
        Some(self.answers.remove(at).1)
    }
}
