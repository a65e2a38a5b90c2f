//! The errors: one type for each operation. Contention, outage, loss and misuse are different
//! answers.

mod break_lock;
mod connect;
mod ended;
mod inspect;
mod kind;
mod lock;
mod loss;
mod release;
mod renew;
mod scan;
mod silent;

pub use break_lock::BreakError;
pub use connect::ConnectError;
pub(crate) use connect::NO_REPLICAS_OF_CLUSTERS;
pub(crate) use ended::Ended;
pub use ended::RuntimeEnd;
pub use inspect::InspectError;
pub use lock::LockError;
pub use loss::{Loss, Lost};
pub use release::ReleaseError;
pub use renew::RenewError;
pub use scan::ScanError;
pub use silent::SilentNode;
