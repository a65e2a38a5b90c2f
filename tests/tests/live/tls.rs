//! Over TLS: a server whose authority only this test trusts, and one that asks for a certificate.

use std::net::SocketAddr;

use tenure_redis::{AddressError, Builder, ConnectError};
use tenure_tests::live::clients::{
    connected, connections, freed, locked, patient, renewed, serves,
};
use tenure_tests::live::tls::{self, Certificates};
use tenure_tests::live::{Cluster, Options, RedisServer, eventually, within};

/// A server that speaks TLS, what it takes to speak to it, and its URL.
async fn start(asks: bool) -> (RedisServer, Certificates, String) {
    let certificates = Certificates::new();
    let addr: SocketAddr = tls::addr();
    let options = Options::new().tls(addr, &certificates, asks);
    let server = RedisServer::start(options).await;
    (server, certificates, format!("rediss://{addr}/"))
}

async fn not_connected(builder: Builder) -> ConnectError {
    let answer = within("an answer", builder.connect()).await;
    answer.expect_err("it cannot be connected to")
}

/// A connection that was cut is made again.
#[tokio::test]
async fn a_server_whose_authority_is_named_is_spoken_to_over_tls() {
    if !tls::available() {
        return;
    }
    let (server, certificates, url) = start(false).await;
    let trusting = patient().root_certificates(certificates.read("authority.pem"));
    let locks = connected(trusting.node(&url)).await;
    serves(&locks, &server).await;

    let guard = locked(&locks, "k").await;
    server
        .cmd::<()>(&["CLIENT", "KILL", "TYPE", "normal"])
        .await;
    renewed(&guard, 2).await;
    assert!(guard.is_valid());
    drop(guard);
    freed(&server, "k").await;
}

/// The dropped guard frees its key before.
#[tokio::test]
async fn the_last_handle_that_is_dropped_closes_the_tls_connection() {
    if !tls::available() {
        return;
    }
    let (server, certificates, url) = start(false).await;
    let trusting = patient().root_certificates(certificates.read("authority.pem"));
    let locks = connected(trusting.node(&url)).await;
    let guard = locked(&locks, "k").await;
    drop(locks);
    drop(guard);
    freed(&server, "k").await;
    eventually("the connection is closed", || async {
        connections(&server).await == 0
    })
    .await;
}

