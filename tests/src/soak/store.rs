//! The resource behind the locks: a server of its own, which takes a write only with a fence that
//! is not smaller than the last one.

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

use super::event::Written;

/// KEYS: what is written. ARGV: the fence, and who writes.
const WRITE: &str = "\
local last = redis.call('HMGET', KEYS[1], 'fence', 'lease')
if last[1] then
  local is, was = tonumber(ARGV[1]), tonumber(last[1])
  if is < was then return 'smaller' end
  if is == was and last[2] ~= ARGV[2] then return 'twice' end
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'lease', ARGV[2])
return 'taken'";

/// A connection to the store.
#[derive(Clone)]
pub(super) struct Store {
    link: MultiplexedConnection,
    write: Script,
}

impl Store {
    pub(super) fn new(link: MultiplexedConnection) -> Self {
        let write = Script::new(WRITE);
        Self { link, write }
    }

    /// Writes as this lease, with its fence. Nobody harms the store, so it always answers.
    pub(super) async fn write(&self, key: u64, fence: u64, lease: u64) -> Written {
        let mut call = self.write.key(format!("resource-{key}"));
        let mut link = self.link.clone();
        let answer: RedisResult<String> = call.arg(fence).arg(lease).invoke_async(&mut link).await;
        match answer.as_deref() {
            Ok("taken") => Written::Taken,
            Ok("smaller") => Written::Refused,
            Ok("twice") => Written::Twice,
            other => panic!("the store answers {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Store, Written};
    use crate::live::{Options, RedisServer, servers_available};

    #[tokio::test]
    async fn the_store_refuses_a_smaller_fence_and_tells_two_under_one() {
        if !servers_available() {
            return;
        }
        let server = RedisServer::start(Options::new()).await;
        let store = Store::new(server.connect().await);
        let fence = (1 << 53) - 3;
        assert_eq!(store.write(1, fence, 7).await, Written::Taken);
        assert_eq!(store.write(1, fence, 7).await, Written::Taken);
        assert_eq!(store.write(1, fence, 8).await, Written::Twice);
        assert_eq!(store.write(1, fence - 1, 7).await, Written::Refused);
        assert_eq!(store.write(1, fence + 1, 8).await, Written::Taken);
        assert_eq!(store.write(2, 1, 7).await, Written::Taken);
    }
}
