//! The handle of a server: how tests look at it and make its faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use super::clock::ServerClock;
use super::engine::Engine;
use super::faults::Lost;
use super::keyspace::{Keyspace, Value};
use super::reply::{Protocol, Reply};
use super::state::{ConnId, Effect, User};

/// A server. Clones are handles of the same one; it lives as long as any of them, or a connection.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Box<dyn ServerClock>,
    inner: Mutex<Inner>,
    watcher: OnceLock<Watcher>,
}

/// Is called with each request; see [`Server::watch`].
type Watcher = Box<dyn Fn(&[Vec<u8>]) + Send + Sync>;

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) links: BTreeMap<ConnId, Link>,
    pub(super) paused: bool,
    pub(super) down: bool,
    /// What the last request published where somebody listens.
    published: Vec<Vec<u8>>,
    /// The channels of the connections that it closed.
    hung_up: Vec<Vec<u8>>,
}

/// The near end of a connection: what waits to be written to it.
#[derive(Default)]
pub(super) struct Link {
    pub(super) out: Vec<u8>,
    /// Close once all is written.
    pub(super) finishing: bool,
    pub(super) muted: bool,
    pub(super) waker: Option<Waker>,
}

impl Inner {
    pub(super) fn exec(&mut self, conn: ConnId, argv: &[Vec<u8>], now_us: u64) {
        self.published.clear();
        self.hung_up.clear();
        for effect in self.engine.exec(conn, argv, now_us) {
            self.published.extend(effect.message().map(<[u8]>::to_vec));
            if let Effect::Kill(conn) = &effect
                && let Some(conn) = self.engine.state.conns.get(conn)
            {
                self.hung_up.extend(conn.channels.iter().cloned());
            }
            self.apply(effect);
        }
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Send(to, reply) => self.write(to, &reply),
            Effect::Finish(conn) => self.touch(conn, |link| link.finishing = true),
            Effect::Mute(conn) => self.touch(conn, |link| link.muted = true),
            Effect::Kill(conn) => self.close(conn),
        }
    }

    /// Tells connections of what changed without a command.
    fn tell_changes(&mut self) {
        self.engine.state.tell_changes(None);
        for effect in std::mem::take(&mut self.engine.state.messages) {
            self.apply(effect);
        }
    }

    /// Adds a reply to what a connection has to send, in the protocol it speaks now.
    pub(super) fn write(&mut self, to: ConnId, reply: &Reply) {
        let protocol = self
            .engine
            .state
            .conns
            .get(&to)
            .map_or(Protocol::Resp2, |c| c.protocol);
        self.touch(to, |link| {
            if !link.muted {
                reply.encode(protocol, &mut link.out);
            }
        });
    }

    pub(super) fn touch(&mut self, conn: ConnId, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(&conn) {
            change(link);
            if let Some(waker) = link.waker.take() {
                waker.wake();
            }
        }
    }

    /// Ends a connection at once; whoever serves it finds its link gone.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.engine.disconnect(conn);
        if let Some(link) = self.links.remove(&conn)
            && let Some(waker) = link.waker
        {
            waker.wake();
        }
    }

    fn close_all(&mut self) {
        let all: Vec<ConnId> = self.links.keys().copied().collect();
        for conn in all {
            self.close(conn);
        }
    }

    fn wake_all(&mut self) {
        let all: Vec<ConnId> = self.links.keys().copied().collect();
        for conn in all {
            self.touch(conn, |_| {});
        }
    }
}

/// The data of a server at one instant, as a replica that fell behind would have it.
#[derive(Clone)]
pub struct Snapshot {
    keys: Keyspace,
    replid: String,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("replid", &self.replid)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("run_id", &self.run_id())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// An empty server on this clock, with ids from seed 0.
    pub fn new(clock: impl ServerClock + 'static) -> Self {
        Self::with_seed(clock, 0)
    }

