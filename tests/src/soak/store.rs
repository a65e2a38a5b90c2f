//! The resource behind the locks: a server of its own, which takes a write only with a fence that
//! is not smaller than the last one.

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

use super::event::Written;

/// KEYS: what is written. ARGV: the fence, who writes, and whether fences are compared. It answers
/// with the number of writes that it took, this one included.
const WRITE: &str = "\
local last = redis.call('HMGET', KEYS[1], 'fence', 'lease')
if last[1] and ARGV[3] == '1' then
  local is, was = tonumber(ARGV[1]), tonumber(last[1])
  if is < was then return {'smaller', 0} end
  if is == was and last[2] ~= ARGV[2] then return {'twice', 0} end
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'lease', ARGV[2])
return {'taken', redis.call('HINCRBY', KEYS[1], 'writes', 1)}";

/// A connection to the store.
#[derive(Clone)]
pub(super) struct Store {
    link: MultiplexedConnection,
    write: Script,
    compares: bool,
}

impl Store {
    /// It takes every write if it does not compare fences.
    pub(super) fn new(link: MultiplexedConnection, compares: bool) -> Self {
        let write = Script::new(WRITE);
        Self {
            link,
            write,
            compares,
        }
    }

    /// Writes as this lease, with its fence. Says what came of it, and how many writes of this key
    /// it has taken then. Nobody harms the store, so it always answers.
    pub(super) async fn write(&self, key: u64, fence: u64, lease: u64) -> (Written, u64) {
        let mut call = self.write.key(format!("resource-{key}"));
        call.arg(fence).arg(lease).arg(u8::from(self.compares));
        let mut link = self.link.clone();
        let answer: RedisResult<(String, u64)> = call.invoke_async(&mut link).await;
        let (how, count) = answer.expect("the store answers");
        let how = match &*how {
            "taken" => Written::Taken,
            "smaller" => Written::Refused,
            "twice" => Written::Twice,
            other => panic!("the store answers {other:?}"),
        };
        (how, count)
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
        let store = Store::new(server.connect().await, true);
        let fence = (1 << 53) - 3;
        assert_eq!(store.write(1, fence, 7).await, (Written::Taken, 1));
        assert_eq!(store.write(1, fence, 7).await, (Written::Taken, 2));
        assert_eq!(store.write(1, fence, 8).await, (Written::Twice, 0));
        assert_eq!(store.write(1, fence - 1, 7).await, (Written::Refused, 0));
        assert_eq!(store.write(1, fence + 1, 8).await, (Written::Taken, 3));
        assert_eq!(store.write(2, 1, 7).await, (Written::Taken, 1));
        let broken = Store::new(server.connect().await, false);
        assert_eq!(broken.write(1, fence, 7).await, (Written::Taken, 4));
    }
}
