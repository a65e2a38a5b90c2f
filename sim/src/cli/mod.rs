//! The command-line program. It searches for a world in which a law is broken, shows a run again,
//! and makes one that fails smaller.

mod args;
mod error;
mod explore;
mod replay;
mod shrink;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};

use args::{Arguments, Command};
use clap::Parser;
use error::Error;

/// The exit codes.
const FINE: u8 = 0;
const BROKEN: u8 = 1;
const MISUSED: u8 = 2;

/// Runs the program with these arguments, which come after its name. Returns its exit code.
pub fn main(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match command(args, out, err) {
        Ok(code) => code,
        // The reader of the output has closed it.
        Err(Error::Output(cause)) if cause.kind() == ErrorKind::BrokenPipe => FINE,
        Err(Error::Arguments(help)) if !help.use_stderr() => {
            let _ = write!(out, "{help}");
            FINE
        }
        Err(Error::Arguments(error)) => {
            let _ = write!(err, "{error}");
            MISUSED
        }
        Err(error) => {
            let _ = writeln!(err, "tenure-sim: {error}");
            MISUSED
        }
    }
}

fn command(args: Vec<OsString>, out: &mut dyn Write, err: &mut dyn Write) -> Result<u8, Error> {
    let name = OsString::from("tenure-sim");
    let arguments = Arguments::try_parse_from(std::iter::once(name).chain(args));
    match arguments.map_err(Error::Arguments)?.command {
        Command::Explore(args) => explore::explore(&args, out),
        Command::Replay(args) => replay::replay(args, out),
        Command::Shrink(args) => shrink::shrink(args, out, err),
    }
}
