//! Tenure beside others: locks of other libraries on the same key, and connections that a program
//! already has.

use redis::aio::{ConnectionManager, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::{Client, Cmd, FromRedisValue};
use tenure_redis::{Holder, LockError, Locks, Loss};
use tenure_tests::live::clients::{
    connect, connected, freed, locked, patient, refused, renewed, value,
};
use tenure_tests::live::{Cluster, Options, RedisServer, eventually, servers_available, within};

/// How another library takes and frees a key, on the wire.
struct Neighbour {
    name: &'static str,
    token: &'static [u8],
    take: Take,
}

enum Take {
    /// `SET key token NX` with an expiry, in the order and unit that the library writes.
    Set(&'static [&'static str]),
    /// A script that looks first and then writes.
    Script(&'static str),
}

const LOOK_THEN_SET: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end\n\
                             redis.call('SET', KEYS[1], ARGV[1], 'PX', 500000)\n\
                             return 1";
const MANY_AT_ONCE: &str = "if redis.call('MSETNX', KEYS[1], ARGV[1]) == 0 then return 0 end\n\
                            redis.call('PEXPIRE', KEYS[1], 500000)\n\
                            return 1";
const COMPARE_AND_DELETE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n\
     return redis.call('DEL', KEYS[1])";

const NEIGHBOURS: [Neighbour; 6] = [
    Neighbour {
        name: "redsync, whole seconds",
        token: b"q83vEjRWeJq83vEjRWeJqw==",
        take: Take::Set(&["EX", "500", "NX"]),
    },
    Neighbour {
        name: "redsync",
        token: b"q83vEjRWeJq83vEjRWeJqw==",
        take: Take::Set(&["PX", "500500", "NX"]),
    },
    Neighbour {
        name: "redis-py",
        token: b"0f8fad5bd9cb11eda0390242ac120003",
        take: Take::Set(&["PX", "500000", "NX"]),
    },
    Neighbour {
        name: "rslock",
        token: b"\x00\xff\r\n\x80 twenty bytes\x00",
        take: Take::Set(&["NX", "PX", "500000"]),
    },
    Neighbour {
        name: "node-redlock",
        token: b"1c0d7b4e5a6f8091a2b3c4d5e6f70819",
        take: Take::Script(LOOK_THEN_SET),
    },
    Neighbour {
        name: "bsm/redislock",
        token: b"bK8rZ0pWb1m0t2Q5c1XK9Q meta:data",
        take: Take::Script(MANY_AT_ONCE),
    },
];

impl Neighbour {
    async fn take(&self, link: &mut MultiplexedConnection, key: &str) -> bool {
        match self.take {
            Take::Set(how) => {
                let mut cmd = Cmd::new();
                cmd.arg("SET").arg(key).arg(self.token).arg(how);
                let answer: Option<String> = cmd.query_async(link).await.expect("SET");
                answer.as_deref() == Some("OK")
            }
            Take::Script(text) => self.eval(link, text, key).await,
        }
    }

    async fn free(&self, link: &mut MultiplexedConnection, key: &str) -> bool {
        self.eval(link, COMPARE_AND_DELETE, key).await
    }

    async fn eval(&self, link: &mut MultiplexedConnection, text: &str, key: &str) -> bool {
        let mut cmd = Cmd::new();
        cmd.arg("EVAL").arg(text).arg(1).arg(key).arg(self.token);
        cmd.query_async(link).await.expect("EVAL")
    }
}

#[tokio::test]
async fn other_libraries_exclude_us_and_we_exclude_them() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let mut link = server.connect().await;
    for neighbour in &NEIGHBOURS {
        let name = neighbour.name;
        assert!(neighbour.take(&mut link, "shared").await, "{name}");
        refused(&locks, "shared").await;
        let seen = within("an answer", locks.inspect("shared")).await;
        assert_eq!(seen.expect("seen").holder(), &Holder::Other, "{name}");
        assert!(neighbour.free(&mut link, "shared").await, "{name}: theirs");

        let guard = locked(&locks, "shared").await;
        assert!(!neighbour.take(&mut link, "shared").await, "{name}: ours");
        assert!(!neighbour.free(&mut link, "shared").await, "{name}: ours");
        renewed(&guard, 1).await;
        guard.release().await.expect("it was held all the time");
        assert!(neighbour.take(&mut link, "shared").await, "{name}: free");
        assert!(neighbour.free(&mut link, "shared").await, "{name}: theirs");
    }
}

#[tokio::test]
async fn a_lock_of_another_library_without_an_expiry_is_foreign_and_stays() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    // As redis-py writes it by default.
    server.cmd::<()>(&["SET", "shared", "0f8fad5b", "NX"]).await;
    let error = within("an answer", locks.try_lock("shared")).await;
    let error = error.expect_err("someone has it");
    assert!(matches!(error, LockError::Foreign { .. }), "{error}");
    assert!(error.is_foreign() && !error.is_contention(), "{error}");
    assert_eq!(value(&server, "shared").await.as_deref(), Some("0f8fad5b"));
    // Redisson's is a hash.
    server
        .cmd::<()>(&["HSET", "hashed", "8743c9c0:1", "1"])
        .await;
    let error = within("an answer", locks.try_lock("hashed")).await;
    let error = error.expect_err("someone has it");
    assert!(matches!(error, LockError::WrongType { .. }), "{error}");

    let waiting = tokio::spawn(async move { locks.lock("shared").await });
    server.cmd::<()>(&["DEL", "shared"]).await;
    let guard = within("it is free", waiting).await.expect("no panic");
    guard.expect("it is free").release().await.expect("held");
}

