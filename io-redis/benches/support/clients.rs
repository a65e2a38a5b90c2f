//! The same work done by three clients: takes a lock that is free, and gives it back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tenure_redis::Locks;
use tenure_tests::live::server;

/// The TTL over one node: so long that no renewal falls into a measurement.
const TTL: Duration = Duration::from_secs(300);
/// The TTL over several. A new node is in quarantine for so long, which a bench waits for.
const TTL_OF_SEVERAL: Duration = Duration::from_secs(6);

/// What every library sends to give a lock back.
pub const DELETE_IF_OURS: &str =
    "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) end return 0";

/// Who takes locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// redis-rs alone: `SET NX PX`, and a script that compares and deletes. Over several nodes
    /// it waits for a majority.
    Raw,
    /// rslock: the same two, and no fence.
    Rslock,
    /// This crate, which draws a fence too.
    Tenure,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Rslock, Self::Tenure];

    /// As tables call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Rslock => "rslock",
            Self::Tenure => "Tenure",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.name() == name)
    }
}

/// A client of each kind.
pub struct Clients {
    raw: Raw,
    rslock: rslock::LockManager,
    locks: Locks,
    ttl: Duration,
}

impl Clients {
    /// Connects to all of these servers.
    ///
    /// # Panics
    /// If a server does not let one of them in.
    pub async fn connect(urls: &[String]) -> Self {
        let ttl = if urls.len() == 1 { TTL } else { TTL_OF_SEVERAL };
        let locks = Locks::builder().nodes(urls).ttl(ttl).connect().await;
        let locks = locks.expect("the servers serve");
        // Waits until the nodes are out of quarantine.
        let first = locks.lock("bench:first").await.expect("it is free");
        first.release().await.expect("it is held");
        Self {
            raw: Raw::connect(urls, ttl).await,
            rslock: rslock::LockManager::new(urls.to_vec()),
            locks,
            ttl,
        }
    }

    /// So many tasks take and give back, each a key of its own, `pairs` times in all.
    ///
    /// # Panics
    /// If a lock is not granted, or not given back.
    pub async fn pairs(&self, who: Who, tasks: u64, pairs: u64) {
        static RUN: AtomicU64 = AtomicU64::new(0);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let each = pairs.div_ceil(tasks);
        let spawn = |task| {
            // All keys have one length, so that bytes can be compared.
            let key = format!("bench:{run:08}:{task:04}");
            match who {
                Who::Raw => tokio::spawn(self.raw.clone().pairs(key, each)),
                Who::Rslock => tokio::spawn(rslock_pairs(self.rslock.clone(), key, self.ttl, each)),
                Who::Tenure => tokio::spawn(tenure_pairs(self.locks.clone(), key, each)),
            }
        };
        let tasks: Vec<_> = (0..tasks).map(spawn).collect();
        for task in tasks {
            task.await.expect("a task of a bench does not panic");
        }
    }
}

async fn tenure_pairs(locks: Locks, key: String, pairs: u64) {
    for _ in 0..pairs {
        let guard = loop {
            match locks.try_lock(&key).await {
                Ok(guard) => break guard,
                // On a machine that stands still for a while. A round more or less does not
                // change a median.
                Err(error) if error.is_outage() => eprintln!("{error}"),
                Err(error) => panic!("{error}"),
            }
        };
        guard.release().await.expect("the lock is held");
    }
}

async fn rslock_pairs(locks: rslock::LockManager, key: String, ttl: Duration, pairs: u64) {
    for _ in 0..pairs {
        let lock = locks.lock(key.as_bytes(), ttl).await;
        locks.unlock(&lock.expect("the key is free")).await;
    }
}

/// redis-rs alone.
#[derive(Clone)]
struct Raw {
    connections: Vec<MultiplexedConnection>,
    release: String,
    ttl: u64,
}

impl Raw {
    async fn connect(urls: &[String], ttl: Duration) -> Self {
        let mut connections = Vec::new();
        let mut release = String::new();
        for url in urls {
            let mut connection = server::connect(url).await;
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(DELETE_IF_OURS);
            let loaded = load.query_async(&mut connection).await;
            release = loaded.expect("a script is loaded");
            connections.push(connection);
        }
        let ttl = u64::try_from(ttl.as_millis()).expect("a short time");
        Self {
            connections,
            release,
            ttl,
        }
    }

    async fn pairs(mut self, key: String, pairs: u64) {
        for pair in 0..pairs {
            let token = format!("{pair:032x}:1");
            let mut acquire = redis::cmd("SET");
            acquire.arg(&key).arg(&token).arg("NX").arg("PX");
            acquire.arg(self.ttl);
            let mut release = redis::cmd("EVALSHA");
            release.arg(&self.release).arg(1).arg(&key).arg(&token);
            if let [connection] = &mut self.connections[..] {
                let set: String = answer(acquire.query_async(connection).await);
                assert_eq!(set, "OK");
                let deleted: u64 = answer(release.query_async(connection).await);
                assert_eq!(deleted, 1);
            } else {
                self.majority(&acquire).await;
                self.majority(&release).await;
            }
        }
    }

    /// Sends it to all, and waits for the answers of most.
    async fn majority(&mut self, command: &redis::Cmd) {
        let most = self.connections.len() / 2 + 1;
        let connections = self.connections.iter_mut();
        let sent: FuturesUnordered<_> = connections
            .map(|connection| command.query_async::<redis::Value>(connection))
            .collect();
        let mut answers = sent.take(most);
        while let Some(said) = answers.next().await {
            let said = answer(said);
            assert!(!matches!(said, redis::Value::Nil | redis::Value::Int(0)));
        }
    }
}

fn answer<T>(said: RedisResult<T>) -> T {
    said.expect("a server answers")
}
