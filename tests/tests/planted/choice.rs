//! Which planted bugs are tried, as the variable `TENURE_PLANTED` says.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tenure_tests::tree;

use crate::patch::Planted;

/// The variable that says which are tried.
pub(crate) const VARIABLE: &str = "TENURE_PLANTED";

/// In a sample, one of so many is tried although nothing changed that it is about.
const SHARE: u64 = 40;

/// Which planted bugs are tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// None: what is checked of them is what takes no time.
    None,
    /// All of them.
    All,
    /// Those whose files changed since a revision, if one is given, and a share of the others.
    Sample { hash: u64, since: Option<String> },
    /// Those whose names contain this.
    Named(String),
}

impl Choice {
    /// Reads the variable's value. `Err` says what is wrong with it.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        if let Some(sample) = value.strip_prefix("sample:") {
            let (hash, since) = sample
                .split_once(':')
                .ok_or("a sample is sample:HASH:REVISION, where the revision may be empty")?;
            // A whole commit has more digits than are needed.
            let digits: String = hash.chars().take(16).collect();
            let hash = u64::from_str_radix(&digits, 16)
                .map_err(|error| format!("{hash:?} is no hexadecimal number: {error}"))?;
            let since = (!since.is_empty()).then(|| since.to_owned());
            return Ok(Self::Sample { hash, since });
        }
        Ok(match value {
            "" => Self::None,
            "all" => Self::All,
            name => Self::Named(name.to_owned()),
        })
    }

    /// Those of the planted bugs that are tried.
    pub(crate) fn of(&self, mut planted: Vec<Planted>) -> Vec<Planted> {
        match self {
            Self::None => planted.clear(),
            Self::All => {}
            Self::Named(part) => {
                planted.retain(|one| one.name.contains(part));
                assert!(!planted.is_empty(), "no planted bug is called {part:?}");
            }
            Self::Sample { hash, since } => {
                let changed = since.as_deref().map(changed_since).unwrap_or_default();
                let chosen = |one: &Planted| touches(one, &changed) || drawn(&one.name, *hash);
                if planted.iter().any(chosen) {
                    planted.retain(chosen);
                } else {
                    // A sample is never empty.
                    planted.truncate(1);
                }
            }
        }
        planted
    }
}

/// Whether a file changed that the bug is about: its patch, what that changes, and its test.
fn touches(planted: &Planted, changed: &BTreeSet<String>) -> bool {
    let patch = planted.path();
    let mut files = planted.files().chain([patch.as_str()]);
    files.any(|file| changed.contains(file))
        || planted
            .test_file()
            .is_ok_and(|file| changed.contains(&*file.to_string_lossy()))
}

/// Whether the bug is in the share that the hash draws.
fn drawn(name: &str, hash: u64) -> bool {
    // FNV-1a.
    let of_name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (of_name ^ hash).is_multiple_of(SHARE)
}

/// The files that differ between the revision and those that are here, committed or not.
fn changed_since(revision: &str) -> BTreeSet<String> {
    let known = listed(tree::root(), &["diff", "--name-only", revision, "--"]);
    let new = listed(
        tree::root(),
        &["ls-files", "--others", "--exclude-standard"],
    );
    known.into_iter().chain(new).collect()
}

/// The files that a command of git lists.
fn listed(folder: &Path, args: &[&str]) -> Vec<String> {
    let mut git = Command::new("git");
    let output = git.current_dir(folder).args(args).output();
    let output = output.expect("git runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {}: {said}", args.join(" "));
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Choice, drawn};

    #[test]
    fn the_variable_says_which_are_tried() {
        let sample = |hash, since: Option<&str>| Choice::Sample {
            hash,
            since: since.map(str::to_owned),
        };
        let read = |value| Choice::parse(value).unwrap();
        assert_eq!(read(""), Choice::None);
        assert_eq!(read("all"), Choice::All);
        assert_eq!(read("no-backoff"), Choice::Named("no-backoff".to_owned()));
        assert_eq!(read("sample:ff:"), sample(0xff, None));
        assert_eq!(read("sample:ff:main~3"), sample(0xff, Some("main~3")));
        let whole = format!("sample:{}:", "0123456789abcdef".repeat(2));
        assert_eq!(read(&whole), sample(0x0123_4567_89ab_cdef, None));
        assert!(Choice::parse("sample:ff").is_err());
        assert!(Choice::parse("sample:xy:").is_err());
    }

    #[test]
    fn a_fortieth_is_drawn_and_another_by_another_hash() {
        let names: Vec<String> = (0..1000).map(|n| format!("bug-{n}")).collect();
        let drawn_by = |hash| names.iter().filter(move |name| drawn(name, hash));
        let count = drawn_by(7).count();
        assert!((10..45).contains(&count), "{count}");
        assert!(!drawn_by(7).eq(drawn_by(8)));
    }
}
