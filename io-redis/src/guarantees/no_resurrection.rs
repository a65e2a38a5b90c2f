//! **No resurrection.** What was reported lost or released is never held again.
//!
//! # What is promised
//!
//! - Once a guard said that it is not valid, it stays so. A late reply to a renewal changes
//!   nothing.
//! - Validity ends before a release is queued, not when it is answered. So nobody who shares the
//!   guard believes in it while the release travels.
//! - A release whose outcome is unknown does not bring the lease back.
//! - A renewal never creates a key. If the key is gone, the answer is *gone*.
//!
//! There is one exception to the last: *repair*. Over several nodes, a node that lost its copy of a
//! key gets it back, with the fence. This happens only while a quorum holds the lease without that
//! node, and only if the key is absent there. So it never revives a lease that nobody held.
//!
//! # Assumptions
//!
//! None. This holds with wrong clocks and with nodes that forget.
//!
//! # What this does not cover
//!
//! A request that travels on a connection which was given up may still reach the server later. Such
//! a request can leave a *key* behind, but no valid guard. How long it may stay is described under
//! [No orphan](super::no_orphan).
//!
//! # What to do
//!
//! Nothing. A new lock is a new guard with a new, larger fence.
