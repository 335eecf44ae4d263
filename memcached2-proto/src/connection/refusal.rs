//! What an error line means for the connection it comes on, and bytes that nobody asked for.

use std::io;

use super::Connection;
use crate::error::Error;
use crate::reply::Shape;

/// What a server says to whoever connects while it has as many connections as it may have (`-c`), before it reads a byte.
const FULL: &[u8] = b"ERROR Too many open connections";

/// The error lines after which a server has read the whole data block of the request as data
/// (memcached 1.4.15 to 1.6.45 and its proxy, probed).
const SWALLOWED: [&str; 4] = [
    "SERVER_ERROR object too large for cache",
    "SERVER_ERROR out of memory storing object",
    "SERVER_ERROR Out of memory during read",
    "SERVER_ERROR backend failure",
];

impl Connection {
    /// Weighs an error line: the answer to its request, or the end of the connection.
    #[cold]
    pub(super) fn weigh(&mut self, line: &str, shape: Shape, end: u64) -> Result<(), Error> {
        if is_of_a_full_server(line.as_bytes()) && !self.served {
            // The server has read nothing.
            self.sending.unsend();
            return Err(self.fail(full()));
        }
        if !self.sending.has_begun() {
            return Err(self.premature());
        }
        let in_step = leaves_in_step(line, shape, end <= self.sending.written());
        if !in_step {
            // The refusal itself is this request's answer; nothing behind it can be trusted.
            self.failed = Some(Error::disconnected("closed, since the server may be out of step after an error"));
        }
        Ok(())
    }

    /// Whether what came unasked may become the line of a server that is full.
    pub(super) fn may_be_full(&self) -> bool {
        !self.served && begins_that_of_a_full_server(self.decoder.pending())
    }

    #[cold]
    pub(super) fn unasked(&mut self) -> Error {
        let came = self.decoder.pending();
        let error = match is_of_a_full_server(came) && !self.served {
            true => full(),
            false => Error::protocol(format!("got \"{}\" unasked", came[..came.len().min(64)].escape_ascii())),
        };
        self.fail(error)
    }

    #[cold]
    pub(super) fn premature(&mut self) -> Error {
        self.fail(Error::protocol("got an answer before the request was sent"))
    }
}

/// Whether a connection is still in step after an error line to a request of this `shape`, of which all has been
/// written or not.
fn leaves_in_step(line: &str, shape: Shape, is_written: bool) -> bool {
    match shape {
        // Servers disagree on whether END follows, unless one key was asked.
        Shape::Values => false,
        // The block that was sent with the request must have been swallowed, not read as commands.
        Shape::Stored | Shape::Fence { data: true } => SWALLOWED.contains(&line),
        _ => is_written,
    }
}

/// Whether a line says that the server has too many connections.
fn is_of_a_full_server(line: &[u8]) -> bool {
    line.starts_with(FULL)
}

/// Whether some bytes are only the beginning of such a line.
fn begins_that_of_a_full_server(bytes: &[u8]) -> bool {
    bytes.len() < FULL.len() && FULL.starts_with(bytes)
}

/// The error of a connection that a full server has refused.
fn full() -> Error {
    Error::connect(&io::Error::new(io::ErrorKind::ConnectionRefused, String::from_utf8_lossy(FULL)))
}
