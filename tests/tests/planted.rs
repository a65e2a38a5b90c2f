//! The check of the checks: each protection is taken away once, and a named test must notice.
//!
//! A planted bug is a patch in `tests/planted`. Its first lines say which law it breaks, what kind of fault
//! it is (`docs/testing.md` lists them), by which attack, and which test must fail (the arguments of
//! `cargo test`, the last of them the test's full name). The code that people read has no switches for
//! it: the patch is applied to a copy of the sources, with a copy of this target directory, so that only
//! what it changes is built again and nothing of it gets into what the other tests use. Where it also says
//! `# worlds: N`, the judge must see that law broken in one of the first N random worlds, or first another
//! that follows from it, which then stands behind `# judged:`.
//!
//! The patches whose tests are the core's follow each other in one copy, the others in another beside it.
//! `TENURE_PLANTED=name` runs the patches whose name contains that.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tenure_core::Law;
use tenure_tests::live::gate;

/// The kinds of faults of which each must have a bug planted. (Fairness has no queue yet.)
const CLASSES: [&str; 8] = ["H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8"];

/// Folders that are no sources, by their name at the root.
const NO_SOURCES: [&str; 3] = ["target", ".git", "fuzz"];

struct Planted {
    name: String,
    patch: PathBuf,
    law: String,
    class: String,
    attack: String,
    test: Vec<String>,
    worlds: Option<u32>,
    /// The laws of which the judge finds one broken first.
    judged: Vec<String>,
}

impl Planted {
    fn read(patch: &Path) -> Self {
        let text = fs::read_to_string(patch).unwrap();
        let name = patch.file_stem().unwrap().to_string_lossy().into_owned();
        let given = |field: &str| {
            let prefix = format!("# {field}: ");
            let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
            line.map(str::to_owned)
        };
        let field = |field: &str| {
            given(field).unwrap_or_else(|| panic!("{name}: no line \"# {field}: …\""))
        };
        Self {
            judged: given("judged").map_or_else(
                || vec![field("law")],
                |laws| laws.split(", ").map(str::to_owned).collect(),
            ),
            law: field("law"),
            class: field("class"),
            attack: field("attack"),
            test: field("test")
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            worlds: given("worlds").map(|worlds| worlds.parse().expect("a number of worlds")),
            patch: patch.to_owned(),
            name,
        }
    }

    /// In which copy it is tried: what the core's tests need is built sooner than the rest.
    fn copy(&self) -> &'static str {
        if self.test.iter().any(|word| word == "tenure-core") {
            "core"
        } else {
            "adapter"
        }
    }

    /// The test's own name, without the target that it is in.
    fn test_name(&self) -> &str {
        self.test.last().unwrap()
    }
}

