//! Writing: `set`.

use super::{Command, Dialect, Keyed, only, senseless};
use crate::error::Error;
use crate::few::Few;
use crate::key::Key;
use crate::outbox::Outbox;
use crate::reply::{Reply, Shape};
use crate::time::{Expiry, Now};
use crate::value::Data;

/// Stores a value, whatever was there before.
#[derive(Debug, Clone)]
pub struct Set<'k, 'v> {
    key: Key<'k>,
    data: Data<'v>,
    flags: u32,
    expiry: Expiry,
}

impl<'k, 'v> Set<'k, 'v> {
    /// Stores `data` under `key` until it is evicted, with flags 0.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] when `key` is none, [`Error::TooLarge`] when the data is longer than [`Data::MAX`].
    #[inline]
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K, data: impl Into<Data<'v>>) -> Result<Self, Error> {
        let data = data.into();
        let length = data.as_bytes().len();
        if length > Data::MAX {
            return Err(Error::TooLarge { length, limit: Data::MAX });
        }
        Ok(Self { key: Key::new(key)?, data, flags: 0, expiry: Expiry::Never })
    }

    /// Sets when the item expires; never unless set.
    #[must_use]
    #[inline]
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = expiry.into();
        self
    }

    /// Sets the number that is stored beside the value and comes back with it; 0 unless set.
    #[must_use]
    #[inline]
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }
}

impl Keyed for Set<'_, '_> {
    #[inline]
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Set<'_, '_> {
    type Response = ();

    #[inline]
    fn encode(&self, _: Dialect, now: Now, out: &mut Outbox) -> Result<Shape, Error> {
        let exptime = self.expiry.exptime(now)?;
        out.put(b"set ");
        out.put_key(self.key);
        out.put(b" ");
        out.put_number(u64::from(self.flags));
        // Zero and `-1` are the only exptimes with a word of their own.
        out.put(if exptime < 0 { b" -" } else { b" " });
        out.put_number(u64::from(exptime.unsigned_abs()));
        out.put(b" ");
        out.put_number(self.data.as_bytes().len() as u64);
        out.put(b"\r\n");
        out.put_data(&self.data);
        out.put(b"\r\n");
        Ok(Shape::Stored)
    }

    #[inline]
    fn answer(&self, replies: Few<Reply>, end: Result<(), Error>) -> Result<(), Error> {
        match only(replies, end)? {
            Reply::Stored => Ok(()),
            // No memcached says so to a `set`; proxies may.
            Reply::NotStored => Err(Error::NotStored),
            other => Err(senseless(&other)),
        }
    }
}
