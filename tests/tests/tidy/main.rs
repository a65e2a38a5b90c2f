//! What a program can check of how the house is kept (`CONTRIBUTING.md` has the rules for people).
//!
//! Each rule is a module: a function that complains of files, and tests on small texts which show
//! that it can complain. What still breaks a rule stands in `allowed.rs`, file by file with the
//! exact number of places: one more fails, and so does one less, until the number is corrected.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod allowed;
mod columns;
mod docs;
mod functions;
mod laws;
mod manifests;
mod names;
mod promises;
mod source;
mod used;
mod words;

use std::collections::BTreeMap;

use crate::source::{Complaint, Source};

/// Fails if a file breaks the rule more often, or less often, than it is allowed to.
#[track_caller]
fn demand(complaints: &[Complaint], allowed: &[(&str, usize)]) {
    let mut found: BTreeMap<&str, Vec<&Complaint>> =
        allowed.iter().map(|(file, _)| (*file, vec![])).collect();
    for one in complaints {
        found.entry(&one.file).or_default().push(one);
    }
    let mut wrong = Vec::new();
    for (file, found) in found {
        let listed = allowed.iter().find(|(name, _)| *name == file);
        let may = listed.map_or(0, |(_, may)| *may);
        if found.len() > may {
            wrong.extend(found.iter().map(ToString::to_string));
        }
        if listed.is_some() && (found.len() != may || may == 0) {
            wrong.push(match found.len() {
                0 => format!("{file}: in order now: take it out of allowed.rs"),
                count => format!("{file}: allowed.rs has {may} for it: there are {count}"),
            });
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    demand(&columns::check(&Source::all()), allowed::COLUMNS);
}

#[test]
fn no_function_is_longer_than_seventy_lines_without_a_reason() {
    demand(&functions::check(&Source::all()), allowed::FUNCTIONS);
}

#[test]
fn no_test_has_a_name_of_more_than_seventy_characters() {
    demand(&names::check(&Source::all()), allowed::NAMES);
}

#[test]
fn every_file_is_used() {
    demand(&used::check(&Source::all()), allowed::FILES);
}

#[test]
fn every_dependency_is_used() {
    demand(&manifests::check(&Source::all()), allowed::DEPENDENCIES);
}

#[test]
fn every_package_keeps_the_lints_of_the_house() {
    demand(&manifests::lints(&Source::all()), &[]);
}

#[test]
fn clocks_are_read_and_waited_for_only_where_it_is_allowed() {
    let allowed: Vec<(&str, usize)> = allowed::CLOCKS
        .iter()
        .map(|(file, may, _)| (*file, *may))
        .collect();
    demand(&words::clocks(&Source::all()), &allowed);
}

#[test]
fn no_module_says_where_its_file_is() {
    demand(&words::module_paths(&Source::all()), allowed::MODULE_PATHS);
}

#[test]
fn no_file_names_a_folder_or_a_registry_of_one_machine() {
    demand(&words::machines(&Source::all()), &[]);
}

#[test]
fn every_law_has_a_tag_where_it_is_kept() {
    demand(&laws::check(&Source::all()), allowed::LAWS);
}

#[test]
fn every_law_is_promised_in_the_same_words_wherever_people_read_it() {
    demand(&promises::check(&Source::all()), &[]);
}

#[test]
fn what_the_documents_name_exists() {
    demand(&docs::check(&Source::all()), allowed::DOCS);
}

/// The exact number of places is allowed, and neither more nor fewer.
#[test]
fn a_rule_that_is_kept_or_broken_unexpectedly_fails() {
    let complaint = |file: &str| Complaint {
        file: file.to_owned(),
        line: 1,
        what: "wrong".to_owned(),
    };
    let fails = |complaints: &[Complaint], allowed: &[(&str, usize)]| {
        std::panic::catch_unwind(|| demand(complaints, allowed)).is_err()
    };
    let two = [complaint("a"), complaint("a")];
    assert!(!fails(&[], &[]));
    assert!(!fails(&two, &[("a", 2)]));
    assert!(fails(&two, &[]));
    assert!(fails(&two, &[("a", 1)]));
    assert!(fails(&two, &[("a", 3)]));
    assert!(fails(&two, &[("a", 2), ("b", 1)]));
    assert!(fails(&[], &[("a", 1)]));
    assert!(fails(&[], &[("a", 0)]));
}
