//! Every file is used. A Rust file is a target of Cargo or a module of a file that is used; a
//! document is named by another; what else there is, is named by the code or is of a kind that a
//! test reads.

use std::collections::BTreeSet;

use crate::source::{Complaint, Source};

/// What programs look for by its name, or people.
const BY_NAME: [&str; 11] = [
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
];
/// Folders whose files are looked for by programs.
const BY_FOLDER: [&str; 3] = [".cargo", ".ci", ".github/workflows"];

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let paths: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let reached = reached(sources, &paths);
    let mut complaints = Vec::new();
    for source in sources {
        let used = match source.extension() {
            "rs" => reached.contains(&source.path),
            _ if BY_NAME.contains(&source.name()) || BY_FOLDER.contains(&source.folder()) => true,
            "md" => named(sources, "md", source.name()),
            "patch" => source.folder() == "tests/planted",
            _ if source.path.starts_with("fuzz/seeds/") => {
                let target = source.path.split('/').nth(2).unwrap_or_default();
                paths.contains(&*format!("fuzz/fuzz_targets/{target}.rs"))
            }
            _ => named(sources, "rs", source.name()),
        };
        if !used {
            complaints.push(source.complain(1, "nothing uses this file"));
        }
    }
    complaints
}

/// Whether another file of the kind has this name in it: in code at the end of a text, or as one
/// without its extension; in documents anywhere.
fn named(sources: &[Source], kind: &str, name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let quoted = [format!("{name}\""), format!("\"{stem}\"")];
    sources
        .iter()
        .filter(|source| source.extension() == kind && source.name() != name)
        .any(|source| match kind {
            "md" => source.text.contains(name),
            _ => quoted.iter().any(|name| source.text.contains(name)),
        })
}

/// The Rust files that a target of Cargo leads to.
fn reached(sources: &[Source], paths: &BTreeSet<&str>) -> BTreeSet<String> {
    let manifests = sources
        .iter()
        .filter(|source| source.name() == "Cargo.toml");
    let mut new: Vec<(String, bool)> = manifests
        .flat_map(|manifest| targets(manifest, paths))
        .map(|root| (root, true))
        .collect();
    let mut reached = BTreeSet::new();
    while let Some((path, is_root)) = new.pop() {
        let Some(source) = sources.iter().find(|source| source.path == path) else {
            continue;
        };
        if reached.insert(path) {
            let modules = modules(source, is_root).into_iter();
            new.extend(modules.map(|module| (module, false)));
        }
    }
    reached
}

/// The roots of the crates of a package: those that its manifest names, and those that Cargo finds.
fn targets(manifest: &Source, paths: &BTreeSet<&str>) -> Vec<String> {
    if !manifest.text.contains("[package]") {
        return Vec::new();
    }
    let inside = |path: &str| join(manifest.folder(), path);
    let mut targets: Vec<String> = ["src/lib.rs", "src/main.rs", "build.rs"].map(inside).into();
    for (_, line) in manifest.code() {
        if let Some(path) = line.strip_prefix("path = \"") {
            targets.push(inside(path.trim_end_matches('"')));
        }
    }
    for (folder, switch) in [
        ("src/bin", "autobins"),
        ("tests", "autotests"),
        ("benches", "autobenches"),
        ("examples", "autoexamples"),
    ] {
        if manifest.text.contains(&format!("{switch} = false")) {
            continue;
        }
        let folder = inside(folder) + "/";
        let found = paths.iter().filter(|path| {
            let rest = path.strip_prefix(&folder).unwrap_or_default();
            match rest.split('/').collect::<Vec<_>>()[..] {
                [file] => file.ends_with(".rs"),
                [_, file] => file == "main.rs",
                _ => false,
            }
        });
        targets.extend(found.map(|path| (*path).to_owned()));
    }
    targets
}

/// Where the modules of a file may be.
fn modules(source: &Source, is_root: bool) -> Vec<String> {
    let own = is_root || source.name() == "mod.rs";
    let folder = match source.path.strip_suffix(".rs") {
        Some(stem) if !own => stem,
        _ => source.folder(),
    };
    let mut modules = Vec::new();
    for (_, line) in source.code() {
        let line = line.trim_start();
        let rest = match line.strip_prefix("pub") {
            Some(rest) => rest.split_once(' ').map_or(rest, |(_, rest)| rest),
            None => line,
        };
        let module = rest
            .strip_prefix("mod ")
            .and_then(|name| name.strip_suffix(';'));
        if let Some(name) = module {
            modules.push(join(folder, &format!("{name}.rs")));
            modules.push(join(folder, &format!("{name}/mod.rs")));
        }
    }
    modules
}

fn join(folder: &str, path: &str) -> String {
    match folder {
        "" => path.to_owned(),
        _ => format!("{folder}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;

    fn unused(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source::new(path, text);
        let sources: Vec<Source> = files.iter().map(source).collect();
        check(&sources).into_iter().map(|one| one.file).collect()
    }

    #[test]
    fn a_module_that_nobody_declares_is_found() {
        let mut files = vec![
            ("a/Cargo.toml", "[package]\n"),
            ("a/src/lib.rs", "pub(crate) mod b;\nmod c;\n// mod d;\n"),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;\n"),
            ("a/src/b/tests.rs", ""),
            ("a/src/c/mod.rs", "pub mod e;\n"),
            ("a/src/c/e.rs", ""),
            ("a/tests/f.rs", ""),
            ("a/tests/g/main.rs", "mod h;\n"),
            ("a/tests/g/h.rs", ""),
        ];
        assert!(unused(&files).is_empty(), "{:?}", unused(&files));
        files.extend([
            ("a/src/d.rs", ""),
            ("a/tests/g/i.rs", ""),
            ("a/src/tests.rs", ""),
        ]);
        assert_eq!(
            unused(&files),
            ["a/src/d.rs", "a/tests/g/i.rs", "a/src/tests.rs"]
        );
    }

    #[test]
    fn a_target_that_cargo_is_told_not_to_look_for_is_found() {
        let manifest = "[package]\nautoexamples = false\n[[bin]]\npath = \"x.rs\"\n";
        let files = [
            ("Cargo.toml", manifest),
            ("x.rs", ""),
            ("examples/y.rs", ""),
        ];
        assert_eq!(unused(&files), ["examples/y.rs"]);
    }

    #[test]
    fn a_file_that_nothing_names_is_found() {
        let files = [
            ("Cargo.toml", "[package]\n"),
            (
                "src/lib.rs",
                "include_str!(\"sub/one.lua\"); scene(\"01-one\");",
            ),
            ("src/sub/one.lua", ""),
            ("src/sub/two.lua", ""),
            ("transcripts/01-one.txt", ""),
            ("transcripts/02-two.txt", ""),
            ("README.md", "See [one](docs/one.md)."),
            ("docs/one.md", ""),
            ("docs/two.md", ""),
            ("tests/planted/one.patch", ""),
            ("tests/two.patch", ""),
            ("fuzz/fuzz_targets/one.rs", ""),
            (
                "fuzz/Cargo.toml",
                "[package]\n[[bin]]\npath = \"fuzz_targets/one.rs\"\n",
            ),
            ("fuzz/seeds/one/01", ""),
            ("fuzz/seeds/two/01", ""),
        ];
        let expected = [
            "src/sub/two.lua",
            "transcripts/02-two.txt",
            "docs/two.md",
            "tests/two.patch",
            "fuzz/seeds/two/01",
        ];
        assert_eq!(unused(&files), expected);
    }
}
