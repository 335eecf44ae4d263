//! Connections over streams that a function of the program returns.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{AsyncStream, Connector};
use crate::opening::{Destination, Endpoint};
use crate::routing::Address;

/// A stream that may buffer what it writes: what the traits of tokio and of futures-io have in common.
pub trait BufferedStream {
    /// Reads into `space`; 0 is the end of the stream.
    ///
    /// # Errors
    ///
    /// What the stream says.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `slices` and returns how many bytes.
    ///
    /// # Errors
    ///
    /// What the stream says.
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends what is buffered.
    ///
    /// # Errors
    ///
    /// What the stream says.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The same as [`AsyncStream::give_way`].
    fn give_way(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

/// Connects by a function, which gets the address of a server as it was written, and looks its name up if it needs that.
pub struct ConnectFn<F>(Arc<F>);

impl<F> ConnectFn<F> {
    /// Connects by this function.
    pub fn new(connect: F) -> Self {
        Self(Arc::new(connect))
    }
}

impl<F> Clone for ConnectFn<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> Debug for ConnectFn<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectFn")
    }
}

impl<F, C, S> Connector for ConnectFn<F>
where
    F: Fn(Address) -> C + Send + Sync,
    C: Future<Output = io::Result<S>> + Send,
    S: BufferedStream + Send,
{
    type Stream = Flushed<S>;

    async fn connect(&self, endpoint: &Arc<Endpoint>, _: Destination) -> io::Result<Flushed<S>> {
        let stream = (self.0)(endpoint.address().clone()).await?;
        Ok(Flushed { stream, is_flushed: true, failure: None })
    }
}

/// Flushes a stream after each write, and before each read until that has succeeded.
#[derive(Debug)]
pub struct Flushed<S> {
    stream: S,
    is_flushed: bool,
    /// Why it could not be flushed: what was written counts as written nevertheless.
    failure: Option<io::Error>,
}

impl<S: BufferedStream> Flushed<S> {
    fn flush(&mut self, cx: &mut Context<'_>) {
        let Poll::Ready(flushed) = self.stream.poll_flush(cx) else { return };
        self.is_flushed = true;
        if let Err(error) = flushed {
            self.failure = Some(error);
            // The next read returns it.
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: BufferedStream> AsyncStream for Flushed<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.is_flushed {
            self.flush(cx);
        }
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Err(error));
        }
        self.stream.poll_read(cx, space)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream.poll_write(cx, slices))?;
        self.is_flushed = false;
        self.flush(cx);
        Poll::Ready(Ok(written))
    }

    fn give_way(&mut self, cx: &mut Context<'_>) {
        self.stream.give_way(cx);
    }
}
