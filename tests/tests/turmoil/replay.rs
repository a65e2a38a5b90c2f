//! Replay: the same seed, the same facts and the same bytes.

use tenure_sim::choice::Choices;
use tenure_sim::observe::fact::Record;
use tenure_tests::chaos::Chaos;

use crate::support::{Plan, Stage, secs};

/// What happened on a bad day, and a digest of every byte on the wire.
fn run(seed: u64) -> (Vec<Record>, String) {
    let mut stage = Stage::new(&Plan::new(seed));
    let mut chaos = Chaos::new(Choices::from_seed(seed), stage.witness.clone(), secs(1));
    while stage.now() < secs(5) {
        chaos.act(stage.now(), &mut stage);
        stage.step();
    }
    chaos.heal(&mut stage);
    stage.end();
    assert!(stage.grants(None) > 10, "{}", stage.grants(None));
    assert!(chaos.happened().len() > 3, "{:?}", chaos.happened());
    let digest = stage.net.digest();
    (stage.told, digest)
}

#[test]
fn the_same_seed_gives_the_same_facts_and_bytes_at_the_same_times() {
    let (facts, bytes) = run(1);
    let (again, bytes_again) = run(1);
    assert_eq!(facts, again);
    assert_eq!(bytes, bytes_again, "every byte, and when it travelled");
    let (other, other_bytes) = run(2);
    assert_ne!(facts, other, "the seed is what it depends on");
    assert_ne!(bytes, other_bytes, "the seed is what it depends on");
}
