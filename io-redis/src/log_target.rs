//! The target of all tracing events and spans. Filters of users name it, so it does not follow the
//! paths of the modules.

pub(crate) const LOG_TARGET: &str = "tenure_redis";
