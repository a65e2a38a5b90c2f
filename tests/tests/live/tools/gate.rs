//! The gate: a live test that cannot run says so where it is seen, or fails where it must run.

use std::process::{Command, Output};

use tenure_tests::live::gate::{PROGRAM, REQUIRE};
use tenure_tests::live::servers_available;

/// Not a test by itself: what the tests below run in a process of its own, where no server is.
#[test]
fn probe() {
    let _ = servers_available();
}

fn probe_without_servers(require: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test's own program"))
        .args(["tools::gate::probe", "--exact"])
        .env("PATH", "")
        .env_remove(PROGRAM)
        .env(REQUIRE, require)
        .output()
        .expect("this test's own program runs")
}

/// It says so on standard error, past what captures a test's output.
#[test]
fn without_a_server_a_live_test_passes_and_says_that_it_was_left_out() {
    let output = probe_without_servers("0");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches("LEFT OUT: tools::gate::probe").count(),
        1,
        "{said}"
    );
    assert!(
        said.contains("redis-server") && said.contains("on PATH"),
        "{said}"
    );
}

#[test]
fn a_live_test_without_a_server_fails_where_the_live_suite_is_required() {
    let output = probe_without_servers("1");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("TENURE_REQUIRE_LIVE=1 demands it"), "{said}");
}

#[test]
fn a_server_that_is_named_and_is_no_file_fails_and_is_shown() {
    let output = Command::new(std::env::current_exe().expect("this test's own program"))
        .args(["tools::gate::probe", "--exact"])
        .env(PROGRAM, "no-such-server")
        .env(REQUIRE, "0")
        .output()
        .expect("this test's own program runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("there is no file no-such-server"), "{said}");
}
