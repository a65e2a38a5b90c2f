//! The servers of a soak while they run, with a proxy between each process and each of them.
//!
//! Behind Sentinels a client learns from them where the primary is. So their words are changed on
//! the way: each process hears of its own proxies.

use std::net::SocketAddr;
use std::process::Command;

use super::judge::Judge;
use super::kind::{Host, Kind};
use super::{CLIENTS, PROCESSES, clock};
use crate::live::proxy::Rewrite;
use crate::live::tls::{self, Certificates};
use crate::live::{Fsync, Group, Options, Proxy, RedisServer};

/// How many connections a client may have to a server: one, and another that takes its place.
const CONNECTIONS: usize = 2;
/// How many Sentinels there are.
pub(super) const SENTINELS: usize = 3;

/// The servers that have the locks.
pub(super) struct Servers {
    running: Running,
    /// Between each process and the servers, and behind those the Sentinels.
    proxies: Vec<Vec<Proxy>>,
    /// Whether the clients speak TLS.
    tls: bool,
}

enum Running {
    Nodes(Vec<RedisServer>),
    Group { group: Group, primary: usize },
}

impl Servers {
    /// Starts them, and the proxies before them.
    pub(super) async fn start(kind: Kind, certificates: Option<&Certificates>) -> Self {
        let options = || Options::new().append_only(Fsync::Always);
        let mut upstream = Vec::new();
        let running = match kind {
            Kind::One => Running::Nodes(nodes(1, certificates, &mut upstream).await),
            Kind::Several(count) => Running::Nodes(nodes(count, certificates, &mut upstream).await),
            Kind::Group => {
                let group = Group::start(options(), options(), Options::new()).await;
                upstream.extend([0, 1].map(|index| group.server(index).addr()));
                upstream.extend((0..SENTINELS).map(|index| group.sentinel(index).addr()));
                let primary = 0;
                Running::Group { group, primary }
            }
        };
        let mut proxies = Vec::new();
        for _ in 0..PROCESSES {
            let mut own = Vec::new();
            for addr in &upstream {
                own.push(Proxy::start(*addr).await);
            }
            if let Running::Group { .. } = running {
                name_the_proxies(&upstream, &own);
            }
            proxies.push(own);
        }
        let tls = certificates.is_some();
        Self {
            running,
            proxies,
            tls,
        }
    }

    /// Tells a process how it comes to them from this place.
    pub(super) fn reached_by(&self, command: &mut Command, place: usize) {
        let proxies = &self.proxies[place];
        match &self.running {
            Running::Nodes(_) => {
                let scheme = if self.tls { "rediss" } else { "redis" };
                for proxy in proxies {
                    command.args(["--locks", &format!("{scheme}://{}/", proxy.addr())]);
                }
            }
            Running::Group { group, .. } => {
                command.args(["--locks", &group.url()]);
                for proxy in &proxies[proxies.len() - SENTINELS..] {
                    command.args(["--sentinel", &proxy.url()]);
                }
            }
        }
    }

    /// The proxies of the process at this place.
    pub(super) fn proxies(&self, place: usize) -> &[Proxy] {
        &self.proxies[place]
    }

    /// The proxies would remember an hour of commands.
    pub(super) fn forget_commands(&self) {
        self.proxies
            .iter()
            .flatten()
            .for_each(Proxy::forget_commands);
    }

    fn index(&self, host: Host) -> usize {
        match (host, &self.running) {
            (Host::Only, _) => 0,
            (Host::Node(index), _) => index,
            (Host::Primary, Running::Group { primary, .. }) => *primary,
            (Host::Primary, Running::Nodes(_)) => panic!("nodes have no primary"),
        }
    }

    pub(super) fn at(&self, host: Host) -> &RedisServer {
        let index = self.index(host);
        match &self.running {
            Running::Nodes(servers) => &servers[index],
            Running::Group { group, .. } => group.server(index),
        }
    }

    pub(super) fn at_mut(&mut self, host: Host) -> &mut RedisServer {
        let index = self.index(host);
        match &mut self.running {
            Running::Nodes(servers) => &mut servers[index],
            Running::Group { group, .. } => group.server_mut(index),
        }
    }

    /// Waits until another fault may strike them.
    pub(super) async fn settled(&self) {
        match &self.running {
            Running::Nodes(_) => {}
            Running::Group { group, primary } => group.settled(*primary).await,
        }
    }

    /// Kills this one, and starts it with nothing of its data.
    pub(super) async fn restart_empty(&mut self, host: Host, judge: &mut Judge) {
        // Whatever was granted was granted before this returns.
        self.at_mut(host).kill();
        judge.forgot(clock::now());
        self.at_mut(host).restart_empty().await;
        self.settled().await;
    }

    /// Kills this one, and starts it with all that it acknowledged.
    pub(super) async fn restart_with_data(&mut self, host: Host) {
        self.at_mut(host).restart_with_data().await;
        self.settled().await;
    }

    fn group(&mut self) -> (&mut Group, &mut usize) {
        match &mut self.running {
            Running::Group { group, primary } => (group, primary),
            Running::Nodes(_) => panic!("nodes have no Sentinels"),
        }
    }

    pub(super) fn sentinel(&mut self, index: usize) -> &mut RedisServer {
        self.group().0.sentinel_mut(index)
    }

    /// Lets a Sentinel make the replica the primary. Until it is told so, the former one grants,
    /// too.
    pub(super) async fn fail_over(&mut self, by: usize, judge: &mut Judge) {
        let (group, primary) = self.group();
        let began = clock::now();
        group.fail_over(by).await;
        group.demoted(*primary).await;
        judge.parted(began, clock::now());
        *primary = 1 - *primary;
        group.led_by(*primary);
        self.settled().await;
    }

