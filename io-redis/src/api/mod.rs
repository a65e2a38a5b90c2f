//! What users hold: handles, guards, and what makes them.

pub(crate) mod assess;
pub(crate) mod break_lock;
pub(crate) mod builder;
pub(crate) mod check;
pub(crate) mod default;
pub(crate) mod guard;
pub(crate) mod held;
pub(crate) mod inspect;
pub(crate) mod locks;
pub(crate) mod options;
pub(crate) mod scan;
mod until_lost;
