//! A primary, its replica, and three Sentinels that watch them.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::options::Options;
use super::server::RedisServer;
use super::wait::{eventually, eventually_some};

const SENTINELS: usize = 3;

/// After so long, in milliseconds, a server that does not answer is taken for gone: never, in a
/// test, before [`Group::hurry`].
const DOWN_AFTER: [&str; 2] = ["600000", "500"];

/// Two servers, of which one is the primary, and Sentinels that agree on which.
#[derive(Debug)]
pub struct Group {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Group {
    /// The name under which the Sentinels know the primary.
    pub const NAME: &'static str = "orders";

    /// Starts them with these options and waits until each Sentinel knows all the others. The first
    /// server is the primary.
    pub async fn start(primary: Options, replica: Options, sentinel: Options) -> Self {
        let primary = RedisServer::start(primary).await;
        let replica = RedisServer::start(replica.replica_of(primary.addr())).await;
        // A Sentinel that finds no replica at first looks again after ten seconds.
        replica.in_sync().await;
        let name = Self::NAME;
        let sentinel = sentinel
            .sentinel()
            .watching(name, primary.addr(), SENTINELS / 2 + 1)
            .config(format!(
                "sentinel down-after-milliseconds {name} {}",
                DOWN_AFTER[0]
            ))
            .config(format!("sentinel failover-timeout {name} 3000"));
        let sentinels = (0..SENTINELS).map(|_| RedisServer::start(sentinel.clone()));
        let group = Self {
            servers: vec![primary, replica],
            sentinels: join_all(sentinels).await,
        };
        for sentinel in &group.sentinels {
            eventually("each Sentinel knows the others and the replica", || async {
                let known: BTreeMap<String, String> =
                    sentinel.cmd(&["SENTINEL", "MASTER", name]).await;
                known["num-slaves"] == "1" && known["num-other-sentinels"] == "2"
            })
            .await;
        }
        group
    }

    /// The URL with the name of the primary.
    pub fn url(&self) -> String {
        format!("redis://{}/", Self::NAME)
    }

    /// The URLs of the Sentinels.
    pub fn sentinels(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The Sentinel with this index, from 0 to 2.
    pub fn sentinel(&self, index: usize) -> &RedisServer {
        &self.sentinels[index]
    }

    /// The Sentinel with this index, to kill or restart.
    pub fn sentinel_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.sentinels[index]
    }

    /// The server with this index: 0 is the primary at first, 1 its replica.
    pub fn server(&self, index: usize) -> &RedisServer {
        &self.servers[index]
    }

    /// The server with this index, to kill or restart.
    pub fn server_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.servers[index]
    }

    /// From now on the Sentinels soon take a server that does not answer for gone.
    pub async fn hurry(&self) {
        for sentinel in &self.sentinels {
            let [_, soon] = DOWN_AFTER;
            let set = [
                "SENTINEL",
                "SET",
                Self::NAME,
                "down-after-milliseconds",
                soon,
            ];
            sentinel.cmd::<()>(&set).await;
        }
    }

    /// Lets this Sentinel make the replica the primary, although the primary is well. Waits until
    /// it has.
    pub async fn fail_over(&self, by: usize) {
        let sentinel = &self.sentinels[by];
        eventually("the failover begins", || async {
            let begun = sentinel.try_cmd::<()>(&["SENTINEL", "FAILOVER", Self::NAME]);
            begun.await.is_ok()
        })
        .await;
        self.switched(by, 1).await;
    }

    /// Waits until this Sentinel says that the server with this index is the primary.
    pub async fn switched(&self, sentinel: usize, server: usize) {
        let sentinel = &self.sentinels[sentinel];
        let addr = self.servers[server].addr();
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME];
        eventually_some("the failover ends", || async {
            let (ip, port): (String, String) = sentinel.cmd(&ask).await;
            (format!("{ip}:{port}") == addr.to_string()).then_some(())
        })
        .await;
    }
}
