//! A node that is a cluster, given by the addresses of some of its servers. Each dial asks them
//! which servers there are, and connects to all.
//!
//! redis-rs connects to the servers and knows which has which slots, so the seams have no part in
//! that. It repeats no request by itself: see [`ShardedConnection`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::io::tcp::TcpSettings;
use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    RedisResult,
};
use tenure_core::{Refusal, Reply, Words};

use crate::link::address::{Address, AddressError, Place};
use crate::link::connect::{Connected, DialError};
use crate::link::connection::Connection;
use crate::link::credentials::Source;
use crate::link::shards::{Pace, ShardedConnection};
use crate::protocol::decode;
use crate::protocol::words::{hide, printable};
#[cfg(any(target_os = "android", target_os = "linux"))]
use crate::runtime::UNCONFIRMED;
use crate::runtime::{Clock, Endpoint, probes};

/// The addresses of some servers of a cluster. They name the others.
#[derive(Clone, Default)]
pub(crate) struct ClusterAddress {
    servers: Vec<Address>,
    #[cfg(feature = "tls-rustls")]
    certificates: Option<redis::TlsCertificates>,
}

impl ClusterAddress {
    /// Adds a server by its URL. The error never repeats it.
    pub(crate) fn add(&mut self, url: &str) -> Result<(), AddressError> {
        let address = Address::parse(url).map_err(|error| match error {
            AddressError::NotAnAddress | AddressError::NoUnixSockets => AddressError::NotAShard,
            other => other,
        })?;
        let is_place = matches!(address.endpoint(), Endpoint::Tcp { .. });
        if !is_place || address.settings().db() != 0 {
            return Err(AddressError::NotAShard);
        }
        if let Some(first) = self.servers.first()
            && !first.is_spoken_to_like(&address)
        {
            return Err(AddressError::NotAlike);
        }
        self.servers.push(address);
        Ok(())
    }

    /// Whether a server was added.
    pub(crate) const fn has_servers(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The same with these certificates, by which each address was changed.
    #[cfg(feature = "tls-rustls")]
    pub(crate) fn with_certificates<E>(
        self,
        change: impl Fn(Address) -> Result<Address, E>,
        certificates: Option<redis::TlsCertificates>,
    ) -> Result<Self, E> {
        let servers = self.servers.into_iter().map(change);
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            certificates,
        })
    }
}

