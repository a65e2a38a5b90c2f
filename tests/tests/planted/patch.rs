//! A planted bug: its header, and how its difference is applied to the sources.
//!
//! A difference is found by its code alone. Comments, blank lines, indentation and the numbers of
//! lines do not count, so a patch outlives all changes but those of the lines that it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tenure_core::Law;
use tenure_tests::tree;

/// What the lines of a header may be.
const FIELDS: [&str; 6] = ["law", "class", "attack", "test", "worlds", "judged"];

/// A patch, as it is written in its file.
pub(crate) struct Planted {
    /// The name of its file, without the extension.
    pub(crate) name: String,
    /// The law that it breaks; none if it breaks another promise, which stands behind `none: `.
    pub(crate) law: Option<Law>,
    /// What is broken, in words.
    pub(crate) broken: String,
    /// The kind of fault, as `docs/testing/faults.md` lists them.
    pub(crate) class: String,
    /// How the law is broken.
    pub(crate) attack: String,
    /// What `cargo test` is given to run the test that must fail.
    pub(crate) test: Vec<String>,
    /// In how many random worlds the judge must see a law broken.
    pub(crate) worlds: Option<u32>,
    /// The laws of which the judge finds one broken first.
    pub(crate) judged: Vec<Law>,
    hunks: Vec<Hunk>,
}

/// One place that a patch changes.
struct Hunk {
    file: String,
    lines: Vec<(Mark, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Kept,
    Removed,
    Added,
}

impl Planted {
    /// Reads a patch. `Err` says what is wrong with its header.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let header = header(text).map_err(|why| format!("{name}: {why}"))?;
        let given = |field: &str| header.get(field).map(|value| (*value).to_owned());
        let field =
            |field: &str| given(field).ok_or_else(|| format!("{name}: no line \"# {field}: …\""));
        let worlds = given("worlds").map(|worlds| worlds.parse());
        let broken = field("law")?;
        let law = match broken.strip_prefix("none: ") {
            Some(_) => None,
            None => Some(law(&broken)?),
        };
        let judged = match given("judged") {
            Some(laws) => laws.split(", ").map(self::law).collect::<Result<_, _>>()?,
            None => Vec::from_iter(law),
        };
        Ok(Self {
            name: name.to_owned(),
            judged,
            broken,
            law,
            class: field("class")?,
            attack: field("attack")?,
            test: field("test")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            worlds: worlds
                .transpose()
                .map_err(|error| format!("{name}: # worlds: {error}"))?,
            hunks: hunks(text),
        })
    }

    /// The test's own name, with the modules that it is in.
    pub(crate) fn test_name(&self) -> &str {
        self.test.last().map_or("", String::as_str)
    }

    /// Its own file, from the root.
    pub(crate) fn path(&self) -> String {
        format!("tests/planted/{}.patch", self.name)
    }

    /// The numbers of the attacks of `docs/testing/faults.md` with which `attack` begins.
    pub(crate) fn attacks(&self) -> Vec<u32> {
        let numbers = self
            .attack
            .split_once(": ")
            .map_or("", |(numbers, _)| numbers);
        let numbers = numbers.split(" and ").map(str::parse);
        numbers.collect::<Result<_, _>>().unwrap_or_default()
    }

    /// The file in which the test that it names stands: in that package, that test program or
    /// library, and that module. `Err` says that there is none.
    pub(crate) fn test_file(&self) -> Result<PathBuf, String> {
        let words: Vec<&str> = self.test.iter().map(String::as_str).collect();
        let missing = || format!("{}: there is no test {}", self.name, words.join(" "));
        let (package, inside) = match words[..] {
            ["-p", package, "--lib", _] | ["-p", package, "--features", _, "--lib", _] => {
                (package, "src".to_owned())
            }
            ["-p", package, "--test", program, _] => (package, format!("tests/{program}")),
            _ => return Err(missing()),
        };
        let (modules, test) = match self.test_name().rsplit_once("::") {
            Some((modules, test)) => (modules.split("::").collect(), test),
            None => (Vec::new(), self.test_name()),
        };
        let target = folder_of(package).ok_or_else(missing)?.join(inside);
        let files = tree::files(tree::root());
        let mut here = files.into_iter().filter(|file| {
            // What is left of the modules when those of the file are gone is inside of it.
            let inner = modules_of(file, &target);
            let inner = inner.and_then(|outer| modules.strip_prefix(&outer[..]));
            inner.is_some_and(|inner| {
                let text = fs::read_to_string(tree::root().join(file)).unwrap_or_default();
                let has = |word: String| text.contains(&word);
                has(format!("fn {test}(")) && inner.iter().all(|name| has(format!("mod {name} {{")))
            })
        });
        here.next().ok_or_else(missing)
    }

