//! `ms`: storing.

use super::{Argument, Meta, MetaOutcome, flag_methods, meta_command, refuse_if};
use crate::command::store::checked;
use crate::data::{Data, ToValue};
use crate::error::Error;
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// Stores a value: `ms`.
///
/// A condition that is not met is no error: [`MetaOutcome::status`] says so. If there is no room for the value, which is
/// [`Error::Refused`], the old one is gone in every mode.
///
/// ```
/// use memcached2_proto::command::meta::MetaSet;
/// use std::time::Duration;
///
/// // Only over the version 42, and the new version comes back.
/// let request = MetaSet::new("page:1", "<html>")?.expiry(Duration::from_secs(60)).compare_cas(42).cas();
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetaSet<'k, 'v> {
    meta: Meta<'k>,
    data: Data<'v>,
    mode: MetaSetMode,
}

/// When and how an `ms` stores its value: flag `M`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetaSetMode {
    /// Whatever was there before: `MS`, or no `M`.
    #[default]
    Set,
    /// If there is no item: `ME`.
    Add,
    /// After the value of the item, if there is one: `MA`. Its flags and expiry stay.
    Append,
    /// Before the value of the item, if there is one: `MP`. Its flags and expiry stay.
    Prepend,
    /// If there is an item: `MR`.
    Replace,
}

impl MetaSetMode {
    fn letter(self) -> u8 {
        match self {
            Self::Set => b'S',
            Self::Add => b'E',
            Self::Append => b'A',
            Self::Prepend => b'P',
            Self::Replace => b'R',
        }
    }
}

impl<'k, 'v> MetaSet<'k, 'v> {
    /// Stores `value` under `key`, which may be of any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes, or longer than 186 with a blank or control byte in it.
    /// [`Error::TooLarge`] if the value is longer than [`Data::MAX`]. The error of its [`ToValue`], if there is one.
    pub fn new<K, V>(key: &'k K, value: &'v V) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        let meta = Meta::new(key.as_ref())?;
        let data = checked(meta.key.key(), value.to_value())?;
        Ok(Self { meta, data, mode: MetaSetMode::Set })
    }

    flag_methods! {
        /// Returns the version that the item has now: flag `c`.
        cas = b'c';
        /// Returns the length of the stored value: flag `s`, which memcached knows from 1.6.20 on. Older ones ignore it.
        size = b's';
        /// Stores over a newer version, too: flag `I`. If that of [`compare_cas`](Self::compare_cas) is lower than that of the
        /// item, the value is stored and marked as stale, and the expiry stays.
        invalidate = b'I';
    }

    /// Sets when and how it is stored.
    #[must_use]
    pub fn mode(mut self, mode: MetaSetMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets when the item expires: flag `T`; never unless set.
    #[must_use]
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'T', Argument::Expiry(expiry.into()));
        self
    }

    /// Sets the number that is stored beside the value: flag `F`; that of the value, mostly 0, unless set.
    #[must_use]
    pub fn flags(mut self, flags: u32) -> Self {
        self.data = self.data.with_flags(flags);
        self
    }

    /// Stores only if the item has this version: flag `C`. Not for [`MetaSetMode::Add`].
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

    /// Makes an item with this expiry if there is none to append to: flag `N`, which memcached knows from 1.6.20 on. Older ones
    /// ignore it. For [`MetaSetMode::Append`] and [`MetaSetMode::Prepend`] only.
    #[must_use]
    pub fn vivify(mut self, expiry: impl Into<Expiry>) -> Self {
        self.meta.flags.set(b'N', Argument::Expiry(expiry.into()));
        self
    }

    fn check(&self) -> Result<(), Error> {
        let has = |letter| self.meta.flags.has(letter);
        refuse_if(has(b'N') && !self.extends(), "`vivify` of an `ms` needs the mode Append or Prepend")?;
        refuse_if(has(b'T') && self.extends(), "Append and Prepend keep the expiry; that of a new item is `vivify`")?;
        refuse_if(
            has(b'I') && (!has(b'C') || self.extends()),
            "`invalidate` of an `ms` needs `compare_cas`, and the mode Set or Replace",
        )?;
        refuse_if(has(b'C') && self.mode == MetaSetMode::Add, "Add does not compare versions")
    }

    /// Whether it leaves the same in each replica, whatever was there.
    fn is_same_everywhere(&self) -> bool {
        let has = |letter| self.meta.flags.has(letter);
        self.mode == MetaSetMode::Set && !has(b'C') && !has(b'I')
    }

    fn extends(&self) -> bool {
        matches!(self.mode, MetaSetMode::Append | MetaSetMode::Prepend)
    }

    fn put(&self, now: Now, quiet: Option<u32>, out: &mut RequestBuffer) -> Result<(), Error> {
        self.meta.begin(b"ms ", Some(self.data.as_bytes().len()), quiet, out);
        if self.mode != MetaSetMode::Set {
            out.put(&[b' ', b'M', self.mode.letter()]);
        }
        if self.data.flags() != 0 {
            out.put(b" F");
            out.put_number(self.data.flags().into());
        }
        if out.has_max_ttl() && !self.extends() && !self.meta.flags.has(b'T') {
            out.put(b" T");
            out.put_expiry(Expiry::Never, now)?;
        }
        self.meta.end(now, quiet, out)?;
        out.put_data(&self.data);
        out.put(b"\r\n");
        Ok(())
    }
}

meta_command!(MetaSet ['_ '_] "ms" MetaSet -> MetaOutcome = outcome, repeatable: |_| false,
    quiet: QuietSet without b"cs", hides crate::reply::Reply::Meta(Box::default()));
