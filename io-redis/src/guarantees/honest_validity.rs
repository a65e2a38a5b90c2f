//! **Honest validity.** A guard is valid no longer than the nodes hold its key.
//!
//! # What is promised
//!
//! Validity is an instant on this process's own clock. It is computed so that a quorum of the nodes
//! keeps the key at least as long:
//!
//! - For each node, time counts from the moment *before* the request was queued, never from its
//!   reply: `queued + TTL − drift margin`.
//! - Of these instants, the one that at least a quorum of the nodes reaches is taken: with three
//!   nodes the second largest.
//! - A reply counts only for the request that it answers. A late reply lengthens nothing that is
//!   over.
//!
//! Validity may also go **down**. A node that answers *gone* or *taken* counts no more. If no
//! quorum is left, the lock is lost at once.
//!
//! The clock goes on while the machine sleeps: `CLOCK_BOOTTIME` on Linux, Android and OpenBSD,
//! `CLOCK_MONOTONIC` on Apple's systems. A lease that ran out during a suspend is over when the
//! machine wakes. On Windows the clock is `QueryPerformanceCounter`, which goes on as well; that is
//! said as Rust's standard library reads it today, and the crate is compiled for Windows, but not
//! run there. Other systems are in the table of [`BootClock`](crate::seams::BootClock).
//!
//! # Assumptions
//!
//! - Clocks keep the [drift bound](crate::Builder::drift_ppm).
//! - No node loses data undetected. See [Exclusion](super::exclusion#which-losses-are-detected).
//! - This process's clock counts the time that the machine sleeps.
//!
//! # Without them
//!
//! - If a clock is wrong by more, validity ends later than the key does, by about the excess.
//! - If a node loses the key, validity is too long until the next renewal reaches that node. With
//!   the defaults that is at most 6.7 s, if the renewal is answered.
//! - Where the clock stops during a suspend, a guard that was valid before is still valid after it,
//!   for as long as was left. Its key may have expired meanwhile.
//!
//! # What to do
//!
//! - Ask [`Guard::is_valid`](crate::Guard::is_valid) before each step that nobody else may do at
//!   the same time. It costs no round trip.
//! - If a step takes long, ask [`Guard::ensure`](crate::Guard::ensure) for the time that it takes:
//!   it renews the lock if less is left.
//! - Remember that time passes between the question and the step. Only a [fence](super::fencing)
//!   covers that.
