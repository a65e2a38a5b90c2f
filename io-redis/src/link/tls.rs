//! TLS to a node: which servers to trust, what to show them, and the handshake.
//!
//! The configuration of rustls is made for these connections alone. Nothing is installed into the
//! process, where the program may want another cryptography; but for a cluster, to whose servers
//! redis-rs connects.

use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::link::address::{Address, AddressError};
use crate::runtime::ByteStream;

/// The certificates that a builder was given, as texts.
#[derive(Default)]
pub(crate) struct Certificates {
    /// Trusted instead of the operating system's.
    roots: Option<Vec<u8>>,
    /// Shown to servers that ask, with its private key.
    client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    pub(crate) fn trust(&mut self, pem: Vec<u8>) {
        self.roots = Some(pem);
    }

    pub(crate) fn show(&mut self, certificate: Vec<u8>, key: Vec<u8>) {
        self.client = Some((certificate, key));
    }

    /// The same for redis-rs, which makes the handshakes with the servers of a cluster. None if
    /// none were given.
    #[cfg(feature = "cluster")]
    pub(crate) fn for_redis_rs(&self) -> Option<redis::TlsCertificates> {
        let client_tls = self.client.as_ref().map(|(certificate, key)| {
            let (client_cert, client_key) = (certificate.clone(), key.clone());
            redis::ClientTlsConfig {
                client_cert,
                client_key,
            }
        });
        let root_cert = self.roots.clone();
        (root_cert.is_some() || client_tls.is_some()).then_some(redis::TlsCertificates {
            client_tls,
            root_cert,
        })
    }

    /// The address, connected to with these certificates. Without any it stays as it is.
    pub(crate) fn apply(&self, address: Address) -> Result<Address, AddressError> {
        if self.roots.is_none() && self.client.is_none() {
            return Ok(address);
        }
        let roots = self.roots.as_deref().map(roots).transpose()?;
        let client = match &self.client {
            Some((certificate, key)) => Some(Identity {
                chain: certificates(certificate)?,
                key: PrivateKeyDer::from_pem_slice(key).map_err(|_| AddressError::NoCertificate)?,
            }),
            None => None,
        };
        address.with_certificates(roots.map(Arc::new), client.map(Arc::new))
    }
}

impl fmt::Debug for Certificates {
    /// Shows which were given, and nothing of them: a private key is among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("roots", &self.roots.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

/// The certificates of a text. There must be one at least.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, AddressError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or(AddressError::NoCertificate)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, AddressError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store
            .add(certificate)
            .map_err(|_| AddressError::NoCertificate)?;
    }
    Ok(store)
}

/// Who this client is to a server that asks.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// How one node is spoken to over TLS.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// The certificate of the server is not looked at (`#insecure` in the URL).
    pub(crate) insecure: bool,
    /// The authorities to trust. None for those of the operating system.
    pub(crate) roots: Option<Arc<RootCertStore>>,
    pub(crate) client: Option<Arc<Identity>>,
}

impl Tls {
    /// What makes the handshakes. Reads the certificates of the operating system.
    pub(crate) fn connector(&self) -> Result<TlsConnector, RedisError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if self.insecure {
            let any = Arc::new(AnyServer(provider));
            builder.dangerous().with_custom_certificate_verifier(any)
        } else {
            let roots = match &self.roots {
                Some(roots) => Arc::clone(roots),
                None => Arc::new(roots_of_the_system()?),
            };
            builder.with_root_certificates(roots)
        };
        let mut config = match &self.client {
            Some(client) => builder
                .with_client_auth_cert(client.chain.clone(), client.key.clone_key())
                .map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = !self.insecure;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// The cryptography that the program has chosen for rustls. Else ring, for these connections alone.
fn provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(chosen) => Arc::clone(chosen),
        None => Arc::new(ring::default_provider()),
    }
}

/// Where redis-rs makes the handshakes, it does so with the cryptography of the process. If the
/// program has chosen none, it is ring from now on, since rustls panics where it finds several to
/// choose from.
#[cfg(feature = "cluster")]
pub(crate) fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster.
        let _ = ring::default_provider().install_default();
    }
}

fn unusable(error: rustls::Error) -> RedisError {
    let what = "TLS is not possible with the certificate and the key that were given";
    RedisError::from((ErrorKind::InvalidClientConfig, what, error.to_string()))
}

/// The authorities that the operating system trusts. Those that cannot be read are left out.
fn roots_of_the_system() -> io::Result<RootCertStore> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(found.certs);
    match found.errors.pop() {
        Some(error) if usable == 0 => Err(io::Error::other(error)),
        _ => Ok(store),
    }
}

/// Speaks TLS on a stream from now on.
pub(crate) async fn handshake(
    connector: &TlsConnector,
    host: &str,
    stream: Box<dyn ByteStream>,
) -> io::Result<Box<dyn ByteStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

/// Takes any certificate for that of the server.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use crate::link::address::Address;
    use crate::{AddressError, Builder, ConnectError, Locks};

    fn refused(builder: Builder) -> AddressError {
        assert!(!format!("{builder:?}").contains("hunter2"), "{builder:?}");
        match builder.connect_lazy() {
            Err(ConnectError::Address { error, .. }) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_that_is_no_certificate_is_refused_before_anything_is_dialled() {
        let tls = || Locks::builder().node("rediss://h");
        for builder in [
            tls().root_certificates("hunter2"),
            tls().client_certificate("hunter2", "hunter2"),
        ] {
            assert_eq!(refused(builder), AddressError::NoCertificate);
        }
    }

    /// Whoever names authorities wants the server looked at.
    #[test]
    fn authorities_beside_an_address_that_trusts_anybody_are_refused() {
        let roots = rustls::RootCertStore::empty();
        let address = |url| Address::parse(url).expect("an address");
        let with = |url, roots| address(url).with_certificates(roots, None);
        let roots = || Some(std::sync::Arc::new(roots.clone()));
        let error = with("rediss://h#insecure", roots()).expect_err("a contradiction");
        assert_eq!(error, AddressError::Insecure);
        assert!(with("rediss://h", roots()).is_ok());
        assert!(with("rediss://h#insecure", None).is_ok());
    }
}
