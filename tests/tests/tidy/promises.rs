//! Each law is a promise that people read: it has a page in `tenure_redis::guarantees`, and its
//! sentence stands, in the same words, on the page, in their table, on the front page of the crate
//! and in the README.

use tenure_core::Law;

use crate::source::{Complaint, Source};

/// What the file must say of the law.
type Says = fn(Law) -> String;

const PLACES: [(&str, Says); 4] = [
    ("io-redis/src/guarantees/mod.rs", |law| {
        let (name, sentence) = (law.name(), law.sentence());
        format!("| [{name}]({}) | {sentence} |", module(law))
    }),
    ("io-redis/src/lib.rs", |law| {
        let page = format!("guarantees::{}", module(law));
        format!("- [{law}]({page}): {}", continued(law))
    }),
    ("README.md", |law| {
        format!("- [{law}]({}): {}", page(law), continued(law))
    }),
    ("docs/testing/laws.md", |law| format!("## {law} ")),
];

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for law in Law::ALL.iter().copied() {
        let begin: Says = |law| format!("**{law}.** {}", law.sentence());
        let pages = [(page(law), begin)];
        let places = PLACES.map(|(path, says)| (path.to_owned(), says));
        for (path, says) in pages.into_iter().chain(places) {
            let wanted = says(law);
            let here = sources.iter().find(|source| source.path == path);
            if !here.is_some_and(|source| prose(&source.text).contains(&wanted)) {
                complaints.push(Complaint {
                    file: path,
                    line: 1,
                    what: format!("it does not say {wanted:?}"),
                });
            }
        }
    }
    complaints
}

/// The name of a law's module.
fn module(law: Law) -> String {
    law.name().to_lowercase().replace(' ', "_")
}

fn page(law: Law) -> String {
    format!("io-redis/src/guarantees/{}.rs", module(law))
}

/// The sentence as it goes on behind a colon, without the full stop: a condition may follow.
fn continued(law: Law) -> String {
    let sentence = law.sentence().trim_end_matches('.');
    let (first, rest) = sentence.split_at(1);
    first.to_lowercase() + rest
}

/// A text without the marks of comments, on one line.
fn prose(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches("//!"));
    let words = lines.flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{PLACES, check, page};
    use crate::source::Source;
    use tenure_core::Law;

    /// All places, without this law at one of them.
    fn complaints(missing: Option<(&str, Law)>) -> usize {
        let mut sources = Vec::new();
        for (path, says) in PLACES {
            let told = Law::ALL.iter().filter(|law| missing != Some((path, **law)));
            let text: String = told.map(|law| says(*law) + "\n\n// x\n").collect();
            sources.push(Source::new(path, &text));
        }
        for law in Law::ALL {
            let text = format!("//! **{law}.** {}\n", law.sentence());
            sources.push(Source::new(&page(*law), &text));
        }
        check(&sources).len()
    }

    #[test]
    fn a_promise_that_is_missing_at_one_place_is_found() {
        assert_eq!(complaints(None), 0);
        for (path, _) in PLACES {
            assert_eq!(complaints(Some((path, Law::Progress))), 1, "{path}");
        }
    }
}
