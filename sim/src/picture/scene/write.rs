//! The scene as data of the page. Each item is a list of values, and `view.js` names the places.

use serde_json::{Value, json};

use super::{Bar, Cut, Hold, Message, Place, Point, Push, Scene, Shade};
use crate::observe::fact::{Holder, Nanos, Record};

impl Scene {
    pub(in crate::picture) fn as_json(&self) -> Value {
        let mut texts = vec![""; self.texts.len()];
        for (text, index) in &self.texts {
            texts[*index] = text;
        }
        json!({
            "leases": list(&self.leases, Bar::as_json),
            "holds": list(&self.holds, Hold::as_json),
            "places": list(&self.places, Place::as_json),
            "pushes": list(&self.pushes, Push::as_json),
            "messages": list(&self.messages, Message::as_json),
            "shades": list(&self.shades, Shade::as_json),
            "cuts": list(&self.cuts, Cut::as_json),
            "points": list(&self.points, Point::as_json),
            "facts": list(&self.facts, fact),
            "texts": texts,
        })
    }
}

fn list<T>(items: &[T], item: impl Fn(&T) -> Value) -> Value {
    items.iter().map(item).collect()
}

/// A number, or -1 if there is none.
pub(in crate::picture) fn index(index: Option<impl Into<i64>>) -> i64 {
    index.map_or(-1, Into::into)
}

/// A time, or -1 if there is none.
fn time(at: Option<Nanos>) -> i64 {
    at.map_or(-1, |at| at as i64)
}

fn fact((record, text): &(Record, usize)) -> Value {
    json!([
        record.at,
        index(record.client),
        index(record.node),
        index(record.key),
        index(record.lease),
        text,
    ])
}

impl Shade {
    fn as_json(&self) -> Value {
        let name = self.fault.row().name;
        json!([
            self.from,
            self.until,
            index(self.client),
            index(self.node),
            name
        ])
    }
}

impl Cut {
    fn as_json(&self) -> Value {
        let name = self.fault.row().name;
        json!([self.from, self.until, self.client, self.node, name])
    }
}

impl Point {
    fn as_json(&self) -> Value {
        let record = &self.record;
        json!([
            record.at,
            self.kind,
            index(record.client),
            index(record.node),
            index(record.key),
            index(record.lease),
            self.text,
        ])
    }
}

impl Bar {
    fn as_json(&self) -> Value {
        let states = self.states.iter();
        let states: Vec<u64> = states
            .flat_map(|(at, state)| [*at, *state as u64])
            .collect();
        let valid = self.valid.iter().filter(|(from, until)| from < until);
        let valid: Vec<Nanos> = valid.flat_map(|(from, until)| [*from, *until]).collect();
        let loss = self.loss.map(|loss| format!("{loss:?}"));
        json!([
            self.states[0].0,
            self.end,
            self.lease,
            self.client,
            self.key,
            self.row,
            states,
            valid,
            self.fence,
            loss.unwrap_or_default(),
            u8::from(self.dead),
        ])
    }
}

impl Hold {
    fn as_json(&self) -> Value {
        // Something foreign belongs to no lease.
        let lease = match self.holder {
            Holder::Lease(lease) => Some(lease),
            Holder::Nobody | Holder::Foreign => None,
        };
        let until = self.until.unwrap_or(self.from);
        json!([self.from, until, self.node, self.key, index(lease)])
    }
}

impl Place {
    fn as_json(&self) -> Value {
        json!([
            self.from, self.until, self.node, self.key, self.lease, self.ahead
        ])
    }
}

impl Push {
    fn as_json(&self) -> Value {
        json!([
            self.sent,
            self.heard.unwrap_or(self.sent),
            self.lease,
            self.client,
            self.node,
            self.key,
            time(self.heard),
            self.text,
        ])
    }
}

impl Message {
    fn as_json(&self) -> Value {
        let last = self.heard.into_iter().chain(self.did).max();
        json!([
            self.sent,
            last.unwrap_or(self.sent),
            self.lease,
            self.client,
            self.node,
            self.key,
            self.ask as u8,
            time(self.did),
            time(self.heard),
            u8::from(self.answered),
            u8::from(self.yes),
            self.text,
        ])
    }
}
