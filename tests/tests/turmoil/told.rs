//! A client awaits the loss of its lock, and somebody deletes the key: the client is told at once,
//! by a push over a network of hosts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_redis::Loss;
use tenure_sim::memory_net::Node;
use tenure_sim::turmoil_net::{Life, Network};

use crate::support::{NODES, ms, secs};

/// How long a message travels.
const WAY: Duration = ms(4);

/// What a client was told of losses, and when.
type Told = Arc<Mutex<Vec<(Duration, Loss)>>>;

fn told(told: &Told) -> Vec<(Duration, Loss)> {
    told.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Steps until the condition holds.
fn until(net: &mut Network, within: Duration, mut so: impl FnMut() -> bool) {
    let end = net.now() + within;
    while !so() {
        assert!(net.now() < end, "not so within {within:?}");
        net.step();
    }
}

/// The client takes the lock again each time, and each loss is told within two round trips.
#[test]
fn who_awaits_a_loss_is_told_at_once_over_a_network_of_hosts() {
    for count in [1, 3] {
        let mut net = Network::new(41, WAY);
        let nodes: Vec<Node> = NODES[..count].iter().map(|name| net.node(name)).collect();
        let urls: Vec<String> = nodes.iter().map(Node::url).collect();
        let losses = Told::default();
        let here = Arc::clone(&losses);
        net.machine("one", move |life: Life| {
            let builder = life.builder().nodes(&urls);
            let builder = builder.quarantine(tenure_redis::Quarantine::Off);
            let (losses, time) = (Arc::clone(&here), life.time().clone());
            async move {
                let locks = builder.connect().await.expect("the nodes are there");
                loop {
                    let guard = locks.lock("k").await.expect("nobody gives up");
                    let lost = guard.lost().await;
                    let mut losses = losses.lock().unwrap_or_else(PoisonError::into_inner);
                    losses.push((time.now(), lost.loss));
                }
            }
        });
        for round in 1..=5 {
            let watched = || {
                nodes
                    .iter()
                    .all(|node| node.server().calls("mget") >= round)
            };
            until(&mut net, secs(5), watched);
            let deleted = net.now();
            for node in &nodes {
                node.server().call(&["DEL", "k"]);
            }
            until(&mut net, secs(5), || told(&losses).len() as u64 == round);
            let (at, loss) = told(&losses).pop().expect("it was told");
            assert_eq!(loss, Loss::Gone);
            // Hosts take their turns in steps of a millisecond.
            assert!(at - deleted <= 4 * WAY + ms(4), "{:?}", at - deleted);
        }
    }
}
