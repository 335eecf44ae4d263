//! Bytes out: what may be written, and how much of it was.

use std::io::IoSlice;

use super::{Connection, Mode};

/// How many slices are written at once: a request and the large values in it.
const SLICES: usize = 4;

impl Connection {
    /// Fills `slices` with what to write next and returns how many were filled.
    ///
    /// It fills none while replies must be read first: a server stops reading while its replies are not read, so
    /// writing a large batch without reading could block for ever.
    #[inline]
    pub fn write_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.failed.is_some() {
            // The rest of a request that was refused half-way could be read as commands.
            return 0;
        }
        self.reclaim();
        match self.mode {
            Mode::Open => self.sending.grant(&self.in_flight),
            Mode::Probing(probe) => self.sending.grant_until(&self.in_flight, probe.unanswered()),
            Mode::Leaving => return 0,
        }
        self.sending.slices(slices)
    }

    /// Says that `n` bytes of what [`Connection::write_slices`] offered were written; more than may be written count as all of that.
    #[inline]
    pub fn advance_written(&mut self, n: usize) {
        self.sending.advance_written(n);
        let written = self.sending.written();
        while let Some(request) = self.in_flight.get_mut(self.written_count).filter(|next| next.end <= written) {
            request.bytes_in_before = self.bytes_in;
            self.written_count += 1;
        }
        if std::mem::take(&mut self.is_write_blocked) {
            self.note_write_progress();
        }
    }

    /// Says that `n` bytes were written of the only request that is under way.
    #[cfg(feature = "routing")]
    #[inline]
    pub(crate) fn written_directly(&mut self, n: usize) {
        self.sending.grant(&self.in_flight);
        self.advance_written(n);
    }

    /// Writes what may go with `write`, which returns how many bytes of the slices it has taken. Returns `false` if that was none,
    /// since the socket is full.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    #[inline]
    pub fn write_with<E>(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<bool, E> {
        while !self.is_flushed() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.write_slices(&mut slices);
            if count == 0 {
                break;
            }
            match write(&slices[..count])? {
                0 => {
                    self.is_write_blocked = true;
                    return Ok(false);
                }
                n => self.advance_written(n),
            }
        }
        Ok(true)
    }

    /// Whether the socket took nothing when it was [written to](Connection::write_with) last.
    #[must_use]
    #[inline]
    pub fn is_write_blocked(&self) -> bool {
        self.is_write_blocked
    }

    /// Whether [`Connection::write_slices`] offers something: bytes that the server has room for while its replies are not read.
    #[must_use]
    pub fn wants_write(&mut self) -> bool {
        self.write_slices(&mut [IoSlice::new(&[])]) > 0
    }

    /// Says that the socket takes nothing, or takes something again, where what is written to it is not what is offered here.
    #[cfg(feature = "tls")]
    pub(crate) fn set_write_blocked(&mut self, is_blocked: bool) {
        if std::mem::replace(&mut self.is_write_blocked, is_blocked) && !is_blocked {
            self.note_write_progress();
        }
    }

    /// Says that the rest is written later, though the socket may not be full.
    pub(crate) fn forget_write_blocked(&mut self) {
        self.is_write_blocked = false;
    }

    /// The socket has taken bytes again after it had been full: so the server takes what is sent to it, and is not silent, even
    /// if it says nothing before it has all of a long request.
    #[cold]
    fn note_write_progress(&mut self) {
        // A sign of life, and no part of a reply.
        self.bytes_in += 1;
        self.front_from += 1;
    }

    /// Whether every byte of every request was written.
    #[must_use]
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.sending.is_flushed()
    }
}
