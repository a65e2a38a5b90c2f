//! An application whose workers compete: they want the same few locks, hold them for a while,
//! change what the locks protect, and let go of them in every way there is.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use tenure_redis::{Builder, Locks};
use tenure_sim::choice::{Choices, Draws, Subject};
use tenure_sim::memory_net::TrueTime;

use crate::witness::{Diary, Holding};

/// How the workers of a client live.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How many there are.
    pub workers: u64,
    /// The largest TTL; smaller ones are asked for as well.
    pub max_ttl: Duration,
    /// The longest that a lock is held, when nothing ends it.
    pub hold: Duration,
    /// The longest pause between two locks.
    pub pause: Duration,
    /// Whether some give up before they have the lock, or do not wait at all.
    pub gives_up: bool,
}

/// Runs until the witness wants quiet. The builder names the nodes. Gives the client, which lives
/// on.
///
/// # Panics
/// If the builder cannot work, or something fails that no fault explains.
pub async fn live(
    diary: Diary,
    time: TrueTime,
    builder: Builder,
    habits: Habits,
    mut choices: Choices,
) -> Locks {
    diary.busy(true);
    let locks = builder
        .max_ttl(habits.max_ttl)
        .ttl(habits.max_ttl)
        .connect_lazy()
        .expect("the builder works");
    let workers = (0..habits.workers).map(|_| Worker {
        diary: diary.clone(),
        time: time.clone(),
        locks: locks.clone(),
        habits: habits.clone(),
        choices: Choices::from_seed(choices.about(Subject::Application).below(u64::MAX)),
    });
    join_all(workers.map(Worker::live)).await;
    diary.busy(false);
    locks
}

struct Worker {
    diary: Diary,
    time: TrueTime,
    locks: Locks,
    habits: Habits,
    choices: Choices,
}

impl Worker {
    async fn live(mut self) {
        loop {
            let pause = self.up_to(self.habits.pause);
            self.time.sleep(pause).await;
            if self.diary.is_quiet() {
                return;
            }
            if let Some(holding) = self.acquire().await {
                self.hold(holding).await;
            }
        }
    }

    const fn draws(&mut self) -> Draws<'_> {
        self.choices.about(Subject::Application)
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.draws().within(0, longest))
    }

    async fn acquire(&mut self) -> Option<Holding> {
        let keys = self.diary.witness().keys().len() as u64;
        let key = usize::try_from(self.draws().below(keys)).unwrap_or(0);
        let ttl = self.habits.max_ttl * self.draws().pick(&[4, 4, 2, 1]) / 4;
        if !self.habits.gives_up {
            let (wanted, locks, name) = self.diary.wants(&self.locks, key, ttl);
            let answer = locks.lock(&name).await;
            return wanted.answered(answer);
        }
        let patience = self.habits.max_ttl * self.draws().pick(&[2, 1, 4]);
        let locks = self
            .locks
            .with(|options| options.give_up_after(patience))
            .expect("the options work");
        let (wanted, locks, name) = self.diary.wants(&locks, key, ttl);
        match self.draws().below(6) {
            0 => {
                let answer = locks.try_lock(&name).await;
                wanted.answered(answer)
            }
            1 => {
                let gives_up = self.up_to(ttl);
                let lock = pin!(locks.lock(&name));
                match select(lock, pin!(self.time.sleep(gives_up))).await {
                    Either::Left((answer, _)) => wanted.answered(answer),
                    Either::Right(_) => None,
                }
            }
            _ => {
                let answer = locks.lock(&name).await;
                wanted.answered(answer)
            }
        }
    }

    async fn hold(&mut self, holding: Holding) {
        let steps = self.draws().below(5);
        let hold = self.up_to(self.habits.hold);
        for _ in 0..=steps {
            // Between the check of the lock and the write there is a pause: this is what fences are
            // for.
            if !holding.is_valid() {
                break;
            }
            let read = holding.read();
            let think = self.up_to(hold / 4);
            if self.lost_within(&holding, think).await && !self.draws().chance(300) {
                break;
            }
            if let Some(read) = read {
                holding.write(read);
            }
            if self.draws().chance(150) {
                holding.renew().await;
            }
            let rest = hold / u32::try_from(steps + 1).unwrap_or(1);
            if self.lost_within(&holding, rest).await {
                break;
            }
        }
        match self.draws().below(4) {
            0 => drop(holding),
            1 if !holding.is_valid() => {
                let lost = holding.guard().lost().await;
                holding.lost(&lost);
            }
            _ => holding.release().await,
        }
    }

    /// Waits, but no longer than the lock is held. Says whether it was lost.
    async fn lost_within(&self, holding: &Holding, span: Duration) -> bool {
        let lost = pin!(holding.guard().lost());
        let over = matches!(
            select(lost, pin!(self.time.sleep(span))).await,
            Either::Left(_)
        );
        over || !holding.is_valid()
    }
}
