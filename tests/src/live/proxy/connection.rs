//! One connection through the proxy: three loops in one task, so that whichever gives up closes
//! both sockets.
//!
//! Reading is apart from forwarding, so that what a client sends is counted also while nothing
//! passes.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::faults::{Command, Fault, Struck};
use super::{Direction, Shared, lock};
use crate::live::resp::{NotResp, frame_len, words};

/// Sent in the place of a command that the server must not see: harmless, needs no key, and has
/// one reply that can be replaced.
const STAND_IN: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// The connection is to be closed on both sides, at once.
struct Close;

impl From<NotResp> for Close {
    fn from(NotResp: NotResp) -> Self {
        Self
    }
}

impl From<io::Error> for Close {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// A command on its way to the server.
struct Request {
    frame: Vec<u8>,
    expected: Expected,
}

/// A command whose reply the server has not sent.
struct Expected {
    subscription: bool,
    struck: Option<Struck>,
}

/// What the loops of one connection share.
struct Wire {
    shared: Arc<Shared>,
    id: u64,
    /// Commands that the server has and that have no reply yet, oldest first.
    owed: Mutex<VecDeque<Expected>>,
    black_hole: watch::Sender<bool>,
}

/// Serves one client until either side ends or a fault closes the connection.
pub(super) async fn serve(shared: Arc<Shared>, id: u64, client: TcpStream) {
    let wire = Wire {
        shared: Arc::clone(&shared),
        id,
        owed: Mutex::default(),
        black_hole: watch::Sender::new(false),
    };
    // How it ended is of no use to anyone. The sockets are closed with the loops.
    let _: Result<(), Close> = wire.run(client).await;
    shared.state().links.remove(&id);
}

impl Wire {
    async fn run(&self, client: TcpStream) -> Result<(), Close> {
        client.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (queue, requests) = unbounded_channel();
        let beyond = async {
            self.passes(Direction::Up).await;
            let server = TcpStream::connect(self.shared.upstream).await?;
            server.set_nodelay(true)?;
            let (from_server, to_server) = server.into_split();
            tokio::try_join!(
                self.forward(requests, to_server),
                self.bring_back(from_server, to_client)
            )
        };
        tokio::try_join!(self.read(from_client, queue), beyond)?;
        Ok(())
    }

    /// Takes commands from the client, notes them and queues them.
    async fn read(
        &self,
        mut from_client: OwnedReadHalf,
        queue: UnboundedSender<Request>,
    ) -> Result<(), Close> {
        let mut buffer = Vec::new();
        loop {
            // A reset is handled like an orderly end: what was sent before still travels.
            if from_client.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return Ok(());
            }
            while let Some(length) = frame_len(&buffer)? {
                let frame: Vec<u8> = buffer.drain(..length).collect();
                let command = Command::new(self.id, words(&frame)?);
                let subscription = SUBSCRIPTIONS.iter().any(|name| command.is(name));
                let struck = self.shared.note(command);
                let request = Request {
                    frame,
                    expected: Expected {
                        subscription,
                        struck,
                    },
                };
                if queue.send(request).is_err() {
                    return Err(Close);
                }
            }
        }
    }

    /// Gives queued commands to the server.
    async fn forward(
        &self,
        mut requests: UnboundedReceiver<Request>,
        mut to_server: OwnedWriteHalf,
    ) -> Result<(), Close> {
        while let Some(Request {
            mut frame,
            mut expected,
        }) = requests.recv().await
        {
            if let Some(struck) = &mut expected.struck {
                match struck.fault {
                    Fault::LoseRequestAndClose => {
                        struck.happened();
                        return Err(Close);
                    }
                    Fault::LoseRequestAndBlackHole => {
                        self.black_hole.send_replace(true);
                        struck.happened();
                    }
                    Fault::HoldRequest => {
                        struck.happened();
                        struck.released().await;
                    }
                    Fault::RefuseWith(_) => frame = STAND_IN.to_vec(),
                    Fault::LoseReplyAndClose
                    | Fault::LoseReplyAndBlackHole
                    | Fault::HoldReply
                    | Fault::AnswerWith(_) => {}
                }
            }
            self.passes(Direction::Up).await;
            // Noted before it is sent, since its reply could otherwise come before the note.
            lock(&self.owed).push_back(expected);
            to_server.write_all(&frame).await?;
        }
        self.passes(Direction::Up).await;
        to_server.shutdown().await?;
        Ok(())
    }

    /// Brings replies and pushes to the client.
    async fn bring_back(
        &self,
        mut from_server: OwnedReadHalf,
        mut to_client: OwnedWriteHalf,
    ) -> Result<(), Close> {
        let mut buffer = Vec::new();
        let mut unmatched = false;
        loop {
            if from_server.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                self.passes(Direction::Down).await;
                return Err(Close);
            }
            while let Some(length) = frame_len(&buffer)? {
                let mut frame: Vec<u8> = buffer.drain(..length).collect();
                // Protocol version 2 has no frame of its own for a push, so from its first
                // subscription on replies and pushes cannot be told apart.
                let owed = if unmatched { None } else { self.settle(&frame) };
                if let Some(expected) = owed {
                    unmatched = expected.subscription && frame.starts_with(b"*");
                    if let Some(struck) = expected.struck {
                        frame = self.strike_reply(struck, frame).await?;
                    }
                }
                self.passes(Direction::Down).await;
                // The connection goes on after its client has left, since commands of that client
                // may still be on their way to the server.
                let _ = to_client.write_all(&frame).await;
            }
        }
    }

    /// Does to a reply what the fault says, and gives what the client is to read.
    async fn strike_reply(&self, mut struck: Struck, frame: Vec<u8>) -> Result<Vec<u8>, Close> {
        match struck.fault {
            Fault::LoseReplyAndClose => {
                struck.happened();
                Err(Close)
            }
            Fault::LoseReplyAndBlackHole => {
                self.black_hole.send_replace(true);
                struck.happened();
                Ok(frame)
            }
            Fault::HoldReply => {
                struck.happened();
                struck.released().await;
                Ok(frame)
            }
            Fault::AnswerWith(line) | Fault::RefuseWith(line) => {
                struck.happened();
                Ok(format!("{line}\r\n").into_bytes())
            }
            // These happened to the request. The reply is passed on unchanged.
            Fault::HoldRequest | Fault::LoseRequestAndClose | Fault::LoseRequestAndBlackHole => {
                Ok(frame)
            }
        }
    }

    /// Which command this frame from the server answers; a push answers none, unless it confirms
    /// a subscription.
    fn settle(&self, frame: &[u8]) -> Option<Expected> {
        let mut owed = lock(&self.owed);
        let settles = if frame.starts_with(b">") {
            // Its second line is the length of its kind, the third is the kind.
            let kind = frame
                .split(|byte| *byte == b'\n')
                .nth(2)
                .unwrap_or_default();
            let confirms = SUBSCRIPTIONS
                .iter()
                .any(|name| kind.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
            confirms && owed.front().is_some_and(|expected| expected.subscription)
        } else {
            true
        };
        if settles { owed.pop_front() } else { None }
    }

    /// Waits until something may pass in this direction.
    async fn passes(&self, direction: Direction) {
        let mut flow = self.shared.flow.subscribe();
        // The sender lives in what we hold.
        let _ = flow.wait_for(|flow| flow.passes(direction)).await;
        if *self.black_hole.borrow() {
            pending::<()>().await;
        }
    }
}

const SUBSCRIPTIONS: [&str; 6] = [
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
];
