//! Words that may not be there: in code, what reads a clock or waits for a time, and what says
//! where the file of a module is; anywhere, what only one machine has.

use crate::source::{Complaint, Source};

/// What reads a clock of the machine, or waits until it shows something.
const CLOCKS: [&str; 14] = [
    "Instant::now",
    "SystemTime::now",
    "clock_gettime(",
    "thread::sleep",
    "park_timeout",
    "recv_timeout",
    "wait_timeout",
    "time::sleep",
    "time::timeout",
    "time::interval",
    "Date.now",
    "performance.now",
    "setInterval",
    "setTimeout",
];

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
    let kinds = ["rs", "js", "html"];
    let code = sources
        .iter()
        .filter(|source| kinds.contains(&source.extension()));
    code.flat_map(|source| find(source, &CLOCKS, true))
        .collect()
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
        let words = words.iter().filter(move |word| line.contains(**word));
        words.map(move |word| source.complain(number, format!("it has {word:?}")))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{CLOCKS, MACHINES, clocks, machines, module_paths};
    use crate::source::Source;

    #[test]
    fn a_clock_that_code_reads_is_found_and_one_in_a_comment_is_not() {
        for word in CLOCKS {
            let line = format!("    let x = {word}(1);\n");
            assert_eq!(clocks(&[Source::new("a.rs", &line)]).len(), 1, "{word}");
            let comment = format!("    // as {word} does\n");
            assert!(
                clocks(&[Source::new("a.rs", &comment)]).is_empty(),
                "{word}"
            );
        }
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
