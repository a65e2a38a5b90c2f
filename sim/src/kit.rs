//! For the tests of a program that uses locks, without Redis, real waiting or chance.
//!
//! [`run`] makes a small world around your code: one server, the process under test, and a rival
//! process that wants the same locks. All of it is the real `tenure-redis` on simulated time, which
//! jumps to the next thing that is due: an hour costs milliseconds, and each run is like the one
//! before.
//!
//! Your code needs one thing for it: that it is given its [`Locks`] (or a [`Builder`]) instead of
//! making its own from an address. (In here is no network but the world's: [`Locks::connect`] and
//! other I/O of tokio panic.) What it does with time goes through tokio, as ever; the clocks of
//! `std::time` do not jump. The test is a plain `#[test]`, not `#[tokio::test]`: [`run`] brings its
//! own runtime.
//!
//! ```
//! use std::time::Duration;
//! use tenure_redis::{Locks, Lost};
//! use tenure_sim::kit;
//!
//! /// The code under test: five minutes of work that must stop when its lock is lost.
//! async fn nightly(locks: Locks) -> Result<(), Lost> {
//!     let guard = locks.lock("nightly").await.expect("nobody gives up here");
//!     guard.run(tokio::time::sleep(Duration::from_secs(300))).await
//! }
//!
//! kit::run(async |kit| {
//!     let work = kit.spawn(nightly(kit.locks().await));
//!     kit.advance(Duration::from_secs(100)).await;
//!     kit.lose("nightly").await;
//!     assert!(work.await.unwrap().is_err(), "it stopped");
//! });
//! ```
//!
//! Beyond that: [`Kit::client`] (a crash, and what comes after it), [`Kit::node`] and
//! [`Kit::world`] are the whole of [`memory_net`](crate::memory_net), with more nodes, other faults
//! and every clock in reach.

use std::collections::BTreeSet;
use std::time::Duration;

use tenure_redis::{Builder, Guard, Locks};
use tokio::task::JoinHandle;

use crate::memory_net::{Client, Node, World};
use crate::server::{Lost, Reply};

/// The name of the server.
const NODE: &str = "redis";

/// One server, the process under test, a rival. See the [module](self). Clones are the same world.
#[derive(Clone, Debug)]
pub struct Kit {
    world: World,
    node: Node,
    client: Client,
    rival: Client,
}

/// Runs a test in a world of its own, on a runtime of its own.
///
/// ```
/// tenure_sim::kit::run(async |kit| {
///     let guard = kit.locks().await.lock("k").await.unwrap();
///     assert!(guard.is_valid());
/// });
/// ```
///
/// # Panics
/// If the test does not end within a day of simulated time: it awaits what never comes. (A day in
/// which a lock is held and renewed may take a minute of real time.) If there is a tokio runtime
/// around it, as in a `#[tokio::test]`.
#[track_caller]
pub fn run<T>(test: impl AsyncFnOnce(Kit) -> T) -> T {
    World::run(1, async |world| {
        let node = world.node(NODE);
        let (client, rival) = (world.client("tested"), world.client("rival"));
        let kit = Kit {
            world,
            node,
            client,
            rival,
        };
        test(kit).await
    })
}

/// How often to look whether a holder asked the server.
const STEP: Duration = Duration::from_millis(1);
/// A holder that has not asked again for so long has been answered.
const SILENCE: Duration = Duration::from_secs(1);
/// How many places a queue has.
const PLACES: u64 = 100_000;

impl Kit {
    /// A handle of the process under test, with the defaults.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let locks = kit.locks().await;
    /// locks.try_lock("k").await.unwrap().release().await.unwrap();
    /// # });
    /// ```
    ///
    /// # Panics
    /// If the server cannot be reached, as after [`cut`](Self::cut), or the process has
    /// [crashed](Client::crash).
    pub async fn locks(&self) -> Locks {
        connected(&self.client).await
    }

