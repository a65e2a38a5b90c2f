//! The way from a law to the code that keeps it: where code or Lua keeps one, a comment says so, as
//! `Law: ` and its name, or several names with commas between them.

use tenure_core::Law;

use crate::source::{Complaint, Source};

/// Where a law is kept.
const KEEPERS: [&str; 2] = ["core/src/", "io-redis/src/"];
const MARKS: [&str; 2] = [concat!("// ", "Law: "), concat!("-- ", "Law: ")];

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut kept: Vec<&str> = Vec::new();
    for source in sources {
        if !["rs", "lua"].contains(&source.extension()) {
            continue;
        }
        for (number, name) in source
            .lines()
            .flat_map(|(at, line)| named(line).map(move |n| (at, n)))
        {
            if !Law::ALL.iter().any(|law| law.name() == name) {
                complaints.push(source.complain(number, format!("there is no law {name:?}")));
            } else if KEEPERS.iter().any(|folder| source.path.starts_with(folder)) {
                kept.push(name);
            }
        }
    }
    for law in Law::ALL.iter().filter(|law| !kept.contains(&law.name())) {
        complaints.push(Complaint {
            file: "core/src/law.rs".to_owned(),
            line: 1,
            what: format!("nothing in {} has the tag of {law}", KEEPERS.join(" or ")),
        });
    }
    complaints
}

/// The laws that a line names, if it is a tag.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim_start();
    let tag = MARKS.iter().find_map(|mark| line.strip_prefix(mark));
    let tag = tag.map(|names| names.trim_end_matches('.'));
    tag.into_iter().flat_map(|names| names.split(", "))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;
    use tenure_core::Law;

    fn tags(path: &str, mark: &str, laws: &[Law]) -> Source {
        let tag = |law: &Law| format!("    {mark} Law: {law}\n");
        Source::new(path, &laws.iter().map(tag).collect::<String>())
    }

    #[test]
    fn a_law_without_a_tag_is_found() {
        let (one, others) = Law::ALL.split_first().unwrap();
        let kept = tags("core/src/a.rs", "//", others);
        assert_eq!(check(std::slice::from_ref(&kept)).len(), 1);
        let elsewhere = tags("sim/src/a.rs", "//", &[*one]);
        assert_eq!(check(&[kept.clone(), elsewhere]).len(), 1);
        let in_lua = tags("io-redis/src/a.lua", "--", &[*one]);
        assert!(check(&[kept, in_lua]).is_empty());
    }

    #[test]
    fn a_tag_may_name_several_laws() {
        let names: Vec<&str> = Law::ALL.iter().map(|law| law.name()).collect();
        let text = format!("// Law: {}\n", names.join(", "));
        assert!(check(&[Source::new("core/src/a.rs", &text)]).is_empty());
    }

    #[test]
    fn a_tag_of_no_law_is_found() {
        let kept = tags("core/src/a.rs", "//", Law::ALL);
        let wrong = Source::new("sim/src/a.rs", "// Law: Gravity\n");
        assert_eq!(check(&[kept, wrong]).len(), 1);
    }
}
