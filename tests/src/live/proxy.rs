//! A proxy between a client and a real server, and the handle by which a test makes it fail.
//!
//! It understands where commands and replies begin and end, so it can lose exactly the reply of
//! one command after the server has applied it. A reply belongs to the oldest command of its
//! connection that has none, pipelined or not; pushes belong to none. Two commands
//! break that order and are not supported: `CLIENT REPLY` and `MONITOR`. A connection of protocol
//! version 2 that subscribes is passed through unmatched from then on. One over TLS is passed
//! through unread: no command of it is counted or struck, and all else works.
//!
//! What goes wrong can be switched while it runs, and one with the other: single commands
//! ([`Proxy::on`]), every command ([`Proxy::rewrite`]), connections ([`Proxy::doom`],
//! [`Proxy::doom_new`], [`Proxy::doom_idle`]), and the network ([`Proxy::partition`]).

mod connection;
mod fate;
mod faults;
mod rewrite;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use fate::Fate;
pub use faults::{Command, Fault, Match, Rule};
pub use rewrite::{Rewrite, Rewriting, every_second};

use super::process::unused_addr;
use super::wait::{eventually, eventually_some};
use fate::Idle;
use faults::{Armed, Struck};
use rewrite::Rewriter;

/// Which way something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server: requests.
    Up,
    /// From the server to the client: replies and pushes.
    Down,
}

