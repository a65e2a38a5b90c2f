//! **Progress.** After faults heal, a wanted key that is free is granted.
//!
//! # What is promised
//!
//! [`Locks::lock`](crate::Locks::lock) goes on trying until it has the lock or [gives
//! up](crate::LockOptions::give_up_after). By default it never gives up. Contention and outages are
//! waited for, and so is a key without an expiry, which its holder may delete. What waiting cannot
//! mend, such as a wrong password or a key that holds no lock, is told at once.
//!
//! Over several nodes, rivals may split the nodes between them, so that nobody has a quorum. A
//! round that fails releases every node that it touched before its pause begins, so no retry sits
//! on a minority. The pauses are random, so rivals drift apart. The key is granted with a
//! probability that grows with each attempt.
//!
//! # How long it takes
//!
//! - Over one node, a release hands the lock to the next in line, and the node tells it at once. If
//!   that message is lost, the waiter finds out when it keeps its place, or when the time of the
//!   holder before it would have ended: after two thirds of a TTL at most.
//! - Over several nodes, a release lets each node hint to one of those that wait there, which asks
//!   within 5 ms, and keep the key for it for 50 ms. If the hint is lost, or if the one that it was
//!   for has crashed, another asks after two thirds of a TTL at most.
//! - Where too few nodes push to the waiter, a key that somebody holds is tried again when the
//!   holder's time ends or after the [backoff](crate::LockOptions::backoff), whichever is earlier:
//!   after at most a quarter of a second, by default. So it is while rivals share several nodes,
//!   and nobody has the lock.
//! - A holder that crashed blocks its key for one TTL. Then the first two in line ask. If they have
//!   crashed too, another does so when it keeps its place.
//! - A waiter that crashed may be handed the lock, and then blocks it for what was left of its
//!   place: one TTL at most.
//! - A node that may have forgotten is not counted for one max TTL. See
//!   [Exclusion](super::exclusion).
//! - After an outage, a client tries to connect again within a sixteenth of the shortest TTL in
//!   use, or within 50 ms if that is more, and within 2 s in any case. *In use* is the TTL of a
//!   lease that lives now; if none lives, that of the [options](crate::Builder::options) of the
//!   client.
//! - One try to connect, with the set-up of the connection, may take an eighth of that TTL, but at
//!   least 250 ms and at most 1 s; or eight round trips, if that is more. Where no round trip has
//!   been measured yet it is 2 s, and after three tries that ran out of time it grows up to that.
//!   If the [request timeout](crate::Builder::request_timeout) is more than 1 s, twice that takes
//!   the place of the 2 s.
//!   Where [Sentinels](crate::Builder::sentinel) are asked first, that is part of this time. To one
//!   server of a cluster, connecting may take a quarter of this time, or half of that after which a
//!   connection is replaced, if that is less. Meanwhile what is asked of other shards waits.
//! - A connection on which a request waits and nothing is heard is replaced after a quarter of that
//!   TTL, but at least 200 ms; or after twice the request timeout, if that is less; or after four
//!   round trips, if that is more.
//! - A connection that had died while it was idle costs no attempt. If it was closed or reset, the
//!   request is asked again at once on a new one. If the network has forgotten it and tells nobody,
//!   the client has found that out by a `PING`, or it does so after half of the request timeout,
//!   and asks again in the other half: if that is 200 ms and six round trips at least. If not, the
//!   request fails, and the connection is replaced for its silence.
//! - A node that closes connections on which nothing is asked, as with a `timeout` in its
//!   configuration, is not an outage: it is connected to again at once, or when something is asked,
//!   and meanwhile requests wait.
//! - What is held need not wait at all: when a node comes up, renewals that had failed there are
//!   tried at once, the nearest end of validity first. Behind them come the releases that it is
//!   owed.
//!
//! The simulation demands that each wanted key is granted within two max TTLs and 9 s after the
//! last fault has healed.
//!
//! # Assumptions
//!
//! - A quorum of the nodes answers, and their users have the rights that the scripts need.
//! - Whoever holds the key lets go at some time.
//!
//! # Without them
//!
//! - Without a quorum, `lock` waits, and [`Locks::try_lock`](crate::Locks::try_lock) answers with
//!   an error that [is an outage](crate::LockError::is_outage). What is held stays valid until its
//!   time ends.
//! - Over several nodes this is a promise about keys, not about each waiter: **there is no order
//!   there.** Hints go round among those who wait. In the simulation each of sixteen tasks that
//!   want one key, and hold it for 50 ms, gets it within 6 s. Over one node each waiter has its
//!   turn: [Fairness](super::fairness).
//! - A server's clock that is set back makes the keys on it live longer, by as much.
//!
//! # What to do
//!
//! - Set [`LockOptions::give_up_after`](crate::LockOptions::give_up_after) where somebody waits for
//!   an answer. The nodes get one attempt in any case.
//! - Keep the TTL short. It is the price of a crash, and a held lock is renewed anyway.