/// A copy of the sources that is patched, tested and mended.
struct Copy {
    root: PathBuf,
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("planted")
            .join(name);
        Self {
            root: root.to_owned(),
            tree: scratch.join("tree"),
            target: scratch.join("target"),
        }
    }

    /// Brings what is built of the dependencies, once. Without it, they are built again.
    fn furnish(&self) {
        if self.target.exists() {
            return;
        }
        let built = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("debug");
        let debug = self.target.join("debug");
        for part in ["build", ".fingerprint", "deps"] {
            let mut files = BTreeSet::new();
            self::files(&built.join(part), &mut files);
            // The programs among the dependencies are tests, and large.
            files.retain(|file| part != "deps" || file.extension().is_some());
            for file in files {
                let to = debug.join(file.strip_prefix(&built).unwrap());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                // What another build takes away meanwhile, or what cannot be written, is built again.
                let _ = copy_with_its_time(&file, &to);
            }
        }
    }

    /// Makes the copy equal to the sources. What is equal already is not touched, so that cargo
    /// builds only what changed.
    fn mend(&self) {
        let mut sources = BTreeSet::new();
        for entry in fs::read_dir(&self.root).unwrap() {
            let entry = entry.unwrap();
            if !NO_SOURCES.contains(&&*entry.file_name().to_string_lossy()) {
                files(&entry.path(), &mut sources);
            }
        }
        let mut copied = BTreeSet::new();
        if self.tree.exists() {
            files(&self.tree, &mut copied);
        }
        let inside = |file: &Path, root: &Path| file.strip_prefix(root).unwrap().to_owned();
        let sources: BTreeSet<PathBuf> = sources.iter().map(|f| inside(f, &self.root)).collect();
        for file in copied.iter().map(|file| inside(file, &self.tree)) {
            if !sources.contains(&file) {
                fs::remove_file(self.tree.join(file)).unwrap();
            }
        }
        for file in sources {
            let wanted = fs::read(self.root.join(&file)).unwrap();
            let to = self.tree.join(&file);
            if fs::read(&to).ok().as_ref() != Some(&wanted) {
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::write(to, wanted).unwrap();
            }
        }
    }

    /// Applies a patch with whichever tool there is; none if there is none.
    fn patch(&self, patch: &Path) -> Option<Output> {
        let mut git = Command::new("git");
        // The copy lies inside a work tree that it is no part of.
        git.env("GIT_CEILING_DIRECTORIES", self.tree.parent().unwrap())
            .args(["apply", "--whitespace=nowarn"])
            .arg(patch);
        let mut tool = Command::new("patch");
        tool.args(["--strip=1", "--no-backup-if-mismatch", "--input"])
            .arg(patch);
        let mut last = None;
        for command in [&mut git, &mut tool] {
            if let Ok(output) = command.current_dir(&self.tree).output() {
                if output.status.success() {
                    return Some(output);
                }
                last = Some(output);
            }
        }
        last
    }

    fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Command::new(cargo)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            // A patch changes a line or two, and what it leads to is built again and again.
            .env("CARGO_INCREMENTAL", "1")
            .env("RUST_BACKTRACE", "0")
            .args(args)
            .output()
            .expect("cargo runs")
    }

    fn test(&self, test: &[String], last: &[&'static str]) -> Output {
        let test = test.iter().map(String::as_str);
        self.cargo(
            ["test", "--offline", "--locked"]
                .into_iter()
                .chain(test)
                .chain(last.iter().copied()),
        )
    }

    /// Which law is broken first in so many worlds, if one is. `Err` says that they do not build or run.
    fn explore(&self, worlds: u32) -> Result<Option<&'static str>, String> {
        let worlds = worlds.to_string();
        let program = [
            "run",
            "--offline",
            "--locked",
            "-p",
            "tenure-sim",
            "--profile",
            "test",
            "--no-default-features",
            "--features",
            "program",
        ];
        let what = [
            "--", "explore", "--seed", "0", "--jobs", "1", "--worlds", &worlds,
        ];
        let output = self.cargo(program.into_iter().chain(what));
        let said = String::from_utf8_lossy(&output.stdout);
        // The judge's sentence begins with the law.
        let of_line = |line: &str| {
            let laws = Law::ALL.iter().map(|law| law.name());
            let mut named = laws.filter(|law| line.starts_with(&format!("{law}: ")));
            named.next()
        };
        let broken = said.lines().find_map(of_line);
        match output.status.code() {
            Some(0) => Ok(None),
            Some(1) if broken.is_some() => Ok(broken),
            _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Builds the test and runs it. `Ok` says whether it passed; `Err` that it does not build or run.
    fn run(&self, planted: &Planted) -> Result<bool, String> {
        let said = |output: &Output| {
            let out = String::from_utf8_lossy(&output.stdout);
            format!("{out}\n{}", String::from_utf8_lossy(&output.stderr))
        };
        let built = self.test(&planted.test, &["--no-run"]);
        if !built.status.success() {
            return Err(format!("it does not build:\n{}", said(&built)));
        }
        let run = self.test(&planted.test, &["--", "--exact"]);
        let said = said(&run);
        let name = planted.test_name();
        let was = |verdict: &str| said.contains(&format!("test {name} ... {verdict}"));
        if run.status.success() && was("ok") {
            Ok(true)
        } else if !run.status.success() && was("FAILED") {
            // For whoever reads along: whether it failed for the right reason.
            let mut lines = said
                .lines()
                .skip_while(|line| !line.contains("panicked at "));
            let why: Vec<_> = lines.by_ref().take(4).collect();
            println!("{}: {}", planted.name, why.join(" "));
            Ok(false)
        } else {
            Err(format!("test {name} did not run:\n{said}"))
        }
    }
}

/// By their times cargo knows what is new.
fn copy_with_its_time(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    let copied = fs::File::options().append(true).open(to)?;
    copied.set_modified(from.metadata()?.modified()?)
}

fn files(path: &Path, into: &mut BTreeSet<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), into);
        }
    } else {
        into.insert(path.to_owned());
    }
}

