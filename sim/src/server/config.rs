//! The parameters of `CONFIG GET` and `CONFIG SET`, and `CONFIG` itself.

use std::collections::BTreeMap;

use super::glob;
use super::reply::Reply;
use super::state::{Ctx, Outcome, Reject, State, lower};

enum Kind {
    YesNo,
    OneOf(&'static [&'static str]),
    Number,
    Memory,
    Text,
}

const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
];

const PARAMETERS: &[(&str, &str, Kind)] = &[
    (
        "appendfsync",
        "everysec",
        Kind::OneOf(&["everysec", "always", "no"]),
    ),
    ("appendonly", "no", Kind::YesNo),
    ("busy-reply-threshold", "5000", Kind::Number),
    ("maxclients", "10000", Kind::Number),
    ("maxmemory", "0", Kind::Memory),
    ("maxmemory-policy", "noeviction", Kind::OneOf(POLICIES)),
    ("min-replicas-to-write", "0", Kind::Number),
    ("no-appendfsync-on-rewrite", "no", Kind::YesNo),
    ("notify-keyspace-events", "", Kind::Text),
    ("requirepass", "", Kind::Text),
    ("save", "", Kind::Text),
    ("timeout", "0", Kind::Number),
];

#[derive(Clone)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            values: PARAMETERS
                .iter()
                .map(|(name, value, _)| (*name, (*value).to_owned()))
                .collect(),
        }
    }
}

impl Config {
    pub(crate) fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    fn check(name: &str, value: &[u8]) -> Result<(&'static str, String), Reject> {
        let failed = |why: &str| {
            Reject::new(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
            ))
        };
        let Some((known, _, kind)) = PARAMETERS.iter().find(|(known, ..)| *known == name) else {
            let text =
                format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
            return Err(Reject(text));
        };
        let text = String::from_utf8_lossy(value).into_owned();
        let value = match kind {
            Kind::YesNo => {
                let word = text.to_ascii_lowercase();
                if word != "yes" && word != "no" {
                    return Err(failed("argument must be 'yes' or 'no'"));
                }
                word
            }
            Kind::OneOf(words) => {
                let word = text.to_ascii_lowercase();
                if !words.contains(&word.as_str()) {
                    let why = format!(
                        "argument(s) must be one of the following: {}",
                        words.join(", ")
                    );
                    return Err(failed(&why));
                }
                word
            }
            Kind::Number => {
                let number = super::number::parse_i64(text.as_bytes());
                number
                    .ok_or_else(|| failed("argument couldn't be parsed into an integer"))?
                    .to_string()
            }
            Kind::Memory => memory(&text)
                .ok_or_else(|| failed("argument must be a memory value"))?
                .to_string(),
            Kind::Text => text,
        };
        Ok((known, value))
    }
}

/// `100`, `1kb`, `2mb`, `1g`.
fn memory(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

impl State {
    /// Sets the password of the default user; empty means none. Who is connected stays connected.
    pub(crate) fn set_password(&mut self, password: &str) {
        let user = self.users.entry("default".to_owned()).or_default();
        user.password = (!password.is_empty()).then(|| password.to_owned());
        self.config
            .values
            .insert("requirepass", password.to_owned());
    }
}

pub(crate) fn config(state: &mut State, ctx: &mut Ctx<'_>) -> Outcome {
    match (ctx.word(1).as_str(), ctx.argv.len()) {
        ("get", 3..) => {
            let wanted: Vec<String> = ctx.argv[2..].iter().map(|p| lower(p)).collect();
            let chosen = state.config.values.iter().filter(|(name, _)| {
                wanted
                    .iter()
                    .any(|pattern| glob::matches(pattern.as_bytes(), name.as_bytes()))
            });
            Ok(Reply::Map(
                chosen
                    .map(|(name, value)| (Reply::bulk(name), Reply::bulk(value)))
                    .collect(),
            ))
        }
        ("set", n) if n >= 4 && n % 2 == 0 => {
            let mut changes = Vec::new();
            for pair in ctx.argv[2..].chunks_exact(2) {
                changes.push(Config::check(&lower(&pair[0]), &pair[1])?);
            }
            for (name, value) in changes {
                if name == "requirepass" {
                    state.set_password(&value);
                } else {
                    state.config.values.insert(name, value);
                }
            }
            Ok(Reply::ok())
        }
        ("resetstat", 2) => {
            state.stats.clear();
            Ok(Reply::ok())
        }
        ("rewrite", 2) => Err(Reject::new(
            "ERR The server is running without a config file",
        )),
        (name @ ("get" | "set" | "resetstat" | "rewrite"), _) => {
            Err(Reject::wrong_arity(&format!("config|{name}")))
        }
        _ => Err(Reject::unknown_subcommand("CONFIG", &ctx.argv[1])),
    }
}
