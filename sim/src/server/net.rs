//! Carries bytes between a stream and the engine: any stream, or a listener on the loopback.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{AbortHandle, JoinSet};

use super::handle::{Link, Server};
use super::reply::Reply;
use super::request::RequestParser;
use super::state::ConnId;

/// While a client does not read its replies, this many bytes wait for it before its next request.
const MAX_OUT: usize = 1024 * 1024;
/// How many bytes a server that does not serve takes off a connection.
const MAX_IN: usize = 32 * 1024 * 1024;

/// A listener on the loopback. Dropped, it is closed, with every connection that it accepted.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    task: AbortHandle,
}

impl Listening {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Serves a connection until either side closes it.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.serve_as(stream, "127.0.0.1:0".to_owned())
    }

    /// As [`Server::serve`], for a client with this address in `CLIENT LIST`.
    pub fn serve_as<S>(
        &self,
        stream: S,
        address: String,
    ) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let mut connection = Connection::open(self.clone(), stream, address);
        poll_fn(move |cx| connection.poll(cx))
    }

    /// Listens on a free port of the loopback, in the tokio runtime that this is called in.
    ///
    /// # Errors
    /// What the operating system says if there is no port to be had.
    pub fn listen_loopback(&self) -> io::Result<Listening> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let server = self.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            // An error of accept is the connection's or a shortage of descriptors; neither is for
            // ever.
            loop {
                while connections.try_join_next().is_some() {}
                let Ok((stream, peer)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                // Without it replies wait for the client's acknowledgement; with it or not, they
                // arrive.
                let _ = stream.set_nodelay(true);
                connections.spawn(server.serve_as(stream, peer.to_string()));
            }
        });
        Ok(Listening {
            address,
            task: task.abort_handle(),
        })
    }
}

/// One connection: polled, it moves what can be moved.
struct Connection<S> {
    server: Server,
    conn: ConnId,
    stream: Pin<Box<S>>,
    parser: RequestParser,
    out: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// The client has closed its side.
    end_of_input: bool,
    /// A write failed: there is nobody to answer any more.
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    fn open(server: Server, stream: S, address: String) -> Self {
        let now_us = server.now_us();
        let mut inner = server.lock();
        let conn = inner.engine.connect(address, false, now_us);
        if inner.down {
            inner.engine.disconnect(conn);
        } else {
            inner.links.insert(conn, Link::default());
        }
        drop(inner);
        Self {
            server,
            conn,
            stream: Box::pin(stream),
            parser: RequestParser::new(),
            out: Vec::new(),
            written: 0,
            unflushed: false,
            end_of_input: false,
            broken: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let (paused, finishing) = {
                let mut inner = self.server.lock();
                let paused = inner.paused;
                let Some(link) = inner.links.get_mut(&self.conn) else {
                    return Poll::Ready(());
                };
                link.waker = Some(cx.waker().clone());
                self.out.append(&mut link.out);
                (paused, link.finishing)
            };
            let drained = self.poll_drain(cx);
            if finishing && drained {
                return self.stream.as_mut().poll_shutdown(cx).map(|_| ());
            }
            let mut moved = false;
            if !paused && !finishing && self.out.len() - self.written < MAX_OUT {
                moved = self.execute_next();
                if !moved && self.end_of_input && drained {
                    return Poll::Ready(());
                }
            }
            // Reading ahead goes on while nothing is served, as in a kernel's buffer.
            if !moved && !self.end_of_input && self.parser.buffered() < MAX_IN {
                moved = self.poll_input(cx);
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Writes what waits; true once nothing does.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.broken && self.written < self.out.len() {
            match self
                .stream
                .as_mut()
                .poll_write(cx, &self.out[self.written..])
            {
                Poll::Pending => return false,
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n;
                    self.unflushed = true;
                }
                Poll::Ready(_) => self.broken = true,
            }
        }
        self.out.clear();
        self.written = 0;
        if self.unflushed && !self.broken {
            match self.stream.as_mut().poll_flush(cx) {
                Poll::Pending => return false,
                Poll::Ready(result) => self.broken = result.is_err(),
            }
            self.unflushed = false;
        }
        true
    }

    /// Executes one request that has arrived; false if there is none.
    fn execute_next(&mut self) -> bool {
        let request = self.parser.next_request();
        let now_us = self.server.now_us();
        let mut inner = self.server.lock();
        match request {
            Ok(None) => return false,
            Ok(Some(argv)) => {
                inner.exec(self.conn, &argv, now_us);
                drop(inner);
                self.server.watched(&argv);
            }
            Err(problem) => {
                inner.write(self.conn, &Reply::Error(format!("ERR {problem}")));
                inner.touch(self.conn, |link| link.finishing = true);
            }
        }
        true
    }

    /// Reads what is there; false if nothing is.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> bool {
        let mut bytes = [0; 16 * 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        match self.stream.as_mut().poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.parser.feed(buffer.filled()),
            Poll::Ready(_) => self.end_of_input = true,
        }
        true
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.server.lock().close(self.conn);
    }
}
