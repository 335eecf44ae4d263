//! What an error line means for its connection, and unexpected bytes.

use std::io;

use super::{Connection, InFlight, Kind, Mode};
use crate::error::Error;
use crate::reply::{ReplyKind, error_line};

/// The line of a server for a new connection if it has the maximum number of connections (`-c`), before it reads a
/// byte.
const FULL: &[u8] = b"ERROR Too many open connections";

impl Connection {
    /// Decides what an error line is: the answer to the front request, or also the end of the connection. `false`: the next
    /// reply has to show whose it is.
    #[cold]
    pub(super) fn on_error_line(&mut self, line: &str) -> Result<bool, Error> {
        let Some(&InFlight { reply_kind, kind, end, .. }) = self.in_flight.front() else { return Ok(true) };
        let expected = self.decoder.expected();
        if is_of_full_server(line.as_bytes()) && !self.served {
            // The server has read nothing.
            self.sending.unsend();
            return Err(self.fail(full_server()));
        }
        if !self.sending.has_begun() {
            return Err(self.answered_early());
        }
        let is_shut_out = error_line::is_said_to_all(line);
        if error_line::is_about_a_number(line) && !reply_kind.is_number() {
            return Err(self.give_up("closed, because the error line of an incr or decr came for another request"));
        }
        if kind == Kind::Probe {
            // Nothing else was written after it.
            return Ok(true);
        }
        if expected.is_fenced && !is_shut_out {
            // What follows the fence is in step.
            return Ok(!self.decoder.is_in_doubt());
        }
        if kind == Kind::Proof {
            return Err(self.give_up(&format!(
                "closed, because the server answered {line:?} to an mn, which no server that speaks meta refuses"
            )));
        }
        let is_alone = self.sending.written() <= end;
        if error_line::may_replace_several(line) && !is_alone {
            return Err(self.give_up("closed, because an error line may have replaced the replies to several requests"));
        }
        let is_written = end <= self.sending.written();
        let after = if is_shut_out { After::OutOfStep } else { after_error_line(line, reply_kind, is_written) };
        match after {
            After::InStep => return Ok(!expected.is_checked()),
            After::Closes => self.mode = Mode::Leaving,
            After::OutOfStep => {
                let reason = format!("closed, because the server may be out of step after it answered {line:?}");
                let error = self.give_up(&reason);
                // What is said to all proves nothing of the lines before it.
                if expected.is_checked() && (!is_shut_out || self.held.is_some()) {
                    return Err(error);
                }
                // The refusal is the answer to this request; nothing after it can be trusted.
            }
        }
        Ok(true)
    }

    /// Whether what came unasked may become the line of a server that is full.
    pub(super) fn may_be_full(&self) -> bool {
        !self.served && begins_that_of_a_full_server(self.decoder.pending())
    }

    #[cold]
    pub(super) fn unasked(&mut self) -> Error {
        let unread = self.decoder.pending();
        let error = match is_of_full_server(unread) && !self.served {
            true => full_server(),
            false => {
                Error::protocol(format!("got \"{}\" without a request", unread[..unread.len().min(64)].escape_ascii()))
            }
        };
        self.fail(error)
    }

    /// The error of a connection without TLS that was lost. A server that uses TLS closes it before it says a word.
    #[cold]
    #[must_use]
    pub fn explain_lost(&self, error: Error) -> Error {
        match error {
            Error::Disconnected { landed, cause, .. } if self.bytes_in == 0 => {
                let reason =
                    format!("{cause}, before it had answered anything; one that uses TLS is written memcacheds://");
                Error::lost(&io::Error::new(cause.kind(), reason), landed)
            }
            error => error,
        }
    }

    /// Ends the connection after a [look](Connection::needs_look) has shown that something has come, or the end of the
    /// stream, though nothing was asked: what was not written was not sent.
    #[cold]
    pub fn on_unread(&mut self) -> Error {
        self.give_up("closed, because the server had closed it, or had sent bytes without a request")
    }

    /// A reply has come though its request was not written whole: of several keys those may be answered that were asked for
    /// in a line before the last one. Nothing else is sure then.
    #[cold]
    pub(super) fn check_begun(&mut self, last: bool) -> Result<bool, Error> {
        let carried_out = self.in_flight.front().map_or(0, |request| request.carried_out);
        if last || self.sending.written() < carried_out {
            return Err(self.answered_early());
        }
        Ok(true)
    }

    #[cold]
    pub(super) fn answered_early(&mut self) -> Error {
        self.fail(Error::protocol("got an answer before the request was sent"))
    }
}

/// What follows an error line.
enum After {
    /// The reply to the next request.
    InStep,
    /// The replies to what was written, and the end of the connection.
    Closes,
    /// Perhaps more lines to the same request.
    OutOfStep,
}

/// What follows an error line to a request that expects a reply of this kind, and was written whole or not.
fn after_error_line(line: &str, reply_kind: ReplyKind, is_written: bool) -> After {
    let is_in_step = match reply_kind {
        ReplyKind::Values if error_line::announces_close(line) => return After::Closes,
        // Servers disagree on whether END follows, unless one key was asked. Where one of several keys has failed, the
        // decoder has read on to END.
        ReplyKind::Values => error_line::is_inline(line),
        // The block that was sent with the request must have been swallowed, not read as commands.
        _ if reply_kind.has_data() => error_line::swallows_data(line),
        _ => is_written,
    };
    if is_in_step { After::InStep } else { After::OutOfStep }
}

/// Whether a line says that the server has too many connections.
pub(crate) fn is_of_full_server(line: &[u8]) -> bool {
    line.starts_with(FULL)
}

/// Whether the bytes are only the beginning of such a line.
fn begins_that_of_a_full_server(bytes: &[u8]) -> bool {
    bytes.len() < FULL.len() && FULL.starts_with(bytes)
}

/// The error of a connection that a full server has refused.
pub(crate) fn full_server() -> Error {
    Error::connect(&io::Error::new(io::ErrorKind::ResourceBusy, String::from_utf8_lossy(FULL)))
}
