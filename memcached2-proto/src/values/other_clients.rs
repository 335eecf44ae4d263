//! Values as other clients store them.

mod codec;
mod dalli;
mod php;
mod plain;
mod python;
mod spy;

pub use self::codec::Codec;
use self::plain::kind;
pub use self::plain::{FromPlain, Plain, ToPlain};

use std::borrow::Cow;

use crate::data::{Data, ToValue};
use crate::error::Error;
use crate::value::{FromValue, Value, unreadable};
use crate::values::Compression;
use bytes::Bytes;

/// What is said of a value that is not stored: it has no such type in the other client.
fn not_stored(client: Codec, plain: &Plain<'_>) -> Error {
    let kind = match plain {
        Plain::Int(_) => "an integer of more than 64 bits",
        other => kind(other),
    };
    Error::value(format!("{kind} is no value that {client} has without a serializer: store its text"))
}

/// A plain value that was stored as it is.
fn data(bytes: Cow<'_, [u8]>, flags: u32) -> Data<'_> {
    let data = match bytes {
        Cow::Borrowed(bytes) => Data::from(bytes),
        Cow::Owned(bytes) => Data::from(bytes),
    };
    data.with_flags(flags)
}

fn text_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn text(bytes: Bytes) -> Result<Plain<'static>, String> {
    let text = String::from_utf8(bytes.into()).map_err(|error| format!("its text is no UTF-8: {error}"))?;
    Ok(Plain::Text(text.into()))
}

fn bytes(bytes: Bytes) -> Plain<'static> {
    Plain::Bytes(Vec::from(bytes).into())
}

/// The text of an integer, which may have blanks after a `decr`.
fn integer(bytes: &[u8]) -> Result<Plain<'static>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    text.trim().parse().map(Plain::Int).map_err(|error| format!("it is no integer of 128 bits: {error}"))
}

fn unknown_flags(client: &str) -> String {
    format!("{client} has no such flags")
}

macro_rules! clients {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name<T>(pub T);

            impl<T: ToPlain> ToValue for $name<T> {
                fn to_value(&self) -> Result<Data<'_>, Error> {
                    Codec::$name.encode(&self.0)
                }
            }

            impl<T: FromPlain> FromValue for $name<T> {
                fn from_value(value: Value) -> Result<Self, Error> {
                    let (length, flags) = (value.data.len(), value.flags);
                    let read = Codec::$name.read(value.into_bytes(), flags);
                    read.map(Self).map_err(|reason| unreadable::<Self>(length, flags, reason))
                }
            }
        )*
    };
}

clients! {
    /// A value as python-memcached 1.62 stores it. With `Zlib` around it, a long one is compressed as by `min_compress_len`; what is read
    /// may be compressed.
    ///
    /// ```
    /// use memcached2_proto::values::{Plain, PythonMemcached};
    /// use memcached2_proto::{FromValue, ToValue, Value};
    ///
    /// // client.set("greeting", PythonMemcached("hello"), Expiry::Never)?;
    /// let data = PythonMemcached("hello").to_value()?;
    /// assert_eq!((data.as_bytes(), data.flags()), (&b"hello"[..], 16));
    ///
    /// // client.get_as::<PythonMemcached<u32>>("visits")?
    /// let visits = Value::new("7".into(), 2);
    /// assert_eq!(PythonMemcached::<u32>::from_value(visits.clone())?.0, 7);
    /// // Of a type that is not known before:
    /// assert_eq!(PythonMemcached::<Plain>::from_value(visits)?.0, Plain::Int(7));
    ///
    /// let pickle = Value::new("(lp0\n.".into(), 1);
    /// let error = PythonMemcached::<Plain>::from_value(pickle).unwrap_err();
    /// assert!(error.to_string().contains("it is a pickle of Python"));
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    PythonMemcached

    /// A value as pymemcache 4.0 stores it with `serde.pickle_serde`. With `Zlib` around it, a long one is compressed as by
    /// `serde.compressed_serde`; what is read may be compressed.
    PyMemcache

    /// A value as pylibmc 1.6 stores it. With `Zlib` around it, a long one is compressed as by `min_compress_len`; what is read may be
    /// compressed.
    PyLibmc

    /// A value as Dalli stores it, the client of Ruby: text as with `string_fastpath`, integers as with `raw`, where Ruby reads
    /// strings. Values of at least 4 KiB are compressed by zlib; what is read may be compressed by gzip, too.
    Dalli

    /// A value as the extension memcached 3.3 of PHP stores it. Values of at least 2000 bytes are compressed by zlib. What is read may be
    /// compressed by fastlz, too, and with the feature `zstd` by zstd.
    PhpMemcached

    /// A value as the `SerializingTranscoder` of spymemcached stores it, the client of Java: integers of the types `i8`, `i16`, `i32`,
    /// `u8` and `u16` as an `Integer`, those of wider types and of `u32` as a `Long`. Values of more than 16 KiB are compressed by
    /// gzip. A `Date` is read as an integer of milliseconds since 1970.
    SpyMemcached
}

#[cfg(test)]
mod tests;