    /// An empty server on this clock. Its run id and replication id, in each of its lives, come
    /// from the seed: give each server of a test its own.
    pub fn with_seed(clock: impl ServerClock + 'static, seed: u64) -> Self {
        let engine = Engine::new(seed, clock.now_us());
        let inner = Inner {
            engine,
            links: BTreeMap::new(),
            paused: false,
            down: false,
            published: Vec::new(),
            hung_up: Vec::new(),
        };
        Self {
            shared: Arc::new(Shared {
                clock: Box::new(clock),
                inner: Mutex::new(inner),
                watcher: OnceLock::new(),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing leaves the state half changed, so a panic elsewhere is no reason to stop here.
        self.shared
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now_us(&self) -> u64 {
        self.shared.clock.now_us()
    }

    /// From now on calls `watcher` with each request that came over the network, right after it was
    /// executed and before anything else is: what has changed since is its doing, or that of time.
    ///
    /// # Panics
    /// If somebody watches already.
    pub fn watch(&self, watcher: impl Fn(&[Vec<u8>]) + Send + Sync + 'static) {
        let set = self.shared.watcher.set(Box::new(watcher));
        assert!(set.is_ok(), "one watcher is enough");
    }

    pub(super) fn watched(&self, argv: &[Vec<u8>]) {
        if let Some(watcher) = self.shared.watcher.get() {
            watcher(argv);
        }
    }

    /// The string at a key of database 0, whatever fault is on. Changes nothing.
    pub fn peek(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let now_ms = self.now_ms();
        match &self
            .lock()
            .engine
            .state
            .keys
            .peek(0, key.as_ref(), now_ms)?
            .value
        {
            Value::Str(bytes) => Some(bytes.clone()),
            Value::Hash(_) | Value::Stream(_) | Value::Sorted(_) => None,
        }
    }

    /// The last id that was drawn from a stream of database 0: its milliseconds and its sequence.
    /// Changes nothing.
    pub fn peek_stream(&self, key: impl AsRef<[u8]>) -> Option<(u64, u64)> {
        let now_ms = self.now_ms();
        let inner = self.lock();
        match inner.engine.state.keys.peek(0, key.as_ref(), now_ms)?.value {
            Value::Stream(stream) => Some((stream.last.ms, stream.last.seq)),
            Value::Str(_) | Value::Hash(_) | Value::Sorted(_) => None,
        }
    }

    /// The members of a sorted set of database 0 with their scores, in order; none if there is no
    /// such set. Changes nothing.
    pub fn peek_sorted(&self, key: impl AsRef<[u8]>) -> Vec<(Vec<u8>, f64)> {
        let now_ms = self.now_ms();
        let inner = self.lock();
        let entry = inner.engine.state.keys.peek(0, key.as_ref(), now_ms);
        match entry.map(|entry| &entry.value) {
            Some(Value::Sorted(sorted)) => sorted
                .members()
                .map(|(member, score)| (member.clone(), score))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The texts that the last request published, in order: each as often as a connection listens.
    pub fn published(&self) -> Vec<Vec<u8>> {
        self.lock().published.clone()
    }

    /// How many connections listen to a channel.
    pub fn listeners(&self, channel: &[u8]) -> usize {
        let inner = self.lock();
        let conns = inner.engine.state.conns.values();
        conns.filter(|conn| conn.channels.contains(channel)).count()
    }

    /// Whether the last request closed a connection that listened to a channel.
    pub fn hung_up(&self, channel: &[u8]) -> bool {
        self.lock().hung_up.iter().any(|closed| closed == channel)
    }

    /// When a key of database 0 ends, in milliseconds since the Unix epoch; `None` if it is absent
    /// or has no expiry. Changes nothing.
    pub fn peek_expiry_ms(&self, key: impl AsRef<[u8]>) -> Option<i64> {
        let now_ms = self.now_ms();
        self.lock()
            .engine
            .state
            .keys
            .peek(0, key.as_ref(), now_ms)?
            .expires_at
    }

    /// The keys of database 0 that are alive, in byte order.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let now_ms = self.now_ms();
        self.lock()
            .engine
            .state
            .keys
            .keys(0, now_ms)
            .cloned()
            .collect()
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.now_us() / 1000).unwrap_or(i64::MAX)
    }

    /// How often a command ran in this life of the server (`evalsha`, `client|kill`), from scripts
    /// too, since `CONFIG RESETSTAT`.
    pub fn calls(&self, command: &str) -> u64 {
        self.lock()
            .engine
            .state
            .stats
            .get(&command.to_ascii_lowercase())
            .map_or(0, |s| s.calls)
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.lock().links.len()
    }

    /// What `INFO` tells as `run_id`.
    pub fn run_id(&self) -> String {
        self.lock().engine.state.identity.run_id.clone()
    }

    /// What `INFO` tells as `master_replid`.
    pub fn replication_id(&self) -> String {
        self.lock().engine.state.identity.replid.clone()
    }

    // ---- what may happen to a server ----

    /// A crash and a start without persistence: no data, no scripts, new ids, all connections
    /// closed.
    pub fn restart_empty(&self) {
        self.restart(|inner| inner.engine.state.keys.clear_all());
    }

    /// A crash and a start that found every write: the data is there, all else is as in
    /// [`Server::restart_empty`].
    pub fn restart_with_data(&self) {
        self.restart(|_| {});
    }

    /// A crash and a start that found only what a snapshot held.
    pub fn restart_from(&self, snapshot: &Snapshot) {
        self.restart(|inner| inner.engine.state.keys = snapshot.keys.clone());
    }

    fn restart(&self, data: impl FnOnce(&mut Inner)) {
        let now_us = self.now_us();
        let mut inner = self.lock();
        inner.close_all();
        inner.engine.state.restart(now_us);
        inner.engine.scripts.flush();
        data(&mut inner);
        // Nobody is there to be told, and who comes later is not told of this.
        inner.tell_changes();
    }

    /// The data as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        let state = &inner.engine.state;
        Snapshot {
            keys: state.keys.clone(),
            replid: state.identity.replid.clone(),
        }
    }

    /// A failover to a replica that had only what the snapshot holds: another process answers from
    /// now on at the same address. Its run id and replication id are new, its second replication id
    /// is that of the snapshot's server; all connections are closed.
    pub fn promote_stale(&self, snapshot: &Snapshot) {
        self.restart(|inner| {
            inner.engine.state.keys = snapshot.keys.clone();
            inner.engine.state.identity.promote(snapshot.replid.clone());
        });
    }

    /// A demotion and promotion on the living process, which connections survive: the run id stays,
    /// the replication id changes, the data is what the snapshot held. Who asked to be told of
    /// changed keys (`CLIENT TRACKING`) is told of all.
    pub fn replace_in_place(&self, snapshot: &Snapshot) {
        let mut inner = self.lock();
        inner.engine.state.keys.replace(&snapshot.keys);
        inner.tell_changes();
        let before = inner.engine.state.identity.replid.clone();
        inner.engine.state.identity.promote(before);
    }

    /// Down: connections are closed, new ones are closed at once. The data stays.
    pub fn set_down(&self, down: bool) {
        let mut inner = self.lock();
        inner.down = down;
        if down {
            inner.close_all();
        }
    }

    /// A replica: writes are refused with READONLY, and `ROLE` and `INFO` say so.
    pub fn set_readonly(&self, readonly: bool) {
        self.lock().engine.state.faults.readonly = readonly;
    }

    /// Loading its data: nearly everything is refused with LOADING.
    pub fn set_loading(&self, loading: bool) {
        self.lock().engine.state.faults.loading = loading;
    }

    /// Out of memory: what might need some is refused with OOM. A script is stopped at the first
    /// such command, unless it wrote before.
    pub fn set_oom(&self, oom: bool) {
        self.lock().engine.state.faults.oom = oom;
    }

    /// Refuses all writes with this line (`MISCONF …`, `NOREPLICAS …`), until `None`.
    pub fn set_write_error(&self, error: Option<&str>) {
        self.lock().engine.state.faults.write_error = error.map(str::to_owned);
    }

    /// So many replicas acknowledge at once what is written from now on. None does at first.
    pub fn set_replicas(&self, replicas: u32) {
        self.lock().engine.state.faults.replicas = replicas.into();
    }

    /// Executes the next request, and loses the reply by closing the connection.
    pub fn lose_next_reply(&self) {
        self.lock().engine.state.faults.lose(None, Lost::Cut);
    }

    /// Executes the next request that has this word, which is a command or an argument such as the
    /// digest of a script (`None`: the next of any), and loses the reply.
    pub fn lose_reply(&self, word: Option<&str>, how: Lost) {
        self.lock().engine.state.faults.lose(word, how);
    }

    /// The next message that is published to somebody reaches nobody. Who publishes it is answered
    /// as ever.
    pub fn lose_next_message(&self) {
        self.lock().engine.state.faults.lose_message();
    }

    /// The next push to somebody that says that a key has changed (see `CLIENT TRACKING`) reaches
    /// nobody: that connection is told of the key no more, and never knew.
    pub fn lose_next_invalidation(&self) {
        self.lock().engine.state.faults.lose_invalidation();
    }

    /// Answers the next request of this command with `reply`, without executing it: `MOVED …`,
    /// `CLUSTERDOWN …`, or nonsense.
    pub fn answer_next(&self, command: &str, reply: Reply) {
        self.lock().engine.state.faults.answer(command, reply);
    }

    /// Takes back what was planted and has not happened yet: replies, messages and invalidations to
    /// be lost, answers.
    pub fn clear_planted(&self) {
        self.lock().engine.state.faults.clear_planted();
    }

    /// Stops serving, as a stopped process does: connections open and take bytes, nothing is
    /// executed. What was taken is executed after [`Server::resume`], also if its sender is gone by
    /// then.
    pub fn pause(&self) {
        self.lock().paused = true;
    }

    /// Serves again.
    pub fn resume(&self) {
        let mut inner = self.lock();
        inner.paused = false;
        inner.wake_all();
    }

    /// Closes all connections at once; data and ids stay.
    pub fn kill_connections(&self) {
        self.lock().close_all();
    }

    /// Removes all keys whose time is over now. Without this a key that nobody looks at stays, and
    /// is alive again should the clock go back; a real server does this at moments of its own
    /// choice.
    pub fn expire_now(&self) {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        inner.engine.state.keys.expire(now_ms);
        inner.tell_changes();
    }

    /// Asks for this password from now on; empty asks for none.
    pub fn set_password(&self, password: &str) {
        self.lock().engine.state.set_password(password);
    }

    /// Adds or replaces a user who may do all but the denied commands (`evalsha`, `client`).
    pub fn set_user(&self, name: &str, password: &str, denied: &[&str]) {
        let denied = denied
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let user = User {
            password: Some(password.to_owned()),
            denied,
        };
        self.lock().engine.state.users.insert(name.to_owned(), user);
    }

    /// Denies commands to the default user, instead of those denied before.
    pub fn deny_default_user(&self, denied: &[&str]) {
        let denied = denied
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        self.lock()
            .engine
            .state
            .users
            .entry("default".to_owned())
            .or_default()
            .denied = denied;
    }
}
