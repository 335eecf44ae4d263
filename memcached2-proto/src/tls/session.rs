//! One session: plaintext on one side, ciphertext on the other.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::ops::Range;
use std::sync::Arc;

use rustls::ClientConnection;

use super::config::{TlsOptions, server_name};
use super::failure::explain;
use crate::connection::{Connection, RecordSource};
use crate::error::Error;
use crate::stream::{RecordStream, StreamCommand};

/// How many bytes of ciphertext are read at once: a whole record.
const INCOMING: usize = 18 * 1024;
/// How many bytes are encrypted before the socket has taken any.
const OUTGOING: usize = 64 * 1024;

/// TLS between a [`Connection`] and its socket, without the socket: what an [`Opening`](crate::opening::Opening) of a `memcacheds://` server
/// leaves beside the connection.
///
/// What is written and read is ciphertext: [`TlsSession::write_with`] encrypts what the connection offers, and what was read
/// into [`TlsSession::read_buf`] is taken by [`TlsSession::decrypt`] until there is nothing more. What was encrypted counts as
/// written.
///
/// A request with a data block begins a TLS record, and so does what follows it: memcached before 1.6.39 stops answering
/// otherwise.
#[derive(Debug)]
pub struct TlsSession(Box<Session>);

#[derive(Debug)]
struct Session {
    tls: ClientConnection,
    /// The name that the certificate must have.
    name: Arc<str>,
    incoming: Box<[u8]>,
    /// What of it was read and is not decrypted.
    unread: Range<usize>,
    /// Whether the stream has ended.
    ended: bool,
    /// Whether all that was read has been decrypted and taken.
    drained: bool,
    outgoing: Vec<u8>,
    /// How much of that was written.
    at: usize,
}

impl TlsSession {
    /// A session with a server whose certificate must have this name.
    pub(crate) fn new(options: &TlsOptions, name: &str) -> Result<Self, Error> {
        let tls = ClientConnection::new(options.client_config()?, server_name(name)?).map_err(Error::tls)?;
        Ok(Self(Box::new(Session {
            tls,
            name: name.into(),
            incoming: vec![0; INCOMING].into(),
            unread: 0..0,
            ended: false,
            drained: true,
            outgoing: Vec::new(),
            at: 0,
        })))
    }

    /// Whether the handshake is under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.tls.is_handshaking()
    }

    /// Whether the session has been resumed: no certificate was sent, and none was checked, since that was done before.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.0.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Whether it has something to be written besides what the connection offers.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.0.at < self.0.outgoing.len() || self.0.tls.wants_write()
    }

    /// Writes what the connection offers, and what the session has to say, with `write`, which returns how many bytes of the slices
    /// it has taken. Returns `false` if that was none, since the socket is full.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn write_with<E>(
        &mut self,
        connection: &mut Connection,
        write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        self.write_records(connection, write)
    }

    /// The same of a stream of records.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn write_stream<C: StreamCommand, E>(
        &mut self,
        stream: &mut RecordStream<C>,
        write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        self.write_records(stream, write)
    }

    /// The same of anything that has bytes to be written.
    pub(crate) fn write_records<S: RecordSource, E>(
        &mut self,
        source: &mut S,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        let session = &mut *self.0;
        loop {
            if session.at == session.outgoing.len() {
                session.encrypt(source);
                if session.outgoing.is_empty() {
                    return Ok(true);
                }
            }
            let n = write(&[IoSlice::new(&session.outgoing[session.at..])])?;
            session.at += n;
            source.set_write_blocked(n == 0);
            if n == 0 {
                return Ok(false);
            }
        }
    }

    /// Writes what the session itself has to say after a failure: the alert.
    #[cold]
    pub(crate) fn write_alert<E>(&mut self, write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<bool, E> {
        self.write_records(&mut Nothing, write)
    }

    /// Where to read ciphertext into.
    pub fn read_buf(&mut self) -> &mut [u8] {
        &mut self.0.incoming
    }

    /// Says that `n` bytes were read into [`TlsSession::read_buf`]; 0 is the end of the stream. [Take](TlsSession::decrypt) all
    /// that they hold before more is read.
    pub fn advance_read(&mut self, n: usize) {
        self.0.unread = 0..n;
        self.0.ended |= n == 0;
        self.0.drained = false;
    }

    /// Decrypts into `space`, which must not be empty, and returns how many bytes: 0 is the end of the stream, and `None` that more
    /// must be read.
    ///
    /// # Errors
    ///
    /// If the server breaks the protocol, or what it shows is not accepted.
    pub fn decrypt(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let session = &mut *self.0;
        loop {
            match session.tls.reader().read(space) {
                Ok(n) => return Ok(Some(n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A reply says where it ends, so the end of the stream needs no proof.
                Err(_) => return Ok(Some(0)),
            }
            if session.unread.is_empty() && !session.ended {
                session.drained = true;
                return Ok(None);
            }
            let mut unread = &session.incoming[session.unread.clone()];
            session.unread.start += session.tls.read_tls(&mut unread)?;
            let processed = session.tls.process_new_packets();
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, explain(&error, &session.name)))?;
        }
    }

    /// Whether something was read that is not [taken](TlsSession::decrypt) yet.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.0.drained
    }

    /// Tells the server that nothing more comes (`close_notify`): the next [write](TlsSession::write_with) is the last one.
    pub fn close(&mut self) {
        self.0.tls.send_close_notify();
    }
}

/// No plaintext is written any more.
struct Nothing;

impl RecordSource for Nothing {
    fn record_slices<'a>(&'a mut self, _: &mut [IoSlice<'a>]) -> usize {
        0
    }

    fn advance_written(&mut self, _: usize) {}

    fn set_write_blocked(&mut self, _: bool) {}
}

impl Session {
    /// Encrypts some of what the source offers: each piece in records of its own.
    fn encrypt(&mut self, source: &mut impl RecordSource) {
        self.outgoing.clear();
        self.at = 0;
        while self.outgoing.len() < OUTGOING {
            if !self.tls.is_handshaking() {
                // A request has no more: a line, a large value, the rest.
                let mut slices = [IoSlice::new(&[]); 4];
                let count = source.record_slices(&mut slices);
                // It takes all of it, into its own memory.
                let taken = self.tls.writer().write_vectored(&slices[..count]).unwrap_or_default();
                if taken > 0 {
                    source.advance_written(taken);
                }
            }
            if !self.tls.wants_write() {
                return;
            }
            // Memory takes all of it.
            let _ = self.tls.write_tls(&mut self.outgoing);
        }
    }
}
