//! The kit for users' own tests, where one thing that goes wrong meets another.
#![forbid(unsafe_code)]

use tenure_sim::kit;

#[test]
fn a_lock_is_lost_although_the_answer_that_tells_it_is_lost() {
    kit::run(async |kit| {
        let guard = kit.locks().await.lock("k").await.expect("it is free");
        kit.lose_next_reply();
        kit.lose("k").await;
        assert!(!guard.is_valid());
    });
}

#[test]
fn a_lock_that_nothing_renews_is_lost_with_its_validity() {
    kit::run(async |kit| {
        let locks = kit.locks().await;
        let locks = locks
            .with(|options| options.without_renewal())
            .expect("they are good options");
        let guard = locks.lock("k").await.expect("it is free");
        kit.lose("k").await;
        assert!(!guard.is_valid());
    });
}
