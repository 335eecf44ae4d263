//! Reading: `get`, `gets`, `gat`, `gats`, in both protocols.

use super::{Command, Keyed, OnReplicas, Protocol, accepted};
use crate::error::{Error, Landed};
use crate::key::Key;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::{Expiry, Now};
use crate::value::Value;

/// Fetches the value of one key: `get`.
#[derive(Debug, Clone, Copy)]
pub struct Get<'k> {
    key: Key<'k>,
}

impl<'k> Get<'k> {
    /// Fetches the value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the key is empty, longer than 250 bytes or contains a blank or control byte.
    #[inline]
    pub fn new<K: AsRef<[u8]> + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Ok(Self { key: Key::new(key)? })
    }

    /// Fetches the version of the item, too: see [`Gets::with_cas`].
    #[must_use]
    pub fn with_cas(self) -> Gets<'k> {
        Gets { key: self.key, options: GetOptions { cas: true, touch: None } }
    }

    /// Gives the item a new expiry at the same time: see [`Gets::touch`].
    #[must_use]
    pub fn touch(self, expiry: impl Into<Expiry>) -> Gets<'k> {
        Gets { key: self.key, options: GetOptions { cas: false, touch: Some(expiry.into()) } }
    }
}

impl Keyed for Get<'_> {
    #[inline]
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Get<'_> {
    type Response = Option<Value>;

    fn name(&self) -> &'static str {
        "get"
    }

    #[inline]
    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        Ok(match protocol {
            Protocol::Classic => {
                out.put(b"get ");
                out.ask_last_key(self.key);
                out.put(b"\r\n");
                ReplyKind::Value
            }
            Protocol::Meta => {
                out.put(b"mg ");
                out.put_key(self.key);
                out.put(b" f v");
                out.end_with_opaque();
                ReplyKind::MetaValue
            }
        })
    }

    #[inline]
    fn answer(&self, reply: Reply) -> Result<Option<Value>, Error> {
        found(reply)
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn repeatable(&self) -> bool {
        true
    }
}

/// Fetches the value of one key and more, or gives the item a new expiry: `gets`, `gat`, `gats`. Made by
/// [`Get::with_cas`] and [`Get::touch`].
#[derive(Debug, Clone, Copy)]
pub struct Gets<'k> {
    key: Key<'k>,
    options: GetOptions,
}

/// What is fetched, and what else happens to the item.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GetOptions {
    pub(crate) cas: bool,
    pub(crate) touch: Option<Expiry>,
}

impl Gets<'_> {
    /// What is fetched.
    pub(super) fn options(&self) -> GetOptions {
        self.options
    }

    /// Fetches the version of the item, too ([`Value::cas`]): what [`Store::cas`](crate::Store::cas) compares.
    #[must_use]
    pub fn with_cas(mut self) -> Self {
        self.options.cas = true;
        self
    }

    /// Gives the item a new expiry at the same time; needs memcached 1.5.3.
    #[must_use]
    pub fn touch(mut self, expiry: impl Into<Expiry>) -> Self {
        self.options.touch = Some(expiry.into());
        self
    }
}

impl Keyed for Gets<'_> {
    fn key(&self) -> Key<'_> {
        self.key
    }
}

impl Command for Gets<'_> {
    type Response = Option<Value>;

    fn name(&self) -> &'static str {
        self.options.verb()
    }

    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        Ok(match protocol {
            Protocol::Classic => {
                self.options.begin(now, out)?;
                out.put(b" ");
                out.ask_last_key(self.key);
                out.put(b"\r\n");
                ReplyKind::Value
            }
            Protocol::Meta => {
                out.put(b"mg ");
                out.put_key(self.key);
                self.options.put_flags(now, out)?;
                ReplyKind::MetaValue
            }
        })
    }

    fn answer(&self, reply: Reply) -> Result<Option<Value>, Error> {
        self.options.found(reply)
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn on_replicas(&self) -> OnReplicas {
        if self.options.touch.is_some() { OnReplicas::Write } else { OnReplicas::Read }
    }

    fn repeatable(&self) -> bool {
        self.options.touch.is_none()
    }
}

#[inline]
pub(super) fn found(reply: Reply) -> Result<Option<Value>, Error> {
    match reply {
        Reply::Value(_, value) => Ok(Some(value)),
        Reply::Miss => Ok(None),
        other => Err(other.into_error()),
    }
}

impl GetOptions {
    fn verb(self) -> &'static str {
        match (self.touch, self.cas) {
            (None, false) => "get",
            (None, true) => "gets",
            (Some(_), false) => "gat",
            (Some(_), true) => "gats",
        }
    }

    /// Appends the verb and what comes before the keys.
    fn begin(self, now: Now, out: &mut RequestBuffer) -> Result<(), Error> {
        out.put(self.verb().as_bytes());
        if let Some(expiry) = self.touch {
            out.put(b" ");
            out.put_expiry(expiry, now)?;
        }
        Ok(())
    }

    /// Appends the flags of an `mg`, and ends its line.
    fn put_flags(self, now: Now, out: &mut RequestBuffer) -> Result<(), Error> {
        out.put(if self.cas { b" f c v" } else { b" f v" });
        if let Some(expiry) = self.touch {
            out.put(b" T");
            out.put_expiry(expiry, now)?;
        }
        out.end_with_opaque();
        Ok(())
    }

    pub(super) fn found(self, reply: Reply) -> Result<Option<Value>, Error> {
        match found(reply)? {
            Some(value) if !self.is_answered_by(&value) => Err(Reply::Value(0, value).into_error()),
            found => Ok(found),
        }
    }

    /// Whether everything came that was asked for.
    fn is_answered_by(self, value: &Value) -> bool {
        !self.cas || value.cas.is_some()
    }
}

