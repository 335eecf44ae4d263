//! The bytes of an opening: the handshake of TLS, credentials, and the probe.

use std::io::{self, ErrorKind, IoSlice};

use super::{Opening, Stage};
use crate::error::{Error, Landed};
use crate::time::Instant;

impl Opening {
    /// Writes what there is with `write`, which returns how many bytes of the slices it has taken. Returns `false` if that was
    /// none, since the socket is full. After a failure of TLS, that is the alert which tells the server why.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn write_with<E>(&mut self, mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>) -> Result<bool, E> {
        let answer_by = &mut self.answer_by;
        let write = |slices: &[IoSlice<'_>]| {
            *answer_by = None;
            write(slices)
        };
        match (&mut self.stage, &mut self.tls) {
            (Stage::Failed(_), None) => Ok(true),
            (Stage::Failed(_), Some(tls)) => tls.write_alert(write),
            (Stage::Authenticate(authentication), None) => authentication.write_with(write),
            (Stage::Authenticate(authentication), Some(tls)) => tls.write_records(&mut **authentication, write),
            (_, None) => self.connection.write_with(write),
            (_, Some(tls)) => tls.write_with(&mut self.connection, write),
        }
    }

    /// Whether the socket took nothing when it was [written to](Opening::write_with) last.
    #[must_use]
    pub fn is_write_blocked(&self) -> bool {
        match &self.stage {
            Stage::Authenticate(authentication) => authentication.is_write_blocked(),
            _ => self.connection.is_write_blocked(),
        }
    }

    /// The buffer to read into.
    pub fn read_buf(&mut self) -> &mut [u8] {
        match (&mut self.tls, &mut self.stage) {
            (Some(tls), _) => tls.read_buf(),
            (None, Stage::Authenticate(authentication)) => authentication.read_buf(),
            (None, _) => self.connection.read_buf(),
        }
    }

    /// Says that `n` bytes were read into [`Opening::read_buf`]; 0 is the end of the stream.
    pub fn advance_read(&mut self, n: usize, now: Instant) {
        let by = self.within_connect_timeout(now);
        if n > 0 {
            self.silent_since = now;
            self.endpoint.silence().end();
            self.answer_by.get_or_insert(by);
        }
        let Some(tls) = &mut self.tls else { return self.take(n, now) };
        tls.advance_read(n);
        // Also when it is ready: whoever reads next overwrites what is not decrypted yet.
        while let (Some(tls), Stage::Tls | Stage::Authenticate(_) | Stage::Probe(_) | Stage::Ready(_)) =
            (&mut self.tls, &self.stage)
        {
            let space = match &mut self.stage {
                Stage::Authenticate(authentication) => authentication.read_buf(),
                _ => self.connection.read_buf(),
            };
            match tls.decrypt(space) {
                Ok(Some(0)) if tls.is_handshaking() => {
                    return self.failed(Error::disconnected("the server closed it"), now);
                }
                Ok(Some(0)) if matches!(self.stage, Stage::Ready(_)) => return,
                Ok(Some(n)) => self.take(n, now),
                Err(error) => return self.stage = Stage::Failed(Error::tls(error)),
                Ok(None) if matches!(self.stage, Stage::Tls) && !tls.is_handshaking() => return self.secured(now),
                Ok(None) => return,
            }
        }
    }

    /// Takes `n` bytes that were read for the connection.
    fn take(&mut self, n: usize, now: Instant) {
        if let Stage::Authenticate(authentication) = &mut self.stage {
            match authentication.advance_read(n) {
                Ok(false) => {}
                Ok(true) => self.probe(now),
                Err(error) => self.failed(error, now),
            }
            return;
        }
        let end = self.connection.advance_read(n);
        if matches!(self.stage, Stage::Ready(_)) {
            // Nothing was asked.
            return self.connection.next_reply().map_or_else(|error| self.failed(error, now), drop);
        }
        if let Some(what) = self.connection.foreign() {
            // It is not asked in the classic protocol: Redis would carry out the lines of a value.
            return self.stage = Stage::Failed(Error::connect(&io::Error::new(ErrorKind::InvalidData, what)));
        }
        // There is no other reply than that to the probe.
        match self.connection.next_reply() {
            Err(error) => self.failed(error, now),
            Ok(_) if !self.connection.is_probing() => {
                self.endpoint.known().proved();
                self.stage = Stage::Ready(now);
            }
            Ok(_) => end.unwrap_or_else(|error| self.failed(error, now)),
        }
    }

    /// The socket has failed. A server that has closed it may be one that does not take being asked for its protocol: then it
    /// is connected to once more.
    pub fn failed(&mut self, error: Error, now: Instant) {
        if matches!(self.stage, Stage::Tls) {
            let reason = format!("the handshake has failed ({error}); does the server use TLS on this port?");
            return self.stage = Stage::Failed(Error::tls(reason));
        }
        let is_lost = matches!(error, Error::Disconnected { .. } | Error::Protocol { .. });
        match is_lost && self.speaks_classic_instead(false, now) {
            true => self.begin(now),
            false => self.stage = Stage::Failed(error.with_landed(Landed::NotSent)),
        }
    }
}
