//! Writing: `set`, `add`, `replace`, `append`, `prepend`, `cas`.

use std::mem::ManuallyDrop;

use super::{Command, Keyed, OnReplicas, Protocol};
use crate::data::{Data, ToValue};
use crate::error::{CasProblem, Error};
use crate::key::Key;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};

/// Stores a value: always, or under a condition.
///
/// A condition that is not met is an error which says so ([`Error::NotStored`], [`Error::Exists`],
/// [`Error::NotFound`]); nothing was changed then.
#[derive(Debug, Clone)]
pub struct Store<'k, 'v> {
    verb: Verb,
    key: Key<'k>,
    data: Data<'v>,
    expiry: Expiry,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    Cas(u64),
}

impl<'k, 'v> Store<'k, 'v> {
    /// Stores `value` under `key`, whatever was there before; until it is evicted.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    /// [`Error::TooLarge`] if the value is longer than [`Data::MAX`]. The error of its [`ToValue`], if there is one.
    #[inline]
    pub fn set<K, V>(key: &'k K, value: &'v V) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        Self::new(Verb::Set, key.as_ref(), value.to_value())
    }

    /// Stores `value` if there is nothing under `key`; else [`Error::NotStored`].
    ///
    /// # Errors
    ///
    /// The same as of [`Store::set`].
    pub fn add<K, V>(key: &'k K, value: &'v V) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        Self::new(Verb::Add, key.as_ref(), value.to_value())
    }

    /// Stores `value` if there is something under `key`; else [`Error::NotStored`].
    ///
    /// # Errors
    ///
    /// The same as of [`Store::set`].
    pub fn replace<K, V>(key: &'k K, value: &'v V) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        Self::new(Verb::Replace, key.as_ref(), value.to_value())
    }

    /// Appends `value` to the one of `key`; [`Error::NotStored`] if there is none, or if it would become too large.
    /// Flags and expiry stay as they are.
    ///
    /// # Errors
    ///
    /// The same as of [`Store::set`].
    pub fn append<K, V>(key: &'k K, value: &'v V) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        Self::new(Verb::Append, key.as_ref(), value.to_value())
    }

    /// Puts `value` before the one of `key`; [`Error::NotStored`] if there is none, or if it would become too large.
    /// Flags and expiry stay as they are.
    ///
    /// # Errors
    ///
    /// The same as of [`Store::set`].
    pub fn prepend<K, V>(key: &'k K, value: &'v V) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        Self::new(Verb::Prepend, key.as_ref(), value.to_value())
    }

    /// Stores `value` if the item is still of the version `cas` ([`Value::cas`](crate::Value::cas)); else
    /// [`Error::Exists`], or [`Error::NotFound`] if it is gone.
    ///
    /// # Errors
    ///
    /// The same as of [`Store::set`].
    pub fn cas<K, V>(key: &'k K, value: &'v V, cas: u64) -> Result<Self, Error>
    where
        K: AsRef<[u8]> + ?Sized,
        V: ToValue + ?Sized,
    {
        Self::new(Verb::Cas(cas), key.as_ref(), value.to_value())
    }

    fn new(verb: Verb, key: &'k [u8], data: Result<Data<'v>, Error>) -> Result<Self, Error> {
        let key = Key::new(key)?;
        Ok(Self { verb, key, data: checked(key, data)?, expiry: Expiry::Never })
    }

    /// Appends a `set` to `stores`.
    #[inline]
    pub(crate) fn push_set<V: ToValue + ?Sized>(
        stores: &mut Vec<Self>,
        key: &'k [u8],
        value: &'v V,
        expiry: Expiry,
    ) -> Result<(), Error> {
        let key = Key::new(key)?;
        // As `checked`, whose result would be moved once more for each of many.
        let data = value.to_value().map_err(|error| refused(key, error))?;
        check(key, &data)?;
        stores.push(Self { verb: Verb::Set, key, data, expiry });
        Ok(())
    }

    /// Sets when the item expires; never unless set.
    #[must_use]
    #[inline]
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        self.expiry = expiry.into();
        self
    }

    /// Sets the number that is stored beside the value and comes back with it; that of the value, mostly 0, unless set.
    #[must_use]
    #[inline]
    pub fn flags(mut self, flags: u32) -> Self {
        self.data = self.data.with_flags(flags);
        self
    }
}

/// The data of a value, if it can be sent.
#[inline]
pub(super) fn checked<'v>(key: Key<'_>, data: Result<Data<'v>, Error>) -> Result<Data<'v>, Error> {
    let data = data.map_err(|error| refused(key, error))?;
    check(key, &data)?;
    Ok(data)
}

/// Whether data can be sent.
#[inline]
fn check(key: Key<'_>, data: &Data<'_>) -> Result<(), Error> {
    match data.as_bytes().len() {
        ..=Data::MAX => Ok(()),
        length => Err(refused(key, Error::too_large(length, Data::MAX))),
    }
}

/// Why a value cannot be stored, with its key.
#[cold]
fn refused(key: Key<'_>, error: Error) -> Error {
    error.of_key(key.as_bytes())
}

impl Keyed for Store<'_, '_> {
    #[inline]
    fn key(&self) -> Key<'_> {
        self.key
    }
}

