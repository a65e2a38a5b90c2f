//! What documents name exists. In backticks, and in blocks of commands and of plain text:
//!
//! - a word in small letters with three underscores or more is a test, or in a command the
//!   beginning of one;
//! - a word with a slash, or with the extension of a source, is a file or folder, from the root or
//!   as the end of a path, where `*` stands for anything, and `NAME` for what the reader puts
//!   there; a name without a folder is one that only one file has;
//! - a word that begins with `TENURE_` is a variable that code or a script reads;
//! - in a command of Cargo, what follows `-p`, `--test`, `--example` and `--bench` is a package or
//!   a target;
//! - in `docs/testing/faults.md` and `docs/testing/field.md`, a word with a hyphen is a planted
//!   bug.
//!
//! A link without a scheme leads to a file.

use std::collections::BTreeSet;

use crate::names;
use crate::source::{Complaint, Source, has_word};

/// A test has so many underscores in its name, and what else is named seldom has.
const UNDERSCORES: usize = 3;
const EXTENSIONS: [&str; 6] = [".rs", ".lua", ".md", ".toml", ".txt", ".patch"];
/// Folders that come to be by building and fuzzing.
const WRITTEN: [&str; 3] = ["target", "fuzz/corpus", "fuzz/artifacts"];
const FAULTS: [&str; 2] = ["docs/testing/faults.md", "docs/testing/field.md"];

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let tests: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| names::tests(source).into_iter().map(|(_, name)| name))
        .collect();
    let mut complaints = Vec::new();
    for document in sources.iter().filter(|source| source.extension() == "md") {
        for (line, word) in words(&document.text) {
            let exists = if is_test(word) {
                tests.contains(word.rsplit("::").next().unwrap_or_default())
            } else if word.starts_with("TENURE_") {
                is_read(sources, word)
            } else if FAULTS.contains(&document.path.as_str()) && is_planted(word) {
                let patch = format!("tests/planted/{word}.patch");
                sources.iter().any(|source| source.path == patch)
            } else {
                if is_ambiguous(sources, document, word) {
                    complaints.push(document.complain(line, format!("which `{word}`?")));
                }
                !is_path(word) || is_there(sources, document, word)
            };
            if !exists {
                complaints.push(document.complain(line, format!("there is no `{word}`")));
            }
        }
        for (line, command) in commands(&document.text) {
            let unknown = unknown(sources, document, &tests, command);
            let what = unknown.map(|word| format!("there is no `{word}`"));
            complaints.extend(what.map(|what| document.complain(line, what)));
        }
        for (line, target) in links(&document.text) {
            if !is_there(sources, document, target) {
                complaints.push(document.complain(line, format!("there is no {target}")));
            }
        }
    }
    complaints
}

/// The first word of a command, or of a line of plain text, that names what is not there.
fn unknown<'a>(
    sources: &[Source],
    document: &Source,
    tests: &BTreeSet<&str>,
    line: &'a str,
) -> Option<&'a str> {
    let mut before = "";
    line.split([' ', '=', ',', '"', '(', ')']).find(|word| {
        let option = std::mem::replace(&mut before, word);
        let stands_for = word.chars().all(|c| !c.is_ascii_lowercase());
        let file = |folder: &str, end: &str| {
            let end = format!("{folder}/{word}{end}");
            sources.iter().any(|source| source.path.ends_with(&end))
        };
        let exists = match option {
            _ if word.starts_with("TENURE_") => is_read(sources, word),
            _ if word.is_empty() || stands_for => true,
            "-p" | "--package" if line.contains("cargo") => is_package(sources, word),
            "--test" => file("tests", ".rs") || file("tests", "/main.rs"),
            "--example" => file("examples", ".rs"),
            "--bench" => file("benches", ".rs") || file("benches", "/main.rs"),
            _ if is_test(word) => {
                let name = word.rsplit("::").next().unwrap_or_default();
                tests.iter().any(|test| test.contains(name))
            }
            _ => !is_path(word) || word.contains("..") || is_there(sources, document, word),
        };
        !exists
    })
}

