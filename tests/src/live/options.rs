//! What a test may ask of the server it starts, and the configuration file that says so.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::tls::Certificates;

/// The user as whom the harness itself speaks to its servers, whatever the test does to the
/// default user. Its password is its name.
pub(super) const HARNESS_USER: &str = "harness";

/// When the append-only file reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before every reply: an acknowledged write survives.
    Always,
    /// Once a second: the last second of acknowledged writes may be lost.
    EverySecond,
}

/// How a server is started. The default is an empty server that persists nothing.
#[derive(Clone, Default)]
pub struct Options {
    pub(super) password: Option<String>,
    pub(super) cluster: bool,
    pub(super) sentinel: bool,
    /// Whom it follows as a replica.
    pub(super) primary: Option<SocketAddr>,
    lines: Vec<String>,
}

impl Options {
    /// An empty server that persists nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps an append-only file, so that [`restart_with_data`] finds what was written.
    ///
    /// [`restart_with_data`]: super::RedisServer::restart_with_data
    pub fn append_only(self, fsync: Fsync) -> Self {
        let policy = match fsync {
            Fsync::Always => "always",
            Fsync::EverySecond => "everysec",
        };
        self.config("appendonly yes")
            .config(format!("appendfsync {policy}"))
    }

    /// Demands this password of the default user. Letters and digits: it becomes part of a URL.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config(format!("requirepass {password}"))
    }

    /// Adds an ACL user in the server's words, such as `alice on >secret ~* &* +@all -eval`.
    pub fn user(self, rules: &str) -> Self {
        self.config(format!("user {rules}"))
    }

    /// Limits the memory (`10mb`) and says what happens at the limit (`noeviction`).
    pub fn max_memory(self, bytes: &str, policy: &str) -> Self {
        self.config(format!("maxmemory {bytes}"))
            .config(format!("maxmemory-policy {policy}"))
    }

    /// Starts as a replica of the server at `primary`.
    pub fn replica_of(mut self, primary: SocketAddr) -> Self {
        self.primary = Some(primary);
        self
    }

    /// Starts as a cluster node that knows no other; see [`Cluster`](super::Cluster).
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self.config("cluster-enabled yes")
    }

    /// Starts as a Sentinel that watches nobody; see [`Group`](super::Group).
    pub fn sentinel(mut self) -> Self {
        self.sentinel = true;
        self
    }

    /// As a Sentinel, watches the primary at this address under this name. So many Sentinels must
    /// agree that it is gone.
    pub fn watching(self, name: &str, primary: SocketAddr, agree: usize) -> Self {
        let (ip, port) = (primary.ip(), primary.port());
        self.config(format!("sentinel monitor {name} {ip} {port} {agree}"))
            .config(format!("sentinel auth-user {name} {HARNESS_USER}"))
            .config(format!("sentinel auth-pass {name} {HARNESS_USER}"))
    }

    /// Listens for TLS too, at this address, and asks clients for a certificate if `asks`.
    pub fn tls(self, addr: SocketAddr, certificates: &Certificates, asks: bool) -> Self {
        let file = |name: &str| certificates.file(name).display().to_string();
        self.config(format!("tls-port {}", addr.port()))
            .config(format!("tls-cert-file \"{}\"", file("server.pem")))
            .config(format!("tls-key-file \"{}\"", file("server.key")))
            .config(format!("tls-ca-cert-file \"{}\"", file("authority.pem")))
            .config(format!(
                "tls-auth-clients {}",
                if asks { "yes" } else { "no" }
            ))
    }

    /// Listens for TLS at this address, and speaks it to the other servers of its cluster.
    pub(super) fn tls_among_servers(self, addr: SocketAddr, certificates: &Certificates) -> Self {
        let file = |name: &str| certificates.file(name).display().to_string();
        self.tls(addr, certificates, false)
            .config("tls-cluster yes")
            .config(format!("tls-client-cert-file \"{}\"", file("client.pem")))
            .config(format!("tls-client-key-file \"{}\"", file("client.key")))
    }

    /// Adds any line of a server's configuration file.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// The configuration file. A line given later wins, so a test's own lines come last.
    pub(super) fn render(&self, addr: SocketAddr, data: &Path, socket: &Path) -> String {
        let mut text = format!(
            "daemonize no\nbind {}\nport {}\nunixsocket \"{}\"\ndir \"{}\"\nsave \"\"\n",
            addr.ip(),
            addr.port(),
            socket.display(),
            data.display(),
        );
        text.push_str("appendonly no\n");
        // A replica waits five seconds for company before its first copy, unless told otherwise.
        text.push_str("repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n");
        let _ = writeln!(text, "user {HARNESS_USER} on >{HARNESS_USER} ~* &* +@all");
        // Any server may be told to follow another one; this is how it is let in there.
        let _ = writeln!(text, "masteruser {HARNESS_USER}\nmasterauth {HARNESS_USER}");
        if let Some(primary) = self.primary {
            let _ = writeln!(text, "replicaof {} {}", primary.ip(), primary.port());
        }
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
