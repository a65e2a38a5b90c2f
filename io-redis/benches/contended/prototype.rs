//! The bare hand-off over redis-rs, which shows what a hand-off costs at least: a list for each key
//! as the queue, and a release that takes the first of it, writes it under the key and tells it so.
//!
//! It does nothing else. It knows no dead waiter, no cancel, no lost push, no fence, and does not
//! look whose lock it hands on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value};
use tokio::sync::oneshot;

use crate::clients::{PATIENCE, TTL};

/// Takes the key, or goes to the end of the queue.
const ACQUIRE: &str = "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
redis.call('RPUSH', KEYS[2], ARGV[1])
return 0";

/// Hands the key to the first of the queue, or deletes it.
const RELEASE: &str = "
local next = redis.call('LPOP', KEYS[2])
if not next then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], next, 'PX', ARGV[1])
return redis.call('PUBLISH', string.sub(next, 1, 16), next)";

/// The waiters of a client, by what they have in the queue.
type Waiters = Arc<Mutex<HashMap<Vec<u8>, oneshot::Sender<()>>>>;

/// A client, with one connection for commands and pushes.
#[derive(Clone)]
pub(crate) struct Prototype {
    connection: MultiplexedConnection,
    acquire: String,
    release: String,
    /// Also the first sixteen characters of each of its tokens.
    channel: String,
    waiters: Waiters,
    tokens: u64,
}

impl Prototype {
    pub(crate) async fn connect(url: &str) -> Self {
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
            acquire: load(&mut connection, ACQUIRE).await,
            release: load(&mut connection, RELEASE).await,
            connection,
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
        acquire.arg(&self.acquire).arg(2).arg(key).arg(queue(key));
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
        release.arg(&self.release).arg(2).arg(key).arg(queue(key));
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

fn queue(key: &str) -> String {
    format!("{key}:queue")
}

fn ttl() -> u64 {
    TTL.as_secs() * 1_000
}
