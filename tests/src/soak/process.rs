//! One of the processes of a soak: its clients, its workers, and what it needs. It ends in order
//! when its standard input says so, and at once when nobody is left at the other end.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use tenure_redis::{Builder, Locks, Quarantine};
use tenure_sim::choice::Choices;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::event::Event;
use super::store::Store;
use super::worker::Worker;
use super::{Broken, CLIENTS, Process, TTL, WORKERS};
use crate::live::server;
use crate::live::wait::pause;

/// Numbers of leases are those of their process from here on.
const LEASES: u64 = 1 << 32;
/// How often a process says what it needs.
const FIGURES: Duration = Duration::from_secs(1);
/// How often, and how many times, it is looked whether tasks have ended.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: u32 = 1_000;

/// Tells the judge something. A line is written at once or, if the process is killed, not at all.
pub(super) fn tell(event: Event) {
    let line = format!("{event}\n");
    // Nobody hears it if the other end is gone, and then this process is about to end.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

/// Takes locks until it is told to end.
pub(super) async fn run(process: &Process, seed: u64, broken: Option<Broken>) {
    let (end, ends) = watch::channel(false);
    std::thread::spawn(move || {
        let mut line = String::new();
        // An error or the end of the input: nobody is there.
        if !matches!(std::io::stdin().lock().read_line(&mut line), Ok(1..)) {
            std::process::exit(1);
        }
        let _ = end.send(true);
    });
    let compares = broken != Some(Broken::IgnoresFences);
    let store = Store::new(server::connect(&process.store).await, compares);
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let builder = builder(process, broken);
        let ignores = broken == Some(Broken::IgnoresReplicas);
        let builder = if is_acknowledged(process, index) && !ignores {
            builder.acknowledged_by(1)
        } else {
            builder
        };
        clients.push(builder.connect_lazy().expect("the configuration is right"));
    }
    let number = Arc::new(AtomicU64::new(process.number * LEASES));
    let workers = clients
        .iter()
        .enumerate()
        .flat_map(|client| (0..WORKERS).map(move |_| client));
    let workers = (0..).zip(workers).map(|(index, (client, locks))| {
        let own = process.number * 1_000 + index;
        let worker = Worker {
            locks: locks.clone(),
            store: store.clone(),
            number: Arc::clone(&number),
            choices: Choices::from_seed(seed.rotate_left(32) ^ own),
            broken,
            acknowledged: is_acknowledged(process, client),
        };
        tokio::spawn(worker.run(ends.clone()))
    });
    let mut all = join_all(workers);
    loop {
        figures();
        match select(all, Box::pin(pause(FIGURES))).await {
            Either::Left((ended, _)) => {
                ended
                    .into_iter()
                    .for_each(|ended| ended.expect("no worker panics"));
                break;
            }
            Either::Right(((), rest)) => all = rest,
        }
    }
    figures();
    close(clients, store).await;
}

/// Whether replicas acknowledge what this client of a process is granted: where there is one, half
/// of the clients demand it.
fn is_acknowledged(process: &Process, client: usize) -> bool {
    !process.sentinels.is_empty() && client % 2 == 1
}

fn builder(process: &Process, broken: Option<Broken>) -> Builder {
    let builder = Locks::builder().ttl(TTL);
    let builder = match (&process.locks[..], &process.sentinels[..]) {
        ([primary], [_, ..]) => builder.sentinel(primary, &process.sentinels),
        (nodes, _) => builder.nodes(nodes),
    };
    let builder = if broken == Some(Broken::NoQuarantine) {
        builder.quarantine(Quarantine::Off)
    } else {
        builder
    };
    #[cfg(feature = "tls-rustls")]
    if let Some(file) = &process.authority {
        let authority = std::fs::read(file).expect("it was made for this");
        return builder.root_certificates(authority);
    }
    builder
}

/// Closes all clients, and says what is left of them.
async fn close(clients: Vec<Locks>, store: Store) {
    let mut held = 0;
    for locks in clients {
        held += locks.held().len() as u64;
        locks.close().await;
    }
    drop(store);
    let tasks = || Handle::current().metrics().num_alive_tasks() as u64;
    for _ in 0..LOOKS {
        if tasks() == 0 {
            break;
        }
        pause(LOOK).await;
    }
    let tasks = tasks();
    tell(Event::Closed { tasks, held });
}

fn figures() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kib.parse().ok()
    });
    tell(Event::Figures {
        // Zero where the system does not say it.
        memory: memory.unwrap_or(0),
        tasks: Handle::current().metrics().num_alive_tasks() as u64,
    });
}
