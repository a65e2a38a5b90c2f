//! The check of the checks: each protection is taken away once, and a named test must notice.
//!
//! A planted bug is a patch in `tests/planted`. Its first lines say which law it breaks, what kind
//! of fault it is (`docs/testing/faults.md` lists them), by which attack, and which test must fail.
//! The code that people read has no switches for it: the patch is applied to a copy of the sources,
//! with a target directory of its own. Where it also says `# worlds: N`, the judge must see that
//! law broken in one of the first N random worlds, or first another that follows from it, which
//! then stands behind `# judged:`.
//!
//! Trying a planted bug builds again what it changes, so `cargo test --workspace` tries none: it
//! only checks that each patch can be tried. `TENURE_PLANTED` says which are:
//!
//! - `all`: all of them.
//! - `sample:HASH:REVISION`: those whose files changed since the revision, which may be left out,
//!   and a fortieth of the others, drawn by the hexadecimal hash.
//! - a part of a name: those whose name contains it.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod choice;
mod copy;
mod patch;

use std::collections::BTreeSet;
use std::fs;

use tenure_core::Law;
use tenure_tests::tree;

use crate::choice::{Choice, VARIABLE};
use crate::copy::Copy;
use crate::patch::Planted;

/// The kinds of faults, of which each must have a bug planted.
const CLASSES: [&str; 9] = ["H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9"];

/// All that are planted, in the order of their names.
fn planted() -> Vec<Planted> {
    let folder = tree::root().join("tests/planted");
    let mut planted = Vec::new();
    for file in tree::files(&folder) {
        let name = file.file_stem().unwrap().to_string_lossy();
        let text = fs::read_to_string(folder.join(&file)).unwrap();
        planted.push(Planted::parse(&name, &text).unwrap_or_else(|why| panic!("{why}")));
    }
    planted
}

#[test]
fn each_patch_applies_and_names_a_test_that_exists() {
    let mut wrong = Vec::new();
    for one in planted() {
        wrong.extend(one.changed(tree::root()).err());
        wrong.extend(one.test_file().err());
        if !CLASSES.contains(&&*one.class) {
            wrong.push(format!("{}: there is no kind {}", one.name, one.class));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// It is named where its kind is, and where the attack is by whose number it was found.
#[test]
fn each_planted_bug_is_named_in_the_list_of_faults() {
    const FAULTS: &str = "docs/testing/faults.md";
    let text = fs::read_to_string(tree::root().join(FAULTS)).unwrap();
    let mut wrong = Vec::new();
    for one in planted() {
        let attacks = one.attacks();
        let attacks = attacks.iter().map(|number| format!("Attack {number}"));
        for title in attacks.chain([one.class.clone()]) {
            let begin = format!("{title}: ");
            let mut sections = text.split("\n## ");
            let section = sections.find(|section| section.starts_with(&begin));
            let word = format!("`{}`", one.name);
            if !section.is_some_and(|section| section.contains(&word)) {
                wrong.push(format!("{FAULTS}: {title} lacks {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_law_and_each_kind_of_fault_has_a_bug_planted() {
    let planted = planted();
    for law in Law::ALL {
        assert!(
            planted.iter().any(|one| one.law == Some(*law)),
            "{law}: no bug"
        );
    }
    for class in CLASSES {
        assert!(
            planted.iter().any(|one| one.class == class),
            "{class}: no bug"
        );
    }
}

/// Replay is no law of a judge, who hears one run.
#[test]
fn each_law_is_seen_broken_by_the_judge_of_the_worlds() {
    let planted = planted();
    for law in Law::ALL.iter().filter(|law| **law != Law::Replay) {
        let mut seen = planted.iter().filter(|one| one.worlds.is_some());
        assert!(
            seen.any(|one| one.judged == [*law]),
            "{law}: no bug that breaks it first"
        );
    }
}

#[test]
fn every_planted_bug_is_caught_by_the_test_that_it_names() {
    let value = std::env::var(VARIABLE).unwrap_or_default();
    let choice = Choice::parse(&value).unwrap_or_else(|why| panic!("{VARIABLE}: {why}"));
    let planted = planted();
    let all = planted.len();
    let planted = choice.of(planted);
    println!("{} of {all} planted bugs are tried", planted.len());

    let copies: BTreeSet<&str> = planted.iter().map(copy_of).collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = copies
            .iter()
            .map(|copy| {
                let theirs = planted.iter().filter(|one| copy_of(one) == *copy);
                let theirs: Vec<&Planted> = theirs.collect();
                scope.spawn(move || try_all(&Copy::new(copy), &theirs))
            })
            .collect();
        let ended = tries.into_iter().map(|tried| tried.join().unwrap());
        ended.flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// In which copy it is tried. Two copies are used side by side: what the core's tests need is built
/// sooner than the rest.
fn copy_of(planted: &Planted) -> &'static str {
    if planted.test.iter().any(|word| word == "tenure-core") {
        "core"
    } else {
        "adapter"
    }
}

/// Tries these one after another in a copy, and says what is wrong.
fn try_all(copy: &Copy, planted: &[&Planted]) -> Vec<String> {
    copy.furnish();
    copy.mend();
    let mut wrong = control(copy, planted);
    if !wrong.is_empty() {
        return wrong;
    }
    for planted in planted {
        match copy.patch(planted) {
            Ok(()) => wrong.extend(try_one(copy, planted)),
            Err(why) => wrong.push(why),
        }
        copy.mend();
    }
    wrong
}

/// Without a patch, every test that is named passes, and so do the worlds. Says what does not.
fn control(copy: &Copy, planted: &[&Planted]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for planted in planted.iter().filter(|planted| seen.insert(&planted.test)) {
        match copy.run(planted) {
            Ok(true) => {}
            Ok(false) => wrong.push(format!("{}: fails without a bug", planted.test.join(" "))),
            Err(why) => wrong.push(format!("{}: {why}", planted.test.join(" "))),
        }
    }
    if let Some(worlds) = planted.iter().filter_map(|planted| planted.worlds).max() {
        match copy.explore(worlds) {
            Ok(None) => {}
            Ok(Some(law)) => wrong.push(format!("the worlds break {law} without a bug")),
            Err(why) => wrong.push(format!("the worlds do not run:\n{why}")),
        }
    }
    wrong
}

/// What is wrong with how this patch, which is applied, is noticed.
fn try_one(copy: &Copy, planted: &Planted) -> Vec<String> {
    let (name, law) = (&planted.name, &planted.broken);
    let mut wrong = Vec::new();
    match copy.run(planted) {
        Ok(false) => println!("caught: {name} ({law}; {})", planted.attack),
        Ok(true) => {
            let test = planted.test.join(" ");
            wrong.push(format!(
                "{name}: {law} is broken and {test} does not notice"
            ));
        }
        Err(why) => wrong.push(format!("{name}: {why}")),
    }
    if let Some(worlds) = planted.worlds {
        match copy.explore(worlds) {
            Ok(Some(seen)) if planted.judged.contains(&seen) => {}
            Ok(Some(seen)) => wrong.push(format!(
                "{name}: the judge sees {seen} broken and not {:?}",
                planted.judged
            )),
            Ok(None) => wrong.push(format!(
                "{name}: {law} is broken and no judge sees it in {worlds} worlds"
            )),
            Err(why) => wrong.push(format!("{name}: the worlds do not run:\n{why}")),
        }
    }
    wrong
}
