//! A connection to the one node of a client, for unit tests, over the mocked
//! [`Connection`](crate::link::connection::Connection): the test sees each write, and answers it or
//! loses it.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, RedisError, Value};
use tokio::sync::{mpsc, oneshot};

use crate::link::connection::MockConnection;
use crate::link::interface::LinkConfig;
use crate::protocol::scripts::{Fences, Script};

/// One write of a link: its commands, and where their replies go.
pub(crate) struct Write {
    pub(crate) commands: Vec<Vec<String>>,
    reply: oneshot::Sender<Result<Vec<Value>, RedisError>>,
}

impl Write {
    /// The name of the script that each command calls, or of the command itself.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |words: &Vec<String>| {
            let script = words.get(1)?;
            if words[0] == "EVAL" {
                let called = Script::of(Fences::Stream).find(|called| called.text() == script)?;
                return Some(format!("{} by its text", called.name()));
            }
            Some(Script::by_sha(script.as_bytes())?.name().to_owned())
        };
        let names = self.commands.iter();
        names
            .map(|words| name(words).unwrap_or_else(|| words[0].clone()))
            .collect()
    }

    /// The first key of each command.
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.commands
            .iter()
            .map(|words| words[3].as_str())
            .collect()
    }

    pub(crate) fn answer(self, values: impl IntoIterator<Item = Value>) {
        let _ = self.reply.send(Ok(values.into_iter().collect()));
    }

    pub(crate) fn fail(self) {
        self.fail_with(std::io::ErrorKind::ConnectionReset);
    }

    pub(crate) fn fail_with(self, kind: std::io::ErrorKind) {
        let failed = std::io::Error::from(kind);
        let _ = self.reply.send(Err(RedisError::from(failed)));
    }
}

/// A connection, and the receiver of what is written to it.
pub(crate) fn connection(own: bool) -> (MockConnection, mpsc::UnboundedReceiver<Write>) {
    let (writes, written) = mpsc::unbounded_channel();
    let mut connection = MockConnection::new();
    connection.expect_is_own().return_const(own);
    connection
        .expect_listen()
        .returning(|_| Box::pin(std::future::ready(Ok(()))));
    connection
        .expect_send()
        .returning(move |pipeline: Pipeline| {
            let commands = pipeline.cmd_iter().map(|command| {
                let word = |arg| match arg {
                    redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    _ => String::new(),
                };
                command.args_iter().map(word).collect()
            });
            let (reply, replied) = oneshot::channel();
            let write = Write {
                commands: commands.collect(),
                reply,
            };
            let writes = writes.clone();
            Box::pin(async move {
                // Like a real connection: written when first polled, in the order of polling.
                writes.send(write).ok();
                match replied.await {
                    Ok(result) => result,
                    Err(_) => std::future::pending().await,
                }
            })
        });
    (connection, written)
}

/// How a link to the one node of a client behaves.
pub(crate) fn one_node() -> LinkConfig {
    let mut config = LinkConfig::new(Duration::from_millis(500));
    config.stream = Some(Arc::default());
    config
}

pub(crate) fn error(text: &str) -> Value {
    let line = format!("-{text}\r\n");
    redis::parse_redis_value(line.as_bytes()).expect("an error reply is a value")
}

pub(crate) fn word(word: &str) -> Value {
    Value::BulkString(word.as_bytes().to_vec())
}

pub(crate) fn list<const N: usize>(parts: [&str; N]) -> Value {
    Value::Array(parts.map(word).to_vec())
}

/// The answer to an acquire of one lock.
pub(crate) fn granted() -> Value {
    list(["granted 7-7"])
}

/// The answer to releases of which none failed.
pub(crate) fn done() -> Value {
    Value::Array(Vec::new())
}

/// The answer to releases of which the first failed, and why.
pub(crate) fn failed(why: &str) -> Value {
    Value::Array(vec![Value::Int(1), word(why)])
}

/// The commands that load all scripts, by their names.
pub(crate) fn loads() -> Vec<&'static str> {
    Script::of(Fences::Stream).map(|_| "SCRIPT").collect()
}

/// The answers to them.
pub(crate) fn loaded() -> Vec<Value> {
    Script::of(Fences::Stream).map(|_| word("sha")).collect()
}
