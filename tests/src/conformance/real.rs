//! A real Redis or Valkey server of our own, with a wall clock that the test sets.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{self, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::wire::{self, Wire};
use crate::live::gate;

/// How long a server may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. It is killed, and its folder removed, when dropped.
#[derive(Debug)]
pub struct RealServer {
    child: Child,
    folder: PathBuf,
    clock: File,
    port: u16,
    client: RealClient,
}

/// A connection to a real server.
#[derive(Debug)]
pub struct RealClient {
    stream: TcpStream,
    /// What has come and was not read yet.
    bytes: Vec<u8>,
}

impl RealServer {
    /// Starts a server whose clock shows `now_us`.
    ///
    /// # Errors
    /// What is missing: a server, a compiler, or why it does not serve.
    pub fn start(now_us: u64) -> Result<Self, String> {
        let program = gate::server_program()
            .ok_or("neither redis-server nor valkey-server is on the PATH")?;
        // It is run in another folder.
        let program = &path::absolute(program).map_err(|e| e.to_string())?;
        if !runs("cc", "--version") {
            return Err("no C compiler (cc) is on the PATH".to_owned());
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(format!("tenure-conformance-{unique}"));
        let started = Self::start_in(&folder, program, now_us);
        if started.is_err() {
            // What is left of a failed start is of no use, and an error here changes nothing.
            let _ = fs::remove_dir_all(&folder);
        }
        let mut server = started?;
        server.obeys_its_clock()?;
        Ok(server)
    }

    fn start_in(folder: &Path, program: &Path, now_us: u64) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|e| format!("no temporary folder: {e}"))?;
        let shim = build_shim(folder)?;
        let debug = ["--enable-debug-command", "yes"];
        // Redis 6.2 has no such setting, and needs none.
        let debug = if gate::knows(program, &debug[0][2..], debug[1]) {
            &debug[..]
        } else {
            &[]
        };
        let clock_path = folder.join("clock");
        let clock = File::create(&clock_path).map_err(|e| format!("no clock file: {e}"))?;
        set(&clock, now_us);
        let mut last = String::new();
        // The port is free when it is looked for; somebody may take it before the server does.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0))
                .and_then(|listener| listener.local_addr())
                .map_err(|e| format!("no free port: {e}"))?
                .port();
            let child = Command::new(program)
                .args([
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ])
                .args(["--daemonize", "no"])
                .args(debug)
                .current_dir(folder)
                .env("LD_PRELOAD", &shim)
                .env("TENURE_CLOCK_FILE", &clock_path)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .map_err(|e| format!("{} does not start: {e}", program.display()))?;
            match Self::greet(child, folder, &clock, port) {
                Ok(server) => return Ok(server),
                Err(problem) => last = problem,
            }
        }
        Err(last)
    }

    fn greet(mut child: Child, folder: &Path, clock: &File, port: u16) -> Result<Self, String> {
        let ready = wait_until_ready(&mut child);
        let connected = ready.and_then(|()| {
            let client = RealClient::connect(port).map_err(|e| format!("no connection: {e}"))?;
            let clock = clock.try_clone().map_err(|e| e.to_string())?;
            Ok((client, clock))
        });
        match connected {
            Ok((client, clock)) => {
                let mut server = Self {
                    child,
                    folder: folder.to_owned(),
                    clock,
                    port,
                    client,
                };
                // Its background expiry would remove keys at moments that a test cannot know.
                let reply = server.call(&argv(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]));
                if reply != Wire::Status("OK".to_owned()) {
                    return Err(format!(
                        "the server does not turn off active expiry: {reply:?}"
                    ));
                }
                Ok(server)
            }
            Err(problem) => {
                // It failed to start and is of no use. If it is dead already, this fails, and
                // nothing is lost.
                let _ = child.kill();
                let _ = child.wait();
                Err(problem)
            }
        }
    }

    /// Which server it is: `Redis 7.0.15`, `Valkey 8.1.1`.
    ///
    /// # Panics
    /// If it does not say so.
    pub fn version(&mut self) -> String {
        let info = self.call(&argv(&["INFO", "server"]));
        let Wire::Bulk(info) = info else {
            panic!("{info:?}");
        };
        let info = String::from_utf8_lossy(&info);
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        // Valkey names a version of Redis, too.
        match field("valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", field("redis_version").expect("a version")),
        }
    }

    /// A server that reads the processor's counter between two looks at the system's clock cannot
    /// be told the time.
    fn obeys_its_clock(&mut self) -> Result<(), String> {
        let times = [(); 2].map(|()| self.call(&argv(&["TIME"])));
        if times[0] == times[1] {
            return Ok(());
        }
        Err("the server's clock cannot be set: it does not ask the system each time".to_owned())
    }

    /// Sets the server's wall clock.
    pub fn set_clock(&self, now_us: u64) {
        set(&self.clock, now_us);
    }

    /// Another connection.
    ///
    /// # Errors
    /// What the operating system says if there is none to be had.
    pub fn connect(&self) -> io::Result<RealClient> {
        RealClient::connect(self.port)
    }

    /// Executes one command.
    ///
    /// # Panics
    /// If the server does not answer: it crashed, or its time is up.
    pub fn call(&mut self, argv: &[Vec<u8>]) -> Wire {
        self.client.send(argv);
        let reply = self.client.next();
        let rest = &self.client.bytes;
        assert!(rest.is_empty(), "one reply to one request: {rest:?}");
        reply
    }
}