/// Whether code or a script reads the variable, and does more than to speak of it.
fn is_read(sources: &[Source], word: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default();
    let code = |source: &&Source| !["md", "txt"].contains(&source.extension());
    let mut sources = sources.iter().filter(code);
    sources.any(|source| source.code().any(|(_, line)| has_word(line, name)))
}

fn is_package(sources: &[Source], name: &str) -> bool {
    let line = format!("name = \"{name}\"");
    let mut manifests = sources.iter().filter(|one| one.name() == "Cargo.toml");
    manifests.any(|manifest| manifest.text.lines().any(|one| one == line))
}

fn is_test(word: &str) -> bool {
    let name = word.rsplit("::").next().unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.matches('_').count() >= UNDERSCORES
}

fn is_planted(word: &str) -> bool {
    word.contains('-') && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./*-".contains(c);
    let named = EXTENSIONS.iter().any(|extension| word.ends_with(extension));
    // Capitals stand for a name that the reader puts there.
    let stem = word.rsplit('/').next().unwrap_or_default();
    let stands_for = stem.starts_with("NAME");
    !stands_for
        && word.chars().all(plain)
        && !word.starts_with('/')
        && (word.contains('/') || named)
}

/// Whether a file or folder has this path, from the root, from the document or at its end.
fn is_there(sources: &[Source], document: &Source, word: &str) -> bool {
    let word = word.trim_end_matches('/');
    if WRITTEN.iter().any(|folder| word.starts_with(folder)) {
        return true;
    }
    let mut beside: Vec<&str> = document
        .folder()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in word.split('/') {
        match part {
            "." => {}
            ".." => drop(beside.pop()),
            part => beside.push(part),
        }
    }
    let beside = beside.join("/");
    sources.iter().any(|source| {
        let path = &source.path;
        let inside = |folder: &str| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let ends = format!("/{word}");
        match word.split_once('*') {
            Some((begin, end)) => path.starts_with(begin) && path.ends_with(end),
            None => {
                *path == word
                    || *path == beside
                    || inside(word)
                    || inside(&beside)
                    || path.ends_with(&ends)
                    || path.contains(&format!("{ends}/"))
            }
        }
    })
}

/// Whether several files have this name, none of them at the root or beside the document.
fn is_ambiguous(sources: &[Source], document: &Source, word: &str) -> bool {
    let mut named = sources.iter().filter(|source| source.name() == word);
    let near = |source: &Source| ["", document.folder()].contains(&source.folder());
    named.clone().count() > 1 && !named.any(near)
}

/// The lines of a document that are in no block of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The lines of blocks of commands and of plain text, and the commands of Cargo in backticks.
fn commands(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut block = None;
    let inside = (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().strip_prefix("```");
        if let Some(language) = fence {
            block = block.is_none().then_some(language);
        }
        fence.is_none() && matches!(block, Some("" | "sh" | "text"))
    });
    inside.chain(words(text).filter(|(_, word)| word.starts_with("cargo ")))
}

/// What stands in backticks on a line. (What is broken over two lines is a command, and no name.)
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let parts = line.split('`').skip(1).step_by(2);
        parts.map(move |word| (number, word))
    })
}

/// Where links lead that have no scheme.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let targets = line.split("](").skip(1);
        targets.filter_map(move |rest| {
            let target = rest.split([')', '#']).next()?;
            let here = !target.is_empty() && !target.contains(':');
            here.then_some((number, target))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;

    /// Whether a document of that path may have this text.
    fn passes(path: &str, text: &str) -> bool {
        let sources = [
            Source::new(path, text),
            Source::new("a/src/b.rs", "#[test]\nfn a_test_that_is_there() {}\n"),
            Source::new("docs/one.md", ""),
            Source::new("a/Cargo.toml", "[package]\nname = \"one-two\"\n"),
            Source::new("a/tests/t.rs", ""),
            Source::new(
                "a/examples/e.rs",
                "// TENURE_TWO\nread(\"TENURE_THREE_MORE\");\n",
            ),
            Source::new("tests/planted/no-one.patch", ""),
            Source::new(".ci/run", "TENURE_ONE=1 cargo test"),
        ];
        check(&sources).is_empty()
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        assert!(passes(
            "README.md",
            "see `a_test_that_is_there` and `m::a_test_that_is_there`"
        ));
        assert!(!passes("README.md", "see `a_test_that_is_not_there`"));
        assert!(passes(
            "README.md",
            "call `max_ttl`, or `Some_thing_else_here`"
        ));
        let rust = "```rust\nlet x = some_thing_else_here;\n```\n";
        assert!(passes("README.md", rust));
    }

    #[test]
    fn a_command_that_names_what_is_not_there_is_found() {
        for (command, there) in [
            ("cargo test -p one-two --test t", true),
            ("cargo test -p one", false),
            ("mkdir -p one", true),
            ("cargo test --test c", false),
            ("cargo test --test=c", false),
            ("cargo run --example e", true),
            ("cargo run --example f", false),
            ("cargo bench --bench f", false),
            ("cargo test -p PACKAGE --test NAME", true),
            ("cargo test a_test_that_is", true),
            ("cargo test a_test_that_was", false),
            ("TENURE_ONE=1 cargo test", true),
            ("TENURE_TWO=1 cargo test", false),
            ("cargo run a/src/b.rs", true),
            ("cargo run a/src/c.rs", false),
        ] {
            let block = format!("See:\n\n```sh\n{command}\n```\n");
            assert_eq!(passes("README.md", &block), there, "{command}");
            if command.starts_with("cargo") {
                let inline = format!("Run `{command}`.");
                assert_eq!(passes("README.md", &inline), there, "{command}");
            }
        }
        assert!(!passes("README.md", "```text\n│ src/c.rs │\n```\n"));
        assert!(passes("README.md", "```toml\npath = \"a/c.rs\"\n```\n"));
    }

    #[test]
    fn a_file_that_is_not_there_is_found() {
        for word in [
            "a/src/b.rs",
            "a/src",
            "a/src/",
            "b.rs",
            "src/b.rs",
            "a/*.rs",
            "target/x",
        ] {
            assert!(passes("README.md", &format!("in `{word}`")), "{word}");
        }
        for word in ["a/src/c.rs", "b", "c.rs", "a/b.rs", "b/*.rs"] {
            let there = passes("README.md", &format!("in `{word}`"));
            assert_eq!(there, word == "b", "{word}");
        }
    }

    #[test]
    fn a_name_that_several_files_have_is_found() {
        let found = |folder: &str| {
            let there = Source::new(&format!("{folder}one.rs"), "");
            let sources = [
                Source::new("docs/a.md", "in `one.rs`"),
                Source::new("b/one.rs", ""),
                there,
            ];
            check(&sources).len()
        };
        assert_eq!(found("c/"), 1);
        assert_eq!(found(""), 0);
        assert_eq!(found("docs/"), 0);
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_found() {
        assert!(passes(
            "docs/a.md",
            "[1](one.md#x), [2](../a/src/b.rs), [3](https://a.b), [4](#x)"
        ));
        assert!(!passes("docs/a.md", "[1](two.md)"));
        assert!(!passes("docs/a.md", "[1](../one/two.md)"));
    }

    #[test]
    fn a_variable_that_nobody_reads_is_found() {
        assert!(passes("README.md", "`TENURE_ONE=N`"));
        assert!(passes("README.md", "`TENURE_THREE_MORE`"));
        for name in ["TENURE_TWO", "TENURE_THREE", "TENURE_FOUR"] {
            assert!(!passes("README.md", &format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn a_planted_bug_that_is_not_there_is_found() {
        assert!(passes("docs/testing/faults.md", "Planted: `no-one`."));
        assert!(!passes("docs/testing/faults.md", "Planted: `no-two`."));
        assert!(passes("README.md", "`no-two`"));
    }
}
