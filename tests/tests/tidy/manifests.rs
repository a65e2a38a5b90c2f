//! Every dependency that a manifest names is named by the code of its package, and every one of the
//! workspace by one of its members. What only tests name is a dependency of tests. Every package
//! keeps the lints of the house.

use crate::source::{Complaint, Source, has_word};

/// Where a workspace says which dependencies its members may take from it.
const SHARED: &str = "workspace.dependencies";
/// What is built for tests, examples and benches alone.
const FOR_TESTS: [&str; 3] = ["tests", "examples", "benches"];

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let manifests: Vec<&Source> = sources
        .iter()
        .filter(|source| source.name() == "Cargo.toml")
        .collect();
    let mut complaints = Vec::new();
    for manifest in &manifests {
        for (line, section, name) in dependencies(manifest) {
            let used = if section == SHARED {
                manifests.iter().any(|other| {
                    is_member(&manifests, manifest, other) && takes_from_workspace(other, name)
                })
            } else {
                let for_tests = section.ends_with("dev-dependencies");
                let name = name.replace('-', "_");
                sources.iter().any(|source| {
                    source.extension() == "rs"
                        && is_of(&manifests, manifest, source)
                        && (for_tests || !is_for_tests(manifest, source))
                        && source.code().any(|(_, line)| has_word(line, &name))
                })
            };
            if !used {
                complaints.push(manifest.complain(line, format!("nothing uses {name}")));
            }
        }
    }
    complaints
}

/// Every package forbids unsafe code and wants documentation, by itself or with its workspace.
pub(crate) fn lints(sources: &[Source]) -> Vec<Complaint> {
    let own = ["unsafe_code = \"forbid\"", "missing_docs = \"warn\""];
    sources
        .iter()
        .filter(|source| source.name() == "Cargo.toml")
        .filter(|manifest| {
            let mut text = manifest.text.split("\n\n");
            let shares = text.any(|part| part.trim_end() == "[lints]\nworkspace = true");
            !shares && !own.iter().all(|lint| manifest.text.contains(lint))
        })
        .map(|manifest| manifest.complain(1, "it does not keep the lints of the house"))
        .collect()
}

/// The path of a file inside the folder of a manifest.
fn inside<'a>(manifest: &Source, file: &'a Source) -> Option<&'a str> {
    match manifest.folder() {
        "" => Some(&file.path),
        folder => file.path.strip_prefix(folder)?.strip_prefix('/'),
    }
}

/// Whether the file belongs to the manifest: no other is nearer.
fn is_of(manifests: &[&Source], manifest: &Source, file: &Source) -> bool {
    let around = manifests.iter().filter(|one| inside(one, file).is_some());
    let nearest = around.max_by_key(|one| one.folder().len());
    nearest.is_some_and(|nearest| nearest.path == manifest.path)
}

/// Whether the package's workspace is this one: no other is nearer.
fn is_member(manifests: &[&Source], workspace: &Source, package: &Source) -> bool {
    let begins = |one: &&&Source| one.code().any(|(_, line)| line == "[workspace]");
    let begins_here = |one: &&&Source| begins(one) || one.path == workspace.path;
    let workspaces: Vec<&Source> = manifests.iter().filter(begins_here).copied().collect();
    is_of(&workspaces, workspace, package)
}

fn takes_from_workspace(manifest: &Source, name: &str) -> bool {
    let mut theirs = dependencies(manifest).into_iter();
    theirs.any(|(line, section, theirs)| {
        let text = manifest.text.lines().nth(line - 1).unwrap_or_default();
        section != SHARED && theirs == name && has_word(text, "workspace")
    })
}

fn is_for_tests(manifest: &Source, file: &Source) -> bool {
    let path = inside(manifest, file).unwrap_or_default();
    let folder = path.split_once('/').map_or("", |(folder, _)| folder);
    FOR_TESTS.contains(&folder)
}

/// The dependencies of a manifest, with their lines and the sections that they are in.
fn dependencies(manifest: &Source) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let mut section = "";
    for (number, line) in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if section.ends_with("dependencies")
            && line.starts_with(char::is_alphabetic)
            && line.contains('=')
        {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            found.push((number, section, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{check, lints};
    use crate::source::Source;

    #[test]
    fn a_package_that_does_not_keep_the_lints_is_found() {
        let own = "[lints.rust]\nunsafe_code = \"forbid\"\nmissing_docs = \"warn\"\n";
        let sources = [
            Source::new("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            Source::new("b/Cargo.toml", own),
            Source::new("c/Cargo.toml", "[package]\nname = \"c\"\n"),
        ];
        let found: Vec<_> = lints(&sources).into_iter().map(|one| one.file).collect();
        assert_eq!(found, ["c/Cargo.toml"]);
    }

    #[test]
    fn a_dependency_that_no_code_names_is_found() {
        let sources = [
            Source::new(
                "a/Cargo.toml",
                "[dependencies]\none.workspace = true\ntwo-three = \"1\"\nfour = \"1\"\n",
            ),
            Source::new(
                "a/src/lib.rs",
                "use one::One;\n// four::f()\ntwo_three::f(fourth);\n",
            ),
            Source::new("b/src/lib.rs", "use four::Four;\n"),
        ];
        let complaints = check(&sources);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert_eq!(complaints[0].line, 4);
    }

    #[test]
    fn a_dependency_of_the_workspace_that_no_package_names_is_found() {
        let sources = [
            Source::new(
                "Cargo.toml",
                "[workspace.dependencies]\none = \"1\"\ntwo = \"1\"\n\n[workspace.lints]\nx = 1\n",
            ),
            Source::new("a/Cargo.toml", "[dev-dependencies]\none.workspace = true\n"),
            Source::new("a/src/lib.rs", "use one::One;\n"),
        ];
        let complaints = check(&sources);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert_eq!(complaints[0].line, 3);
    }

    #[test]
    fn what_another_workspace_has_under_the_name_does_not_count() {
        let ours = "[workspace]\n[workspace.dependencies]\none = \"1\"\n";
        let member = |text: &str| {
            let sources = [
                Source::new("Cargo.toml", ours),
                Source::new("a/b/Cargo.toml", text),
                Source::new("a/b/src/lib.rs", "use one::One;\n"),
            ];
            check(&sources).len()
        };
        assert_eq!(member("[dependencies]\none = { workspace = true }\n"), 0);
        assert_eq!(member("[dependencies]\none = { path = \"../one\" }\n"), 1);
        let foreign = "[workspace]\n[dependencies]\none.workspace = true\n";
        assert_eq!(member(foreign), 1);
    }

    #[test]
    fn what_only_a_package_inside_or_a_test_names_is_found() {
        let used = |section: &str, path: &str| {
            let manifest = format!("[{section}]\none = \"1\"\n");
            let sources = [
                Source::new("a/Cargo.toml", &manifest),
                Source::new("a/inside/Cargo.toml", "[package]\n"),
                Source::new(path, "use one::One;\n"),
            ];
            check(&sources).is_empty()
        };
        assert!(used("dependencies", "a/src/lib.rs"));
        assert!(!used("dependencies", "a/inside/b.rs"));
        assert!(!used("dev-dependencies", "a/inside/b.rs"));
        assert!(!used("dependencies", "a/tests/b.rs"));
        assert!(used("dev-dependencies", "a/tests/b.rs"));
    }
}
