//! The task that calls the core when something is due.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;

use crate::client::hub::Hub;

/// Runs the core's timers until the client is finished.
pub(crate) fn drive(hub: Arc<Hub>) -> impl Future<Output = ()> + Send {
    // If the runtime drops this task before it ends, or before it begins, everybody who waits is
    // told.
    let told = TellRuntimeEnded(Arc::clone(&hub));
    async move {
        let _told = told;
        while let Some(at) = hub.drive() {
            let due = hub.clock().sleep_until(at);
            // It does not matter which of the two woke this task: `drive` looks up what is due.
            select(pin!(hub.driver_woken()), due).await;
        }
    }
}

struct TellRuntimeEnded(Arc<Hub>);

impl Drop for TellRuntimeEnded {
    fn drop(&mut self) {
        self.0.runtime_ended();
    }
}
