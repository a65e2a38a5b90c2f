//! Patterns as `KEYS` and `CONFIG GET` know them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a
//! character to be taken as it is.

/// Whether all of `text` fits the pattern.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one byte later.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let next = if t < text.len() {
            one(&pattern[p..], text[t])
        } else {
            None
        };
        match (next, retry) {
            (Some(width), _) => {
                p += width;
                t += 1;
            }
            (None, Some((after_star, from))) if from < text.len() => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
}

/// How many bytes of the pattern match this one byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        b'[' => {
            let not = pattern.get(1) == Some(&b'^');
            let mut i = 1 + usize::from(not);
            let mut found = false;
            while i < pattern.len() && pattern[i] != b']' {
                if pattern[i] == b'\\' && i + 1 < pattern.len() {
                    i += 1;
                    found |= pattern[i] == byte;
                } else if i + 2 < pattern.len() && pattern[i + 1] == b'-' {
                    let (a, b) = (
                        pattern[i].min(pattern[i + 2]),
                        pattern[i].max(pattern[i + 2]),
                    );
                    found |= (a..=b).contains(&byte);
                    i += 2;
                } else {
                    found |= pattern[i] == byte;
                }
                i += 1;
            }
            (found != not).then_some((i + 1).min(pattern.len()))
        }
        literal => (literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_fit_what_redis_says_they_fit() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[^a]x", "bx"),
            ("\\*", "*"),
            ("*b*", "abc"),
            ("a[", "a"),
        ] {
            // An unclosed class is the only one that fits nothing.
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                pattern != "a[",
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a?c", "ac"),
            ("[^a]x", "ax"),
            ("\\*", "a"),
            ("", "a"),
            ("*b", "abc"),
        ] {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }
}
