//! One real server process: started, asked, killed, paused and restarted by a test.

use std::fmt;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisResult,
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::gate;
use super::options::{HARNESS_USER, Options};
use super::process::{bound_to_us, spawn, unused_addr};
use super::wait::{self, eventually};

const PORT_TRIES: usize = 20;

/// A server process of this test alone, on a loopback port and a Unix socket, in a folder of its
/// own. Dropped, it is killed and its folder removed.
pub struct RedisServer {
    options: Options,
    addr: SocketAddr,
    child: Option<Child>,
    // After `child`, so that the folder goes when nobody writes there any more.
    home: TempDir,
}

impl RedisServer {
    /// Starts a server and waits until it serves.
    ///
    /// # Panics
    /// When there is no server program (see [`gate`]), or it does not come up; the message carries
    /// the server's own log.
    pub async fn start(options: Options) -> Self {
        Self::start_near(options, unused_addr()).await
    }

    /// Starts a server at this address, or at another one if somebody was faster.
    async fn start_near(options: Options, addr: SocketAddr) -> Self {
        let home = tempfile::Builder::new()
            .prefix("tenure-live-")
            .tempdir()
            .expect("a temporary folder for a server");
        fs::create_dir(home.path().join("data")).expect("a folder for the server's data");
        let mut server = Self {
            options,
            addr,
            child: None,
            home,
        };
        for _ in 0..PORT_TRIES {
            server.configure();
            if server.launch().await {
                return server;
            }
            server.addr = unused_addr();
        }
        panic!(
            "no port could be bound in {PORT_TRIES} tries:\n{}",
            server.log()
        );
    }

    /// The server's URL for the default user, with its password if it was given one.
    pub fn url(&self) -> String {
        match &self.options.password {
            Some(password) => format!("redis://:{password}@{}/", self.addr),
            None => format!("redis://{}/", self.addr),
        }
    }

    /// The server's URL for a user, a password (both letters and digits) and a database.
    pub fn url_with(&self, user: &str, password: &str, db: i64) -> String {
        format!("redis://{user}:{password}@{}/{db}", self.addr)
    }

    /// Where the server listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The Unix socket on which the server listens too.
    pub fn unix_socket(&self) -> PathBuf {
        self.home.path().join("socket")
    }

