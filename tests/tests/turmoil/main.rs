//! The real adapter with the real redis-rs over turmoil: every process a host of its own, with a
//! clock of its own, and one judge who watches the laws in true time.
#![forbid(unsafe_code)]

mod support;

mod faults;
mod hints;
mod queues;
mod random;
mod replay;
mod told;
