//! The key of an item as it is sent: with its namespace before it, or hashed.

use std::borrow::Cow;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::LongKeys;
use crate::command::meta::{MetaItem, Ttl};
use crate::command::{IfChanged, Store};
use crate::data::{Data, ToValue};
use crate::error::{Error, KeyProblem};
use crate::key::Key;
use crate::operation::BatchResult;
use crate::value::Value;

/// How many bytes a hashed key has.
pub(super) const HASHED: usize = MARK.len() + 43;
const MARK: &[u8] = b"sha256:";

/// Where the items of a namespace are: in its present generation.
#[derive(Debug)]
pub struct Place {
    begin: Vec<u8>,
    #[cfg_attr(not(feature = "long-keys"), expect(dead_code, reason = "they are refused"))]
    long_keys: LongKeys,
    /// The most bytes of a key.
    #[cfg_attr(not(feature = "long-keys"), expect(dead_code, reason = "the command refuses longer ones"))]
    length: usize,
}

/// The key of an item as it is sent.
#[derive(Debug)]
pub struct ItemKey<'k> {
    sent: Cow<'k, [u8]>,
    /// The whole key, if it is stored before the value.
    stored: Option<&'k [u8]>,
}

impl Place {
    pub(super) fn new(begin: Vec<u8>, long_keys: LongKeys, length: usize) -> Self {
        Self { begin, long_keys, length }
    }

    /// The key that is sent for this one.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if it is empty. What else is wrong with it, the command finds.
    pub fn key<'k>(&self, key: &'k (impl AsRef<[u8]> + ?Sized)) -> Result<ItemKey<'k>, Error> {
        let key = key.as_ref();
        if key.is_empty() {
            return Err(Error::invalid_key(key, KeyProblem::Empty));
        }
        #[cfg(feature = "long-keys")]
        if self.long_keys != LongKeys::Refuse {
            let is_refused = self.begin.len() + key.len() > self.length || Key::new(key).is_err();
            // One that looks like a hash is hashed, too, so that no key can be taken for the hash of another.
            if is_refused || (key.len() == HASHED && key.starts_with(MARK)) {
                return Ok(self.hashed(key));
            }
        }
        let sent = match &self.begin[..] {
            [] => Cow::Borrowed(key),
            begin => Cow::Owned([begin, key].concat()),
        };
        Ok(ItemKey { sent, stored: None })
    }

    #[cfg(feature = "long-keys")]
    fn hashed<'k>(&self, key: &'k [u8]) -> ItemKey<'k> {
        use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
        use sha2::{Digest as _, Sha256};

        let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(key));
        let stored = (self.long_keys == LongKeys::HashAndCheck).then_some(key);
        ItemKey { sent: Cow::Owned([&self.begin, MARK, hash.as_bytes()].concat()), stored }
    }

    /// The keys that are sent for these.
    ///
    /// # Errors
    ///
    /// Those of [`Place::key`].
    pub fn keys<'k, K: AsRef<[u8]>>(&self, keys: &'k [K]) -> Result<Vec<ItemKey<'k>>, Error> {
        keys.iter().map(|key| self.key(key)).collect()
    }

    /// Keys and values as they are stored.
    ///
    /// # Errors
    ///
    /// Those of [`Place::key`], and that of a [`ToValue`].
    pub fn items<'k, K: AsRef<[u8]>, V: ToValue>(
        &self,
        items: &'k [(K, V)],
    ) -> Result<Vec<(ItemKey<'k>, Framed<&'k V>)>, Error> {
        let placed = |(key, value): &'k (K, V)| {
            let key = self.key(key)?;
            let value = key.frame(value)?;
            Ok((key, value))
        };
        items.iter().map(placed).collect()
    }

    /// The keys of stores.
    ///
    /// # Errors
    ///
    /// Those of [`Place::key`].
    pub fn keys_of<'k>(&self, stores: &[Store<'k, '_>]) -> Result<Vec<ItemKey<'k>>, Error> {
        stores.iter().map(|store| self.key(store.key_bytes())).collect()
    }

    /// Stores under these keys.
    ///
    /// # Errors
    ///
    /// Those of [`ItemKey::plain`], and [`Error::Key`].
    pub fn stores<'k, 'v>(stores: Vec<Store<'k, 'v>>, keys: &'k [ItemKey<'_>]) -> Result<Vec<Store<'k, 'v>>, Error> {
        stores.into_iter().zip(keys).map(|(store, key)| store.placed(key)).collect()
    }
}

