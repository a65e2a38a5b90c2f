//! The bare hand-off over redis-rs, which shows what a hand-off costs at least: a list for each key
//! as the queue, and a release that takes the first of it, writes it under the key and tells it so.
//!
//! It does nothing else. It knows no dead waiter, no cancel, no lost push, no fence, and does not
//! look whose lock it hands on.
//!
//! Its second pair of scripts calls the commands that Tenure's scripts call when somebody waits for
//! the first time, on a queue of the same form, and decides nothing by what they answer. It shows
//! how much of what Tenure takes longer is these commands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value};
use tokio::sync::oneshot;

use crate::clients::{PATIENCE, TTL};

/// The two scripts of a prototype. KEYS: the key, its queue, the fence stream if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scripts {
    /// Takes the key, or goes to the end of the queue. ARGV: token, TTL ms.
    acquire: &'static str,
    /// Hands the key to the first of the queue, or deletes it. ARGV: TTL ms.
    release: &'static str,
    stream: Option<&'static str>,
}

/// What a hand-off takes at least.
pub(crate) const BARE: Scripts = Scripts {
    acquire: ACQUIRE,
    release: RELEASE,
    stream: None,
};

/// With the commands of Tenure's scripts.
pub(crate) const ALL_COMMANDS: Scripts = Scripts {
    acquire: ACQUIRE_WITH_ALL,
    release: RELEASE_WITH_ALL,
    stream: Some("bench:fence"),
};

const ACQUIRE: &str = "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
redis.call('RPUSH', KEYS[2], ARGV[1])
return 0";

const RELEASE: &str = "
local next = redis.call('LPOP', KEYS[2])
if not next then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], next, 'PX', ARGV[1])
return redis.call('PUBLISH', string.sub(next, 1, 16), next)";

/// A place is two members, as with Tenure: one for its order, one for its end. The first is as long
/// as Tenure's are, so that the server keeps both queues in the same way.
const ACQUIRE_WITH_ALL: &str = "
local call, lock, queue, token = redis.call, KEYS[1], KEYS[2], ARGV[1]
local size = call('ZCARD', queue)
if call('SET', lock, token, 'NX', 'PX', ARGV[2]) and size == 0 then
  call('XADD', KEYS[3], 'MAXLEN', '0', '*', '', '')
  return 1
end
local time, order, first = call('TIME'), 1, 0
call('GETEX', lock)
call('PTTL', lock)
if size > 0 then
  local middle = call('ZRANGE', queue, size / 2 - 1, size / 2, 'WITHSCORES')
  order, first = middle[2] + 1, middle[4] / 64
end
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local score, till = string.format('%.0f', ends * 64 + 1), ends - ends % 10000 + 10000
local place = 'A' .. token .. '---------------------------------------------------'
call('ZADD', queue, 'NX', order, place, score, 'B' .. token)
if first < till - 10000 then
  till = string.format('%.0f', till)
  if size == 0 or call('PEXPIREAT', queue, till, 'GT') ~= 1 then
    call('PTTL', queue)
    if size == 0 then call('PEXPIREAT', queue, till) end
  end
end
return 0";

const RELEASE_WITH_ALL: &str = "
local call, lock, queue = redis.call, KEYS[1], KEYS[2]
local head = call('ZRANGE', queue, '0', '0')[1]
call('GETEX', lock)
if not head then return call('DEL', lock) end
local token = string.sub(head, 2, 34)
local channel, name = string.sub(token, 1, 16), 'B' .. token
call('XADD', KEYS[3], 'MAXLEN', '0', '*', '', '')
local ends = math.floor(call('ZMSCORE', queue, name)[1] / 64)
call('PUBSUB', 'NUMSUB', channel)
call('ZREM', queue, head, name)
call('SET', lock, token, 'PXAT', string.format('%.0f', ends))
return call('PUBLISH', channel, token)";

/// The waiters of a client, by what they have in the queue.
type Waiters = Arc<Mutex<HashMap<Vec<u8>, oneshot::Sender<()>>>>;

/// A client, with one connection for commands and pushes.
#[derive(Clone)]
pub(crate) struct Prototype {
    connection: MultiplexedConnection,
    scripts: Scripts,
    /// The names that the server has for them.
    acquire: String,
    release: String,
    /// Also the first sixteen characters of each of its tokens.
    channel: String,
    waiters: Waiters,
    tokens: u64,
}

impl Prototype {
    pub(crate) async fn connect(url: &str, scripts: Scripts) -> Self {
        let waiters = Waiters::default();
        let woken = Arc::clone(&waiters);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(move |push| wake(&woken, push));
        let client = Client::open(format!("{url}?protocol=resp3")).expect("it is a URL");
        let connected = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        let mut connection = connected.expect("the server serves");
        let channel = format!("{:016}", std::process::id());
        let subscribed = connection.subscribe(&channel).await;
        subscribed.expect("a channel is subscribed");
        Self {
            acquire: load(&mut connection, scripts.acquire).await,
            release: load(&mut connection, scripts.release).await,
            connection,
            scripts,
            channel,
            waiters,
            tokens: 0,
        }
    }

    /// Gives it tokens that no other task of the client has.
    pub(crate) fn of_task(mut self, task: u64) -> Self {
        self.tokens = task << 32;
        self
    }

    pub(crate) async fn lock(&mut self, key: &str) {
        self.tokens += 1;
        let token = format!("{}:{:016x}", self.channel, self.tokens);
        let (told, granted) = oneshot::channel();
        // Before it asks: the push may come before the reply.
        self.waiters().insert(token.clone().into_bytes(), told);
        let mut acquire = redis::cmd("EVALSHA");
        acquire.arg(&self.acquire).arg(keys(key, self.scripts));
        acquire.arg(&token).arg(ttl());
        let taken = acquire.query_async(&mut self.connection).await;
        if taken.expect("the server answers") {
            self.waiters().remove(token.as_bytes());
        } else {
            granted.await.expect("the key is handed on");
        }
    }

    pub(crate) async fn release(&mut self, key: &str) {
        let mut release = redis::cmd("EVALSHA");
        release.arg(&self.release).arg(keys(key, self.scripts));
        release.arg(ttl());
        let released: u64 = release
            .query_async(&mut self.connection)
            .await
            .expect("the server answers");
        assert_eq!(released, 1, "a key is deleted, or one waiter told");
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, oneshot::Sender<()>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the waiter that this push names.
fn wake(waiters: &Waiters, push: PushInfo) -> Result<(), ()> {
    if push.kind != PushKind::Message {
        return Ok(());
    }
    let Some(Value::BulkString(token)) = push.data.get(1) else {
        return Ok(());
    };
    let mut waiters = waiters.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(waiter) = waiters.remove(token) {
        // It is gone where a turn has ended.
        let _ = waiter.send(());
    }
    Ok(())
}

async fn load(connection: &mut MultiplexedConnection, text: &str) -> String {
    let mut load = redis::cmd("SCRIPT");
    let loaded = load.arg("LOAD").arg(text).query_async(connection).await;
    loaded.expect("a script is loaded")
}

/// How many keys the scripts are told, and which.
fn keys(key: &str, scripts: Scripts) -> Vec<String> {
    let mut keys = vec![key.to_owned(), format!("{key}:queue")];
    keys.extend(scripts.stream.map(str::to_owned));
    keys.insert(0, keys.len().to_string());
    keys
}

fn ttl() -> u64 {
    TTL.as_secs() * 1_000
}
