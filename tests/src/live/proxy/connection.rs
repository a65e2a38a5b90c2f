//! One connection through the proxy: loops in one task, so that whichever gives up closes both
//! sockets.
//!
//! Reading is apart from forwarding, so that what a client sends is counted also while nothing
//! passes.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{Either, select};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::fate::{Fate, Idle};
use super::faults::{Command, Fault, Struck};
use super::rewrite::Rewrite;
use super::{Direction, Shared, lock};
use crate::live::resp::{NotResp, frame_len, words, written};
use crate::live::wait::pause;

/// Sent in the place of a command that the server must not see: harmless, needs no key, and has
/// one reply that can be replaced.
const STAND_IN: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// With this a client begins that wants TLS.
const HANDSHAKE: u8 = 0x16;

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
    /// How long it travels.
    travel: Pin<Box<Sleep>>,
}

/// A command whose reply the server has not sent.
struct Expected {
    subscription: bool,
    rewrite: Option<Rewrite>,
    struck: Option<Struck>,
}

/// What the loops of one connection share.
struct Wire {
    shared: Arc<Shared>,
    id: u64,
    /// Commands that the server has and that have no reply yet, oldest first.
    owed: Mutex<VecDeque<Expected>>,
    /// What has become of the connection.
    fate: watch::Sender<Option<Fate>>,
    /// Counts what was read at either end.
    stirred: watch::Sender<u64>,
    /// Nothing of it can be read.
    encrypted: AtomicBool,
}

/// Serves one client until either side ends or a fault closes the connection.
pub(super) async fn serve(
    shared: Arc<Shared>,
    id: u64,
    client: TcpStream,
    fate: watch::Sender<Option<Fate>>,
) {
    let wire = Wire {
        shared: Arc::clone(&shared),
        id,
        owed: Mutex::default(),
        fate,
        stirred: watch::Sender::new(0),
        encrypted: AtomicBool::new(false),
    };
    // How it ended is of no use to anyone. The sockets are closed with the loops.
    let _: Result<(), Close> = wire.run(client).await;
    shared.state().links.remove(&id);
}

impl Wire {
    async fn run(&self, mut client: TcpStream) -> Result<(), Close> {
        client.set_nodelay(true)?;
        let ended = self.pass_on(&mut client).await;
        if self.fate().is_some_and(Fate::resets) {
            client.set_zero_linger()?;
        }
        ended
    }

    async fn pass_on(&self, client: &mut TcpStream) -> Result<(), Close> {
        let (from_client, to_client) = client.split();
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
        tokio::try_join!(
            self.doomed(),
            self.watch_idle(),
            self.read(from_client, queue),
            beyond
        )?;
        Ok(())
    }

    fn fate(&self) -> Option<Fate> {
        *self.fate.borrow()
    }

    /// Waits until the connection is to end at once.
    async fn doomed(&self) -> Result<(), Close> {
        let mut fate = self.fate.subscribe();
        // The sender lives in what we hold.
        let _ = fate.wait_for(|fate| fate.is_some_and(Fate::ends)).await;
        Err(Close)
    }

    /// Dooms the connection when it was idle for too long.
    async fn watch_idle(&self) -> Result<(), Close> {
        let mut idle = self.shared.idle.subscribe();
        let mut stirred = self.stirred.subscribe();
        loop {
            stirred.borrow_and_update();
            let allowed = *idle.borrow_and_update();
            let Some(Idle { after, fate }) = allowed else {
                // The sender lives in what we hold.
                let _ = idle.changed().await;
                continue;
            };
            let (spared, busy) = (pin!(idle.changed()), pin!(stirred.changed()));
            let too_long = pin!(pause(after));
            if let Either::Right(_) = select(select(spared, busy), too_long).await {
                if self.fate().is_none() {
                    self.fate.send_replace(Some(fate));
                }
                // Nothing more can become of it here.
                return pending().await;
            }
        }
    }

