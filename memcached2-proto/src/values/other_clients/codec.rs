//! The choice between the clients.

use std::fmt::{self, Display, Formatter};

use bytes::Bytes;

use super::{FromPlain, Plain, ToPlain, dalli, data, php, python, spy, text_bytes};
use crate::data::Data;
use crate::error::Error;
use crate::value::{Value, unreadable};
use crate::values::Compression;

/// In whose form values are stored and read: that of a client of another language, or none.
///
/// `client.values(codec)` of a transport is a client that stores and reads all its values in this form. A codec by itself makes the
/// bytes and flags of a value for a request that has no method there, and reads those that came by one:
///
/// ```
/// use memcached2_proto::values::Codec;
/// use memcached2_proto::{Store, Value};
///
/// let data = Codec::PyLibmc.encode(&17)?;
/// assert_eq!((data.as_bytes(), data.flags()), (&b"17"[..], 4));
/// // client.run(NoReply(store))?
/// let store = Store::set("visits", &data)?;
///
/// let visits: u64 = Codec::PyLibmc.decode(Value::new("17".into(), 4))?;
/// assert_eq!(visits, 17);
///
/// let pickle = Value::new("(lp0\n.".into(), 1);
/// let error = Codec::PyLibmc.decode::<String>(pickle).unwrap_err().to_string();
/// assert!(error.contains("6 bytes with flags 1 cannot be read as String: it is a pickle of Python"));
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// None: bytes and text as they are, numbers as decimal text, truth values as `true` and `false`, flags 0; flags are not looked
    /// at. It is what `client.set` and `client.get_as` do, and right for clients that leave all this to the program.
    Raw,
    /// As [`PyLibmc`](super::PyLibmc).
    PyLibmc,
    /// As [`PyMemcache`](super::PyMemcache).
    PyMemcache,
    /// As [`PythonMemcached`](super::PythonMemcached).
    PythonMemcached,
    /// As [`Dalli`](super::Dalli).
    Dalli,
    /// As [`PhpMemcached`](super::PhpMemcached).
    PhpMemcached,
    /// As [`SpyMemcached`](super::SpyMemcached).
    SpyMemcached,
}

impl Codec {
    /// The bytes and the flags of a value. It is compressed from as many bytes on as the other client does by default: see
    /// [values](crate::guide::values#other-clients).
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if the client has no such value without a serializer: a float for those of Python and for Dalli, an integer of
    /// more than 64 bits for PHP and Java; or if it has more than 16 MiB and would be compressed, since it would not be read again.
    pub fn encode<V: ToPlain + ?Sized>(self, value: &V) -> Result<Data<'_>, Error> {
        self.encode_plain(value.to_plain(), self.compresses_from())
    }

    /// Reads a value, which may be compressed.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if it is no `T`, if it was serialized (by pickle, Marshal, PHP or Java), if the client has no such flags, or if
    /// it would have more than 16 MiB decompressed.
    pub fn decode<T: FromPlain>(self, value: Value) -> Result<T, Error> {
        let (length, flags) = (value.data.len(), value.flags);
        self.read(value.into_bytes(), flags).map_err(|reason| unreadable::<T>(length, flags, reason))
    }

    /// The least number of bytes of a value that the client compresses by default.
    pub(crate) fn compresses_from(self) -> usize {
        match self {
            Self::Raw | Self::PyLibmc | Self::PyMemcache | Self::PythonMemcached => usize::MAX,
            Self::Dalli => dalli::COMPRESSED_FROM,
            Self::PhpMemcached => php::COMPRESSED_FROM,
            Self::SpyMemcached => spy::COMPRESSED_FROM,
        }
    }

    pub(crate) fn encode_plain(self, plain: Plain<'_>, compressed_from: usize) -> Result<Data<'_>, Error> {
        self.encode_to_read(plain, compressed_from, Compression::MAX)
    }

    /// The same for a value that is read with a limit of `max` bytes: a longer one is refused, unless it is stored as it is.
    pub(super) fn encode_to_read(
        self,
        plain: Plain<'_>,
        compressed_from: usize,
        max: usize,
    ) -> Result<Data<'_>, Error> {
        let length = match &plain {
            Plain::Bytes(bytes) => bytes.len(),
            Plain::Text(text) => text.len(),
            // What is no text and no bytes is short.
            _ => 0,
        };
        let data = self.encode_any_length(plain, compressed_from)?;
        if length > max && data.as_bytes().len() < length {
            return Err(Error::value(format!(
                "it has {length} bytes, and of what is compressed at most {max} are read again"
            )));
        }
        Ok(data)
    }

    fn encode_any_length(self, plain: Plain<'_>, compressed_from: usize) -> Result<Data<'_>, Error> {
        match self {
            Self::Raw => Ok(raw(plain)),
            Self::PyLibmc | Self::PyMemcache | Self::PythonMemcached => python::encode(self, plain, compressed_from),
            Self::Dalli => dalli::encode(plain, compressed_from),
            Self::PhpMemcached => php::encode(plain, compressed_from),
            Self::SpyMemcached => spy::encode(plain, compressed_from),
        }
    }

    pub(super) fn read<T: FromPlain>(self, stored: Bytes, flags: u64) -> Result<T, String> {
        T::from_read(match self {
            Self::Raw => Ok(super::bytes(stored)),
            Self::PyLibmc | Self::PyMemcache | Self::PythonMemcached => python::decode(stored, flags),
            Self::Dalli => dalli::decode(stored, flags),
            Self::PhpMemcached => php::decode(stored, flags),
            Self::SpyMemcached => spy::decode(stored, flags),
        })
    }
}

/// The name of the client: `pylibmc`, `Dalli`.
impl Display for Codec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::PyLibmc => "pylibmc",
            Self::PyMemcache => "pymemcache",
            Self::PythonMemcached => "python-memcached",
            Self::Dalli => "Dalli",
            Self::PhpMemcached => "php-memcached",
            Self::SpyMemcached => "spymemcached",
        })
    }
}

fn raw(plain: Plain<'_>) -> Data<'_> {
    match plain {
        Plain::Bytes(bytes) => data(bytes, 0),
        Plain::Text(text) => data(text_bytes(text), 0),
        Plain::Int(int) => int.to_string().into(),
        Plain::Int32(int) => int.to_string().into(),
        Plain::Float(number) => number.to_string().into(),
        Plain::Float32(number) => number.to_string().into(),
        Plain::Bool(truth) => if truth { "true" } else { "false" }.into(),
    }
}
