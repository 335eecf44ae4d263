//! How bytes get from a connection to its socket and back: as they are, or by TLS.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;

use super::{AsyncStream, PIECE};
use crate::connection::Connection;
use crate::tls::TlsSession;

/// What a driver reads and writes when its connection is open. Each kind has a driver's loop of its own, so that plain connections
/// pay nothing for the other one.
pub(super) trait Wire {
    /// Reads plaintext; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes what the connection offers; `false` if the socket is full.
    fn write(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> io::Result<bool>;

    /// Has the task woken when others have had their turn.
    fn give_way(&mut self, cx: &mut Context<'_>);

    /// The same as [`Wire::write`], whatever the runtime has noticed of the socket.
    fn write_at_once(&mut self, connection: &mut Connection) -> io::Result<bool>;

    /// Whether something can be read, or the stream has ended.
    fn has_unread(&self) -> bool;

    /// Tells the server that nothing more comes, if there is a way and the socket takes it.
    fn close(&mut self, cx: &mut Context<'_>, connection: &mut Connection);
}

impl<S: AsyncStream> Wire for S {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        AsyncStream::poll_read(self, cx, space)
    }

    #[inline]
    fn write(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> io::Result<bool> {
        if connection.unsent() > PIECE as u64 {
            return write_pieces(self, cx, connection, |connection, write| connection.write_with(write));
        }
        // Not by `write`, which is for where it is not worth the space to have it in place.
        connection.write_with(|slices| {
            loop {
                match self.poll_write(cx, slices) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Poll::Ready(written) => return written,
                    Poll::Pending => return Ok(0),
                }
            }
        })
    }

    #[cold]
    fn give_way(&mut self, cx: &mut Context<'_>) {
        AsyncStream::give_way(self, cx);
    }

    #[cold]
    fn write_at_once(&mut self, connection: &mut Connection) -> io::Result<bool> {
        connection.write_with(|slices| write_at_once(self, slices))
    }

    #[inline]
    fn has_unread(&self) -> bool {
        AsyncStream::has_unread(self)
    }

    #[inline]
    fn close(&mut self, _: &mut Context<'_>, _: &mut Connection) {}
}

/// A socket with TLS.
pub(super) struct Sealed<'s, S> {
    pub(super) socket: &'s mut S,
    pub(super) session: TlsSession,
}

impl<S: AsyncStream> Wire for Sealed<'_, S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(n) = self.session.decrypt(space)? {
                return Poll::Ready(Ok(n));
            }
            let n = ready!(self.socket.poll_read(cx, self.session.read_buf()))?;
            self.session.advance_read(n);
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> io::Result<bool> {
        let Self { socket, session } = self;
        write_pieces(*socket, cx, connection, |connection, write| session.write_with(connection, write))
    }

    fn give_way(&mut self, cx: &mut Context<'_>) {
        self.socket.give_way(cx);
    }

    fn write_at_once(&mut self, connection: &mut Connection) -> io::Result<bool> {
        self.session.write_with(connection, |slices| write_at_once(self.socket, slices))
    }

    fn has_unread(&self) -> bool {
        self.session.has_unread() || self.socket.has_unread()
    }

    fn close(&mut self, cx: &mut Context<'_>, connection: &mut Connection) {
        self.session.close();
        // It is closed in any case.
        let _ = self.write(cx, connection);
    }
}

fn write_at_once(socket: &impl AsyncStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match socket.write_at_once(slices) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

/// How many bytes are written before other tasks have their turn.
const AT_ONCE: usize = 4 * PIECE;

/// Writes what the connection offers, by `write_with`, in pieces and no more than may be written at once. It has the task woken for
/// the rest; `false` then, too.
#[cold]
fn write_pieces<S: AsyncStream>(
    socket: &mut S,
    cx: &mut Context<'_>,
    connection: &mut Connection,
    write_with: impl FnOnce(&mut Connection, &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut left = AT_ONCE;
    let is_written = write_with(connection, &mut |slices| {
        let pieces = first(slices, PIECE.min(left));
        if pieces.is_empty() {
            return Ok(0);
        }
        let n = write(socket, cx, &pieces)?;
        left -= n;
        Ok(n)
    })?;
    if left == 0 && !is_written {
        // The socket was not full, so this says nothing about the server.
        connection.forget_write_blocked();
        socket.give_way(cx);
    }
    Ok(is_written)
}

/// The first `left` bytes of `slices`.
fn first<'s>(slices: &'s [IoSlice<'_>], mut left: usize) -> SmallVec<[IoSlice<'s>; 4]> {
    let first = |slice: &'s IoSlice<'_>| {
        let length = slice.len().min(left);
        left -= length;
        IoSlice::new(&slice[..length])
    };
    slices.iter().map(first).filter(|slice| !slice.is_empty()).collect()
}

/// Writes some of `slices`; 0 if the socket is full.
#[cold]
pub(in crate::shared) fn write(
    socket: &mut (impl AsyncStream + ?Sized),
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    loop {
        match socket.poll_write(cx, slices) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(written) => return written,
            Poll::Pending => return Ok(0),
        }
    }
}
