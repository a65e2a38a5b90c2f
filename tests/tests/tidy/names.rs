//! The names of tests are sentences of at most 70 characters. What does not fit is documentation.

use crate::source::{Complaint, Source};

const LONGEST: usize = 70;

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        for (line, name) in tests(source) {
            let length = name.chars().count();
            if length > LONGEST {
                complaints.push(source.complain(line, format!("{length} characters: {name}")));
            }
        }
    }
    complaints
}

/// The tests of a file, with their lines.
pub(crate) fn tests(source: &Source) -> Vec<(usize, &str)> {
    let mut tests = Vec::new();
    if source.extension() != "rs" {
        return tests;
    }
    let mut announced = false;
    for (number, line) in source.code() {
        let line = line.trim_start();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            announced = true;
        } else if announced
            && let Some(rest) = line
                .strip_prefix("async ")
                .unwrap_or(line)
                .strip_prefix("fn ")
        {
            tests.push((number, rest.split(['(', '<']).next().unwrap_or_default()));
            announced = false;
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::{check, tests};
    use crate::source::Source;

    #[test]
    fn a_name_of_more_characters_is_found() {
        let test = |name: &str| Source::new("a.rs", &format!("#[test]\nfn {name}() {{}}\n"));
        assert!(check(&[test(&"n".repeat(70))]).is_empty());
        assert_eq!(check(&[test(&"n".repeat(71))]).len(), 1);
    }

    #[test]
    fn tests_are_told_from_other_functions() {
        let text = "fn a() {}\n#[test]\n#[ignore]\nfn b() {}\n#[tokio::test]\nasync fn c() {}\n";
        let source = Source::new("a.rs", text);
        assert_eq!(tests(&source), [(4, "b"), (6, "c")]);
    }
}
