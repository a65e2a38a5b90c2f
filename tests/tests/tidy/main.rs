//! What a program can check of how the house is kept (`CONTRIBUTING.md` has the rules for people).
//!
//! Each rule is a module: a function that complains of files, and tests on small texts which show
//! that it can complain. What still breaks a rule stands in `allowed.rs`, a list that only gets
//! shorter.
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

use std::collections::BTreeSet;

use crate::source::{Complaint, Source};

/// Fails if a file breaks the rule that is not allowed to, or is allowed to and does not.
#[track_caller]
fn demand(complaints: &[Complaint], allowed: &[&str]) {
    let broken: BTreeSet<&str> = complaints.iter().map(|one| one.file.as_str()).collect();
    let mut wrong: Vec<String> = complaints
        .iter()
        .filter(|one| !allowed.contains(&one.file.as_str()))
        .map(ToString::to_string)
        .collect();
    let healed = allowed.iter().filter(|file| !broken.contains(**file));
    wrong.extend(healed.map(|file| format!("{file}: in order now: take it out of allowed.rs")));
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
fn clocks_are_read_and_waited_for_only_where_it_is_allowed() {
    let allowed: Vec<&str> = allowed::CLOCKS.iter().map(|(file, _)| *file).collect();
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

#[test]
fn a_rule_that_is_kept_or_broken_unexpectedly_fails() {
    let complaint = |file: &str| Complaint {
        file: file.to_owned(),
        line: 1,
        what: "wrong".to_owned(),
    };
    let fails = |complaints: &[Complaint], allowed: &[&str]| {
        std::panic::catch_unwind(|| demand(complaints, allowed)).is_err()
    };
    assert!(!fails(&[], &[]));
    assert!(!fails(&[complaint("a")], &["a"]));
    assert!(fails(&[complaint("a")], &[]));
    assert!(fails(&[], &["a"]));
}
