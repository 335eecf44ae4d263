//! The list of the methods that store values.

/// Expands the methods that store values.
#[doc(hidden)]
#[macro_export]
macro_rules! __store {
    ([$($async:tt)*] [$($await:tt)*] [$_fn:tt $wait:tt $begin:tt $end:tt] $expand:ident) => {
        $crate::$expand! { [$($async)*] [$($await)*]
            /// Stores a value, whatever was there before.
            ///
            /// An expiry is a [`Duration`](std::time::Duration), a [`SystemTime`](std::time::SystemTime) or an
            /// [`Expiry`](memcached2_proto::Expiry). For flags: `client.run(Store::set(key, value)?.expiry(expiry).flags(7))`.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("greeting", "hello", Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"client.set("pi", 3.14159, Expiry::Never)"#, $wait, "?;")]
            #[doc = concat!(r#"client.set("bytes", &[0_u8, 255][..], Expiry::Never)"#, $wait, "?;")]
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) if the key is empty, longer than 250 bytes or contains a blank
            ///   or control byte.
            /// * [`Error::TooLarge`](memcached2_proto::Error::TooLarge) if the value is longer than
            ///   [`Options::sent_value_limit`](memcached2_proto::Options::sent_value_limit).
            /// * [`Error::Expiry`](memcached2_proto::Error::Expiry) if the moment of expiry is beyond 2038.
            /// * [`Error::Value`](memcached2_proto::Error::Value) if the value cannot be converted to bytes.
            /// * [`Error::Refused`](memcached2_proto::Error::Refused) if the server has no room for the value: by default, it
            ///   takes at most 1 MiB. The old value is gone then.
            fn set(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ()
                = $crate::Store::set(&key, &value)?.expiry(expiry);

            /// Stores a value if the key has none.
            ///
            /// # Errors
            ///
            /// * [`Error::NotStored`](memcached2_proto::Error::NotStored) if the key has a value.
            /// * Those of `set`.
            fn add(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ()
                = $crate::Store::add(&key, &value)?.expiry(expiry);

            /// Stores a value if the key has one already.
            ///
            /// # Errors
            ///
            /// * [`Error::NotStored`](memcached2_proto::Error::NotStored) if the key has no value.
            /// * Those of `set`.
            fn replace(key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>) -> ()
                = $crate::Store::replace(&key, &value)?.expiry(expiry);

            /// Appends data to the value of a key. Flags and expiry stay as they are.
            ///
            /// # Errors
            ///
            /// * [`Error::NotStored`](memcached2_proto::Error::NotStored) if the key has no value, or would have one that is
            ///   too large for the server.
            /// * Those of `set`.
            fn append(key: impl AsRef<[u8]>, value: impl $crate::ToValue) -> () = $crate::Store::append(&key, &value)?;

            /// Puts data before the value of a key. Flags and expiry stay as they are.
            ///
            /// # Errors
            ///
            /// * [`Error::NotStored`](memcached2_proto::Error::NotStored) if the key has no value, or would have one that is
            ///   too large for the server.
            /// * Those of `set`.
            fn prepend(key: impl AsRef<[u8]>, value: impl $crate::ToValue) -> ()
                = $crate::Store::prepend(&key, &value)?;

            /// Stores a value if the item has not changed since `gets` returned its version, `cas`.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("list", "a", Expiry::Never)"#, $wait, "?;")]
            #[doc = concat!(r#"let list = client.gets("list")"#, $wait, r#"?.expect("it was stored");"#)]
            /// let longer = format!("{},b", list.as_str()?);
            #[doc = concat!(r#"match client.cas("list", &longer, Expiry::Never, list.cas.unwrap_or_default())"#, $wait, " {")]
            ///     Ok(()) => println!("stored"),
            ///     Err(Error::Exists { .. }) => println!("another client was faster: fetch it again"),
            ///     Err(error) => return Err(error),
            /// }
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * [`Error::Exists`](memcached2_proto::Error::Exists) if the item has changed.
            /// * [`Error::NotFound`](memcached2_proto::Error::NotFound) if it is gone.
            /// * [`Error::Cas`](memcached2_proto::Error::Cas) if the version is 0, which is that of no item.
            /// * Those of `set`.
            fn cas(
                key: impl AsRef<[u8]>, value: impl $crate::ToValue, expiry: impl Into<$crate::Expiry>, cas: u64
            ) -> () = $crate::Store::cas(&key, &value, cas)?.expiry(expiry);

            /// Stores many values, pairs of key and value, on all servers at once; the results come in their order.
            ///
            #[doc = $begin]
            /// let items = [("a", 1), ("b", 2)];
            #[doc = concat!("let results = client.set_many(&items, Duration::from_secs(60))", $wait, "?;")]
            /// for ((key, _), result) in items.iter().zip(results) {
            ///     if let Err(error) = result {
            ///         println!("{key} was not stored: {error}");
            ///     }
            /// }
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// Each item has a result of its own.
            /// [`BatchResult::all_stored`](memcached2_proto::BatchResult::all_stored) makes one error of them. The method itself
            /// fails only for what is wrong with an item; nothing is sent then.
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) or [`Error::Value`](memcached2_proto::Error::Value) for the first
            ///   item with a wrong key, or a value that cannot be converted to bytes.
            /// * In the results: the other errors of `set`.
            fn set_many(items: &[(impl AsRef<[u8]>, impl $crate::ToValue)], expiry: impl Into<$crate::Expiry>)
                -> $crate::BatchResult<()>
                = $crate::operation::SetMany::new(items, expiry.into())?;

            /// Stores many values, each in a way and with flags and an expiry of its own, on all servers at once; the results
            /// come in their order.
            ///
            #[doc = $begin]
            /// let stores = vec![
            ///     Store::set("greeting", "hello")?.flags(7),
            ///     Store::add("seat:1A", "taken")?.expiry(Duration::from_secs(10)),
            /// ];
            #[doc = concat!("client.store_many(stores)", $wait, "?.all_stored()?;")]
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * In the results: those of `set`, `add` and the other methods.
            fn store_many(stores: Vec<$crate::Store<'_, '_>>) -> $crate::BatchResult<()>
                = $crate::operation::SetMany::from_stores(stores);
        }
    };
}
