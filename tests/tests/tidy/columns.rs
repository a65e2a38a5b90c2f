//! No line is wider than 100 columns, in code, comments and documents alike. The only exception is
//! a line that cannot be broken: a single word, such as a link, behind what makes it a comment or a
//! list. Transcripts are left out: programs write their lines, one for each fact.

use crate::source::{Complaint, Source};

const WIDEST: usize = 100;
const KINDS: [&str; 10] = [
    "rs", "lua", "md", "txt", "js", "css", "html", "toml", "yml", "c",
];
/// Their lines are written by programs.
const TRANSCRIPTS: &str = "tests/transcripts";

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        let kind = KINDS.contains(&source.extension()) || source.folder() == ".ci";
        if !kind || (source.extension() == "txt" && source.folder() == TRANSCRIPTS) {
            continue;
        }
        for (number, line) in source.lines() {
            let width = line.chars().count();
            if width > WIDEST && can_be_broken(line) {
                complaints.push(source.complain(number, format!("{width} columns")));
            }
        }
    }
    complaints
}

fn can_be_broken(line: &str) -> bool {
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    line.split_whitespace().filter(is_word).count() > 1
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;

    fn wide(path: &str, line: &str) -> bool {
        !check(&[Source::new(path, line)]).is_empty()
    }

    #[test]
    fn a_line_of_more_columns_is_found_in_code_and_documents() {
        let line = |width: usize| format!("// {}", "ab ".repeat(40))[..width].to_owned();
        assert!(!wide("a.rs", &line(100)));
        for path in [
            "a.rs",
            "a/b.lua",
            "README.md",
            "Cargo.toml",
            "tests/a.txt",
            ".ci/run",
        ] {
            assert!(wide(path, &line(101)), "{path}");
        }
        assert!(!wide("tests/transcripts/01.txt", &line(101)));
    }

    #[test]
    fn columns_are_characters_and_not_bytes() {
        assert!(!wide("a.rs", &"… ".repeat(50)));
    }

    #[test]
    fn only_a_line_of_one_word_may_be_wider() {
        let word = "w".repeat(120);
        assert!(!wide("a.md", &format!("- <{word}>")));
        assert!(wide("a.md", &format!("see {word}")));
    }
}
