//! Compressed values.

use crate::data::{Data, ToValue};
use crate::error::Error;
use crate::value::{FromValue, Value};
#[cfg(feature = "zlib")]
use crate::values::inflate;

/// How a value is compressed. [`Zlib`] and [`Zstd`] do it for values of a type, with these limits:
///
/// ```
/// use memcached2_proto::values::Compression;
/// use memcached2_proto::{Data, Value};
///
/// let text = "the same again. ".repeat(1000);
/// let data = Compression::Zlib.compress(Data::from(text.as_str()), Compression::MIN)?;
/// assert!(data.as_bytes().len() < 200);
///
/// let stored = Value::new(data.clone().into_bytes(), data.flags().into());
/// let value = Compression::Zlib.decompress(stored.clone(), Compression::MAX)?;
/// assert_eq!((value.as_str()?, value.flags), (&text[..], 0));
///
/// // With a limit of your own:
/// assert!(Compression::Zlib.decompress(stored, 1000).is_err());
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// The format of RFC 1950, by the crate flate2. Its flag, 8, is that of python-memcached, pymemcache and pylibmc.
    #[cfg(feature = "zlib")]
    Zlib,
    /// The format of RFC 8878, by the crate zstd. Its flag is 64.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Compression {
    /// Values of fewer bytes are not compressed by [`Zlib`] and [`Zstd`].
    pub const MIN: usize = 1024;

    /// The most bytes that a value may have when it is decompressed by [`Zlib`] and [`Zstd`]: 16 MiB.
    pub const MAX: usize = 16 << 20;

    /// The bit of the flags that says that a value is compressed in this way.
    #[must_use]
    pub const fn flag(self) -> u32 {
        match self {
            #[cfg(feature = "zlib")]
            Self::Zlib => 1 << 3,
            #[cfg(feature = "zstd")]
            Self::Zstd => 1 << 6,
        }
    }

    /// Compresses `data` if it has at least `min` bytes and becomes shorter, and adds the [flag](Self::flag).
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if it has this flag already: it could not be told apart from what is compressed.
    pub fn compress(self, data: Data<'_>, min: usize) -> Result<Data<'_>, Error> {
        let (flags, length) = (data.flags(), data.as_bytes().len());
        if flags & self.flag() != 0 {
            let flag = self.flag();
            return Err(Error::value(format!(
                "its flags {flags} have the bit {flag}, which says that it is compressed"
            )));
        }
        if length < min {
            return Ok(data);
        }
        let compressed = match self {
            #[cfg(feature = "zlib")]
            Self::Zlib => inflate::zlib(data.as_bytes()).map_err(Error::value)?,
            #[cfg(feature = "zstd")]
            Self::Zstd => zstandard::compress(data.as_bytes()).map_err(Error::value)?,
        };
        Ok(if compressed.len() < length { Data::from(compressed).with_flags(flags | self.flag()) } else { data })
    }

    /// The same for a value that is read with a limit of `max` bytes: a longer one is refused, unless it is stored as it is.
    fn compress_to_read(self, data: Data<'_>, min: usize, max: usize) -> Result<Data<'_>, Error> {
        let (flags, length) = (data.flags(), data.as_bytes().len());
        let stored = self.compress(data, min)?;
        if length > max && stored.flags() != flags {
            return Err(Error::value(format!(
                "it has {length} bytes, and at most {max} are read again; `Compression` has limits of your own"
            )));
        }
        Ok(stored)
    }

    /// Decompresses a value with the [flag](Self::flag), and takes the flag away; another value is returned as it is.
    ///
    /// A value that is longer than `max` is refused, and takes less than 1 MiB of memory until that is known.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if it is longer than `max` bytes, damaged, or cut. A value by zstd must also say its length, as it does unless it
    /// was compressed as a stream.
    pub fn decompress(self, value: Value, max: usize) -> Result<Value, Error> {
        self.decompress_to::<Value>(value, max)
    }

    /// The same for a `T`, which an error names.
    fn decompress_to<T>(self, value: Value, max: usize) -> Result<Value, Error> {
        if value.flags & u64::from(self.flag()) == 0 {
            return Ok(value);
        }
        let inflated = match self {
            #[cfg(feature = "zlib")]
            Self::Zlib => inflate::from_zlib(&value.data, max),
            #[cfg(feature = "zstd")]
            Self::Zstd => zstandard::decompress(&value.data, max),
        };
        match inflated {
            Ok(bytes) => Ok(Value { data: bytes.into(), flags: value.flags & !u64::from(self.flag()), cas: value.cas }),
            Err(reason) => Err(value.unreadable::<T>(reason)),
        }
    }
}

#[cfg(feature = "zstd")]
pub(super) mod zstandard {
    use zstd::bulk::Compressor;
    use zstd::zstd_safe::get_frame_content_size;

    /// The usual level of zstd.
    const LEVEL: i32 = 3;

    pub(crate) fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.compress(bytes)
    }

    /// What was compressed, if it has at most `max` bytes: as many as it says itself.
    pub(crate) fn decompress(bytes: &[u8], max: usize) -> Result<Vec<u8>, String> {
        let length = match get_frame_content_size(bytes) {
            Ok(Some(length)) => length,
            Ok(None) => return Err("it was compressed as a stream, and does not say its length".to_owned()),
            Err(_) => return Err("it cannot be decompressed: it is no frame of zstd".to_owned()),
        };
        let length = usize::try_from(length).ok().filter(|length| *length <= max);
        let length =
            length.ok_or_else(|| format!("decompressed it has more than the {max} bytes that are accepted"))?;
        match zstd::bulk::decompress(bytes, length) {
            Ok(inflated) if inflated.len() == length => Ok(inflated),
            Ok(inflated) => Err(format!("it has {} bytes, and says {length}", inflated.len())),
            Err(error) => Err(format!("it cannot be decompressed: {error}")),
        }
    }
}

