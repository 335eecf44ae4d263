//! A fetched item that remembers where it came from.

use crate::error::{CasProblem, Error, Landed};
use crate::value::Value;

/// What an item remembers, and when it may use its version: the part of `Item` that needs no client.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    key: Box<[u8]>,
    value: Value,
    /// Whether a store has used the version.
    spent: bool,
}

impl Fetched {
    /// The item of `key`.
    #[must_use]
    pub fn new(key: &[u8], value: Value) -> Self {
        Self { key: key.into(), value, spent: false }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value that was fetched, or stored last.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The version to store over, if there is one. It counts as used from now on, even if the caller is dropped.
    ///
    /// # Errors
    ///
    /// [`CasProblem::Spent`] if it was used before.
    pub fn spend(&mut self) -> Result<Option<u64>, Error> {
        if self.value.cas.is_some() && std::mem::replace(&mut self.spent, true) {
            return Err(self.refused(CasProblem::Spent));
        }
        Ok(self.value.cas)
    }

    /// Records the result of storing `value`. A store that was not sent has not used the version.
    pub fn stored(&mut self, value: Value, stored: &Result<(), Error>) {
        match stored {
            Ok(()) => self.value = Value { cas: self.value.cas, ..value },
            Err(error) => self.spent = error.landed() != Landed::NotSent,
        }
    }

    /// The key, for a change that does not compare versions.
    ///
    /// # Errors
    ///
    /// [`CasProblem::Unsupported`] if there is a version.
    pub fn without_cas(&self) -> Result<&[u8], Error> {
        match self.value.cas {
            Some(_) => Err(self.refused(CasProblem::Unsupported)),
            None => Ok(&self.key),
        }
    }

    fn refused(&self, problem: CasProblem) -> Error {
        Error::cas(problem).of_method("item", Some(&self.key))
    }

    /// Takes the version of the stored item, which still has the same value.
    pub fn refresh(&mut self, cas: Option<u64>) {
        (self.value.cas, self.spent) = (cas, false);
    }
}

/// Expands the type `Item` for the `Client` of a transport, with an example in its form, and the methods that return it.
#[doc(hidden)]
#[macro_export]
macro_rules! item {
    ([$($async:tt)*] [$($await:tt)*] $(#[$example:meta])*) => {
        /// A fetched item that remembers its key, its value, its client, and its version if that was fetched too.
        ///
        /// With a version, [`set`](Item::set) stores only if the item has not changed since. After that the version is
        /// used up: call [`refresh`](Item::refresh) before the next `set`. The other changes do not compare versions,
        /// so they fail with [`Error::Cas`](memcached2_proto::Error::Cas) if the item has one.
        ///
        $(#[$example])*
        #[derive(Debug, Clone)]
        pub struct Item {
            client: Client,
            fetched: $crate::wrappers::Fetched,
        }

        impl Client {
            /// Fetches an item to change it; `None` is a miss.
            ///
            /// # Errors
            ///
            /// Those of `get`.
            pub $($async)* fn item(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, $crate::Error> {
                let value = self.get(&key)$($await)*?;
                let fetched = |value| $crate::wrappers::Fetched::new(key.as_ref(), value);
                Ok(value.map(|value| Item { client: self.clone(), fetched: fetched(value) }))
            }

            /// Fetches an item with its version, to store over it only if it has not changed; `None` is a miss.
            ///
            /// # Errors
            ///
            /// Those of `gets`.
            pub $($async)* fn item_with_cas(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>, $crate::Error> {
                let value = self.gets(&key)$($await)*?;
                let fetched = |value| $crate::wrappers::Fetched::new(key.as_ref(), value);
                Ok(value.map(|value| Item { client: self.clone(), fetched: fetched(value) }))
            }
        }

        impl Item {
            /// The key.
            #[must_use]
            pub fn key(&self) -> &[u8] {
                self.fetched.key()
            }

            /// The value that was fetched, or that this item has stored since, with its flags and its version.
            #[must_use]
            pub fn value(&self) -> &$crate::Value {
                self.fetched.value()
            }

            /// Stores another value; with a version, only if the item has not changed.
            ///
            /// # Errors
            ///
            /// Without a version those of `set`. With one those of `cas`, and
            /// [`Error::Cas`](memcached2_proto::Error::Cas) if it was used before; a store that was not sent has not used
            /// it.
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

            /// Fetches the version of the item again: after a `set`, or for an item that was fetched without a version.
            ///
            /// # Errors
            ///
            /// Those of `gets`, and [`Error::CasRefresh`](memcached2_proto::Error::CasRefresh) if another value is stored
            /// by now, or none.
            pub $($async)* fn refresh(&mut self) -> Result<(), $crate::Error> {
                let fresh = self.client.refresh_cas(self.fetched.key(), self.fetched.value())$($await)*?;
                self.fetched.refresh(fresh.cas);
                Ok(())
            }

            $crate::__changes! { [$($async)*] [$($await)*]
                /// Appends data to the stored value; [`value`](Item::value) stays as it is.
                fn append(value: impl $crate::ToValue) -> ();

                /// Puts data before the stored value; [`value`](Item::value) stays as it is.
                fn prepend(value: impl $crate::ToValue) -> ();

                /// Adds `by` to the stored number, and returns the sum; `None` if the item is gone.
                fn incr(by: u64) -> Option<u64>;

                /// Subtracts `by` from the stored number, and returns the difference; `None` if the item is gone.
                fn decr(by: u64) -> Option<u64>;

                /// Deletes the item; `false` if it was gone.
                fn delete() -> bool;

                /// Deletes the item on every server; the results come in the order of the servers.
                fn delete_all() -> $crate::BatchResult<bool>;

                /// Gives the item a new expiry; `false` if it is gone.
                fn touch(expiry: impl Into<$crate::Expiry>) -> bool;
            }
        }
    };
}

/// Expands the changes that do not compare versions: each is the client's method of the same name.
#[doc(hidden)]
#[macro_export]
macro_rules! __changes {
    ($async:tt $await:tt $($(#[$doc:meta])* fn $name:ident $arguments:tt -> $output:ty;)*) => {
        $($crate::__change!($async $await $(#[$doc])* fn $name $arguments -> $output;);)*
    };
}

/// Expands one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __change {
    ([$($async:tt)*] [$($await:tt)*]
        $(#[$doc:meta])* fn $name:ident ($($argument:ident: $type:ty)?) -> $output:ty;
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        #[doc = concat!("Those of `", stringify!($name), "`, and")]
        /// [`Error::Cas`](memcached2_proto::Error::Cas) if the item was fetched with its version.
        pub $($async)* fn $name(&self $(, $argument: $type)?) -> Result<$output, $crate::Error> {
            self.client.$name(self.fetched.without_cas()? $(, $argument)?)$($await)*
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
