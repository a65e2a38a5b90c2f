//! The address of a node, parsed from a URL. It may carry a password, which is never shown.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

#[cfg(feature = "tls-rustls")]
use crate::link::tls::Tls;
use crate::runtime::Endpoint;

/// The address of a node, with the user that we are to it and the number of its database.
///
/// `redis://[user[:password]@]host[:port][/database]`, `redis+unix:///path[?db=n&user=u&pass=p]`
/// (also `unix://`), and `rediss://` like `redis://` with the feature `tls-rustls`, `#insecure`
/// behind it if the certificate of the server is not to be looked at. `?protocol=resp2` or `resp3`
/// says which protocol is spoken. An IPv6 address stands in brackets. Nothing shows the password.
#[derive(Clone)]
pub(crate) struct Address {
    endpoint: Endpoint,
    settings: Box<RedisConnectionInfo>,
    /// The protocol that the URL asks for, if it does.
    protocol: Option<ProtocolVersion>,
    /// None if it is spoken to in the clear.
    #[cfg(feature = "tls-rustls")]
    tls: Option<Tls>,
}

impl Address {
    /// Parses a URL. The error never repeats it: there may be a password in it.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let clear = in_the_clear(url);
        if clear.is_some() && !cfg!(feature = "tls-rustls") {
            return Err(AddressError::NoTls);
        }
        let (before, fragment) = match url.split_once('#') {
            Some((before, fragment)) => (before, Some(fragment)),
            None => (url, None),
        };
        // The text of redis-rs' error may quote parts of the URL, so it is not passed on.
        let info = clear
            .as_deref()
            .unwrap_or(url)
            .into_connection_info()
            .map_err(|_| AddressError::NotAnAddress)?;
        let endpoint = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Endpoint::Tcp {
                host: host.clone(),
                port: *port,
            },
            ConnectionAddr::Unix(_) if !cfg!(unix) => return Err(AddressError::NoUnixSockets),
            ConnectionAddr::Unix(path) => Endpoint::Unix(path.clone()),
            _ => return Err(AddressError::NotAnAddress),
        };
        // redis-rs takes what it does not know for nothing at all.
        match (fragment, clear.is_some()) {
            (None, _) | (Some("insecure"), true) => {}
            _ => return Err(AddressError::UnknownFragment),
        }
        let (_, query) = before.split_once('?').unwrap_or((before, ""));
        let known: &[&str] = match endpoint {
            Endpoint::Tcp { .. } => &["protocol"],
            Endpoint::Unix(_) => &["protocol", "db", "user", "pass"],
        };
        let named = |pair: &str| {
            pair.split('=')
                .next()
                .map(str::to_owned)
                .unwrap_or_default()
        };
        let mut names = query.split('&').filter(|pair| !pair.is_empty()).map(named);
        if names.any(|name| !known.contains(&name.as_str())) {
            return Err(AddressError::UnknownParameter);
        }
        // redis-rs has RESP2 for its default, and does not tell whether the URL says so.
        let asks = query.split('&').any(|pair| pair.starts_with("protocol="));
        let settings = info.redis_settings().clone();
        Ok(Self {
            endpoint,
            protocol: asks.then(|| settings.protocol()),
            settings: Box::new(settings),
            #[cfg(feature = "tls-rustls")]
            tls: clear.map(|_| Tls {
                insecure: fragment.is_some(),
                ..Tls::default()
            }),
        })
    }

    /// The same user, database and protocol at another endpoint.
    pub(crate) fn at(self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self }
    }

    /// The same address, connected to with these certificates.
    #[cfg(feature = "tls-rustls")]
    pub(crate) fn with_certificates(
        mut self,
        roots: Option<std::sync::Arc<rustls::RootCertStore>>,
        client: Option<std::sync::Arc<crate::link::tls::Identity>>,
    ) -> Result<Self, AddressError> {
        let tls = self.tls.as_mut().ok_or(AddressError::NotTls)?;
        if tls.insecure && roots.is_some() {
            return Err(AddressError::Insecure);
        }
        tls.roots = roots;
        tls.client = client;
        Ok(self)
    }

    /// What the connector connects to.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How TLS is spoken on the stream. None if it is not.
    #[cfg(feature = "tls-rustls")]
    pub(crate) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    const fn is_tls(&self) -> bool {
        #[cfg(feature = "tls-rustls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls-rustls"))]
        false
    }

    /// What redis-rs needs for its handshake.
    pub(crate) fn settings(&self) -> &RedisConnectionInfo {
        &self.settings
    }

    /// What redis-rs needs where it makes the handshake by itself, and asks once.
    #[cfg(feature = "cluster")]
    pub(crate) fn greeting(&self) -> RedisConnectionInfo {
        let protocol = self.protocol.unwrap_or(ProtocolVersion::RESP3);
        self.settings.as_ref().clone().set_protocol(protocol)
    }

    /// Whether both are connected to as the same user and in the same way.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_spoken_to_like(&self, other: &Self) -> bool {
        let login = |address: &Self| {
            let settings = &address.settings;
            let owned = |word: Option<&str>| word.map(str::to_owned);
            (owned(settings.username()), owned(settings.password()))
        };
        login(self) == login(other)
            && self.protocol == other.protocol
            && self.trusts_any_certificate() == other.trusts_any_certificate()
    }

    /// With TLS, whether any certificate is taken for that of the server. None without.
    #[cfg(feature = "cluster")]
    pub(crate) fn trusts_any_certificate(&self) -> Option<bool> {
        #[cfg(feature = "tls-rustls")]
        return self.tls.as_ref().map(|tls| tls.insecure);
        #[cfg(not(feature = "tls-rustls"))]
        None
    }

    /// The protocol that the URL asks for, if it does.
    pub(crate) const fn protocol(&self) -> Option<ProtocolVersion> {
        self.protocol
    }
}

