//! What is promised: one page for each promise.
//!
//! Each page says the same four things: what is promised, under which assumptions, what happens
//! where an assumption does not hold, and what you can do. These pages have no code.
//!
//! | promise | in one sentence |
//! |---|---|
//! | [Exclusion](exclusion) | No two guards of one key are valid at the same time. |
//! | [Fencing](fencing) | A later grant of a key has a larger number than an earlier one. |
//! | [Ownership](ownership) | No request changes another owner's key, but to break it by force. |
//! | [Honest validity](honest_validity) | A guard is valid no longer than the nodes hold its key. |
//! | [No resurrection](no_resurrection) | What was reported lost or released is never held again. |
//! | [Loss is told](loss_is_told) | You learn of a loss at the end of validity at the latest. |
//! | [Progress](progress) | After faults heal, a wanted key that is free is granted. |
//! | [No orphan](no_orphan) | What is dropped is freed, and all that is written expires. |
//! | [Fairness](fairness) | Waiters of a node are granted a lock in the order in which they came. |
//! | [Bounded work](bounded_work) | Requests, queues and retries have bounds. |
//! | [Replay](replay) | The same inputs and seed give the same outputs, byte for byte. |
//!
//! # Which one to rely on
//!
//! Fencing holds in more situations than Exclusion does. Where two holders at once would cost more
//! than an outage, take both: a quorum of several nodes for Exclusion, and a resource behind the
//! lock that checks the [fence](crate::Guard::fence). Where two holders at once cost only double
//! work, one node is enough.
//!
//! # What is not promised
//!
//! - **Tampering.** Other programs can delete or overwrite keys in your Redis. Tenure finds out at
//!   the next renewal, or at once where the loss is awaited, and tells you. It cannot prevent it.
//!   See [Ownership](ownership).
//! - **Atomicity with your data.** Holding a guard and writing to a database are two steps, and
//!   time passes between them. Only the fence, checked by the database, covers that gap.
//!
//! # The numbers
//!
//! The pages use these defaults. Each can be changed where the second column says.
//!
//! | default | set by |
//! |---|---|
//! | TTL 10 s | [`Builder::ttl`](crate::Builder::ttl), [`LockOptions`](crate::LockOptions) |
//! | max TTL: the TTL | [`Builder::max_ttl`](crate::Builder::max_ttl) |
//! | drift bound 5,000 ppm: 0.5 % | [`Builder::drift_ppm`](crate::Builder::drift_ppm) |
//! | renewal after 2/3 of the TTL | [`LockOptions::renew_after`](crate::LockOptions::renew_after) |
//! | request timeout 1 s | [`Builder::request_timeout`](crate::Builder::request_timeout) |
//! | backoff from 25 ms to 1 s | [`LockOptions::backoff`](crate::LockOptions::backoff) |
//! | at most 1,000,000 leases | [`Builder::max_leases`](crate::Builder::max_leases) |
//!
//! The *TTL* is how long a node keeps the key. *Max TTL* is the largest TTL that any client of the
//! same nodes uses. The request timeout is an eighth of max TTL, but at least 20 ms and at most
//! 1 s. With a short TTL, an attempt is given half of the validity, and a renewal half of the time
//! between its beginning and the end of validity, so that a retry fits.
//!
//! The *drift margin* is what is subtracted from each TTL: `2 × drift bound × TTL + 2 ms`. With the
//! defaults that is 102 ms, so a guard is valid for 9.898 s after each renewal. The factor two is
//! there because two clocks may be wrong in opposite directions: the holder's slow and the server's
//! fast. The 2 ms cover the rounding of a server, which expires keys in whole milliseconds. The
//! formula is in `core/src/math/validity.rs`.
//!
//! How each promise is tested is described in `docs/testing.md` of the repository.

pub mod bounded_work;
pub mod exclusion;
pub mod fairness;
pub mod fencing;
pub mod honest_validity;
pub mod loss_is_told;
pub mod no_orphan;
pub mod no_resurrection;
pub mod ownership;
pub mod progress;
pub mod replay;
