//! The program `soak` sees what is broken on purpose. That all is well is what `.ci/nightly` and
//! people run it for.

use std::process::Command;

use tenure_tests::live::servers_available;

/// What the program says of a soak in which something is broken.
fn failed_soak(broken: &str, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(["--break", broken]).args(more);
    let output = command.output().expect("the program can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED"), "{said}");
    said
}

#[test]
#[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
fn a_soak_sees_holders_that_ignore_their_loss() {
    if !servers_available() {
        return;
    }
    let said = failed_soak("ignores-loss", &[]);
    assert!(said.contains("both hold key"), "{said}");
}

#[test]
#[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
fn a_soak_sees_tasks_that_are_left() {
    if !servers_available() {
        return;
    }
    let said = failed_soak("leaks-tasks", &[]);
    assert!(said.contains("tasks and 0 locks are left"), "{said}");
}

/// Beside what is broken all goes on.
#[cfg(feature = "tls-rustls")]
mod tls {
    use tenure_tests::live::tls;

    use super::failed_soak;

    #[test]
    #[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
    fn a_soak_over_tls_sees_tasks_that_are_left() {
        if !tls::available() {
            return;
        }
        let said = failed_soak("leaks-tasks", &["--tls"]);
        assert!(said.contains("tasks and 0 locks are left"), "{said}");
        assert!(!said.contains("nothing was tried"), "{said}");
    }
}
