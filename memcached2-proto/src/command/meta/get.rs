//! `mg`: fetching.

use std::time::Duration;

use super::{Argument, Meta, MetaItem, flag_methods, meta_command, refuse_if};
use crate::error::Error;
use crate::key::Key;
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// Fetches an item, or parts of it: `mg`. `None` is a miss.
///
/// Without a further flag it only says whether there is an item. Each `mg` takes the win of an item that is marked as stale
/// ([`MetaItem::win`]), whatever its flags.
///
/// ```
/// use memcached2_proto::command::meta::MetaGet;
///
/// // How large is it, how long will it stay, and was it ever fetched? Nothing of it changes.
/// let request = MetaGet::new("page:1")?.size().ttl().hit_before().no_bump();
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetaGet<'k> {
    meta: Meta<'k>,
}

impl<'k> MetaGet<'k> {
    /// Fetches the item of `key`, which may be of any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes, or longer than 186 with a blank or control byte in it.
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self { meta: Meta::new(key.as_ref())? })
    }

    pub(in crate::command) fn of(key: Key<'k>) -> Self {
        Self { meta: Meta::of(key.into()) }
    }

    flag_methods! {
        /// Returns the value: flag `v`.
        value = b'v';
        /// Returns the number that is stored beside the value: flag `f`.
        flags = b'f';
        /// Returns the version of the item: flag `c`.
        cas = b'c';
        /// Returns the length of the value in bytes: flag `s`.
        size = b's';
        /// Returns how long the item stays: flag `t`.
        ttl = b't';
        /// Returns whether the item was fetched before: flag `h`.
        hit_before = b'h';
        /// Returns how long ago the item was fetched or stored: flag `l`.
        last_access = b'l';
        /// Does not count as a fetch: the item can be evicted as soon as before, and
        /// [`hit_before`](MetaItem::hit_before) stays as it is: flag `u`.
        no_bump = b'u';
    }

    /// Gives the item a new expiry: flag `T`.
    #[must_use]
    pub fn touch(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'T', Argument::Expiry(expiry.into()));
        self
    }

    /// Makes an empty item with this expiry if there is none, and lets this caller [win](MetaItem::win): flag `N`. Others find it
    /// empty until somebody stores a value: clients that use `get`, too.
    #[must_use]
    pub fn vivify(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'N', Argument::Expiry(expiry.into()));
        self
    }

    /// Lets one caller [win](MetaItem::win) if the item expires in less than this: flag `R`. An item that does not expire is
    /// never won.
    #[must_use]
    pub fn recache(mut self, before: Duration) -> Self {
        self.meta.flags.set(b'R', Argument::Recache(before));
        self
    }

    /// Returns no value if the item still has this version: flag `C`, which memcached knows from 1.6.40 on. Older ones ignore it.
    #[must_use]
    pub fn compare_cas(mut self, cas: u64) -> Self {
        self.meta.flags.set(b'C', Argument::Number(cas));
        self
    }

    /// Sets the version of an item that [`vivify`](Self::vivify) makes: flag `E`, which memcached knows from 1.6.27 on.
    #[must_use]
    pub fn set_cas(mut self, cas: u64) -> Self {
        self.meta.flags.set(b'E', Argument::Number(cas));
        self
    }

    fn check(&self) -> Result<(), Error> {
        let flags = &self.meta.flags;
        refuse_if(flags.has(b'E') && !flags.has(b'N'), "`set_cas` of an `mg` needs `vivify`")
    }

    /// Whether it leaves the same in each replica, whatever was there.
    fn is_same_everywhere(&self) -> bool {
        !self.meta.flags.has(b'N') && !self.meta.flags.has(b'R')
    }

    fn put(&self, now: Now, quiet: Option<u32>, out: &mut RequestBuffer) -> Result<(), Error> {
        self.meta.begin(b"mg ", None, quiet, out);
        self.meta.end(now, quiet, out)
    }
}

meta_command!(MetaGet ['_] "mg" MetaGet -> Option<MetaItem> = item,
    repeatable: |get| !b"TNR".iter().any(|letter| get.meta.flags.has(*letter)),
    quiet: QuietGet without b"", hides crate::reply::Reply::Miss);
