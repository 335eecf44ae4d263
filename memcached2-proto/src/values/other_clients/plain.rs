//! What all languages have: bytes, text, numbers and truth values.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;

/// A value that every language has.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Plain<'v> {
    /// Bytes, or text of PHP, which does not tell them apart.
    Bytes(Cow<'v, [u8]>),
    /// Text.
    Text(Cow<'v, str>),
    /// An integer; for Java one of 64 bits, a `Long`.
    Int(i128),
    /// An integer of 32 bits, as far as a language tells it from a longer one: an `Integer` of Java.
    Int32(i32),
    /// A number that is no integer; for Java a `Double`.
    Float(f64),
    /// A number of 32 bits, as far as a language tells it from a longer one: a `Float` of Java.
    Float32(f32),
    /// True or false.
    Bool(bool),
}

/// What can be stored for other clients: bytes, text, integers of up to 64 bits, `i128`, `f32`, `f64`, `bool`, and a [`Plain`].
pub trait ToPlain {
    /// The value.
    fn to_plain(&self) -> Plain<'_>;
}

/// What values of other clients can be read as: bytes, text, integers of up to 64 bits, `i128`, `f32`, `f64`, `bool`, and any as a [`Plain`].
pub trait FromPlain: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// Why it cannot be read as this type.
    fn from_plain(plain: Plain<'static>) -> Result<Self, String>;
}

/// The reason for a value that is of another type.
fn another(plain: &Plain<'_>) -> String {
    let kind = match plain {
        Plain::Bytes(_) => "bytes",
        Plain::Text(_) => "text",
        Plain::Int(_) | Plain::Int32(_) => "an integer",
        Plain::Float(_) | Plain::Float32(_) => "a float",
        Plain::Bool(_) => "a truth value",
    };
    format!("it is {kind}")
}

/// A number that was stored as text, such as one that `incr` counts.
fn parse<T: FromStr<Err: Display>>(plain: &Plain<'_>) -> Result<T, String> {
    let text = match plain {
        Plain::Text(text) => text,
        Plain::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| error.to_string())?,
        _ => return Err(another(plain)),
    };
    text.trim_end_matches(' ').parse().map_err(|error: T::Err| error.to_string())
}

macro_rules! stored_as {
    ($($variant:ident: $($type:ty)*;)*) => {
        $($(impl ToPlain for $type {
            fn to_plain(&self) -> Plain<'_> {
                Plain::$variant((*self).into())
            }
        })*)*
    };
}

stored_as! {
    Int32: i8 i16 i32 u8 u16;
    Int: i64 u32 u64 i128;
    Float: f64;
    Float32: f32;
    Bool: bool;
}

impl ToPlain for isize {
    fn to_plain(&self) -> Plain<'_> {
        Plain::Int(*self as i128)
    }
}

impl ToPlain for usize {
    fn to_plain(&self) -> Plain<'_> {
        Plain::Int(*self as i128)
    }
}

macro_rules! borrowed {
    ($($variant:ident: $($type:ty)*;)*) => {
        $($(impl ToPlain for $type {
            fn to_plain(&self) -> Plain<'_> {
                Plain::$variant(Cow::Borrowed(self.as_ref()))
            }
        })*)*
    };
}

borrowed! {
    Bytes: [u8] Vec<u8> Bytes;
    Text: str String;
}

impl<const N: usize> ToPlain for [u8; N] {
    fn to_plain(&self) -> Plain<'_> {
        Plain::Bytes(Cow::Borrowed(self))
    }
}

impl<T: ToPlain + ?Sized> ToPlain for &T {
    fn to_plain(&self) -> Plain<'_> {
        (**self).to_plain()
    }
}

impl ToPlain for Plain<'_> {
    fn to_plain(&self) -> Plain<'_> {
        match self {
            Plain::Bytes(bytes) => Plain::Bytes(Cow::Borrowed(bytes)),
            Plain::Text(text) => Plain::Text(Cow::Borrowed(text)),
            Plain::Int(number) => Plain::Int(*number),
            Plain::Int32(number) => Plain::Int32(*number),
            Plain::Float(number) => Plain::Float(*number),
            Plain::Float32(number) => Plain::Float32(*number),
            Plain::Bool(truth) => Plain::Bool(*truth),
        }
    }
}

impl FromPlain for Plain<'static> {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        Ok(plain)
    }
}

impl FromPlain for Vec<u8> {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        match plain {
            Plain::Bytes(bytes) => Ok(bytes.into_owned()),
            Plain::Text(text) => Ok(text.into_owned().into_bytes()),
            other => Err(another(&other)),
        }
    }
}

impl FromPlain for Bytes {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        Vec::from_plain(plain).map(Self::from)
    }
}

impl FromPlain for String {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        Self::from_utf8(Vec::from_plain(plain)?).map_err(|error| error.utf8_error().to_string())
    }
}

macro_rules! integers {
    ($($type:ty)*) => {
        $(impl FromPlain for $type {
            fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
                let number = match plain {
                    Plain::Int(number) => number,
                    Plain::Int32(number) => number.into(),
                    other => return parse(&other),
                };
                number.try_into().map_err(|_| format!("{number} is beyond its range"))
            }
        })*
    };
}

integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 usize);

impl FromPlain for f64 {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        match plain {
            Plain::Float(number) => Ok(number),
            Plain::Float32(number) => Ok(number.into()),
            other => parse(&other),
        }
    }
}

impl FromPlain for f32 {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        match plain {
            Plain::Float32(number) => Ok(number),
            Plain::Float(number) if number.is_nan() || f64::from(number as Self) == number => Ok(number as Self),
            Plain::Float(number) => Err(format!("{number} has more than 32 bits")),
            other => parse(&other),
        }
    }
}

impl FromPlain for bool {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        match plain {
            Plain::Bool(truth) => Ok(truth),
            // What pylibmc makes of one.
            Plain::Int(0) => Ok(false),
            Plain::Int(1) => Ok(true),
            other => Err(another(&other)),
        }
    }
}
