//! Processes that wait for one key at a server, told when to begin and asked how it went; and what
//! the server is asked meanwhile.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::child::{Job, READY, Report, Times};

/// A process that is connected. Dropped, it ends.
pub(crate) struct Party {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Party {
    /// Starts it, and waits until it is connected.
    pub(crate) fn start(job: &Job) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(job.words());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it runs");
        let says = process.stdout.take().expect("it is piped");
        let mut says = BufReader::new(says).lines();
        let ready = says.next().and_then(Result::ok);
        assert_eq!(ready.as_deref(), Some(READY), "{}", job.who.name());
        Self { process, says }
    }

    /// Tells it when.
    pub(crate) fn tell(&mut self, times: Times) {
        let hears = self.process.stdin.as_mut().expect("it is piped");
        let told = hears.write_all(times.line().as_bytes());
        told.expect("it listens");
    }

    /// Waits until it has ended, and gives what it said.
    pub(crate) fn report(mut self) -> Report {
        Report::parse(self.says.by_ref().map_while(Result::ok))
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Counts the commands that clients send to a server.
///
/// Its `INFO` counts those of scripts too, so `MONITOR` tells. That slows the server down for as
/// long as this lives: no times are measured meanwhile.
pub(crate) struct Commands {
    count: Arc<AtomicU64>,
    stream: TcpStream,
}

impl Commands {
    /// Counts from now on.
    pub(crate) fn of(url: &str) -> Self {
        let address = url.trim_start_matches("redis://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).expect("the server serves");
        stream.write_all(b"MONITOR\r\n").expect("it listens");
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        let _ = lines.next();
        std::thread::spawn(move || {
            // `+TIME [DATABASE ADDRESS] "WORD" …`, where a script's address is `lua`.
            let lines = lines.map_while(Result::ok);
            let sent = lines.filter(|line| !line.split(']').next().unwrap_or("").ends_with(" lua"));
            sent.for_each(|_| _ = counted.fetch_add(1, Ordering::Relaxed));
        });
        Self { count, stream }
    }

    /// How many it were so far.
    pub(crate) fn so_far(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// So soon that nothing waits long, and so late that all processes have heard of it.
pub(crate) const SOON: Duration = Duration::from_millis(50);