    /// The files that it changes.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.hunks.iter().map(|hunk| hunk.file.as_str())
    }

    /// The files that it changes below `tree`, with what they are then. `Err` says which place is
    /// not found.
    pub(crate) fn changed(&self, tree: &Path) -> Result<BTreeMap<&str, String>, String> {
        let mut changed = BTreeMap::new();
        for hunk in &self.hunks {
            let file = hunk.file.as_str();
            let now = match changed.remove(file) {
                Some(text) => text,
                None => fs::read_to_string(tree.join(file))
                    .map_err(|error| format!("{}: {file}: {error}", self.name))?,
            };
            let then = hunk.apply(&now);
            changed.insert(file, then.map_err(|why| format!("{}: {why}", self.name))?);
        }
        if changed.is_empty() {
            return Err(format!("{}: it changes nothing", self.name));
        }
        Ok(changed)
    }
}

/// The fields at the beginning of a patch, up to an empty comment. `Err` says what is none.
fn header(text: &str) -> Result<BTreeMap<&str, &str>, String> {
    let mut fields = BTreeMap::new();
    for line in text.lines().take_while(|line| *line != "#") {
        let field = line
            .strip_prefix("# ")
            .and_then(|line| line.split_once(": "));
        let known = field.filter(|(field, _)| FIELDS.contains(field));
        let (field, value) = known.ok_or_else(|| format!("{line:?} is no line of a header"))?;
        if fields.insert(field, value).is_some() {
            return Err(format!("# {field}: stands there twice"));
        }
    }
    Ok(fields)
}

/// The folder of a package, from the root.
fn folder_of(package: &str) -> Option<PathBuf> {
    let name = format!("name = \"{package}\"");
    let mut files = tree::files(tree::root()).into_iter();
    let manifest = files.find(|file| {
        file.ends_with("Cargo.toml")
            && fs::read_to_string(tree::root().join(file))
                .is_ok_and(|text| text.lines().any(|line| line == name))
    })?;
    manifest.parent().map(Path::to_owned)
}

/// The modules that a file is in, if it is one of this program's or library's: `target` is its
/// folder, or its only file without the extension.
fn modules_of<'a>(file: &'a Path, target: &Path) -> Option<Vec<&'a str>> {
    if file.extension()? != "rs" {
        return None;
    }
    if file.with_extension("") == *target {
        return Some(Vec::new());
    }
    let inside = file.strip_prefix(target).ok()?;
    let mut modules: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
    let last = modules.pop()?.trim_end_matches(".rs");
    if !["lib", "main", "mod"].contains(&last) {
        modules.push(last);
    }
    Some(modules)
}

fn law(name: &str) -> Result<Law, String> {
    let mut laws = Law::ALL.iter().copied();
    laws.find(|law| law.name() == name)
        .ok_or_else(|| format!("there is no law {name:?}"))
}

fn hunks(text: &str) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut file = "";
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            file = path;
        } else if line.starts_with("@@ ") {
            hunks.push(Hunk {
                file: file.to_owned(),
                lines: Vec::new(),
            });
        } else if line.starts_with("--- a/") {
        } else if let Some(hunk) = hunks.last_mut() {
            let mark = match line.chars().next() {
                Some('-') => Mark::Removed,
                Some('+') => Mark::Added,
                _ => Mark::Kept,
            };
            let rest = line.get(1..).unwrap_or_default();
            hunk.lines.push((mark, rest.to_owned()));
        }
    }
    hunks
}

/// What counts of a line when a place is looked for; none if it is blank or a comment.
fn code(line: &str) -> Option<&str> {
    let line = line.trim();
    let comment = line.starts_with("//") || line.starts_with("--");
    (!line.is_empty() && !comment).then_some(line)
}

