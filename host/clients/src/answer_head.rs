//! A connection that gives up on an answer whose head does not end. An HTTP client takes any number
//! of interim answers (`100 Continue`, `103 Early Hints`) before the real one and drops each as it
//! comes, so none of its own limits ends that, and it takes a whole core.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What may come before the head of the answer is complete. Some of the body comes along with it.
const BYTES_MAX: usize = 256 * 1024;

const AWAITED: u8 = 0;
const THERE: u8 = 1;
const TOO_LONG: u8 = 2;

/// Where the answer's head is. Clones are of the same connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head(Arc<AtomicU8>);

/// The connection.
#[derive(Debug)]
pub(crate) struct UntilHead<S> {
    stream: S,
    head: Head,
    read: usize,
}

impl Head {
    /// The head is complete: whatever comes now is the body, which is counted elsewhere.
    pub(crate) fn is_there(&self) {
        self.0.store(THERE, Ordering::Relaxed);
    }

    /// Whether the connection was given up.
    pub(crate) fn was_too_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TOO_LONG
    }
}

impl<S> UntilHead<S> {
    pub(crate) fn new(stream: S) -> (Self, Head) {
        let head = Head::default();
        let until = Self {
            stream,
            head: head.clone(),
            read: 0,
        };
        (until, head)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UntilHead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if self.head.0.load(Ordering::Relaxed) == AWAITED {
            self.read += into.filled().len() - before;
            if self.read > BYTES_MAX {
                self.head.0.store(TOO_LONG, Ordering::Relaxed);
                return Poll::Ready(Err(io::Error::other("the head of the answer does not end")));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for UntilHead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
