//! What the adapter needs of its surroundings, and what production gives it. Users reach it as
//! [`seams`](crate::seams).

mod clock;
mod production;
mod traits;

pub use clock::BootClock;
pub use production::{OsEntropy, TokioConnector, TokioSpawner};
pub use traits::{BoxFuture, ByteStream, Clock, Connector, Endpoint, Entropy, Seams, Spawner};
