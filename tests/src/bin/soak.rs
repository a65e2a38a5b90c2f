//! The command-line program: `cargo run --release -p tenure-tests --bin soak -- --help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_tests::soak::main()
}
