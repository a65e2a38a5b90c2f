//! The program `soak` sees what is broken on purpose. That all is well is what `.ci/run` and people
//! run it for.

use std::process::Command;

use tenure_tests::live::servers_available;

/// What the program says of a soak in which something is broken.
fn failed_soak(broken: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(["--break", broken]);
    let output = command.output().expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED"), "{said}");
    said
}

#[test]
fn a_soak_sees_holders_that_ignore_their_loss() {
    if !servers_available() {
        return;
    }
    let said = failed_soak("ignores-loss");
    assert!(said.contains("both hold key"), "{said}");
}

#[test]
fn a_soak_sees_tasks_that_are_left() {
    if !servers_available() {
        return;
    }
    let said = failed_soak("leaks-tasks");
    assert!(said.contains("tasks and 0 locks are left"), "{said}");
}
