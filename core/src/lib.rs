//! core
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod id;
mod request;
mod time;
mod token;

pub use id::{LeaseId, MAX_NODES, NodeId, NodeSet, RequestId};
pub use request::{Answer, Op, Refusal, Reply, Request, ServerTime, Words};
pub use time::Instant;
pub use token::{Fence, Key, Label, LabelError, Secret, Token};
