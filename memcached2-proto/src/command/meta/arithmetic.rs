//! `ma`: counting.

use super::{Argument, Meta, MetaOutcome, flag_methods, meta_command, refuse_if};
use crate::error::Error;
use crate::key::Key;
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// Adds to a number that is stored as decimal text, or subtracts from it: `ma`.
///
/// Sums wrap at 64 bits, and differences stop at 0 (`doc/protocol.txt` of memcached 1.6.45, "Meta Arithmetic"). A stored text
/// that is no number is [`Error::NonNumeric`].
///
/// ```
/// use memcached2_proto::command::meta::MetaArithmetic;
/// use std::time::Duration;
///
/// // The first visit of the day is 1, and the counter goes with the day.
/// let request = MetaArithmetic::incr("visits", 1)?.vivify(Duration::from_secs(86_400)).initial(1).value().ttl();
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetaArithmetic<'k> {
    meta: Meta<'k>,
}

impl<'k> MetaArithmetic<'k> {
    /// Adds `by` to the number of `key`, which may be of any bytes: mode `I`, flag `D`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes, or longer than 186 with a blank or control byte in it.
    pub fn incr<K: AsRef<[u8]> + ?Sized>(key: &'k K, by: u64) -> Result<Self, Error> {
        Ok(Self { meta: Meta::new(key.as_ref())? }.mode(b'I', by))
    }

    /// Subtracts `by` from the number of `key`, which may be of any bytes: mode `D`, flag `D`.
    ///
    /// # Errors
    ///
    /// The same as of [`MetaArithmetic::incr`].
    pub fn decr<K: AsRef<[u8]> + ?Sized>(key: &'k K, by: u64) -> Result<Self, Error> {
        Ok(Self { meta: Meta::new(key.as_ref())? }.mode(b'D', by))
    }

    pub(in crate::command) fn of(key: Key<'k>, up: bool, by: u64) -> Self {
        Self { meta: Meta::of(key.into()) }.mode(if up { b'I' } else { b'D' }, by)
    }

    fn mode(mut self, letter: u8, by: u64) -> Self {
        self.meta.flags.set(b'M', Argument::Letter(letter));
        self.meta.flags.set(b'D', Argument::Number(by));
        self
    }

    flag_methods! {
        /// Returns the number that is stored now: flag `v`.
        value = b'v';
        /// Returns the version that the item has now: flag `c`.
        cas = b'c';
        /// Returns how long the item stays: flag `t`.
        ttl = b't';
    }

    /// Makes an item with this expiry if there is none, of the number [`initial`](Self::initial): flag `N`.
    #[must_use]
    pub fn vivify(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'N', Argument::Expiry(expiry.into()));
        self
    }

    /// Sets the number of an item that [`vivify`](Self::vivify) makes: flag `J`; 0 unless set.
    #[must_use]
    pub fn initial(mut self, number: u64) -> Self {
        self.meta.flags.set(b'J', Argument::Number(number));
        self
    }

    /// Gives the item a new expiry: flag `T`.
    #[must_use]
    pub fn touch(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'T', Argument::Expiry(expiry.into()));
        self
    }

    /// Counts only if the item has this version: flag `C`.
    #[must_use]
    pub fn compare_cas(mut self, cas: u64) -> Self {
        self.meta.flags.set(b'C', Argument::Number(cas));
        self
    }

    /// Sets the version that the item gets: flag `E`, which memcached knows from 1.6.27 on.
    #[must_use]
    pub fn set_cas(mut self, cas: u64) -> Self {
        self.meta.flags.set(b'E', Argument::Number(cas));
        self
    }

    fn check(&self) -> Result<(), Error> {
        let flags = &self.meta.flags;
        refuse_if(flags.has(b'J') && !flags.has(b'N'), "`initial` needs `vivify`")
    }

    /// Whether it leaves the same in each replica, whatever was there.
    #[expect(clippy::unused_self, reason = "as of the other commands")]
    fn is_same_everywhere(&self) -> bool {
        false
    }

    fn put(&self, now: Now, quiet: Option<u32>, out: &mut RequestBuffer) -> Result<(), Error> {
        self.meta.begin(b"ma ", None, quiet, out);
        self.meta.end(now, quiet, out)
    }
}

meta_command!(MetaArithmetic ['_] "ma" MetaArithmetic -> MetaOutcome = outcome, repeatable: |_| false,
    quiet: QuietArithmetic without b"vct", hides crate::reply::Reply::Meta(Box::default()));
