//! The servers of a bench, and what they tell of themselves.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use tenure_tests::live::{Options, RedisServer, server};

/// Servers of this process alone. Dropped, they end.
pub struct Servers {
    servers: Vec<RedisServer>,
    /// Over which they are asked.
    connections: Vec<MultiplexedConnection>,
}

/// What the servers have done since they started, all together.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// How often each command was called, also by scripts; without those that ask for this.
    pub calls: BTreeMap<String, u64>,
    /// The bytes that came from clients.
    pub bytes_in: u64,
    /// The bytes that went to clients.
    pub bytes_out: u64,
    /// How often a server has read from a connection, which is how often clients have written.
    pub reads: u64,
    /// How often a server has written to a connection.
    pub writes: u64,
    /// The time of a processor that their main threads took, in microseconds.
    pub cpu: f64,
    /// The bytes and calls that asking itself takes, until the next time.
    asking: [u64; 4],
}

impl Servers {
    /// Starts so many servers.
    pub async fn start(count: usize) -> Self {
        let (mut servers, mut connections) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let started = RedisServer::start(Options::new()).await;
            connections.push(server::connect(&started.url()).await);
            servers.push(started);
        }
        Self {
            servers,
            connections,
        }
    }

    /// Their URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }

    /// Their process ids.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.servers.iter().map(RedisServer::pid).collect()
    }

    /// A connection to the first of them.
    #[must_use]
    pub fn connection(&self) -> MultiplexedConnection {
        self.connections[0].clone()
    }

    /// The version of the program.
    pub async fn version(&self) -> String {
        let version = self.servers[0].info("redis_version").await;
        version.unwrap_or_else(|| "of an unknown version".to_owned())
    }

    /// Asks them what they have done.
    ///
    /// # Panics
    /// If one does not answer.
    pub async fn ask(&mut self) -> Told {
        let mut told = Told::default();
        for connection in &mut self.connections {
            let mut info = redis::cmd("INFO");
            info.arg("all");
            let size = info.get_packed_command().len() as u64;
            let said: String = info.query_async(connection).await.expect("it answers");
            told.add(&said);
            // `$LENGTH`, the text, and two ends of lines; RESP3's verbatim strings have four more.
            let reply = said.len() as u64 + said.len().to_string().len() as u64 + 9;
            let sums = told.asking.iter_mut().zip([size, reply, 1, 1]);
            sums.for_each(|(sum, one)| *sum += one);
        }
        told
    }
}

impl Told {
    fn add(&mut self, info: &str) {
        for line in info.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let number = || value.trim().parse().unwrap_or(0);
            if let Some(command) = name.strip_prefix("cmdstat_") {
                let calls = value.strip_prefix("calls=").unwrap_or_default();
                let calls = calls.split(',').next().unwrap_or_default();
                if command != "info" {
                    let known = self.calls.entry(command.to_owned()).or_default();
                    *known += calls.parse::<u64>().unwrap_or(0);
                }
            }
            match name {
                "total_net_input_bytes" => self.bytes_in += number(),
                "total_net_output_bytes" => self.bytes_out += number(),
                "total_reads_processed" => self.reads += number(),
                "total_writes_processed" => self.writes += number(),
                "used_cpu_sys_main_thread" | "used_cpu_user_main_thread" => {
                    self.cpu += value.trim().parse().unwrap_or(0.0) * 1e6;
                }
                _ => {}
            }
        }
    }

    /// What was done since then, beside the asking.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        for (command, calls) in &before.calls {
            *self.calls.entry(command.clone()).or_default() -= calls;
        }
        self.calls.retain(|_, calls| *calls > 0);
        let [size, reply, read, written] = before.asking;
        self.bytes_in -= before.bytes_in + size;
        self.bytes_out -= before.bytes_out + reply;
        self.reads -= before.reads + read;
        self.writes -= before.writes + written;
        self.cpu -= before.cpu;
        self
    }
}