#[tokio::test]
async fn a_plain_set_nx_excludes_us_and_its_blind_delete_is_told() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient(), server.url()).await;
    let take = ["SET", "seed", "1", "NX", "EX", "500"];
    assert!(server.cmd::<Option<String>>(&take).await.is_some());
    refused(&locks, "seed").await;
    server.cmd::<()>(&["DEL", "seed"]).await;

    let guard = locked(&locks, "seed").await;
    assert!(server.cmd::<Option<String>>(&take).await.is_none());
    // It unlocks without looking whose lock it is.
    server.cmd::<()>(&["DEL", "seed"]).await;
    let lost = within("the loss is told", guard.lost()).await;
    assert_eq!(lost.loss, Loss::Gone);
    assert!(!guard.is_valid());
}

/// Locks, renews and releases keys of every slot over whatever connection this client has.
async fn serves(locks: &Locks, keys: &[&str]) {
    let mut guards = Vec::new();
    for key in keys {
        guards.push(locked(locks, key).await);
    }
    for (guard, key) in guards.iter().zip(keys) {
        refused(locks, key).await;
        renewed(guard, 2).await;
    }
    for (guard, key) in guards.into_iter().zip(keys) {
        let fence = guard.fence();
        guard.release().await.expect("it was held all the time");
        let next = locked(locks, key).await;
        assert!(next.fence() > fence);
        drop(next);
    }
}

#[tokio::test]
async fn a_connection_that_the_program_already_has_serves_and_stays_usable() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let mut link = server.connect().await;
    let locks = connected(patient().connection(link.clone())).await;
    serves(&locks, &["one", "two", "three"]).await;
    locks.close().await;
    drop(locks);
    freed(&server, "one").await;
    assert_eq!(ask::<String>(&mut link, &["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_connection_manager_serves_and_carries_a_lease_over_a_reconnection() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let client = Client::open(server.url()).expect("a URL");
    let manager = ConnectionManager::new(client).await.expect("connected");
    let locks = connected(patient().connection(manager)).await;
    serves(&locks, &["one", "two"]).await;
    let guard = locked(&locks, "three").await;
    let token = value(&server, "three").await;
    server
        .cmd::<()>(&["CLIENT", "KILL", "USER", "default"])
        .await;
    renewed(&guard, 2).await;
    assert_eq!(value(&server, "three").await, token);
    guard.release().await.expect("it was held all the time");
    freed(&server, "three").await;
}

/// Each has the stream of its slot beside it.
#[tokio::test]
async fn a_cluster_connection_serves_keys_of_all_slots() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let client = ClusterClient::new(cluster.urls()).expect("URLs");
    let connection = client.get_async_connection().await.expect("connected");
    let locks = connected(patient().connection(connection)).await;
    let keys = ["a", "b", "c", "{a}1", "a}b", "{a}b}", "{}x", "orders/42"];
    serves(&locks, &keys).await;

    let mut owners = std::collections::BTreeSet::new();
    for key in keys {
        let owner = cluster.owner(key).await;
        owners.insert(owner);
        let node = cluster.node(owner);
        let slot: u16 = node.cmd(&["CLUSTER", "KEYSLOT", key]).await;
        let names: Vec<String> = node.cmd(&["KEYS", "*"]).await;
        let mut beside = 0;
        for name in names {
            if name.starts_with("tenure:fence:{") {
                let of: u16 = node.cmd(&["CLUSTER", "KEYSLOT", &name]).await;
                beside += u32::from(of == slot);
                let left: i64 = node.cmd(&["PTTL", &name]).await;
                assert!(left > 0, "{name} has no expiry");
            }
            assert_ne!(name, "tenure:fence");
        }
        assert_eq!(beside, 1, "{key}: no stream in its slot");
    }
    assert_eq!(owners.len(), 3, "the keys are of all three masters");
}

/// A script of two keys, of which one is there, is refused for as long as its slot migrates; one of
/// a single key is not. So who holds a lock keeps it and frees it, and newcomers wait.
#[tokio::test]
async fn a_lock_is_kept_and_freed_while_its_slot_migrates() {
    if !servers_available() {
        return;
    }
    let cluster = Cluster::start(Options::new()).await;
    let client = ClusterClient::new(cluster.urls()).expect("URLs");
    let connection = client.get_async_connection().await.expect("connected");
    let locks = connected(patient().connection(connection)).await;
    let guard = locked(&locks, "k").await;
    let before = guard.fence();

    let (from, to) = cluster.begin_migration("k").await;
    renewed(&guard, 1).await;
    refused(&locks, "k").await;
    // The key is not there, and the stream is. Who is asked does not have the whole slot.
    let asked = within("an answer", locks.try_lock("{k}another")).await;
    let error = asked.expect_err("nobody may say what the slot holds");
    assert!(error.is_outage(), "{error}");

    cluster.move_keys("k", from, to).await;
    assert_eq!(cluster.keys_beside("k", to).await, 2, "it and the stream");
    renewed(&guard, 2).await;
    guard.release().await.expect("it was held all the time");
    eventually("the key is freed", || async {
        cluster.keys_beside("k", to).await == 1
    })
    .await;

    cluster.end_migration("k", to).await;
    let guard = locked(&locks, "k").await;
    assert!(guard.fence() > before, "the stream has moved with it");
    assert!(value(cluster.node(to), "k").await.is_some());
    guard.release().await.expect("it was held");
    assert!(locked(&locks, "{k}another").await.is_valid());
}

async fn ask<T: FromRedisValue>(link: &mut MultiplexedConnection, words: &[&str]) -> T {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(*word);
    }
    cmd.query_async(link).await.expect("an answer")
}