fn planted() -> Vec<Planted> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("planted");
    let mut patches = BTreeSet::new();
    files(&folder, &mut patches);
    let patches = patches
        .iter()
        .filter(|file| file.extension().is_some_and(|ext| ext == "patch"));
    patches.map(|file| Planted::read(file)).collect()
}

#[test]
fn each_law_and_each_kind_of_fault_has_a_bug_planted() {
    let planted = planted();
    for law in Law::ALL.iter().map(|law| law.name()) {
        assert!(planted.iter().any(|one| one.law == law), "{law}: no bug");
    }
    for class in CLASSES {
        assert!(
            planted.iter().any(|one| one.class == class),
            "{class}: no bug"
        );
    }
}

/// Replay is no law of a judge, who hears one run, and Fairness has no queue yet.
#[test]
fn each_law_is_seen_broken_by_the_judge_of_the_worlds() {
    let planted = planted();
    for law in Law::ALL.iter().filter(|law| **law != Law::Replay) {
        let mut seen = planted.iter().filter(|one| one.worlds.is_some());
        assert!(
            seen.any(|one| one.judged == [law.name()]),
            "{law}: no bug that breaks it first"
        );
    }
}

#[test]
fn every_planted_bug_is_caught_by_the_test_that_it_names() {
    let wanted = std::env::var("TENURE_PLANTED").unwrap_or_default();
    let mut planted = planted();
    planted.retain(|planted| planted.name.contains(&wanted));
    assert!(!planted.is_empty(), "no patch is called {wanted:?}");

    let copies: BTreeSet<&str> = planted.iter().map(Planted::copy).collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = copies
            .iter()
            .map(|copy| {
                let theirs = planted.iter().filter(|one| one.copy() == *copy);
                let theirs: Vec<&Planted> = theirs.collect();
                scope.spawn(move || try_all(&Copy::new(copy), &theirs))
            })
            .collect();
        let ended = tries.into_iter().map(|tried| tried.join().unwrap());
        ended.flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tries these one after another in a copy, and says what is wrong.
fn try_all(copy: &Copy, planted: &[&Planted]) -> Vec<String> {
    copy.furnish();
    copy.mend();
    let mut wrong = Vec::new();
    // The control: without a patch, every test that is named passes, and so do the worlds.
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
    if !wrong.is_empty() {
        return wrong;
    }

    for planted in planted {
        let Some(patched) = copy.patch(&planted.patch) else {
            gate::leave_out("neither git nor patch is here: no planted bug was tried");
            return wrong;
        };
        if patched.status.success() {
            wrong.extend(try_one(copy, planted));
        } else {
            let said = String::from_utf8_lossy(&patched.stderr).into_owned();
            wrong.push(format!(
                "{}: the patch does not apply, renew it:\n{said}",
                planted.name
            ));
        }
        copy.mend();
    }
    wrong
}

/// What is wrong with how this patch, which is applied, is noticed.
fn try_one(copy: &Copy, planted: &Planted) -> Vec<String> {
    let (name, law) = (&planted.name, &planted.law);
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
            Ok(Some(seen)) if planted.judged.iter().any(|law| law == seen) => {}
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
