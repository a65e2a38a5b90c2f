//! The machine of a client: its clock, and the process that runs on it, which may begin again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenure_core::Rng;
use tenure_redis::seams::Seams;
use tenure_redis::{Builder, Locks};
use tokio::sync::oneshot;

use super::stream::{HostConnector, Rows, Tape};
use crate::memory_net::{Ends, Forgotten, Process, SeededEntropy, SimClock, TrueTime};

/// The machine of a client. Its clock goes on through crashes of the process. Clones are the same
/// machine.
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    clock: SimClock,
    time: TrueTime,
    tape: Tape,
    rows: Rows,
    ends: HostEnds,
    state: Arc<Mutex<State>>,
}

/// The ends of the connections from a machine, by the host at the other end.
#[derive(Clone, Debug, Default)]
pub(super) struct HostEnds(Arc<Mutex<BTreeMap<String, Ends>>>);

impl HostEnds {
    pub(super) fn at(&self, host: &str) -> Ends {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(host.to_owned()).or_default().clone()
    }
}

#[derive(Debug)]
struct State {
    rng: Rng,
    /// What runs there now.
    process: Option<Process>,
    lives: u32,
}

/// One life of a client's process: what its software is given when it begins.
#[derive(Clone, Debug)]
pub struct Life {
    machine: Machine,
    process: Process,
    number: u32,
    seed: u64,
}

impl Machine {
    pub(super) fn new(
        name: &str,
        clock: SimClock,
        time: TrueTime,
        tape: Tape,
        rows: Rows,
        seed: u64,
    ) -> Self {
        Self {
            name: name.to_owned(),
            clock,
            time,
            tape,
            rows,
            ends: HostEnds::default(),
            state: Arc::new(Mutex::new(State {
                rng: Rng::new(seed),
                process: None,
                lives: 0,
            })),
        }
    }

    /// Runs the software in a new process, on the runtime of the host.
    pub(super) async fn run<F: Future<Output = ()> + Send + 'static>(
        self,
        software: impl FnOnce(Life) -> F,
    ) -> turmoil::Result {
        let process = Process::new();
        let (number, seed) = {
            let mut state = self.lock();
            state.lives += 1;
            state.process = Some(process.clone());
            (state.lives, state.rng.next_u64())
        };
        let life = Life {
            machine: self.clone(),
            process: process.clone(),
            number,
            seed,
        };
        let (done, end) = oneshot::channel();
        let software = software(life);
        // A task of the process like those of the adapter, so that all of them end together.
        process.start(Box::pin(async move {
            software.await;
            // Nothing receives it if the host has crashed.
            let _ = done.send(());
        }));
        if end.await.is_err() && self.is_running() {
            return Err(format!("the software of {} panicked", self.name).into());
        }
        // Tasks that the software started go on.
        std::future::pending().await
    }

    /// The process dies: its tasks end in the order of their beginning, on the next turn of the
    /// host. Says whether there was one.
    pub(super) fn crash(&self) -> bool {
        let process = self.lock().process.take();
        process.iter().for_each(Process::crash);
        process.is_some()
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

    /// The open connections to a host are dead from now on, which shows only when something is sent
    /// on one of them. New ones work.
    pub fn forget(&self, host: &str, by: Forgotten) {
        self.ends.at(host).forget(by);
    }

    /// [`Process::pause`], if a process runs there.
    pub fn pause(&self) {
        self.lock().process.iter().for_each(Process::pause);
    }

    /// [`Process::stall`], if a process runs there.
    pub fn stall(&self) {
        self.lock().process.iter().for_each(Process::stall);
    }

    /// [`Process::resume`], if a process runs there.
    pub fn resume(&self) {
        self.lock().process.iter().for_each(Process::resume);
    }

    /// Whether a process runs there: it has begun, and no crash ended it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().process.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    /// A builder in this process, without nodes.
    pub fn builder(&self) -> Builder {
        Locks::builder().seams(self.seams())
    }

    /// The seams of this process, for a builder of one's own.
    #[must_use]
    pub fn seams(&self) -> Seams {
        Seams {
            connector: Arc::new(HostConnector {
                client: format!("{}.{}", self.machine.name, self.number),
                tape: self.machine.tape.clone(),
                rows: self.machine.rows.clone(),
                ends: self.machine.ends.clone(),
            }),
            clock: Arc::new(self.machine.clock.clone()),
            spawner: Arc::new(self.process.clone()),
            entropy: Arc::new(SeededEntropy::new(self.seed)),
        }
    }

    /// The machine that it runs on.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Counts the lives of the machine, from one.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// A number that is the same in every run, and another in every life.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The true time of the network.
    #[must_use]
    pub const fn time(&self) -> &TrueTime {
        &self.machine.time
    }
}
