//! The write of a lone caller, which need not wait for the driver to be woken.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use super::Inner;
use crate::time::Instant;

/// Writes to the socket of a [`Driver`](super::Driver) from any thread: see [`AsyncStream::direct_writer`](super::AsyncStream::direct_writer).
pub trait DirectWriter: Debug + Send + Sync {
    /// Writes some of these bytes if the operating system takes them now, and returns how many.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing, and what the operating system says.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Requests with more bytes than this are left to the driver: while one is written, other callers wait for the lock.
const MOST: usize = 4096;

/// Whether the next caller may write.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// None while the connection is opened, after it has ended, and by TLS.
    pub(super) writer: Option<Arc<dyn DirectWriter>>,
    /// The next caller may write: nothing is on its way, and the driver sleeps until this moment. It takes this back before it
    /// reads.
    pub(super) lent: Option<Instant>,
    /// How many bytes of what is encoded were written.
    pub(super) written: usize,
}

impl Inner {
    /// Writes the request that was just encoded, and has this deadline, if nothing is on its way. Returns whether the driver need not
    /// be woken, since the reply wakes it. If the socket does not take all, the driver finds out why.
    #[inline]
    pub(super) fn write_directly(&mut self, deadline: Instant) -> bool {
        let Self { direct, buffer, load, .. } = self;
        let Some(until) = direct.lent.take() else { return false };
        let is_alone = buffer.requests.len() == 1 && buffer.shared.is_empty();
        // A driver that sleeps longer must be woken for the deadline, so it may as well write. If a limit seems to be reached, it finds
        // out what was answered before.
        if !is_alone || buffer.bytes.len() > MOST || until > deadline || load.is_full() {
            return false;
        }
        let written = direct.writer.as_ref().map_or(Ok(0), |writer| writer.write_now(&buffer.bytes));
        direct.written = written.unwrap_or(0);
        direct.written == buffer.bytes.len()
    }
}

#[cfg(test)]
mod tests;