impl fmt::Display for ClusterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cluster")?;
        for (at, server) in self.servers.iter().enumerate() {
            let between = if at == 0 { " " } else { ", " };
            write!(f, "{between}{}", Place(server.endpoint()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClusterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterAddress({self})")
    }
}

/// Connects to one cluster, again after each loss.
pub(crate) struct Cluster {
    address: ClusterAddress,
    /// Who says as whom it logs in, if the addresses do not.
    credentials: Option<Source>,
    /// As whom it logs in, in the present dial or the last one.
    settings: RedisConnectionInfo,
    /// Whether a connection has served since the last dial.
    served: bool,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    /// `address` has servers.
    pub(crate) fn new(
        address: ClusterAddress,
        credentials: Option<Source>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let first = address.servers.first();
        Self {
            settings: first.map_or_else(RedisConnectionInfo::default, Address::greeting),
            address,
            credentials,
            served: false,
            clock,
        }
    }

    /// How long things may take in the next dial, and on its connection.
    pub(crate) fn pace(&mut self, dial: Duration, silence: Duration) -> Pace {
        Pace::of(dial, silence, std::mem::take(&mut self.served))
    }

    /// Its last connection serves.
    pub(crate) fn served(&mut self) {
        self.served = true;
    }

    /// Tries once: asks the servers that were named, beside each other, and connects to all that
    /// they know. The caller bounds the time.
    ///
    /// A server that does not answer is left out, and is connected to when the cluster names it
    /// again. So a cluster of which a part is gone serves the rest.
    pub(crate) async fn dial(&mut self, pace: Pace) -> Result<Connected, DialError> {
        if let Some(credentials) = &self.credentials {
            let given = credentials.ask().await.map_err(DialError::no_credentials)?;
            self.settings = given.apply(&self.settings);
        }
        let told = |error| self.told(&error);
        let servers = self.servers().map_err(told)?;
        #[cfg(feature = "tls-rustls")]
        if servers.iter().any(|server| is_tls(server.addr())) {
            crate::link::tls::choose_cryptography();
        }
        let template = self.template(&servers).map_err(told)?;
        let client = ClusterClientBuilder::new(servers)
            .tcp_settings(tcp())
            // What is repeated may already have been done. See `ShardedConnection`.
            // Law: Honest validity
            .retries(0)
            .connection_timeout(pace.connect)
            .response_timeout(pace.answer)
            .overall_response_timeout(None);
        #[cfg(feature = "tls-rustls")]
        let client = match &self.address.certificates {
            Some(certificates) => client.certs(certificates.clone()),
            None => client,
        };
        let client = client.build().map_err(told)?;
        let shards = client.get_async_connection().await.map_err(told)?;
        let password = self.password().map(str::to_owned);
        let asks = self.credentials.is_some();
        let clock = Arc::clone(&self.clock);
        let (connection, over) =
            ShardedConnection::new(shards, template, pace, password, asks, clock);
        let connection: Arc<dyn Connection> = Arc::new(connection);
        let mut connected = Connected::given(&connection);
        connected.lookout = Some(over);
        Ok(connected)
    }

    /// The password that is sent to the servers, or was in the last dial.
    pub(crate) fn password(&self) -> Option<&str> {
        self.settings.password()
    }

    /// What redis-rs needs to know of the servers.
    fn servers(&self) -> RedisResult<Vec<ConnectionInfo>> {
        let settings = &self.settings;
        let servers = self.address.servers.iter().filter_map(|server| {
            let Endpoint::Tcp { host, port } = server.endpoint() else {
                return None;
            };
            let (host, port) = (host.clone(), *port);
            let addr = match server.trusts_any_certificate() {
                None => ConnectionAddr::Tcp(host, port),
                Some(insecure) => ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure,
                    tls_params: None,
                },
            };
            Some(addr.into_connection_info())
        });
        let with_settings = |info: ConnectionInfo| {
            info.set_redis_settings(settings.clone())
                .set_tcp_settings(tcp())
        };
        servers.map(|info| info.map(with_settings)).collect()
    }

    /// How a server is connected to that redis-rs does not know yet.
    fn template(&self, servers: &[ConnectionInfo]) -> RedisResult<Option<ConnectionInfo>> {
        let Some(first) = servers.first() else {
            return Ok(None);
        };
        #[cfg(feature = "tls-rustls")]
        if let Some(certificates) = &self.address.certificates {
            let client = redis::Client::build_with_tls(first.clone(), certificates.clone())?;
            return Ok(Some(client.get_connection_info().clone()));
        }
        Ok(Some(first.clone()))
    }

    /// Why there is no connection.
    fn told(&self, error: &RedisError) -> DialError {
        let said = hide(&said(&decode::error_text(error)), self.password());
        if said.contains("cluster support disabled") {
            let why = "it is no cluster: give its address to `Builder::node`, or the addresses of \
                       the servers of a cluster to `Builder::cluster`";
            return DialError::Rejected(Words::new(why));
        }
        let words = printable(&said);
        // Over the older protocol redis-rs keeps the server's words of a login to itself.
        if said.contains("AuthenticationFailed") {
            return DialError::Rejected(words);
        }
        match decode::refusal(&said).0 {
            Reply::NotApplied(Refusal::Rejected(words)) => DialError::Rejected(words),
            Reply::NotApplied(_) | Reply::Applied(_) | Reply::Unknown(_) => {
                DialError::Unavailable(words)
            }
        }
    }
}

/// The words of a server as it said them, code first. redis-rs quotes them as text, inside its own,
/// where none of the servers that were named can be connected to.
fn said(text: &str) -> String {
    const AROUND: &str = "Failed to create initial connections - Io: ";
    const CODES: [(&str, &str); 5] = [
        ("ResponseError", "ERR"),
        ("BusyLoading", "LOADING"),
        ("ClusterDown", "CLUSTERDOWN"),
        ("MasterDown", "MASTERDOWN"),
        ("NoPerm", "NOPERM"),
    ];
    let quoted = text.strip_prefix(AROUND).unwrap_or(text);
    let Some((name, words)) = quoted.split_once(": ") else {
        return quoted.to_owned();
    };
    let known = CODES.iter().find(|(known, _)| *known == name);
    let unknown = || name.strip_prefix('"')?.strip_suffix('"');
    match known.map(|(_, code)| *code).or_else(unknown) {
        Some(code) => format!("{code} {words}"),
        None => quoted.to_owned(),
    }
}

/// As the connections of links are.
fn tcp() -> TcpSettings {
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(probes());
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let settings = settings.set_user_timeout(UNCONFIRMED);
    settings
}