/// As much of a text that is no address as cannot be a password: the scheme, and the host where one
/// is to be seen.
pub(crate) fn shown(url: &str) -> String {
    const HIDDEN: &str = "***";
    const SCHEMES: [&str; 7] = [
        "redis",
        "rediss",
        "valkey",
        "valkeys",
        "redis+unix",
        "valkey+unix",
        "unix",
    ];
    let Some((scheme, rest)) = url.split_once("://") else {
        return HIDDEN.to_owned();
    };
    if !SCHEMES
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return HIDDEN.to_owned();
    }
    let (user, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("***@", place),
        None => ("", rest),
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let end = place.find(|c| !is_host(c)).unwrap_or(place.len());
    let (host, rest) = place.split_at(end);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let port = match rest[..end].strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => &rest[..end],
        Some(_) => ":***",
        None if end == 0 => "",
        None => HIDDEN,
    };
    let more = if end < rest.len() { "/***" } else { "" };
    format!("{scheme}://{user}{host}{port}{more}")
}

/// The URL of a TLS node as one of a node that is spoken to in the clear. None if it is none.
/// redis-rs parses the former only if its own TLS is compiled in, which this crate does not need.
fn in_the_clear(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let schemes = [("rediss", "redis"), ("valkeys", "valkey")];
    let of = |(tls, clear): (&str, &'static str)| scheme.eq_ignore_ascii_case(tls).then_some(clear);
    let clear = schemes.into_iter().find_map(of)?;
    Some(format!("{clear}://{rest}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        let user = |f: &mut fmt::Formatter<'_>| {
            if settings.username().is_none() && settings.password().is_none() {
                return Ok(());
            }
            f.write_str(settings.username().unwrap_or(""))?;
            f.write_str(if settings.password().is_some() {
                ":***@"
            } else {
                "@"
            })
        };
        let (host, port) = match &self.endpoint {
            Endpoint::Tcp { host, port } => (host, port),
            Endpoint::Unix(path) => {
                f.write_str("redis+unix://")?;
                user(f)?;
                return write!(f, "{}?db={}", path.display(), settings.db());
            }
        };
        let scheme = if self.is_tls() { "rediss" } else { "redis" };
        write!(f, "{scheme}://")?;
        user(f)?;
        write_place(f, host, *port)?;
        write!(f, "/{}", settings.db())
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{host}]:{port}")
    } else {
        write!(f, "{host}:{port}")
    }
}

