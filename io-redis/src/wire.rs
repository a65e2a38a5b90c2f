//! What the link needs of a connection, and the two kinds there are: one that the link dialled
//! itself, and one that the user already had.

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisError, Value};

use crate::seams::BoxFuture;

/// A connection, as the link uses it. Dropping it (with its futures) gives it up.
pub(crate) trait Wire: Send + Sync + 'static {
    /// Writes the commands in this order and resolves to one result for each. An error reply is
    /// that command's result and does not touch the others.
    fn send(&self, commands: Vec<Cmd>) -> BoxFuture<'static, Vec<Result<Value, RedisError>>>;
}

/// A connection that the user already has, perhaps to a cluster.
pub(crate) struct UserWire<C>(C);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> UserWire<C> {
    pub(crate) fn new(connection: C) -> Self {
        Self(connection)
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Wire for UserWire<C> {
    fn send(&self, commands: Vec<Cmd>) -> BoxFuture<'static, Vec<Result<Value, RedisError>>> {
        let mut connection = self.0.clone();
        Box::pin(async move {
            let mut results = Vec::with_capacity(commands.len());
            for command in &commands {
                results.push(connection.req_packed_command(command).await);
            }
            results
        })
    }
}
