//! Processes that wait for one key at a server, told when to begin and asked how it went; and what
//! the server is asked meanwhile.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
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
    counted: Receiver<u64>,
    asks: TcpStream,
}

impl Commands {
    /// Counts from now on.
    pub(crate) fn of(url: &str) -> Self {
        let address = url.trim_start_matches("redis://").trim_end_matches('/');
        let connect = || TcpStream::connect(address).expect("the server serves");
        let mut monitor = connect();
        monitor.write_all(b"MONITOR\r\n").expect("it listens");
        let mut lines = BufReader::new(monitor).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("+OK"));
        let (tell, counted) = mpsc::channel();
        std::thread::spawn(move || {
            // `+TIME [DATABASE ADDRESS] "WORD" …`, where a script's address is `lua`.
            let of_script = |line: &str| {
                line.split(']')
                    .next()
                    .is_some_and(|at| at.ends_with(" lua"))
            };
            let lines = lines.take_while(|line| !line.contains(LAST));
            let sent = lines.filter(|line| !of_script(line)).count();
            let _ = tell.send(sent as u64);
        });
        let asks = connect();
        Self { counted, asks }
    }

    /// How many they were up to now.
    pub(crate) fn count(mut self) -> u64 {
        // The server may be behind in telling. When it has told of this, it has told of all.
        let last = format!("ECHO {LAST}\r\n");
        self.asks.write_all(last.as_bytes()).expect("it listens");
        self.counted.recv().expect("no panic")
    }
}

/// The last command that is counted says this.
const LAST: &str = "bench:last";

/// So soon that nothing waits long, and so late that all processes have heard of it.
pub(crate) const SOON: Duration = Duration::from_millis(50);
