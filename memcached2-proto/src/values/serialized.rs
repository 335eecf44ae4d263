//! Values that serde serializes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::{Data, ToValue};
use crate::error::Error;
use crate::value::{FromValue, Value, short_name};

macro_rules! formats {
    ($(
        $(#[$doc:meta])*
        struct $name:ident;
        $write:ident, $read:ident, $reason:ident, $format:literal
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name<T>(pub T);

            impl<T: Serialize> ToValue for $name<T> {
                fn to_value(&self) -> Result<Data<'_>, Error> {
                    let bytes = $write(&self.0).map_err(|error| {
                        let reason = $reason(&error);
                        Error::value(format!("{} cannot be written as {}: {reason}", short_name::<T>(), $format))
                    })?;
                    Ok(Bytes::from(bytes).into())
                }
            }

            impl<T: DeserializeOwned> FromValue for $name<T> {
                fn from_value(value: Value) -> Result<Self, Error> {
                    $read(&value.data).map(Self).map_err(|reason| value.unreadable::<Self>(reason))
                }
            }
        )*
    };
}

#[cfg(feature = "json")]
formats! {
    /// A value that is stored as JSON, by serde: any `Serialize`, owned or borrowed, and any `DeserializeOwned`. Its flags are 0.
    ///
    /// JSON has no NaN and no infinity. serde writes `null` for such a float, which is read as the `None` of an `Option`, and as no float:
    /// `get_as` fails then.
    ///
    /// ```
    /// use memcached2_proto::values::Json;
    /// use memcached2_proto::{FromValue, ToValue, Value};
    ///
    /// let numbers = vec![1, 2, 3];
    /// // client.set("numbers", Json(&numbers), Expiry::Never)?;
    /// let stored = Json(&numbers);
    /// let data = stored.to_value()?;
    /// assert_eq!(data.as_bytes(), b"[1,2,3]");
    ///
    /// // client.get_as::<Json<Vec<u32>>>("numbers")?
    /// let Json(read) = Json::<Vec<u32>>::from_value(Value::new(data.into_bytes(), 0))?;
    /// assert_eq!(read, numbers);
    ///
    /// assert_eq!(Json(f64::NAN).to_value()?.as_bytes(), b"null");
    /// assert!(Json::<f64>::from_value(Value::new("null".into(), 0)).is_err());
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    struct Json;
    to_json, from_json, json_reason, "JSON"
}

#[cfg(feature = "json")]
fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(value)
}

#[cfg(feature = "json")]
fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| json_reason(&error))
}

