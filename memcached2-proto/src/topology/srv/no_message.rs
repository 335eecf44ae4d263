//! Without the feature `srv` nothing asks.

use std::io;

#[allow(dead_code, reason = "with the feature `srv`")]
pub(super) enum Answer {
    Records(Vec<super::SrvRecord>),
    NoSuchName,
    Truncated,
}

pub(super) fn question(_: &str, _: u16) -> io::Result<Vec<u8>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "SRV records need the feature `srv`"))
}

pub(super) fn answer(_: &[u8], _: [u8; 2], _: &str) -> io::Result<Answer> {
    Ok(Answer::NoSuchName)
}
