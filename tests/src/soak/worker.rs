//! A task of a process that takes one lock after the other, in all the ways that a program may.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use tenure_redis::{Guard, LockError, Locks, Loss, ReleaseError};
use tenure_sim::choice::{Choices, Subject};
use tokio::sync::watch;

use super::event::{Event, Why, Written};
use super::process::tell;
use super::store::Store;
use super::{Broken, KEYS, TTL, clock};
use crate::live::wait::pause;

/// Half of all locks are on so many keys, so that somebody waits for them.
const WANTED: u64 = 16;
/// How often a holder looks whether it was told its loss, and how many looks it has time for that.
/// Looks are counted and not time, since a process that stands still does not look.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 300;

pub(super) struct Worker {
    pub(super) locks: Locks,
    pub(super) store: Store,
    /// The number of the next lease of this process.
    pub(super) number: Arc<AtomicU64>,
    pub(super) choices: Choices,
    pub(super) broken: Option<Broken>,
    /// Whether replicas acknowledge what its client is granted.
    pub(super) acknowledged: bool,
}

/// A lock that was granted.
struct Hold {
    guard: Guard,
    lease: u64,
    key: u64,
}

impl Worker {
    fn draw(&mut self, low: u64, high: u64) -> u64 {
        self.choices.about(Subject::Application).within(low, high)
    }

