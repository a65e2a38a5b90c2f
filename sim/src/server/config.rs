//! The parameters of a server: their names, their values, and which values each accepts.

use std::collections::BTreeMap;

enum Kind {
    YesNo,
    OneOf(&'static [&'static str]),
    Number,
    /// A number that is not negative.
    Count,
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
    ("tracking-table-max-keys", "1000000", Kind::Count),
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

    /// All names and values, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// Sets a parameter that [`Config::check`] knows.
    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.values.insert(name, value);
    }

    /// The name of a parameter, and its new value as it is stored. The error is the line that the
    /// server answers.
    pub(crate) fn check(name: &str, value: &[u8]) -> Result<(&'static str, String), String> {
        let failed = |why: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
        };
        let Some((known, _, kind)) = PARAMETERS.iter().find(|(known, ..)| *known == name) else {
            return Err(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            ));
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
            Kind::Number | Kind::Count => {
                let number = super::number::parse_i64(text.as_bytes());
                let number =
                    number.ok_or_else(|| failed("argument couldn't be parsed into an integer"))?;
                if number < 0 && matches!(kind, Kind::Count) {
                    let largest = i64::MAX;
                    let why = format!("argument must be between 0 and {largest} inclusive");
                    return Err(failed(&why));
                }
                number.to_string()
            }
            Kind::Memory => memory(&text)
                .ok_or_else(|| failed("argument must be a memory value"))?
                .to_string(),
            Kind::Text => text,
        };
        Ok((known, value))
    }
}

/// The bytes that an amount of memory names: `100`, `1kb`, `2mb`, `1g`.
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
