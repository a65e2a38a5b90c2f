//! Replay: the same seed, the same facts and the same bytes.

use crate::support::{Plan, Stage, secs};

/// What happened, and a digest of every byte on the wire.
fn run(seed: u64) -> (Vec<String>, String) {
    let mut stage = Stage::new(&Plan::new(seed));
    stage.run(secs(6));
    let checks = stage.end();
    println!(
        "{checks:?} {} grants, {} facts, {} bytes",
        stage.grants,
        stage.told.len(),
        stage.net.bytes()
    );
    assert!(stage.grants > 10 && checks.validities > 10, "{checks:?}");
    let digest = stage.net.digest();
    (stage.told, digest)
}

#[test]
fn the_same_seed_gives_the_same_facts_and_the_same_bytes_at_the_same_times() {
    let (facts, bytes) = run(1);
    let (again, bytes_again) = run(1);
    assert_eq!(facts, again);
    assert_eq!(bytes, bytes_again, "every byte, and when it travelled");
    let (_, other_bytes) = run(2);
    assert_ne!(bytes, other_bytes, "the seed is what it depends on");
}
