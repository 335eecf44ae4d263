//! What all languages have: bytes, text, numbers and truth values.

use std::borrow::Cow;
use std::fmt::Display;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

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
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored for a client of another language",
    label = "no bytes, text, number or bool",
    note = "store its text, such as JSON"
)]
pub trait ToPlain {
    /// The value.
    fn to_plain(&self) -> Plain<'_>;
}

/// What values of other clients can be read as: bytes, text, integers of up to 64 bits, `i128`, `f32`, `f64`, `bool`, and any as a [`Plain`].
/// As an `Option` of one of these, a value that cannot be read is `None`.
#[diagnostic::on_unimplemented(
    message = "a value of a client of another language cannot be read as `{Self}`",
    label = "no bytes, text, number or bool",
    note = "read its text, or a `Plain`"
)]
pub trait FromPlain: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// Why it cannot be read as this type.
    fn from_plain(plain: Plain<'static>) -> Result<Self, String>;

    /// Reads what was decoded, or why it was not.
    ///
    /// # Errors
    ///
    /// Those of decoding it, and those of `from_plain`.
    #[doc(hidden)]
    fn from_read(read: Result<Plain<'static>, String>) -> Result<Self, String> {
        Self::from_plain(read?)
    }
}

/// `None` if the value cannot be read as a `T`, be it a pickle: for values that shall count as a miss.
impl<T: FromPlain> FromPlain for Option<T> {
    fn from_plain(plain: Plain<'static>) -> Result<Self, String> {
        Self::from_read(Ok(plain))
    }

    fn from_read(read: Result<Plain<'static>, String>) -> Result<Self, String> {
        Ok(T::from_read(read).ok())
    }
}

/// What is said of a value in errors, which do not show it.
pub(super) fn kind(plain: &Plain<'_>) -> &'static str {
    match plain {
        Plain::Bytes(_) => "bytes",
        Plain::Text(_) => "text",
        Plain::Int(_) | Plain::Int32(_) => "an integer",
        Plain::Float(_) | Plain::Float32(_) => "a float",
        Plain::Bool(_) => "a truth value",
    }
}

/// The reason for a value that is of another type.
fn another(plain: &Plain<'_>) -> String {
    format!("it is {}", kind(plain))
}

/// The text of a value that was stored as text.
fn text<'p>(plain: &'p Plain<'_>) -> Result<&'p str, String> {
    match plain {
        Plain::Text(text) => Ok(text),
        Plain::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| error.to_string()),
        _ => Err(another(plain)),
    }
}

/// A number that was stored as text, such as one that `incr` counts.
fn parse<T: FromStr<Err: Display>>(plain: &Plain<'_>) -> Result<T, String> {
    text(plain)?.trim_end_matches(' ').parse().map_err(|error: T::Err| error.to_string())
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

macro_rules! pointers {
    ($($pointer:ty)*) => {
        $(impl<T: ToPlain + ?Sized> ToPlain for $pointer {
            fn to_plain(&self) -> Plain<'_> {
                (**self).to_plain()
            }
        })*
    };
}

pointers!(&T Box<T> Rc<T> Arc<T>);

impl<T: ToPlain + ToOwned + ?Sized> ToPlain for Cow<'_, T> {
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
                number.try_into().map_err(|_| concat!("it is beyond the range of ", stringify!($type)).to_owned())
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
            Plain::Float(_) => Err("it has more than 32 bits".to_owned()),
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
            // What a client stores that sets no flags.
            other => match text(&other)? {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err("it is none of true, false, 1 and 0".to_owned()),
            },
        }
    }
}
