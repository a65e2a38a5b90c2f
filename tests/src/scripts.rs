//! The Lua texts of the adapter by name, for the tests that call them with arguments of their own.

use tenure_core::OpKind;
use tenure_redis::seams::Script;

/// Takes the lock, and draws a fence.
pub const ACQUIRE: &str = Script::Lease(OpKind::Acquire).text();
/// Stores the fence that is about to be reported.
pub const CONFIRM: &str = Script::Lease(OpKind::Confirm).text();
/// Gives locks their TTL again.
pub const RENEW: &str = Script::Lease(OpKind::Renew).text();
/// Puts back a lock that the node lost.
pub const REPAIR: &str = Script::Lease(OpKind::Repair).text();
/// Deletes the lock.
pub const RELEASE: &str = Script::Lease(OpKind::Release).text();
/// Looks at a lock.
pub const INSPECT: &str = Script::Inspect.text();
/// Writes the marker of a node.
pub const MARK: &str = Script::Mark.text();