/// Where something listens, as it is shown: `host:port`, or a path.
pub(crate) struct Place<'a>(pub(crate) &'a Endpoint);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Endpoint::Tcp { host, port } => write_place(f, host, *port),
            Endpoint::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Why a text is not the address of a node. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not a URL that redis-rs understands.
    NotAnAddress,
    /// It has a parameter (behind `?`) that is not known. Passwords do not belong there.
    UnknownParameter,
    /// It has something behind `#` that is not known there.
    UnknownFragment,
    /// It asks for TLS, and the feature is not enabled.
    NoTls,
    /// It names a unix socket, which this platform does not have.
    NoUnixSockets,
    /// Certificates were given, but the address does not ask for TLS.
    NotTls,
    /// Authorities to trust were given, but the address ends in `#insecure`, which trusts anybody.
    Insecure,
    /// The certificates or the key that were given cannot be read.
    NoCertificate,
    /// It is not the name under which Sentinels know a primary.
    NotAGroup,
    /// It is not the address of a Sentinel.
    NotASentinel,
    /// No Sentinel was named.
    NoSentinels,
    /// It is not the address of a server of a cluster.
    NotAShard,
    /// It differs from the first address of the same cluster in more than the host and the port.
    NotAlike,
    /// No server of the cluster was named.
    NoShards,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => {
                "not the address of a Redis node; use \
                 redis://[user:password@]host[:port][/database], redis+unix:///path, or rediss:// \
                 like redis:// (characters like @ and / in a password are written %40 and %2F)"
            }
            Self::UnknownParameter => {
                "the address has a parameter that is not known; behind `?` there may be \
                 `protocol`, and for a unix socket `db`, `user` and `pass` (a ? in a password is \
                 written %3F)"
            }
            Self::UnknownFragment => {
                "behind `#` there may only be `insecure`, and only in a rediss:// address (a # in \
                 a password is written %23)"
            }
            Self::NoTls => {
                "a rediss:// address needs the feature `tls-rustls` of tenure-redis; enable it in \
                 Cargo.toml"
            }
            Self::NoUnixSockets => {
                "there are no unix sockets on this platform; use a redis:// address"
            }
            Self::NotTls => {
                "certificates were given, but this address would be spoken to in the clear; use \
                 rediss://"
            }
            Self::Insecure => {
                "authorities to trust were given, but #insecure at the end of this address trusts \
                 anybody; leave one of the two out"
            }
            Self::NoCertificate => {
                "the certificates or the key that were given cannot be read; give them in PEM, as \
                 texts that begin with -----BEGIN CERTIFICATE----- and -----BEGIN PRIVATE KEY-----"
            }
            Self::NotAGroup => {
                "not the name of a primary; use redis://[user:password@]NAME[/database] or \
                 rediss:// like it, where NAME is what its Sentinels call it: letters, digits, \
                 `.`, `-` and `_`, without a port"
            }
            Self::NotASentinel => {
                "not the address of a Sentinel; use redis://[user:password@]host[:port] or \
                 rediss:// like it, without a database, since a Sentinel has none (the database \
                 stands behind the name of the primary)"
            }
            Self::NoSentinels => {
                "no Sentinel was named: give `Builder::sentinel` their addresses, best all of them"
            }
            Self::NotAShard => {
                "not the address of a server of a cluster; use redis://[user:password@]host[:port] \
                 or rediss:// like it, without a database, since a cluster has only database 0"
            }
            Self::NotAlike => {
                "the first address of this cluster names another user, password or protocol, or \
                 differs in TLS; use the same in all, since the servers that they name are \
                 connected to in one way"
            }
            Self::NoShards => {
                "no server of the cluster was named: give `Builder::cluster` the addresses of \
                 some, best of one of each shard"
            }
        })
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            (
                "redis://:hunter2@localhost",
                "redis://:***@localhost:6379/0",
            ),
            ("redis://app:hunter2@h:1/3", "redis://app:***@h:1/3"),
            ("redis://app:hunter2@[::1]:1", "redis://app:***@[::1]:1/0"),
            #[cfg(unix)]
            (
                "redis+unix:///run/r.sock?db=2&pass=hunter2",
                "redis+unix://:***@/run/r.sock?db=2",
            ),
        ] {
            let address = Address::parse(url).expect(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("Address({shown})"));
        }
    }

    /// redis-rs would take them for nothing at all.
    #[test]
    fn what_is_not_known_behind_a_url_is_refused() {
        for url in [
            "redis://h?password=hunter2",
            "redis://h/1?protocol=resp2&db=2",
            "redis://h?hunter2",
            "valkey://h?Protocol=resp2",
            #[cfg(unix)]
            "redis+unix:///run/r.sock?password=hunter2",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert_eq!(error, AddressError::UnknownParameter, "{url}");
        }
        for url in [
            "redis://h#insecure",
            "redis://h#",
            #[cfg(unix)]
            "unix:///run/r.sock#insecure",
            #[cfg(feature = "tls-rustls")]
            "rediss://h#trusting",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert_eq!(error, AddressError::UnknownFragment, "{url}");
        }
    }

    #[test]
    fn a_bad_address_is_shown_without_what_may_be_its_password() {
        for (url, shown_as) in [
            ("redis://b:x", "redis://b:***"),
            ("redis://u:hunter2@h:port", "redis://***@h:***"),
            ("redis://u:hunter2@h:7/x", "redis://***@h:7/***"),
            ("redis://u:hun@ter2@h:7?a=hunter2", "redis://***@h:7/***"),
            ("redis://:hunter2", "redis://:***"),
            ("redis://user:hunter2/0", "redis://user:***/***"),
            ("redis://h/hunter2", "redis://h/***"),
            ("redis://h hunter2", "redis://h***"),
            ("rediss://[::1]:hunter2", "rediss://***"),
            ("redis://h?password=hunter2", "redis://h/***"),
            ("hunter2://h", "***"),
            ("http://h", "***"),
            ("hunter2", "***"),
            ("", "***"),
        ] {
            assert_eq!(shown(url), shown_as, "{url}");
        }
    }

    #[test]
    fn what_the_seam_dials_has_an_ipv6_address_without_brackets() {
        let address = Address::parse("redis://[::1]:7").expect("an address");
        let host = "::1".to_owned();
        assert_eq!(*address.endpoint(), Endpoint::Tcp { host, port: 7 });
    }

    #[test]
    fn a_bad_address_is_refused_without_repeating_it() {
        for url in [
            "",
            "hunter2",
            "http://u:hunter2@h",
            "redis://u:hunter2@h:port",
            "redis://h/x",
            "redis://u:hunter2@h?protocol=resp4",
        ] {
            let error = Address::parse(url).expect_err(url);
            assert_eq!(error, AddressError::NotAnAddress, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[cfg(not(feature = "tls-rustls"))]
    #[test]
    fn tls_that_was_not_compiled_in_is_named_as_the_reason() {
        for url in ["rediss://h", "REDISS://h", "valkeys://h"] {
            let error = Address::parse(url).expect_err(url);
            assert!(error.to_string().contains("tls-rustls"), "{error}");
        }
    }

    #[test]
    fn the_protocol_is_that_of_the_url_if_it_names_one() {
        use ProtocolVersion::{RESP2, RESP3};
        for (url, protocol) in [
            ("redis://h", None),
            ("redis://h/?", None),
            ("redis://h?protocol=resp2", Some(RESP2)),
            ("redis://h/3?protocol=2", Some(RESP2)),
            ("redis://h?protocol=resp3", Some(RESP3)),
            #[cfg(unix)]
            ("redis+unix:///run/r.sock?db=2&protocol=resp2", Some(RESP2)),
            #[cfg(feature = "tls-rustls")]
            ("rediss://h?protocol=resp2#insecure", Some(RESP2)),
        ] {
            let address = Address::parse(url).expect(url);
            assert_eq!(address.protocol(), protocol, "{url}");
        }
    }

    #[cfg(feature = "tls-rustls")]
    #[test]
    fn a_tls_address_is_one_in_the_clear_and_says_whom_to_trust() {
        for (url, shown, insecure) in [
            ("rediss://h:7/1", "rediss://h:7/1", false),
            ("REDISS://h", "rediss://h:6379/0", false),
            ("valkeys://h", "rediss://h:6379/0", false),
            (
                "rediss://u:hunter2@h:7/1#insecure",
                "rediss://u:***@h:7/1",
                true,
            ),
        ] {
            let address = Address::parse(url).expect(url);
            assert_eq!(address.to_string(), shown);
            let tls = address.tls().expect(url);
            assert_eq!(tls.insecure, insecure, "{url}");
        }
    }
}
