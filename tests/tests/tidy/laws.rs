//! The way from a law to the code that keeps it: where code or Lua keeps one, a comment of its own
//! says so, as `Law: ` and its name, or two names with a comma between them.
//!
//! Each law has at least one such tag in what is built for users: tests do not keep laws. The laws
//! that scripts keep on a node have one in Lua.

use tenure_core::Law;

use crate::source::{Complaint, Source};

/// Where a law is kept.
const KEEPERS: [&str; 2] = ["core/src/", "io-redis/src/"];
/// The table itself, which writes of tags.
const TABLE: &str = "core/src/law.rs";
/// What a node's script keeps, since nobody else sees what the node holds.
const IN_SCRIPTS: [Law; 3] = [Law::Ownership, Law::Fencing, Law::NoOrphan];
/// A place that keeps more laws than these is not one place.
const MOST: usize = 2;
const MARKS: [&str; 2] = [concat!("// ", "Law: "), concat!("-- ", "Law: ")];

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for source in sources {
        let kind = source.extension();
        if !["rs", "lua"].contains(&kind) {
            continue;
        }
        let keeps = keeps(source);
        for (number, line) in source.lines() {
            // What follows is for tests, to the end of the file.
            if keeps && line.starts_with("mod tests {") {
                break;
            }
            let Some(tag) = tag(line) else {
                if keeps && line.contains(concat!("Law", ":")) && !line.contains("Law::") {
                    let what = "a tag is a comment of its own: two marks, a space, `Law: `";
                    complaints.push(source.complain(number, what));
                }
                continue;
            };
            let names: Vec<&str> = tag.split(", ").collect();
            if names.len() > MOST {
                complaints.push(source.complain(number, format!("more than {MOST} laws")));
                continue;
            }
            for name in names {
                if !Law::ALL.iter().any(|law| law.name() == name) {
                    complaints.push(source.complain(number, format!("there is no law {name:?}")));
                } else if keeps {
                    kept.push((name, kind));
                }
            }
        }
    }
    for law in Law::ALL {
        let tags = kept.iter().filter(|(name, _)| *name == law.name());
        if tags.clone().count() == 0 {
            complaints.push(missing(law, &KEEPERS.join(" or ")));
        } else if IN_SCRIPTS.contains(law) && !tags.clone().any(|(_, kind)| *kind == "lua") {
            complaints.push(missing(law, "the scripts"));
        }
    }
    complaints
}

/// Whether a law may be kept in this file: it is built for users.
fn keeps(source: &Source) -> bool {
    let for_tests = source.path.contains("/tests/") || source.name() == "tests.rs";
    let inside = KEEPERS.iter().any(|folder| source.path.starts_with(folder));
    inside && !for_tests && source.path != TABLE
}

fn missing(law: &Law, place: &str) -> Complaint {
    Complaint {
        file: TABLE.to_owned(),
        line: 1,
        what: format!("nothing in {place} has the tag of {law}"),
    }
}

/// The names of laws on a line, if it is a tag.
fn tag(line: &str) -> Option<&str> {
    let line = line.trim_start();
    MARKS.iter().find_map(|mark| line.strip_prefix(mark))
}

#[cfg(test)]
mod tests {
    use super::{IN_SCRIPTS, check};
    use crate::source::Source;
    use tenure_core::Law;

    fn tags(path: &str, mark: &str, laws: &[Law]) -> Source {
        let tag = |law: &Law| format!("    {mark} Law: {law}\n");
        Source::new(path, &laws.iter().map(tag).collect::<String>())
    }

    /// How many complaints there are of this file beside two in which every law has its tag.
    fn beside(path: &str, text: &str) -> usize {
        let kept = tags("core/src/a.rs", "//", Law::ALL);
        let scripts = tags("io-redis/src/a.lua", "--", &IN_SCRIPTS);
        check(&[kept, scripts, Source::new(path, text)]).len()
    }

    /// How many complaints there are if this file alone has the tag of the first law.
    fn first(path: &str, text: &str) -> usize {
        let kept = tags("core/src/a.rs", "//", &Law::ALL[1..]);
        let scripts = tags("io-redis/src/a.lua", "--", &IN_SCRIPTS);
        check(&[kept, scripts, Source::new(path, text)]).len()
    }

    #[test]
    fn a_law_without_a_tag_where_it_is_kept_is_found() {
        let (rust, lua) = ("// Law: Exclusion\n", "-- Law: Exclusion\n");
        assert_eq!(first("core/src/b.rs", rust), 0);
        assert_eq!(first("io-redis/src/b.lua", lua), 0);
        for path in [
            "sim/src/b.rs",
            "io-redis/src/link/tests/b.rs",
            "core/src/b/tests.rs",
            "core/src/law.rs",
        ] {
            assert_eq!(first(path, rust), 1, "{path}");
        }
        let in_tests = format!("#[cfg(test)]\nmod tests {{\n    {rust}}}\n");
        assert_eq!(first("core/src/b.rs", &in_tests), 1);
    }

    #[test]
    fn a_law_that_scripts_keep_has_a_tag_in_one() {
        let kept = tags("core/src/a.rs", "//", Law::ALL);
        assert_eq!(check(std::slice::from_ref(&kept)).len(), IN_SCRIPTS.len());
        let scripts = tags("io-redis/src/a.lua", "--", &IN_SCRIPTS);
        assert_eq!(check(&[kept, scripts]).len(), 0);
    }

    #[test]
    fn a_tag_may_name_two_laws_and_no_more() {
        assert_eq!(beside("core/src/b.rs", "// Law: Progress, No orphan\n"), 0);
        let three = "// Law: Progress, No orphan, Replay\n";
        assert_eq!(beside("core/src/b.rs", three), 1);
    }

    #[test]
    fn a_tag_of_no_law_is_found() {
        for name in ["Gravity", "Progress.", "progress", "Progress and Replay"] {
            assert_eq!(
                beside("sim/src/a.rs", &format!("// Law: {name}\n")),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn a_tag_in_another_form_is_found() {
        for line in [
            "/// Law: Progress",
            "f(); // Law: Progress",
            "// Law:Progress",
        ] {
            assert_eq!(beside("core/src/b.rs", &format!("{line}\n")), 1, "{line}");
        }
        assert_eq!(beside("core/src/b.rs", "f(Law::Progress);\n"), 0);
    }
}
