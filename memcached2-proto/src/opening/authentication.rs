//! ASCII authentication (memcached's option `-Y`): the credentials go first, to a server that has asked for them.

use std::fmt;
use std::io::{ErrorKind, IoSlice};

#[cfg(feature = "tls")]
use crate::connection::RecordSource;
use crate::connection::{full_server, is_of_full_server};
use crate::credentials::{Credentials, CredentialsSource};
use crate::error::{Error, Landed, UNAUTHENTICATED};
use crate::reply::{error_line, foreign, unexpected};

/// Every server answers it, and one with `-Y` refuses it. memcached 1.6.45 closes the connection for a line of less than
/// six bytes before authentication (`MIN_AUTH_REQ_LEN`).
const QUESTION: &[u8] = b"version\r\n";
/// The longest line that is accepted.
const LINE: usize = 1024;

/// Gives a server the credentials on a new connection.
///
/// A server without `-Y` takes them for a `set`, and stores them as a value that anybody can read. So it is asked a
/// question first, which such a server answers, and a server with `-Y` refuses. Nothing is sent behind the question, and
/// nothing behind the credentials: a server with `-Y` says one line for all that it has read.
pub(super) struct Authentication {
    source: CredentialsSource,
    /// The credentials, once they are sent.
    sent: Option<Credentials>,
    outgoing: Vec<u8>,
    written: usize,
    is_write_blocked: bool,
    incoming: Box<[u8; LINE]>,
    filled: usize,
}

impl Authentication {
    pub(super) fn new(source: CredentialsSource) -> Self {
        Self {
            source,
            sent: None,
            outgoing: QUESTION.to_vec(),
            written: 0,
            is_write_blocked: false,
            incoming: Box::new([0; LINE]),
            filled: 0,
        }
    }

    pub(super) fn write_with<E>(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        while self.written < self.outgoing.len() {
            let n = write(&[IoSlice::new(&self.outgoing[self.written..])])?;
            self.written += n;
            self.is_write_blocked = n == 0;
            if n == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn is_write_blocked(&self) -> bool {
        self.is_write_blocked
    }

    pub(super) fn wants_write(&self) -> bool {
        self.written < self.outgoing.len()
    }

    pub(super) fn read_buf(&mut self) -> &mut [u8] {
        &mut self.incoming[self.filled..]
    }

    /// Takes `n` bytes that were read; `true` if the server has accepted the credentials.
    pub(super) fn advance_read(&mut self, n: usize) -> Result<bool, Error> {
        if n == 0 {
            return Err(self.ended());
        }
        self.filled += n;
        let come = &self.incoming[..self.filled];
        if let Some(what) = foreign(come) {
            return Err(Error::protocol(what));
        }
        let Some(end) = come.iter().position(|byte| *byte == b'\n') else {
            return if self.filled < LINE { Ok(false) } else { Err(self.unexpected(come)) };
        };
        let (line, rest) = come.split_at(end + 1);
        if is_of_full_server(line) {
            return Err(full_server());
        }
        if self.written < self.outgoing.len() {
            return Err(Error::protocol("got an answer before the request was sent"));
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) if rest.is_empty() => match self.sent {
                None => {
                    self.check_wanted(line)?;
                    self.send(self.source.get()?);
                    Ok(false)
                }
                Some(_) => self.check_accepted(line).map(|()| true),
            },
            Some(_) => Err(self.unexpected(rest)),
            None => Err(self.unexpected(line)),
        }
    }

    fn send(&mut self, credentials: Credentials) {
        let token = credentials.token();
        // The server ignores the key and the expiry. Another one that stored it would have nothing to return, since the
        // item is expired from the beginning.
        let request = format!("set memcached2-credentials 0 -1 {}\r\n", token.len());
        self.outgoing = [request.as_bytes(), token, b"\r\n"].concat();
        (self.sent, self.written, self.filled) = (Some(credentials), 0, 0);
    }

    /// Whether the answer to the question asks for credentials.
    fn check_wanted(&self, line: &[u8]) -> Result<(), Error> {
        match error_line::is_error_line(line) {
            _ if line == UNAUTHENTICATED.as_bytes() => Ok(()),
            // A proxy, or no memory: it says nothing of credentials.
            true if line.starts_with(b"SERVER_ERROR") => Err(self.refused(line)),
            false if !line.starts_with(b"VERSION") => Err(self.unexpected(line)),
            _ => Err(Error::credentials_not_wanted()),
        }
    }

    /// Whether the answer to the credentials accepts them.
    fn check_accepted(&self, line: &[u8]) -> Result<(), Error> {
        match error_line::is_error_line(line) {
            _ if line == b"STORED" => Ok(()),
            true if line.starts_with(b"SERVER_ERROR") => Err(self.refused(line)),
            true => Err(Error::credentials_refused(&self.shown(line))),
            false => Err(self.unexpected(line)),
        }
    }

    fn refused(&self, line: &[u8]) -> Error {
        Error::refused(&self.shown(line).into(), Landed::NotSent)
    }

    /// An answer that does not fit the request.
    fn unexpected(&self, line: &[u8]) -> Error {
        let wanted = if self.sent.is_some() { "the answer to the credentials" } else { "a version" };
        match self.repeats_password(line) {
            true => Error::protocol(format!("expected {wanted}, got a line that repeats the password")),
            false => unexpected(line, wanted),
        }
    }

    /// A line as it stands in an error.
    fn shown(&self, line: &[u8]) -> String {
        match self.repeats_password(line) && line != b"CLIENT_ERROR authentication failure" {
            true => "a line that repeats the password".into(),
            false => String::from_utf8_lossy(line).into(),
        }
    }

    fn repeats_password(&self, line: &[u8]) -> bool {
        self.sent.as_ref().is_some_and(|credentials| credentials.are_shown_by(line))
    }

    /// The error of a connection that the server has closed.
    fn ended(&self) -> Error {
        let reason = match self.sent {
            None => "the server closed it when it was asked whether it wants a user and password",
            Some(_) => "the server closed it after it had got the user and password",
        };
        Error::lost(&std::io::Error::new(ErrorKind::ConnectionAborted, reason), Landed::NotSent)
    }
}

/// They are so short that they fit one record.
#[cfg(feature = "tls")]
impl RecordSource for Authentication {
    fn record_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        slices[0] = IoSlice::new(&self.outgoing[self.written..]);
        usize::from(!slices[0].is_empty())
    }

    fn advance_written(&mut self, n: usize) {
        self.written += n;
    }

    fn set_write_blocked(&mut self, is_blocked: bool) {
        self.is_write_blocked = is_blocked;
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication").field("sent", &self.sent).finish_non_exhaustive()
    }
}
