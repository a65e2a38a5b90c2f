//! What the link needs of a connection, and two kinds of connections: one that the link opened
//! itself, and one that belongs to the user. A third is that to a cluster (`shards`).

use std::io;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value};

use crate::protocol::decode::{CommandResult, miscounted};
use crate::runtime::BoxFuture;

/// A connection, as the link uses it.
#[cfg_attr(test, mockall::automock)]
pub(crate) trait Connection: Send + Sync + 'static {
    /// Writes the commands in this order when the future is first polled. Resolves to one value for
    /// each; the error reply to a command is a value too. An error is about the whole write.
    fn send(&self, commands: Pipeline) -> BoxFuture<'static, Result<Vec<Value>, RedisError>>;

    /// Lets the node push what is published at this channel. An error where it does not: it
    /// refuses, or the connection cannot be pushed to.
    fn listen(&self, channel: &[u8]) -> BoxFuture<'static, Result<(), RedisError>>;

    /// Whether the link opened the connection, and to one server. Then `send` takes several
    /// commands, keeps the order between calls, and the connection may be closed and replaced.
    fn is_own(&self) -> bool;
}

/// A connection that the link opened.
pub(crate) struct DialledConnection(MultiplexedConnection);

impl DialledConnection {
    pub(crate) fn new(connection: MultiplexedConnection) -> Self {
        Self(connection)
    }
}

impl Connection for DialledConnection {
    fn send(&self, commands: Pipeline) -> BoxFuture<'static, Result<Vec<Value>, RedisError>> {
        let mut connection = self.0.clone();
        Box::pin(async move {
            let sent = connection.send_packed_commands(&commands, 0, commands.len());
            // Nobody was given a time here. The operating system has given the connection up.
            sent.await.map_err(|error| match error.is_timeout() {
                true => io::Error::new(io::ErrorKind::ConnectionAborted, error.to_string()).into(),
                false => error,
            })
        })
    }

    fn listen(&self, channel: &[u8]) -> BoxFuture<'static, Result<(), RedisError>> {
        let (mut connection, channel) = (self.0.clone(), channel.to_vec());
        let asks = |name: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(&channel);
            cmd
        };
        let (listen, leave) = (asks("SUBSCRIBE"), asks("UNSUBSCRIBE"));
        Box::pin(async move {
            match connection.send_packed_command(&listen).await? {
                Value::Push { .. } => Ok(()),
                Value::ServerError(error) => Err(error.into()),
                // Whoever greeted in the newer protocol speaks the older one, in which a connection
                // that listens serves nothing else.
                _ => {
                    connection.send_packed_command(&leave).await?;
                    let why = "the node does not speak the protocol in which it greeted";
                    Err(RedisError::from((ErrorKind::UnexpectedReturnType, why)))
                }
            }
        })
    }

    fn is_own(&self) -> bool {
        true
    }
}

/// A connection that the user already has, perhaps to a cluster.
///
/// It is shared with others and cannot be replaced, and nobody says what it reconnects to. So a
/// request without a reply is *unknown* some time after its deadline. A cluster client may repeat a
/// command by itself after an error. Every request may be repeated, but not after a later one of
/// the same lease: an acquire that is repeated after its release leaves the key for one TTL.
pub(crate) struct UserConnection<C>(C);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> UserConnection<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self(connection)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connection for UserConnection<C> {
    fn send(&self, commands: Pipeline) -> BoxFuture<'static, Result<Vec<Value>, RedisError>> {
        let mut connection = self.0.clone();
        Box::pin(async move {
            let mut values = Vec::with_capacity(commands.len());
            for command in commands.cmd_iter() {
                values.push(connection.req_packed_command(command).await?);
            }
            Ok(values)
        })
    }

    fn listen(&self, _: &[u8]) -> BoxFuture<'static, Result<(), RedisError>> {
        no_pushes("who owns the connection hears what is pushed to it")
    }

    fn is_own(&self) -> bool {
        false
    }
}

/// What a connection says that cannot be listened on.
pub(crate) fn no_pushes(why: &'static str) -> BoxFuture<'static, Result<(), RedisError>> {
    let error = RedisError::from((ErrorKind::InvalidClientConfig, why));
    Box::pin(std::future::ready(Err(error)))
}

/// Sends the commands of a set-up, and waits for the result of each.
pub(crate) async fn exchange(
    connection: &dyn Connection,
    commands: Vec<Cmd>,
) -> Vec<CommandResult> {
    let count = commands.len();
    if connection.is_own() {
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        return match connection.send(pipeline).await {
            Ok(values) if values.len() == count => values.into_iter().map(Ok).collect(),
            Ok(_) => vec![Err(miscounted()); count],
            Err(error) => vec![Err(error); count],
        };
    }
    let one_by_one = commands.into_iter().map(|command| async move {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        match connection.send(pipeline).await {
            Ok(values) => <[Value; 1]>::try_from(values)
                .map(|[value]| value)
                .map_err(|_| miscounted()),
            Err(error) => Err(error),
        }
    });
    futures_util::future::join_all(one_by_one).await
}
