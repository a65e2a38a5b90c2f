//! What may be shown of a text that a server sent, or that redis-rs made of one: no token, no
//! password, one line, and not too much.

use tenure_core::Words;

/// Of a node of which nothing was said, and only time has passed.
pub(crate) const NOT_IN_TIME: &str = "it did not answer in time";

/// The longest text that is shown, in characters.
const LONGEST: usize = 400;
/// So many hexadecimal digits in a row are not shown. A token has 32, and whoever sent the text may
/// have cut it.
const DIGITS: usize = 16;

/// A text without secrets, on one line.
///
/// An error about an unknown command quotes its arguments, and a token could be among them. So the
/// quotation and all long hexadecimal numbers are left out, before the text is cut.
pub(crate) fn printable(text: &str) -> Words {
    let text = text
        .split(", with args beginning with")
        .next()
        .unwrap_or("");
    let mut shown = String::new();
    let mut rest = text;
    while !rest.is_empty() && shown.len() < 4 * LONGEST {
        let is_digit = |c: char| c.is_ascii_hexdigit();
        let digits = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        match digits {
            0 => {
                let end = rest.find(is_digit).unwrap_or(rest.len());
                push_in_line(&mut shown, &rest[..end]);
                rest = &rest[end..];
            }
            _ => {
                let run = &rest[..digits];
                shown.push_str(if digits < DIGITS { run } else { "…" });
                rest = &rest[digits..];
            }
        }
    }
    let end = shown.char_indices().nth(LONGEST).map(|(end, _)| end);
    Words::new(shown[..end.unwrap_or(shown.len())].trim_end())
}

/// Adds a text in which what would break the line is a space.
fn push_in_line(shown: &mut String, text: &str) {
    for c in text.chars().take(LONGEST + 1) {
        match c.is_whitespace() || c.is_control() {
            true if shown.ends_with(' ') || shown.is_empty() => {}
            true => shown.push(' '),
            false => shown.push(c),
        }
    }
}

/// A text in which the password does not occur, unless it is too short to be one.
pub(crate) fn hide(text: &str, password: Option<&str>) -> String {
    match password {
        Some(password) if password.len() >= 4 => text.replace(password, "…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_shown_on_one_line() {
        let text = "Parse error at 1\nUnexpected `x`\r\nExpected `+`\t or `-`\0\n";
        let line = "Parse error at 1 Unexpected `x` Expected `+` or `-`";
        assert_eq!(printable(text).as_str(), line);
        assert_eq!(printable("\n").as_str(), "");
    }

    #[test]
    fn what_is_short_or_no_number_is_shown_as_it_is() {
        for text in [
            "MOVED 3999 127.0.0.1:6381",
            "ERR decade of facades at [fe80::dead:beef]:6379",
            "ERR größer als 123456789012345",
        ] {
            assert_eq!(printable(text).as_str(), text);
        }
        let sha = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(printable(&format!("f_{sha}:3")).as_str(), "f_…:3");
    }

    #[test]
    fn a_token_where_a_text_is_cut_is_shown_no_more_than_elsewhere() {
        let secret = "0123456789abcdef".repeat(2);
        for before in LONGEST - 40..LONGEST + 2 {
            let text = format!("{}:{secret}:1", "x".repeat(before));
            let shown = printable(&text);
            assert!(!shown.as_str().contains("0123"), "{before}: {shown}");
        }
    }

    #[test]
    fn a_password_that_a_server_repeats_is_not_shown() {
        let text = hide("ERR invalid password hunter2", Some("hunter2"));
        assert_eq!(text, "ERR invalid password …");
        assert_eq!(hide("ERR a", Some("a")), "ERR a");
        assert_eq!(hide("ERR a", None), "ERR a");
    }

    proptest! {
        /// Of 32 digits, whoever cut the text, and wherever.
        #[test]
        fn no_token_is_shown_whichever_way_its_text_is_cut(
            secret in prop::array::uniform16(any::<u8>()),
            upper in any::<bool>(),
            before in "\\PC{0,60}",
            padding in 0..2 * LONGEST,
            after in "\\PC{0,60}",
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
        ) {
            let mut hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            if upper {
                hex.make_ascii_uppercase();
            }
            let text = format!("{before}{}{hex}:7{after}", "x".repeat(padding));
            let chars: Vec<char> = text.chars().collect();
            let (a, b) = (from.index(chars.len() + 1), to.index(chars.len() + 1));
            for text in [text.clone(), chars[a.min(b)..a.max(b)].iter().collect()] {
                let shown = printable(&text);
                let shown = shown.as_str();
                for part in 0..=hex.len() - DIGITS {
                    prop_assert!(!shown.contains(&hex[part..part + DIGITS]), "{shown}");
                }
                prop_assert!(shown.chars().count() <= LONGEST);
                prop_assert!(!shown.contains(char::is_control), "{shown:?}");
            }
        }
    }
}
