//! The certificates of a TLS connection: which servers to trust, and what to show them.

use std::fmt;

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::link::address::{Address, AddressError};

/// The certificates that a builder was given.
#[derive(Default)]
pub(crate) struct Certificates {
    /// Trusted instead of the operating system's.
    roots: Option<Vec<u8>>,
    /// Shown to servers that ask.
    client: Option<ClientTlsConfig>,
}

impl Certificates {
    pub(crate) fn trust(&mut self, pem: Vec<u8>) {
        self.roots = Some(pem);
    }

    pub(crate) fn show(&mut self, certificate: Vec<u8>, key: Vec<u8>) {
        self.client = Some(ClientTlsConfig {
            client_cert: certificate,
            client_key: key,
        });
    }

    /// The address, connected to with these certificates. Without any it stays as it is.
    pub(crate) fn apply(&self, address: Address) -> Result<Address, AddressError> {
        if self.roots.is_none() && self.client.is_none() {
            return Ok(address);
        }
        let given = [
            self.roots.as_deref(),
            self.client.as_ref().map(|client| &client.client_cert[..]),
        ];
        // redis-rs takes a text without certificates for an empty list.
        let any = |pem: &[u8]| matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_)));
        if !given.into_iter().flatten().all(any) {
            return Err(AddressError::NoCertificate);
        }
        address.with_certificates(&TlsCertificates {
            client_tls: self.client.clone(),
            root_cert: self.roots.clone(),
        })
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

#[cfg(test)]
mod tests {
    use crate::{AddressError, Builder, ConnectError, Locks};

    fn refused(builder: Builder) -> AddressError {
        assert!(!format!("{builder:?}").contains("hunter2"), "{builder:?}");
        match builder.connect_lazy() {
            Err(ConnectError::Address(error)) => error,
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
}
