//! What the benches share: a server of their own, and the same two commands sent three ways.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tenure_core::OpKind;
use tenure_redis::Locks;
use tenure_redis::seams::Script;
use tenure_tests::live::{Options, RedisServer, server};
use tokio::runtime::Runtime;

/// The TTL of every lock here: long enough that no renewal falls into the measurement.
const TTL: Duration = Duration::from_secs(300);

/// One server, and a client of each kind.
pub(crate) struct Bench {
    raw: Raw,
    locks: Locks,
    rslock: rslock::LockManager,
    server: RedisServer,
}

/// Who sends the commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// redis-rs, sending this crate's two scripts and looking at nothing but that they succeed.
    Raw,
    /// This crate: the same two scripts, a fence with every grant.
    Tenure,
    /// rslock: SET NX PX and a compare-and-delete, no fence.
    Rslock,
}

impl Who {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::Tenure, Self::Rslock];
}

impl Bench {
    /// Starts a server and connects all three, on a runtime of one thread. None, with a word on
    /// standard error, if there is no server to start.
    pub(crate) fn start() -> Option<(Runtime, Self)> {
        if !tenure_tests::live::servers_available() {
            return None;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let bench = runtime.block_on(Self::connect());
        Some((runtime, bench))
    }

    async fn connect() -> Self {
        let server = RedisServer::start(Options::new()).await;
        let url = server.url();
        let locks = Locks::builder()
            .node(&url)
            .ttl(TTL)
            .connect()
            .await
            .expect("connects");
        let raw = Raw::connect(&url).await;
        let rslock = rslock::LockManager::new(vec![url]);
        Self {
            raw,
            locks,
            rslock,
            server,
        }
    }

    /// How long it takes `tasks` tasks to do `pairs` acquires and releases in all, each on keys of
    /// its own.
    #[allow(
        clippy::disallowed_methods,
        reason = "a benchmark measures with the machine's clock"
    )]
    pub(crate) async fn time(&self, who: Who, tasks: u64, pairs: u64) -> Duration {
        static RUN: AtomicU64 = AtomicU64::new(0);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let each = pairs.div_ceil(tasks);
        let start = Instant::now();
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let key = format!("bench:{run}:{task}");
                match who {
                    Who::Raw => tokio::spawn(self.raw.clone().pairs(key, each)),
                    Who::Tenure => tokio::spawn(tenure_pairs(self.locks.clone(), key, each)),
                    Who::Rslock => tokio::spawn(rslock_pairs(self.rslock.clone(), key, each)),
                }
            })
            .collect();
        for task in tasks {
            task.await.expect("a bench task does not panic");
        }
        start.elapsed()
    }

    /// How often a command was called, by the server's own count.
    #[allow(dead_code, reason = "of the two benches one counts")]
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let info: String = self.server.cmd(&["INFO", "commandstats"]).await;
        let line = format!("cmdstat_{command}:calls=");
        let rest = info.split_once(&line).map_or("0", |(_, rest)| rest);
        rest.split(',')
            .next()
            .and_then(|calls| calls.parse().ok())
            .unwrap_or(0)
    }
}

async fn tenure_pairs(locks: Locks, key: String, pairs: u64) {
    for _ in 0..pairs {
        let guard = locks.try_lock(&key).await.expect("the key is free");
        guard.release().await.expect("the lock is held");
    }
}

async fn rslock_pairs(locks: rslock::LockManager, key: String, pairs: u64) {
    for _ in 0..pairs {
        let lock = locks
            .lock(key.as_bytes(), TTL)
            .await
            .expect("the key is free");
        locks.unlock(&lock).await;
    }
}

/// redis-rs with this crate's two scripts.
#[derive(Clone)]
struct Raw {
    connection: MultiplexedConnection,
    acquire: String,
    release: String,
}

impl Raw {
    async fn connect(url: &str) -> Self {
        let mut connection = server::connect(url).await;
        let mut load = redis::pipe();
        load.cmd("SCRIPT")
            .arg("LOAD")
            .arg(Script::Lease(OpKind::Acquire).text());
        load.cmd("SCRIPT")
            .arg("LOAD")
            .arg(Script::Lease(OpKind::Release).text());
        let (acquire, release) = load.query_async(&mut connection).await.expect("loads");
        Self {
            connection,
            acquire,
            release,
        }
    }

    async fn pairs(mut self, key: String, pairs: u64) {
        let counter = format!("{key}:tenure:fence:{{{key}}}");
        for pair in 0..pairs {
            let token = format!("{pair:032x}:1");
            let mut acquire = redis::cmd("EVALSHA");
            acquire.arg(&self.acquire).arg(2).arg(&key).arg(&counter);
            acquire.arg(&token).arg(TTL.as_millis() as u64).arg(0);
            let [granted]: [String; 1] = acquire
                .query_async(&mut self.connection)
                .await
                .expect("answers");
            assert!(granted.starts_with("granted"));
            let mut release = redis::cmd("EVALSHA");
            release.arg(&self.release).arg(1).arg(&key).arg(&token);
            let failed: Vec<String> = release
                .query_async(&mut self.connection)
                .await
                .expect("answers");
            assert!(failed.is_empty());
        }
    }
}
