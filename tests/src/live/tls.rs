//! Certificates for servers that speak TLS: an authority that nobody else trusts, a server on the
//! loopback and a client, made anew for each test.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::gate;
use super::process::unused_addr;

/// What each certificate is good for, in OpenSSL's words.
const CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = tenure
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

/// An authority, and what it has signed.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

/// Like [`servers_available`](super::servers_available), for a server that speaks TLS and a program
/// that makes certificates for it.
///
/// # Panics
/// When one is missing and nothing may be left out.
#[track_caller]
pub fn available() -> bool {
    if !gate::servers_available() {
        return false;
    }
    let Some(program) = gate::server_program() else {
        return false;
    };
    if !gate::knows(program, "tls-port", "0") {
        gate::leave_out("the server was built without TLS");
        return false;
    }
    if gate::on_path("openssl").is_none() {
        gate::leave_out("openssl, which makes the certificates, is not on PATH: install it");
        return false;
    }
    true
}

/// An address for [`Options::tls`](super::Options::tls) on which nobody listened a moment ago.
pub fn addr() -> SocketAddr {
    unused_addr()
}

impl Certificates {
    /// Makes them.
    ///
    /// # Panics
    /// When `openssl` does not.
    #[expect(clippy::new_without_default, reason = "it runs a program")]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("tenure-tls-")
            .tempdir()
            .expect("a temporary folder for certificates");
        let this = Self { folder };
        fs::write(this.file("config"), CONFIG).expect("the configuration can be written");
        this.make("authority", None);
        this.make("server", Some("authority"));
        this.make("client", Some("authority"));
        this
    }

    fn make(&self, name: &str, signer: Option<&str>) {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-nodes", "-days", "2", "-config", "config"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-extensions", name])
            .args(["-keyout", &format!("{name}.key")])
            .args(["-out", &format!("{name}.pem")])
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        if let Some(signer) = signer {
            command
                .args(["-CA", &format!("{signer}.pem")])
                .args(["-CAkey", &format!("{signer}.key")])
                .args(["-subj", &format!("/CN={name}")]);
        }
        let made = command.output().expect("openssl can be started");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl made no {name}: {said}");
    }

    /// One of the files: `authority.pem`, `server.key`, `client.pem`, …
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in one of the files.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).expect("it was made")
    }
}
