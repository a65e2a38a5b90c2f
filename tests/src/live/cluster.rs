//! A cluster of real servers, put together without any outside tool.

use std::ops::RangeInclusive;

use super::options::Options;
use super::server::RedisServer;
use super::wait::eventually;

const SLOTS: u16 = 16_384;
const MASTERS: u16 = 3;

/// Three masters that share the slots and agree that the cluster is whole.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<(RedisServer, RangeInclusive<u16>)>,
}

impl Cluster {
    /// Starts three masters with these options and waits until each of them serves all slots.
    pub async fn start(options: Options) -> Self {
        let options = options.cluster();
        let mut nodes = Vec::new();
        for index in 0..MASTERS {
            let share = |index: u16| {
                u16::try_from(u32::from(SLOTS) * u32::from(index) / u32::from(MASTERS))
                    .expect("a share of the slots")
            };
            let slots = share(index)..=share(index + 1) - 1;
            let node = RedisServer::start(options.clone()).await;
            // Masters that meet with equal epochs would have to settle that first.
            let epoch = (index + 1).to_string();
            node.cmd::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await;
            // One by one: 6.2 takes no range.
            let slot_names: Vec<_> = slots.clone().map(|slot| slot.to_string()).collect();
            let mut add = vec!["CLUSTER", "ADDSLOTS"];
            add.extend(slot_names.iter().map(String::as_str));
            node.cmd::<()>(&add).await;
            nodes.push((node, slots));
        }
        let cluster = Self { nodes };
        let first = cluster.node(0);
        for (node, _) in &cluster.nodes[1..] {
            let (ip, port) = (node.addr().ip().to_string(), node.addr().port().to_string());
            first.cmd::<()>(&["CLUSTER", "MEET", &ip, &port]).await;
        }
        cluster.whole().await;
        cluster
    }

    /// Waits until every node serves and knows the owner of every slot.
    pub async fn whole(&self) {
        for (node, _) in &self.nodes {
            eventually("the cluster is whole", || async {
                let info: String = node.cmd(&["CLUSTER", "INFO"]).await;
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_slots_ok:{SLOTS}\r\n"))
                    && info.contains(&format!("cluster_known_nodes:{MASTERS}\r\n"))
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

    /// Begins to give the slot of this key to another node. Says from whom and to whom.
    pub async fn begin_migration(&self, key: &str) -> (usize, usize) {
        let from = self.owner(key).await;
        let to = (from + 1) % self.nodes.len();
        let slot = self.slot(key).await;
        let (from_id, to_id) = (self.id(from).await, self.id(to).await);
        let importing = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id];
        self.node(to).cmd::<()>(&importing).await;
        let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id];
        self.node(from).cmd::<()>(&migrating).await;
        (from, to)
    }

    /// Moves what is in the slot of this key.
    pub async fn move_keys(&self, key: &str, from: usize, to: usize) {
        let slot = self.slot(key).await;
        let addr = self.node(to).addr();
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        let list = ["CLUSTER", "GETKEYSINSLOT", &slot, "100"];
        for name in self.node(from).cmd::<Vec<String>>(&list).await {
            let migrate = ["MIGRATE", &ip, &port, &name, "0", "5000"];
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
