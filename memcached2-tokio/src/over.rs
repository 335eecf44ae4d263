//! Connections over streams of a program's own kind.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use memcached2_proto::opening::{Destination, Endpoint};
use memcached2_proto::routing::Address;
use memcached2_proto::shared::{AsyncStream, Connector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connects by a function, which gets the address of a server and looks its name up, if that is of use.
pub(crate) struct Over<F>(Arc<F>);

impl<F> Over<F> {
    pub(crate) fn new(connect: F) -> Self {
        Self(Arc::new(connect))
    }
}

impl<F> Clone for Over<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> Debug for Over<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Over")
    }
}

impl<F, C, S> Connector for Over<F>
where
    F: Fn(Address) -> C + Send + Sync,
    C: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    type Stream = Own<S>;

    async fn connect(&self, endpoint: &Arc<Endpoint>, _: Destination) -> io::Result<Own<S>> {
        let stream = (self.0)(endpoint.address().clone()).await?;
        Ok(Own { stream, is_flushed: true, failure: None })
    }
}

/// A stream, which may buffer what it writes.
pub(crate) struct Own<S> {
    stream: S,
    is_flushed: bool,
    /// Why it could not be flushed: what was written counts as written nevertheless.
    failure: Option<io::Error>,
}

impl<S: AsyncWrite + Unpin> Own<S> {
    fn flush(&mut self, cx: &mut Context<'_>) {
        let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx) else { return };
        self.is_flushed = true;
        if let Err(error) = flushed {
            self.failure = Some(error);
            // The next read returns it.
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncStream for Own<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.is_flushed {
            self.flush(cx);
        }
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Err(error));
        }
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.is_flushed = false;
        self.flush(cx);
        Poll::Ready(Ok(written))
    }
}