impl<'k> ItemKey<'k> {
    /// Its bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.sent.into_owned()
    }

    /// A value as it is stored under this key.
    ///
    /// # Errors
    ///
    /// That of its [`ToValue`].
    pub fn frame<V: ToValue>(&self, value: V) -> Result<Framed<V>, Error> {
        match self.stored {
            None => Ok(Framed::Plain(value)),
            Some(key) => Ok(Framed::WithKey(framed(key, &value.to_value()?))),
        }
    }

    /// Refuses an item that is not stored as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`].
    pub fn plain(&self) -> Result<(), Error> {
        match self.stored {
            None => Ok(()),
            Some(_) => {
                Err(Error::argument("the value has its key before it, so it can only be stored and fetched as a whole"))
            }
        }
    }

    /// What was stored, without the key before it; `None` if that is another one.
    fn open(&self, value: Value) -> Option<Value> {
        let Some(key) = self.stored else { return Some(value) };
        let (length, rest) = value.data.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let is_own = rest.get(..length).is_some_and(|stored| stored == key);
        is_own.then(|| Value { data: value.data.without_first(size_of::<u32>() + length), ..value })
    }
}

fn framed(key: &[u8], data: &Data<'_>) -> Data<'static> {
    let value = data.as_bytes();
    let mut whole = BytesMut::with_capacity(size_of::<u32>() + key.len() + value.len());
    whole.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
    whole.put_slice(key);
    whole.put_slice(value);
    Data::from(Bytes::from(whole)).with_flags(data.flags())
}

impl AsRef<[u8]> for ItemKey<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.sent
    }
}

/// A value as it is stored.
#[derive(Debug)]
pub enum Framed<V> {
    /// As it is.
    Plain(V),
    /// With its key before it.
    WithKey(Data<'static>),
}

impl<V: ToValue> ToValue for Framed<V> {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        match self {
            Self::Plain(value) => value.to_value(),
            Self::WithKey(data) => Ok(data.clone()),
        }
    }
}

impl<'k, 'v> Store<'k, 'v> {
    fn placed<'n>(self, key: &'n ItemKey<'_>) -> Result<Store<'n, 'v>, Error> {
        let framed = match key.stored {
            None => None,
            Some(_) if self.extends() => return key.plain().and(Err(Error::closed())),
            Some(whole) => Some(framed(whole, self.data())),
        };
        Ok(self.moved(Key::new(key)?, framed))
    }
}

/// The keys of a request, in their order.
pub trait Placed {
    /// The key at a place.
    fn at(&self, at: usize) -> Option<&ItemKey<'_>>;
}

impl Placed for ItemKey<'_> {
    fn at(&self, _: usize) -> Option<&ItemKey<'_>> {
        Some(self)
    }
}

impl Placed for Vec<ItemKey<'_>> {
    fn at(&self, at: usize) -> Option<&ItemKey<'_>> {
        self.get(at)
    }
}

impl<F> Placed for Vec<(ItemKey<'_>, F)> {
    fn at(&self, at: usize) -> Option<&ItemKey<'_>> {
        self.get(at).map(|(key, _)| key)
    }
}

/// What a request returns, with the keys before the values checked and removed.
pub trait Opened: Sized {
    /// It, if these were the keys.
    #[must_use]
    fn open(self, placed: &impl Placed) -> Self {
        self.open_at(placed, 0)
    }

    /// One of several.
    #[must_use]
    fn open_at(self, placed: &impl Placed, at: usize) -> Self;
}

impl Opened for Option<Value> {
    fn open_at(self, placed: &impl Placed, at: usize) -> Self {
        self.and_then(|value| placed.at(at)?.open(value))
    }
}

impl Opened for Option<(Value, Ttl)> {
    fn open_at(self, placed: &impl Placed, at: usize) -> Self {
        self.and_then(|(value, ttl)| Some((placed.at(at)?.open(value)?, ttl)))
    }
}

impl Opened for IfChanged {
    fn open_at(self, placed: &impl Placed, at: usize) -> Self {
        match self {
            Self::Changed(value) => Some(value).open_at(placed, at).map_or(Self::Missing, Self::Changed),
            other => other,
        }
    }
}

impl<T: Opened> Opened for BatchResult<T> {
    fn open_at(self, placed: &impl Placed, _: usize) -> Self {
        self.into_iter().enumerate().map(|(at, result)| result.map(|one| one.open_at(placed, at))).collect()
    }
}

macro_rules! without_values {
    ($($output:ty)*) => {
        $(impl Opened for $output {
            fn open_at(self, _: &impl Placed, _: usize) -> Self {
                self
            }
        })*
    };
}

without_values!(() bool Option<u64> Option<MetaItem>);
