//! What can be wrong with a command, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::world::Outside;

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum Error {
    NoCommand,
    NoSuchCommand(String),
    NoSuchOption(String),
    /// An option that another command has.
    NotHere {
        option: &'static str,
        command: &'static str,
    },
    NoValue(String),
    Twice(&'static str),
    NotText(String),
    NotANumber {
        what: &'static str,
        value: String,
    },
    NotAbove0(&'static str),
    NotHex(String),
    NoSuchOutside(String),
    NoSuchSmallWorld,
    NoWorld(&'static str),
    TwoWorlds,
    TwoEnds,
    PictureOfSome,
    /// There are so many.
    NoSuchKey(usize),
    TooMuch(String),
    /// A world that is to be made smaller, and breaks no law.
    NothingBroken(String),
    File(PathBuf, io::Error),
    Output(io::Error),
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Output(cause)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommand => f.write_str("say explore, replay or shrink; --help tells of them"),
            Self::NoSuchCommand(name) => {
                write!(
                    f,
                    "there is no command {name:?}: say explore, replay or shrink"
                )
            }
            Self::NoSuchOption(name) => {
                write!(
                    f,
                    "there is no option {name}: --help lists those that there are"
                )
            }
            Self::NotHere { option, command } => {
                write!(f, "{command} has no {option}: --help says where it belongs")
            }
            Self::NoValue(name) => write!(f, "{name} needs a value behind it"),
            Self::Twice(name) => write!(f, "{name} is said twice: leave one out"),
            Self::NotText(value) => write!(f, "{value} is not valid text"),
            Self::NotANumber { what, value } => write!(
                f,
                "{what} is {value:?}, and must be a whole number up to {}",
                u64::MAX
            ),
            Self::NotAbove0(what) => write!(f, "{what} must be above 0"),
            Self::NotHex(value) => write!(
                f,
                "--bytes needs pairs of hexadecimal digits, as shrink prints them, and got {value:?}"
            ),
            Self::NoSuchSmallWorld => f.write_str("a small world has 1 to 5 nodes"),
            Self::NoSuchOutside(name) => {
                let names = Outside::ALL.iter().map(|outside| outside.name());
                let names: Vec<_> = names.collect();
                write!(
                    f,
                    "--outside is {name:?}, and must be one of {}",
                    names.join(", ")
                )
            }
            Self::NoWorld(command) => {
                write!(
                    f,
                    "say which world: {command} SEED, or {command} --bytes HEX"
                )
            }
            Self::TwoWorlds => f.write_str("say a seed or --bytes, not both"),
            Self::TwoEnds => f.write_str("say --seconds or --worlds, not both"),
            Self::PictureOfSome => f.write_str(
                "a picture is of the whole run, and is filtered by key in the browser: leave --key and \
                 --last out",
            ),
            Self::NoSuchKey(1) => f.write_str("this world has one key: it is --key 0"),
            Self::NoSuchKey(keys) => {
                write!(f, "this world has {keys} keys: --key is one of 0 to {}", keys - 1)
            }
            Self::TooMuch(value) => write!(f, "{value:?} has no meaning here: leave it out"),
            Self::NothingBroken(again) => {
                write!(
                    f,
                    "no law is broken in this world, so there is nothing to shrink. See it: {again}"
                )
            }
            Self::File(path, cause) => write!(f, "cannot write {}: {cause}", path.display()),
            Self::Output(cause) => write!(f, "cannot write what is to be shown: {cause}"),
        }
    }
}
