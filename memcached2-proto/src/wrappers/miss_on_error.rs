//! Failures of the cache as misses.

use crate::error::Error;
use crate::operation::BatchResult;

/// Turns the failure of a cache into a miss, for one call.
///
/// | result of the call | after a failure of the cache |
/// |---|---|
/// | `Result<Option<T>, Error>`: `get`, `get_as`, `incr` | `Ok(None)` |
/// | `Result<bool, Error>`: `delete`, `touch` | `Ok(false)` |
/// | `Result<(), Error>`: `set` | `Ok(())` |
/// | `Result<BatchResult<T>, Error>` with one of these as `T`: `get_many`, `delete_many` | the same for each item that has failed |
///
/// [`Error::counts_as_miss`] decides. What is wrong with the call, such as an invalid key, stays an error, and so does a
/// condition that was not met: `client.add(..).or_miss()` still says that there was a value already. If the cache itself has
/// failed, the `Ok(())` of an `add`, `replace` or `cas` does not mean that the value was stored: leave `or_miss` out where
/// that matters, as for a lock.
///
/// ```
/// use memcached2_proto::{Error, Get, Landed, OrMiss, Value};
///
/// // What a call returns if the server does not answer in time: client.get("page:1")
/// let timed_out: Result<Option<Value>, Error> = Err(Error::timeout(Landed::NotSent));
/// assert_eq!(timed_out.or_miss(), Ok(None));
///
/// let invalid_key: Result<Option<Value>, Error> = Err(Get::new("two words").unwrap_err());
/// assert!(invalid_key.or_miss().is_err());
/// ```
pub trait OrMiss {
    /// The result, or a miss if the cache has failed.
    ///
    /// # Errors
    ///
    /// The errors for which [`Error::counts_as_miss`] is false.
    #[must_use = "what is wrong with the call is still an error"]
    fn or_miss(self) -> Self;
}

fn or<T>(result: Result<T, Error>, miss: T) -> Result<T, Error> {
    match result {
        Err(error) if error.counts_as_miss() => Ok(miss),
        result => result,
    }
}

fn each<T>(results: Result<BatchResult<T>, Error>) -> Result<BatchResult<T>, Error>
where
    Result<T, Error>: OrMiss,
{
    results.map(|many| many.into_iter().map(OrMiss::or_miss).collect())
}

impl<T> OrMiss for Result<Option<T>, Error> {
    fn or_miss(self) -> Self {
        or(self, None)
    }
}

impl OrMiss for Result<bool, Error> {
    fn or_miss(self) -> Self {
        or(self, false)
    }
}

impl OrMiss for Result<(), Error> {
    fn or_miss(self) -> Self {
        or(self, ())
    }
}

impl<T> OrMiss for Result<BatchResult<Option<T>>, Error> {
    fn or_miss(self) -> Self {
        each(self)
    }
}

impl OrMiss for Result<BatchResult<bool>, Error> {
    fn or_miss(self) -> Self {
        each(self)
    }
}

impl OrMiss for Result<BatchResult<()>, Error> {
    fn or_miss(self) -> Self {
        each(self)
    }
}

