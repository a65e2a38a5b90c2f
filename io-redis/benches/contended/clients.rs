//! Those that wait for one key: how each asks for it and gives it back.

use std::time::Duration;

use tenure_redis::{Guard, Locks};

use crate::prototype::{ALL_COMMANDS, BARE, Prototype};

/// The TTL of those that renew nothing: longer than all that a run holds.
pub(crate) const TTL: Duration = Duration::from_secs(300);
/// How long a server may take that has ten thousand waiters to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The bare hand-off.
    Prototype,
    /// The same, whose scripts call all that Tenure's scripts call.
    AllCommands,
    /// rslock, which asks again after up to 200 ms.
    Rslock,
    /// This crate, with default options.
    Tenure,
}

/// How many there are.
pub(crate) const PARTIES: usize = 4;

impl Who {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; PARTIES] = [
        Self::Prototype,
        Self::AllCommands,
        Self::Rslock,
        Self::Tenure,
    ];

    /// As the table calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prototype => "prototype",
            Self::AllCommands => "all-commands",
            Self::Rslock => "rslock",
            Self::Tenure => "Tenure",
        }
    }

    /// The one with this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.name() == name)
    }
}

/// A client of one of them. Its clones share its connection.
#[derive(Clone)]
pub(crate) enum Client {
    Prototype(Prototype),
    Rslock(rslock::LockManager),
    Tenure(Locks),
}

/// What was granted.
pub(crate) enum Held {
    Prototype,
    Rslock(rslock::LockGuard),
    Tenure(Guard),
}

impl Client {
    /// Connects, and takes and gives back another key once.
    pub(crate) async fn connect(who: Who, url: &str) -> Self {
        let mut client = match who {
            Who::Prototype => Self::Prototype(Prototype::connect(url, BARE).await),
            Who::AllCommands => Self::Prototype(Prototype::connect(url, ALL_COMMANDS).await),
            Who::Rslock => Self::Rslock(rslock::LockManager::new(vec![url])),
            Who::Tenure => Self::Tenure(Locks::connect(url).await.expect("the server serves")),
        };
        let first = format!("bench:first:{}", std::process::id());
        let held = client.lock(&first).await;
        client.release(&first, held).await;
        client
    }

    /// A clone for the task with this number.
    pub(crate) fn of_task(&self, task: u64) -> Self {
        match self.clone() {
            Self::Prototype(prototype) => Self::Prototype(prototype.of_task(task)),
            other => other,
        }
    }

    /// Waits until it has the key.
    pub(crate) async fn lock(&mut self, key: &str) -> Held {
        match self {
            Self::Prototype(prototype) => {
                prototype.lock(key).await;
                Held::Prototype
            }
            Self::Rslock(locks) => {
                let held = locks.acquire(key.as_bytes(), TTL).await;
                Held::Rslock(held.expect("it waits until it is granted"))
            }
            Self::Tenure(locks) => {
                let held = locks.lock(key).await;
                Held::Tenure(held.expect("it waits until it is granted"))
            }
        }
    }

    /// Gives it back.
    pub(crate) async fn release(&mut self, key: &str, held: Held) {
        match (self, held) {
            (Self::Prototype(prototype), Held::Prototype) => prototype.release(key).await,
            (_, Held::Rslock(held)) => held.release().await,
            (_, Held::Tenure(held)) => {
                if let Err(error) = held.release().await {
                    eprintln!("{error}");
                }
            }
            (_, Held::Prototype) => unreachable!("it was granted to the prototype"),
        }
    }
}
