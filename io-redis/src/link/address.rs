//! The address of a node, parsed from a URL. It may carry a password, which is never shown.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::runtime::Endpoint;

/// The address of a node, with the user that we are to it and the number of its database.
///
/// `redis://[user[:password]@]host[:port][/database]`, `redis+unix:///path[?db=n&user=u&pass=p]`
/// (also `unix://`), and `rediss://` like `redis://` with the feature `tls-rustls`. An IPv6 address
/// stands in brackets. Nothing shows the password.
#[derive(Clone)]
pub(crate) struct Address {
    info: Box<ConnectionInfo>,
}

impl Address {
    /// Parses a URL. The error never repeats it: there may be a password in it.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let tls = ["rediss", "valkeys"];
        if tls.iter().any(|tls| scheme.eq_ignore_ascii_case(tls)) && !cfg!(feature = "tls-rustls") {
            return Err(AddressError::NoTls);
        }
        // The text of redis-rs' error may quote parts of the URL, so it is not passed on.
        let info = url
            .into_connection_info()
            .map_err(|_| AddressError::NotAnAddress)?;
        if matches!(info.addr(), ConnectionAddr::Unix(_)) && !cfg!(unix) {
            return Err(AddressError::NoUnixSockets);
        }
        Ok(Self {
            info: Box::new(info),
        })
    }

    /// The same address, connected to with these certificates.
    #[cfg(feature = "tls-rustls")]
    pub(crate) fn with_certificates(
        self,
        certificates: &redis::TlsCertificates,
    ) -> Result<Self, AddressError> {
        if !matches!(self.info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(AddressError::NotTls);
        }
        // redis-rs keeps the parsed certificates in the address, and nowhere else.
        let client = redis::Client::build_with_tls(*self.info, certificates.clone())
            .map_err(|_| AddressError::NoCertificate)?;
        Ok(Self {
            info: Box::new(client.get_connection_info().clone()),
        })
    }

    /// The endpoint for the connector. None for TLS, where redis-rs connects itself.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => Some(Endpoint::Tcp {
                host: host.clone(),
                port: *port,
            }),
            ConnectionAddr::Unix(path) => Some(Endpoint::Unix(path.clone())),
            _ => None,
        }
    }

    /// What redis-rs needs for its handshake.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.info.redis_settings();
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
        let (scheme, host, port) = match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => ("redis", host, port),
            ConnectionAddr::TcpTls { host, port, .. } => ("rediss", host, port),
            ConnectionAddr::Unix(path) => {
                f.write_str("redis+unix://")?;
                user(f)?;
                return write!(f, "{}?db={}", path.display(), settings.db());
            }
            // A kind of address that redis-rs did not have when this was written.
            other => return write!(f, "{other}/{}", settings.db()),
        };
        write!(f, "{scheme}://")?;
        user(f)?;
        if host.contains(':') {
            write!(f, "[{host}]")?;
        } else {
            f.write_str(host)?;
        }
        write!(f, ":{port}/{}", settings.db())
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
    /// It asks for TLS, and the feature is not enabled.
    NoTls,
    /// It names a unix socket, which this platform does not have.
    NoUnixSockets,
    /// Certificates were given, but the address does not ask for TLS.
    NotTls,
    /// The certificates or the key that were given cannot be read.
    NoCertificate,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => {
                "not the address of a Redis node; use \
                 redis://[user:password@]host[:port][/database], redis+unix:///path, or rediss:// \
                 like redis:// (characters like @ and / in a password are written %40 and %2F)"
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
            Self::NoCertificate => {
                "the certificates or the key that were given cannot be read; give them in PEM, as \
                 texts that begin with -----BEGIN CERTIFICATE----- and -----BEGIN PRIVATE KEY-----"
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

    #[test]
    fn what_the_seam_dials_has_an_ipv6_address_without_brackets() {
        let address = Address::parse("redis://[::1]:7").expect("an address");
        let host = "::1".to_owned();
        assert_eq!(address.endpoint(), Some(Endpoint::Tcp { host, port: 7 }));
    }

    #[test]
    fn a_bad_address_is_refused_without_repeating_it() {
        for url in [
            "",
            "hunter2",
            "http://u:hunter2@h",
            "redis://u:hunter2@h:port",
            "redis://h/x",
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

    #[cfg(feature = "tls-rustls")]
    #[test]
    fn a_tls_address_is_dialled_by_redis_rs() {
        let address = Address::parse("rediss://h:7/1").expect("an address");
        assert_eq!(address.endpoint(), None);
        assert_eq!(address.to_string(), "rediss://h:7/1");
    }
}
