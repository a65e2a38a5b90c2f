//! The command-line program: `cargo run --release -p tenure-sim -- --help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    let mut err = std::io::stderr().lock();
    let args = std::env::args_os().skip(1).collect();
    ExitCode::from(tenure_sim::cli::main(args, &mut out, &mut err))
}
