//! `md`: deleting, and marking as stale.

use super::{Argument, Meta, MetaOutcome, flag_methods, meta_command, refuse_if};
use crate::error::Error;
use crate::key::Key;
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// Deletes an item, marks it as stale, or removes its value: `md`.
///
/// ```
/// use memcached2_proto::command::meta::MetaDelete;
/// use std::time::Duration;
///
/// // For another 30 seconds it is served as stale, and one client wins, and stores it again.
/// let request = MetaDelete::new("page:1")?.invalidate().expiry(Duration::from_secs(30));
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetaDelete<'k> {
    meta: Meta<'k>,
}

impl<'k> MetaDelete<'k> {
    /// Deletes the item of `key`, which may be of any bytes.
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
        /// Marks the item as stale, and keeps it: flag `I`. It gets a new version, and the next caller that fetches it wins.
        invalidate = b'I';
        /// Removes the value and the flags, and keeps an empty item: flag `x`, which memcached knows from 1.6.27 on. It does not
        /// expire, unless [`expiry`](Self::expiry) says so.
        remove_value = b'x';
    }

    /// Sets when the item expires that is kept: flag `T`. It needs [`invalidate`](Self::invalidate) or
    /// [`remove_value`](Self::remove_value).
    #[must_use]
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'T', Argument::Expiry(expiry.into()));
        self
    }

    /// Deletes only if the item has this version: flag `C`.
    #[must_use]
    pub fn compare_cas(mut self, cas: u64) -> Self {
        self.meta.flags.set(b'C', Argument::Number(cas));
        self
    }

    /// Deletes only if the item has no version: that of a server that was started with `-C`. Elsewhere every item has one.
    pub(crate) fn without_version(mut self) -> Self {
        self.meta.flags.set(b'C', Argument::Text(b"0".as_slice().into()));
        self
    }

    /// Sets the version of the item that is kept: flag `E`, which memcached knows from 1.6.27 on.
    #[must_use]
    pub fn set_cas(mut self, cas: u64) -> Self {
        self.meta.flags.set(b'E', Argument::Number(cas));
        self
    }

    fn check(&self) -> Result<(), Error> {
        let has = |letter| self.meta.flags.has(letter);
        let keeps = has(b'I') || has(b'x');
        refuse_if(has(b'T') && !keeps, "`expiry` of an `md` needs `invalidate` or `remove_value`")?;
        refuse_if(has(b'E') && !keeps, "`set_cas` of an `md` needs `invalidate` or `remove_value`")
    }

    /// Whether it leaves the same in each replica, whatever was there.
    fn is_same_everywhere(&self) -> bool {
        !self.meta.flags.has(b'C') && !self.meta.flags.has(b'I')
    }

    fn put(&self, now: Now, quiet: Option<u32>, out: &mut RequestBuffer) -> Result<(), Error> {
        self.meta.begin(b"md ", None, quiet, out);
        if out.has_max_ttl() && self.meta.flags.has(b'x') && !self.meta.flags.has(b'T') {
            out.put(b" T");
            out.put_expiry(Expiry::Never, now)?;
        }
        self.meta.end(now, quiet, out)
    }
}

meta_command!(MetaDelete ['_] "md" MetaDelete -> MetaOutcome = outcome, repeatable: |_| false,
    quiet: QuietDelete without b"", hides crate::reply::Reply::Meta(Box::default()));
