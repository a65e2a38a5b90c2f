//! The picture of a run: one page that a browser shows without any other file.
//!
//! Time goes to the right. Each client and each node has a lane. Leases are bars in the lanes of
//! clients, and what the lock keys hold are bars in the lanes of nodes. Messages are lines between
//! them, and faults are shaded. `scene` derives all that from the facts. In the page, `view.js`
//! reads the data and lays out the lanes, `draw.js` draws them, and `page.js` answers the reader.

mod scene;

use std::fmt::Write;

use scene::{Scene, index};
use serde_json::{Value, json};

use crate::judge::Violation;
use crate::observe::fact::{Nanos, Record};
use crate::world::ClockLine;

/// What a picture is drawn of.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Which run it is.
    pub title: &'a str,
    /// What the reader should know of it, one sentence in each line.
    pub about: &'a str,
    /// All that happened, in the order of true time.
    pub records: &'a [Record],
    /// How the clocks went, as far as that is known.
    pub clocks: &'a [ClockLine],
    /// The names of the keys, by their numbers. A key without one is named after its number.
    pub keys: &'a [&'a str],
    /// The law that was broken, if one was.
    pub violation: Option<&'a Violation>,
    /// When the run ended, in true time.
    pub end: Nanos,
}

impl Picture<'_> {
    /// The page.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = String::new();
        let mut rest = include_str!("page.html");
        // The parts are not searched for placeholders: the data may contain braces of its own.
        while let Some((before, after)) = rest.split_once("{{") {
            page.push_str(before);
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            match name {
                "title" => escape(self.title, &mut page),
                "style" => page.push_str(include_str!("page.css")),
                "script" => {
                    page.push_str(include_str!("view.js"));
                    page.push_str(include_str!("draw.js"));
                    page.push_str(include_str!("page.js"));
                }
                "data" => page.push_str(&self.data()),
                _ => {}
            }
            rest = after;
        }
        page.push_str(rest);
        page
    }

    /// What the page draws, as JSON that is safe inside a page.
    fn data(&self) -> String {
        let scene = Scene::of(self.records, self.clocks, self.end);
        let keys: Vec<String> = (0..scene.keys)
            .map(|key| match self.keys.get(key) {
                Some(name) => (*name).to_owned(),
                None => format!("k{key}"),
            })
            .collect();
        let mut data = scene.as_json();
        data["title"] = json!(self.title);
        data["about"] = self.about.lines().collect();
        data["end"] = json!(self.end);
        data["clients"] = json!(scene.clients);
        data["nodes"] = json!(scene.nodes);
        data["keys"] = keys.into();
        data["clocks"] = self.clocks.iter().map(clock).collect();
        if let Some(Violation {
            law,
            sentence,
            at,
            key,
        }) = self.violation
        {
            data["violation"] = json!([at, law.to_string(), sentence, index(*key)]);
        }
        inside_of_a_page(&data.to_string())
    }
}

fn clock(line: &ClockLine) -> Value {
    json!([
        index(line.client),
        index(line.node),
        line.since,
        // Microseconds: numbers in JavaScript cannot hold nanoseconds since an epoch exactly.
        line.shows.div_euclid(1_000),
        line.ppm,
    ])
}

/// Escapes what would break the page. A browser would see `</script>` and `<!--` even in a string,
/// and older versions of JavaScript end a line at the two separators. Outside of strings, JSON has
/// none of these characters.
fn inside_of_a_page(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(char));
            }
            _ => text.push(char),
        }
    }
    text
}

fn escape(text: &str, page: &mut String) {
    for char in text.chars() {
        match char {
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '&' => page.push_str("&amp;"),
            '"' => page.push_str("&quot;"),
            _ => page.push(char),
        }
    }
}
