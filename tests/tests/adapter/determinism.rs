//! Replay: the same seed, the same bytes.

use std::fmt::Write as _;

use tenure_sim::memory_net::{Client, Direction, World};
use tenure_sim::server::Lost;

use crate::support::{builder, ms, nodes, secs};

async fn rival(world: World, client: Client) -> String {
    let mut log = String::new();
    let locks = builder(&client)
        .options(|options| options.ttl(secs(2)).label(client.name()))
        .connect()
        .await
        .expect("connects");
    for _ in 0..10 {
        let guard = locks.lock("k").await.expect("waits as long as it takes");
        let name = client.name();
        let _ = writeln!(log, "{:?} {name} {}", world.now(), guard.fence());
        world.sleep(ms(700)).await;
        let _ = writeln!(log, "{:?} {name} {:?}", world.now(), guard.release().await);
        let _ = writeln!(log, "{name} {:?}", locks.try_lock("k").await.err());
    }
    locks.close().await;
    log
}

/// A busy time: three nodes, three rivals on clocks of their own, and faults of many kinds.
fn busy(seed: u64) -> (Vec<String>, String) {
    World::run(seed, async |world| {
        let nodes = nodes(&world, 3);
        nodes[0].clock().set_drift_ppm(400);
        nodes[1].clock().set_drift_ppm(-900);
        let clients = ["one", "two", "three"].map(|name| world.client(name));
        let mut rivals = Vec::new();
        for (client, ppm) in clients.iter().zip([700, 0, -1_500]) {
            client.clock().set_drift_ppm(ppm);
            client.link("b").set_latency(ms(2), ms(5));
            let rival = rival(world.clone(), client.clone());
            rivals.push(tokio::spawn(client.run(rival)));
        }
        world.sleep(secs(1)).await;
        nodes[0].server().lose_reply(Some("evalsha"), Lost::Cut);
        nodes[1].server().lose_reply(Some("evalsha"), Lost::Mute);
        world.sleep(ms(1_500)).await;
        clients[0].link("a").cut();
        clients[1].link("b").black_hole(Direction::Back);
        clients[2].link("c").stall();
        world.sleep(secs(1)).await;
        clients[2].pause();
        nodes[2].server().restart_empty();
        world.sleep(secs(4)).await;
        clients[1].link("b").heal();
        clients[2].link("c").heal();
        clients[2].resume();
        let logs = futures_util::future::join_all(rivals).await;
        let logs = logs.into_iter().map(|log| log.expect("no rival panics"));
        (logs.collect(), world.digest())
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let (first, first_bytes) = busy(1);
    let (again, again_bytes) = busy(1);
    assert_eq!(first, again);
    assert_eq!(first_bytes, again_bytes, "every byte, and when it arrived");
    let (_, other_bytes) = busy(2);
    assert_ne!(first_bytes, other_bytes, "the seed is what it depends on");
}
