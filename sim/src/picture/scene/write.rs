//! The scene as data of the page: `view.js` says at which place in a list stands what.

use super::{Bar, Hold, Message, Point, Scene};
use crate::observe::fact::Holder;
use crate::picture::json::Json;

impl Scene {
    pub(in crate::picture) fn write(&self, o: &mut Json) {
        o.field("leases", |f| {
            f.list(|l| self.leases.iter().for_each(|bar| bar.write(l)))
        });
        o.field("holds", |f| {
            f.list(|l| self.holds.iter().for_each(|hold| hold.write(l)));
        });
        o.field("messages", |f| {
            f.list(|l| self.messages.iter().for_each(|message| message.write(l)));
        });
        o.field("shades", |f| {
            f.list(|l| {
                for shade in &self.shades {
                    l.list(|l| {
                        l.number(shade.from);
                        l.number(shade.until);
                        l.index(shade.client);
                        l.index(shade.node);
                        l.string(shade.fault.row().name);
                    });
                }
            });
        });
        o.field("cuts", |f| {
            f.list(|l| {
                for cut in &self.cuts {
                    l.list(|l| {
                        l.number(cut.from);
                        l.number(cut.until);
                        l.number(cut.client);
                        l.number(cut.node);
                        l.string(cut.fault.row().name);
                    });
                }
            });
        });
        o.field("points", |f| {
            f.list(|l| {
                for Point { record, kind, text } in &self.points {
                    l.list(|l| {
                        l.number(record.at);
                        l.number(kind);
                        l.index(record.client);
                        l.index(record.node);
                        l.index(record.key);
                        l.index(record.lease);
                        l.number(text);
                    });
                }
            });
        });
        o.field("facts", |f| {
            f.list(|l| {
                for (record, text) in &self.facts {
                    l.list(|l| {
                        l.number(record.at);
                        l.index(record.client);
                        l.index(record.node);
                        l.index(record.key);
                        l.index(record.lease);
                        l.number(text);
                    });
                }
            });
        });
        let mut texts = vec![""; self.texts.len()];
        for (text, index) in &self.texts {
            texts[*index] = text;
        }
        o.field("texts", |f| {
            f.list(|l| texts.iter().for_each(|text| l.string(text)));
        });
    }
}

impl Bar {
    fn write(&self, l: &mut Json) {
        l.list(|l| {
            l.number(self.states[0].0);
            l.number(self.end);
            l.number(self.lease);
            l.number(self.client);
            l.number(self.key);
            l.number(self.row);
            l.list(|l| {
                for (at, state) in &self.states {
                    l.number(at);
                    l.number(*state as u8);
                }
            });
            l.list(|l| {
                for (from, until) in self.valid.iter().filter(|(from, until)| from < until) {
                    l.number(from);
                    l.number(until);
                }
            });
            l.number(self.fence);
            let loss = self.loss.map(|loss| format!("{loss:?}"));
            l.string(&loss.unwrap_or_default());
            l.number(u8::from(self.dead));
        });
    }
}

impl Hold {
    fn write(&self, l: &mut Json) {
        l.list(|l| {
            l.number(self.from);
            l.number(self.until.unwrap_or(self.from));
            l.number(self.node);
            l.number(self.key);
            // Something foreign has no lease.
            l.index(match self.holder {
                Holder::Lease(lease) => Some(lease),
                Holder::Nobody | Holder::Foreign => None,
            });
        });
    }
}

impl Message {
    fn write(&self, l: &mut Json) {
        l.list(|l| {
            l.number(self.sent);
            let last = self.heard.into_iter().chain(self.did).max();
            l.number(last.unwrap_or(self.sent));
            l.number(self.lease);
            l.number(self.client);
            l.number(self.node);
            l.number(self.key);
            l.number(self.ask as u8);
            l.index(self.did.map(|at| at as i64));
            l.index(self.heard.map(|at| at as i64));
            l.number(u8::from(self.answered));
            l.number(u8::from(self.yes));
            l.number(self.text);
        });
    }
}
