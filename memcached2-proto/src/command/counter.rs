//! Counters: `incr` and `decr`.

use super::{Command, Keyed, Protocol};
use crate::error::Error;
use crate::key::Key;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// Adds to a number that is stored as decimal text, and returns the sum; `None` if there is no item.
///
/// Sums wrap at 64 bits (`doc/protocol.txt` of memcached 1.6.45, "Increment/Decrement"). A stored text that is no number is
/// [`Error::NonNumeric`].
#[derive(Debug, Clone, Copy)]
pub struct Incr<'k> {
    key: Key<'k>,
    by: u64,
}

/// Subtracts from a number that is stored as decimal text, and returns the difference; `None` if there is no item.
///
/// Differences stop at 0 (`doc/protocol.txt` of memcached 1.6.45, "Increment/Decrement"). A stored text that is no number
/// is [`Error::NonNumeric`].
#[derive(Debug, Clone, Copy)]
pub struct Decr<'k> {
    key: Key<'k>,
    by: u64,
}

impl<'k> Incr<'k> {
    /// Adds `by` to the number of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, by: u64) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)?, by })
    }
}

impl<'k> Decr<'k> {
    /// Subtracts `by` from the number of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, by: u64) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)?, by })
    }
}

impl Keyed for Incr<'_> {
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Keyed for Decr<'_> {
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Incr<'_> {
    type Response = Option<u64>;

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn name(&self) -> &'static str {
        "incr"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        Ok(match protocol {
            Protocol::Classic => encode_classic(b"incr ", self.key, self.by, out),
            Protocol::Meta => encode_meta(b" MI D", self.key, self.by, out),
        })
    }

    fn answer(&self, reply: Reply) -> Result<Option<u64>, Error> {
        number(reply)
    }
}

impl Command for Decr<'_> {
    type Response = Option<u64>;

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn name(&self) -> &'static str {
        "decr"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        Ok(match protocol {
            Protocol::Classic => encode_classic(b"decr ", self.key, self.by, out),
            Protocol::Meta => encode_meta(b" MD D", self.key, self.by, out),
        })
    }

    fn answer(&self, reply: Reply) -> Result<Option<u64>, Error> {
        number(reply)
    }
}

fn encode_classic(verb: &[u8], key: Key<'_>, by: u64, out: &mut RequestBuffer) -> ReplyKind {
    out.put(verb);
    out.put_key(key);
    out.put(b" ");
    out.put_number(by);
    out.put(b"\r\n");
    ReplyKind::Number
}

fn encode_meta(mode: &[u8], key: Key<'_>, by: u64, out: &mut RequestBuffer) -> ReplyKind {
    out.put(b"ma ");
    out.put_key(key);
    out.put(mode);
    out.put_number(by);
    out.put(b" v");
    out.end_with_opaque();
    ReplyKind::MetaNumber
}

pub(super) fn number(reply: Reply) -> Result<Option<u64>, Error> {
    match reply {
        Reply::Number(number) => Ok(Some(number)),
        Reply::NotFound => Ok(None),
        other => Err(other.into_error()),
    }
}
