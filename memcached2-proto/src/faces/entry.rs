//! A fetched item that can be changed where it is.

use crate::error::{CasProblem, Error, Landed};
use crate::value::Value;

/// What an entry remembers, and when it may use the version of its item: the pure half of each transport's `Entry`.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    key: Box<[u8]>,
    value: Value,
    /// Whether a store has used the version.
    spent: bool,
}

impl Fetched {
    /// What was fetched by a key.
    #[must_use]
    pub fn new(key: &[u8], value: Value) -> Self {
        Self { key: key.into(), value, spent: false }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value as it was fetched, or stored last.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The version to store over, if there is one, which is used from now on, whatever becomes of the caller.
    ///
    /// # Errors
    ///
    /// [`CasProblem::Spent`] when it was used already.
    pub fn spend(&mut self) -> Result<Option<u64>, Error> {
        if self.value.cas.is_some() && std::mem::replace(&mut self.spent, true) {
            return Err(self.refused(CasProblem::Spent));
        }
        Ok(self.value.cas)
    }

    /// Notes what became of the store of `value`. One that was not sent has used nothing.
    pub fn stored(&mut self, value: Value, stored: &Result<(), Error>) {
        match stored {
            Ok(()) => self.value = Value { cas: self.value.cas, ..value },
            Err(error) => self.spent = error.landed() != Landed::NotSent,
        }
    }

    /// The key, for a change that does not look at the version.
    ///
    /// # Errors
    ///
    /// [`CasProblem::Unsupported`] when there is one.
    pub fn without_cas(&self) -> Result<&[u8], Error> {
        match self.value.cas {
            Some(_) => Err(self.refused(CasProblem::Unsupported)),
            None => Ok(&self.key),
        }
    }

    fn refused(&self, problem: CasProblem) -> Error {
        Error::cas(problem).of_method("entry", Some(&self.key))
    }

    /// Takes the version of what is stored now, which has the same value still.
    pub fn refresh(&mut self, cas: Option<u64>) {
        (self.value.cas, self.spent) = (cas, false);
    }
}

/// Expands the type `Entry` for the `Client` of a transport, and the methods that return it.
#[doc(hidden)]
#[macro_export]
macro_rules! entry {
    ([$($async:tt)*] [$($await:tt)*]) => {
        /// A fetched item that remembers its key, its value and flags, its version if that was asked for, and its client.
        ///
        /// With a version every [`set`](Entry::set) stores over exactly the item that was fetched, and uses the version
        /// up: the next one needs [`refresh`](Entry::refresh) before it. The other changes would not look at the
        /// version, so they are refused with [`Error::Cas`]($crate::Error::Cas) then.
        #[derive(Debug, Clone)]
        pub struct Entry {
            client: Client,
            fetched: $crate::Fetched,
        }

        impl Client {
            /// Fetches an item to change it; `None` is a miss.
            ///
            /// # Errors
            ///
            /// Those of `get`.
            pub $($async)* fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, $crate::Error> {
                let key = key.as_ref();
                let value = self.get(key)$($await)*?;
                Ok(value.map(|value| Entry { client: self.clone(), fetched: $crate::Fetched::new(key, value) }))
            }

            /// Fetches an item with its version, to store over it only while nobody else has changed it; `None` is a
            /// miss.
            ///
            /// # Errors
            ///
            /// Those of `gets`.
            pub $($async)* fn entry_with_cas(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, $crate::Error> {
                let key = key.as_ref();
                let value = self.gets(key)$($await)*?;
                Ok(value.map(|value| Entry { client: self.clone(), fetched: $crate::Fetched::new(key, value) }))
            }
        }

        impl Entry {
            /// The key.
            #[must_use]
            pub fn key(&self) -> &[u8] {
                self.fetched.key()
            }

            /// The value as it was fetched, or stored by this entry since, with its flags and its version.
            #[must_use]
            pub fn value(&self) -> &$crate::Value {
                self.fetched.value()
            }

            /// Stores another value; with a version only if the item is still the one that was fetched.
            ///
            /// # Errors
            ///
            /// Those of `set`, or those of `cas` with a version, and [`Error::Cas`]($crate::Error::Cas) when that was used
            /// already. A store that was not sent has not used it.
            pub $($async)* fn set(
                &mut self,
                value: impl $crate::ToValue,
                expiry: impl Into<$crate::Expiry>,
            ) -> Result<(), $crate::Error> {
                let data = $crate::ToValue::to_value(&value)?;
                let flags = data.flags();
                let value = $crate::Value::new(data.into_bytes(), flags.into());
                let stored = match self.fetched.spend()? {
                    Some(cas) => self.client.cas(self.fetched.key(), &value, expiry, cas)$($await)*,
                    None => self.client.set(self.fetched.key(), &value, expiry)$($await)*,
                };
                self.fetched.stored(value, &stored);
                stored
            }

            /// Fetches the version of the item anew, so that it can be stored over once more: after a `set`, or to change
            /// an entry with `set` that was fetched without a version.
            ///
            /// # Errors
            ///
            /// [`Error::CasRefresh`]($crate::Error::CasRefresh) when the stored value is not the one of this entry any
            /// more: somebody else has stored another one. Else those of `gets`.
            pub $($async)* fn refresh(&mut self) -> Result<(), $crate::Error> {
                let fresh = self.client.refresh_cas(self.fetched.key(), self.fetched.value())$($await)*?;
                self.fetched.refresh(fresh.cas);
                Ok(())
            }

            /// Puts data behind the stored value; the one of this entry stays as it is.
            ///
            /// # Errors
            ///
            /// Those of `append`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn append(&self, value: impl $crate::ToValue) -> Result<(), $crate::Error> {
                self.client.append(self.fetched.without_cas()?, value)$($await)*
            }

            /// Puts data before the stored value; the one of this entry stays as it is.
            ///
            /// # Errors
            ///
            /// Those of `prepend`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn prepend(&self, value: impl $crate::ToValue) -> Result<(), $crate::Error> {
                self.client.prepend(self.fetched.without_cas()?, value)$($await)*
            }

            /// Adds `by` to the stored number, and returns the sum; `None` says that the item is gone.
            ///
            /// # Errors
            ///
            /// Those of `incr`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn incr(&self, by: u64) -> Result<Option<u64>, $crate::Error> {
                self.client.incr(self.fetched.without_cas()?, by)$($await)*
            }

            /// Takes `by` from the stored number, and returns the difference; `None` says that the item is gone.
            ///
            /// # Errors
            ///
            /// Those of `decr`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn decr(&self, by: u64) -> Result<Option<u64>, $crate::Error> {
                self.client.decr(self.fetched.without_cas()?, by)$($await)*
            }

