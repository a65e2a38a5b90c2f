//! An observer of applications that use the real adapter: tells what happened as facts, in true
//! time, so that the judge of the worlds judges the adapter too.
//!
//! It sees what an application asks and is told, what its guards say, what travels on its
//! connections, and what the servers hold. Leases are told apart by labels, which stand in their
//! tokens.
//!
//! - [`Witness`] is the observer; [`Diary`] is what the application of one client tells it, and
//!   [`Holding`] a guard in it. [`rivals`](crate::rivals) is such an application.
//! - `wire` listens on the connections, `nodes` and `queues` look at the servers, `names` knows the
//!   leases.

mod diary;
mod names;
mod nodes;
mod queues;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::Instant;
use tenure_redis::Guard;
use tenure_redis::seams::{Clock as _, Seams};
use tenure_sim::memory_net::{Node, SimClock, TrueTime};
use tenure_sim::observe::fact::{Fact, Fault, Loss, Nanos, Record, Why};

pub use diary::{Diary, Holding, Wanted};
use names::Names;
use nodes::{Sight, Watched};

/// The observer. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Witness {
    time: TrueTime,
    keys: Arc<[String]>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Watched>,
    names: Names,
    /// By the number that the application knows the lease by.
    held: BTreeMap<u32, Held>,
    /// The life of each client that facts are about: a crash begins the next.
    lives: BTreeMap<u8, u32>,
    /// How many applications of each client have not come to their end.
    busy: BTreeMap<u8, u32>,
    /// The channel that each client began to listen to last.
    channels: BTreeMap<u8, Vec<u8>>,
    quiet: bool,
    resources: Vec<Resource>,
    told: Vec<Record>,
}

/// A guard that an application has.
#[derive(Debug)]
struct Held {
    guard: Arc<Guard>,
    clock: SimClock,
    client: u8,
    key: u8,
    /// The end of validity on the client's clock, as it was last seen.
    until: Instant,
    /// What was last told of it.
    told: Nanos,
    over: bool,
    /// Its validity ran out, and that was told.
    expired: bool,
}

/// What a lock protects: it refuses a smaller fence than it has seen.
#[derive(Clone, Debug, Default)]
struct Resource {
    fence: u64,
    value: u64,
}

impl Witness {
    /// An observer of these keys.
    #[must_use]
    pub fn new(time: TrueTime, keys: &[&str]) -> Self {
        let state = State {
            resources: vec![Resource::default(); keys.len()],
            ..State::default()
        };
        Self {
            time,
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Watches a node from now on. Nodes are numbered in this order.
    pub fn watch(&self, node: &Node) {
        let index = {
            let mut state = self.lock();
            state
                .nodes
                .push(Watched::new(node.clone(), self.keys.len()));
            state.nodes.len() - 1
        };
        let witness = self.clone();
        node.server().watch(move |argv| {
            let now = witness.now();
            let mut state = witness.lock();
            let State {
                nodes,
                names,
                channels,
                told,
                ..
            } = &mut *state;
            let sight = Sight {
                now,
                index,
                keys: &witness.keys,
                names,
                channels,
            };
            nodes[index].executed(&sight, argv, told);
        });
    }

    /// What the application of a client tells, from the beginning of its process to its end.
    #[must_use]
    pub fn diary(&self, client: usize, clock: &SimClock) -> Diary {
        let client = u8::try_from(client).expect("few clients");
        let life = {
            let mut state = self.lock();
            let life = state.lives.entry(client).or_default();
            *life += 1;
            *life
        };
        Diary::new(self.clone(), client, life, clock.clone())
    }

    /// These seams, with a connector on whose connections the witness listens.
    #[must_use]
    pub fn listen(&self, diary: &Diary, seams: Seams) -> Seams {
        Seams {
            connector: Arc::new(wire::Listener::new(diary.clone(), seams.connector)),
            ..seams
        }
    }

    /// Looks at every guard and every lock key: what has changed since is told.
    pub fn look(&self) {
        let now = self.now();
        let mut state = self.lock();
        let State {
            nodes,
            names,
            held,
            channels,
            told,
            ..
        } = &mut *state;
        for (label, held) in held.iter_mut() {
            held.look(now, names.lease(*label), told);
        }
        for (index, node) in nodes.iter_mut().enumerate() {
            let sight = Sight {
                now,
                index,
                keys: &self.keys,
                names,
                channels,
            };
            node.look(&sight, told);
        }
    }

    /// Tells a fact that is about no lease.
    pub fn tell(&self, fact: Fact, client: Option<usize>, node: Option<usize>) {
        self.tell_of(fact, client, node, None);
    }

    /// As [`tell`](Self::tell), about a key.
    pub fn tell_of(
        &self,
        fact: Fact,
        client: Option<usize>,
        node: Option<usize>,
        key: Option<usize>,
    ) {
        let number = |of: Option<usize>| of.and_then(|of| u8::try_from(of).ok());
        let record = Record {
            client: number(client),
            node: number(node),
            key: number(key),
            ..Record::new(self.now(), fact)
        };
        self.lock().told.push(record);
    }

    /// A client's process is about to crash: what its tasks say as they are dropped, nobody hears.
    pub fn crashes(&self, client: usize) {
        self.look();
        self.tell(Fact::Fault(Fault::ClientCrash), Some(client), None);
        let client = u8::try_from(client).expect("few clients");
        let mut state = self.lock();
        *state.lives.entry(client).or_default() += 1;
        state.busy.remove(&client);
        let held = std::mem::take(&mut state.held);
        let (dead, living) = held
            .into_iter()
            .partition(|(_, held)| held.client == client);
        state.held = living;
        drop(state);
        let _: BTreeMap<u32, Held> = dead;
    }

    /// From now on nobody wants anything new.
    pub fn calm_down(&self) {
        self.lock().quiet = true;
    }

    /// Whether every application has come to its end.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.lock().busy.values().all(|busy| *busy == 0)
    }

    /// What was told since this was last asked, in the order of true time.
    ///
    /// Hosts have their turns one after the other, so what they tell in one step is not in order as
    /// it comes.
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        let mut told = std::mem::take(&mut self.lock().told);
        told.sort_by_key(|record| record.at);
        told
    }

    fn now(&self) -> Nanos {
        nanos(self.time.now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Looks at the guard. It only reads: nothing of the client runs, which may stand still.
    fn look(&mut self, now: Nanos, lease: u32, told: &mut Vec<Record>) {
        if self.over {
            return;
        }
        let local = self.clock.now();
        let left = self.guard.remaining();
        let (client, key) = (self.client, self.key);
        let mut tell = |fact| {
            told.push(Record {
                local: Some(local),
                client: Some(client),
                key: Some(key),
                lease: Some(lease),
                ..Record::new(now, fact)
            });
        };
        if left == Duration::ZERO {
            self.over = true;
            // If it ended before its time, the guard says why, to whoever waits for it.
            if local >= self.until {
                self.expired = true;
                tell(Fact::Lost(Loss::Expired));
            }
            return;
        }
        let until = local + left;
        let in_true_time = nanos(self.clock.true_time_of(until));
        let why = match until.cmp(&self.until) {
            std::cmp::Ordering::Greater => Why::Renewed,
            std::cmp::Ordering::Less => Why::Shortened,
            // The true time of one instant differs by where the clock was read, since it is
            // rounded.
            std::cmp::Ordering::Equal if in_true_time.abs_diff(self.told) <= 2 => return,
            std::cmp::Ordering::Equal => Why::Clock,
        };
        (self.until, self.told) = (until, in_true_time);
        tell(Fact::Until {
            until: in_true_time,
            why,
        });
    }
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