/// A running proxy. Dropped, it refuses connections and closes those it has.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts a proxy for the server at `upstream`, which may come and go.
    pub async fn start(upstream: SocketAddr) -> Self {
        let (addr, listener) = eventually_some("a port for the proxy", || async {
            let addr = unused_addr();
            listen(addr).ok().map(|listener| (addr, listener))
        })
        .await;
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::default(),
            flow: watch::Sender::new(Flow {
                up: true,
                down: true,
            }),
            idle: watch::Sender::new(None),
            loses_pushes: AtomicBool::new(false),
            lost_pushes: AtomicUsize::new(0),
        });
        let proxy = Self {
            addr,
            shared,
            accepting: Mutex::default(),
        };
        proxy.spawn_accepting(listener);
        proxy
    }

    /// Where the proxy listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The proxy's URL for a server without a password.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.addr)
    }

    /// The proxy's URL for a user, a password (both letters and digits) and a database.
    pub fn url_with(&self, user: &str, password: &str, db: i64) -> String {
        format!("redis://{user}:{password}@{}/{db}", self.addr)
    }

    /// Arms a fault for one command that is still to come, on whichever connection.
    pub fn on(&self, command: Match, fault: Fault) -> Rule {
        let (armed, rule) = faults::arm(command, fault);
        self.shared.state().rules.push(armed);
        rule
    }

    /// From now on, asks `rewriter` about every command as it arrives, on whichever connection.
    /// `None` leaves the command to the rewriters that were added later. What is armed by
    /// [`on`](Self::on) strikes what was rewritten.
    pub fn rewrite(
        &self,
        rewriter: impl FnMut(&Command) -> Option<Rewrite> + Send + 'static,
    ) -> Rewriting {
        let (rewriter, rewriting) = rewrite::begin(rewriter);
        self.shared.state().rewriters.push(rewriter);
        rewriting
    }

    /// Every command that clients have sent so far, in order of arrival at the proxy, whether or
    /// not it got any further.
    pub fn commands(&self) -> Vec<Command> {
        self.shared.state().commands.clone()
    }

    /// Forgets the commands that have come so far, in a run so long that nobody could keep them.
    pub fn forget_commands(&self) {
        self.shared.state().commands.clear();
    }

    /// How many commands of that name clients have sent so far.
    pub fn count(&self, name: &str) -> usize {
        self.shared
            .state()
            .commands
            .iter()
            .filter(|command| command.is(name))
            .count()
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.state().accepted
    }

    /// How many connections the proxy holds open now.
    pub fn open(&self) -> usize {
        self.shared.state().links.len()
    }

    /// How many of them have met a fate.
    pub fn doomed(&self) -> usize {
        let met = |link: &&Link| link.fate.borrow().is_some();
        self.shared.state().links.values().filter(met).count()
    }

    /// Closes every connection, and loses whatever still travels on it, as a crash would. New ones
    /// are accepted.
    pub async fn cut(&self) {
        let links = std::mem::take(&mut self.shared.state().links);
        for Link { task, .. } in links.into_values() {
            task.abort();
            // Ended by now or aborted; either way its sockets are closed when this returns.
            let _ = task.await;
        }
    }

    /// This becomes of every connection that exists now. New ones are accepted.
    pub fn doom(&self, fate: Fate) {
        for link in self.shared.state().links.values() {
            link.fate.send_replace(Some(fate));
        }
    }

    /// This becomes of every connection that is accepted from now on, at once. With `None` they
    /// are served again.
    pub fn doom_new(&self, fate: Option<Fate>) {
        self.shared.state().fate_of_new = fate;
    }

    /// This becomes of every connection on which nothing travelled for so long. What has become of
    /// one before stays.
    pub fn doom_idle(&self, after: Duration, fate: Fate) {
        self.shared.idle.send_replace(Some(Idle { after, fate }));
    }

    /// Connections may be idle for as long as they like again.
    pub fn spare_idle(&self) {
        self.shared.idle.send_replace(None);
    }

    /// From now on no push reaches a client, while replies do. Confirmations of subscriptions are
    /// replies. With `false` pushes pass again.
    pub fn lose_pushes(&self, lose: bool) {
        self.shared.loses_pushes.store(lose, Ordering::SeqCst);
    }

    /// How many pushes were lost so far.
    pub fn lost_pushes(&self) -> usize {
        self.shared.lost_pushes.load(Ordering::SeqCst)
    }

    /// From now on every command travels for so long before it reaches the server, which makes each
    /// round trip longer by as much. [`Duration::ZERO`] ends it.
    pub fn delay(&self, each: Duration) {
        self.shared.state().delay = each;
    }

    /// Nothing passes in either direction any more and nothing is closed. Connecting still works,
    /// because the kernel accepts before the proxy does, but nothing answers.
    pub fn partition(&self) {
        self.shared.flow.send_replace(Flow {
            up: false,
            down: false,
        });
    }

    /// Nothing passes in this direction any more; the other one stays as it is.
    pub fn partition_one_way(&self, direction: Direction) {
        self.shared.flow.send_modify(|flow| match direction {
            Direction::Up => flow.up = false,
            Direction::Down => flow.down = false,
        });
    }

    /// Ends every partition. As on a real network, what was sent meanwhile is delivered late, even
    /// if its sender has given up; [`cut`](Self::cut) first to have it lost instead.
    pub fn heal(&self) {
        self.shared.flow.send_replace(Flow {
            up: true,
            down: true,
        });
    }

    /// Refuses new connections, for certain when this returns. Those that exist stay.
    pub async fn refuse(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            let _ = accepting.await;
            // The listener went with its task, but a child that another test starts at this moment
            // has a copy of it until its program runs.
            eventually("the port is closed", || async {
                let dialled = TcpStream::connect(self.addr).await;
                dialled.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            })
            .await;
        }
    }

    /// Accepts new connections again, at the same address.
    pub async fn accept(&self) {
        if lock(&self.accepting).is_none() {
            let what = "the proxy gets its port back";
            let listener = eventually_some(what, || async { listen(self.addr).ok() }).await;
            self.spawn_accepting(listener);
        }
    }

    fn spawn_accepting(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Held until the link is in the table, so that it cannot end unseen before.
                let mut state = shared.state();
                let id = state.accepted;
                state.accepted += 1;
                let fate = watch::Sender::new(state.fate_of_new);
                let served = connection::serve(Arc::clone(&shared), id, client, fate.clone());
                let task = tokio::spawn(served);
                state.links.insert(id, Link { task, fate });
            }
        });
        *lock(&self.accepting) = Some(task);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
        for link in std::mem::take(&mut self.shared.state().links).into_values() {
            link.task.abort();
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// What the handle and all connections see.
struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    flow: watch::Sender<Flow>,
    idle: watch::Sender<Option<Idle>>,
    loses_pushes: AtomicBool,
    lost_pushes: AtomicUsize,
}

#[derive(Default)]
struct State {
    rules: Vec<Armed>,
    rewriters: Vec<Rewriter>,
    commands: Vec<Command>,
    links: BTreeMap<u64, Link>,
    accepted: u64,
    fate_of_new: Option<Fate>,
    delay: Duration,
}

/// A connection that is served.
struct Link {
    task: JoinHandle<()>,
    fate: watch::Sender<Option<Fate>>,
}

#[derive(Clone, Copy)]
struct Flow {
    up: bool,
    down: bool,
}

impl Flow {
    fn passes(self, direction: Direction) -> bool {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Notes a command, and says what is made of it and which fault it meets, if any.
    fn note(&self, command: Command) -> (Option<Rewrite>, Option<Struck>) {
        let mut state = self.state();
        state.rewriters.retain(Rewriter::goes_on);
        let mut rewriters = state.rewriters.iter_mut();
        let rewrite = rewriters.find_map(|rewriter| rewriter.rewrite(&command));
        let struck = state.rules.iter_mut().position(|rule| rule.meets(&command));
        state.commands.push(command);
        (
            rewrite,
            struck.map(|index| state.rules.remove(index).strike()),
        )
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A poisoned lock means that another thread of the test panicked, and that is reported anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
