//! Lines, as far as they have come, and the statistics that are kept of them.

use std::sync::Arc;

use super::{Decoder, LAST};
use crate::error::Error;
use crate::reply::Reply;
use crate::reply::grammar::unexpected;

impl Decoder {
    /// The next line without its line end, and where what follows it begins.
    #[inline]
    pub(super) fn line(&mut self) -> Result<Option<(std::ops::Range<usize>, usize)>, Error> {
        let from = self.start + self.searched;
        let Some(found) = memchr::memchr(b'\n', &self.buffer[from..self.end]) else {
            self.searched = self.end - self.start;
            return match self.searched > self.limits.line {
                true => Err(self.too_long()),
                false => Ok(None),
            };
        };
        self.searched = 0;
        let at = from + found;
        if at - self.start > self.limits.line {
            return Err(self.too_long());
        }
        if at == self.start || self.buffer[at - 1] != b'\r' {
            return Err(unexpected(&self.buffer[self.start..=at], "a line that ends in CR LF"));
        }
        Ok(Some((self.start..at - 1, at + 1)))
    }

    /// Whether statistics may begin with a line in other words, since a fence shows that it is the whole reply then.
    pub(super) fn may_be_words(&self) -> bool {
        self.expected.is_fenced && self.lines.is_empty()
    }

    /// Keeps a statistic.
    pub(super) fn stat(&mut self, line: std::ops::Range<usize>) -> Result<(), Error> {
        let limit = self.limits.stats;
        if self.lines.len() + line.len() > limit {
            return Err(Error::protocol(format!("statistics of more than the limit of {limit} bytes")));
        }
        self.lines.extend_from_slice(&self.buffer[line]);
        Ok(())
    }

    pub(super) fn stats(&mut self) -> Reply {
        Reply::Stats(Arc::from(std::mem::take(&mut self.lines)))
    }

    #[cold]
    pub(super) fn too_long(&self) -> Error {
        unexpected(self.pending(), &format!("a line of at most {} bytes", self.limits.line))
    }

    /// Whether the `END` after the only item of a reply is there.
    #[inline]
    pub(super) fn end_of_value(&mut self) -> Result<bool, Error> {
        let there = self.pending();
        if there.starts_with(LAST) {
            self.start += LAST.len();
            return Ok(true);
        }
        match LAST.starts_with(there) {
            true => Ok(false),
            false => Err(unexpected(there, "END after the value")),
        }
    }
}
