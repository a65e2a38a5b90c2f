//! The link to one node: a task that takes the requests that are due from the hub, writes them to
//! the node, and answers each exactly once.
//!
//! `reconnect` runs it from one connection to the next. `connect` opens a connection, `credentials`
//! says as whom, `greeting` makes the handshake on it, `identity` sets it up, `session` serves it,
//! `recovery` is what a session repairs by itself, `pulse` is how it finds out that nobody is at
//! the other end, `in_flight` are the writes without a reply, `alone` are the keys that share no
//! calls, `bare` those whose releases hand nothing on, `onlooker` inspects for a user who may only
//! read, `streams` keeps what draws the fences of one node, `mailbox` is where what a node pushes
//! waits for the session, `acknowledge` is the connection beside it on which replicas are waited
//! for. `context` is what stays from one connection to the next. `bell`, `local_wake` and `woken`
//! keep its task from being run, and its parts from being polled, for nothing. `interface` is what
//! the rest of the client knows of a link.
//!
//! Where Sentinels know which server is the primary, `group` is the node, `sentinels` asks them,
//! and `lookout` hears when it is another one. Where the node is a cluster, `cluster` connects to
//! its servers, and `shards` is the connection to all of them.

mod acknowledge;
pub(crate) mod address;
mod alone;
mod bare;
pub(crate) mod bell;
#[cfg(feature = "cluster")]
pub(crate) mod cluster;
mod connect;
pub(crate) mod connection;
mod context;
pub(crate) mod credentials;
mod greeting;
pub(crate) mod group;
pub(crate) mod handle;
mod identity;
mod in_flight;
pub(crate) mod interface;
mod local_wake;
mod lookout;
mod mailbox;
mod onlooker;
mod pulse;
mod reconnect;
mod recovery;
mod sentinels;
mod session;
#[cfg(feature = "cluster")]
mod shards;
mod streams;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(feature = "tls-rustls")]
pub(crate) mod tls;
mod woken;

use std::sync::Arc;

use tenure_core::NodeId;
use tokio::sync::mpsc;

use crate::link::handle::LinkHandle;
use crate::link::interface::{LinkConfig, Target, Work};
use crate::link::local_wake::LocalWake;
use crate::link::reconnect::Link;
use crate::runtime::Seams;

/// Starts the link to one node. Its task ends when the work is finished.
pub(crate) fn spawn_link(
    node: NodeId,
    target: Target,
    config: LinkConfig,
    work: Arc<dyn Work>,
    seams: &Seams,
) -> LinkHandle {
    let (handle, requests) = mpsc::channel(16);
    let link = Link::new(node, target, config, work, requests, seams);
    seams
        .spawner
        .spawn(Box::pin(LocalWake::new(tokio::task::unconstrained(
            link.run(),
        ))));
    LinkHandle { inquiries: handle }
}
