//! The files of the repository, as a test sees them: what is checked in, as far as a walk can tell.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of the repository's own: what builds and fuzzers write.
const WRITTEN: [&str; 5] = ["target", ".git", "corpus", "artifacts", "coverage"];

/// The folder of the repository.
///
/// # Panics
/// Where this package lies in no folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package is a folder of the repository")
}

/// Every file below the folder, by its path from there, in the order of the paths.
///
/// # Panics
/// Where a folder cannot be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, Path::new(""), &mut found);
    found.sort();
    found
}

fn walk(folder: &Path, inside: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder.join(inside)).expect("a folder that can be read") {
        let entry = entry.expect("an entry that can be read");
        let path = inside.join(entry.file_name());
        let written = WRITTEN.iter().any(|name| entry.file_name() == *name);
        if entry.path().is_dir() {
            if !written {
                walk(folder, &path, found);
            }
        } else if !written {
            found.push(path);
        }
    }
}
