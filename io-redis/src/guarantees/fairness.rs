//! **Fairness.** Waiters of a node are granted a lock in the order in which they came.
//!
//! # What is promised
//!
//! Over one node, a lock that is held is waited for in a queue, which the node keeps beside the
//! key. A waiter enters it at the end, with the request that finds the key held, and its place is
//! kept for as long as it waits. Who releases the lock hands it to the first place that lives.
//!
//! # Assumptions
//!
//! - There is one node, and it has lost no data.
//! - The lock passes from hand to hand: each holder releases it before its time ends.
//! - The waiter's process runs, and reaches the node at least once in each TTL.
//!
//! # Without them
//!
//! - A key that is free while somebody waits may go to a newcomer: its holder died, it was deleted,
//!   or its holder was a program that knows no queues. The newcomer's release hands it on.
//! - A waiter that was not heard of for a TTL loses its place. It enters the queue again at its
//!   end.
//! - A waiter whose connection does not listen just then is passed over, while others do. It keeps
//!   its place.
//! - A node that lost data may have lost the queue. Waiters enter it again as they ask.
//! - Over several nodes there is no order: each waiter asks for itself. See
//!   [Progress](super::progress).
//! - [`Locks::try_lock`](crate::Locks::try_lock) does not wait, and enters no queue.
//!
//! # What to do
//!
//! - Release a lock, or drop its guard, rather than let its time end: only a release hands it on.
//! - Let programs that use another lock library have keys of their own.
