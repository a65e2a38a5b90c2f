//! JSON that may stand inside of a page: only what the picture needs, and nothing that could end the
//! element which carries it.

use std::fmt::{Display, Write};

/// JSON that is being written.
#[derive(Debug, Default)]
pub(super) struct Json {
    text: String,
    /// Whether something stands before the next value in its list or object.
    follows: bool,
}

impl Json {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.follows, true) {
            self.text.push(',');
        }
    }

    pub(super) fn number(&mut self, number: impl Display) {
        self.comma();
        let _ = write!(self.text, "{number}");
    }

    /// A number that may be missing: then -1.
    pub(super) fn index(&mut self, index: Option<impl Into<i64>>) {
        self.number(index.map_or(-1, Into::into));
    }

    pub(super) fn string(&mut self, string: &str) {
        self.comma();
        self.quoted(string);
    }

    pub(super) fn list(&mut self, fill: impl FnOnce(&mut Self)) {
        self.comma();
        self.nested('[', ']', fill);
    }

    /// An object; its fields are written with [`field`](Self::field).
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.comma();
        self.nested('{', '}', fill);
    }

    /// A field, whose value is what `fill` writes.
    pub(super) fn field(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.comma();
        self.quoted(name);
        self.text.push(':');
        self.follows = false;
        fill(self);
        self.follows = true;
    }

    fn nested(&mut self, open: char, close: char, fill: impl FnOnce(&mut Self)) {
        self.text.push(open);
        self.follows = false;
        fill(self);
        self.text.push(close);
        self.follows = true;
    }

    fn quoted(&mut self, string: &str) {
        self.text.push('"');
        for char in string.chars() {
            match char {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                // `</script>` and `<!--` would be seen by the page's parser; the two separators end
                // a line in older scripts.
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(char));
                }
                _ => self.text.push(char),
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn what_is_written_nests_and_escapes() {
        let mut json = Json::default();
        json.object(|o| {
            o.field("a", |f| {
                f.list(|l| {
                    l.number(1);
                    l.index(None::<u8>);
                    l.list(|_| {});
                    l.string("</script>\"\\\n\u{2028}é");
                });
            });
            o.field("b", |f| f.number(2));
        });
        let expected = r#"{"a":[1,-1,[],"\u003c/script\u003e\"\\\u000a\u2028é"],"b":2}"#;
        assert_eq!(json.into_text(), expected);
    }
}