    /// A builder of the process under test: for a TTL, a prefix or options of its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tenure_sim::kit::run(async |kit| {
    /// let locks = kit.builder().ttl(Duration::from_secs(3)).connect().await.unwrap();
    /// let guard = locks.lock("k").await.unwrap();
    /// assert!(guard.remaining() < Duration::from_secs(3));
    /// # });
    /// ```
    pub fn builder(&self) -> Builder {
        self.client.builder()
    }

    /// A handle of another process: to hold what your code wants, and to look whether it let go.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let elsewhere = kit.rival().await.lock("k").await.unwrap();
    /// let refused = kit.locks().await.try_lock("k").await.unwrap_err();
    /// assert!(refused.is_contention());
    /// # drop(elsewhere);
    /// # });
    /// ```
    ///
    /// # Panics
    /// If the server cannot be reached.
    pub async fn rival(&self) -> Locks {
        connected(&self.rival).await
    }

    /// Spawns your code as a part of the process under test, so that it stands still in a
    /// [`pause`](Self::pause). A task that it starts itself, with [`tokio::spawn`], is no part of
    /// the process unless its future is wrapped in [`Client::run`].
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let answer = kit.spawn(async { 42 });
    /// assert_eq!(answer.await.unwrap(), 42);
    /// # });
    /// ```
    pub fn spawn<F>(&self, code: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(self.client.run(code))
    }

    /// Lets time pass. A test need not: what it awaits comes as soon as nothing else is left to do.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.locks().await.lock("k").await.unwrap();
    /// kit.advance(Duration::from_secs(3_600)).await;
    /// assert!(guard.is_valid(), "it renewed itself");
    /// # });
    /// ```
    pub async fn advance(&self, span: Duration) {
        self.world.sleep(span).await;
    }

    /// The lock of this key is lost: somebody deletes it (from each node, if there are more), and
    /// time passes until its holder has found out, be it the process under test or the rival: until
    /// a second after its next renewal, or until its validity ends if nothing renews it. Who awaits
    /// the loss finds out at once; for a test of that see [`delete`](Self::delete), with which no
    /// time passes. The key is the whole of it, with the client's prefix.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.locks().await.lock("k").await.unwrap();
    /// kit.lose("k").await;
    /// assert!(!guard.is_valid());
    /// assert_eq!(guard.lost().await.loss, tenure_redis::Loss::Gone);
    /// // Two thirds of the default TTL, and a second.
    /// assert_eq!(kit.world().now().as_secs(), 7);
    /// # });
    /// ```
    ///
    /// # Panics
    /// If nobody holds the key.
    pub async fn lose(&self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        let nodes = self.world.nodes();
        let holding = self.holding(key);
        let token = holding.server().peek(key).unwrap_or_default();
        let (mut seen, _) = self.world.naming(0, &token);
        let mut left = 0;
        for node in &nodes {
            if let Reply::Int(ttl) = node.server().call(&[b"PTTL".as_slice(), key]) {
                left = left.max(ttl);
            }
            node.server().call(&[b"DEL".as_slice(), key]);
        }
        // A holder that was answered does not ask again; one whose answer was lost does.
        let mut silent = None;
        for _ in 0..left {
            self.advance(STEP).await;
            let (arrived, asked) = self.world.naming(seen, &token);
            seen = arrived;
            silent = match silent {
                _ if asked > 0 => Some(Duration::ZERO),
                Some(span) if span >= SILENCE => return,
                silent => silent.map(|span| span + STEP),
            };
        }
        // A server keeps a key for a little longer than its holder believes.
        self.advance(STEP).await;
    }