macro_rules! wrappers {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name<V>(pub V);

            impl<V: ToValue> ToValue for $name<V> {
                fn to_value(&self) -> Result<Data<'_>, Error> {
                    Compression::$name.compress_to_read(self.0.to_value()?, Compression::MIN, Compression::MAX)
                }
            }

            impl<V: FromValue> FromValue for $name<V> {
                fn from_value(value: Value) -> Result<Self, Error> {
                    let value = Compression::$name.decompress_to::<Self>(value, Compression::MAX)?;
                    V::from_value(value).map(Self)
                }
            }
        )*
    };
}

#[cfg(feature = "zlib")]
wrappers! {
    /// A value that is compressed by zlib, if it has at least 1024 bytes and becomes shorter: of any type, such as text, bytes or `Json`.
    ///
    /// What is read may be compressed or not: a [flag](Compression::flag) says so. One that is compressed and has more than 16 MiB is
    /// refused, when it is stored and when it is read. [`Compression`] has limits of your own.
    ///
    /// ```
    /// use memcached2_proto::values::Zlib;
    /// use memcached2_proto::{FromValue, ToValue, Value};
    ///
    /// let page = "<p>hello</p>".repeat(100);
    /// // client.set("page:1", Zlib(&page), Expiry::Never)?;
    /// let stored = Zlib(&page);
    /// let data = stored.to_value()?;
    /// assert!(data.as_bytes().len() < 50);
    ///
    /// // client.get_as::<Zlib<String>>("page:1")?
    /// let value = Value::new(data.clone().into_bytes(), data.flags().into());
    /// assert_eq!(Zlib::<String>::from_value(value)?.0, page);
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    Zlib
}