impl RealClient {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            bytes: Vec::new(),
        })
    }

    fn send(&mut self, argv: &[Vec<u8>]) {
        let sent = self.stream.write_all(&wire::request(argv));
        sent.unwrap_or_else(|e| panic!("{argv:?}: {e}"));
    }

    /// The next that the server says.
    fn next(&mut self) -> Wire {
        let mut piece = [0; 64 * 1024];
        loop {
            let whole = match &self.bytes[..] {
                [] => None,
                bytes => wire::reply(bytes),
            };
            if let Some((said, length)) = whole {
                self.bytes.drain(..length);
                return said;
            }
            let read = self.stream.read(&mut piece);
            let n = read.unwrap_or_else(|e| panic!("the server does not answer: {e}"));
            assert!(n > 0, "the server closed the connection");
            self.bytes.extend_from_slice(&piece[..n]);
        }
    }

    /// Executes one command. Gives what was pushed before its reply, and that.
    ///
    /// # Panics
    /// If the server does not answer: it crashed, or its time is up.
    pub fn hear(&mut self, argv: &[Vec<u8>]) -> Vec<Wire> {
        self.send(argv);
        let mut heard = Vec::new();
        while heard
            .last()
            .is_none_or(|said| matches!(said, Wire::Push(_)))
        {
            heard.push(self.next());
        }
        heard
    }

    /// Executes one command, which answers with a line. Gives its words.
    ///
    /// # Panics
    /// If the server does not answer, or with something else.
    pub fn line(&mut self, argv: &[Vec<u8>]) -> String {
        self.send(argv);
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            let read = self.stream.read_exact(&mut byte);
            read.unwrap_or_else(|e| panic!("{argv:?}: {e}"));
            line.extend(byte);
        }
        String::from_utf8(line).expect("it is text")
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It may have died by itself, and the folder may be gone; there is nothing left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn argv(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn set(clock: &File, now_us: u64) {
    clock
        .write_all_at(&now_us.to_ne_bytes(), 0)
        .expect("the clock file is ours");
}

fn runs(program: &str, arg: &str) -> bool {
    let command = Command::new(program)
        .arg(arg)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    command.is_ok_and(|status| status.success())
}

fn build_shim(folder: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clockshim/clockshim.c");
    let library = folder.join("clockshim.so");
    let built = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .output();
    let output = built.map_err(|e| format!("cc does not start: {e}"))?;
    if output.status.success() {
        Ok(library)
    } else {
        Err(format!(
            "the clock shim does not compile: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

/// Reads what the server says until it is ready, and lets a thread read the rest.
fn wait_until_ready(child: &mut Child) -> Result<(), String> {
    let output = child.stdout.take().ok_or("the server has no output")?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("Ready to accept connections") {
                // The receiver may have given up waiting.
                let _ = tell.send(Ok(()));
            }
            said.push_str(&line);
            said.push('\n');
        }
        let _ = tell.send(Err(said));
    });
    match told.recv_timeout(PATIENCE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(said)) => Err(format!("the server ended:\n{said}")),
        Err(_) => Err(format!("the server was not ready within {PATIENCE:?}")),
    }
}
