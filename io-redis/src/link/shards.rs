//! The connection to a cluster: redis-rs' to each of its servers, and what it leaves to us.
//!
//! redis-rs repeats a request after whatever went wrong, unless it is told not to. One that was
//! written to a server that died may have been done there, and what the repetition is told says
//! nothing about that. So it is told not to, and only what a server refused because the key is
//! elsewhere is asked again, there. The outcome that the core hears is that of the one request.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline,
    RedisError, RedisResult, ServerErrorKind, Value,
};
use tenure_core::{Instant, Words};
use tokio::sync::{OnceCell, oneshot};

use crate::link::connection::{Connection, no_pushes};
use crate::protocol::words::{hide, printable};
use crate::runtime::{BoxFuture, Clock};

/// How often a request is asked, as long as each answer is that the key has moved.
// Law: Bounded work
const HOPS: u32 = 2;
/// So many requests in a row may be lost with their connections, or be told that a server starts.
/// Then nobody tells redis-rs' task from one that has ended, or that asks where the slots are for
/// ever.
const BREAKS: u32 = 3;
/// For so long a server that is gone, and that others go on to name, is not asked for twice: each
/// time has all servers asked where the slots are. Nor is it connected to.
// Law: Bounded work
const GONE_FOR: Duration = Duration::from_secs(1);
/// A login that is refused at one server is no other before this has passed. So often at most are
/// all connections replaced because one of them cannot be had.
// Law: Bounded work
const STALE_AFTER: Duration = Duration::from_secs(10);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// To connect to one server.
    pub(crate) connect: Duration,
    /// Until a server is silent.
    pub(crate) answer: Duration,
}

impl Pace {
    /// Of the time for a dial, and of that after which a connection is replaced. To connect to all
    /// servers takes as long as to one, twice: to those that were named, and to those that they
    /// know. While a connection serves, all requests wait for it; so if the last one did, what is
    /// longer than they wait is no use. If not, nobody waits, and the servers may be far away.
    // Law: Progress
    pub(crate) fn of(dial: Duration, silence: Duration, served: bool) -> Self {
        let whole = Self {
            connect: dial / 4,
            answer: silence,
        };
        match served {
            true => whole.while_it_serves(),
            false => whole,
        }
    }

    /// The same, where requests wait for it.
    fn while_it_serves(self) -> Self {
        Self {
            connect: self.connect.min(self.answer / 2),
            ..self
        }
    }
}

/// A connection to all servers of a cluster, which is replaced as a whole.
pub(crate) struct ShardedConnection {
    shards: ClusterConnection,
    beside: Arc<Beside>,
}

/// What requests share.
struct Beside {
    importing: Importing,
    over: Over,
    /// How many requests in a row were lost with their connections, or told that a server starts.
    breaks: AtomicU32,
    clock: Arc<dyn Clock>,
    /// Servers that are not asked for twice.
    gone: Gone,
    /// When another login may be had. None if it never is another.
    stale: Option<Instant>,
    /// What is not shown, should a server quote it.
    password: Option<String>,
}

impl ShardedConnection {
    /// Over these connections. `template` says how another server is connected to. Gives what is
    /// ready once the connection is of no use any more, and says why.
    pub(crate) fn new(
        shards: ClusterConnection,
        template: Option<ConnectionInfo>,
        pace: Pace,
        password: Option<String>,
        asks_credentials: bool,
        clock: Arc<dyn Clock>,
    ) -> (Self, BoxFuture<'static, Words>) {
        let (sender, told) = oneshot::channel();
        let beside = Beside {
            importing: Importing {
                template,
                pace: pace.while_it_serves(),
                servers: Mutex::default(),
                gone: Gone::default(),
                clock: Arc::clone(&clock),
            },
            over: Over(Mutex::new(Some(sender))),
            breaks: AtomicU32::new(0),
            stale: asks_credentials.then(|| clock.now() + STALE_AFTER),
            clock,
            gone: Gone::default(),
            password,
        };
        let over = async move {
            match told.await {
                Ok(why) => why,
                Err(_) => std::future::pending().await,
            }
        };
        let beside = Arc::new(beside);
        (Self { shards, beside }, Box::pin(over))
    }
}

impl Connection for ShardedConnection {
    fn send(&self, commands: Pipeline) -> BoxFuture<'static, Result<Vec<Value>, RedisError>> {
        let (mut shards, beside) = (self.shards.clone(), Arc::clone(&self.beside));
        Box::pin(async move {
            let mut unanswered = Unanswered(Some(&beside.over));
            let answers = beside.ask_all(&mut shards, commands).await;
            unanswered.0 = None;
            answers
        })
    }

    fn listen(&self, _: &[u8]) -> BoxFuture<'static, Result<(), RedisError>> {
        no_pushes("what is published at one server of a cluster is not heard at another")
    }

    fn is_own(&self) -> bool {
        false
    }
}

