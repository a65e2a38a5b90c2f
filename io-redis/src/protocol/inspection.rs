//! What a node says of a key to somebody who only looks.

use std::time::Duration;

use tenure_core::{Fence, ServerTime};

/// What a node says about a key to who only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// Who holds it.
    pub(crate) holder: KeyHolder,
    /// What is left to the holder. None if the key is free or has no expiry.
    pub(crate) left: Option<Duration>,
    /// The last fence that was drawn, if the counter is still kept.
    pub(crate) fence: Option<Fence>,
    /// The server's time; none of a foreign key.
    pub(crate) server_time: Option<ServerTime>,
}

/// Who holds a key. The secret of the lease is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyHolder {
    /// Nobody.
    Free,
    /// A lease of Tenure's.
    Lease {
        /// Its owner's label.
        label: Option<String>,
        /// Its attempt.
        attempt: u32,
    },
    /// A string of another make, perhaps a lock of another library.
    Other,
    /// A key of another type, or a fence counter that is not a number.
    Foreign,
}
