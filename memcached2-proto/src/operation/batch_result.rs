//! The results of several items.

use crate::error::Error;
use crate::value::{FromValue, Value};

/// The result of each item of a batch, in the order given. An item that failed does not hide the others.
///
/// ```
/// use memcached2_proto::{BatchResult, Error};
///
/// let many: BatchResult<u32> = [Ok(1), Err(Error::not_stored()), Ok(3)].into_iter().collect();
/// assert_eq!(many.iter().filter_map(|result| result.ok()).sum::<u32>(), 4);
/// assert_eq!(many.into_result(), Err(Error::not_stored()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an item may have failed"]
pub struct BatchResult<T>(Vec<Result<T, Error>>);

impl<T> BatchResult<T> {
    /// All results, or the first error.
    ///
    /// # Errors
    ///
    /// The error of the first item that failed.
    pub fn into_result(self) -> Result<Vec<T>, Error> {
        self.0.into_iter().collect()
    }

    /// The results in their order, with `None` for each server that is down or out of reach: what `stats` and its siblings
    /// are read by while one of several is.
    ///
    /// ```
    /// use memcached2_proto::{BatchResult, Error, Landed};
    ///
    /// let many: BatchResult<u32> = [Ok(1), Err(Error::timeout(Landed::NotSent))].into_iter().collect();
    /// assert_eq!(many.skip_unreachable(), Ok(vec![Some(1), None]));
    /// ```
    ///
    /// # Errors
    ///
    /// The first error of another kind.
    pub fn skip_unreachable(self) -> Result<Vec<Option<T>>, Error> {
        let of_one = |result| match result {
            Ok(value) => Ok(Some(value)),
            Err(
                Error::Down { .. }
                | Error::AllDown { .. }
                | Error::Connect { .. }
                | Error::Tls { .. }
                | Error::Disconnected { .. }
                | Error::Timeout { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        };
        self.0.into_iter().map(of_one).collect()
    }

    /// The results with the keys of the call, or its items, in the same order.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use memcached2_proto::{BatchResult, Error};
    ///
    /// let keys = ["a", "b"];
    /// // client.get_many(&keys)?
    /// let many: BatchResult<Option<u32>> = [Ok(Some(1)), Ok(None)].into_iter().collect();
    /// let mut hits = HashMap::new();
    /// for (key, result) in many.with_keys(keys) {
    ///     if let Some(value) = result? {
    ///         hits.insert(key, value);
    ///     }
    /// }
    /// assert_eq!(hits, HashMap::from([("a", 1)]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_keys<K>(self, keys: impl IntoIterator<Item = K>) -> impl Iterator<Item = (K, Result<T, Error>)> {
        keys.into_iter().zip(self.0)
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The result of each item.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<&T, &Error>> {
        self.0.iter().map(Result::as_ref)
    }
}

impl BatchResult<Option<Value>> {
    /// The values of these keys as a type; the error of one that cannot be read names the method and the key.
    #[doc(hidden)]
    pub fn read_as<T: FromValue>(self, method: &'static str, keys: &[impl AsRef<[u8]>]) -> BatchResult<Option<T>> {
        let read = |key: &[u8], value: Option<Value>| {
            let read = value.map(T::from_value).transpose();
            read.map_err(|error| error.of_method(method, Some(key)))
        };
        self.with_keys(keys).map(|(key, value)| read(key.as_ref(), value?)).collect()
    }
}

impl BatchResult<()> {
    /// Whether everything was stored.
    ///
    /// # Errors
    ///
    /// [`Error::MultiStorage`] with the result of each item, if one was not stored.
    pub fn all_stored(self) -> Result<(), Error> {
        match self.0.iter().all(Result::is_ok) {
            true => Ok(()),
            false => Err(Error::MultiStorage { results: self.0.into() }),
        }
    }
}

impl<T> IntoIterator for BatchResult<T> {
    type Item = Result<T, Error>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T> From<Vec<Result<T, Error>>> for BatchResult<T> {
    fn from(results: Vec<Result<T, Error>>) -> Self {
        Self(results)
    }
}

impl<T> FromIterator<Result<T, Error>> for BatchResult<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, Error>>>(results: I) -> Self {
        Self(results.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Landed;

    #[test]
    fn a_server_that_cannot_be_reached_is_skipped_for_whatever_reason() {
        let unreachable = [
            Error::connect(&std::io::ErrorKind::ConnectionRefused.into()),
            Error::tls("the certificate has expired"),
            Error::disconnected("gone"),
            Error::timeout(Landed::Unknown),
        ];
        let results: BatchResult<u32> = unreachable.into_iter().map(Err).chain([Ok(1)]).collect();
        assert_eq!(results.skip_unreachable(), Ok(vec![None, None, None, None, Some(1)]));
        let refused: BatchResult<u32> = [Ok(1), Err(Error::not_stored())].into_iter().collect();
        assert_eq!(refused.skip_unreachable(), Err(Error::not_stored()));
    }
}
