//! The way between one client and one node, and what may happen to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::forgotten::{End, Ends, Forgotten};

/// One way of a link, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the node.
    Out,
    /// From the node to the client.
    Back,
}

/// What becomes of attempts to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connecting {
    /// They succeed.
    Open,
    /// They are refused at once, as by a host on which nobody listens.
    Refused,
    /// They wait until this changes, as behind a firewall that drops packets.
    Hangs,
}

/// The way between one client and one node, with all its connections. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    ends: Ends,
}

#[derive(Debug)]
struct State {
    out: Way,
    back: Way,
    connecting: Connecting,
    dials: u64,
    connections: u64,
    /// Connections up to this one are stuck.
    stuck: u64,
    carriers: Vec<AbortHandle>,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    latency: Duration,
    stalled: bool,
    hole: bool,
}

impl Link {
    pub(super) fn new(latency: Duration) -> Self {
        let way = Way {
            latency,
            stalled: false,
            hole: false,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    out: way,
                    back: way,
                    connecting: Connecting::Open,
                    dials: 0,
                    connections: 0,
                    stuck: 0,
                    carriers: Vec::new(),
                }),
                changed: Notify::new(),
                ends: Ends::default(),
            }),
        }
    }

    /// How long bytes travel, each way, from now on. None overtakes another.
    pub fn set_latency(&self, out: Duration, back: Duration) {
        self.change(|state| {
            state.out.latency = out;
            state.back.latency = back;
        });
    }

    /// What becomes of attempts to connect, from now on. Open connections stay as they are.
    pub fn set_connecting(&self, connecting: Connecting) {
        self.change(|state| state.connecting = connecting);
    }

    /// Closes all connections at once, both ends; what travels on them is lost.
    pub fn cut(&self) {
        let carriers = std::mem::take(&mut self.lock().carriers);
        carriers.iter().for_each(AbortHandle::abort);
    }

    /// Nothing gets through, neither way, nor does connecting, until [`heal`](Self::heal): then all
    /// that was written arrives, as after TCP's retransmission.
    pub fn stall(&self) {
        self.stall_one(Direction::Out);
        self.stall_one(Direction::Back);
    }

    /// As [`stall`](Self::stall), one way only. Connecting hangs too.
    pub fn stall_one(&self, direction: Direction) {
        self.change(|state| state.way(direction).stalled = true);
    }

    /// The connections that are open stall, both ways, until [`heal`](Self::heal); new ones work.
    /// So the old bytes arrive late.
    pub fn stick(&self) {
        self.change(|state| state.stuck = state.connections);
    }

    /// The connections that are open are dead from now on, which shows only when the client sends
    /// something on one of them. New ones work, and [`heal`](Self::heal) mends nothing of it.
    pub fn forget(&self, by: Forgotten) {
        self.shared.ends.forget(by);
    }

    /// What is sent one way is lost. A connection that lost something never carries anything that
    /// way again, also after [`heal`](Self::heal), and nobody is told; connecting hangs.
    pub fn black_hole(&self, direction: Direction) {
        self.change(|state| state.way(direction).hole = true);
    }

    /// Ends every fault: what stalled goes on, and connecting works.
    pub fn heal(&self) {
        self.change(|state| {
            for direction in [Direction::Out, Direction::Back] {
                let way = state.way(direction);
                (way.stalled, way.hole) = (false, false);
            }
            state.connecting = Connecting::Open;
            state.stuck = 0;
        });
    }

    /// How often the client tried to connect.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.lock().dials
    }

    /// The client's end of a new connection.
    pub(super) fn end<S>(&self, stream: S) -> End<S> {
        self.shared.ends.of(stream)
    }

    pub(super) fn dialled(&self) {
        self.lock().dials += 1;
    }

    /// Numbers a new connection.
    pub(super) fn opened(&self) -> u64 {
        let mut state = self.lock();
        state.connections += 1;
        state.connections
    }

    pub(super) fn carried_by(&self, carriers: impl IntoIterator<Item = AbortHandle>) {
        let mut state = self.lock();
        state.carriers.retain(|carrier| !carrier.is_finished());
        state.carriers.extend(carriers);
    }

    pub(super) fn latency(&self, direction: Direction) -> Duration {
        self.lock().way(direction).latency
    }

    /// Waits until what travels this way on a connection may arrive; says whether it does.
    pub(super) async fn passes(&self, connection: u64, direction: Direction) -> bool {
        self.wait_for(|state| {
            let stuck = connection <= state.stuck;
            let way = state.way(direction);
            (!stuck && !way.stalled).then_some(!way.hole)
        })
        .await
    }

    /// Waits until an attempt to connect is answered. Says whether it succeeds.
    pub(super) async fn admits(&self) -> bool {
        self.wait_for(|state| {
            let open = |way: Way| !way.stalled && !way.hole;
            match state.connecting {
                Connecting::Hangs => None,
                _ if !open(state.out) || !open(state.back) => None,
                Connecting::Refused => Some(false),
                Connecting::Open => Some(true),
            }
        })
        .await
    }

    async fn wait_for<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if let Some(answer) = look(&mut self.lock()) {
                return answer;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.shared.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Out => &mut self.out,
            Direction::Back => &mut self.back,
        }
    }
}
