//! What is stored: bytes on their way out, and the types that become such bytes.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::value::{Value, ValueBytes};

/// The bytes of a value to be stored, borrowed or shared, and the flags to be stored beside them.
///
/// Borrowed bytes are copied into the request. Shared ones ([`Bytes`], or a `Vec` or `String` given away) are copied
/// only while they are small; from [`Data::SHARED_MIN`] bytes on they are written from where they lie.
#[derive(Debug, Clone)]
pub struct Data<'v> {
    source: Source<'v>,
    flags: u32,
}

#[derive(Debug, Clone)]
enum Source<'v> {
    Borrowed(&'v [u8]),
    Shared(Bytes),
    Number(Decimal),
}

/// A number of 64 bits in decimal, and its length.
#[derive(Debug, Clone, Copy)]
struct Decimal([u8; 20], u8);

impl<'v> Data<'v> {
    /// Shared data of at least this many bytes is not copied: below, a copy costs less than a further slice to write.
    pub const SHARED_MIN: usize = 16 * 1024;

    /// The most bytes a value can have on the wire: the server reads its length into 32 bits and adds the line end
    /// (memcached 1.6.45, `process_update_command`). What a server accepts is far less, 1 MiB unless it was started
    /// with another `-I`.
    pub const MAX: usize = i32::MAX as usize - 2;

    #[inline]
    fn new(source: Source<'v>) -> Self {
        Self { source, flags: 0 }
    }

    /// Sets the number that is stored beside the bytes and comes back with them; 0 unless set.
    #[must_use]
    #[inline]
    pub fn with_flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// The number that is stored beside the bytes.
    #[must_use]
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.source {
            Source::Borrowed(bytes) => bytes,
            Source::Shared(bytes) => bytes,
            Source::Number(Decimal(digits, length)) => &digits[..usize::from(*length)],
        }
    }

    /// The bytes as they lie, if they are shared; else a copy of them.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.source {
            Source::Shared(bytes) => bytes,
            Source::Borrowed(_) | Source::Number(_) => Bytes::copy_from_slice(self.as_bytes()),
        }
    }

    /// The bytes to be queued without a copy, if they are worth it.
    #[inline]
    pub(crate) fn share(&self) -> Option<Bytes> {
        match &self.source {
            Source::Shared(bytes) if bytes.len() >= Self::SHARED_MIN => Some(bytes.clone()),
            Source::Shared(_) | Source::Borrowed(_) | Source::Number(_) => None,
        }
    }
}

impl AsRef<[u8]> for Data<'_> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<'v> From<&'v [u8]> for Data<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::new(Source::Borrowed(bytes))
    }
}

impl<'v> From<&'v str> for Data<'v> {
    fn from(text: &'v str) -> Self {
        Self::new(Source::Borrowed(text.as_bytes()))
    }
}

impl From<Bytes> for Data<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::new(Source::Shared(bytes))
    }
}

impl From<Vec<u8>> for Data<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Source::Shared(bytes.into()))
    }
}

impl From<String> for Data<'_> {
    fn from(text: String) -> Self {
        Self::new(Source::Shared(text.into()))
    }
}

/// What can be stored: bytes, text, numbers, `bool`, and types of your own.
///
/// | type | stored as | flags |
/// |---|---|---|
/// | `[u8]`, `Vec<u8>`, [`Bytes`] | the bytes | 0 |
/// | `str`, `String` | UTF-8 | 0 |
/// | `char` | UTF-8 | 0 |
/// | integers up to 64 bits | decimal digits, which `incr` and `decr` count up to [`u64::MAX`] | 0 |
/// | `u128`, `i128` | decimal digits | 0 |
/// | `f32`, `f64` | the shortest decimal text that is read as the same number; also `inf` and `NaN` | 0 |
/// | `bool` | `true` or `false` | 0 |
/// | [`Value`], [`Data`] | the bytes | its own |
///
/// A large value is best given as [`Bytes`], or as a [`Data`] made of a `Vec` or a `String`: those are not copied.
///
/// A type of your own says in [`ToValue`] how it is stored, and in [`FromValue`](crate::FromValue) how it is read:
///
/// ```
/// use memcached2_proto::{Data, Error, FromValue, ToValue, Value};
///
/// #[derive(Debug, PartialEq)]
/// struct Point { x: i32, y: i32 }
///
/// impl ToValue for Point {
///     fn to_value(&self) -> Result<Data<'_>, Error> {
///         Ok(Data::from(format!("{},{}", self.x, self.y)).with_flags(7))
///     }
/// }
///
/// impl FromValue for Point {
///     fn from_value(value: Value) -> Result<Self, Error> {
///         let (x, y) = value.as_str()?.split_once(',').ok_or_else(|| Error::value("a point is x,y"))?;
///         let number = |text: &str| text.parse().map_err(Error::value);
///         Ok(Self { x: number(x)?, y: number(y)? })
///     }
/// }
///
/// let stored = Point { x: 3, y: -4 };
/// let data = stored.to_value()?;
/// assert_eq!((data.as_bytes(), data.flags()), (&b"3,-4"[..], 7));
/// assert_eq!(Point::from_value(Value::new(data.into_bytes(), 7))?, stored);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored",
    label = "no bytes, text, number or bool",
    note = "implement `ToValue` for it, or store its bytes or text"
)]
pub trait ToValue {
    /// The bytes and the flags to be stored.
    ///
    /// # Errors
    ///
    /// When it cannot be said in bytes: [`Error::value`] makes such an error. Nothing is sent then.
    fn to_value(&self) -> Result<Data<'_>, Error>;
}

