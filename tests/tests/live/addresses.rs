//! All the ways to reach a server: protocol version 2, users, databases, Unix sockets, IPv6.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tenure_redis::seams::{BoxFuture, ByteStream, Connector, Endpoint, Seams, TokioConnector};
use tenure_tests::live::clients::{connect, locked, patient, refused, renewed, serves, value};
use tenure_tests::live::{Options, Proxy, RedisServer, Rewrite, eventually, servers_available};

/// So is a proxy, whatever its words are, or if it has none.
#[tokio::test]
async fn a_server_that_knows_no_hello_is_spoken_to_in_protocol_version_2() {
    if !servers_available() {
        return;
    }
    for refusal in [
        Some("-ERR unknown command 'HELLO', with args beginning with: '3' "),
        Some("-ERR unknown command `HELLO`, with args beginning with: `3`, "),
        Some("-NOPROTO unsupported protocol version"),
        Some("-unsupported command 'HELLO'"),
        None,
    ] {
        let server = RedisServer::start(Options::new()).await;
        let proxy = Proxy::start(server.addr()).await;
        let refused = proxy.rewrite(move |command| {
            let refuse = |line: &str| Rewrite::Refuse(line.to_owned());
            let how = || refusal.map_or(Rewrite::HangUp, refuse);
            command.is("HELLO").then(how)
        });
        let locks = connect(patient(), proxy.url()).await;
        assert_eq!(refused.count(), 1, "{refusal:?}");
        serves(&locks, &server).await;
        let list: String = server.cmd(&["CLIENT", "LIST"]).await;
        let ours = list.lines().find(|line| line.contains("user=default"));
        assert!(ours.is_some_and(|line| !line.contains("resp=3")), "{list}");
        // The next connection may reach another server.
        let guard = locked(&locks, "k").await;
        proxy.cut().await;
        renewed(&guard, 1).await;
        assert_eq!(refused.count(), 2, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_url_may_name_the_protocol_that_is_spoken() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(patient(), format!("{}?protocol=resp2", proxy.url())).await;
    serves(&locks, &server).await;
    assert_eq!(proxy.count("HELLO"), 0);
    let locks = connect(patient(), format!("{}?protocol=resp3", proxy.url())).await;
    serves(&locks, &server).await;
    assert_eq!(proxy.count("HELLO"), 1);
}

#[tokio::test]
async fn a_user_who_may_not_say_hello_is_served_in_protocol_version_2() {
    if !servers_available() {
        return;
    }
    let rules = "default on nopass ~* &* +@all -hello";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let locks = connect(patient(), server.url()).await;
    serves(&locks, &server).await;

    let rules = "default on >pw ~* &* +@all -hello";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let locks = connect(patient(), server.url_with("default", "pw", 0)).await;
    serves(&locks, &server).await;
}

#[tokio::test]
async fn a_user_who_may_not_ask_about_server_or_clients_is_served() {
    if !servers_available() {
        return;
    }
    let rules = "app on >pw ~* &* +@all -client -info -config";
    let server = RedisServer::start(Options::new().user(rules)).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(patient(), proxy.url_with("app", "pw", 0)).await;
    serves(&locks, &server).await;
    let guard = locked(&locks, "k").await;
    proxy.cut().await;
    renewed(&guard, 1).await;
}

#[tokio::test]
async fn a_unix_socket_serves() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let path = server.unix_socket();
    for scheme in ["redis+unix", "unix"] {
        let url = format!("{scheme}://{}", path.display());
        let locks = connect(patient(), url).await;
        serves(&locks, &server).await;
    }
}

#[tokio::test]
async fn a_database_number_is_obeyed_on_every_connection() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let proxy = Proxy::start(server.addr()).await;
    let locks = connect(patient(), format!("{}3", proxy.url())).await;
    let zero = connect(patient(), server.url()).await;
    let guard = locked(&locks, "k").await;
    assert_eq!(value(&server, "k").await, None, "not in database 0");
    let other = locked(&zero, "k").await;
    proxy.cut().await;
    renewed(&guard, 2).await;
    let moved = |to: &'static str| {
        let server = &server;
        async move { server.cmd::<bool>(&["COPY", "k", "k", "DB", to]).await }
    };
    assert!(moved("4").await, "the key of database 0 is another");
    other.release().await.expect("it was held all the time");
    guard.release().await.expect("it was held all the time");
    let keyspace: String = server.cmd(&["INFO", "keyspace"]).await;
    assert!(
        keyspace.contains("db3:keys=1,"),
        "the stream alone: {keyspace}"
    );
}

