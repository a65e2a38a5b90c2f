//! What the adapter needs of its surroundings, and what it uses in production. Users reach it as
//! [`seams`](crate::seams).

mod caller;
mod clock;
mod production;
mod race;
mod traits;

pub(crate) use caller::{CallerTimer, caller_runtime, gives_no_timer};
pub use clock::BootClock;
#[cfg(all(feature = "cluster", any(target_os = "android", target_os = "linux")))]
pub(crate) use production::UNCONFIRMED;
#[cfg(feature = "cluster")]
pub(crate) use production::probes;
pub use production::{OsEntropy, TokioConnector, TokioSpawner};
pub(crate) use race::race;
pub use traits::{BoxFuture, ByteStream, Clock, Connector, Endpoint, Entropy, Seams, Spawner};