impl ToValue for [u8] {
    #[inline]
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.into())
    }
}

impl<const N: usize> ToValue for [u8; N] {
    #[inline]
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.as_slice().into())
    }
}

impl ToValue for Vec<u8> {
    #[inline]
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.as_slice().into())
    }
}

impl ToValue for str {
    #[inline]
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.into())
    }
}

impl ToValue for String {
    #[inline]
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.as_str().into())
    }
}

impl ToValue for Bytes {
    #[inline]
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.clone().into())
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        let flags = u32::try_from(self.flags).map_err(|_| {
            Error::value(format!("its flags {} have more than the 32 bits that can be stored", self.flags))
        })?;
        let data = match &self.data {
            ValueBytes::Inline(..) => Data::from(self.data()),
            ValueBytes::Shared(bytes) => Data::from(bytes.clone()),
        };
        Ok(data.with_flags(flags))
    }
}

impl ToValue for Data<'_> {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(self.clone())
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        Ok(if *self { "true" } else { "false" }.into())
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl ToValue for $number {
            fn to_value(&self) -> Result<Data<'_>, Error> {
                let mut buffer = itoa::Buffer::new();
                let text = buffer.format(*self).as_bytes();
                let mut digits = [0; 20];
                digits[..text.len()].copy_from_slice(text);
                // Twenty characters hold any number of 64 bits, with its sign.
                Ok(Data::new(Source::Number(Decimal(digits, text.len() as u8))))
            }
        })*
    };
}

numbers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

macro_rules! texts {
    ($($number:ty)*) => {
        $(impl ToValue for $number {
            fn to_value(&self) -> Result<Data<'_>, Error> {
                Ok(self.to_string().into())
            }
        })*
    };
}

texts!(f32 f64 u128 i128 char);

macro_rules! pointers {
    ($($pointer:ty)*) => {
        $(impl<T: ToValue + ?Sized> ToValue for $pointer {
            #[inline]
            fn to_value(&self) -> Result<Data<'_>, Error> {
                (**self).to_value()
            }
        })*
    };
}

pointers!(&T &mut T Box<T> Rc<T> Arc<T>);

impl<T: ToValue + ToOwned + ?Sized> ToValue for Cow<'_, T> {
    fn to_value(&self) -> Result<Data<'_>, Error> {
        (**self).to_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_stored(value: &(impl ToValue + ?Sized), bytes: &[u8], flags: u32) {
        let data = value.to_value().unwrap();
        assert_eq!((data.as_bytes(), data.flags()), (bytes, flags));
        assert_eq!(&data.into_bytes()[..], bytes);
    }

    #[test]
    fn each_type_has_its_bytes() {
        assert_stored(&b"bytes"[..], b"bytes", 0);
        assert_stored(b"bytes", b"bytes", 0);
        assert_stored(&b"bytes".to_vec(), b"bytes", 0);
        assert_stored(&Bytes::from_static(b"bytes"), b"bytes", 0);
        assert_stored("text", b"text", 0);
        assert_stored(&String::from("text"), b"text", 0);
        assert_stored(&Cow::Borrowed("text"), b"text", 0);
        assert_stored(&&Arc::<str>::from("text"), b"text", 0);
        assert_stored(&0_u8, b"0", 0);
        assert_stored(&u64::MAX, b"18446744073709551615", 0);
        assert_stored(&i64::MIN, b"-9223372036854775808", 0);
        assert_stored(&-5_i16, b"-5", 0);
        assert_stored(&u128::MAX, b"340282366920938463463374607431768211455", 0);
        assert_stored(&i128::MIN, b"-170141183460469231731687303715884105728", 0);
        assert_stored(&'\u{e9}', "\u{e9}".as_bytes(), 0);
        assert_stored(&0.1_f32, b"0.1", 0);
        assert_stored(&-2.5e300_f64, (-2.5e300_f64).to_string().as_bytes(), 0);
        assert_stored(&f64::INFINITY, b"inf", 0);
        assert_stored(&true, b"true", 0);
        assert_stored(&false, b"false", 0);
        assert_stored(&Value::new(Bytes::from_static(b"v"), 9), b"v", 9);
        assert_stored(&Data::from("text").with_flags(u32::MAX), b"text", u32::MAX);
    }

    #[test]
    fn only_large_shared_data_is_not_copied() {
        let large = vec![b'x'; Data::SHARED_MIN];
        assert!(large.to_value().unwrap().share().is_none());
        assert!(Data::from(large.clone()).share().is_some());
        assert!(Bytes::from(large.clone()).to_value().unwrap().share().is_some());
        assert!(Data::from(large[1..].to_vec()).share().is_none());
    }
}
