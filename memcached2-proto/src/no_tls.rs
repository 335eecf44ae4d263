//! What there is of TLS without the feature `tls`: nothing, at no cost.

use std::io::{self, IoSlice};

use crate::connection::Connection;

/// TLS between a connection and its socket. Without the feature `tls` there is none.
#[derive(Debug)]
pub enum TlsSession {}

impl TlsSession {
    /// Encrypts and writes.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn write_with<E>(
        &mut self,
        _: &mut Connection,
        _: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        match *self {}
    }

    /// Whether it has something to be written.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        match *self {}
    }

    /// Encrypts and writes.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn write_stream<S, E>(
        &mut self,
        _: &mut S,
        _: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        match *self {}
    }

    pub(crate) fn write_records<S, E>(
        &mut self,
        _: &mut S,
        _: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        match *self {}
    }

    pub(crate) fn write_alert<E>(&mut self, _: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<bool, E> {
        match *self {}
    }

    /// Where to read ciphertext into.
    pub fn read_buf(&mut self) -> &mut [u8] {
        match *self {}
    }

    /// Says that `n` bytes were read.
    pub fn advance_read(&mut self, _: usize) {
        match *self {}
    }

    /// Decrypts what was read.
    ///
    /// # Errors
    ///
    /// None.
    pub fn decrypt(&mut self, _: &mut [u8]) -> io::Result<Option<usize>> {
        match *self {}
    }

    /// Whether something was read that is not decrypted.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        match *self {}
    }

    /// Tells the server that nothing more comes.
    pub fn close(&mut self) {
        match *self {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }
}
