//! **Fairness.** Waiters of a node are granted a lock in the order in which they came.
//!
//! # What is promised
//!
//! Over one node, a lock that is held is waited for in a queue, which the node keeps beside the
//! key. A waiter enters it at the end, with the request that finds the key held, and its place is
//! kept for as long as it waits. Who releases the lock hands it to the first place that lives, in
//! the same request, and the node tells that waiter at once. The key is never free in between.
//!
//! [`Locks::inspect`](crate::Locks::inspect) lists the queue,
//! [`LockError::Contended`](crate::LockError::Contended) says how many were ahead, and
//! [`Guard::waited`](crate::Guard::waited) how long it took.
//!
//! # Who does not wait in line
//!
//! - [`Locks::try_lock`](crate::Locks::try_lock), which makes one attempt, enters no queue. Nor
//!   does any other attempt of a bounded number.
//! - **Over several nodes there is no order.** A lock takes a quorum there, so no node can hand it
//!   on. Waiters have places at the nodes all the same: a release lets each node hint to one of
//!   them, which asks at once, and to another the next time. For 50 ms the node keeps the lock for
//!   it, so that neither a newcomer nor the one that gave the lock back is before it.
//! - Programs that use another library and poll for the key seldom win it while it has a queue,
//!   since it is not free when it changes hands. Nor do clients of Tenure that only `try_lock`.
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
//! - A release that the node refuses, since the user may not use the queue or the stream any more
//!   or since a slot of a cluster moves, is sent again for the lock alone. So are the next ones of
//!   that key for five seconds, where a slot moves or where a connection of yours to a cluster did
//!   not answer. The lock is free then, and not handed on.
//! - A waiter that was not heard of for a TTL loses its place. It enters the queue again at its
//!   end.
//! - A waiter whose connection does not listen just then is passed over, while others do. It keeps
//!   its place.
//! - A node that lost data may have lost the queue. Waiters enter it again as they ask.
//! - **A waiter whose process died** is passed over, since its channel has no subscriber any more;
//!   and after one TTL its place is dead. But if nobody else waits, or if the server does not know
//!   yet that the connection is gone, the lock is handed to it, and stays with it for what was left
//!   of its place: one TTL at most.
//! - A waiter whose node does not push to it (RESP2, [your own
//!   connection](crate::Builder::connection), no right to its channel) keeps its place and its
//!   order, but finds its turn by asking, after at most a quarter of a second by default. So long
//!   the lock is not used.
//!
//! # What to do
//!
//! - Release a lock, or drop its guard, rather than let its time end: only a release hands it on.
//! - Let programs that use another lock library have keys of their own.
