//! **Bounded work.** Requests, queues and retries have bounds.
//!
//! # What is promised
//!
//! - A lease has at most one request in flight at each node, and one release behind it.
//! - A client has at most [`Builder::max_leases`](crate::Builder::max_leases) leases, those
//!   included that are being released: 1,000,000 by default. Beyond that the answer is
//!   [`LockError::AtCapacity`](crate::LockError::AtCapacity). This bounds every queue.
//! - Locks that are due together share calls, up to 128 in one. Renewals that fall due within 10 ms
//!   of each other (or a thousandth of max TTL, if that is less) are sent together.
//! - A key for which the user has no rights is asked for alone, so that others go on sharing calls.
//!   A client remembers 64 such keys, each for a minute after it was last refused.
//! - A connection has at most 64 writes in flight; one of your own, 4,096 commands.
//! - An outage is not a storm. Attempts pause between 25 ms and 1 s, or 250 ms while somebody else
//!   holds the key that is not waited for in a queue
//!   ([`LockOptions::backoff`](crate::LockOptions::backoff)), failed renewals from a
//!   quarter of the request timeout to the whole, failed releases from 50 ms to 1 s, new
//!   connections from 50 ms to a sixteenth of the shortest TTL in use, or to 2 s. The bound doubles
//!   with each failure in a row, and each pause is a random time from its upper half. When the key
//!   has changed hands, the bound of its waiters begins anew. A node that cannot be reached is not
//!   asked at all.
//! - A node that refuses the user is asked again after up to 2 s, however short the TTL is.
//! - A node behind [Sentinels](crate::Builder::sentinel) has a second connection, to one of them,
//!   which is asked about every 10 s. One that is lost is replaced after up to 2 s.
//! - Over a cluster nothing shares a call. A request to a key that has moved is asked once more,
//!   and once more where its slot is being moved to. While a shard is gone, each attempt for a lock
//!   of it has one of the others asked where the slots are, and its primary connected to.
//! - Where replicas must [acknowledge](crate::Builder::acknowledged_by) grants, a node has one more
//!   connection, on which one `WAIT` is under way at a time, for up to 128 grants.
//! - A node that closes idle connections is connected to once a second at most, or twenty times
//!   while something is asked of it.
//! - When a node comes up, what had failed there is tried once without its pause. If it fails
//!   again, the pauses go on as before. So a node that comes and goes is asked once each time for
//!   each lease, in full calls.
//! - After a long pause of the process, or when a node goes down or comes up, the core handles at
//!   most 256 leases in one step, those whose validity ends first. Between two steps the client's
//!   tasks let others run, and so do they after each 256 requests or replies: on a runtime of one
//!   thread too, the program goes on.
//! - Memory follows the number of leases: what 100,000 of them needed is given back as they end.
//!
//! # How long a call takes
//!
//! If the nodes do not answer, at most so long. Of two values the smaller counts. The request
//! timeout is 1 s by default.
//!
//! | call | time |
//! |---|---|
//! | [`try_lock`](crate::Locks::try_lock) | one request timeout, half of the validity |
//! | [`lock`](crate::Locks::lock) | as it is [told](crate::LockOptions::give_up_after) |
//! | [`renew`](crate::Guard::renew) | one request timeout, half of the time for renewals |
//! | [`ensure`](crate::Guard::ensure) | two renewals |
//! | [`release`](crate::Guard::release) | four request timeouts, one TTL |
//! | [`close`](crate::Locks::close) | four request timeouts |
//! | [`inspect`](crate::Locks::inspect) | two tries to connect and four request timeouts |
//! | [`break_lock`](crate::Locks::break_lock) | the same, for each pass |
//! | [`check`](crate::Locks::check) | the same |
//! | [`Scan::next`](crate::Scan::next) | the same, for each of its requests |
//! | [`connect`](crate::Builder::connect) | two tries to connect |
//!
//! `break_lock` makes one pass over one node, and at most eight over several. A node that is silent
//! in one is not asked in the next.
//!
//! Over one node without quarantine, the first attempt may take twice as long as one over several:
//! it begins with plain commands, and a script follows if they say too little. Where replicas must
//! [acknowledge](crate::Builder::acknowledged_by) a grant, each attempt may take as long again for
//! that. A `lock` that gives
//! up makes one attempt at least, which is as long as a `try_lock`. The time for renewals is what
//! is left of the validity when one is due. If eight round trips take longer than four request
//! timeouts, `inspect` and its like take those; no round trip is taken to be longer than 1 s or the
//! request timeout.
//!
//! The client's own tasks keep these bounds. If they do not run, a task on the caller's runtime
//! ends the call a quarter later (20 ms later at least): one for all callers there, which ends at
//! most a second after the last of them. They do not run if the runtime that the client was built
//! on is blocked, for example because it waits for the thread that calls; nor in a forked child,
//! which has none of the threads. The error is an outage that names *this process*, and the lease
//! that was asked for is cancelled. Where the caller has no timer (outside of tokio, or on a
//! runtime without `enable_time`) it waits on.
//!
//! # What it costs
//!
//! | | requests to each node |
//! |---|---|
//! | a lock that is free | 1 to acquire, 1 to release |
//! | the same, if nodes drew different fences | 1 more to those that drew a smaller one |
//! | a lock that is held | 1 in two thirds of a TTL |
//! | a waiter in a queue | 1 to enter, 1 in two thirds of a TTL |
//! | a waiter over several nodes | the same, and a few for each hint in vain |
//! | the first two in line | 1 more when the holder's time ends |
//! | a hand-off | the release, and one push |
//! | a waiter elsewhere | 1 for each attempt: 4 to 8 per second, more where the key changes hands |
//! | a guard whose loss is awaited | 1 read behind each renewal, many keys in one |
//! | a connection on which nothing else is asked | 1 `PING` about every 10 s |
//! | a check | 15 small ones in one write |
//! | a scan | 1 for about 256 keys of any kind, and 1 for each string that fits |
//!
//! *Elsewhere* is before a holder that is no lock of Tenure's (over one node the first in line
//! only), where the node does not push, over several nodes where too few of them do, and while
//! rivals share these: [Fairness](super::fairness). With quarantine over one node, who is handed a
//! lock asks once more. What is due together shares calls: the places of a client, its renewals,
//! and what it reads.
//!
//! Of twenty that wait for one key over five nodes, each costs 2.5 times the requests of a lock
//! that is free, at most. After a hint a waiter asks once; if another was quicker, it has its place
//! still, and asks no more until the next hint.
//!
//! A queue has 100,000 places at most; beyond that the answer is
//! [`LockError::QueueFull`](crate::LockError::QueueFull). Each takes some 300 bytes of the server's
//! memory. A hand-off looks at 1,024 dead places at most, and an inspection lists 100.
//!
//! The `PING` comes after ten request timeouts if that is less, but not before 1 s; each time up to
//! a quarter earlier, so that clients that were started together do not ask together. Over a
//! connection of your own there is none.
//!
//! # Assumptions
//!
//! None. Faults make requests fewer, except for these: a request that finds its script missing, or
//! whose connection ends before the answer, is asked again at once, at most three times; a renewal
//! or release that was not answered is sent again. To a server that forgets its scripts as soon as
//! they are loaded, they are sent as texts for 10 s, a few kilobytes with each call.
//!
//! # What to do
//!
//! - Where waiters poll, and hundreds wait for one key, give them longer pauses
//!   ([`LockOptions::contention_backoff`](crate::LockOptions::contention_backoff)).
//! - To see what is sent, watch the `tracing` events of this crate, or `INFO commandstats`.