    fn draw_time(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.draw(low, high))
    }

    /// Takes locks until it is told to end.
    pub(super) async fn run(mut self, ends: watch::Receiver<bool>) {
        while !*ends.borrow() {
            let rest = self.draw_time(0, 300);
            pause(rest).await;
            if let Some(hold) = self.take().await {
                self.keep(hold).await;
            }
        }
    }

    /// Asks for a key in one of three ways: waits, waits until it has had enough, or tries once.
    async fn take(&mut self) -> Option<Hold> {
        let keys = if self.draw(0, 1) == 0 { WANTED } else { KEYS };
        let key = self.draw(0, keys - 1);
        let name = format!("k{key}");
        let lease = self.number.fetch_add(1, Ordering::Relaxed);
        let way = self.draw(0, 9);
        let enough = self.draw_time(0, 500);
        let asked = clock::now();
        let at = asked;
        let result = match way {
            0 | 1 => self.locks.try_lock(&name).await,
            2 | 3 => {
                tell(Event::Asked { lease, key, at });
                let lock = pin!(self.locks.lock(&name));
                match select(lock, pin!(pause(enough))).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => {
                        let (at, why) = (clock::now(), Why::Dropped);
                        tell(Event::Unserved { lease, at, why });
                        return None;
                    }
                }
            }
            _ => {
                tell(Event::Asked { lease, key, at });
                self.locks.lock(&name).await
            }
        };
        let at = clock::now();
        match result {
            Ok(guard) => {
                let fence = guard.fence();
                // A renewal could be in it, which no replica has, if the guard was renewed before
                // this task ran. That takes a lock that waited for long and a moment of bad luck.
                let left = u64::try_from(guard.remaining().as_nanos()).expect("it is short");
                let acknowledged = if self.acknowledged { at + left } else { 0 };
                tell(Event::Granted {
                    lease,
                    key,
                    asked,
                    at,
                    fence,
                    acknowledged,
                });
                Some(Hold { guard, lease, key })
            }
            Err(error) => {
                let why = why(&error);
                if why == Why::Other {
                    eprintln!("lease {lease}: {error}");
                }
                tell(Event::Unserved { lease, at, why });
                None
            }
        }
    }

    /// Holds the lock for a while, and gives it back in one of several ways.
    async fn keep(&mut self, hold: Hold) {
        // Some hold it for longer than a TTL, which takes renewals.
        let long = self.draw(0, 30) == 0;
        let (low, high) = if long { (3_000, 5_000) } else { (2, 1_000) };
        let until = clock::now() + self.draw(low, high) * 1_000_000;
        let awaits = self.draw(0, 2);
        // The last step is behind the last rest, in which the process may have stood still.
        loop {
            if !self.step(&hold).await {
                self.lost(hold).await;
                return;
            }
            if clock::now() >= until {
                break;
            }
            let rest = self.draw_time(5, 100);
            match awaits {
                0 => drop(select(pin!(hold.guard.lost()), pin!(pause(rest))).await),
                1 => drop(hold.guard.run(pause(rest)).await),
                _ => pause(rest).await,
            }
            if self.draw(0, 9) == 0 {
                // What came of it shows at the next step.
                let _ = hold.guard.renew().await;
            }
        }
        self.give_back(hold).await;
    }

    /// Writes, if the lock is held. Says whether it was.
    async fn step(&mut self, hold: &Hold) -> bool {
        let ignores = self.broken == Some(Broken::IgnoresLoss);
        if !seen(hold) && !ignores {
            return false;
        }
        let Hold { guard, lease, key } = hold;
        if ignores {
            let (lease, at) = (*lease, clock::now());
            tell(Event::Seen { lease, at });
        }
        let (mut how, count) = self.store.write(*key, guard.fence(), *lease).await;
        // Before the guard is asked, so that the lock was held at this instant.
        let at = clock::now();
        if how == Written::Refused && (ignores || guard.is_valid()) {
            how = Written::RefusedWhileHeld;
        }
        wrote(*lease, at, how, count);
        true
    }

    async fn give_back(&mut self, hold: Hold) {
        seen(&hold);
        if self.broken == Some(Broken::LeaksTasks) {
            let kept = vec![1_u8; 1 << 18];
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(kept);
            });
        }
        let Hold { guard, lease, .. } = hold;
        let soon = self.draw_time(0, 2);
        match self.draw(0, 9) {
            0..=3 => drop(guard),
            4 => {
                // The release goes on without its future.
                let _ = select(pin!(guard.release()), pin!(pause(soon))).await;
            }
            _ => match guard.release().await {
                Ok(()) | Err(ReleaseError::Unknown { .. }) => {}
                Err(ReleaseError::Lost(lost)) => told(lease, &lost.loss),
                Err(error) => panic!("{error}"),
            },
        }
    }

    /// The lock is lost: the holder must be told. As one that was paused in the middle of a write
    /// would, it writes once more, which the store refuses if anybody has written since.
    // Law: Loss is told
    async fn lost(&mut self, hold: Hold) {
        let Hold { guard, lease, key } = hold;
        let mut looks = 0;
        let mut lost = pin!(guard.lost());
        let loss = loop {
            match select(lost, pin!(pause(LOOK))).await {
                Either::Left((lost, _)) => break lost.loss,
                Either::Right(((), rest)) => lost = rest,
            }
            looks += 1;
            if looks > LOOKS {
                tell(Event::Untold { lease });
                return;
            }
        };
        told(lease, &loss);
        let (how, count) = self.store.write(key, guard.fence(), lease).await;
        wrote(lease, clock::now(), how, count);
        // Law: No resurrection
        if guard.is_valid() {
            tell(Event::Revived { lease });
        }
        let rest = self.draw_time(0, u64::try_from(TTL.as_millis()).expect("it is short"));
        pause(rest / 10).await;
    }
}

/// Whether the lock is held. If so, it was at an instant before.
fn seen(hold: &Hold) -> bool {
    let at = clock::now();
    let valid = hold.guard.is_valid();
    if valid {
        let lease = hold.lease;
        tell(Event::Seen { lease, at });
    }
    valid
}

fn wrote(lease: u64, at: u64, how: Written, count: u64) {
    tell(Event::Wrote {
        lease,
        at,
        how,
        count,
    });
}

fn told(lease: u64, loss: &Loss) {
    match loss {
        Loss::Expired | Loss::Taken | Loss::Gone => tell(Event::Lost { lease }),
        other => panic!("lease {lease}: nothing here is a reason for {other:?}"),
    }
}

fn why(error: &LockError) -> Why {
    match error {
        LockError::Contended { .. } => Why::Contended,
        LockError::Outage { .. } | LockError::Unacknowledged { .. } => Why::Outage,
        LockError::Quarantined { .. } => Why::Quarantined,
        _ => Why::Other,
    }
}
