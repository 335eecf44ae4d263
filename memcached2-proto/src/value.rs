//! What comes back: a stored item, and the types that can be read from it.

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::Error;

pub(crate) use self::value_bytes::ValueBytes;

mod value_bytes;

/// A stored item as the server returned it.
///
/// A clone shares the bytes, or copies them if they are fewer than 24 (12 where addresses have 32 bits): those lie within the value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Value {
    pub(crate) data: ValueBytes,
    /// The number that was stored beside the value; memcached gives it no meaning. It has 32 bits, or 64 on a server that
    /// was built with `--enable-large-client-flags`.
    pub flags: u64,
    /// The version of the item, where the request asked for it. A server that was restarted counts from 1 again, so an item that was
    /// stored since may have the version of one that is lost: a `cas` cannot tell them apart.
    pub cas: Option<u64>,
}

impl Value {
    /// A value of `data` with `flags`: what a test or a cache in front of the client makes.
    #[must_use]
    pub fn new(data: Bytes, flags: u64) -> Self {
        Self { data: data.into(), flags, cas: None }
    }

    /// The bytes of the value.
    #[must_use]
    #[inline]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The value as text.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] when it is not UTF-8.
    pub fn as_str(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.data).map_err(|error| self.unreadable::<str>(error))
    }

    /// Reads the value as text that spells a `T`, such as a number.
    ///
    /// Blanks after it are ignored: memcached leaves them when a `decr` makes a number shorter (`doc/protocol.txt` of
    /// memcached 1.6.45, "Increment/Decrement").
    ///
    /// ```
    /// use memcached2_proto::{Bytes, Value};
    ///
    /// let value = Value::new(Bytes::from_static(b"9 "), 0);
    /// assert_eq!(value.parse::<u64>(), Ok(9));
    /// assert!(value.parse::<bool>().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Value`] when it is not UTF-8, or spells no `T`.
    pub fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, Error> {
        let text = std::str::from_utf8(&self.data).map_err(|error| self.unreadable::<T>(error))?;
        text.trim_end_matches(' ').parse().map_err(|error| self.unreadable::<T>(error))
    }

    /// The error of a value that cannot be read as a `T`.
    #[cold]
    pub(crate) fn unreadable<T: ?Sized>(&self, reason: impl Display) -> Error {
        let hint = match self.flags {
            0 => "",
            _ => "; a client that sets flags may have compressed or serialized it",
        };
        unreadable::<T>(self.data.len(), self.flags, format_args!("{reason}{hint}"))
    }

    /// The bytes of the value, to be kept or shared.
    ///
    /// Those that lie within the value are copied.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.data.into_bytes()
    }
}

/// The error of a value with these flags that cannot be read as a `T`.
#[cold]
pub(crate) fn unreadable<T: ?Sized>(length: usize, flags: u64, reason: impl Display) -> Error {
    let name = short_name::<T>();
    Error::value(format!("{length} bytes with flags {flags} cannot be read as {name}: {reason}"))
}

/// The name of a type without the modules that it and its parameters are in.
pub(crate) fn short_name<T: ?Sized>() -> String {
    let name = std::any::type_name::<T>();
    let is_of_a_path = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ':');
    let paths = name.split_inclusive(|letter| !is_of_a_path(letter));
    paths.map(|path| path.rsplit("::").next().unwrap_or(path)).collect()
}

/// What a stored item can be read as: bytes, text, numbers, `bool`, and types of your own.
///
/// `get` returns a [`Value`], `get_as` any of these types. [`ToValue`](crate::ToValue) is the other direction, and
/// shows how to add your own type.
#[diagnostic::on_unimplemented(
    message = "a stored value cannot be read as `{Self}`",
    label = "no bytes, text, number or bool",
    note = "implement `FromValue` for it, or read the `Value` itself"
)]
pub trait FromValue: Sized {
    /// Reads the item.
    ///
    /// # Errors
    ///
    /// When it cannot be read as this type: [`Error::value`] makes such an error.
    fn from_value(value: Value) -> Result<Self, Error>;
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value.into_bytes())
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value.data.into_vec())
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Error> {
        let flags = value.flags;
        Self::from_utf8(value.data.into_vec()).map_err(|error| {
            let reason = error.utf8_error();
            Value::new(error.into_bytes().into(), flags).unreadable::<Self>(reason)
        })
    }
}

/// `true` and `1` are true, `false` and `0` are false.
impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, Error> {
        match &value.data[..] {
            b"true" | b"1" => Ok(true),
            b"false" | b"0" => Ok(false),
            _ => Err(value.unreadable::<Self>("it is none of true, false, 1 and 0")),
        }
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl FromValue for $number {
            fn from_value(value: Value) -> Result<Self, Error> {
                value.parse()
            }
        })*
    };
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

impl FromValue for char {
    fn from_value(value: Value) -> Result<Self, Error> {
        // A blank is one, too.
        let read = value.as_str()?.parse();
        read.map_err(|error| value.unreadable::<Self>(error))
    }
}

