//! A fault that has begun and will end.

use crate::observe::fact::Fault;

/// A fault that ends, or is about to strike.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Ongoing {
    pub(super) fault: Fault,
    pub(super) client: u8,
    /// A node of the client for a link, else a server.
    pub(super) node: u8,
    pub(super) over: bool,
}
