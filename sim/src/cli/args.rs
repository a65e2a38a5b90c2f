//! The arguments of the program.

use std::fmt;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::choice::Choices;
use crate::world::{Assumption, Scenario};

/// Searches the simulated worlds of Tenure's core for a broken law, shows a world, and makes one
/// that fails smaller.
///
/// A world has clients, nodes, clocks and networks that fail, all drawn from a seed, and a judge
/// that watches the laws.
#[derive(Debug, Parser)]
#[command(name = "tenure-sim", after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "\
Exit code: 0 if no law was broken, 1 if one was, 2 if the command makes no sense or a file cannot \
be written.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run world after world until a law is broken or the time is over.
    Explore(Explore),
    /// Show a run: a line for each fact, or a page.
    ///
    /// A line has true time, in brackets what the client's clock shows, the client, node, key and
    /// lease, and what happened.
    Replay(Replay),
    /// Look for a smaller world that breaks the same law, and show it.
    Shrink(Shrink),
}

#[derive(Debug, Args)]
pub(super) struct Explore {
    /// How long to search.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 60,
        conflicts_with = "worlds"
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seconds: u64,
    /// How many worlds to run, instead of a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) worlds: Option<u64>,
    /// The seed of the first world; the next have the next numbers. Random if left out.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// How many threads; as many as there are processors if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    #[command(flatten)]
    pub(super) broken: Broken,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    pub(super) world: World,
    /// A small world of so many nodes, in which the bytes decide what happens. The exhaustive tests
    /// print such names.
    #[arg(
        long,
        value_name = "NODES",
        requires = "bytes",
        conflicts_with = "broken"
    )]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(super) small: Option<u8>,
    /// Only facts about this key, and those about none.
    #[arg(long, value_name = "K")]
    pub(super) key: Option<u64>,
    /// Only the last so many facts.
    #[arg(long, value_name = "N")]
    pub(super) last: Option<u64>,
    /// No lines, but a page of the whole run that opens in a browser.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "last"])]
    pub(super) picture: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Shrink {
    #[command(flatten)]
    pub(super) world: World,
    /// How many worlds to try, at most.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) runs: u64,
}

/// Which world is meant.
#[derive(Debug, Args)]
pub(super) struct World {
    /// The world of this number.
    #[arg(required_unless_present = "bytes")]
    seed: Option<u64>,
    /// The world of these bytes, as shrink prints them.
    #[arg(long, value_name = "HEX", conflicts_with = "seed", value_parser = hex)]
    bytes: Option<Bytes>,
    #[command(flatten)]
    broken: Broken,
}

/// Bytes that were written as hexadecimal digits.
#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Broken {
    /// Break an assumption of the laws, and do not tell the judge. A law will be broken, not always
    /// the one that comes to mind first.
    #[arg(id = "broken", long = "break", value_name = "ASSUMPTION", value_parser = assumptions())]
    pub(super) assumption: Option<Assumption>,
}

fn assumptions() -> impl TypedValueParser<Value = Assumption> {
    let names = Assumption::ALL.iter().map(|assumption| assumption.name());
    PossibleValuesParser::new(names).map(|name| {
        let mut all = Assumption::ALL.iter().copied();
        let named = all.find(|assumption| assumption.name() == name);
        named.expect("the parser accepts these names only")
    })
}

fn hex(digits: &str) -> Result<Bytes, &'static str> {
    let values: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    match values {
        Some(values) if values.len().is_multiple_of(2) => Ok(Bytes(
            values
                .chunks_exact(2)
                .map(|pair| (pair[0] << 4 | pair[1]) as u8)
                .collect(),
        )),
        _ => Err("it needs pairs of hexadecimal digits"),
    }
}

/// A world that was named. It is displayed as the arguments that name it.
#[derive(Clone, Debug)]
pub(super) struct Which {
    pub(super) origin: Origin,
    pub(super) broken: Option<Assumption>,
    /// A small world, of so many nodes.
    pub(super) small: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Origin {
    Seed(u64),
    Bytes(Vec<u8>),
}

impl World {
    pub(super) fn which(self, small: Option<u8>) -> Which {
        let origin = match self.bytes {
            Some(Bytes(bytes)) => Origin::Bytes(bytes),
            None => Origin::Seed(self.seed.unwrap_or_default()),
        };
        Which {
            origin,
            broken: self.broken.assumption,
            small: small.map(usize::from),
        }
    }
}

impl Which {
    pub(super) const fn seed(seed: u64, broken: Option<Assumption>) -> Self {
        let origin = Origin::Seed(seed);
        Self {
            origin,
            broken,
            small: None,
        }
    }

    pub(super) fn choices(&self) -> Choices {
        match &self.origin {
            Origin::Seed(seed) => Choices::from_seed(*seed),
            Origin::Bytes(bytes) => Choices::from_bytes(bytes),
        }
    }

    pub(super) fn scenario(&self) -> Scenario {
        match self.small {
            Some(nodes) => Scenario::small(nodes, self.choices()),
            None => Scenario::from_choices(self.choices(), self.broken),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(nodes) = self.small {
            write!(f, "--small {nodes} ")?;
        }
        match &self.origin {
            Origin::Seed(seed) => write!(f, "{seed}")?,
            Origin::Bytes(bytes) => {
                f.write_str("--bytes ")?;
                if bytes.is_empty() {
                    f.write_str("''")?;
                }
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
        }
        match self.broken {
            Some(broken) => write!(f, " --break {}", broken.name()),
            None => Ok(()),
        }
    }
}

/// The command that shows a world again, or does something else with it.
pub(super) fn again(command: &str, which: &Which) -> String {
    format!("cargo run --release -p tenure-sim -- {command} {which}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Command {
        let words = line.split_whitespace();
        let parsed = Arguments::try_parse_from(std::iter::once("tenure-sim").chain(words));
        parsed.expect("it is fine").command
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_definition() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    /// Without the feature of clap that wraps, a line of the help is as long as its sentence.
    #[test]
    fn no_line_of_the_help_is_wider_than_a_hundred_columns() {
        let mut command = <Arguments as clap::CommandFactory>::command().term_width(100);
        command.build();
        let mut texts = vec![command.render_long_help().to_string()];
        for command in command.get_subcommands_mut() {
            texts.push(command.render_help().to_string());
            texts.push(command.render_long_help().to_string());
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn options_may_stand_before_and_behind_the_world() {
        let line = "replay --last=7 --key 2 12 --break no-deletion";
        let Command::Replay(replay) = parse(line) else {
            panic!("{line} is no replay");
        };
        assert_eq!((replay.last, replay.key), (Some(7), Some(2)));
        let which = replay.world.which(replay.small);
        assert_eq!(which.to_string(), "12 --break no-deletion");
    }

    #[test]
    fn a_world_is_displayed_as_the_arguments_that_name_it() {
        for (line, name) in [
            ("--bytes 00ff1A", "--bytes 00ff1a"),
            ("--small 3 --bytes 00ff", "--small 3 --bytes 00ff"),
        ] {
            let Command::Replay(replay) = parse(&format!("replay {line}")) else {
                panic!("{line} is no replay");
            };
            assert_eq!(replay.world.which(replay.small).to_string(), name);
        }
    }
}
