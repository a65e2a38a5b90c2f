//! A connection without a network: one call executes one request, or the requests in some bytes.

use super::handle::{Link, Server};
use super::reply::Reply;
use super::request::{ProtocolError, RequestParser};
use super::state::{ConnId, Effect};

/// A connection from inside this process. It closes when dropped.
#[derive(Debug)]
pub struct Session {
    server: Server,
    conn: ConnId,
    parser: RequestParser,
}

impl Server {
    /// A connection from inside this process: no network, no authentication needed, and never the
    /// victim of [`Server::pause`], of lost replies or of planted answers.
    pub fn session(&self) -> Session {
        Session::open(self.clone(), true)
    }

    /// A connection without a network that is in all else like any other.
    pub fn remote_session(&self) -> Session {
        Session::open(self.clone(), false)
    }

    /// Executes one command on a connection of its own.
    pub fn call<A: AsRef<[u8]>>(&self, argv: &[A]) -> Reply {
        self.session().call(argv)
    }
}

impl Session {
    pub(super) fn open(server: Server, local: bool) -> Self {
        let now_us = server.now_us();
        let mut inner = server.lock();
        let conn = inner
            .engine
            .connect("127.0.0.1:0".to_owned(), local, now_us);
        inner.links.insert(conn, Link::default());
        drop(inner);
        Self {
            server,
            conn,
            parser: RequestParser::new(),
        }
    }

    /// Executes one command. A connection that was closed, or whose reply got lost, answers with an
    /// error of code `CLOSED`.
    pub fn call<A: AsRef<[u8]>>(&mut self, argv: &[A]) -> Reply {
        let argv: Vec<Vec<u8>> = argv.iter().map(|arg| arg.as_ref().to_vec()).collect();
        let now_us = self.server.now_us();
        let mut inner = self.server.lock();
        let mut answer = None;
        if inner.links.contains_key(&self.conn) {
            for effect in inner.engine.exec(self.conn, &argv, now_us) {
                match effect {
                    Effect::Send(to, reply)
                        if to == self.conn && answer.is_none() && !reply.is_message() =>
                    {
                        answer = Some(reply)
                    }
                    other => inner.apply(other),
                }
            }
        }
        answer.unwrap_or_else(|| Reply::Error("CLOSED no reply came".to_owned()))
    }

    /// Takes bytes off the wire, executes the requests that they complete, and gives the bytes that
    /// the server would write.
    ///
    /// # Errors
    /// [`ProtocolError`] for bytes that are no requests.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        self.parser.feed(bytes);
        while let Some(argv) = self.parser.next_request()? {
            let now_us = self.server.now_us();
            self.server.lock().exec(self.conn, &argv, now_us);
        }
        let mut written = Vec::new();
        self.server
            .lock()
            .touch(self.conn, |link| written = std::mem::take(&mut link.out));
        Ok(written)
    }

    /// Whether the server has closed it.
    pub fn is_closed(&self) -> bool {
        self.server
            .lock()
            .links
            .get(&self.conn)
            .is_none_or(|link| link.finishing)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.lock().close(self.conn);
    }
}
