//! The files of the repository as texts, and what a rule says of them.

use std::fmt;
use std::fs;

use tenure_tests::tree;

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path from the root, with slashes.
    pub(crate) path: String,
    /// What is in it; empty if that is no text.
    pub(crate) text: String,
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl Source {
    /// All files of the repository, in the order of their paths.
    pub(crate) fn all() -> Vec<Self> {
        let read = |file: &std::path::PathBuf| Self {
            path: file.to_string_lossy().replace('\\', "/"),
            text: fs::read_to_string(tree::root().join(file)).unwrap_or_default(),
        };
        tree::files(tree::root()).iter().map(read).collect()
    }

    /// A file for the test of a rule.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// What stands behind the last dot of its name; empty if there is none.
    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, last)| last)
    }

    /// Its name, without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Its folder; empty if that is the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Its lines, counted from one.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Its lines that are no comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !is_comment(line))
    }

    /// A complaint about one of its lines.
    pub(crate) fn complain(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint {
            file: self.path.clone(),
            line,
            what: what.into(),
        }
    }
}

/// Whether there is nothing but a comment on the line, in any of the languages that are used here.
pub(crate) fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    let attribute = line.starts_with("#[") || line.starts_with("#!");
    let marks = ["//", "--", "/*", "* ", "#"];
    !attribute && marks.iter().any(|mark| line.starts_with(mark))
}

/// Whether the word is on the line, and not only as a part of a longer one.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let (first, last) = (word.starts_with(in_word), word.ends_with(in_word));
    line.match_indices(word).any(|(at, _)| {
        let goes_on_before = first && line[..at].ends_with(in_word);
        let goes_on_behind = last && line[at + word.len()..].starts_with(in_word);
        !goes_on_before && !goes_on_behind
    })
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn a_part_of_a_longer_word_is_not_the_word() {
        assert!(has_word("use one::One;", "one"));
        assert!(!has_word("use one_two::One;", "one"));
        assert!(!has_word("use no_one::One;", "one"));
        assert!(has_word("use crate::link::{Life};", "link::{"));
        assert!(!has_word("use crate::blink::{Life};", "link::{"));
    }
}
