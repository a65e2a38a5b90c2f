//! A cluster of real servers, put together without any outside tool.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::options::{HARNESS_USER, Options};
use super::server::RedisServer;
use super::tls::{self, Certificates};
use super::wait::eventually;

const SLOTS: u16 = 16_384;
const MASTERS: u16 = 3;

/// Three masters that share the slots and agree that the cluster is whole; perhaps each with a
/// replica.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<(RedisServer, RangeInclusive<u16>)>,
    replicas: Vec<RedisServer>,
}

impl Cluster {
    /// Starts three masters with these options and waits until each of them serves all slots.
    pub async fn start(options: Options) -> Self {
        let mut nodes = Vec::new();
        for index in 0..MASTERS {
            nodes.push(Self::master(index, options.clone()).await);
        }
        let replicas = Vec::new();
        let cluster = Self { nodes, replicas };
        for (node, _) in &cluster.nodes[1..] {
            cluster.meet(node.addr()).await;
        }
        cluster.whole().await;
        cluster
    }

    /// The same over TLS, among each other too. Gives their URLs.
    pub async fn start_over_tls(certificates: &Certificates) -> (Self, Vec<String>) {
        let (mut nodes, mut addrs) = (Vec::new(), Vec::new());
        for index in 0..MASTERS {
            let addr = tls::addr();
            let options = Options::new().tls_among_servers(addr, certificates);
            nodes.push(Self::master(index, options).await);
            addrs.push(addr);
        }
        let replicas = Vec::new();
        let cluster = Self { nodes, replicas };
        for addr in &addrs[1..] {
            cluster.meet(*addr).await;
        }
        cluster.whole().await;
        let urls = addrs.iter().map(|addr| format!("rediss://{addr}"));
        (cluster, urls.collect())
    }

    /// Starts a master with its share of the slots.
    async fn master(index: u16, options: Options) -> (RedisServer, RangeInclusive<u16>) {
        let share = |index: u16| {
            u16::try_from(u32::from(SLOTS) * u32::from(index) / u32::from(MASTERS))
                .expect("a share of the slots")
        };
        let slots = share(index)..=share(index + 1) - 1;
        let node = RedisServer::start(options.cluster()).await;
        // Masters that meet with equal epochs would have to settle that first.
        let epoch = (index + 1).to_string();
        node.cmd::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
            .await;
        // One by one: 6.2 takes no range.
        let slot_names: Vec<_> = slots.clone().map(|slot| slot.to_string()).collect();
        let mut add = vec!["CLUSTER", "ADDSLOTS"];
        add.extend(slot_names.iter().map(String::as_str));
        node.cmd::<()>(&add).await;
        (node, slots)
    }

    /// The same, with a replica of each master that follows it.
    pub async fn start_with_replicas(options: Options) -> Self {
        let mut cluster = Self::start(options.clone()).await;
        let options = options.cluster();
        for index in 0..cluster.nodes.len() {
            let replica = RedisServer::start(options.clone()).await;
            cluster.meet(replica.addr()).await;
            let id = cluster.id(index).await;
            let follow = ["CLUSTER", "REPLICATE", &id];
            eventually("the replica knows its master", || async {
                replica.try_cmd::<()>(&follow).await.is_ok()
            })
            .await;
            cluster.replicas.push(replica);
        }
        cluster.whole().await;
        for (replica, (master, _)) in cluster.replicas.iter().zip(&cluster.nodes) {
            replica.in_sync().await;
            // Without this, a master that dies at once has no replica that may stand for it.
            eventually("all know the replica", || async {
                let port = format!(":{}@", replica.addr().port());
                let known: String = master.cmd(&["CLUSTER", "NODES"]).await;
                let line = known.lines().find(|line| line.contains(&port));
                line.is_some_and(|line| line.contains("slave") && line.contains(" connected"))
            })
            .await;
        }
        cluster
    }

    async fn meet(&self, node: SocketAddr) {
        let (ip, port) = (node.ip().to_string(), node.port().to_string());
        let meet = ["CLUSTER", "MEET", &ip, &port];
        self.node(0).cmd::<()>(&meet).await;
    }

    /// Waits until every node serves and knows the owner of every slot.
    pub async fn whole(&self) {
        let masters = self.nodes.iter().map(|(node, _)| node);
        let all = self.nodes.len() + self.replicas.len();
        for node in masters.chain(&self.replicas) {
            eventually("the cluster is whole", || async {
                let info: String = node.cmd(&["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_slots_ok:{SLOTS}\r\n"))
                    && info.contains(&format!("cluster_known_nodes:{all}\r\n"))
            })
            .await;
        }
    }

