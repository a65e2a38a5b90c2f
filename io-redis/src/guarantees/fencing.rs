//! **Fencing.** A later grant of a key has a larger number than an earlier one.
//!
//! # What is promised
//!
//! Each grant of a key has a number, its *fence*: [`Guard::fence`](crate::Guard::fence).
//!
//! - If one grant was reported before the acquire of another was sent, its fence is smaller.
//! - A grant at a node, where another grant of the key had ended before, has the larger fence.
//! - No two grants of a key have the same fence.
//!
//! This holds also where [Exclusion](super::exclusion) does not: through pauses of any length,
//! expiry, `FLUSHALL`, a restart with empty memory, and the promotion of a replica that lags
//! behind.
//!
//! Of two grants that overlap in time, the one that is reported first may have the larger fence.
//!
//! # How it is used
//!
//! Hand the fence to the resource behind the lock with each write. The resource remembers the
//! largest fence that it has seen and refuses a smaller one. In SQL:
//!
//! ```sql
//! UPDATE accounts SET balance = $2, fence = $1 WHERE id = $3 AND fence <= $1
//! ```
//!
//! No row changed means: a later holder was here. A holder that was paused in the middle of its
//! work is then refused when it wakes up. No lock service can do this alone, since it cannot stop a
//! write that is already on its way.
//!
//! If the holder reads first and writes later, let it announce its fence when it reads. Then
//! whatever is still on its way from an earlier holder is refused from that moment on.
//!
//! # Assumptions
//!
//! With one node:
//! - All clients use the same node, and the same [stream](crate::Builder::fence_stream).
//! - A server that lost its fence stream, or has an older one in its place, as a promoted replica
//!   may have and `SWAPDB` brings, shows a later time than the one before it did, by a millisecond,
//!   and than the stream, if that was ahead of it. A failover takes longer than that.
//! - Nobody deletes, evicts or flushes a key between the command that takes it and the one that
//!   draws its fence. Both are in one write, which the server may read in two parts.
//!
//! With several nodes:
//! - The servers' wall clocks agree to within nine tenths of one max TTL: 9 s by default.
//! - All clients use the same nodes and the same max TTL.
//! - Quarantine is on, so that a node which may have forgotten is not counted.
//!
//! A holder that uses another library on the same key draws no fence. Fences say nothing about it.
//!
//! # Without them
//!
//! - With one node: a later grant may get a smaller fence, until the server's time has passed the
//!   largest fence that was given.
//! - With several nodes: the same, for the time by which the clocks differ beyond the bound.
//! - After a loss that is [not detected](super::exclusion#which-losses-are-detected), or beside a
//!   client with a shorter max TTL, Fencing may be broken for one max TTL.
//!
//! A resource that checks fences then refuses the later holder, or accepts an earlier one.
//!
//! # What to do
//!
//! - Run a time service on the servers. Seconds are enough.
//! - Do not set a server's clock back by more than a day: the counter of an unused key is forgotten
//!   a day after its last grant, and a stream two days after it was last kept (see below).
//! - From one node to several: the counters begin at the servers' time. If the one's clock had been
//!   set back, its stream is ahead of that. Wait until the time has caught up with the last fence.
//! - Let the resource store the fence durably, beside the data that it protects.
//!
//! # Where the numbers come from
//!
//! Fences are about twice the Unix time in microseconds; they stay below 2^53 until 2112. So they
//! fit a signed 64-bit column and a number of JavaScript.
//!
//! One node draws them from a stream that stays empty, for all keys together, so one resource may
//! be guarded by several locks. Its ids are a time in milliseconds and a sequence, and each is
//! larger than all before: the fence is 2,000 times the milliseconds plus the sequence. After the
//! server's clock was set back, the stream goes on in the last millisecond that it has seen, and is
//! moved to the next one after 1,800 fences. If it is gone, it is created anew, one millisecond
//! ahead. A client keeps it for two days when it connects, and hourly while it is connected; over a
//! cluster it does so hourly, for the slots that were used, each of which has a stream.
//!
//! Each of several nodes has a counter for each key. It draws the largest of: the stored fence plus
//! one, twice its own time in microseconds, and the fence that the client proposes. It keeps the
//! counter for a day after the time that its value stands for.
//!
//! Over several nodes, a fence is reported only once a quorum has stored it. So that one round trip
//! is enough, the client proposes a fence: the largest server time that it has seen, carried
//! forward by its own clock, plus a lead. Two bounds keep proposals less than a tenth of max TTL
//! ahead of the servers: the lead is 10 ms, but at most 1/32 of max TTL; and a seen time is carried
//! forward only while the drift bound allows an error of at most 1/16 of max TTL (for 125 s by
//! default). What is left of one max TTL is the nine tenths that the clocks may differ by. A node
//! ignores a proposal that is more than a minute ahead of its own time. The arithmetic is in
//! `core/src/math/proposal.rs`.