/// Fetches the values of several keys from one server in one `get`: a request of [`GetMany`](crate::operation::GetMany).
#[derive(Debug, Clone)]
pub struct GetPart<'k> {
    keys: Vec<Key<'k>>,
    places: Places,
    options: GetOptions,
}

/// The places of the keys among those of the whole operation.
#[derive(Debug, Clone)]
enum Places {
    From(usize),
    These(Vec<usize>),
}

impl<'k> GetPart<'k> {
    /// Fetches `keys`, which stand side by side from the place `first` on.
    pub(crate) fn run(keys: Vec<Key<'k>>, first: usize, options: GetOptions) -> Self {
        Self { keys, places: Places::From(first), options }
    }

    /// Fetches `keys`, which stand at `places`.
    pub(crate) fn picked(keys: Vec<Key<'k>>, places: Vec<usize>, options: GetOptions) -> Self {
        Self { keys, places: Places::These(places), options }
    }

    /// What is fetched.
    pub(crate) fn options(&self) -> GetOptions {
        self.options
    }

    /// Takes the keys out, each with its place among all keys.
    pub(crate) fn take_keys(&mut self) -> impl Iterator<Item = (usize, Key<'k>)> + use<'k> {
        let keys: Vec<_> = self.keys_in_place().collect();
        self.keys.clear();
        keys.into_iter()
    }

    /// Whether everything came that was asked for.
    #[inline]
    pub(crate) fn is_answered_by(&self, value: &Value) -> bool {
        self.options.is_answered_by(value)
    }

    /// The error of the key at a place, for whose value of this length there was no memory.
    #[cold]
    pub(crate) fn no_memory(&self, at: usize, length: usize) -> Error {
        let error = self.of_key(at, Error::no_memory(length));
        if self.repeatable() { error.with_landed(Landed::NotSent) } else { error }
    }

    /// The error of the key at a place, whose value came without the version that was asked for.
    #[cold]
    pub(crate) fn without_cas(&self, at: usize) -> Error {
        self.of_key(at, Error::protocol("got a value without the cas that was asked for"))
    }

    fn of_key(&self, at: usize, error: Error) -> Error {
        error.of_request(self.name(), self.keys.get(at).map(|key| key.as_bytes()), None)
    }

    /// The keys, each with its place among all keys.
    pub(crate) fn keys_in_place(&self) -> impl Iterator<Item = (usize, Key<'k>)> {
        self.keys.iter().enumerate().filter_map(|(at, key)| Some((self.place(at)?, *key)))
    }

    /// The place among all keys of the one at a place of this request.
    #[inline]
    pub(crate) fn place(&self, at: usize) -> Option<usize> {
        match &self.places {
            Places::From(first) => Some(*first + at),
            Places::These(places) => places.get(at).copied(),
        }
    }
}

impl Command for GetPart<'_> {
    /// The last reply; the others go where they belong as they come.
    type Response = Reply;

    fn name(&self) -> &'static str {
        self.options.verb()
    }

    fn key_at(&self, place: usize) -> Option<Key<'_>> {
        self.keys.get(place).copied()
    }

    fn keys(&self) -> usize {
        self.keys.len()
    }

    fn transfer_size(&self) -> usize {
        /// A value whose length nobody knows counts as this long: so 512 keys are a large transfer.
        const VALUE: usize = 128;
        self.keys.len() * VALUE
    }

    /// One `get` for all keys is answered in few packets, and costs less than an `mg` for each. Where meta is spoken, an `mg`
    /// asks for the last of them: its opaque shows that what came before belongs to this request, even after an error
    /// line.
    fn encode(&self, protocol: Protocol, now: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        let Some((last, others)) = self.keys.split_last() else {
            return Err(Error::protocol("a request for no key").with_landed(Landed::NotSent));
        };
        if others.is_empty() {
            return Gets { key: *last, options: self.options }.encode(protocol, now, out);
        }
        self.options.begin(now, out)?;
        out.ask_keys(others);
        if protocol == Protocol::Classic {
            out.put(b" ");
            out.ask_last_key(*last);
            out.put(b"\r\n");
            return Ok(ReplyKind::Values);
        }
        out.put(b"\r\n");
        // The keys before the last one get their expiry also without it.
        let begun = out.mark();
        out.put(b"mg ");
        out.ask_key(*last);
        out.put(b" k");
        self.options.put_flags(now, out)?;
        out.fence_from(begun);
        Ok(ReplyKind::FencedValues)
    }

    fn answer(&self, reply: Reply) -> Result<Reply, Error> {
        accepted(reply)
    }

    fn repeatable(&self) -> bool {
        self.options.touch.is_none()
    }
}