    /// Waits until the replica of the master with this index has taken its place, and all that live
    /// know it.
    pub async fn failed_over(&self, dead: usize) {
        let heir = &self.replicas[dead];
        eventually("the replica is the master", || async {
            heir.info("role").await.as_deref() == Some("master")
        })
        .await;
        let port = heir.addr().port().to_string();
        let others = (0..self.nodes.len()).filter(|index| *index != dead);
        for other in others {
            eventually("the others know it", || async {
                let nodes: String = self.node(other).cmd(&["CLUSTER", "NODES"]).await;
                let line = nodes
                    .lines()
                    .find(|line| line.contains(&format!(":{port}@")));
                line.is_some_and(|line| line.contains("master"))
            })
            .await;
        }
    }

    /// The nodes' URLs.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|(node, _)| node.url()).collect()
    }

    /// The node with this index, from 0 to 2.
    pub fn node(&self, index: usize) -> &RedisServer {
        &self.nodes[index].0
    }

    /// The node with this index, to kill or restart.
    pub fn node_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.nodes[index].0
    }

    /// The replica of the master with this index.
    pub fn replica(&self, index: usize) -> &RedisServer {
        &self.replicas[index]
    }

    /// The replica of the master with this index hears no more of what is written there.
    pub async fn deafen_replica(&self, index: usize) {
        let (master, replica) = (self.node(index), self.replica(index));
        let wrong = ["CONFIG", "SET", "masterauth", "wrong"];
        replica.cmd::<()>(&wrong).await;
        let kill = ["CLIENT", "KILL", "TYPE", "replica"];
        master.cmd::<i64>(&kill).await;
        eventually("it does not get back in", || async {
            replica.info("master_link_status").await.as_deref() == Some("down")
                && master.info("connected_slaves").await.as_deref() == Some("0")
        })
        .await;
    }

    /// Adds a master without slots, with these options. Its index is the next.
    pub async fn add_empty(&mut self, options: Options) -> usize {
        let node = RedisServer::start(options.cluster()).await;
        self.meet(node.addr()).await;
        #[allow(clippy::reversed_empty_ranges, reason = "it has none")]
        self.nodes.push((node, 1..=0));
        self.whole().await;
        self.nodes.len() - 1
    }

    /// Begins to give the slot of this key to another node. Says from whom and to whom.
    pub async fn begin_migration(&self, key: &str) -> (usize, usize) {
        let to = (self.owner(key).await + 1) % self.nodes.len();
        (self.begin_migration_to(key, to).await, to)
    }

    /// Begins to give the slot of this key to the node with this index. Says from whom.
    pub async fn begin_migration_to(&self, key: &str, to: usize) -> usize {
        let from = self.owner(key).await;
        let slot = self.slot(key).await;
        let (from_id, to_id) = (self.id(from).await, self.id(to).await);
        let importing = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id];
        self.node(to).cmd::<()>(&importing).await;
        let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id];
        self.node(from).cmd::<()>(&migrating).await;
        from
    }

    /// Moves what is in the slot of this key.
    pub async fn move_keys(&self, key: &str, from: usize, to: usize) {
        let slot = self.slot(key).await;
        let addr = self.node(to).addr();
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        let list = ["CLUSTER", "GETKEYSINSLOT", &slot, "100"];
        for name in self.node(from).cmd::<Vec<String>>(&list).await {
            let as_us = ["AUTH2", HARNESS_USER, HARNESS_USER];
            let migrate = [["MIGRATE", &ip, &port], [&name, "0", "5000"], as_us].concat();
            self.node(from).cmd::<()>(&migrate).await;
        }
    }

    /// The slot of this key is of the node to which it was given, and all know it.
    pub async fn end_migration(&self, key: &str, to: usize) {
        let (slot, id) = (self.slot(key).await, self.id(to).await);
        // The new owner first.
        for node in (to..self.nodes.len()).chain(0..to) {
            let owned = ["CLUSTER", "SETSLOT", &slot, "NODE", &id];
            self.node(node).cmd::<()>(&owned).await;
        }
        self.whole().await;
    }

    /// How many keys of the slot of this key a node has.
    pub async fn keys_beside(&self, key: &str, node: usize) -> usize {
        let slot = self.slot(key).await;
        let count = ["CLUSTER", "COUNTKEYSINSLOT", &slot];
        self.node(node).cmd(&count).await
    }

    async fn slot(&self, key: &str) -> String {
        let slot: u16 = self.node(0).cmd(&["CLUSTER", "KEYSLOT", key]).await;
        slot.to_string()
    }

    async fn id(&self, node: usize) -> String {
        self.node(node).cmd(&["CLUSTER", "MYID"]).await
    }

    /// The index of the node that owned this key's slot at the start.
    pub async fn owner(&self, key: &str) -> usize {
        let slot: u16 = self.node(0).cmd(&["CLUSTER", "KEYSLOT", key]).await;
        self.nodes
            .iter()
            .position(|(_, slots)| slots.contains(&slot))
            .expect("every slot has an owner")
    }
}