    /// The server's process id.
    ///
    /// # Panics
    /// When it was killed and not restarted.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// What the server has logged, over all its restarts.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Kills the process with no chance to clean up, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL ends a stopped process too; there is no need to resume it first.
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        }
    }

    /// Kills the server, if it runs, and starts it on the same port with nothing of its data.
    /// A cluster node forgets its cluster, too.
    pub async fn restart_empty(&mut self) {
        self.kill();
        let data = self.data_folder();
        fs::remove_dir_all(&data).expect("the data of a killed server can be removed");
        fs::create_dir(&data).expect("a folder for the server's data");
        self.restart().await;
    }

    /// Kills the server, if it runs, and starts it on the same port with what it had persisted.
    pub async fn restart_with_data(&mut self) {
        self.kill();
        self.restart().await;
    }

    /// Stops the process where it stands: its port accepts, nothing answers, its clock goes on.
    /// When this returns it does not run any more.
    pub fn pause(&self) {
        let pid = self.process();
        kill_process(pid, Signal::STOP).expect("our own child can be stopped");
        // The signal is only sent by then; a reply may still leave until the stop is reported.
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).expect("our own child reports its stop");
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        kill_process(self.process(), Signal::CONT).expect("our own child can be resumed");
    }

    /// Sends one command as the harness' own user, on a connection of its own, and gives the
    /// reply. It is not among the connections over TCP and not subject to the ACLs under test.
    ///
    /// # Panics
    /// When the server refuses, or the reply is not a `T`.
    pub async fn cmd<T: FromRedisValue>(&self, words: &[&str]) -> T {
        match self.try_cmd(words).await {
            Ok(value) => value,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    /// Like [`cmd`](Self::cmd), for a command that may be refused.
    ///
    /// # Errors
    /// The server's, the connection's, or that the reply is not a `T`.
    pub async fn try_cmd<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let who = RedisConnectionInfo::default()
            .set_username(HARNESS_USER)
            .set_password(HARNESS_USER)
            .set_protocol(ProtocolVersion::RESP3);
        let addr = ConnectionAddr::Unix(self.unix_socket());
        let mut link = dial(addr.into_connection_info()?.set_redis_settings(who)).await?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut link).await
    }

    /// A connection over TCP as the default user, patient enough for a loaded machine.
    ///
    /// # Panics
    /// When the server does not let us in.
    pub async fn connect(&self) -> MultiplexedConnection {
        connect(&self.url()).await
    }

    /// One field of `INFO`, such as `run_id` or `master_link_status`.
    pub async fn info(&self, field: &str) -> Option<String> {
        let ask = ["INFO", "everything"];
        // A Sentinel closes all connections of a server that it makes a replica, this one as well.
        let mut said = self.try_cmd::<String>(&ask).await;
        for _ in 0..5 {
            match &said {
                Err(error) if error.is_connection_dropped() => said = self.try_cmd(&ask).await,
                _ => break,
            }
        }
        let text = said.unwrap_or_else(|error| panic!("{ask:?}: {error}"));
        text.lines().find_map(|line| {
            line.strip_prefix(field)?
                .strip_prefix(':')
                .map(|value| value.trim_end().to_owned())
        })
    }

    /// Waits until this replica has a copy of its primary and follows it.
    pub async fn in_sync(&self) {
        eventually("the replica follows its primary", || async {
            self.info("master_link_status").await.as_deref() == Some("up")
        })
        .await;
    }

    /// From its next start on it is a replica of this one, or of none.
    pub(super) fn follow(&mut self, primary: Option<SocketAddr>) {
        self.options.primary = primary;
    }

    async fn restart(&mut self) {
        // A Sentinel keeps in this file what it has learned.
        if !self.options.sentinel {
            self.configure();
        }
        assert!(
            self.launch().await,
            "the server did not get its port {} back:\n{}",
            self.addr,
            self.log()
        );
    }

    fn configure(&self) {
        let text = self
            .options
            .render(self.addr, &self.data_folder(), &self.unix_socket());
        fs::write(self.config_file(), text).expect("the configuration can be written");
    }

    /// Starts the process and waits until it serves; `false` if the port was taken.
    async fn launch(&mut self) -> bool {
        let program = gate::server_program().expect("servers_available() was asked first");
        // A socket file of an earlier life must not answer for this one.
        let _ = fs::remove_file(self.unix_socket());
        let log_before = self.log().len();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the log can be written");
        let mut command = bound_to_us(program);
        command
            .arg(self.config_file())
            .args(self.options.sentinel.then_some("--sentinel"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle on the log"))
            .stderr(log);
        self.child = Some(spawn(command).expect("the server program can be started"));

        // Asked on the Unix socket, which only this process has: on the port a stranger might
        // answer. The server binds the port before the socket.
        let mut exited = false;
        let this = &mut *self;
        let up = async {
            loop {
                let child = this.child.as_mut().expect("it was just started");
                if child
                    .try_wait()
                    .expect("our own child can be asked")
                    .is_some()
                {
                    exited = true;
                    return;
                }
                if this.try_cmd::<String>(&["PING"]).await.is_ok() {
                    return;
                }
                wait::pause(Duration::from_millis(5)).await;
            }
        };
        #[allow(
            clippy::disallowed_methods,
            reason = "the generous bound after which a server that does not serve has failed"
        )]
        let served = tokio::time::timeout(wait::BOUND, up).await;
        if served.is_err() {
            panic!(
                "the server does not serve after {:?}:\n{}",
                wait::BOUND,
                self.log()
            );
        }
        if !exited {
            return true;
        }
        self.child = None;
        let log = self.log();
        let taken = log
            .get(log_before..)
            .is_some_and(|log| log.contains("already in use"));
        assert!(taken, "the server ended at once:\n{log}");
        false
    }

    fn process(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("the server runs"))
    }

    fn data_folder(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn config_file(&self) -> PathBuf {
        self.home.path().join("server.conf")
    }

    fn log_file(&self) -> PathBuf {
        self.home.path().join("log")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisServer")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// A connection to whatever listens at `url`, a proxy for example, patient enough for a loaded
/// machine.
///
/// # Panics
/// When it does not let us in.
pub async fn connect(url: &str) -> MultiplexedConnection {
    match dial(url).await {
        Ok(link) => link,
        Err(error) => panic!("no connection: {error}"),
    }
}

async fn dial(target: impl IntoConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(wait::BOUND))
        .set_response_timeout(Some(wait::BOUND));
    Client::open(target)?
        .get_multiplexed_async_connection_with_config(&patient)
        .await
}

#[cfg(test)]
mod tests {
    use super::super::servers_available;
    use super::{Options, RedisServer, unused_addr};

    #[tokio::test]
    async fn a_server_whose_port_is_taken_meanwhile_finds_another() {
        if !servers_available() {
            return;
        }
        let taken = unused_addr();
        let _stranger = std::net::TcpListener::bind(taken).expect("it was free");
        let server = RedisServer::start_near(Options::new(), taken).await;
        assert_ne!(server.addr(), taken);
        assert!(server.log().contains("already in use"), "{}", server.log());
        assert_eq!(server.cmd::<String>(&["PING"]).await, "PONG");
    }
}