impl Hunk {
    /// The text with the one place changed that has this code.
    fn apply(&self, text: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.lines().collect();
        let coded: Vec<usize> = (0..lines.len())
            .filter(|line| code(lines[*line]).is_some())
            .collect();
        let old = self.lines.iter().filter(|(mark, _)| *mark != Mark::Added);
        let old: Vec<&str> = old.filter_map(|(_, line)| code(line)).collect();
        let is_here = |place: &&[usize]| {
            let here = place.iter().filter_map(|line| code(lines[*line]));
            here.eq(old.iter().copied())
        };
        let first = old.first().copied().unwrap_or_default();
        let places: Vec<&[usize]> = coded.windows(old.len().max(1)).filter(is_here).collect();
        match places[..] {
            [place] => Ok(self.put(&lines, place)),
            [] => Err(format!(
                "{}: no place has {first:?} and what follows",
                self.file
            )),
            _ => Err(format!(
                "{}: {} places have {first:?} and what follows: give it more context",
                self.file,
                places.len()
            )),
        }
    }

    /// The lines with this place changed: `place` are those which have the code of the hunk.
    fn put(&self, lines: &[&str], place: &[usize]) -> String {
        let mut new: Vec<&str> = lines[..place[0]].to_vec();
        let mut next = place[0];
        let mut place = place.iter().copied();
        for (mark, line) in &self.lines {
            if *mark == Mark::Added {
                new.push(line);
            } else if code(line).is_some() {
                let at = place.next().expect("as many lines as the hunk has");
                // Comments that stand between stay.
                new.extend(&lines[next..at]);
                if *mark == Mark::Kept {
                    new.push(lines[at]);
                }
                next = at + 1;
            }
        }
        new.extend(&lines[next..]);
        let mut text = new.join("\n");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Planted, hunks};

    const PATCH: &str = "\
--- a/f.rs
+++ b/f.rs
@@ -1,3 +1,3 @@
 fn f() {
-    one();
+    two();
 }
";

    fn applied(patch: &str, text: &str) -> Result<String, String> {
        hunks(patch)[0].apply(text)
    }

    #[test]
    fn a_place_is_found_whatever_its_comments_and_its_indent_are() {
        let text = "// Law: Progress\nfn f() {\n        // Why.\n\n  one();\n}\nfn g() {}\n";
        let then = "// Law: Progress\nfn f() {\n        // Why.\n\n    two();\n}\nfn g() {}\n";
        assert_eq!(applied(PATCH, text).as_deref(), Ok(then));
    }

    #[test]
    fn a_place_that_is_gone_is_an_error() {
        let why = applied(PATCH, "fn f() {\n    three();\n}\n").unwrap_err();
        assert!(why.contains("no place has \"fn f() {\""), "{why}");
    }

    #[test]
    fn a_place_that_is_there_twice_is_an_error() {
        let text = "fn f() {\n    one();\n}\n".repeat(2);
        let why = applied(PATCH, &text).unwrap_err();
        assert!(why.contains("2 places have"), "{why}");
    }

    #[test]
    fn a_header_that_lacks_a_line_is_an_error() {
        let why = Planted::parse("p", "# law: Progress\n# class: H1\n").err();
        assert_eq!(why.as_deref(), Some("p: no line \"# attack: …\""));
    }

    #[test]
    fn a_header_with_a_line_that_nobody_reads_is_an_error() {
        let why = Planted::parse("p", "# law: Progress\n# word: 20\n").err();
        let expected = "p: \"# word: 20\" is no line of a header";
        assert_eq!(why.as_deref(), Some(expected));
        let why = Planted::parse("p", "# law: Progress\n# law: Replay\n").err();
        assert_eq!(why.as_deref(), Some("p: # law: stands there twice"));
    }

    #[test]
    fn a_test_is_looked_for_where_the_patch_says() {
        let file = |test: &str| {
            let text = format!("# law: Progress\n# class: H1\n# attack: a\n# test: {test}\n#\n");
            let file = Planted::parse("p", &text).unwrap().test_file();
            file.ok().map(|file| file.to_string_lossy().into_owned())
        };
        let here = "a_test_is_looked_for_where_the_patch_says";
        let there = "-p tenure-tests --test planted patch::tests::";
        let found = file(&format!("{there}{here}"));
        assert_eq!(found.as_deref(), Some("tests/tests/planted/patch.rs"));
        for wrong in [
            format!("-p tenure-core --test planted patch::tests::{here}"),
            format!("-p tenure-tests --test tidy patch::tests::{here}"),
            format!("-p tenure-tests --test planted choice::tests::{here}"),
            format!("-p tenure-tests --test planted {here}"),
            format!("-p tenure-tests --lib patch::tests::{here}"),
            format!("{there}{here}_not"),
        ] {
            assert_eq!(file(&wrong), None, "{wrong}");
        }
    }
}