impl Beside {
    async fn ask_all(
        &self,
        shards: &mut ClusterConnection,
        commands: Pipeline,
    ) -> RedisResult<Vec<Value>> {
        let mut values = Vec::with_capacity(commands.len());
        for command in commands.cmd_iter() {
            values.push(self.ask(shards, command).await?);
        }
        Ok(values)
    }

    /// Asks the server that has the key, also if it is another one by now.
    async fn ask(&self, shards: &mut ClusterConnection, command: &Cmd) -> RedisResult<Value> {
        let mut hops = 0;
        loop {
            hops += 1;
            let error = match shards.req_packed_command(command).await {
                Ok(value) => {
                    self.breaks.store(0, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error.code().is_some() && !is_starting(&error) {
                self.breaks.store(0, Ordering::Relaxed);
            }
            match error.kind() {
                // redis-rs has begun to ask where the slots are, and this waits for the answer.
                ErrorKind::Server(ServerErrorKind::Moved) => {
                    if hops == HOPS || self.is_gone(&error) {
                        self.still_moved(&error);
                        return Err(error);
                    }
                }
                ErrorKind::Server(ServerErrorKind::Ask) => {
                    return match self.importing.ask(&error, command).await {
                        Some(Ok(value)) => Ok(value),
                        Some(Err(lost)) => Err(self.unknown(&lost)),
                        None => {
                            self.not_connected();
                            Err(error)
                        }
                    };
                }
                // What else a server refuses is a value, or one of these.
                ErrorKind::Server(
                    ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::ReadOnly,
                ) => return Err(error),
                _ => return Err(self.unknown(&error)),
            }
        }
    }

    /// An error that is no answer to the request, as one that says no more than that: whatever
    /// redis-rs says, the request may have been written before.
    // Law: Honest validity
    fn unknown(&self, error: &RedisError) -> RedisError {
        let text = hide(&error.to_string(), self.password.as_deref());
        if error.is_timeout() {
            self.over.tell(SILENT);
            return io::Error::new(io::ErrorKind::TimedOut, text).into();
        }
        let breaks = self.breaks.fetch_add(1, Ordering::Relaxed) + 1;
        // What a lost connection says is that it is lost, and redis-rs replaces it. A server that
        // starts may be one of many. All else is about the cluster: no server of it tells where the
        // slots are, and redis-rs goes on to ask without a pause.
        // Law: Bounded work
        let lost = error.is_connection_dropped() && !error.is_connection_refusal();
        let may_pass = lost || is_starting(error);
        if !may_pass || breaks >= BREAKS {
            self.over
                .tell(&format!("none of its servers can be used ({text})"));
        }
        io::Error::other(text).into()
    }

    /// Whether a key is said to be at a server to which there was no connection a moment ago.
    fn is_gone(&self, moved: &RedisError) -> bool {
        let now = self.clock.now();
        moved
            .redirect_node()
            .is_some_and(|(to, _)| self.gone.has(to, now))
    }

    /// There is no connection to a server that has a key. Each try to get one is as the user that
    /// was given for the dial.
    fn not_connected(&self) {
        if self.stale.is_some_and(|at| self.clock.now() >= at) {
            self.over.tell("a server of it cannot be connected to");
        }
    }

    /// A key is said to be at a server to which redis-rs has no connection. It tries to get one for
    /// ever.
    fn still_moved(&self, moved: &RedisError) {
        self.not_connected();
        if let Some((to, _)) = moved.redirect_node() {
            self.gone.note(to, self.clock.now());
        }
    }
}

/// Whether this is what a server says that does not serve yet. If it says so when redis-rs asks
/// where the slots are, redis-rs tells it to all that is in flight, also to what was written to
/// another server, and goes on to ask without a pause.
// Law: Honest validity
fn is_starting(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading)
    )
}

const SILENT: &str = "a server of it does not answer";

/// Tells the session once that the connection is of no use any more.
struct Over(Mutex<Option<oneshot::Sender<Words>>>);

impl Over {
    fn tell(&self, why: &str) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.take() {
            let _ = sender.send(printable(why));
        }
    }
}

/// A request that is given up before its answer: then its server is silent.
struct Unanswered<'a>(Option<&'a Over>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(over) = self.0 {
            over.tell(SILENT);
        }
    }
}

