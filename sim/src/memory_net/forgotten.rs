//! Connections that are dead, which shows only when something is sent on them.
//!
//! An idle connection dies so: its other end is restarted without a word, or a network between
//! forgets it. Until somebody sends, both look open.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Who has forgotten a connection, and so what becomes of what its client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// The other end: it answers the next bytes with a reset.
    ByTheEnd,
    /// The network between: it swallows everything, both ways, and nobody is told.
    ByTheNetwork,
}

/// A client's ends of its connections to one host. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    open: Arc<Mutex<Vec<Weak<Mutex<Fate>>>>>,
}

/// A client's end of a connection.
#[derive(Debug)]
pub(crate) struct End<S> {
    stream: S,
    fate: Arc<Mutex<Fate>>,
}

#[derive(Debug, Default)]
struct Fate {
    forgotten: Option<Forgotten>,
    reset: bool,
    /// Of the task that reads.
    reader: Option<Waker>,
}

impl Ends {
    /// Makes a stream the client's end of a connection.
    pub(crate) fn of<S>(&self, stream: S) -> End<S> {
        let fate = Arc::new(Mutex::new(Fate::default()));
        let mut open = lock(&self.open);
        open.retain(|end| end.strong_count() > 0);
        open.push(Arc::downgrade(&fate));
        End { stream, fate }
    }

    /// The connections that are open now are forgotten. One that was forgotten before stays as it
    /// is.
    pub(crate) fn forget(&self, by: Forgotten) {
        for end in lock(&self.open).iter().filter_map(Weak::upgrade) {
            lock(&end).forgotten.get_or_insert(by);
        }
    }
}

impl<S> End<S> {
    fn fate(&self) -> MutexGuard<'_, Fate> {
        lock(&self.fate)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for End<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let forgotten = {
            let mut fate = self.fate();
            fate.reader = Some(cx.waker().clone());
            if fate.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            fate.forgotten.is_some()
        };
        if forgotten {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for End<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        {
            let mut fate = self.fate();
            if fate.reset {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            match fate.forgotten {
                None => {}
                Some(Forgotten::ByTheNetwork) => return Poll::Ready(Ok(bytes.len())),
                // A kernel takes the bytes, and hears of the reset later.
                Some(Forgotten::ByTheEnd) => {
                    fate.reset = true;
                    fate.reader.iter().for_each(Waker::wake_by_ref);
                    return Poll::Ready(Ok(bytes.len()));
                }
            }
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