#[tokio::test]
async fn a_user_and_a_password_in_the_url_are_used_and_not_shown() {
    if !servers_available() {
        return;
    }
    let rules = "app on >hunter2 ~* &* +@all";
    let server = RedisServer::start(Options::new().password("other").user(rules)).await;
    let locks = connect(patient(), server.url_with("app", "hunter2", 0)).await;
    serves(&locks, &server).await;
    let list: String = server.cmd(&["CLIENT", "LIST"]).await;
    assert!(list.contains("user=app"), "{list}");
    let guard = locked(&locks, "k").await;
    assert!(!format!("{locks:?} {guard:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_prefix_stands_in_front_of_every_key_and_only_there() {
    if !servers_available() {
        return;
    }
    let server = RedisServer::start(Options::new()).await;
    let locks = connect(patient().prefix("app:"), server.url()).await;
    let guard = locked(&locks, "k").await;
    assert_eq!(guard.key(), b"k", "as the program calls it");
    let mut keys: Vec<String> = server.cmd(&["KEYS", "*"]).await;
    keys.sort();
    assert_eq!(keys, ["app:k", "tenure:fence"]);
    let plain = connect(patient(), server.url()).await;
    refused(&plain, "app:k").await;
    locked(&plain, "k")
        .await
        .release()
        .await
        .expect("another key");
    guard.release().await.expect("it was held");
    eventually("both are free", || async {
        value(&server, "app:k").await.is_none() && value(&server, "k").await.is_none()
    })
    .await;
}

#[tokio::test]
async fn an_ipv6_address_in_brackets_serves() {
    if !servers_available() {
        return;
    }
    // The dash: a machine without IPv6 starts the server all the same.
    let server = RedisServer::start(Options::new().config("bind 127.0.0.1 -::1")).await;
    let port = server.addr().port();
    if TcpStream::connect(("::1", port)).is_err() {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "LEFT OUT: this machine has no IPv6");
        return;
    }
    let locks = connect(patient(), format!("redis://[::1]:{port}/")).await;
    serves(&locks, &server).await;
}

/// A name that stands for these addresses.
#[derive(Debug)]
struct Name(Vec<SocketAddr>);

impl Connector for Name {
    fn addresses<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, io::Result<Vec<Endpoint>>> {
        let endpoint = |addr: &SocketAddr| Endpoint::Tcp {
            host: addr.ip().to_string(),
            port: addr.port(),
        };
        Box::pin(std::future::ready(Ok(self
            .0
            .iter()
            .map(endpoint)
            .collect())))
    }

    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        TokioConnector.connect(endpoint)
    }
}

/// The operating system accepts for it.
#[tokio::test]
async fn a_first_server_that_stands_still_does_not_keep_from_the_second() {
    if !servers_available() {
        return;
    }
    let stands = RedisServer::start(Options::new()).await;
    let server = RedisServer::start(Options::new()).await;
    stands.pause();
    let mut seams = Seams::tokio().expect("a runtime");
    seams.connector = Arc::new(Name(vec![stands.addr(), server.addr()]));
    let locks = connect(patient().seams(seams), "redis://name").await;
    serves(&locks, &server).await;
    stands.resume();
}

#[tokio::test]
async fn a_first_server_that_is_a_replica_does_not_keep_from_its_primary() {
    if !servers_available() {
        return;
    }
    let primary = RedisServer::start(Options::new()).await;
    let replica = RedisServer::start(Options::new().replica_of(primary.addr())).await;
    let mut seams = Seams::tokio().expect("a runtime");
    seams.connector = Arc::new(Name(vec![replica.addr(), primary.addr()]));
    let locks = patient().seams(seams).node("redis://name");
    let locks = locks.connect_lazy().expect("built");
    serves(&locks, &primary).await;
}
