//! **Loss is told.** You learn of a loss at the end of validity at the latest.
//!
//! # What is promised
//!
//! - [`Guard::is_valid`](crate::Guard::is_valid) and [`Guard::remaining`](crate::Guard::remaining)
//!   are right at any moment. They compare validity with this process's clock and ask nobody, so
//!   they are right even if no node answers and no task of the client got to run.
//! - [`Guard::lost`](crate::Guard::lost) ends, and [`Guard::run`](crate::Guard::run) drops its
//!   work, when the lock is lost: at once if a node's answer shows it, at the end of validity
//!   otherwise. Until then they cost nothing: neither renewals nor the passing of time wake their
//!   task. `run` reads the clock before each poll of its work, so no poll begins after the end
//!   of validity, also where work that never rests keeps the runtime's timers from firing.
//! - While [`Guard::lost`](crate::Guard::lost), [`Guard::run`](crate::Guard::run) or
//!   [`Guard::renewed`](crate::Guard::renewed) is awaited, and from then on to the end of the
//!   guard, the nodes watch its key: if somebody deletes or overwrites it, or empties the server,
//!   the node pushes, the client asks at once by a renewal, and the answer decides. That takes two
//!   trips. Whoever does not await a loss pays nothing for it.
//! - The reason is told: a [`Loss`](crate::Loss).
//! - [`Guard::release`](crate::Guard::release) says the truth about the end. `Ok` means that a
//!   quorum held the key until then and freed it. [`ReleaseError::Lost`](crate::ReleaseError::Lost)
//!   means that the lock had been lost before.
//!   [`ReleaseError::Unknown`](crate::ReleaseError::Unknown) means that not enough nodes answered
//!   in time, which is four request timeouts at most, or that the client ended before they did.
//!   [`ReleaseError::Rejected`](crate::ReleaseError::Rejected) means that a server refused.
//!
//! # Assumptions
//!
//! - For `Ok` of a release: not both of two faults at once, as is said [below](#without-them).
//! - The process runs. One that stands still learns of the loss when it runs again.
//! - For `lost`, and for `run` while its work rests: the caller is inside a tokio runtime with a
//!   timer, which is not blocked. Elsewhere, the client's own tasks have to be running.
//! - The clock counts the time that the machine sleeps. See [Honest
//!   validity](super::honest_validity).
//!
//! # Without them
//!
//! - **A key that is gone.** If somebody deletes the key, or a server forgets it, nobody knows
//!   until a node answers. Where the loss is awaited, and the node can push, that is at once.
//!   Otherwise it is the next renewal, after at most 6.7 s with the defaults: where nobody awaits
//!   it, over RESP2 or [your own connection](crate::Builder::connection), without the rights to
//!   `CLIENT TRACKING`, `CLIENT CACHING` and `MGET`, and after a push that is lost with its
//!   connection. Until then `is_valid` says yes. See
//!   [Exclusion](super::exclusion#which-losses-are-detected).
//! - **A release of what is gone, without an answer.** If the key was deleted or flushed at the
//!   node by somebody *and* the reply of the release was lost, the release is sent again and finds
//!   nothing. This looks as if the first one had freed the key, and `release` says `Ok`. One crash
//!   can be both faults: of a node that keeps nothing on disk, while the release is in flight.
//!   Otherwise either alone is told right. A key that may have expired by itself before an answer
//!   came is told as `Unknown`.
//! - **Blocking code.** `run` can drop a future only where it awaits. Code that computes for a
//!   minute without an `await` is not interrupted; `run` then answers [`Lost`](crate::Lost) when
//!   the code is done.
//! - **After a suspend**, `is_valid` is right at once. `lost` and `run` find out within one second,
//!   because tokio's timer does not count the sleep. So the clock is asked again each second, by
//!   one task for all guards of a client that are awaited on the same runtime.
//! - **The client's runtime ended, or one of the client's tasks panicked.** Nothing is renewed any
//!   more. Guards stay valid until their time ends and say so then; every other operation says at
//!   once what happened ([`RuntimeEnd`](crate::RuntimeEnd)). A panic ends the whole client, over
//!   several nodes too, since it is a mistake and not a fault of one node.
//!
//! # What to do
//!
//! - Run the work under [`Guard::run`](crate::Guard::run), or ask `is_valid` between its steps.
//! - If the program blocks its runtime, or ends it early, build the client with
//!   [`Builder::own_thread`](crate::Builder::own_thread). Renewals then do not depend on the
//!   program's runtime.
//! - Log [`Loss`](crate::Loss). [`Taken`](crate::Loss::Taken) and [`Gone`](crate::Loss::Gone) mean
//!   that somebody changed the key or that a server forgot it: look for the cause.
