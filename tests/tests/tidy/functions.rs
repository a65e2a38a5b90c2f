//! No function is longer than 70 lines, from its first line to its last, unless a comment right
//! above it says why: `// tidy: long: ` and the reason.
//!
//! The formatters put the end of a body under its beginning. Where no end is found there, that is a
//! complaint too: a function that cannot be measured could be of any length.

use crate::source::{Complaint, Source, has_word, is_comment};

const LONGEST: usize = 70;
const REASON: &str = "tidy: long: ";

pub(crate) fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        let kind = source.extension();
        if !["rs", "js", "lua"].contains(&kind) {
            continue;
        }
        let lines: Vec<&str> = source.text.lines().collect();
        let code: Vec<String> = lines.iter().map(|line| code(line, kind)).collect();
        for (begin, line) in code.iter().enumerate() {
            if !begins(line, kind) {
                continue;
            }
            let first = lines[begin].trim();
            let reason = reason(&lines[..begin]).is_some();
            let wrong = match length(&code[begin..], kind) {
                None => Some("the end is not found of".to_owned()),
                Some(length) if length > LONGEST && !reason => {
                    Some(format!("{length} lines are in"))
                }
                Some(length) if length <= LONGEST && reason => {
                    Some("no reason is needed for the length of".to_owned())
                }
                Some(_) => None,
            };
            complaints.extend(wrong.map(|it| source.complain(begin + 1, format!("{it} {first}"))));
        }
    }
    complaints
}

/// The line without comments, and with nothing in its texts.
fn code(line: &str, kind: &str) -> String {
    let mut code = String::new();
    if is_comment(line) {
        return code;
    }
    let mark = if kind == "lua" { "--" } else { "//" };
    let quotes = if kind == "rs" { "\"" } else { "\"'`" };
    let line = ["'{'", "'}'", "'\"'", "'('", "')'", "';'"]
        .iter()
        .fold(line.to_owned(), |line, letter| line.replace(letter, "' '"));
    let mut rest = line.as_str();
    let mut text = None;
    while let Some(letter) = rest.chars().next() {
        if text.is_none() && rest.starts_with(mark) {
            break;
        }
        if text.is_none() && rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, after)| after);
            continue;
        }
        let mut skipped = letter.len_utf8();
        match text {
            None if quotes.contains(letter) => text = Some(letter),
            None => code.push(letter),
            Some(_) if letter == '\\' => {
                skipped += rest.chars().nth(1).map_or(0, char::len_utf8);
            }
            Some(quote) if quote == letter => text = None,
            Some(_) => {}
        }
        rest = &rest[skipped..];
    }
    code.truncate(code.trim_end().len());
    code
}

/// Whether a function begins on this line.
fn begins(line: &str, kind: &str) -> bool {
    match kind {
        "rs" => line.match_indices("fn ").any(|(at, _)| {
            let name = line[at + 3..].starts_with(|c: char| c.is_alphabetic() || "_$".contains(c));
            name && !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        }),
        "lua" => has_word(line, "function"),
        _ => has_word(line, "function") || line.ends_with("=> {") || is_method(line),
    }
}

/// Whether a line of JavaScript begins a method: a name, what it takes, and a brace.
fn is_method(line: &str) -> bool {
    let words = ["if", "for", "while", "switch", "catch", "with", "else"];
    let (before, after) = line.trim_start().split_once('(').unwrap_or_default();
    let mut names = before.split_whitespace();
    let name = |c: char| c.is_alphanumeric() || "_$#*.".contains(c);
    after.ends_with(") {")
        && !before.is_empty()
        && names.all(|word| !words.contains(&word) && word.chars().all(name))
}

/// How long the function is that begins on the first of these lines, if its end is found.
fn length(lines: &[String], kind: &str) -> Option<usize> {
    let mut last = 0;
    if kind == "lua" {
        // A body of one line.
        if has_word(&lines[0], "end") {
            return Some(1);
        }
    } else {
        let (line, body) = signature(lines)?;
        if !body {
            return Some(line + 1);
        }
        last = line;
    }
    let end = if kind == "lua" { "end" } else { "}" };
    let indent = |line: &str| line.len() - line.trim_start().len();
    let closes = |line: &&String| {
        let rest = line.trim_start().strip_prefix(end);
        let whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        indent(line) == indent(&lines[0]) && rest.is_some_and(whole)
    };
    let rest = lines[last + 1..].iter();
    Some(rest.clone().position(|line| closes(&line))? + last + 2)
}

