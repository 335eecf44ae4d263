//! THE LISTS: every client method, written once.
//!
//! A transport's client has one method of its own, `run`, and gets all others from here. They are inherent methods, so
//! that documentation and completion show them and no trait has to be imported. One line is a method: its name, its
//! parameters, what it returns inside `Result<_, Error>`, and the operation that `run` is called with.

/// Expands the list into methods of a transport's client.
///
/// `operations!([] [])` makes blocking methods, `operations!([async] [.await])` asynchronous ones.
#[doc(hidden)]
#[macro_export]
macro_rules! operations {
    ([$($async:tt)*] [$($await:tt)*]) => {
        $crate::__methods! { [$($async)*] [$($await)*]
            /// Fetches the value of a key; `None` is a miss.
            fn get(key: impl AsRef<[u8]>) -> Option<$crate::Value> = $crate::Get::new(&key)?;

            /// Fetches the value of a key and the version of the item, [`Value::cas`](memcached2_proto::Value::cas).
            fn gets(key: impl AsRef<[u8]>) -> Option<$crate::Value> = $crate::Get::new(&key)?.with_cas();

            /// Fetches the value of a key and gives the item a new expiry; needs memcached 1.5.3.
            fn gat(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> Option<$crate::Value>
                = $crate::Get::new(&key)?.touch(expiry);

            /// Fetches the value of a key and the version of the item, and gives it a new expiry; needs memcached
            /// 1.5.3.
            fn gats(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> Option<$crate::Value>
                = $crate::Get::new(&key)?.with_cas().touch(expiry);

            /// Fetches the values of many keys, from all servers at once; the results come in the order of the keys.
            ///
            /// What one server fails to answer does not hide what the others did:
            /// [`BatchResult::into_result`](memcached2_proto::BatchResult::into_result) turns the first failure into an error.
            fn get_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::GetMany::new(keys)?;

            /// Fetches the values of many keys and the versions of the items; see `get_many`.
            fn gets_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::GetMany::new(keys)?.with_cas();

            /// Fetches the values of many keys and gives the items a new expiry; see `get_many`. Needs memcached 1.5.3.
            fn gat_many(keys: &[impl AsRef<[u8]>], expiry: impl Into<$crate::Expiry>)
                -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::GetMany::new(keys)?.touch(expiry);

            /// Fetches the values of many keys and the versions of the items, and gives them a new expiry; see
            /// `get_many`. Needs memcached 1.5.3.
            fn gats_many(keys: &[impl AsRef<[u8]>], expiry: impl Into<$crate::Expiry>)
                -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::GetMany::new(keys)?.with_cas().touch(expiry);

            /// Stores a value, whatever was there before.
            ///
            /// Flags and more: `client.run(Store::set(key, value)?.expiry(expiry).flags(7))`.
            fn set(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ()
                = $crate::Store::set(&key, &value)?.expiry(expiry);

            /// Stores a value if there is none; else [`Error::NotStored`](memcached2_proto::Error::NotStored).
            fn add(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ()
                = $crate::Store::add(&key, &value)?.expiry(expiry);

            /// Stores a value if there is one already; else [`Error::NotStored`](memcached2_proto::Error::NotStored).
            fn replace(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ()
                = $crate::Store::replace(&key, &value)?.expiry(expiry);

            /// Puts data behind a value; [`Error::NotStored`](memcached2_proto::Error::NotStored) if there is none. Flags and
            /// expiry stay as they are.
            fn append(key: impl AsRef<[u8]>, value: impl $crate::ToValue) -> () = $crate::Store::append(&key, &value)?;

            /// Puts data before a value; [`Error::NotStored`](memcached2_proto::Error::NotStored) if there is none. Flags and
            /// expiry stay as they are.
            fn prepend(key: impl AsRef<[u8]>, value: impl $crate::ToValue) -> () = $crate::Store::prepend(&key, &value)?;

            /// Stores a value if the item is still of the version that `gets` has returned; else
            /// [`Error::Exists`](memcached2_proto::Error::Exists), or
            /// [`Error::NotFound`](memcached2_proto::Error::NotFound) if it is gone.
            fn cas(
                key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>, cas: u64
            ) -> () = $crate::Store::cas(&key, &value, cas)?.expiry(expiry);

            /// Stores many values, pairs of key and value, on all servers at once; the results come in their order.
            fn set_many(items: &[(impl AsRef<[u8]>, impl $crate::ToValue)], expiry: impl Into<$crate::Expiry>)
                -> $crate::BatchResult<()>
                = $crate::SetMany::new(items, expiry.into())?;

            /// Stores many values, each in a way and with flags and an expiry of its own, on all servers at once; the results
            /// come in their order.
            ///
            /// ```
            /// # use memcached2_proto::{Error, Store};
            /// let stores = vec![
            ///     Store::set("greeting", "hello")?.flags(7),
            ///     Store::add("lock", "mine")?.expiry(std::time::Duration::from_secs(10)),
            /// ];
            /// // client.store_many(stores)
            /// # Ok::<(), Error>(())
            /// ```
            fn store_many(stores: Vec<$crate::Store<'_, '_>>) -> $crate::BatchResult<()> = $crate::SetMany::from_stores(stores);

            /// Deletes an item; `false` says that there was none.
            fn delete(key: impl AsRef<[u8]>) -> bool = $crate::Delete::new(&key)?;

            /// Deletes many items, on all servers at once; the results come in the order of the keys, `false` where there
            /// was no item.
            fn delete_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<bool> = $crate::DeleteMany::new(keys)?;

            /// Deletes an item on every server: what to do before the list of servers changes, so that no old value comes
            /// back with it. The results come in the order of the servers.
            fn delete_all(key: impl AsRef<[u8]>) -> $crate::BatchResult<bool> = $crate::AllServers($crate::Delete::new(&key)?);

            /// Gives an item a new expiry; `false` says that there is none.
            fn touch(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> bool
                = $crate::Touch::new(&key, expiry)?;

            /// Adds `by` to a number that is stored as decimal text, and returns the sum; `None` says that there was no
            /// item. Sums wrap at 64 bits (`doc/protocol.txt` of memcached 1.6.45, "Increment/Decrement").
            ///
            /// A stored text that is no number is [`Error::NonNumeric`](memcached2_proto::Error::NonNumeric).
            fn incr(key: impl AsRef<[u8]>, by: u64) -> Option<u64> = $crate::Incr::new(&key, by)?;

            /// Takes `by` from a number that is stored as decimal text, and returns the difference, which is never below
            /// 0; `None` says that there was no item.
            ///
            /// A stored text that is no number is [`Error::NonNumeric`](memcached2_proto::Error::NonNumeric).
            fn decr(key: impl AsRef<[u8]>, by: u64) -> Option<u64> = $crate::Decr::new(&key, by)?;

            /// Expires every item on every server; the results come in the order of the servers.
            ///
            /// Later: `client.run(AllServers(FlushAll::at(expiry)))`.
            fn flush_all() -> $crate::BatchResult<()> = $crate::AllServers($crate::FlushAll::now());

            /// Asks every server for its version; the results come in the order of the servers.
            fn version() -> $crate::BatchResult<$crate::VersionText> = $crate::AllServers($crate::Version);

            /// Asks every server for its counters; the results come in the order of the servers.
            fn stats() -> $crate::BatchResult<$crate::Report> = $crate::AllServers($crate::Stats::general());

            /// Asks every server for its settings; the results come in the order of the servers.
            fn stats_settings() -> $crate::BatchResult<$crate::Report> = $crate::AllServers($crate::Stats::settings());

            /// Asks every server for the items of each slab class; the results come in the order of the servers.
            fn stats_items() -> $crate::BatchResult<$crate::GroupedReport> = $crate::AllServers($crate::Stats::items());

            /// Asks every server for the memory of each slab class; the results come in the order of the servers.
            fn stats_slabs() -> $crate::BatchResult<$crate::GroupedReport> = $crate::AllServers($crate::Stats::slabs());

            /// Asks every server how many items it has of each size, which it counts if it was started with
            /// `-o track_sizes`; the results come in the order of the servers.
            fn stats_sizes() -> $crate::BatchResult<$crate::SizeReport> = $crate::AllServers($crate::Stats::sizes());

            /// Lets the counters of every server begin anew; the results come in the order of the servers.
            fn stats_reset() -> $crate::BatchResult<()> = $crate::AllServers($crate::StatsReset);

            /// Sets how much every server writes to its log; the results come in the order of the servers.
            fn verbosity(level: u32) -> $crate::BatchResult<()> = $crate::AllServers($crate::Verbosity(level));
        }
    };
}

/// Expands the methods that take several calls, in the same token form; `Fn` is the trait of the closures they take.
///
/// `compositions!([] [] FnOnce)` makes blocking methods, `compositions!([async] [.await] AsyncFnOnce)` asynchronous ones.
#[doc(hidden)]
#[macro_export]
macro_rules! compositions {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident) => {
        $crate::__cache!([$($async)*] [$($await)*] $Fn);

        /// Fetches the value of a key as a type of your choice, such as `u64` or `String`; `None` is a miss.
        ///
        /// # Errors
        ///
        /// Those of `get`, and [`Error::Value`](memcached2_proto::Error::Value) when the value cannot be read as a `T`.
        pub $($async)* fn get_as<T: $crate::FromValue>(
            &self,
            key: impl AsRef<[u8]>,
        ) -> Result<Option<T>, $crate::Error> {
            let key = key.as_ref();
            let value = self.get(key)$($await)*?;
            value.map(T::from_value).transpose().map_err(|error| error.of_method("get_as", Some(key)))
        }

        /// Fetches the version of an item that should still have this `value`: what `cas` needs to store over a value
        /// that was fetched without its version, or stored over since.
        ///
        /// # Errors
        ///
        /// [`Error::CasRefresh`](memcached2_proto::Error::CasRefresh) when the item has another value, or is gone; else
        /// those of `gets`.
        pub $($async)* fn refresh_cas(
            &self,
            key: impl AsRef<[u8]>,
            value: &$crate::Value,
        ) -> Result<$crate::Value, $crate::Error> {
            let key = key.as_ref();
            match self.gets(key)$($await)*? {
                Some(fresh) if fresh.data == value.data => Ok(fresh),
                _ => Err($crate::Error::cas_refresh().of_method("refresh_cas", Some(key))),
            }
        }
    };
}

/// Expands `cache` on top of `get` and `set`.
#[doc(hidden)]
#[macro_export]
macro_rules! __cache {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident) => {
        /// Fetches the value of a key; after a miss computes it, and stores it until `expiry`.
        ///
        /// Several callers who miss at the same time all compute it, 50 callers 50 times, and the last one's value stays.
        ///
        /// # Errors
        ///
        /// The error of `compute`, and those of `get` and `set`, turned into the same type.
        pub $($async)* fn cache<T, E>(
            &self,
            key: impl AsRef<[u8]>,
            expiry: impl Into<$crate::Expiry>,
            compute: impl $Fn() -> Result<T, E>,
        ) -> Result<$crate::Value, E>
        where
            T: $crate::ToValue,
            E: From<$crate::Error>,
        {
            let key = key.as_ref();
            if let Some(value) = self.get(key)$($await)*? {
                return Ok(value);
            }
            let computed = compute()$($await)*?;
            let data = $crate::ToValue::to_value(&computed).map_err(|error| error.of_method("cache", Some(key)))?;
            let flags = data.flags().into();
            let value = $crate::Value::new(data.into_bytes(), flags);
            self.set(key, &value, expiry)$($await)*?;
            Ok(value)
        }
    };
}

/// Expands the lines of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __methods {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $operation:expr;
    )*) => {
        $($crate::__method! {
            $async $await
            $(#[$doc])*
            fn $name ($($argument: $type),*) -> $output = $operation;
        })*
    };
}

/// The operation of a method; what is wrong with its arguments is an error that names the method.
#[doc(hidden)]
#[macro_export]
macro_rules! __named {
    ($name:ident $operation:expr) => {
        (|| -> Result<_, $crate::Error> { Ok($operation) })()
            .map_err(|error| error.of_method(stringify!($name), None))?
    };
}

/// Expands one line of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    ([$($async:tt)*] [$($await:tt)*]
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $operation:expr;
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// [`Error`](memcached2_proto::Error) lists what can go wrong, and
        /// [`Error::landed`](memcached2_proto::Error::landed) says whether the request may have taken effect.
        pub $($async)* fn $name (&self $(, $argument: $type)*) -> Result<$output, $crate::Error> {
            let begun = std::time::Instant::now();
            self.run_since(begun, $crate::__named!($name $operation))$($await)*
        }
    };
}
