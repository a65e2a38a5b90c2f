//! The command-line program: it searches for a world in which a law is broken, shows a run again, and makes
//! one that fails smaller.

mod args;
mod error;
mod explore;
mod replay;
mod shrink;

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Write};

use crate::choice::Choices;
use crate::world::{Outside, Scenario};
use args::Args;
use error::Error;

const HELP: &str = "\
The world in which Tenure's core is tested: clients, nodes, clocks and networks that fail, all drawn from a
seed, and a judge that watches the laws.

USAGE
  tenure-sim explore [--seconds S | --worlds N] [--seed N] [--jobs N] [--outside NAME]
      Run world after world until a law is broken or the time is over.
        --seconds S   for so long (60 if nothing is said)
        --worlds N    or so many worlds
        --seed N      the first world's seed; the next have the next numbers (random if nothing is said)
        --jobs N      in so many threads (as many as there are processors)

  tenure-sim replay WORLD [--key K] [--last N] [--picture FILE]
      Show a run: a line for each fact, with true time, in brackets what the client's clock shows, the
      client, node, key and lease, and what happened.
        --key K         only facts about key number K, and those about none
        --last N        only the last N of these
        --picture FILE  no lines, but a page of the whole run that opens in a browser

  tenure-sim shrink WORLD [--runs N]
      Look for a smaller world that breaks the same law, and show it.
        --runs N      try at most so many worlds (10000 if nothing is said)

WORLD
  SEED              the world of a number
  --bytes HEX       the world of these bytes, as shrink prints them
  --small NODES --bytes HEX
                    to replay: a small world of so many nodes, in which these bytes decide what happens, as the
                    exhaustive tests print it
  --outside NAME    leave an assumption of the laws, and do not tell the judge: a law will be broken, not
                    always the one that comes to mind first. One of: client-clocks, server-clocks, no-quarantine, node-sets, max-ttl, deletion,
                    servers-disagree

EXIT CODE
  0 if no law was broken, 1 if one was, 2 if the command makes no sense (as to shrink a world that breaks no
  law) or a file cannot be written.
";

/// What the caller of the program is told.
const FINE: u8 = 0;
const BROKEN: u8 = 1;
const MISUSED: u8 = 2;

/// Runs the program, and returns its exit code.
pub fn main(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match command(args, out, err) {
        Ok(code) => code,
        // Whoever reads has seen enough.
        Err(Error::Output(cause)) if cause.kind() == ErrorKind::BrokenPipe => FINE,
        Err(error) => {
            let _ = writeln!(err, "tenure-sim: {error}");
            MISUSED
        }
    }
}

fn command(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, Error> {
    let mut args = Args::parse(args)?;
    if args.help {
        out.write_all(HELP.as_bytes())?;
        return Ok(FINE);
    }
    match args.command()?.as_str() {
        "explore" => explore::explore(args, out),
        "replay" => replay::replay(args, out),
        "shrink" => shrink::shrink(args, out, err),
        other => Err(Error::NoSuchCommand(other.to_owned())),
    }
}

/// Which world is meant. It is displayed as the arguments that name it.
#[derive(Clone, Debug)]
struct Which {
    origin: Origin,
    outside: Option<Outside>,
    /// A small world, of so many nodes.
    small: Option<usize>,
}

#[derive(Clone, Debug)]
enum Origin {
    Seed(u64),
    Bytes(Vec<u8>),
}

impl Which {
    const fn seed(seed: u64, outside: Option<Outside>) -> Self {
        let origin = Origin::Seed(seed);
        Self {
            origin,
            outside,
            small: None,
        }
    }

    fn choices(&self) -> Choices {
        match &self.origin {
            Origin::Seed(seed) => Choices::from_seed(*seed),
            Origin::Bytes(bytes) => Choices::from_bytes(bytes),
        }
    }

    fn scenario(&self) -> Scenario {
        match self.small {
            Some(nodes) => Scenario::small(nodes, self.choices()),
            None => Scenario::from_choices(self.choices(), self.outside),
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
        match self.outside {
            Some(outside) => write!(f, " --outside {}", outside.name()),
            None => Ok(()),
        }
    }
}

/// How to see a world again.
fn again(command: &str, which: &Which) -> String {
    format!("cargo run --release -p tenure-sim -- {command} {which}")
}
