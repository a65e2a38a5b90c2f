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

/// So many characters of a password in a row are not shown. Of a shorter one nothing is hidden.
const PART: usize = 4;

/// A text in which neither the password occurs, nor a beginning or an end of it as is left where
/// whoever sent the text has cut it. White space does not count, since that may have been changed.
pub(crate) fn hide(text: &str, password: Option<&str>) -> String {
    let is_seen = |c: &char| !c.is_whitespace() && !c.is_control();
    let password = password.unwrap_or_default();
    let secret: Vec<char> = password.chars().filter(is_seen).collect();
    if secret.len() < PART {
        return text.to_owned();
    }
    let more_than_is_shown = 8 * LONGEST;
    let seen: Vec<(usize, char)> = text
        .char_indices()
        .take(more_than_is_shown)
        .filter(|(_, c)| is_seen(c))
        .collect();
    let mut hidden = vec![false; seen.len()];
    for at in 0..seen.len() {
        let pairs = seen[at..].iter().zip(&secret);
        let begins = pairs.take_while(|((_, a), b)| a == *b).count();
        let pairs = seen[..=at].iter().rev().zip(secret.iter().rev());
        let ends = pairs.take_while(|((_, a), b)| a == *b).count();
        if begins >= PART {
            hidden[at..at + begins].fill(true);
        }
        if ends >= PART {
            hidden[at + 1 - ends..=at].fill(true);
        }
    }
    let mut shown = String::new();
    let mut from = 0;
    for (at, (start, c)) in seen.iter().enumerate() {
        if !hidden[at] {
            continue;
        }
        // What stands between two hidden ones is white space.
        if at == 0 || !hidden[at - 1] {
            shown.push_str(&text[from..*start]);
            shown.push('…');
        }
        from = start + c.len_utf8();
    }
    let end = text.char_indices().nth(more_than_is_shown);
    shown.push_str(&text[from..end.map_or(text.len(), |(end, _)| end)]);
    shown
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
        for (text, shown) in [
            ("ERR no such user: correct hor", "ERR no such user: …"),
            ("ERR …ttery staple is wrong", "ERR …… is wrong"),
            ("ERR 'correct horse\nbattery  staple'", "ERR '…'"),
            ("ERR correcthorsebatterystaplecorrect", "ERR …"),
            ("ERR cor", "ERR cor"),
            ("", ""),
        ] {
            assert_eq!(hide(text, Some("correct horse battery staple")), shown);
        }
    }

    proptest! {
        #[test]
        fn no_part_of_a_password_is_shown_whichever_way_it_is_cut(
            // No character comes twice, so that a part is found where it is and nowhere else.
            password in Just(('a'..='z').collect::<Vec<_>>()).prop_shuffle(),
            space in "[ \t\r\n]{0,2}",
            gap in 0..26_usize,
            cut in 0..=26 - PART,
            end in any::<bool>(),
            before in "[^a-z]{0,40}",
            after in "[^a-z]{0,40}",
        ) {
            let changed = |space: &str| -> String {
                let (a, b) = password.split_at(gap);
                a.iter().copied().chain(space.chars()).chain(b.iter().copied()).collect()
            };
            let (secret, sent) = (changed("\n"), changed(&space));
            let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).count();
            let part: String = if end {
                let mut left = cut;
                sent.chars().skip_while(|c| {
                    let skip = left > 0;
                    left -= usize::from(skip && c.is_ascii_lowercase());
                    skip
                }).collect()
            } else {
                let mut left = 26 - cut;
                sent.chars().take_while(|c| {
                    let take = left > 0;
                    left -= usize::from(take && c.is_ascii_lowercase());
                    take
                }).collect()
            };
            prop_assert_eq!(letters(&part), 26 - cut);
            let shown = hide(&format!("{before}{part}{after}"), Some(&secret));
            prop_assert_eq!(letters(&shown), 0, "{}", shown);
            prop_assert!(shown.starts_with(before.trim_end()), "{}", shown);
        }

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