/// Why it is no JSON, or not that of the type, without the texts and numbers that it holds: serde repeats them, however long they are.
#[cfg(feature = "json")]
fn json_reason(error: &serde_json::Error) -> String {
    /// What serde says before a part of the value, which it quotes.
    const QUOTING: [&str; 4] = ["invalid type: ", "invalid value: ", "unknown field ", "unknown variant "];
    /// What it says before a word of the type.
    const NAMING: [&str; 2] = ["missing field `", "duplicate field `"];
    /// What parts of a value are called (`serde::de::Unexpected`, and by `serde_json`).
    const PARTS: [&str; 14] = [
        "",
        "boolean",
        "integer",
        "floating point",
        "number",
        "character",
        "string",
        "byte array",
        "null",
        "Option value",
        "sequence",
        "map",
        "unit variant",
        "newtype variant",
    ];
    let text = error.to_string();
    if !error.is_data() {
        return text;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let (text, place) = text.strip_suffix(&place).map_or((&*text, ""), |text| (text, &*place));
    if NAMING.iter().any(|word| text.starts_with(word)) {
        return format!("{text}{place}");
    }
    let quoted = QUOTING.iter().find_map(|word| Some((word, text.strip_prefix(word)?)));
    let known = quoted.and_then(|(word, rest)| {
        let (part, _) = rest.split_once([',', '`', '"'])?;
        // Its own words come last.
        let (_, expected) = rest.rsplit_once(", expected ")?;
        PARTS
            .contains(&part.trim_end())
            .then(|| format!("{}, expected {expected}{place}", format!("{word}{part}").trim_end()))
    });
    known.unwrap_or_else(|| format!("its type takes no such value{place}"))
}

#[cfg(feature = "postcard")]
formats! {
    /// A value that is stored in the format of [postcard](https://postcard.jamesmunns.com/wire-format), by serde: compact, without
    /// the names of fields and without types. Its flags are 0.
    ///
    /// So the type must be the same that was stored: bytes of another one can be read as wrong values without an error. When the type
    /// changes, change its keys, too, such as by a version in a prefix. And a type that contains itself is read as deep as the bytes say,
    /// where JSON ends after 128 levels: do not read one from servers that others can write to, who could exhaust the stack.
    ///
    /// ```
    /// use memcached2_proto::values::Postcard;
    /// use memcached2_proto::{FromValue, ToValue, Value};
    ///
    /// let point = (300, "north");
    /// let stored = Postcard(&point);
    /// let data = stored.to_value()?;
    /// assert_eq!(data.as_bytes().len(), 8);
    ///
    /// let read = Postcard::<(i32, String)>::from_value(Value::new(data.into_bytes(), 0))?;
    /// assert_eq!(read.0, (300, "north".to_owned()));
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    struct Postcard;
    to_postcard, from_postcard, postcard_reason, "postcard"
}

/// Its errors repeat nothing.
#[cfg(feature = "postcard")]
fn postcard_reason(error: &postcard::Error) -> String {
    error.to_string()
}

#[cfg(feature = "postcard")]
fn to_postcard<T: Serialize>(value: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(value)
}

#[cfg(feature = "postcard")]
fn from_postcard<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((read, [])) => Ok(read),
        Ok((_, rest)) => Err(format!("{} bytes follow it", rest.len())),
        Err(error) => Err(postcard_reason(&error)),
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct User {
        #[allow(dead_code)]
        age: u8,
    }

    /// A type whose errors repeat the value.
    #[derive(Debug)]
    struct Strict;

    impl<'de> serde::Deserialize<'de> for Strict {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            Err(serde::de::Error::custom(format!("invalid value: {text}")))
        }
    }

    #[test]
    fn the_error_of_a_value_in_json_says_what_is_wrong_and_shows_nothing_of_the_value() {
        fn error<T: DeserializeOwned>(json: &str) -> String {
            let error = Json::<T>::from_value(Value::new(json.to_owned().into(), 0)).err().expect("it is refused");
            error.to_string()
        }
        let long = format!("\"{}, expected s3cret`\"", "s3cret".repeat(10_000));
        for (error, reason) in [
            (error::<u8>(&long), "invalid type: string, expected u8 at line 1"),
            (error::<u8>("4711"), "invalid value: integer, expected u8 at line 1"),
            (error::<u8>("47.11"), "invalid type: floating point, expected u8 at line 1"),
            (error::<u8>("{}"), "invalid type: map, expected u8 at line 1"),
            (error::<u8>("null"), "invalid type: null, expected u8 at line 1"),
            (error::<User>("{}"), "missing field `age` at line 1"),
            (error::<User>(r#"{"s3cret": 1}"#), "unknown field, expected `age` at line 1"),
            (error::<Strict>(r#""s3cret""#), "its type takes no such value"),
            (error::<u8>("s3cret"), "expected value at line 1 column 1"),
            (error::<u8>(r#""s3cret"#), "EOF while parsing a string"),
        ] {
            assert!(error.contains(reason), "{error}");
            assert!(error.len() < 200 && !error.contains("s3cret") && !error.contains("4711"), "{error}");
        }
    }

    #[test]
    fn each_float_comes_back_from_json() {
        let mut bits = 0_u64;
        for _ in 0..10_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let wrapped = Json(number);
                let stored = wrapped.to_value().unwrap();
                let read = Json::<f64>::from_value(Value::new(stored.into_bytes(), 0)).unwrap();
                assert_eq!(read.0, number);
            }
        }
    }
}
