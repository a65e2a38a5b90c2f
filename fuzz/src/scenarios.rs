//! Any world: the bytes are the decisions of a simulated world around the core. Whatever they are,
//! no law may be broken in it.

use tenure_sim::world::{Report, Scenario, explain, run};

/// Runs the world of these bytes under its judge.
///
/// # Panics
/// If a law is broken; with the last facts before it.
pub fn check(bytes: &[u8]) -> Report {
    let scenario = Scenario::from_bytes(bytes);
    let report = run(&scenario, &mut |_| {});
    if report.violation.is_some() {
        panic!("{}", explain(&scenario).unwrap_or_default());
    }
    report
}
