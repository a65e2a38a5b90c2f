//! The servers of a soak, and what a client sees of them behind the proxies.

use tenure_redis::Locks;

use super::super::judge::Judge;
use super::super::kind::{Host, Kind};
use super::{SENTINELS, Servers};
use crate::live::clients::{connected, locked, patient};
use crate::live::{Proxy, eventually, servers_available, within};

/// A client of the first process.
async fn client(servers: &Servers) -> Locks {
    let proxies = servers.proxies(0);
    let sentinels = &proxies[proxies.len() - SENTINELS..];
    let urls = sentinels.iter().map(Proxy::url);
    connected(patient().sentinel("redis://orders/", urls)).await
}

/// Of all connections to servers, those that pass the proxies of the first process.
fn open(servers: &Servers) -> usize {
    let proxies = servers.proxies(0);
    proxies[..proxies.len() - SENTINELS]
        .iter()
        .map(Proxy::open)
        .sum()
}

#[tokio::test]
async fn behind_sentinels_a_client_passes_the_proxies_to_each_primary() {
    if !servers_available() {
        return;
    }
    let mut servers = Servers::start(Kind::Group, None).await;
    let locks = client(&servers).await;
    drop(locked(&locks, "k").await);
    assert_eq!(open(&servers), 1);
    let first = servers.at(Host::Primary).addr();
    let mut judge = Judge::new(Kind::Group);
    servers.primary_dies(&mut judge).await;
    assert_ne!(servers.at(Host::Primary).addr(), first);
    eventually("the client follows", || async {
        within("an answer", locks.try_lock("k")).await.is_ok()
    })
    .await;
    assert_eq!(open(&servers), 1);
    // To the primary, and to a Sentinel.
    assert_eq!(servers.connections().await, 2);
    drop(locks);
    eventually("nothing is left", || async {
        servers.connections().await == 0
    })
    .await;
}
