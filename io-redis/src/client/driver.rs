//! The task that calls the core when something is due.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;

use crate::client::hub::{Hub, Turn};

/// Runs the core's timers until the client is finished.
pub(crate) async fn drive(hub: Arc<Hub>) {
    loop {
        match hub.drive() {
            Turn::Over => return,
            // A step is bounded. Between two of them other tasks, timers and sockets of this thread
            // get their turn.
            // Law: Bounded work
            Turn::Again => tokio::task::yield_now().await,
            // It does not matter which of the two woke this task: `drive` looks up what is due.
            Turn::At(at) => {
                let due = hub.clock().sleep_until(at);
                select(pin!(hub.driver_woken()), due).await;
            }
        }
    }
}