    /// From now on the replica hears nothing of its primary. It stands still until that one dies.
    pub(super) async fn leave_the_replica_behind(&mut self) {
        let (group, primary) = self.group();
        group.server(1 - *primary).pause();
        // Or what was sent to it would be there to be read when it goes on.
        let kill = ["CLIENT", "KILL", "TYPE", "replica"];
        group.server(*primary).cmd::<u64>(&kill).await;
    }

    /// Kills the primary, so that the Sentinels make the replica one. What the dead one granted
    /// last the replica may not have, unless it has acknowledged it. It comes back as the replica.
    pub(super) async fn primary_dies(&mut self, judge: &mut Judge) {
        let (group, primary) = self.group();
        group.hurry().await;
        group.server_mut(*primary).kill();
        let died = clock::now();
        judge.replaced(died);
        let former = *primary;
        *primary = 1 - former;
        // If it was left behind.
        group.server(*primary).resume();
        let keys: Vec<String> = group.server(*primary).cmd(&["KEYS", "*"]).await;
        judge.left(died, clock::now(), &keys);
        all_say(group, *primary).await;
        group.rest().await;
        group.led_by(*primary);
        group.server_mut(former).restart_with_data().await;
        self.settled().await;
    }

    /// The primary stands still, so that the Sentinels make the replica one. It goes on as it
    /// stood, and grants until it is told.
    pub(super) async fn primary_stands(&mut self, judge: &mut Judge) {
        let (group, primary) = self.group();
        group.hurry().await;
        let began = clock::now();
        group.server(*primary).pause();
        let former = *primary;
        *primary = 1 - former;
        all_say(group, *primary).await;
        group.server(former).resume();
        group.rest().await;
        group.demoted(former).await;
        judge.parted(began, clock::now());
        group.led_by(*primary);
        self.settled().await;
    }

    /// How many connections of clients are open.
    pub(super) async fn connections(&self) -> usize {
        let mut open = 0;
        for server in self.all() {
            let list: String = server.cmd(&["CLIENT", "LIST"]).await;
            // Neither the harness, nor Sentinels, nor the primary of a replica.
            let of_clients =
                |line: &&str| line.contains("user=default") && !line.contains("name=sentinel-");
            open += list.lines().filter(of_clients).count();
        }
        open
    }

    /// The servers, and the Sentinels.
    fn all(&self) -> Vec<&RedisServer> {
        match &self.running {
            Running::Nodes(servers) => servers.iter().collect(),
            Running::Group { group, .. } => {
                let sentinels = (0..SENTINELS).map(|index| group.sentinel(index));
                [0, 1]
                    .map(|index| group.server(index))
                    .into_iter()
                    .chain(sentinels)
                    .collect()
            }
        }
    }

    /// How many there may be.
    pub(super) fn most_connections(&self) -> usize {
        let of_a_process = match &self.running {
            Running::Nodes(servers) => CLIENTS * servers.len(),
            // Each client has the primary and a Sentinel, and half of them the primary once more.
            Running::Group { .. } => CLIENTS * 2 + CLIENTS / 2,
        };
        PROCESSES * CONNECTIONS * of_a_process
    }

    /// The keys at all servers that have locks, each with the time that it still lives.
    pub(super) async fn keys(&self) -> Vec<(String, i64)> {
        let servers = match &self.running {
            Running::Nodes(servers) => &servers[..],
            Running::Group { .. } => std::slice::from_ref(self.at(Host::Primary)),
        };
        let mut all = Vec::new();
        for server in servers {
            let keys: Vec<String> = server.cmd(&["KEYS", "*"]).await;
            for key in keys {
                let left = server.cmd(&["PTTL", &key]).await;
                all.push((key, left));
            }
        }
        all
    }
}

/// Starts servers that know nothing of each other, and says where their clients find them.
async fn nodes(
    count: usize,
    certificates: Option<&Certificates>,
    upstream: &mut Vec<SocketAddr>,
) -> Vec<RedisServer> {
    let mut servers = Vec::new();
    for _ in 0..count {
        let options = Options::new().append_only(Fsync::Always);
        let over_tls = certificates.map(|files| (tls::addr(), files));
        let options = match over_tls {
            Some((addr, files)) => options.tls(addr, files, false),
            None => options,
        };
        let server = RedisServer::start(options).await;
        upstream.push(over_tls.map_or(server.addr(), |(addr, _)| addr));
        servers.push(server);
    }
    servers
}

/// Has the Sentinels behind these proxies say the proxy of a server instead of the server.
fn name_the_proxies(upstream: &[SocketAddr], proxies: &[Proxy]) {
    let (servers, sentinels) = proxies.split_at(proxies.len() - SENTINELS);
    let line = |addr: SocketAddr| format!("\r\n{}\r\n", addr.port());
    let ports: Vec<(String, String)> = upstream
        .iter()
        .zip(servers)
        .map(|(server, proxy)| (line(*server), line(proxy.addr())))
        .collect();
    for sentinel in sentinels {
        let ports = ports.clone();
        let rewriting = sentinel.rewrite(move |command| {
            let ports = ports.clone();
            command.is("SENTINEL").then(|| {
                Rewrite::Reply(Box::new(move |reply| {
                    let mut text = String::from_utf8_lossy(&reply).into_owned();
                    for (server, proxy) in &ports {
                        // All ports here have five digits, so their lengths stay right.
                        text = text.replace(server, proxy);
                    }
                    text.into_bytes()
                }))
            })
        });
        // It goes on for as long as the proxy does.
        drop(rewriting);
    }
}

/// Waits until each Sentinel says that this server is the primary.
async fn all_say(group: &Group, primary: usize) {
    for index in 0..SENTINELS {
        group.switched(index, primary).await;
    }
}

#[cfg(test)]
mod tests;
