//! The world: its nodes, its clients, its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::Rng;
use tenure_redis::seams::Seams;
use tenure_redis::{Builder, Locks};

use super::clock::{SimClock, TrueTime, WallClock};
use super::entropy::SeededEntropy;
use super::link::Link;
use super::net::{Net, NetConnector};
use super::process::{Pausable, Process};
use super::tap::Request;
use crate::server::Server;

/// What runs longer than this in simulated time hangs.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A simulated world; see the [module](super). Clones are the same world.
#[derive(Clone, Debug)]
pub struct World {
    time: TrueTime,
    net: Arc<Net>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    /// In the order in which they were made.
    nodes: Vec<Node>,
    clients: u32,
}

/// A server, its clock, and its name.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    server: Server,
    clock: WallClock,
}

/// A process with a clock and a network, in which handles live.
#[derive(Clone, Debug)]
pub struct Client {
    world: World,
    name: String,
    process: Process,
    clock: SimClock,
    seams: Seams,
}

impl World {
    /// Runs `body` in a world of its own, on a runtime of its own whose time is paused.
    ///
    /// # Panics
    /// If `body` does not end within a day of simulated time, or if this thread is in a tokio
    /// runtime already.
    #[track_caller]
    #[allow(clippy::disallowed_methods, reason = "bounds a run in simulated time")]
    pub fn run<T>(seed: u64, body: impl AsyncFnOnce(Self) -> T) -> T {
        assert!(
            tokio::runtime::Handle::try_current().is_err(),
            "a world brings a runtime of its own, and here is one already: write `#[test]` above \
             a plain function, not `#[tokio::test]`"
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O can always be built");
        let ended =
            runtime.block_on(async { tokio::time::timeout(LONGEST, body(Self::new(seed))).await });
        match ended {
            Ok(answer) => answer,
            Err(_) => panic!(
                "it does not end within a day of simulated time: something it awaits never comes, \
                 such as a lock that a guard here still holds, the end of what runs in a process \
                 that was never resumed or that crashed, or of a task that panicked (told above)"
            ),
        }
    }

    /// A world without nodes and clients. The time of the caller's tokio runtime must be paused, as
    /// with `#[tokio::test(start_paused = true)]`, and it must have one thread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let time = TrueTime::begin();
        Self {
            net: Arc::new(Net::new(time.clone())),
            time,
            state: Arc::new(Mutex::new(State {
                rng: Rng::new(seed),
                nodes: Vec::new(),
                clients: 0,
            })),
        }
    }

    /// Adds an empty server that is reached as `redis://name`.
    pub fn node(&self, name: &str) -> Node {
        let clock = WallClock::new(self.time.clone());
        let mut state = self.lock();
        let server = Server::with_seed(clock.clone(), state.rng.next_u64());
        let node = Node::new(name, server, clock);
        state.nodes.push(node.clone());
        self.net.host(name, node.server.clone());
        node
    }

    /// From now on `name` leads to this node, too or instead of where it led. It is not one of the
    /// nodes that [`Client::builder`] connects to.
    pub fn alias(&self, name: &str, node: &Node) {
        self.net.host(name, node.server.clone());
    }

    /// From now on `name` stands for these hosts in a row, as a name does that has several
    /// addresses. They are names of nodes, or lead nowhere; [`Client::link`] says what becomes of
    /// attempts to connect to each.
    pub fn row(&self, name: &str, hosts: &[&str]) {
        self.net.row(name, hosts);
    }

    /// Adds a process.
    pub fn client(&self, name: &str) -> Client {
        let mut state = self.lock();
        let seed = state.rng.next_u64();
        state.clients += 1;
        // Clocks of different machines have different origins.
        let clock = SimClock::new(
            self.time.clone(),
            Duration::from_secs(1_000) * state.clients,
        );
        let process = Process::new();
        let seams = Seams {
            connector: Arc::new(NetConnector {
                net: Arc::clone(&self.net),
                client: name.to_owned(),
            }),
            clock: Arc::new(clock.clone()),
            spawner: Arc::new(process.clone()),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        Client {
            world: self.clone(),
            name: name.to_owned(),
            process,
            clock,
            seams,
        }
    }

    /// Its true time.
    #[must_use]
    pub const fn time(&self) -> &TrueTime {
        &self.time
    }

    /// What has passed in true time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.time.now()
    }

    /// Waits in true time.
    pub async fn sleep(&self, span: Duration) {
        self.time.sleep(span).await;
    }

    /// Waits in true time until so much has passed since the world began.
    pub async fn sleep_until(&self, at: Duration) {
        self.time.sleep_until(at).await;
    }

    /// The nodes, in the order in which they were made.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.lock().nodes.clone()
    }

    /// The requests that have arrived at the nodes, in the order of their arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.net.requests()
    }

    /// How many requests have arrived, and how many of those after the first `seen` name this.
    pub(crate) fn naming(&self, seen: usize, arg: &[u8]) -> (usize, usize) {
        self.net.naming(seen, arg)
    }

    /// A digest of every byte that arrived anywhere, and when.
    #[must_use]
    pub fn digest(&self) -> String {
        self.net.digest()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    pub(crate) fn new(name: &str, server: Server, clock: WallClock) -> Self {
        Self {
            name: name.to_owned(),
            server,
            clock,
        }
    }

    /// The name under which it was made.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL under which it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.name)
    }

    /// The server, to look into it and to do harm to it.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Its wall clock.
    #[must_use]
    pub const fn clock(&self) -> &WallClock {
        &self.clock
    }
}

impl Client {
    /// A builder in this process, with all nodes that the world has now.
    pub fn builder(&self) -> Builder {
        let nodes = self.world.nodes();
        Locks::builder()
            .seams(self.seams())
            .nodes(nodes.iter().map(Node::url))
    }

    /// The seams of this process, for a builder of one's own.
    #[must_use]
    pub fn seams(&self) -> Seams {
        self.seams.clone()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its clock.
    #[must_use]
    pub const fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// The way between this process and a node, by the name under which it is reached.
    #[must_use]
    pub fn link(&self, node: &str) -> Link {
        self.world.net.link(&self.name, node)
    }

    /// The process, all of whose tasks may stand still or die.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// [`Process::pause`].
    pub fn pause(&self) {
        self.process.pause();
    }

    /// [`Process::stall`].
    pub fn stall(&self) {
        self.process.stall();
    }

    /// [`Process::resume`].
    pub fn resume(&self) {
        self.process.resume();
    }

    /// [`Process::crash`].
    pub fn crash(&self) {
        self.process.crash();
    }

    /// [`Process::run`].
    pub fn run<F: Future>(&self, future: F) -> Pausable<F> {
        self.process.run(future)
    }
}
