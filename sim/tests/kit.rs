//! The kit for the tests of programs that use locks: cases in which two things go wrong at once.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_sim::kit;

#[test]
fn a_lock_is_lost_even_if_the_reply_that_tells_it_is_lost() {
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
            .expect("the options are valid");
        let guard = locks.lock("k").await.expect("it is free");
        kit.lose("k").await;
        assert!(!guard.is_valid());
    });
}

#[test]
fn a_lock_is_lost_over_several_nodes() {
    kit::run(async |kit| {
        kit.world().node("b");
        kit.world().node("c");
        let locks = kit.builder().connect_lazy().expect("the builder is valid");
        let guard = locks.lock("k").await.expect("it is free");
        kit.lose("k").await;
        assert!(!guard.is_valid());
    });
}

#[test]
fn a_rival_gets_in_line_over_several_nodes_and_hints_can_be_lost() {
    kit::run(async |kit| {
        kit.world().node("b");
        kit.world().node("c");
        let locks = kit.locks().await;
        let mut guard = locks.lock("k").await.expect("it is free");
        for is_lost in [false, true] {
            let rival = kit.rival_in_line("k").await;
            if is_lost {
                kit.lose_next_push();
            }
            let begun = kit.world().now();
            guard.release().await.expect("it was held");
            let theirs = rival.await.expect("it waits");
            let took = kit.world().now() - begun;
            // It would keep its places after two thirds of the default TTL.
            assert_eq!(took > Duration::from_secs(6), is_lost, "{took:?}");
            drop(theirs);
            guard = locks.lock("k").await.expect("it is free soon");
        }
    });
}

#[test]
#[should_panic(expected = "has crashed: start another")]
fn a_process_that_crashed_gives_no_handle_and_says_so() {
    kit::run(async |kit| {
        kit.client().crash();
        kit.locks().await;
    });
}

#[test]
fn code_that_wants_its_own_thread_still_runs_in_the_world() {
    kit::run(async |kit| {
        let locks = kit.builder().own_thread().connect().await;
        let guard = locks.expect("it connects").lock("k").await;
        assert!(guard.expect("it is free").is_valid());
    });
}

#[test]
fn a_test_that_never_ends_fails_at_its_own_place() {
    let place = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&place);
    let here = std::thread::current().id();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Other tests may panic meanwhile.
        if std::thread::current().id() == here {
            let place = info.location().expect("it has one").file();
            told.lock().expect("nobody panics here").push_str(place);
        }
    }));
    let hung = std::panic::catch_unwind(|| kit::run(async |_| std::future::pending::<()>().await));
    std::panic::set_hook(before);
    assert!(hung.is_err());
    assert_eq!(*place.lock().expect("nobody panics here"), file!());
}

#[test]
fn inside_another_runtime_it_says_what_to_write_instead() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let inside = runtime
        .expect("a runtime")
        .block_on(async { std::panic::catch_unwind(|| kit::run(async |_| ())) });
    let words = inside.expect_err("it cannot run");
    let words = words.downcast_ref::<&str>().expect("a fixed text");
    assert!(words.contains("`#[test]`"), "{words}");
}
