//! Why a command was not carried out, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) enum Error {
    /// The arguments make no sense, or ask for help.
    Arguments(clap::Error),
    /// The world has so many keys.
    NoSuchKey(usize),
    /// A world that is to be made smaller breaks no law. It is shown by this command.
    NothingBroken(String),
    File(PathBuf, io::Error),
    Output(io::Error),
}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self::Output(cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Arguments(cause) => Some(cause),
            Self::File(_, cause) | Self::Output(cause) => Some(cause),
            Self::NoSuchKey(_) | Self::NothingBroken(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(cause) => cause.fmt(f),
            Self::NoSuchKey(1) => f.write_str("this world has one key: it is --key 0"),
            Self::NoSuchKey(keys) => {
                let last = keys - 1;
                write!(f, "this world has {keys} keys: --key is one of 0 to {last}")
            }
            Self::NothingBroken(again) => write!(
                f,
                "no law is broken in this world, so there is nothing to shrink. To see it: {again}"
            ),
            Self::File(path, cause) => write!(f, "cannot write {}: {cause}", path.display()),
            Self::Output(cause) => write!(f, "cannot write to standard output: {cause}"),
        }
    }
}
