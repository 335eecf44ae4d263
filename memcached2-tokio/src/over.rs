//! Connections over streams of a program's own kind.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use memcached2_proto::shared::BufferedStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::give_way;

/// Any stream of [`tokio::io`].
pub(crate) struct Own<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> BufferedStream for Own<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn give_way(&mut self, cx: &mut Context<'_>) {
        give_way(cx);
    }
}
