//! The methods that take several calls.

/// Expands the methods that take several calls.
#[doc(hidden)]
#[macro_export]
macro_rules! __compose {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident [$fn:tt $wait:tt $begin:tt $end:tt]) => {
        $crate::__cache! { [$($async)*] [$($await)*] $Fn
            #[doc = $begin]
            #[doc = concat!($fn, "fn render() -> Result<String, Error> {")]
            ///     Ok("<html>".to_owned())
            /// }
            ///
            #[doc = concat!(r#"let page = client.cache("page:1", Duration::from_secs(60), render)"#, $wait, "?;")]
            /// assert_eq!(page.as_str()?, "<html>");
            #[doc = $end]
            ///
        }

        $crate::__get_as! { [$($async)*] [$($await)*]
            /// Fetches the value of a key as a type of your choice, such as `u64` or `String`; `None` is a miss.
            ///
            /// # Errors
            ///
            /// Those of `get`, and [`Error::Value`](memcached2_proto::Error::Value) if the value cannot be read as a `T`.
            get_as;
            /// Fetches the values of many keys as a type of your choice; see `get_many`. The results come in the order of the keys.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("a", 1, Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"let values = client.get_many_as::<u64>(&["a", "b"])"#, $wait, "?.into_result()?;")]
            /// assert_eq!(values, [Some(1), None]);
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// Those of `get_many`. In the result of a key [`Error::Value`](memcached2_proto::Error::Value) if its value cannot be read
            /// as a `T`: it names the key, the type and the flags.
            get_many_as;
        }

        /// Fetches the values of keys from an iterator, however many: 512 at a time. `on_result` is called with each key and its
        /// result, in their order; `None` is a miss.
        ///
        /// The time for a call holds for each such chunk, not for all together, and no more than the values of a chunk are in memory.
        /// A key that fails does not stop the others.
        ///
        #[doc = $begin]
        #[doc = concat!(r#"client.set("row:7", "seven", Duration::from_secs(60))"#, $wait, "?;")]
        /// let keys = (0..10_000).map(|row| format!("row:{row}"));
        /// let mut hits = Vec::new();
        /// let on_result = |key, result: Result<Option<_>, Error>| match result {
        ///     Ok(Some(value)) => hits.push((key, value)),
        ///     Ok(None) => {}
        ///     Err(error) => eprintln!("{key}: {error}"),
        /// };
        #[doc = concat!("client.get_chunked(keys, on_result)", $wait, "?;")]
        /// assert_eq!(hits.len(), 1);
        #[doc = $end]
        ///
        /// # Errors
        ///
        /// * [`Error::Closed`](memcached2_proto::Error::Closed) if the client is closed.
        /// * `on_result` is called with those of `get`, a wrong key included.
        pub $($async)* fn get_chunked<K: AsRef<[u8]>>(
            &self,
            keys: impl IntoIterator<Item = K>,
            mut on_result: impl FnMut(K, Result<Option<$crate::Value>, $crate::Error>),
        ) -> Result<(), $crate::Error> {
            let mut chunks = $crate::operation::KeyChunks::new(keys.into_iter());
            while let Some(chunk) = chunks.next_chunk() {
                let results = self.get_many(chunk)$($await)*?;
                chunks.end_chunk(results, &mut on_result)?;
            }
            Ok(())
        }

        /// Stores values from an iterator, however many: 512 at a time, or fewer if they have more than 1 MiB together. Returns
        /// how many were stored.
        ///
        /// The time for a call holds for each such chunk, not for all together, and no more than a chunk is in memory. An item that
        /// is not stored does not stop the others: `on_failure` is called with its key and the error.
        ///
        #[doc = $begin]
        /// let rows = (0..10_000).map(|row| (format!("row:{row}"), row * row));
        /// let expiry = Duration::from_secs(3600);
        #[doc = concat!(r#"let stored = client.set_chunked(rows, expiry, |key, error| eprintln!("{key}: {error}"))"#, $wait, "?;")]
        /// assert_eq!(stored, 10_000);
        #[doc = $end]
        ///
        /// # Errors
        ///
        /// * [`Error::Closed`](memcached2_proto::Error::Closed) if the client is closed. What was stored before stays.
        /// * `on_failure` is called with those of `set`, a wrong key and a value that cannot be converted included.
        pub $($async)* fn set_chunked<K: AsRef<[u8]>, V: $crate::ToValue>(
            &self,
            items: impl IntoIterator<Item = (K, V)>,
            expiry: impl Into<$crate::Expiry>,
            mut on_failure: impl FnMut(K, $crate::Error),
        ) -> Result<u64, $crate::Error> {
            let expiry = expiry.into();
            let mut chunks = $crate::operation::Chunks::new(items.into_iter());
            let mut stored = 0;
            while let Some(chunk) = chunks.next_chunk(&mut on_failure) {
                let results = self.set_many(chunk, expiry)$($await)*?;
                stored += chunks.end_chunk(results, &mut on_failure)?;
            }
            Ok(stored)
        }

        $crate::__count_or! { [$($async)*] [$($await)*]
            /// Adds `by` to a number that is stored as decimal text, or stores `initial` if there is none, which expires then.
            /// Returns what is stored now. A number that is there keeps its expiry.
            ///
            /// It is one request where the server speaks meta (memcached 1.6.10). Else it is an `incr` and, after a miss, an `add`; if
            /// another client was faster with the `add`, both again, up to 8 times. No count is lost in either way.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"let visits = client.incr_or("visits", 1, 1, Duration::from_secs(86_400))"#, $wait, "?;")]
            #[doc = concat!(r#"assert_eq!((visits, client.incr_or("visits", 1, 1, Duration::from_secs(86_400))"#, $wait, "?), (1, 2));")]
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// Those of `incr`, and [`Error::Expiry`](memcached2_proto::Error::Expiry) if the moment of expiry is beyond 2038.
            fn incr_or = incr;

            /// Subtracts `by` from a number that is stored as decimal text, or stores `initial` if there is none; see `incr_or`. The
            /// difference is never below 0.
            ///
            /// # Errors
            ///
            /// Those of `incr_or`.
            fn decr_or = decr;
        }

        /// Fetches the version of an item that should still have this `value`: what `cas` needs to store over a value
        /// that was fetched without its version, or stored over since.
        ///
        /// # Errors
        ///
        /// [`Error::CasRefresh`](memcached2_proto::Error::CasRefresh) if the item has another value, or is gone; else
        /// those of `gets`.
        pub $($async)* fn refresh_cas(
            &self,
            key: impl AsRef<[u8]>,
            value: &$crate::Value,
        ) -> Result<$crate::Value, $crate::Error> {
            let key = key.as_ref();
            match self.gets(key)$($await)*? {
                Some(fresh) if fresh.data() == value.data() => Ok(fresh),
                _ => Err($crate::Error::cas_refresh().of_method("refresh_cas", Some(key))),
            }
        }
    };
}

