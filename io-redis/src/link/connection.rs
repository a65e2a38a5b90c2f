//! What the link needs of a connection, and the two kinds there are: one that the link dialled
//! itself, and one that the user already had.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value};

use crate::protocol::decode::CommandResult;
use crate::runtime::seams::BoxFuture;

/// A connection, as the link uses it.
#[cfg_attr(test, mockall::automock)]
pub(crate) trait Wire: Send + Sync + 'static {
    /// Writes the commands in this order when the future is first polled, and resolves to one value
    /// for each; an error reply is a value. An error is that of the whole.
    fn send(&self, commands: Pipeline) -> BoxFuture<'static, Result<Vec<Value>, RedisError>>;

    /// Whether `send` takes more than one command, keeps the order between calls, and can be given
    /// up and replaced: so for a connection that is the link's own.
    fn is_own(&self) -> bool;
}

/// A connection that the link dialled.
pub(crate) struct OwnWire(MultiplexedConnection);

impl OwnWire {
    pub(crate) fn new(connection: MultiplexedConnection) -> Self {
        Self(connection)
    }
}

impl Wire for OwnWire {
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
/// It is shared with others and cannot be replaced, so a request that gets no reply is *unknown* some
/// time after its deadline, and what it reconnects to is its own affair. A cluster client may repeat
/// a command by itself after an error. All requests bear being repeated, but not past a later one of
/// the same lease: an acquire that is repeated after its release leaves the key for one TTL.
pub(crate) struct UserWire<C>(C);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> UserWire<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self(connection)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Wire for UserWire<C> {
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
pub(crate) async fn exchange(wire: &dyn Wire, commands: Vec<Cmd>) -> Vec<CommandResult> {
    let count = commands.len();
    if wire.is_own() {
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        return match wire.send(pipeline).await {
            Ok(values) if values.len() == count => values.into_iter().map(Ok).collect(),
            Ok(_) => vec![Err(miscounted()); count],
            Err(error) => vec![Err(error); count],
        };
    }
    let singly = commands.into_iter().map(|command| async move {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(command);
        match wire.send(pipeline).await {
            Ok(values) => <[Value; 1]>::try_from(values)
                .map(|[value]| value)
                .map_err(|_| miscounted()),
            Err(error) => Err(error),
        }
    });
    futures_util::future::join_all(singly).await
}

/// Fewer or more replies than commands.
pub(crate) fn miscounted() -> RedisError {
    let words = "the number of replies is not that of the commands";
    RedisError::from((ErrorKind::Parse, words))
}