#[tokio::test]
async fn an_unknown_authority_is_an_outage_that_names_the_certificate() {
    if !tls::available() {
        return;
    }
    let (_server, _, url) = start(false).await;
    let stranger = Certificates::new();
    for builder in [
        patient(),
        patient().root_certificates(stranger.read("authority.pem")),
    ] {
        let error = not_connected(builder.node(&url)).await;
        assert!(error.is_outage(), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_certificates_serves_only_who_shows_one() {
    if !tls::available() {
        return;
    }
    let (server, certificates, url) = start(true).await;
    let trusting = || patient().root_certificates(certificates.read("authority.pem"));
    let (shown, key) = (
        certificates.read("client.pem"),
        certificates.read("client.key"),
    );
    let locks = connected(trusting().client_certificate(shown, key).node(&url)).await;
    serves(&locks, &server).await;

    let error = not_connected(trusting().node(&url)).await;
    assert!(error.is_outage(), "{error}");
}

/// The link hears it although nothing was asked, as over TCP.
#[tokio::test]
async fn a_tls_connection_that_is_closed_while_idle_costs_no_attempt() {
    if !tls::available() {
        return;
    }
    let (server, certificates, url) = start(false).await;
    server.cmd::<()>(&["CONFIG", "SET", "timeout", "1"]).await;
    let trusting = patient().root_certificates(certificates.read("authority.pem"));
    // Over the newer protocol the connection listens, and a server lets those be idle.
    let locks = connected(trusting.node(format!("{url}?protocol=resp2"))).await;
    for _ in 0..3 {
        let before = newest(&server).await;
        eventually("the server closes the idle connection", || async {
            newest(&server).await != before
        })
        .await;
        let guard = within("an answer", locks.try_lock("k")).await;
        let guard = guard.expect("the key is free, and the server is well");
        guard.release().await.expect("it was held");
    }
}

/// The number of the newest connection over TCP.
async fn newest(server: &RedisServer) -> Option<String> {
    let list: String = server.cmd(&["CLIENT", "LIST"]).await;
    let own = list.lines().filter(|line| !line.contains("user=harness"));
    let mut ids = own.filter_map(|line| line.split_whitespace().next());
    ids.next_back().map(str::to_owned)
}

/// Neither its authority nor its name are looked at.
#[tokio::test]
async fn a_server_whose_url_says_insecure_needs_no_authority() {
    if !tls::available() {
        return;
    }
    let (server, _, url) = start(false).await;
    let locks = connected(patient().node(format!("{url}#insecure"))).await;
    serves(&locks, &server).await;
}

#[tokio::test]
async fn certificates_for_a_server_that_is_spoken_to_in_the_clear_are_a_mistake() {
    if !tls::available() {
        return;
    }
    let (server, certificates, _) = start(false).await;
    let trusting = patient().root_certificates(certificates.read("authority.pem"));
    let error = not_connected(trusting.node(server.url())).await;
    let ConnectError::Address {
        position: 1, error, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(error, AddressError::NotTls);
}

/// The certificate of a server must be of the address that a Sentinel names.
#[tokio::test]
async fn sentinels_and_their_primary_are_spoken_to_over_tls() {
    if !tls::available() {
        return;
    }
    let (server, certificates, url) = start(false).await;
    let named: SocketAddr = url["rediss://".len()..]
        .trim_end_matches('/')
        .parse()
        .expect("it");
    let addr = tls::addr();
    let options = Options::new().sentinel().watching("orders", named, 1);
    let _sentinel = RedisServer::start(options.tls(addr, &certificates, false)).await;
    let trusting = || patient().root_certificates(certificates.read("authority.pem"));
    let sentinels = [format!("rediss://{addr}")];
    let locks = connected(trusting().sentinel("rediss://orders", &sentinels)).await;
    serves(&locks, &server).await;
    // Whoever names authorities wants the Sentinels looked at too.
    let in_the_clear = trusting().sentinel("rediss://orders", ["redis://127.0.0.1"]);
    let error = not_connected(in_the_clear).await;
    assert!(
        matches!(
            &error,
            ConnectError::Address {
                error: AddressError::NotTls,
                ..
            }
        ),
        "{error}"
    );
}

/// redis-rs makes the handshakes, with what it is given for them. The servers name each other.
#[tokio::test]
async fn the_servers_of_a_cluster_are_spoken_to_over_tls() {
    if !tls::available() {
        return;
    }
    let certificates = Certificates::new();
    let (_cluster, urls) = Cluster::start_over_tls(&certificates).await;
    let trusting = |authority: &Certificates| {
        let authority = authority.read("authority.pem");
        patient().root_certificates(authority)
    };
    let (shown, key) = (
        certificates.read("client.pem"),
        certificates.read("client.key"),
    );
    let insecure = urls.iter().map(|url| format!("{url}#insecure"));
    for builder in [
        trusting(&certificates).cluster(&urls[..1]),
        trusting(&certificates)
            .client_certificate(shown, key)
            .cluster(&urls),
        patient().cluster(insecure),
    ] {
        let locks = connected(builder).await;
        for key in ["a", "b", "c"] {
            let guard = locked(&locks, key).await;
            renewed(&guard, 1).await;
            guard.release().await.expect("it was held");
        }
    }
    let error = not_connected(trusting(&Certificates::new()).cluster(&urls)).await;
    assert!(error.is_outage(), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let in_the_clear = trusting(&certificates).cluster(["redis://127.0.0.1"]);
    let error = not_connected(in_the_clear).await;
    let is_mistake = matches!(
        &error,
        ConnectError::Address {
            error: AddressError::NotTls,
            ..
        }
    );
    assert!(is_mistake, "{error}");
}
