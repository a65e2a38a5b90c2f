//! The picture of a run: one page that opens in a browser with nothing else.
//!
//! Time goes to the right. Each client and each node has a lane: leases are bars in the lanes of
//! clients, what the lock keys hold are bars in the lanes of nodes, messages go between them, and
//! faults are shaded. `scene` derives all that from the facts; `page.js` draws it on a canvas, and
//! only what is seen.

mod json;
mod scene;

use json::Json;
use scene::Scene;

use crate::judge::Violation;
use crate::observe::fact::{Nanos, Record};
use crate::world::ClockLine;

/// What a picture is drawn of.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Which run it is.
    pub title: &'a str,
    /// What is to be known of it, a sentence in each line.
    pub about: &'a str,
    /// All that happened, in the order of true time.
    pub records: &'a [Record],
    /// How the clocks went, as far as it is known.
    pub clocks: &'a [ClockLine],
    /// What the keys are called, by their numbers; others get a name from their number.
    pub keys: &'a [&'a str],
    /// The law that was broken.
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
        // What is put in is not searched again, whatever it says.
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

    fn data(&self) -> String {
        let scene = Scene::of(self.records, self.clocks, self.end);
        let mut json = Json::default();
        json.object(|o| {
            o.field("title", |f| f.string(self.title));
            o.field("about", |f| {
                f.list(|l| self.about.lines().for_each(|line| l.string(line)));
            });
            o.field("end", |f| f.number(self.end));
            o.field("clients", |f| f.number(scene.clients));
            o.field("nodes", |f| f.number(scene.nodes));
            o.field("keys", |f| {
                f.list(|l| {
                    for key in 0..scene.keys {
                        match self.keys.get(key) {
                            Some(name) => l.string(name),
                            None => l.string(&format!("k{key}")),
                        }
                    }
                });
            });
            scene.write(o);
            o.field("clocks", |f| {
                f.list(|l| self.clocks.iter().for_each(|line| clock(line, l)));
            });
            if let Some(violation) = self.violation {
                o.field("violation", |f| {
                    f.list(|l| {
                        l.number(violation.at);
                        l.string(&violation.law.to_string());
                        l.string(&violation.sentence);
                        l.index(violation.key);
                    });
                });
            }
        });
        json.into_text()
    }
}

fn clock(line: &ClockLine, l: &mut Json) {
    l.list(|l| {
        l.index(line.client);
        l.index(line.node);
        l.number(line.since);
        // Nanoseconds since an epoch are more than a script's numbers can carry.
        l.number(line.shows.div_euclid(1_000));
        l.number(line.ppm);
    });
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
