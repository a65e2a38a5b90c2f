//! Every dependency that a manifest names is named by the code of its package, and every one of the
//! workspace by a package.

use crate::source::{Complaint, Source};

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let manifests = || {
        sources
            .iter()
            .filter(|source| source.name() == "Cargo.toml")
    };
    let mut complaints = Vec::new();
    for manifest in manifests() {
        for (line, section, name) in dependencies(manifest) {
            let used = if section == "workspace.dependencies" {
                manifests().any(|other| {
                    let mut theirs = dependencies(other).into_iter();
                    theirs.any(|(_, section, theirs)| {
                        section != "workspace.dependencies" && theirs == name
                    })
                })
            } else {
                let folder = match manifest.folder() {
                    "" => String::new(),
                    folder => format!("{folder}/"),
                };
                let name = name.replace('-', "_");
                sources.iter().any(|source| {
                    source.extension() == "rs"
                        && source.path.starts_with(&folder)
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

fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(in_word) && !line[at + word.len()..].starts_with(in_word)
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;

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
}