    /// Somebody deletes this key, from each node if there are more, and no time passes. So a test
    /// sees when it is found out: at once by who awaits the loss ([`Guard::lost`], [`Guard::run`],
    /// [`Guard::renewed`]), otherwise by the next renewal. The key is the whole of it, with the
    /// client's prefix.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tenure_sim::kit::run(async |kit| {
    /// let locks = kit.locks().await;
    /// let work = kit.spawn(async move {
    ///     let guard = locks.lock("k").await.unwrap();
    ///     guard.run(std::future::pending::<()>()).await
    /// });
    /// kit.advance(Duration::from_secs(1)).await;
    /// let deleted = kit.world().now();
    /// kit.delete("k");
    /// let lost = work.await.unwrap().unwrap_err();
    /// assert_eq!(lost.loss, tenure_redis::Loss::Gone);
    /// // Two round trips, of 2 ms each; the next renewal was seconds away.
    /// assert!(kit.world().now() - deleted < Duration::from_millis(5));
    /// # });
    /// ```
    ///
    /// # Panics
    /// If nobody holds the key.
    pub fn delete(&self, key: impl AsRef<[u8]>) {
        self.change(key.as_ref(), &[b"DEL", key.as_ref()]);
    }

    /// Somebody who takes no heed of locks writes this value over the key, at each node if there
    /// are more, and no time passes. It has no expiry then, so that the key is *foreign* to who
    /// asks for it. As with [`delete`](Self::delete), who awaits the loss is told at once.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.locks().await.lock("k").await.unwrap();
    /// kit.overwrite("k", "theirs");
    /// assert!(guard.is_valid(), "nobody has told it yet");
    /// assert_eq!(guard.lost().await.loss, tenure_redis::Loss::Taken);
    /// assert_eq!(kit.node().server().peek("k").unwrap(), b"theirs", "not ours to free");
    /// # });
    /// ```
    ///
    /// # Panics
    /// If nobody holds the key.
    pub fn overwrite(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.change(key.as_ref(), &[b"SET", key.as_ref(), value.as_ref()]);
    }

    /// Lets each node carry out a command of somebody else's about a key that somebody holds.
    fn change(&self, key: &[u8], command: &[&[u8]]) {
        self.holding(key);
        for node in self.world.nodes() {
            node.server().call(command);
        }
    }

    /// A node at which somebody holds the key.
    fn holding(&self, key: &[u8]) -> Node {
        let nodes = self.world.nodes();
        let holds = |node: &&Node| node.server().peek_expiry_ms(key).is_some();
        if let Some(holding) = nodes.iter().find(holds) {
            return holding.clone();
        }
        let keys: BTreeSet<_> = nodes
            .iter()
            .flat_map(|node| node.server().keys())
            .map(|key| key.escape_ascii().to_string())
            .collect();
        panic!(
            "nobody holds {} (the key is the whole of it, with the client's prefix); \
             the server has {keys:?}",
            key.escape_ascii()
        )
    }

    /// The server will do what it is asked next, by whomever, and the answer will be lost with the
    /// connection: nobody knows what came of it. So say it just before the request that is meant,
    /// with the handles connected.
    ///
    /// A `lock` makes another attempt, as here, and a lease that renews itself another renewal.
    /// What is asked once answers with an outage: a `try_lock` (what it may have taken is freed
    /// behind its back), and a [`renew`](tenure_redis::Guard::renew) or
    /// [`ensure`](tenure_redis::Guard::ensure) by hand (the lock is held all the same, and renewed
    /// a moment later).
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let locks = kit.locks().await;
    /// kit.lose_next_reply();
    /// let guard = locks.lock("k").await.unwrap();
    /// assert!(guard.is_valid(), "it took a second attempt, and no second key");
    /// # });
    /// ```
    pub fn lose_next_reply(&self) {
        // Not `INFO` and the like, by which the client looks at the server.
        self.node.server().lose_reply(Some("evalsha"), Lost::Cut);
    }

