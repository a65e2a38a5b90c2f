//! The errors: one type for each operation. Contention, outage, loss and misuse are different
//! answers.

mod connect;
mod ended;
mod inspect;
mod kind;
mod lock;
mod loss;
mod release;
mod renew;
mod silent;

pub use connect::ConnectError;
pub(crate) use ended::Ended;
pub use ended::RuntimeEnd;
pub use inspect::InspectError;
pub use lock::LockError;
pub use loss::{Loss, Lost};
pub use release::ReleaseError;
pub use renew::RenewError;
pub use silent::SilentNode;
