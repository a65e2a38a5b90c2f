//! Shrinking a world that fails, and writing its decisions down.
#![forbid(unsafe_code)]

use tenure_sim::choice::{Choices, Input};
use tenure_sim::explore::shrink::shrink;
use tenure_sim::world::{Report, Scenario, run};

#[test]
fn a_world_that_fails_shrinks_still_fails_and_is_replayed() {
    let fails = |report: &Report| report.grants >= 3;
    let first = run(&Scenario::from_seed(2), &mut |_| {});
    assert!(fails(&first));
    let found = [(); 2].map(|()| {
        let found = shrink(Choices::from_seed(2), None, 300, &fails, &mut |_| {});
        found.expect("it fails")
    });
    let [smallest, same] = found;
    assert_eq!(smallest.input, same.input);
    assert!(
        smallest.report.facts < first.facts / 2,
        "{}",
        smallest.report.facts
    );
    let again = run(
        &Scenario::from_bytes(&smallest.input.to_bytes()),
        &mut |_| {},
    );
    assert!(fails(&again));
    assert_eq!(again.hash, smallest.report.hash);
    assert!(shrink(Choices::from_seed(2), None, 9, &|_| false, &mut |_| {}).is_none());
}

#[test]
fn decisions_that_were_written_down_give_the_same_run() {
    let scenario = Scenario::from_choices(Choices::from_seed(8).written_down(), None);
    let first = run(&scenario, &mut |_| {});
    let again = run(
        &Scenario::from_bytes(&Input::of(&first.decisions).to_bytes()),
        &mut |_| {},
    );
    assert_eq!(first.hash, again.hash);
    assert_eq!(first.facts, again.facts);
}