    /// The rival gets in line for this key, which somebody holds, and has the lock when its turn
    /// comes. Ends when it has its place. To hand the lock over, release or drop what the task
    /// gives.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.locks().await.lock("k").await.unwrap();
    /// let rival = kit.rival_in_line("k").await;
    /// let next = kit.spawn({
    ///     let locks = kit.locks().await;
    ///     async move { locks.lock("k").await }
    /// });
    /// guard.release().await.unwrap();
    /// let theirs = rival.await.unwrap();
    /// assert!(!next.is_finished(), "the rival came first");
    /// drop(theirs);
    /// next.await.unwrap().unwrap();
    /// # });
    /// ```
    ///
    /// # Panics
    /// If nobody holds the key, or the server has no queue for it.
    pub async fn rival_in_line(&self, key: impl AsRef<[u8]>) -> JoinHandle<Guard> {
        let (key, rival) = (key.as_ref().to_vec(), self.rival().await);
        let before = waiting(&rival, &key).await;
        let task = tokio::spawn(self.rival.run({
            let (rival, key) = (rival.clone(), key.clone());
            async move {
                let guard = rival.lock(key).await;
                guard.unwrap_or_else(|error| panic!("the rival waits no longer: {error}"))
            }
        }));
        while waiting(&rival, &key).await <= before {
            assert!(!task.is_finished(), "the rival got the lock at once");
            self.advance(STEP).await;
        }
        task
    }

    /// The next message by which the server tells a waiter that it has the lock is lost. The waiter
    /// has it all the same, and finds out when it next asks: the lock stands still until then. (If
    /// there are more nodes, the next message of each is lost, by which it tells a waiter to ask.)
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.rival().await.lock("k").await.unwrap();
    /// let waiting = kit.spawn({
    ///     let locks = kit.locks().await;
    ///     async move { locks.lock("k").await }
    /// });
    /// kit.advance(Duration::from_secs(1)).await;
    /// kit.lose_next_push();
    /// guard.release().await.unwrap();
    /// let guard = waiting.await.unwrap().unwrap();
    /// assert!(guard.waited() < Duration::from_secs(10));
    /// # });
    /// ```
    pub fn lose_next_push(&self) {
        for node in self.world.nodes() {
            node.server().lose_next_message();
        }
    }

    /// The queue of this key, which somebody holds, is full for a minute, with waiters that never
    /// do anything. Who asks is told [`QueueFull`](tenure_redis::LockError::QueueFull). (If there
    /// are more nodes, only that of the first is full, and that is no error.)
    ///
    /// ```
    /// # use tenure_redis::LockError;
    /// # tenure_sim::kit::run(async |kit| {
    /// let _guard = kit.rival().await.lock("k").await.unwrap();
    /// kit.fill_queue("k").await;
    /// let refused = kit.locks().await.lock("k").await.unwrap_err();
    /// assert!(matches!(refused, LockError::QueueFull { .. }));
    /// # });
    /// ```
    ///
    /// # Panics
    /// If nobody holds the key, or the server has no queue for it.
    pub async fn fill_queue(&self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        let rival = self.rival_in_line(key).await;
        let server = self.node.server();
        let prefix = [key, b":tenure:queue"].concat();
        let named = server.keys().into_iter().find(|k| k.starts_with(&prefix));
        let queue = named.expect("the rival stands in it");
        let now: u64 = match server.call(&["TIME"]) {
            Reply::Array(parts) => match &parts[..] {
                [Reply::Bulk(secs), ..] => String::from_utf8_lossy(secs).parse().unwrap_or(0),
                _ => 0,
            },
            _ => 0,
        };
        // They end within ten seconds before the queue does, as the scripts have it.
        let expiry = (now + 60) / 10 * 10_000;
        let until = expiry - 1;
        for thousand in 0..PLACES / 1_000 {
            let mut zadd = vec![b"ZADD".to_vec(), queue.clone()];
            for place in thousand * 1_000..(thousand + 1) * 1_000 {
                let token = format!("{place:032x}:1");
                let member = format!("Ax{place:016x}{:03}{token}", token.len());
                zadd.extend([(place + 2).to_string(), member].map(String::into_bytes));
                let end = (until * 64).to_string();
                zadd.extend([end, format!("B{place:016x}")].map(String::into_bytes));
            }
            server.call(&zadd);
        }
        let expiry = expiry.to_string().into_bytes();
        server.call(&[b"PEXPIREAT".to_vec(), queue, expiry]);
        rival.abort();
    }

