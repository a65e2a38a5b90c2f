//! A primary, its replica, and three Sentinels that watch them.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::options::Options;
use super::server::RedisServer;
use super::wait::eventually;

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
        self.down_after(DOWN_AFTER[1]).await;
    }

    /// From now on the Sentinels take no server for gone, as before [`hurry`](Self::hurry).
    pub async fn rest(&self) {
        self.down_after(DOWN_AFTER[0]).await;
    }

    async fn down_after(&self, millis: &str) {
        for sentinel in &self.sentinels {
            let set = [
                "SENTINEL",
                "SET",
                Self::NAME,
                "down-after-milliseconds",
                millis,
            ];
            sentinel.cmd::<()>(&set).await;
        }
    }

    /// The server with this index is the primary, also when they are started again. The other one
    /// is its replica then.
    pub fn led_by(&mut self, primary: usize) {
        let addr = self.servers[primary].addr();
        self.servers[primary].follow(None);
        self.servers[1 - primary].follow(Some(addr));
    }

    /// Waits until the other server is the replica of this one and has its copy on its disk, and
    /// each Sentinel knows that it could take over.
    pub async fn settled(&self, primary: usize) {
        let replica = &self.servers[1 - primary];
        self.demoted(1 - primary).await;
        replica.in_sync().await;
        // Until then what the replica is sent is on no disk.
        eventually("the replica has written its copy", || async {
            let running = replica.info("aof_rewrite_in_progress").await;
            let scheduled = replica.info("aof_rewrite_scheduled").await;
            [running, scheduled]
                .iter()
                .all(|is| is.as_deref() == Some("0"))
        })
        .await;
        for sentinel in &self.sentinels {
            eventually("each Sentinel knows that the replica follows", || async {
                let replicas: Vec<BTreeMap<String, String>> =
                    sentinel.cmd(&["SENTINEL", "REPLICAS", Self::NAME]).await;
                let good = |one: &BTreeMap<String, String>| {
                    one["flags"] == "slave" && one["master-link-status"] == "ok"
                };
                replicas.len() == 1 && replicas.iter().all(good)
            })
            .await;
        }
    }

    /// Waits until the server with this index is a replica.
    pub async fn demoted(&self, server: usize) {
        let former = &self.servers[server];
        eventually("the former primary is a replica", || async {
            former.info("role").await.as_deref() == Some("slave")
        })
        .await;
    }

    /// Lets this Sentinel make the replica the primary, although the primary is well. Waits until
    /// it has.
    pub async fn fail_over(&self, by: usize) {
        let sentinel = &self.sentinels[by];
        let replica = 1 - self.primary(by).await;
        eventually("the failover begins", || async {
            let begun = sentinel.try_cmd::<()>(&["SENTINEL", "FAILOVER", Self::NAME]);
            begun.await.is_ok()
        })
        .await;
        self.switched(by, replica).await;
    }

    /// The index of the server that is the primary, as this Sentinel says.
    async fn primary(&self, sentinel: usize) -> usize {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME];
        let (ip, port): (String, String) = self.sentinels[sentinel].cmd(&ask).await;
        let addr = format!("{ip}:{port}");
        let is = |server: &RedisServer| server.addr().to_string() == addr;
        let index = self.servers.iter().position(is);
        index.expect("the primary is one of the group")
    }

    /// Waits until this Sentinel says that the server with this index is the primary.
    pub async fn switched(&self, sentinel: usize, server: usize) {
        eventually("the failover ends", || async {
            self.primary(sentinel).await == server
        })
        .await;
    }
}