#[cfg(feature = "routing")]
impl<'k, 'v> Store<'k, 'v> {
    #[doc(hidden)]
    #[must_use]
    pub fn key_bytes(&self) -> &'k [u8] {
        self.key.as_bytes()
    }

    pub(crate) fn data(&self) -> &Data<'v> {
        &self.data
    }

    /// Whether it adds to what is stored.
    pub(crate) fn extends(&self) -> bool {
        matches!(self.verb, Verb::Append | Verb::Prepend)
    }

    /// The same under another key, of other data if there is some.
    pub(crate) fn moved<'n>(self, key: Key<'n>, data: Option<Data<'v>>) -> Store<'n, 'v> {
        Store { key, data: data.unwrap_or(self.data), verb: self.verb, expiry: self.expiry }
    }
}

impl Store<'_, '_> {
    pub(super) fn verb(&self) -> Verb {
        self.verb
    }

    fn put_classic(&self, now: Now, out: &mut RequestBuffer) -> Result<(), Error> {
        let exptime = out.exptime(self.expiry, now)?;
        out.put(match self.verb {
            Verb::Set => b"set ",
            Verb::Add => b"add ",
            Verb::Replace => b"replace ",
            Verb::Append => b"append ",
            Verb::Prepend => b"prepend ",
            Verb::Cas(_) => b"cas ",
        });
        out.put_key(self.key);
        out.put(b" ");
        out.put_number(u64::from(self.data.flags()));
        out.put(b" ");
        out.put_signed(exptime);
        out.put(b" ");
        out.put_number(self.data.as_bytes().len() as u64);
        if let Verb::Cas(cas) = self.verb {
            out.put(b" ");
            out.put_number(cas);
        }
        out.put(b"\r\n");
        self.put_block(out);
        Ok(())
    }

    /// Appends an `ms`, whose line `end` ends.
    #[inline]
    pub(super) fn put_meta_set(
        &self,
        now: Now,
        out: &mut RequestBuffer,
        end: impl FnOnce(&mut RequestBuffer),
    ) -> Result<(), Error> {
        let exptime = out.exptime(self.expiry, now)?;
        out.put(b"ms ");
        out.put_key(self.key);
        out.put(b" ");
        out.put_number(self.data.as_bytes().len() as u64);
        if self.data.flags() != 0 {
            out.put(b" F");
            out.put_number(u64::from(self.data.flags()));
        }
        if exptime != 0 {
            out.put(b" T");
            out.put_signed(exptime);
        }
        end(out);
        self.put_block(out);
        Ok(())
    }

    #[inline]
    fn put_block(&self, out: &mut RequestBuffer) {
        out.put_data(&self.data);
        out.put(b"\r\n");
    }
}

impl Command for Store<'_, '_> {
    type Response = ();

    #[inline]
    fn transfer_size(&self) -> usize {
        self.data.as_bytes().len()
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn on_replicas(&self) -> OnReplicas {
        if matches!(self.verb, Verb::Set) { OnReplicas::Write } else { OnReplicas::Refuse }
    }

    fn name(&self) -> &'static str {
        match self.verb {
            Verb::Set => "set",
            Verb::Add => "add",
            Verb::Replace => "replace",
            Verb::Append => "append",
            Verb::Prepend => "prepend",
            Verb::Cas(_) => "cas",
        }
    }

    /// An `ms` that finds no room for its value removes the old one, whatever its mode, so only a `set`, which does the
    /// same, is said by it. A store under a condition is a classic command with a fence.
    #[inline]
    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        match (protocol, self.verb) {
            (Protocol::Meta, Verb::Set) => {
                self.put_meta_set(now, out, RequestBuffer::end_with_opaque).map(|()| ReplyKind::MetaStored)
            }
            (Protocol::Classic, _) => self.put_classic(now, out).map(|()| ReplyKind::Stored),
            (Protocol::Meta, _) => {
                self.put_classic(now, out)?;
                out.put_fence(self.key);
                Ok(ReplyKind::Stored)
            }
        }
    }

    #[inline]
    fn answer(&self, reply: Reply) -> Result<(), Error> {
        self.verb.stored(reply)
    }
}

impl Verb {
    #[inline]
    pub(super) fn stored(self, reply: Reply) -> Result<(), Error> {
        // There is nothing to drop in a success; to find that out takes 18 instructions.
        let reply = ManuallyDrop::new(reply);
        match *reply {
            Reply::Stored => Ok(()),
            _ => self.not_stored(ManuallyDrop::into_inner(reply)),
        }
    }

    #[cold]
    fn not_stored(self, reply: Reply) -> Result<(), Error> {
        match reply {
            Reply::Stored => Ok(()),
            // memcached does not send these replies to a `set`; proxies may.
            Reply::NotStored => Err(Error::not_stored()),
            // Only items of a server without versions have it.
            Reply::Exists if matches!(self, Self::Cas(0)) => Err(Error::cas(CasProblem::Disabled)),
            Reply::Exists => Err(Error::exists()),
            Reply::NotFound => Err(Error::not_found()),
            other => Err(other.into_error()),
        }
    }
}