    /// The process under test is cut off from the server, until [`mend`](Self::mend): nothing
    /// arrives, nothing answers, nothing is closed. Its rival is not.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let locks = kit.locks().await;
    /// kit.cut();
    /// assert!(locks.try_lock("k").await.unwrap_err().is_outage());
    /// kit.mend();
    /// assert!(locks.lock("k").await.is_ok());
    /// # });
    /// ```
    pub fn cut(&self) {
        self.client.link(NODE).stall();
    }

    /// The end of a [`cut`](Self::cut): what was under way arrives late.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.locks().await.lock("k").await.unwrap();
    /// kit.cut();
    /// kit.advance(Duration::from_secs(8)).await;
    /// kit.mend();
    /// kit.advance(Duration::from_secs(60)).await;
    /// assert!(guard.is_valid(), "shorter than its validity: it was renewed in time");
    /// # });
    /// ```
    pub fn mend(&self) {
        self.client.link(NODE).heal();
    }

    /// The process under test stands still for so long, as in a long collection of garbage: what
    /// was [spawned](Self::spawn) in it, and its handles' own work. Its clock goes on. What your
    /// code starts with [`tokio::spawn`] does not stand still, nor does the test itself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tenure_sim::kit::run(async |kit| {
    /// let guard = kit.locks().await.lock("k").await.unwrap();
    /// kit.pause(Duration::from_secs(30)).await;
    /// assert!(!guard.is_valid(), "asked before anything of it ran again");
    /// # });
    /// ```
    pub async fn pause(&self, span: Duration) {
        self.client.pause();
        self.advance(span).await;
        self.client.resume();
    }

    /// The process under test: its clock, its links, its crash.
    ///
    /// After a [crash](Client::crash) nothing runs in it any more, and nothing that was spawned in
    /// it ever ends. Started again it is another process:
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// kit.client().clock().set_drift_ppm(4_000);
    /// let before = kit.locks().await.lock("k").await.unwrap();
    /// kit.client().crash();
    ///
    /// let again = kit.world().client("again");
    /// let locks = again.builder().connect().await.unwrap();
    /// let guard = locks.lock("k").await.unwrap();
    /// assert!(guard.fence() > before.fence());
    /// // The dead one's key was there for its TTL.
    /// assert!(kit.world().now().as_secs() >= 9);
    /// # });
    /// ```
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The server and its clock: restarts, refusals, a full memory.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let locks = kit.locks().await;
    /// kit.node().server().set_oom(true);
    /// assert!(locks.try_lock("k").await.unwrap_err().is_outage());
    /// # });
    /// ```
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The world: more nodes and clients, true time, what travelled.
    ///
    /// ```
    /// # tenure_sim::kit::run(async |kit| {
    /// let begun = kit.world().now();
    /// kit.advance(std::time::Duration::from_secs(5)).await;
    /// assert_eq!((kit.world().now() - begun).as_secs(), 5);
    /// # });
    /// ```
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }
}

/// How many wait for the key.
async fn waiting(locks: &Locks, key: &[u8]) -> u64 {
    let seen = locks.inspect(key).await;
    seen.map_or(0, |seen| seen.waiting())
}

/// A handle, or a panic that says what is wrong with the process: a test that goes on would fail
/// elsewhere.
async fn connected(client: &Client) -> Locks {
    match client.builder().connect().await {
        Ok(locks) => locks,
        Err(_) if client.process().is_dead() => panic!(
            "the process {:?} has crashed: start another with `kit.world().client(name)`",
            client.name()
        ),
        Err(error) => panic!("the process {:?} gets no handle: {error}", client.name()),
    }
}