/// The line on which a signature ends, and whether a body of several lines follows it: it ends with
/// a brace that nothing closes on the line, or with a semicolon, outside of brackets.
fn signature(lines: &[String]) -> Option<(usize, bool)> {
    let mut depth = 0_i32;
    for (number, line) in lines.iter().enumerate() {
        let begin = if number == 0 { beginning(line) } else { 0 };
        for (at, letter) in line[begin..].char_indices() {
            match letter {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ';' if depth <= 0 => return Some((number, false)),
                '{' if depth <= 0 => {
                    let rest = &line[begin + at..];
                    let (opened, closed) = (rest.matches('{').count(), rest.matches('}').count());
                    return Some((number, opened > closed));
                }
                _ => {}
            }
        }
    }
    None
}

/// Where on its first line a function begins, behind what it is an argument or a part of.
fn beginning(line: &str) -> usize {
    let arrow = line.ends_with("=> {").then(|| line.len() - 1);
    let keyword = ["fn ", "function"].iter().find_map(|word| line.find(word));
    arrow.or(keyword).unwrap_or(0)
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
            ("a.rs", "fn f() {", "}"),
            ("a.rs", "pub(crate) async fn f<T>() {", "}"),
            ("a.rs", "pub unsafe extern \"C\" fn f() {", "}"),
            ("a.rs", "fn f(x: [u8; 4]) { // why; not", "}"),
            ("a.rs", "fn f() { /* why */", "}"),
            ("a.rs", "fn f(", ") {}"),
            ("a.js", "function f() {", "}"),
            ("a.js", "export default function f() {", "}"),
            ("a.js", "export async function* f() {", "}"),
            ("a.js", "const f = (a, b) => {", "};"),
            ("a.js", "on(\"x\", (a) => {", "});"),
            ("a.js", "(function () {", "})();"),
            ("a.js", "  async f(a) {", "  }"),
            ("a.js", "  get f() {", "  }"),
            ("a.lua", "local function f(x)", "end"),
            ("a.lua", "function m.f(x) -- to the end", "end"),
            ("a.lua", "local f = function(x)", "end"),
            ("a.lua", "pcall(function()", "end)"),
        ] {
            assert_eq!(complaints(path, &function(head, 70, end)), 0, "{head}");
            assert_eq!(complaints(path, &function(head, 71, end)), 1, "{head}");
        }
    }

    #[test]
    fn what_is_no_function_is_not_measured() {
        let body = "    x\n".repeat(90);
        for (path, line) in [
            ("a.rs", "// fn f() {"),
            ("a.rs", "let f: fn(u8) = g;"),
            ("a.rs", "let text = \"fn f() {\";"),
            ("a.js", "if (a) {"),
            ("a.js", "for (const a of b) {"),
            ("a.js", "} else if (a) {"),
            ("a.lua", "-- a function"),
        ] {
            assert_eq!(complaints(path, &format!("{line}\n{body}")), 0, "{line}");
        }
    }

    #[test]
    fn a_function_whose_end_is_not_found_is_found() {
        for (path, text) in [
            ("a.rs", "fn f() {\n    one\n  }\n"),
            ("a.rs", "fn f(\n"),
            ("a.js", "function f() {\n    one\n"),
            ("a.lua", "local function f()\n  one\n  end\n"),
        ] {
            assert_eq!(complaints(path, text), 1, "{text}");
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
    fn a_body_of_one_line_or_none_is_not_what_follows_it() {
        let rest = "    x\n".repeat(90);
        for (path, text) in [
            ("a.rs", "    fn f(\n        a: [u8; 4],\n    );\n"),
            ("a.rs", "fn f() -> char { '{' }\n"),
            ("a.rs", "fn f() -> &str { \"{\" }\n"),
            ("a.js", "function f() { return 1; }\n"),
            ("a.lua", "f = function() return 1 end\n"),
        ] {
            assert_eq!(complaints(path, &format!("{text}{rest}")), 0, "{text}");
        }
    }
}
