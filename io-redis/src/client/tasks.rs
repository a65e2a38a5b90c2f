//! The tasks of a client: what becomes of one that panics, or that its runtime drops.
//!
//! A panic is no fault of a node. It is a mistake: of the program, whose runtime has no timers, or
//! whose connection panics; or of this crate. Nobody knows what was half done then. So the whole
//! client ends, over several nodes too: everybody who waits is told the message, the other tasks
//! end, and what is held ends with its TTL.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::future::FutureExt;

use crate::client::hub::Hub;
use crate::error::RuntimeEnd;
use crate::protocol::words::printable;
use crate::runtime::{BoxFuture, Spawner};

/// Starts tasks whose end the hub is told, if the client has not finished before.
pub(crate) struct Watched {
    spawner: Arc<dyn Spawner>,
    hub: Arc<Hub>,
}

impl Watched {
    pub(crate) fn new(spawner: &Arc<dyn Spawner>, hub: &Arc<Hub>) -> Self {
        Self {
            spawner: Arc::clone(spawner),
            hub: Arc::clone(hub),
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spawner.fmt(f)
    }
}

impl Spawner for Watched {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.spawner
            .spawn(Box::pin(watch(Arc::clone(&self.hub), task)));
    }
}

fn watch(hub: Arc<Hub>, task: BoxFuture<'static, ()>) -> impl Future<Output = ()> + Send {
    // If the runtime drops the task before it ends, or before it begins, everybody who waits is
    // told.
    let told = TellEnd(hub);
    async move {
        let told = told;
        let ended = AssertUnwindSafe(task).catch_unwind().await;
        if let Err(panic) = ended {
            let message = message(&*panic);
            told.0.task_ended(RuntimeEnd::Panicked { message });
        }
    }
}

struct TellEnd(Arc<Hub>);

impl Drop for TellEnd {
    fn drop(&mut self) {
        self.0.task_ended(RuntimeEnd::Ended);
    }
}

/// The message of a panic, in one line and without secrets.
fn message(panic: &(dyn Any + Send)) -> String {
    let message = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (None, Some(message)) => message.as_str(),
        (None, None) => "it left no message",
    };
    let words = message.split_whitespace().map(without_password);
    let line = words.collect::<Vec<_>>().join(" ");
    printable(&line).as_str().to_owned()
}

/// A word. If it is a URL with a user or a password, without them.
fn without_password(word: &str) -> String {
    match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://…{}", &word[..scheme], &word[at..])
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_panic_is_one_line_without_secrets() {
        let told = |panic: Box<dyn Any + Send>| message(&*panic);
        assert_eq!(
            told(Box::new("timers are disabled.")),
            "timers are disabled."
        );
        let lines = "assertion failed:\n  left: 1\n right: 2".to_owned();
        assert_eq!(told(Box::new(lines)), "assertion failed: left: 1 right: 2");
        let url = "no way to rediss://user:hunter2@db:6379/0, given up".to_owned();
        assert_eq!(
            told(Box::new(url)),
            "no way to rediss://…@db:6379/0, given up"
        );
        let token = "0123456789abcdef0123456789abcdef:1".to_owned();
        assert_eq!(told(Box::new(token)), "…:1");
        assert_eq!(told(Box::new(7)), "it left no message");
    }
}
