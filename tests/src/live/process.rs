//! Child processes that do not outlive the test process, and ports for them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use super::gate;

/// First and number of the ports handed out. Below the range from which Linux takes the local
/// ports of outgoing connections, so that a server that restarts finds its port free; and low
/// enough for a cluster bus at port + 10000, which never meets another server's port.
const PORTS: (u32, u32) = (11_000, 10_000);

/// A command for `program` that the kernel kills when this process ends, however it ends.
///
/// Only where `setpriv` is at hand (util-linux). Elsewhere a server outlives a test process that
/// was killed, and only that one: a panic still drops the server.
pub(crate) fn bound_to_us(program: &Path) -> Command {
    match gate::on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts a child from a thread that lives as long as the process.
///
/// The kernel's "parent has died" means the *thread* that started the child, so a child started
/// from a test's thread or a runtime's worker would die with that thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::Builder::new()
            .name("live-spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread for starting servers");
        requests
    });
    let (answer, child) = mpsc::channel();
    SPAWNER
        .send((command, answer))
        .expect("the thread that starts servers lives");
    child
        .recv()
        .expect("the thread that starts servers answers")
}

/// A loopback address that nobody listened on a moment ago. Somebody else may be faster: the
/// caller tries again with the next.
pub(super) fn unused_addr() -> SocketAddr {
    static NEXT: LazyLock<AtomicU32> =
        // Test processes run side by side, so each begins somewhere else.
        LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(101)));
    let (first, count) = PORTS;
    for _ in 0..count {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % count;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
    panic!("no free loopback port from {first} on, {count} tried");
}
