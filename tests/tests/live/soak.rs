//! The program `soak` sees what is broken on purpose, whatever the servers are. That all is well is
//! what `.ci/nightly` and people run it for.

use std::process::{Command, Output};

use tenure_tests::live::servers_available;

/// With Sentinels.
const GROUP: &str = "--sentinel";
/// With three nodes.
const NODES: [&str; 2] = ["--nodes", "3"];

fn run(broken: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(["--break", broken]).args(more);
    command.output().expect("the program can be started")
}

/// What the program says of a soak in which something is broken.
fn failed_soak(broken: &str, more: &[&str]) -> String {
    let output = run(broken, more);
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
    for more in [&[][..], &[GROUP], &NODES] {
        let said = failed_soak("ignores-loss", more);
        assert!(said.contains("both hold key"), "{more:?}: {said}");
    }
}

#[test]
#[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
fn a_soak_sees_tasks_that_are_left() {
    if !servers_available() {
        return;
    }
    for more in [&[][..], &[GROUP], &NODES] {
        let said = failed_soak("leaks-tasks", more);
        let left = said.contains("tasks and 0 locks are left");
        assert!(left, "{more:?}: {said}");
    }
}

#[test]
#[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
fn a_soak_sees_a_store_that_takes_smaller_fences() {
    if !servers_available() {
        return;
    }
    for more in [&[][..], &[GROUP], &NODES] {
        let said = failed_soak("ignores-fences", more);
        assert!(said.contains("the store takes fence"), "{more:?}: {said}");
    }
}

/// There no restart excuses two holders.
#[test]
#[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
fn a_soak_sees_nodes_that_count_at_once_although_they_forgot() {
    if !servers_available() {
        return;
    }
    let said = failed_soak("no-quarantine", &NODES);
    assert!(said.contains("both hold key"), "{said}");
}

/// A primary that dies was ahead of its replica.
#[test]
#[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
fn a_soak_sees_grants_that_no_replica_has_though_it_is_said() {
    if !servers_available() {
        return;
    }
    let said = failed_soak("ignores-replicas", &[GROUP]);
    assert!(said.contains("acknowledged and does not have"), "{said}");
}

#[test]
fn a_soak_breaks_nothing_that_its_servers_do_not_have() {
    if !servers_available() {
        return;
    }
    let refused = |broken, more: &[&str], what| {
        let output = run(broken, more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(what), "{said}");
    };
    for more in [&[][..], &[GROUP]] {
        refused("no-quarantine", more, "add --nodes 3");
    }
    for more in [&[][..], &NODES] {
        refused("ignores-replicas", more, "add --sentinel");
    }
}

/// Beside what is broken all goes on.
#[cfg(feature = "tls-rustls")]
mod tls {
    use tenure_tests::live::tls;

    use super::{NODES, failed_soak};

    #[test]
    #[ignore = "it takes a minute; `.ci/nightly servers` runs it"]
    fn a_soak_over_tls_sees_tasks_that_are_left() {
        if !tls::available() {
            return;
        }
        for more in [&["--tls"][..], &["--tls", NODES[0], NODES[1]]] {
            let said = failed_soak("leaks-tasks", more);
            let left = said.contains("tasks and 0 locks are left");
            assert!(left, "{more:?}: {said}");
            assert!(!said.contains("nothing was tried"), "{said}");
        }
    }
}
