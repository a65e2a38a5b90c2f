//! Words that may not be there: in code, what reads a clock or waits for a time, and what says
//! where the file of a module is; anywhere, what only one machine has.

use crate::source::{Complaint, Source, has_word};

/// What reads a clock of the machine in Rust, or waits until it shows something. Names that are
/// taken out of their module are found where they are taken; what clippy would say to a word that
/// is not here, where somebody tells it to be silent.
const IN_RUST: [&str; 17] = [
    "Instant::now",
    "SystemTime::now",
    ".elapsed(",
    "clock_gettime(",
    "thread::sleep",
    "thread::{",
    "thread::*",
    "park_timeout",
    "recv_timeout",
    "wait_timeout",
    "time::sleep",
    "time::timeout",
    "time::interval",
    "time::{",
    "time::*",
    "::time as",
    "clippy::disallowed_methods",
];
const IN_PAGES: [&str; 4] = ["Date.now", "performance.now", "setInterval", "setTimeout"];
const IN_C: [&str; 7] = [
    "clock_gettime(",
    "gettimeofday(",
    "nanosleep(",
    "poll(",
    "sleep(",
    "time(",
    "usleep(",
];
const IN_SHELL: [&str; 2] = ["sleep", "usleep"];

/// Folders that are on a machine and not in the repository, and hosts that packages come from.
const MACHINES: [&str; 9] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("registry.npmjs", ".org"),
];

/// Time comes through the adapter's clock, or jumps.
pub(crate) fn clocks(sources: &[Source]) -> Vec<Complaint> {
    let read = |source| find(source, words(source), true);
    sources.iter().flat_map(read).collect()
}

/// What reads a clock in the language of a file.
fn words(source: &Source) -> &'static [&'static str] {
    match source.extension() {
        "rs" => &IN_RUST,
        "js" | "html" => &IN_PAGES,
        "c" => &IN_C,
        "sh" | "yml" => &IN_SHELL,
        _ if source.folder() == ".ci" => &IN_SHELL,
        _ => &[],
    }
}

/// A module is where its name says.
pub(crate) fn module_paths(sources: &[Source]) -> Vec<Complaint> {
    let code = sources.iter().filter(|source| source.extension() == "rs");
    code.flat_map(|source| find(source, &[concat!("#[", "path")], true))
        .collect()
}

/// Nothing of a machine on which somebody worked gets into the repository.
pub(crate) fn machines(sources: &[Source]) -> Vec<Complaint> {
    sources
        .iter()
        .flat_map(|source| find(source, &MACHINES, false))
        .collect()
}

/// The lines that have one of these words; with `code`, none that is a comment.
fn find(source: &Source, words: &[&str], code: bool) -> Vec<Complaint> {
    let counts = |line: &str| !code || !crate::source::is_comment(line);
    let lines = source.lines().filter(|(_, line)| counts(line));
    let found = lines.flat_map(|(number, line)| {
        let words = words.iter().filter(move |word| has_word(line, word));
        words.map(move |word| source.complain(number, format!("it has {word:?}")))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{IN_C, IN_PAGES, IN_RUST, IN_SHELL, MACHINES, clocks, machines, module_paths};
    use crate::source::Source;

    #[test]
    fn a_clock_that_code_reads_is_found_and_one_in_a_comment_is_not() {
        for (path, words, mark) in [
            ("a.rs", &IN_RUST[..], "//"),
            ("a.js", &IN_PAGES, "//"),
            ("a.c", &IN_C, "//"),
            ("a.sh", &IN_SHELL, "#"),
            (".ci/run", &IN_SHELL, "#"),
        ] {
            for word in words {
                let line = format!("    let x = {word} 1;\n");
                assert_eq!(clocks(&[Source::new(path, &line)]).len(), 1, "{word}");
                let comment = format!("    {mark} as {word} does\n");
                assert!(clocks(&[Source::new(path, &comment)]).is_empty(), "{word}");
            }
        }
    }

    #[test]
    fn names_that_are_taken_out_of_their_module_are_found() {
        for line in [
            "use tokio::time::{sleep, timeout};",
            "use tokio::{sync, time::{sleep}};",
            "    clippy::disallowed_methods,",
            "#[expect(clippy::disallowed_methods)]",
            "let took = begin.elapsed();",
        ] {
            assert_eq!(clocks(&[Source::new("a.rs", line)]).len(), 1, "{line}");
        }
        let ours = "use crate::runtime::{Clock};\nclock.sleep(at).await;\nlet virtual_time = 1;";
        assert!(clocks(&[Source::new("a.rs", ours)]).is_empty());
    }

    #[test]
    fn a_module_with_a_path_is_found() {
        let text = concat!("#[", "path = \"b.rs\"]\nmod a;\n");
        assert_eq!(module_paths(&[Source::new("a.rs", text)]).len(), 1);
    }

    #[test]
    fn what_only_one_machine_has_is_found_in_any_file() {
        for word in MACHINES {
            let line = format!("# see {word}\n");
            assert_eq!(machines(&[Source::new("a.md", &line)]).len(), 1, "{word}");
        }
    }
}
