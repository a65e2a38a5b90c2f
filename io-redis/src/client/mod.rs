//! The state that all handles and guards of one client share, and the tasks that move it.

pub(crate) mod alarm;
pub(crate) mod breaking;
pub(crate) mod cell;
mod cells;
pub(crate) mod delivery;
pub(crate) mod driver;
pub(crate) mod hub;
pub(crate) mod logging;
mod metrics;
mod outcome;
mod own_keys;
pub(crate) mod own_thread;
pub(crate) mod patience;
mod quota;
mod secrets;
pub(crate) mod shared;
mod span;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;
mod waits;