#[cfg(feature = "tls-rustls")]
const fn is_tls(addr: &ConnectionAddr) -> bool {
    matches!(addr, ConnectionAddr::TcpTls { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(urls: &[&str]) -> Result<ClusterAddress, AddressError> {
        let mut cluster = ClusterAddress::default();
        urls.iter().try_for_each(|url| cluster.add(url))?;
        Ok(cluster)
    }

    #[test]
    fn a_cluster_is_shown_by_its_servers_and_without_passwords() {
        let urls = [
            "redis://u:hun:ter2@10.0.0.1",
            "redis://u:hun:ter2@[::1]:7/0",
        ];
        let cluster = cluster(&urls).expect("a cluster");
        let shown = "cluster 10.0.0.1:6379, [::1]:7";
        assert_eq!(cluster.to_string(), shown);
        assert_eq!(format!("{cluster:?}"), format!("ClusterAddress({shown})"));
    }

    #[test]
    fn the_servers_of_a_cluster_have_no_database_and_no_socket() {
        for url in ["redis://h/1", "h:1", "redis://h:port", "unix:///r.sock"] {
            let error = cluster(&["redis://h", url]).expect_err(url);
            assert_eq!(error, AddressError::NotAShard, "{url}");
        }
        let error = cluster(&["redis://h?db=1"]).expect_err("a parameter");
        assert_eq!(error, AddressError::UnknownParameter);
    }

    #[test]
    fn the_servers_of_a_cluster_are_connected_to_in_one_way() {
        for url in [
            "redis://u@i",
            "redis://u:q@i",
            "redis://v:p@i",
            "redis://u:p@i?protocol=resp2",
            #[cfg(feature = "tls-rustls")]
            "rediss://u:p@i",
        ] {
            let error = cluster(&["redis://u:p@h", url]).expect_err(url);
            assert_eq!(error, AddressError::NotAlike, "{url}");
        }
        #[cfg(feature = "tls-rustls")]
        assert!(cluster(&["rediss://h", "rediss://i#insecure"]).is_err());
    }

    /// With a short TTL a server is taken for silent before one far away can be connected to.
    #[test]
    fn a_dial_has_longer_until_a_connection_serves_and_after_one_that_failed() {
        let clock = Arc::new(crate::runtime::BootClock::new());
        let mut cluster = Cluster::new(ClusterAddress::default(), None, clock);
        let mut connect = |served: bool| {
            if served {
                cluster.served();
            }
            let pace = cluster.pace(Duration::from_secs(2), Duration::from_millis(250));
            pace.connect.as_millis()
        };
        let took = [false, false, true, false].map(&mut connect);
        assert_eq!(took, [500, 500, 125, 500]);
    }

    fn refused(error: &RedisError) -> DialError {
        let cluster = cluster(&["redis://u:hunter2@h"]).expect("a cluster");
        let clock = Arc::new(crate::runtime::BootClock::new());
        Cluster::new(cluster, None, clock).told(error)
    }

    /// What redis-rs says if no server that was named can be connected to for this reason.
    fn around(why: &RedisError) -> RedisError {
        let what = "Failed to create initial connections";
        RedisError::from((redis::ErrorKind::Io, what, why.to_string()))
    }

    fn server(text: &str) -> RedisError {
        let line = format!("-{text}\r\n");
        let value = redis::parse_redis_value(line.as_bytes()).expect("an error is a value");
        value.extract_error().expect_err("it is an error")
    }

    #[test]
    fn why_a_cluster_cannot_be_connected_to_is_told_in_its_words() {
        let rejected = |text: &str| DialError::Rejected(Words::new(text));
        let unavailable = |text: &str| DialError::Unavailable(Words::new(text));
        for (text, is_rejected) in [
            ("WRONGPASS invalid username-password pair", true),
            ("NOAUTH HELLO must be called", true),
            (
                "NOPERM this user has no permissions to run the 'ping' command",
                true,
            ),
            ("ERR unknown command 'HELLO'", true),
            ("LOADING Redis is loading the dataset in memory", false),
            ("CLUSTERDOWN The cluster is down", false),
            ("ERR max number of clients reached", false),
        ] {
            let told = match is_rejected {
                true => rejected(text),
                false => unavailable(text),
            };
            assert_eq!(refused(&server(text)), told);
            assert_eq!(refused(&around(&server(text))), told);
        }
        let kind = redis::ErrorKind::AuthenticationFailed;
        let login = RedisError::from((kind, "Password authentication failed"));
        assert!(matches!(refused(&around(&login)), DialError::Rejected(_)));
        let nobody = std::io::Error::other("nobody is there: 1");
        assert_eq!(refused(&nobody.into()), unavailable("nobody is there: 1"));
        let DialError::Rejected(words) =
            refused(&server("ERR This instance has cluster support disabled"))
        else {
            panic!("waiting will not do");
        };
        assert!(words.as_str().starts_with("it is no cluster"), "{words}");
    }

    #[test]
    fn what_a_server_of_a_cluster_quotes_shows_no_password() {
        let told = refused(&around(&server("ERR no backend for u:hunter2")));
        let told = told.into_words();
        assert!(!told.as_str().contains("hunter2"), "{told}");
    }
}