#[cfg(feature = "zstd")]
wrappers! {
    /// A value that is compressed by zstd, if it has at least 1024 bytes and becomes shorter: of any type, such as text, bytes or `Json`.
    ///
    /// It takes less time than zlib, and becomes shorter. What is read may be compressed or not: a [flag](Compression::flag) says so. One
    /// that is compressed and has more than 16 MiB is refused, when it is stored and when it is read. [`Compression`] has limits of your
    /// own.
    Zstd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(data: &Data<'_>) -> Value {
        Value::new(data.clone().into_bytes(), data.flags().into())
    }

    #[cfg(feature = "zlib")]
    #[test]
    fn only_what_becomes_shorter_is_compressed() {
        let noise: Vec<u8> =
            (0_u32..500).flat_map(|at| at.wrapping_mul(0x9e37_79b1).rotate_left(7).to_le_bytes()).collect();
        for (plain, is_compressed) in
            [(vec![b'x'; Compression::MIN - 1], false), (vec![b'x'; Compression::MIN], true), (noise, false)]
        {
            let wrapped = Zlib(Data::from(&plain[..]).with_flags(3));
            let data = wrapped.to_value().unwrap();
            assert_eq!(data.flags(), if is_compressed { 3 | 8 } else { 3 });
            assert_eq!(data.as_bytes().len() < plain.len(), is_compressed);
            assert_eq!(Zlib::<Value>::from_value(stored(&data)).unwrap().0, Value::new(plain.into(), 3));
        }
    }

    #[cfg(feature = "zlib")]
    #[test]
    fn a_value_with_the_flag_of_what_is_compressed_is_not_stored() {
        let error = Zlib(Data::from("x").with_flags(9)).to_value().unwrap_err();
        assert!(error.to_string().contains("its flags 9 have the bit 8"), "{error}");
        let error = Zlib::<String>::from_value(Value::new("plain".into(), 8)).unwrap_err();
        assert!(
            error.to_string().contains("5 bytes with flags 8 cannot be read as Zlib<String>: it cannot be"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_could_not_be_read_again_is_not_stored() {
        let noise: Vec<u8> =
            (0_u32..500).flat_map(|at| at.wrapping_mul(0x9e37_79b1).rotate_left(7).to_le_bytes()).collect();
        for compression in [
            #[cfg(feature = "zlib")]
            Compression::Zlib,
            #[cfg(feature = "zstd")]
            Compression::Zstd,
        ] {
            let compress = |bytes| compression.compress_to_read(Data::from(bytes), 1024, 1999);
            assert!(compress(&[0; 1999][..]).unwrap().as_bytes().len() < 100);
            let error = compress(&[0; 2000][..]).unwrap_err().to_string();
            assert!(error.contains("it has 2000 bytes, and at most 1999 are read again"), "{error}");
            // It is stored as it is.
            assert_eq!(compress(&noise[..]).unwrap().as_bytes(), noise);
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn wrappers_store_as_much_as_they_read() {
        let largest = vec![0; Compression::MAX];
        let wrapped = Zstd(&largest);
        let data = wrapped.to_value().unwrap();
        assert!(Zstd::<Vec<u8>>::from_value(stored(&data)).unwrap().0 == largest);
        assert!(Zstd(vec![0; Compression::MAX + 1]).to_value().is_err());
    }

    #[cfg(all(feature = "zlib", feature = "zstd"))]
    #[test]
    fn one_compression_within_another_is_read_from_outside_to_inside() {
        let text = "text ".repeat(1000);
        let wrapped = Zlib(Zstd(&text));
        let data = wrapped.to_value().unwrap();
        assert_eq!(Zlib::<Zstd<String>>::from_value(stored(&data)).unwrap().0.0, text);
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn a_frame_of_zstd_that_is_cut_damaged_or_followed_by_bytes_is_refused() {
        let plain = b"some text, and again some text".repeat(50);
        let compressed = zstandard::compress(&plain).unwrap();
        assert_eq!(zstandard::decompress(&compressed, plain.len()), Ok(plain.clone()));
        assert!(zstandard::decompress(&compressed, plain.len() - 1).unwrap_err().contains("more than the 1499 bytes"));
        for cut in 0..compressed.len() {
            assert!(zstandard::decompress(&compressed[..cut], plain.len()).is_err(), "{cut}");
        }
        let mut damaged = compressed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(zstandard::decompress(&damaged, plain.len()).is_err());
        assert!(zstandard::decompress(&[&compressed[..], b"x"].concat(), plain.len()).is_err());
        assert!(zstandard::decompress(&compressed.repeat(2), 2 * plain.len()).is_err());
    }
}
