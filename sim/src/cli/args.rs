//! What is said on the command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::error::Error;
use super::{Origin, Which};
use crate::world::Outside;

/// All options; each has a value.
const OPTIONS: [&str; 11] = [
    "--bytes",
    "--jobs",
    "--key",
    "--last",
    "--outside",
    "--picture",
    "--runs",
    "--seconds",
    "--seed",
    "--small",
    "--worlds",
];

/// What was said: options by name, and the words between them.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) help: bool,
    options: BTreeMap<&'static str, OsString>,
    words: Vec<OsString>,
}

impl Args {
    pub(super) fn parse(args: Vec<OsString>) -> Result<Self, Error> {
        let mut parsed = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let name = match arg.to_str() {
                Some("-h" | "--help" | "help") => {
                    parsed.help = true;
                    continue;
                }
                Some(name) if name.starts_with('-') => name,
                _ => {
                    parsed.words.push(arg);
                    continue;
                }
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (name, args.next()),
            };
            let option = OPTIONS.iter().find(|option| **option == name);
            let option = *option.ok_or_else(|| Error::NoSuchOption(name.to_owned()))?;
            let value = value.ok_or_else(|| Error::NoValue(name.to_owned()))?;
            if parsed.options.insert(option, value).is_some() {
                return Err(Error::Twice(option));
            }
        }
        parsed.words.reverse();
        Ok(parsed)
    }

    /// The command is the first word.
    pub(super) fn command(&mut self) -> Result<String, Error> {
        let word = self.words.pop().ok_or(Error::NoCommand)?;
        text(word)
    }

    pub(super) fn number(&mut self, option: &'static str) -> Result<Option<u64>, Error> {
        let Some(value) = self.options.remove(option) else {
            return Ok(None);
        };
        number(option, value).map(Some)
    }

    /// A number that must not be 0.
    pub(super) fn count(&mut self, option: &'static str) -> Result<Option<u64>, Error> {
        match self.number(option)? {
            Some(0) => Err(Error::NotAbove0(option)),
            count => Ok(count),
        }
    }

    pub(super) fn path(&mut self, option: &'static str) -> Option<PathBuf> {
        self.options.remove(option).map(PathBuf::from)
    }

    pub(super) fn outside(&mut self) -> Result<Option<Outside>, Error> {
        let Some(value) = self.options.remove("--outside") else {
            return Ok(None);
        };
        let name = text(value)?;
        let mut all = Outside::ALL.iter().copied();
        let outside = all.find(|outside| outside.name() == name);
        outside.ok_or(Error::NoSuchOutside(name)).map(Some)
    }

    /// A world: a seed or bytes.
    pub(super) fn world(&mut self, command: &'static str) -> Result<Which, Error> {
        let outside = self.outside()?;
        let origin = match (self.words.pop(), self.options.remove("--bytes")) {
            (Some(_), Some(_)) => return Err(Error::TwoWorlds),
            (None, None) => return Err(Error::NoWorld(command)),
            (Some(seed), None) => Origin::Seed(number("the seed", seed)?),
            (None, Some(hex)) => Origin::Bytes(bytes(hex)?),
        };
        Ok(Which {
            origin,
            outside,
            small: None,
        })
    }

    /// A world as above, or a small one of so many nodes.
    pub(super) fn any_world(&mut self, command: &'static str) -> Result<Which, Error> {
        let small = match self.number("--small")? {
            None => None,
            Some(nodes @ 1..=5) => Some(nodes as usize),
            Some(_) => return Err(Error::NoSuchSmallWorld),
        };
        let which = self.world(command)?;
        Ok(Which { small, ..which })
    }

    /// Whatever was not asked for has no meaning.
    pub(super) fn end(mut self, command: &'static str) -> Result<(), Error> {
        if let Some((option, _)) = self.options.pop_first() {
            return Err(Error::NotHere { option, command });
        }
        match self.words.pop() {
            Some(word) => Err(Error::TooMuch(text(word)?)),
            None => Ok(()),
        }
    }
}

fn text(value: OsString) -> Result<String, Error> {
    let text = value.into_string();
    text.map_err(|value| Error::NotText(value.to_string_lossy().into_owned()))
}

fn number(what: &'static str, value: OsString) -> Result<u64, Error> {
    let value = text(value)?;
    let number = value.parse();
    number.map_err(|_| Error::NotANumber { what, value })
}

fn bytes(value: OsString) -> Result<Vec<u8>, Error> {
    let hex = text(value)?;
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => Ok(digits
            .chunks_exact(2)
            .map(|pair| (pair[0] << 4 | pair[1]) as u8)
            .collect()),
        _ => Err(Error::NotHex(hex)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Result<Args, Error> {
        Args::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn options_may_stand_anywhere_and_have_their_value_behind_an_equals_sign() {
        let mut args = args("--last=7 replay --key 2 12 --outside deletion").expect("it is fine");
        assert_eq!(args.command().expect("a command"), "replay");
        assert_eq!(args.number("--last").expect("a number"), Some(7));
        assert_eq!(args.number("--key").expect("a number"), Some(2));
        let which = args.world("replay").expect("a world");
        assert_eq!(which.to_string(), "12 --outside deletion");
        args.end("replay").expect("nothing is left");
    }

    #[test]
    fn a_world_of_bytes_is_named_by_its_bytes() {
        let mut args = args("--bytes 00ff1A").expect("it is fine");
        let which = args.world("replay").expect("a world");
        assert_eq!(which.to_string(), "--bytes 00ff1a");
    }

    #[test]
    fn a_small_world_is_named_by_its_nodes_and_its_bytes() {
        let mut three = args("--small 3 --bytes 00ff").expect("it is fine");
        let which = three.any_world("replay").expect("a world");
        assert_eq!(which.to_string(), "--small 3 --bytes 00ff");
        let mut six = args("--small 6 --bytes 00ff").expect("it is fine");
        let message = six.any_world("replay").expect_err("too many nodes");
        assert!(message.to_string().contains("1 to 5"));
    }

    #[test]
    fn what_makes_no_sense_says_what_to_do() {
        let message = |line: &str| {
            let found = args(line).and_then(|mut args| {
                args.count("--jobs")?;
                args.world("replay")?;
                args.end("replay")
            });
            found.expect_err(line).to_string()
        };
        assert!(message("12 --wat 3").contains("--help"));
        assert!(message("12 --last").contains("needs a value"));
        assert!(message("12 --seed 1").contains("replay has no --seed"));
        assert!(message("12 --jobs 0").contains("above 0"));
        assert!(message("twelve").contains("whole number"));
        assert!(message("12 13").contains("leave it out"));
        assert!(message("12 --bytes 00").contains("not both"));
        assert!(message("--bytes 0").contains("pairs"));
        assert!(message("--bytes zz").contains("pairs"));
        assert!(message("1 --outside nowhere").contains("client-clocks"));
        assert!(message("1 --small 1").contains("replay has no --small"));
        assert!(message("1 --last 1 --last 2").contains("twice"));
        assert!(message("").contains("say which world"));
    }
}