/// `None` if the value cannot be read as a `T`: for values that another version of a program has stored, which shall count as
/// a miss.
///
/// ```
/// use memcached2_proto::{Bytes, FromValue, Value};
///
/// // client.get_as::<Option<u64>>("visits")?.flatten()
/// let read = |stored: &'static str| Option::<u64>::from_value(Value::new(Bytes::from_static(stored.as_bytes()), 0));
/// assert_eq!((read("7")?, read("seven")?), (Some(7), None));
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        match T::from_value(value) {
            Ok(read) => Ok(Some(read)),
            Err(Error::Value { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

macro_rules! compared {
    ($([$($generics:tt)*] $bytes:ty;)*) => {
        $(
            /// Compares the bytes of the value.
            impl<$($generics)*> PartialEq<$bytes> for Value {
                fn eq(&self, other: &$bytes) -> bool {
                    *self.data == *AsRef::<[u8]>::as_ref(other)
                }
            }

            /// Compares the bytes of the value.
            impl<$($generics)*> PartialEq<Value> for $bytes {
                fn eq(&self, other: &Value) -> bool {
                    other == self
                }
            }
        )*
    };
}

compared! {
    [] [u8];
    [] &[u8];
    [const N: usize] [u8; N];
    [const N: usize] &[u8; N];
    [] Vec<u8>;
    [] Bytes;
    [] str;
    [] &str;
    [] String;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &'static [u8]) -> Value {
        Value::new(Bytes::from_static(bytes), 0)
    }

    #[test]
    fn the_name_of_a_type_has_no_modules() {
        assert_eq!(short_name::<u64>(), "u64");
        assert_eq!(short_name::<str>(), "str");
        assert_eq!(short_name::<Option<Vec<(Value, String)>>>(), "Option<Vec<(Value, String)>>");
        assert_eq!(short_name::<std::collections::HashMap<String, &[u8]>>(), "HashMap<String, &[u8]>");
    }

    fn read<T: FromValue>(bytes: &'static [u8]) -> Option<T> {
        match T::from_value(value(bytes)) {
            Ok(read) => Some(read),
            Err(Error::Value { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn a_value_is_compared_with_bytes_and_text_of_each_type_in_both_directions() {
        macro_rules! assert_compared {
            ($($same:expr, $other:expr;)*) => {
                $(
                    assert!(value(b"x") == $same && $same == value(b"x"));
                    assert!(value(b"x") != $other && $other != value(b"x"));
                )*
            };
        }
        assert_compared! {
            b"x"[..], b"y"[..];
            &b"x"[..], &b"xx"[..];
            *b"x", *b"";
            b"x", b"xy";
            vec![b'x'], Vec::new();
            Bytes::from_static(b"x"), Bytes::new();
            *"x", *"X";
            "x", "";
            String::from("x"), String::new();
        }
    }

    #[test]
    fn an_error_names_the_type_and_the_flags() {
        for (error, text) in [
            (
                value(b"x").parse::<u64>().unwrap_err(),
                "1 bytes with flags 0 cannot be read as u64: invalid digit found in string",
            ),
            (
                String::from_value(Value::new(Bytes::from_static(b"\xff"), 16)).unwrap_err(),
                "1 bytes with flags 16 cannot be read as String: invalid utf-8 sequence of 1 bytes from index 0; a client that \
                 sets flags may have compressed or serialized it",
            ),
        ] {
            assert_eq!(error.to_string(), format!("cannot convert the value: {text}"));
        }
    }

    #[test]
    fn each_type_is_read_from_its_bytes() {
        assert_eq!(read::<Value>(b"x"), Some(value(b"x")));
        assert_eq!(read::<Bytes>(b"x"), Some(Bytes::from_static(b"x")));
        assert_eq!(read::<Vec<u8>>(b"\xff"), Some(vec![0xff]));
        assert_eq!(read::<String>(b"caf\xc3\xa9"), Some("caf\u{e9}".to_owned()));
        assert_eq!(read::<String>(b"\xff"), None);
        for number in [0.1, -2.5e300, f64::MIN_POSITIVE, f64::INFINITY] {
            assert_eq!(Value::new(number.to_string().into(), 0).parse(), Ok(number));
        }
        assert_eq!(read::<f32>(b"x"), None);
        for (bytes, expected) in [(&b"true"[..], Some(true)), (b"1", Some(true)), (b"0", Some(false)), (b"yes", None)] {
            assert_eq!(read::<bool>(bytes), expected);
        }
        for (bytes, expected) in [
            (&b"18446744073709551615"[..], Some(u64::MAX)),
            (b"9  ", Some(9)),
            (b" 9", None),
            (b"", None),
            (b"-1", None),
            (b"18446744073709551616", None),
        ] {
            assert_eq!(read::<u64>(bytes), expected);
        }
        assert_eq!(read::<u128>(b"340282366920938463463374607431768211455"), Some(u128::MAX));
        for (bytes, expected) in [("\u{e9}", Some('\u{e9}')), (" ", Some(' ')), ("", None), ("ab", None), ("a ", None)]
        {
            assert_eq!(read::<char>(bytes.as_bytes()), expected);
        }
        assert_eq!(read::<Option<u64>>(b"9"), Some(Some(9)));
        assert_eq!(read::<Option<u64>>(b"nine"), Some(None));
        assert_eq!(read::<i8>(b"-128"), Some(-128));
        assert_eq!(read::<i8>(b"128"), None);
        assert_eq!(value(b"2.5").parse::<f64>(), Ok(2.5));
        assert_eq!(value(b"x").into_bytes(), "x");
    }
}
