//! The command-line program: `cargo run --release -p tenure-sim -- --help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    // Not locked: a world that panics in a thread of its own tells it there.
    let mut err = std::io::stderr();
    let args = std::env::args_os().skip(1).collect();
    ExitCode::from(tenure_sim::cli::main(args, &mut out, &mut err))
}
