//! The Lua texts of the adapter, for the tests that look at them from outside.
//!
//! The adapter does not tell them: they are no part of its API. This is the one place that knows
//! where they lie.

/// Takes the lock, and draws a fence.
pub const ACQUIRE: &str = include_str!("../../io-redis/src/protocol/lua/acquire.lua");
/// Stores the fence that is about to be reported.
pub const CONFIRM: &str = include_str!("../../io-redis/src/protocol/lua/confirm.lua");
/// Gives locks their TTL again.
pub const RENEW: &str = include_str!("../../io-redis/src/protocol/lua/renew.lua");
/// Puts back a lock that the node lost.
pub const REPAIR: &str = include_str!("../../io-redis/src/protocol/lua/repair.lua");
/// Deletes the lock.
pub const RELEASE: &str = include_str!("../../io-redis/src/protocol/lua/release.lua");
/// Looks at a lock.
pub const INSPECT: &str = include_str!("../../io-redis/src/protocol/lua/inspect.lua");
/// Writes the marker of a node.
pub const MARK: &str = include_str!("../../io-redis/src/protocol/lua/mark.lua");
