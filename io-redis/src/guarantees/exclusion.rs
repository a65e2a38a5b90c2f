//! **Exclusion.** No two guards of one key are valid at the same time.
//!
//! # What is promised
//!
//! At no instant of true time do two leases of one key both lie inside their validity. Validity is
//! what [`Guard::is_valid`](crate::Guard::is_valid) and
//! [`Guard::remaining`](crate::Guard::remaining) tell.
//!
//! A guard that you still hold in a variable may be valid or not. Exclusion is about valid guards.
//!
//! # Assumptions
//!
//! 1. **Clocks.** Over one TTL, the time that each client's clock and each server's wall clock
//!    measures differs from true time by at most the [drift bound](crate::Builder::drift_ppm): half
//!    a percent of the TTL by default, steps included. For a TTL of 10 s that is 50 ms.
//! 2. **Agreement.** All clients of a key use the same nodes and the same [max
//!    TTL](crate::Builder::max_ttl).
//! 3. **Memory.** No node loses data *undetected*. Over several nodes a loss that is detected
//!    breaks nothing, whatever number of nodes it strikes.
//! 4. **Addresses.** Each address leads to one server. Sentinels lead to one at a time: a server
//!    that is no primary any more grants nothing.
//!
//! ## Which losses are detected
//!
//! Over several nodes, [quarantine](crate::Quarantine) is on by default. Each node then has a
//! marker key, which says which run of which server wrote it and since when. A node whose marker is
//! missing or tells of another run may have forgotten a lease. It is not counted for a grant until
//! one max TTL has passed: by then every lease that it may have forgotten is over. This covers a
//! restart, `FLUSHALL`, and the promotion of a replica, by a
//! [Sentinel](crate::Builder::sentinel) too. The first use of a set of nodes costs one
//! max TTL for the same reason.
//!
//! A restart does not count as a loss if the server is known to have each write on its disk before
//! it answers: `appendfsync always`, `no-appendfsync-on-rewrite no`, no rewrite of the file
//! running, no replicas.
//!
//! Not detected are:
//! - the eviction, deletion or overwriting of single keys;
//! - a demotion and re-promotion while the connections live on. It is noticed when the node next
//!   refuses a write as a replica, or when the link next asks who the node is, which it does every
//!   30 s;
//! - a restart behind a proxy that keeps client connections open across it;
//! - any restart behind a [connection of your own](crate::Builder::connection), and any restart or
//!   failover within a cluster. Therefore such a node is one of several only by the explicit choice
//!   [`Quarantine::Off`](crate::Quarantine).
//!
//! # Without them
//!
//! 1. **A clock is wrong by more.** Dangerous are a client's clock that runs slow or stands still,
//!    and a server's clock that runs fast or is set forward. The key then expires before its holder
//!    believes so, and both the old and the next holder are valid for about the excess. A virtual
//!    machine that is paused together with its clock has such a clock. Over several nodes, a
//!    server's clock does harm only if enough of them are wrong.
//! 2. **Clients disagree.** With other sets of nodes, two quorums may have no node in common, and
//!    both grant. With another max TTL, quarantine may be too short. With quarantine on, a node
//!    refuses clients that name another max TTL, another number of nodes or another [name of the
//!    set](crate::Builder::node_set), with
//!    [`LockError::Misconfigured`](crate::LockError::Misconfigured). It cannot see two sets of the
//!    same size without names. One server under two names is refused too, by
//!    [`ConnectError::SameServer`](crate::ConnectError::SameServer) or by `Misconfigured`.
//! 3. **A loss is not detected**, or quarantine is off. Two guards may be valid at the same time,
//!    for at most one max TTL after the loss. The old holder learns it at its next renewal, from
//!    the node's answer. **With one node, quarantine is off by default**: a restart without the
//!    data, or a failover to a replica that lags behind, breaks Exclusion for at most one TTL. Of a
//!    cluster, this is so for the locks of the shard where it happens. Over one server or group,
//!    [`Builder::acknowledged_by`](crate::Builder::acknowledged_by) makes the second rare: a lock
//!    is told once so many replicas have it. Another replica may be promoted all the same, or one
//!    that has lost it since.
//! 4. **A proxy spreads keys over servers.** Locks that are due together share one call, which such
//!    a proxy sends to one server. The same key then goes now to one server and now to another, and
//!    both grant it. (Redis Cluster refuses such a call, and Tenure splits it.)
//!
//!    **A former primary goes on granting** to clients that have not heard of the failover that
//!    [Sentinels](crate::Builder::sentinel) made: for some seconds after one that was planned, and
//!    for as long as it is cut off together with clients and a Sentinel. Meanwhile the new one
//!    grants the same keys, with several nodes after quarantine. `min-replicas-to-write` in the
//!    configuration of the servers ends it. A primary of a cluster ends it by itself, after the
//!    `cluster-node-timeout`, if it is cut off from the majority of them.
//!
//! # What to do
//!
//! - Check the [fence](crate::Guard::fence) in the resource behind the lock. See
//!   [Fencing](super::fencing).
//! - Use three or five servers that know nothing of each other, rather than one with replicas.
//! - Where one with replicas it must be, let [replicas
//!   acknowledge](crate::Builder::acknowledged_by) each lock.
//! - Behind Sentinels, give the servers `min-replicas-to-write 1` and a `min-replicas-max-lag` no
//!   longer than the `down-after-milliseconds` of the Sentinels.
//! - Raise the [drift bound](crate::Builder::drift_ppm) where clocks are bad. 100,000 ppm costs a
//!   fifth of each TTL and allows one second in ten.
//! - Let clocks be slewed, not stepped: `ntpd` or `chrony` rather than a periodic `ntpdate`.
//! - Give Redis `maxmemory-policy noeviction`, and keys a [prefix](crate::Builder::prefix) that
//!   nothing else uses.
//! - Give each set of nodes a [name](crate::Builder::node_set), and change it with the set.
