//! What the link needs of a connection, and the two kinds there are: one that the link dialled
//! itself, and one that the user already had.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, Value};

use crate::protocol::decode::{CommandResult, miscounted};
use crate::runtime::BoxFuture;

/// A connection, as the link uses it.
#[cfg_attr(test, mockall::automock)]
pub(crate) trait Connection: Send + Sync + 'static {
    /// Writes the commands in this order when the future is first polled, and resolves to one value
    /// for each; an error reply is a value. An error is that of the whole.
    fn send(&self, commands: Pipeline) -> BoxFuture<'static, Result<Vec<Value>, RedisError>>;

    /// Whether `send` takes more than one command, keeps the order between calls, and can be given
    /// up and replaced: so for a connection that is the link's own.
    fn is_own(&self) -> bool;
}

/// A connection that the link dialled.
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
            connection
                .send_packed_commands(&commands, 0, commands.len())
                .await
        })
    }

    fn is_own(&self) -> bool {
        true
    }
}

/// A connection that the user already has, perhaps to a cluster.
///
/// It is shared with others and cannot be replaced, so a request that gets no reply is *unknown*
/// some time after its deadline, and what it reconnects to is its own affair. A cluster client may
/// repeat a command by itself after an error. All requests bear being repeated, but not past a
/// later one of the same lease: an acquire that is repeated after its release leaves the key for
/// one TTL.
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

    fn is_own(&self) -> bool {
        false
    }
}

/// Sends commands that set something up, and waits for each one's own result.
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
    let singly = commands.into_iter().map(|command| async move {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        match connection.send(pipeline).await {
            Ok(values) => <[Value; 1]>::try_from(values)
                .map(|[value]| value)
                .map_err(|_| miscounted()),
            Err(error) => Err(error),
        }
    });
    futures_util::future::join_all(singly).await
}
