//! No function is longer than 70 lines, from its first line to its last brace, unless a comment
//! right above it says why: `// tidy: long: ` and the reason.

use crate::source::{Complaint, Source, is_comment};

const LONGEST: usize = 70;
const REASON: &str = "tidy: long: ";

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        let end = match source.extension() {
            "rs" | "js" => "}",
            "lua" => "end",
            _ => continue,
        };
        let lines: Vec<&str> = source.text.lines().collect();
        for (begin, first) in lines.iter().enumerate() {
            let Some(name) = name(first) else { continue };
            let length = length(&lines[begin..], end);
            match (length > LONGEST, reason(&lines[..begin])) {
                (true, None) => {
                    let what = format!("{name} is {length} lines long");
                    complaints.push(source.complain(begin + 1, what));
                }
                (false, Some(_)) => {
                    let what = format!("{name} needs no reason for its length");
                    complaints.push(source.complain(begin + 1, what));
                }
                _ => {}
            }
        }
    }
    complaints
}

/// The name of the function that begins on this line.
fn name(line: &str) -> Option<&str> {
    if is_comment(line) {
        return None;
    }
    let mut words = line.split_whitespace();
    let before = |word: &&str| {
        let modifier = ["const", "async", "extern", "export", "local", "unsafe"];
        word.starts_with("pub") || word.ends_with(')') || modifier.contains(word)
    };
    let keyword = words.find(|word| !before(word))?;
    let rest = match keyword {
        "fn" | "function" => words.next()?,
        _ => return None,
    };
    rest.split(['(', '<']).next()
}

/// How long the function is that begins on the first of these lines. The formatters put the end of
/// a body under its beginning.
fn length(lines: &[&str], end: &str) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    if end == "}" {
        // A signature without a body ends in a semicolon, and a body of one line in a brace.
        let signed = lines
            .iter()
            .position(|line| line.ends_with(['{', ';', '}']));
        match signed {
            Some(line) if lines[line].ends_with('{') => {}
            Some(line) => return line + 1,
            None => return 1,
        }
    }
    let closes = |line: &&str| indent(line) == indent(lines[0]) && line.trim() == end;
    lines
        .iter()
        .position(|line| closes(line))
        .map_or(1, |last| last + 1)
}

/// The reason that the comments and attributes right above a function give for its length.
fn reason<'a>(above: &[&'a str]) -> Option<&'a str> {
    let beside = |line: &&&str| is_comment(line) || line.trim_start().starts_with("#[");
    let mut beside = above.iter().rev().take_while(beside);
    beside.find_map(|line| Some(line.split_once(REASON)?.1))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;

    fn complaints(path: &str, text: &str) -> usize {
        check(&[Source::new(path, text)]).len()
    }

    fn function(head: &str, lines: usize, end: &str) -> String {
        format!("{head}\n{}{end}\n", "    one\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_more_lines_is_found_in_each_language() {
        for (path, head, end) in [
            ("a.rs", "pub(crate) async fn f<T>(", "}"),
            ("a.js", "function f() {", "}"),
            ("a.lua", "local function f(x)", "end"),
        ] {
            let head = head.replace('(', "() {").replace("() {) {", "() {");
            assert_eq!(complaints(path, &function(&head, 70, end)), 0, "{path}");
            assert_eq!(complaints(path, &function(&head, 71, end)), 1, "{path}");
        }
    }

    #[test]
    fn a_reason_above_allows_it_and_only_a_long_one_has_one() {
        let reason = "// tidy: long: a table\n#[inline]\n";
        let long = function("fn f() {", 90, "}");
        assert_eq!(complaints("a.rs", &format!("{reason}{long}")), 0);
        let short = function("fn f() {", 9, "}");
        assert_eq!(complaints("a.rs", &format!("{reason}{short}")), 1);
    }

    #[test]
    fn a_declaration_without_a_body_is_not_what_follows_it() {
        let trait_ = format!(
            "    fn f(\n        a: u8,\n    );\n{}",
            "    x\n".repeat(90)
        );
        assert_eq!(complaints("a.rs", &trait_), 0);
    }
}