    /// Takes commands from the client, notes them and queues them.
    async fn read(
        &self,
        mut from_client: ReadHalf<'_>,
        queue: UnboundedSender<Request>,
    ) -> Result<(), Close> {
        let mut buffer = Vec::new();
        let mut begins = true;
        loop {
            // A reset is handled like an orderly end: what was sent before still travels.
            let length = from_client.read_buf(&mut buffer).await.unwrap_or(0);
            if self.fate() == Some(Fate::ResetAtNextByte) {
                return Err(Close);
            }
            if length == 0 {
                return Ok(());
            }
            self.stirred.send_modify(|count| *count += 1);
            if std::mem::take(&mut begins) && buffer.first() == Some(&HANDSHAKE) {
                self.encrypted.store(true, Ordering::SeqCst);
            }
            while let Some(length) = self.frame_len(&buffer)? {
                let frame: Vec<u8> = buffer.drain(..length).collect();
                let request = self.request(frame)?;
                if queue.send(request).is_err() {
                    return Err(Close);
                }
            }
        }
    }

    /// The length of the first whole frame, or of all that is there of what cannot be read.
    fn frame_len(&self, buffer: &[u8]) -> Result<Option<usize>, NotResp> {
        if self.encrypted.load(Ordering::SeqCst) {
            return Ok(Some(buffer.len()).filter(|length| *length > 0));
        }
        frame_len(buffer)
    }

    /// Notes what the client sent.
    fn request(&self, frame: Vec<u8>) -> Result<Request, Close> {
        let mut expected = Expected {
            subscription: false,
            rewrite: None,
            struck: None,
        };
        if !self.encrypted.load(Ordering::SeqCst) {
            let command = Command::new(self.id, words(&frame)?);
            expected.subscription = SUBSCRIPTIONS.iter().any(|name| command.is(name));
            (expected.rewrite, expected.struck) = self.shared.note(command);
        }
        let travel = Box::pin(pause(self.shared.state().delay));
        Ok(Request {
            frame,
            expected,
            travel,
        })
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
            travel,
        }) = requests.recv().await
        {
            travel.await;
            match &expected.rewrite {
                Some(Rewrite::HangUp) => return Err(Close),
                Some(Rewrite::Refuse(_)) => frame = STAND_IN.to_vec(),
                Some(Rewrite::Command(words)) => frame = written(words),
                Some(Rewrite::Answer(_) | Rewrite::Reply(_)) | None => {}
            }
            if let Some(struck) = &mut expected.struck {
                match struck.fault {
                    Fault::LoseRequestAndClose => {
                        struck.happened();
                        return Err(Close);
                    }
                    Fault::LoseRequestAndBlackHole => {
                        self.fate.send_replace(Some(Fate::Swallowed));
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
            if !self.encrypted.load(Ordering::SeqCst) {
                lock(&self.owed).push_back(expected);
            }
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
        mut to_client: WriteHalf<'_>,
    ) -> Result<(), Close> {
        let mut buffer = Vec::new();
        let mut unmatched = false;
        loop {
            if from_server.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                self.passes(Direction::Down).await;
                return Err(Close);
            }
            self.stirred.send_modify(|count| *count += 1);
            while let Some(length) = self.frame_len(&buffer)? {
                let mut frame: Vec<u8> = buffer.drain(..length).collect();
                // Protocol version 2 has no frame of its own for a push, so from its first
                // subscription on replies and pushes cannot be told apart.
                let owed = if unmatched { None } else { self.settle(&frame) };
                if owed.is_none() && self.loses(&frame) {
                    continue;
                }
                if let Some(expected) = owed {
                    unmatched = expected.subscription && frame.starts_with(b"*");
                    if let Some(rewrite) = expected.rewrite {
                        frame = rewrite.reply(frame);
                    }
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

    /// Whether this is a push that is to be lost.
    fn loses(&self, frame: &[u8]) -> bool {
        let loses = frame.starts_with(b">") && self.shared.loses_pushes.load(Ordering::SeqCst);
        if loses {
            self.shared.lost_pushes.fetch_add(1, Ordering::SeqCst);
        }
        loses
    }

    /// Does to a reply what the fault says, and gives what the client is to read.
    async fn strike_reply(&self, mut struck: Struck, frame: Vec<u8>) -> Result<Vec<u8>, Close> {
        match struck.fault {
            Fault::LoseReplyAndClose => {
                struck.happened();
                Err(Close)
            }
            Fault::LoseReplyAndBlackHole => {
                self.fate.send_replace(Some(Fate::Swallowed));
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
        if self.fate().is_some() {
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
