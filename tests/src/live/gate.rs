//! The gate before every test that needs a program which not every machine has, such as a server.
//!
//! Without the program the test is left out, and says so. With `TENURE_REQUIRE_LIVE=1`, as in
//! continuous integration, it fails instead, so that a missing package does not look like success.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// Set to `1`, a live test that finds no server fails instead of being left out.
pub const REQUIRE: &str = "TENURE_REQUIRE_LIVE";

/// Set to the path of a server program, that one is used and `PATH` is not searched.
pub const PROGRAM: &str = "TENURE_LIVE_SERVER";

const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// The server program that the live suite runs, if this machine has one.
///
/// # Panics
/// If [`PROGRAM`] is set and names no file.
#[track_caller]
pub fn server_program() -> Option<&'static PathBuf> {
    static FOUND: LazyLock<Option<PathBuf>> = LazyLock::new(|| match env::var_os(PROGRAM) {
        Some(path) => Some(PathBuf::from(path)),
        None => NAMES.iter().find_map(|name| on_path(name)),
    });
    let program = FOUND.as_ref()?;
    assert!(
        program.is_file(),
        "{PROGRAM} must be the path of a server program: there is no file {}",
        program.display()
    );
    Some(program)
}

/// The first line of every live test: `if !servers_available() { return; }`.
///
/// Answers `false` after saying on standard error that the test was left out and why.
///
/// # Panics
/// When there is no server and [`REQUIRE`] is `1`.
#[track_caller]
pub fn servers_available() -> bool {
    if server_program().is_some() {
        return true;
    }
    leave_out(&format!(
        "neither {} nor {} is on PATH: install one, or name one in {PROGRAM}",
        NAMES[0], NAMES[1]
    ));
    false
}

/// Says on standard error that the test which calls this is left out, and what it misses.
///
/// # Panics
/// Where nothing may be left out, because [`REQUIRE`] is `1`.
#[track_caller]
pub fn leave_out(why: &str) {
    let place = std::panic::Location::caller();
    let thread = std::thread::current();
    // libtest names a test's thread after the test, unless it was told to use a single thread.
    let test = thread
        .name()
        .filter(|name| *name != "main")
        .unwrap_or("a live test");
    assert!(
        env::var_os(REQUIRE).is_none_or(|value| value != "1"),
        "{test} cannot run here, and {REQUIRE}=1 demands it: {why}",
    );
    // Not `eprintln!`: libtest captures that and shows it for failed tests only, and the point of
    // this line is to be seen when everything passes.
    let _ = writeln!(io::stderr().lock(), "LEFT OUT: {test} ({place}): {why}");
}

/// Whether a server program knows a setting, which is given this value.
///
/// # Panics
/// When the program cannot be started.
pub fn knows(program: &Path, setting: &str, value: &str) -> bool {
    // A server reads its settings in order, and ends at the first that it does not know.
    let asked = Command::new(program)
        .args([&format!("--{setting}"), value, "--no-such-setting", "0"])
        .stdin(Stdio::null())
        .output()
        .expect("the server program can be started");
    let said = [asked.stdout, asked.stderr].concat();
    !String::from_utf8_lossy(&said).contains(setting)
}

/// Where a program of that name is found on `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}