/// Expands `incr_or` and `decr_or` on top of `incr`, `decr` and `add`.
#[doc(hidden)]
#[macro_export]
macro_rules! __count_or {
    ($async:tt $await:tt $($(#[$doc:meta])* fn $name:ident = $count:ident;)*) => {
        $($crate::__count_or!(@one $async $await $(#[$doc])* fn $name = $count;);)*
    };
    (@one [$($async:tt)*] [$($await:tt)*] $(#[$doc:meta])* fn $name:ident = $count:ident;) => {
        $(#[$doc])*
        pub $($async)* fn $name(
            &self,
            key: impl AsRef<[u8]>,
            by: u64,
            initial: u64,
            expiry: impl Into<$crate::Expiry>,
        ) -> Result<u64, $crate::Error> {
            let (key, expiry) = (key.as_ref(), expiry.into());
            let count = $crate::__named!($name $crate::command::CountOr::$count(key, by, initial, expiry)?);
            match self.run(count)$($await)* {
                Err($crate::Error::NoMeta { .. }) => {}
                counted => return counted,
            }
            // Each time another client must have stored one and deleted it.
            for _ in 0..8 {
                if let Some(number) = self.$count(key, by)$($await)*? {
                    return Ok(number);
                }
                match self.add(key, initial, expiry)$($await)* {
                    Ok(()) => return Ok(initial),
                    // Another client was faster.
                    Err($crate::Error::NotStored { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Err($crate::Error::not_stored().of_method(stringify!($name), Some(key)))
        }
    };
}

/// Expands `get_as` and `get_many_as`, which read what `get` and `get_many` of the same type return, each with its documentation.
#[doc(hidden)]
#[macro_export]
macro_rules! __get_as {
    ([$($async:tt)*] [$($await:tt)*] $(#[$one:meta])* get_as; $(#[$many:meta])* get_many_as;) => {
        $(#[$one])*
        pub $($async)* fn get_as<T: $crate::FromValue>(
            &self,
            key: impl AsRef<[u8]>,
        ) -> Result<Option<T>, $crate::Error> {
            let key = key.as_ref();
            let value = self.get(key)$($await)*?;
            value.map(T::from_value).transpose().map_err(|error| error.of_method("get_as", Some(key)))
        }

        $(#[$many])*
        pub $($async)* fn get_many_as<T: $crate::FromValue>(
            &self,
            keys: &[impl AsRef<[u8]>],
        ) -> Result<$crate::BatchResult<Option<T>>, $crate::Error> {
            Ok(self.get_many(keys)$($await)*?.read_as("get_many_as", keys))
        }
    };
}

/// Expands `cache` on top of `get` and `set`, with an example.
#[doc(hidden)]
#[macro_export]
macro_rules! __cache {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident $(#[$example:meta])*) => {
        /// Fetches the value of a key; after a miss computes it, and stores it until `expiry`.
        ///
        /// Several callers who miss at the same time all compute it, 50 callers 50 times, and the last one's value stays. `fetch` computes
        /// it once.
        ///
        $(#[$example])*
        /// # Errors
        ///
        /// * The error of `compute`.
        /// * The errors of `get` and `set`, converted to the same type. If `set` fails, the computed value is lost; with
        ///   [`MissOnError`](crate::MissOnError) it is returned.
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
