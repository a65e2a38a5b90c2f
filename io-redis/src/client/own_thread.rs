//! The thread of its own that a client may have.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;

use crate::client::hub::Hub;
use crate::error::ConnectError;
use crate::runtime::{BoxFuture, Spawner};

/// A thread with a runtime of its own, so that renewals do not depend on the program's runtime.
#[derive(Debug)]
pub(crate) struct OwnThread {
    runtime: Runtime,
}

impl OwnThread {
    /// Makes the runtime. Its tasks run once the thread is [started](Self::start).
    pub(crate) fn new() -> Result<Self, ConnectError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ConnectError::Thread(error.to_string()))?;
        Ok(Self { runtime })
    }

    /// The spawner of this thread.
    pub(crate) fn spawner(&self) -> Arc<dyn Spawner> {
        Arc::new(OnRuntime(self.runtime.handle().clone()))
    }

    /// Starts the thread. It ends when the client is finished.
    pub(crate) fn start(self, hub: Arc<Hub>) -> Result<(), ConnectError> {
        let runtime = Arc::new(Mutex::new(Some(self.runtime)));
        let theirs = Arc::clone(&runtime);
        let take = |runtime: &Mutex<Option<Runtime>>| {
            runtime
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        };
        let thread = std::thread::Builder::new()
            .name("tenure".to_owned())
            .spawn(move || {
                if let Some(runtime) = take(&theirs) {
                    runtime.block_on(hub.finished());
                    // The links still have to run once to close their connections.
                    runtime.block_on(tokio::task::yield_now());
                }
            });
        thread.map(drop).map_err(|error| {
            // Dropping a runtime waits for its tasks, which is not allowed inside another runtime.
            if let Some(runtime) = take(&runtime) {
                runtime.shutdown_background();
            }
            ConnectError::Thread(error.to_string())
        })
    }
}

#[derive(Debug)]
struct OnRuntime(tokio::runtime::Handle);

impl Spawner for OnRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::{ConnectError, Locks};

    /// Set for the child process of the test below.
    const CHILD: &str = "TENURE_TEST_NO_THREADS";

    fn is_refused() {
        let built = Locks::builder()
            .node("redis://127.0.0.1:1")
            .own_thread()
            .connect_lazy();
        assert!(matches!(built, Err(ConnectError::Thread(_))), "{built:?}");
    }

    /// The test runs in a process of its own, whose threads would need more stack than there is
    /// memory.
    #[test]
    fn a_thread_that_cannot_start_is_an_error() {
        if std::env::var_os(CHILD).is_some() {
            is_refused();
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime
                .expect("it has no threads")
                .block_on(async { is_refused() });
            return;
        }
        let name = "client::own_thread::tests::a_thread_that_cannot_start_is_an_error";
        let child = Command::new(std::env::current_exe().expect("this program"))
            // The test harness itself needs no thread for a single test.
            .args(["--exact", name, "--test-threads=1", "--nocapture"])
            .env(CHILD, "1")
            .env("RUST_MIN_STACK", (1_u64 << 60).to_string())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{child:?}"
        );
    }
}