/// A connection to one server, once somebody has made it.
type Shared = Arc<OnceCell<MultiplexedConnection>>;

/// Connections to servers that are being given slots, which need not have one yet. So redis-rs may
/// not know them.
struct Importing {
    template: Option<ConnectionInfo>,
    pace: Pace,
    /// By their places. Nobody waits while this is locked, so a server that does not answer delays
    /// nobody who asks another.
    // Law: Progress
    servers: Mutex<BTreeMap<String, Shared>>,
    gone: Gone,
    clock: Arc<dyn Clock>,
}

impl Importing {
    /// Asks the server that this refusal names. None if it cannot be connected to, or could not be
    /// a moment ago.
    async fn ask(&self, refusal: &RedisError, command: &Cmd) -> Option<RedisResult<Value>> {
        let (place, _) = refusal.redirect_node()?;
        if self.gone.has(place, self.clock.now()) {
            return None;
        }
        let shared = Arc::clone(self.servers().entry(place.to_owned()).or_default());
        // All who ask for it meanwhile wait for the same connection.
        let server = shared.get_or_try_init(|| self.connect(place)).await;
        let Ok(mut server) = server.cloned() else {
            self.forget(place, &shared);
            return None;
        };
        // In one write, since it is about the next command on the connection.
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command.clone());
        let answers = server.req_packed_commands(&both, 0, 2).await;
        if answers.is_err() {
            self.forget(place, &shared);
        }
        let last = |mut values: Vec<Value>| values.pop().unwrap_or_default();
        Some(answers.map(last))
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Shared>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of this connection nothing is expected any more.
    fn forget(&self, place: &str, lost: &Shared) {
        let mut servers = self.servers();
        if servers.get(place).is_some_and(|it| Arc::ptr_eq(it, lost)) {
            servers.remove(place);
        }
    }

    /// Connects, unless whoever waited for the same connection before has just failed.
    async fn connect(&self, place: &str) -> Result<MultiplexedConnection, NotConnected> {
        if self.gone.has(place, self.clock.now()) {
            return Err(NotConnected);
        }
        let connected = self.try_to_connect(place).await;
        connected.ok_or_else(|| {
            self.gone.note(place, self.clock.now());
            NotConnected
        })
    }

    async fn try_to_connect(&self, place: &str) -> Option<MultiplexedConnection> {
        let (name, port) = place.rsplit_once(':')?;
        let host = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = port.parse().ok()?;
        let template = self.template.clone()?;
        let addr = match template.addr() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.pace.connect))
            .set_response_timeout(Some(self.pace.answer));
        let client = Client::open(template.set_addr(addr)).ok()?;
        let server = client.get_multiplexed_async_connection_with_config(&config);
        server.await.ok()
    }
}

/// There is no connection to a server that is being given slots.
struct NotConnected;

/// Servers to which there was no connection, each with until when that counts.
#[derive(Default)]
struct Gone(Mutex<BTreeMap<String, Instant>>);

impl Gone {
    fn has(&self, place: &str, now: Instant) -> bool {
        let gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gone.get(place).is_some_and(|until| now < *until)
    }

    /// From now on, for [`GONE_FOR`]. What counts no more is forgotten.
    fn note(&self, place: &str, now: Instant) {
        let mut gone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|_, until| now < *until);
        gone.insert(place.to_owned(), now + GONE_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_connects_while_requests_wait_does_not_take_longer_than_they_do() {
        let (dial, silence) = (Duration::from_secs(2), Duration::from_millis(250));
        let connect = |dial, served| Pace::of(dial, silence, served).connect;
        assert_eq!(connect(dial, true), Duration::from_millis(125));
        assert_eq!(connect(dial, false), Duration::from_millis(500));
        assert_eq!(connect(dial / 8, true), Duration::from_micros(62_500));
        let beside = Pace::of(dial, silence, false).while_it_serves();
        assert_eq!(beside.connect, Duration::from_millis(125));
        assert_eq!(beside.answer, silence);
    }

    #[test]
    fn servers_that_are_gone_are_forgotten_after_a_while() {
        let (gone, start) = (Gone::default(), Instant::from_nanos(0));
        let later = start + GONE_FOR / 2;
        gone.note("one:1", start);
        gone.note("other:1", later);
        assert!(gone.has("one:1", later) && gone.has("other:1", later));
        assert!(!gone.has("one:1", start + GONE_FOR));
        gone.note("third:1", start + GONE_FOR);
        let left: Vec<_> = gone.0.lock().expect("no panic").keys().cloned().collect();
        assert_eq!(left, ["other:1", "third:1"]);
    }
}
