//! A server within the process, and a network before it that lets bytes pass when the test says so.

use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use memcached2_testkit::EmbeddedSetup;
use memcached2_testkit::embedded::{Core, Session};
use rustls::{ServerConfig, ServerConnection};

const UNIX_SECONDS: u64 = 1_800_000_000;

#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<State>>);

struct State {
    core: Core,
    tls: Option<Arc<ServerConfig>>,
    /// How many bytes pass at a step, in both directions together; all of them if there is no such number.
    piece: Option<usize>,
    left: usize,
    /// How many connections there were, and which of them are cut: those up to this one, by a reset or in order.
    connections: usize,
    cut: usize,
    by_reset: bool,
    /// How many clients' ends of connections there are.
    open: usize,
    waiting: Vec<Waker>,
}

impl Network {
    pub(crate) fn new(setup: EmbeddedSetup, tls: Option<Arc<ServerConfig>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            core: setup.core(UNIX_SECONDS),
            tls,
            piece: None,
            left: 0,
            connections: 0,
            cut: 0,
            by_reset: false,
            open: 0,
            waiting: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Nothing passes any more but a piece at each step.
    pub(crate) fn hold(&self, piece: Option<usize>) {
        let mut state = self.lock();
        (state.piece, state.left) = (piece, 0);
    }

    /// Lets the next piece pass.
    pub(crate) fn step(&self) {
        let mut state = self.lock();
        state.left = state.piece.unwrap_or(0);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Lets everything pass from now on.
    pub(crate) fn release(&self) {
        self.hold(None);
        self.step();
    }

    /// Ends all connections there are; everything passes on the next ones.
    pub(crate) fn cut(&self, by_reset: bool) {
        {
            let mut state = self.lock();
            (state.cut, state.by_reset) = (state.connections, by_reset);
        }
        self.release();
    }

    /// How many connections have an end at the client.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    pub(crate) fn connect(&self) -> Stream {
        let mut state = self.lock();
        state.connections += 1;
        state.open += 1;
        let mut tls = state.tls.as_ref().map(|config| ServerConnection::new(Arc::clone(config)).unwrap());
        tls.iter_mut().for_each(|tls| tls.set_buffer_limit(None));
        let (number, session) = (state.connections, state.core.connect());
        drop(state);
        Stream { network: self.clone(), number, session, tls, outgoing: Vec::new() }
    }
}

/// The client's end of a connection, with the server behind it.
pub(crate) struct Stream {
    network: Network,
    number: usize,
    session: Session,
    tls: Option<ServerConnection>,
    /// What the server has written and the network has not let pass.
    outgoing: Vec<u8>,
}

impl Stream {
    /// How many of `wanted` bytes pass now.
    fn pass(&self, cx: &Context<'_>, wanted: usize) -> Poll<usize> {
        let mut state = self.network.lock();
        let n = if state.piece.is_some() { wanted.min(state.left) } else { wanted };
        if n == 0 {
            state.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        state.left -= n.min(state.left);
        Poll::Ready(n)
    }

    /// Whether the network has ended the connection, and how.
    fn end(&self) -> Option<io::Result<usize>> {
        let state = self.network.lock();
        let ended = if state.by_reset { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(0) };
        (self.number <= state.cut).then_some(ended)
    }

    fn read(&mut self, cx: &Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(end) = self.end() {
            return Poll::Ready(end);
        }
        if self.outgoing.is_empty() && self.session.is_closed() {
            return Poll::Ready(Ok(0));
        }
        self.pass(cx, space.len().min(self.outgoing.len())).map(|n| {
            space[..n].copy_from_slice(&self.outgoing[..n]);
            self.outgoing.drain(..n);
            Ok(n)
        })
    }

    fn write(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.end().is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.pass(cx, bytes.len()).map(|n| {
            self.serve(&bytes[..n])?;
            // There may be something to read now.
            let waiting = std::mem::take(&mut self.network.lock().waiting);
            waiting.into_iter().for_each(Waker::wake);
            Ok(n)
        })
    }

    /// The server reads, and answers.
    fn serve(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let core = &mut self.network.0.lock().unwrap().core;
        let Some(tls) = &mut self.tls else {
            self.session.feed(core, bytes, UNIX_SECONDS);
            self.outgoing.extend(std::iter::from_fn(|| self.session.take_outgoing()).flatten());
            return Ok(());
        };
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes)?;
            let read = tls.process_new_packets().map_err(io::Error::other)?;
            let mut plaintext = vec![0; read.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut plaintext)?;
            self.session.feed(core, &plaintext, UNIX_SECONDS);
            while let Some(answer) = self.session.take_outgoing() {
                tls.writer().write_all(&answer)?;
            }
        }
        while tls.wants_write() {
            tls.write_tls(&mut self.outgoing)?;
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.network.lock();
        state.open -= 1;
        self.session.close(&mut state.core);
    }
}

impl tokio::io::AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.read(cx, space.initialize_unfilled()).map_ok(|n| space.advance(n))
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl futures::io::AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.read(cx, space)
    }
}

impl futures::io::AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