/// Expands the type `MissOnError` for the `Client` of a transport; the parameters are those of `operations!`, and an example.
#[doc(hidden)]
#[macro_export]
macro_rules! miss_on_error {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        /// A client for which failures of the cache are misses: for code that computes what it does not find.
        ///
        /// | method | after a failure of the cache |
        /// |---|---|
        /// | `get`, `gets`, `gat`, `gats`, `get_as`, `get_with_ttl` | `Ok(None)` |
        /// | `get_many`, `get_many_as`, `gets_many`, `gat_many`, `gats_many` | `Ok(None)` for each key that was not answered |
        /// | `set` | `Ok(())` |
        /// | `delete`, `exists` | `Ok(false)` |
        /// | `delete_many` | `Ok(false)` for each key that was not answered |
        /// | `cache` | what the closure returns |
        ///
        /// What is wrong with the call itself stays an error
        /// ([`Error::counts_as_miss`](memcached2_proto::Error::counts_as_miss)): in every method a closed client and a
        /// request that the server does not understand, and what the method names.
        ///
        /// All other methods are those of [`client()`](Self::client), with their errors, because the outcome of `add`,
        /// `incr` or `set_many` matters. [`OrMiss`](memcached2_proto::OrMiss) does the same for a single call.
        ///
        $(#[$example])*
        #[derive(Debug, Clone)]
        pub struct MissOnError {
            client: Client,
        }

        impl Client {
            /// The same client, for which failures of the cache are misses.
            #[must_use]
            pub fn miss_on_error(&self) -> MissOnError {
                MissOnError::new(self.clone())
            }
        }

        impl MissOnError {
            /// A view of `client` for which failures of the cache are misses.
            #[must_use]
            pub fn new(client: Client) -> Self {
                Self { client }
            }

            /// The client that returns its errors.
            #[must_use]
            pub fn client(&self) -> &Client {
                &self.client
            }

            /// Runs any operation whose output can be a miss, such as a `RoutedBy` around a `Get`.
            ///
            /// If the cache has failed, a store returns `Ok(())` under a condition too: run a `Store::add` or `Store::cas`
            /// by [`client()`](Self::client) where the outcome matters.
            ///
            /// # Errors
            ///
            /// Those of the operation that do not count as a miss.
            pub $($async)* fn run<O: $crate::Operation>(&self, operation: O) -> Result<O::Output, $crate::Error>
            where
                Result<O::Output, $crate::Error>: $crate::OrMiss,
            {
                $crate::OrMiss::or_miss(self.client.run(operation)$($await)*)
            }

            /// Fetches the value of a key as a type of your choice, such as `u64` or `String`.
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key)
            /// * [`Error::Value`](memcached2_proto::Error::Value) if the value cannot be read as a `T`
            pub $($async)* fn get_as<T: $crate::FromValue>(
                &self,
                key: impl AsRef<[u8]>,
            ) -> Result<Option<T>, $crate::Error> {
                $crate::OrMiss::or_miss(self.client.get_as(key)$($await)*)
            }

            /// Fetches the values of many keys as a type of your choice; the results come in the order of the keys.
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key)
            /// * In the result of a key [`Error::Value`](memcached2_proto::Error::Value) if its value cannot be read as a `T`
            pub $($async)* fn get_many_as<T: $crate::FromValue>(
                &self,
                keys: &[impl AsRef<[u8]>],
            ) -> Result<$crate::BatchResult<Option<T>>, $crate::Error> {
                $crate::OrMiss::or_miss(self.client.get_many_as(keys)$($await)*)
            }

            $crate::__cache!([$($async)*] [$($await)*] $Fn);
            $crate::__misses! { [$($async)*] [$($await)*]
                /// Fetches the value of a key.
                fn get(key: impl AsRef<[u8]>) -> Option<$crate::Value>; Key

                /// Fetches the value of a key and the version of the item.
                fn gets(key: impl AsRef<[u8]>) -> Option<$crate::Value>; Key

                /// Fetches the value of a key and gives the item a new expiry.
                fn gat(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> Option<$crate::Value>; Key Expiry

                /// Fetches the value of a key and the version of the item, and gives it a new expiry.
                fn gats(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> Option<$crate::Value>; Key Expiry

                /// Fetches the value of a key, and how long the item stays.
                fn get_with_ttl(key: impl AsRef<[u8]>) -> Option<($crate::Value, $crate::command::meta::Ttl)>; Key NoMeta

                /// Returns whether there is an item.
                fn exists(key: impl AsRef<[u8]>) -> bool; Key

                /// Fetches the values of many keys; the results come in the order of the keys.
                fn get_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<Option<$crate::Value>>; Key

                /// Fetches the values of many keys and the versions of the items.
                fn gets_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<Option<$crate::Value>>; Key

                /// Fetches the values of many keys and gives the items a new expiry.
                fn gat_many(keys: &[impl AsRef<[u8]>], expiry: impl Into<$crate::Expiry>)
                    -> $crate::BatchResult<Option<$crate::Value>>; Key Expiry

                /// Fetches the values of many keys and the versions of the items, and gives them a new expiry.
                fn gats_many(keys: &[impl AsRef<[u8]>], expiry: impl Into<$crate::Expiry>)
                    -> $crate::BatchResult<Option<$crate::Value>>; Key Expiry

                /// Stores a value, if the cache can.
                fn set(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ();
                    Key TooLarge Value Expiry

                /// Deletes an item; `false` if there was none.
                fn delete(key: impl AsRef<[u8]>) -> bool; Key

                /// Deletes many items; the results come in the order of the keys.
                fn delete_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<bool>; Key
            }
        }
    };
}

/// Expands methods that call the client's method of the same name, each with its own errors.
#[doc(hidden)]
#[macro_export]
macro_rules! __misses {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty; $($error:ident)*
    )*) => {
        $($crate::__miss! {
            $async $await
            $(#[$doc])*
            fn $name ($($argument: $type),*) -> $output; $($error)*
        })*
    };
}

/// Expands one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! __miss {
    ([$($async:tt)*] [$($await:tt)*]
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty; $($error:ident)*
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        $(#[doc = concat!("* [`Error::", stringify!($error), "`](memcached2_proto::Error::", stringify!($error), ")")])*
        pub $($async)* fn $name (&self $(, $argument: $type)*) -> Result<$output, $crate::Error> {
            $crate::OrMiss::or_miss(self.client.$name($($argument),*)$($await)*)
        }
    };
}
