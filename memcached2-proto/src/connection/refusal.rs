//! What an error line means for the connection it comes on.

use std::io;

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

/// Whether a connection is still in step after an error line to a request of this `shape`, of which all has been
/// written or not.
pub(super) fn leaves_in_step(line: &str, shape: Shape, is_written: bool) -> bool {
    match shape {
        // Servers disagree on whether END follows, unless one key was asked.
        Shape::Values => false,
        // The block that was sent with the request must have been swallowed, not read as commands.
        Shape::Stored | Shape::Fence { data: true } => SWALLOWED.contains(&line),
        _ => is_written,
    }
}

/// Whether a line says that the server has too many connections.
pub(super) fn is_of_a_full_server(line: &[u8]) -> bool {
    line.starts_with(FULL)
}

/// Whether some bytes are only the beginning of such a line.
pub(super) fn begins_that_of_a_full_server(bytes: &[u8]) -> bool {
    bytes.len() < FULL.len() && FULL.starts_with(bytes)
}

/// The error of a connection that a full server has refused.
pub(super) fn full() -> Error {
    Error::connect(&io::Error::new(io::ErrorKind::ConnectionRefused, String::from_utf8_lossy(FULL)))
}