            /// Deletes the item; `false` says that it was gone.
            ///
            /// # Errors
            ///
            /// Those of `delete`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn delete(&self) -> Result<bool, $crate::Error> {
                self.client.delete(self.fetched.without_cas()?)$($await)*
            }

            /// Deletes the item on every server; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// Those of `delete_all`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn delete_all(&self) -> Result<$crate::Many<bool>, $crate::Error> {
                self.client.delete_all(self.fetched.without_cas()?)$($await)*
            }

            /// Gives the item a new expiry; `false` says that it is gone.
            ///
            /// # Errors
            ///
            /// Those of `touch`, and [`Error::Cas`]($crate::Error::Cas) with a version.
            pub $($async)* fn touch(&self, expiry: impl Into<$crate::Expiry>) -> Result<bool, $crate::Error> {
                self.client.touch(self.fetched.without_cas()?, expiry)$($await)*
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn value(text: &'static str, cas: Option<u64>) -> Value {
        Value { cas, ..Value::new(Bytes::from(text), 0) }
    }

    #[test]
    fn a_version_is_used_once_unless_the_store_was_not_sent() {
        let mut fetched = Fetched::new(b"k", value("old", Some(7)));
        let spent = Err(fetched.refused(CasProblem::Spent));
        assert_eq!(fetched.spend(), Ok(Some(7)));
        // A caller that was dropped here knows nothing.
        assert_eq!(fetched.spend(), spent);
        fetched.stored(value("new", None), &Err(Error::no_servers()));
        assert_eq!((fetched.value().clone(), fetched.spend()), (value("old", Some(7)), Ok(Some(7))));
        fetched.stored(value("new", None), &Err(Error::exists()));
        assert_eq!((fetched.value().clone(), fetched.spend()), (value("old", Some(7)), spent.clone()));
        fetched.refresh(Some(8));
        assert_eq!(fetched.spend(), Ok(Some(8)));
        fetched.stored(value("new", None), &Ok(()));
        assert_eq!((fetched.value().clone(), fetched.spend()), (value("new", Some(8)), spent));
    }

    #[test]
    fn what_does_not_look_at_the_version_is_refused_with_one() {
        let mut fetched = Fetched::new(b"k", value("old", None));
        assert_eq!((fetched.spend(), fetched.spend(), fetched.without_cas()), (Ok(None), Ok(None), Ok(&b"k"[..])));
        fetched.refresh(Some(7));
        assert_eq!(fetched.without_cas(), Err(fetched.refused(CasProblem::Unsupported)));
    }
}
