//! Random histories of two connections that ask to be told of changed keys, and change them.

use proptest::prelude::*;
use proptest::sample::select;

use super::lock;
use super::steps::{self, Step, key, line, one_of, word};

/// One step, and by which of the two connections.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Zero or one.
    pub by: usize,
    /// What it does.
    pub step: Step,
}

/// What asks to be told, and what does not, in ways right and wrong.
const ASKED: &[&str] = &[
    "CLIENT TRACKING ON OPTIN NOLOOP",
    "CLIENT TRACKING ON OPTIN NOLOOP",
    "CLIENT TRACKING ON OPTIN NOLOOP",
    "client tracking on optin",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING ON NOLOOP",
    "CLIENT TRACKING ON OPTOUT",
    "CLIENT TRACKING ON OPTIN OPTOUT",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKING OFF NOLOOP",
    "CLIENT TRACKING OFF x",
    "CLIENT TRACKING MAYBE",
    "CLIENT TRACKING",
    "CLIENT GETREDIR",
    "CLIENT CACHING",
    "CLIENT CACHING MAYBE",
    "CLIENT CACHING YES x",
    "CLIENT CACHING YES",
    "CLIENT CACHING NO",
];

/// What most connections ask for from the beginning on.
pub fn beginning() -> impl Strategy<Value = Vec<Turn>> {
    let asked = prop_oneof![
        4 => Just("CLIENT TRACKING ON OPTIN NOLOOP"),
        1 => select(&ASKED[..7]),
        1 => Just("PING"),
    ];
    proptest::array::uniform2(asked).prop_map(|asked| {
        let turns = asked.into_iter().enumerate().map(|(by, text)| Turn {
            by,
            step: Step::Command(words(text).into_iter().map(String::into_bytes).collect()),
        });
        turns.collect()
    })
}

/// What may come between `CLIENT CACHING` and a read: some of it uses that up.
const BETWEEN: &[&str] = &[
    "CLIENT GETNAME",
    "CLIENT nonsense",
    "CLIENT",
    "CLIENT ID x",
    "CLIENT TRACKING ON OPTIN NOLOOP",
    "NOSUCH",
    "GET",
    "PING",
    "MGET a b",
    "EVAL x",
];

/// What changes all keys at once, or another database.
const WIDE: &[&str] = &[
    "FLUSHALL", "FLUSHDB", "SELECT 0", "SELECT 0", "SELECT 1", "RESET",
];

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A command that reads, whether it finds anything or not.
fn read() -> BoxedStrategy<Vec<String>> {
    let k = || key().boxed();
    let of_one = &[
        "GET", "PTTL", "TYPE", "EXISTS", "STRLEN", "HLEN", "ZCARD", "XLEN",
    ];
    prop_oneof![
        4 => line(vec![word("MGET"), k(), k(), k()]),
        4 => line(vec![one_of(of_one), k()]),
        2 => steps::scripts(),
        1 => line(vec![one_of(&["TOUCH", "EXISTS"]), k(), k()]),
    ]
    .boxed()
}

/// A command, or a few that belong together, by one connection.
pub fn turns() -> BoxedStrategy<Vec<Turn>> {
    let caching = || one_of(&["YES", "YES", "YES", "NO"]);
    let caching = || line(vec![word("CLIENT"), word("CACHING"), caching()]);
    let watched = (caching(), read()).prop_map(|(caching, read)| vec![caching, read]);
    let between = (caching(), select(BETWEEN), read())
        .prop_map(|(caching, between, read)| vec![caching, words(between), read]);
    let commands = prop_oneof![
        4 => select(ASKED).prop_map(|text| vec![words(text)]),
        12 => watched,
        3 => between,
        2 => select(WIDE).prop_map(|text| vec![words(text)]),
        3 => read().prop_map(|read| vec![read]),
        20 => steps::changes().prop_map(|command| vec![command]),
        2 => lock::script_call().prop_map(|command| vec![command]),
    ];
    let commands = commands.prop_map(|commands| {
        let bytes = |argv: Vec<String>| argv.into_iter().map(String::into_bytes).collect();
        let steps = commands.into_iter().map(|argv| Step::Command(bytes(argv)));
        steps.collect()
    });
    let steps = prop_oneof![
        20 => commands,
        1 => steps::time().prop_map(|step| vec![step]),
    ];
    let turns = (0..2usize, steps).prop_map(|(by, steps)| {
        let turns = steps.into_iter().map(|step| Turn { by, step });
        turns.collect()
    });
    turns.boxed()
}
