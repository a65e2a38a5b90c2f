//! What the benches share.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod callgrind;
pub mod clients;
pub mod core_alone;
pub mod document;
pub mod ledger;
pub mod machine;
pub mod page;
pub mod servers;

use clients::{Clients, Who};
use servers::Servers;

/// Servers of this process alone, and a client of each kind that is connected to all of them.
pub struct Bench {
    /// The clients.
    pub clients: Clients,
    /// The servers, which end with it.
    pub servers: Servers,
}

impl Bench {
    /// Starts so many servers, connects all clients, and has each take a lock once.
    pub async fn start(nodes: usize) -> Self {
        let servers = Servers::start(nodes).await;
        let clients = Clients::connect(&servers.urls()).await;
        for who in Who::ALL {
            clients.pairs(who, 1, 1).await;
        }
        Self { clients, servers }
    }
}

/// The runtime that benches use: one thread, so that what is counted is the same each time.
///
/// # Panics
/// If the system gives no runtime.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Whether this word is among the arguments of the program.
pub fn asked(word: &str) -> bool {
    std::env::args().any(|argument| argument == word)
}
