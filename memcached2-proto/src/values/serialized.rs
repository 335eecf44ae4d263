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
        $write:ident, $read:ident, $format:literal
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name<T>(pub T);

            impl<T: Serialize> ToValue for $name<T> {
                fn to_value(&self) -> Result<Data<'_>, Error> {
                    let bytes = $write(&self.0).map_err(|error| {
                        Error::value(format!("{} cannot be written as {}: {error}", short_name::<T>(), $format))
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
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    struct Json;
    to_json, from_json, "JSON"
}

#[cfg(feature = "json")]
fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(value)
}

#[cfg(feature = "json")]
fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
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
    to_postcard, from_postcard, "postcard"
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
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;

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
