//! How a program that uses locks is tested, as a user would write it. The first half of the file is
//! a small service, which knows only `tenure-redis`; the second half are its tests.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::time::Duration;

use service::{Ledger, Ran, Runner};
use tenure_sim::kit;

/// A runner of jobs. Each job runs on one machine at a time, stops when its lock is lost, and
/// writes its result to a ledger that refuses results which come too late.
mod service {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tenure_redis::{LockError, Locks};

    /// What became of a job.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum Ran {
        /// It was done, and its result is in the ledger.
        Done,
        /// Another machine does it: nothing is wrong.
        Elsewhere,
        /// Redis does not answer: somebody should look.
        Outage,
        /// The lock was lost in the middle, or its result came too late. It was not done.
        Stopped,
    }

    /// Where results go: with each, the fence of who wrote it.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Ledger(Arc<Mutex<Vec<(u64, &'static str)>>>);

    impl Ledger {
        /// Refuses a writer with a smaller fence than one it has seen.
        pub(crate) fn write(&self, fence: u64, result: &'static str) -> bool {
            let mut lines = self.0.lock().unwrap();
            let late = lines.iter().any(|(seen, _)| *seen > fence);
            if !late {
                lines.push((fence, result));
            }
            !late
        }

        pub(crate) fn results(&self) -> Vec<&'static str> {
            let lines = self.0.lock().unwrap();
            lines.iter().map(|(_, result)| *result).collect()
        }
    }

    #[derive(Clone)]
    pub(crate) struct Runner {
        pub(crate) locks: Locks,
        pub(crate) ledger: Ledger,
    }

    impl Runner {
        /// Does the job, which takes so long, unless it is being done.
        #[allow(clippy::disallowed_methods, reason = "a program waits as it likes")]
        pub(crate) async fn run(&self, job: &'static str, takes: Duration) -> Ran {
            let guard = match self.locks.try_lock(job).await {
                Ok(guard) => guard,
                Err(LockError::Contended { .. }) => return Ran::Elsewhere,
                Err(error) if error.is_outage() => return Ran::Outage,
                Err(error) => panic!("a mistake in this program: {error}"),
            };
            if guard.run(tokio::time::sleep(takes)).await.is_err() {
                return Ran::Stopped;
            }
            if !self.ledger.write(guard.fence(), job) {
                return Ran::Stopped;
            }
            // The result is written. Whether the key is freed now or by its expiry does not matter.
            let _ = guard.release().await;
            Ran::Done
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_job_of_an_hour_is_done_once_and_its_lock_is_free_afterwards() {
    kit::run(async |kit| {
        let ledger = Ledger::default();
        let runner = Runner {
            locks: kit.locks().await,
            ledger: ledger.clone(),
        };
        assert_eq!(runner.run("report", 60 * MINUTE).await, Ran::Done);
        assert_eq!(ledger.results(), ["report"]);
        assert!(kit.rival().await.try_lock("report").await.is_ok());
    });
}

#[test]
fn what_another_machine_does_is_left_to_it() {
    kit::run(async |kit| {
        let ledger = Ledger::default();
        let [here, there] = [kit.locks().await, kit.rival().await].map(|locks| Runner {
            locks,
            ledger: ledger.clone(),
        });
        let theirs = tokio::spawn(async move { there.run("report", MINUTE).await });
        kit.advance(MINUTE / 2).await;
        assert_eq!(here.run("report", MINUTE).await, Ran::Elsewhere);
        assert_eq!(theirs.await.unwrap(), Ran::Done);
        assert_eq!(ledger.results(), ["report"]);
    });
}

#[test]
fn an_outage_is_not_taken_for_contention() {
    kit::run(async |kit| {
        let runner = Runner {
            locks: kit.locks().await,
            ledger: Ledger::default(),
        };
        kit.cut();
        assert_eq!(runner.run("report", MINUTE).await, Ran::Outage);
        kit.mend();
        // The release that the cut held up frees the key as soon as it arrives.
        kit.advance(MINUTE).await;
        assert_eq!(runner.run("report", MINUTE).await, Ran::Done);
    });
}

#[test]
fn a_lost_answer_is_not_a_lost_job() {
    kit::run(async |kit| {
        let ledger = Ledger::default();
        let runner = Runner {
            locks: kit.locks().await,
            ledger: ledger.clone(),
        };
        for _ in 0..3 {
            let job = kit.spawn({
                let runner = runner.clone();
                async move { runner.run("report", MINUTE).await }
            });
            kit.advance(MINUTE / 2).await;
            kit.lose_next_reply(); // of a renewal
            assert_eq!(job.await.unwrap(), Ran::Done);
        }
        assert_eq!(ledger.results().len(), 3);
    });
}

#[test]
fn a_job_whose_lock_is_lost_stops_and_leaves_no_result() {
    kit::run(async |kit| {
        let ledger = Ledger::default();
        let runner = Runner {
            locks: kit.locks().await,
            ledger: ledger.clone(),
        };
        let job = kit.spawn(async move { runner.run("report", 60 * MINUTE).await });
        kit.advance(MINUTE).await;
        kit.lose("report").await;
        assert!(job.is_finished(), "at once, not at the end of its hour");
        assert_eq!(job.await.unwrap(), Ran::Stopped);
        assert!(ledger.results().is_empty());
    });
}

#[test]
fn a_machine_that_stood_still_does_not_write_over_its_successor() {
    kit::run(async |kit| {
        let ledger = Ledger::default();
        let runner = Runner {
            locks: kit.locks().await,
            ledger: ledger.clone(),
        };
        let job = kit.spawn(async move { runner.run("report", MINUTE).await });
        kit.advance(MINUTE - Duration::from_secs(1)).await;

        // Its process stands still, and another machine takes over.
        let pause = kit.pause(5 * MINUTE);
        let successor = async {
            let guard = kit.rival().await.lock("report").await.unwrap();
            assert!(ledger.write(guard.fence(), "by the successor"));
            guard.release().await.unwrap();
        };
        tokio::join!(pause, successor);

        assert_eq!(job.await.unwrap(), Ran::Stopped);
        assert_eq!(ledger.results(), ["by the successor"]);
    });
}

/// Three machines restart one after the other, in the order in which they asked.
#[test]
fn machines_take_their_turns_and_a_lost_push_costs_time_only() {
    kit::run(async |kit| {
        let guard = kit.rival().await.lock("restart").await.unwrap();
        let here = kit.spawn({
            let locks = kit.locks().await;
            async move { locks.lock("restart").await.unwrap() }
        });
        kit.advance(Duration::from_secs(1)).await;
        let last = kit.rival_in_line("restart").await;
        let seen = kit.locks().await.inspect("restart").await.unwrap();
        assert_eq!(seen.waiting(), 2);

        kit.lose_next_push();
        drop(guard);
        let ours = here.await.unwrap();
        assert!(
            ours.waited() < Duration::from_secs(11),
            "{:?}",
            ours.waited()
        );
        kit.advance(MINUTE).await;
        assert!(!last.is_finished(), "it is not its turn");
        drop(ours);
        assert!(last.await.unwrap().is_valid());
    });
}
