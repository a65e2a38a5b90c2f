//! The fuzz targets on the inputs that are committed in `fuzz/seeds`: what a fuzzer would run
//! first, on a stable compiler, in every run of the suite. The bodies are the targets' own.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use arbitrary::{Arbitrary, Unstructured};
use tenure_fuzz::{config, manager_ops, replies, resp, scenarios};
use tenure_sim::observe::marks::Marks;

/// The committed inputs of a target, by name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../fuzz/seeds", target]
        .iter()
        .collect();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has seeds");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn each<T: for<'a> Arbitrary<'a>>(target: &str, mut check: impl FnMut(&T)) {
    for bytes in seeds(target) {
        check(&T::arbitrary(&mut Unstructured::new(&bytes)).unwrap());
    }
}

#[test]
fn any_calls_of_the_builders_keep_what_the_core_relies_on() {
    each("config", config::check);
}

#[test]
fn any_history_of_the_manager_keeps_its_promises() {
    let (mut told, mut broken) = (BTreeSet::new(), 0);
    each("manager_ops", |history: &manager_ops::History| {
        told.extend(manager_ops::check(history));
        broken += u32::from(format!("{history:?}").contains("Broken"));
    });
    assert!(broken > 0, "connections break in some of them");
    assert_eq!(told.len(), 8, "all there is to tell is told: {told:?}");
}

#[test]
fn any_bytes_are_answered_or_refused_by_the_embedded_server() {
    each("resp", resp::check);
}

#[test]
fn any_replies_to_the_adapter_do_no_lasting_harm() {
    let mut held = 0;
    each("replies", |nonsense| {
        held += u32::from(replies::check(nonsense));
    });
    assert!(held > 0, "in some of them a lock was held meanwhile");
}

#[test]
fn any_bytes_are_a_world_in_which_no_law_is_broken() {
    let mut marks = Marks::default();
    let mut grants = 0;
    for bytes in seeds("scenarios") {
        let report = scenarios::check(&bytes);
        marks.add(&report.marks);
        grants += report.grants;
    }
    assert!(grants > 0, "locks were granted in them");
    // Loosely: a change of what worlds draw gives the bytes another meaning.
    let missing = marks.missing().count();
    assert!(missing < 36, "they come to what is rare:\n{marks}");
}
