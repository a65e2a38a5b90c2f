//! A copy of the sources that is patched, tested and mended, with a target directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tenure_core::Law;
use tenure_tests::tree;

use crate::patch::Planted;

/// See the file's first lines.
pub(crate) struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// A copy of that name. It stays from run to run, so that cargo builds only what changed.
    pub(crate) fn new(name: &str) -> Self {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("planted")
            .join(name);
        Self {
            tree: scratch.join("tree"),
            target: scratch.join("target"),
        }
    }

    /// Brings what is built of the dependencies, once. Without it, they are built again.
    pub(crate) fn furnish(&self) {
        if self.target.exists() {
            return;
        }
        let built = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .unwrap()
            .join("debug");
        let debug = self.target.join("debug");
        for part in ["build", ".fingerprint", "deps"] {
            let from = built.join(part);
            for file in tree::files(&from) {
                // The programs among the dependencies are tests, and large.
                if part == "deps" && file.extension().is_none() {
                    continue;
                }
                let to = debug.join(part).join(&file);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                // What another build takes away meanwhile, or what cannot be written, is built
                // again.
                let _ = copy_with_its_time(&from.join(file), &to);
            }
        }
    }

    /// Makes the copy equal to the sources. What is equal already is not touched.
    pub(crate) fn mend(&self) {
        fs::create_dir_all(&self.tree).unwrap();
        let sources = tree::files(tree::root());
        for file in tree::files(&self.tree) {
            if sources.binary_search(&file).is_err() {
                fs::remove_file(self.tree.join(file)).unwrap();
            }
        }
        for file in sources {
            let wanted = fs::read(tree::root().join(&file)).unwrap();
            let to = self.tree.join(&file);
            if fs::read(&to).ok().as_ref() != Some(&wanted) {
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::write(to, wanted).unwrap();
            }
        }
    }

    /// Applies a patch. `Err` says which place it does not find.
    pub(crate) fn patch(&self, planted: &Planted) -> Result<(), String> {
        for (file, text) in planted.changed(&self.tree)? {
            fs::write(self.tree.join(file), text).unwrap();
        }
        Ok(())
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

    /// Which law is broken first in so many worlds, if one is. `Err` says that they do not build or
    /// run.
    pub(crate) fn explore(&self, worlds: u32) -> Result<Option<Law>, String> {
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
        let broken = said.lines().find_map(law_of);
        match output.status.code() {
            Some(0) => Ok(None),
            Some(1) if broken.is_some() => Ok(broken),
            _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Builds the test and runs it. `Ok` says whether it passed; `Err` that it does not build or
    /// run.
    pub(crate) fn run(&self, planted: &Planted) -> Result<bool, String> {
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

/// The law of which the judge says that it is broken: its sentence begins with the law.
fn law_of(line: &str) -> Option<Law> {
    let mut laws = Law::ALL.iter().copied();
    laws.find(|law| line.starts_with(&format!("{law}: ")))
}

/// By their times cargo knows what is new.
fn copy_with_its_time(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    let copied = fs::File::options().append(true).open(to)?;
    copied.set_modified(from.metadata()?.modified()?)
}
