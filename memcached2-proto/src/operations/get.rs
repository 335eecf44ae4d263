//! The list of the methods that fetch values.

/// Expands the methods that fetch values.
#[doc(hidden)]
#[macro_export]
macro_rules! __get {
    ([$($async:tt)*] [$($await:tt)*] [$_fn:tt $wait:tt $begin:tt $end:tt] $expand:ident) => {
        $crate::$expand! { [$($async)*] [$($await)*]
            /// Fetches the value of a key; `None` is a miss.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("greeting", "hello", Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"match client.get("greeting")"#, $wait, "? {")]
            ///     Some(value) => assert_eq!(value.as_str()?, "hello"),
            ///     None => println!("a miss: it was never stored, has expired or was evicted"),
            /// }
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// A `get` that failed had no effect, so it is safe to repeat: [`MissOnError`](crate::MissOnError) makes its failures misses.
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) if the key is empty, longer than 250 bytes or contains a blank
            ///   or control byte.
            /// * [`Error::NoMemory`](memcached2_proto::Error::NoMemory) if there is no memory for the value.
            fn get(key: impl AsRef<[u8]>) -> Option<$crate::Value> = $crate::Get::new(&key)?;

            /// Fetches the value of a key and the version of the item, [`Value::cas`](memcached2_proto::Value::cas), which
            /// `cas` compares.
            ///
            /// # Errors
            ///
            /// * Those of `get`.
            fn gets(key: impl AsRef<[u8]>) -> Option<$crate::Value> = $crate::Get::new(&key)?.with_cas();

            /// Fetches the value of a key and gives the item a new expiry; needs memcached 1.5.3.
            ///
            /// # Errors
            ///
            /// * Those of `get`, and [`Error::Expiry`](memcached2_proto::Error::Expiry) if the moment of expiry is beyond 2038.
            /// * [`Error::Refused`](memcached2_proto::Error::Refused) by an older server.
            fn gat(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> Option<$crate::Value>
                = $crate::Get::new(&key)?.touch(expiry);

            /// Fetches the value of a key and the version of the item, and gives it a new expiry; needs memcached
            /// 1.5.3.
            ///
            /// # Errors
            ///
            /// * Those of `gat`.
            fn gats(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> Option<$crate::Value>
                = $crate::Get::new(&key)?.with_cas().touch(expiry);

            /// Returns whether there is an item.
            ///
            /// Where the server speaks meta (memcached 1.6.10), its value is not fetched, and it can be evicted as soon as before.
            /// Else a `get` fetches it. Of an item that is [marked as stale](memcached2_proto::guide::meta), it takes the win.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("greeting", "hello", Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"assert!(client.exists("greeting")"#, $wait, "?);")]
            #[doc = concat!(r#"assert!(!client.exists("missing")"#, $wait, "?);")]
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key.
            fn exists(key: impl AsRef<[u8]>) -> bool = $crate::command::Exists::new(&key)?;

            /// Fetches a value unless the item still has the version that was fetched before: useful if it is large and seldom
            /// changes.
            ///
            /// memcached from 1.6.40 on sends no value then. Older ones send it, and the client discards it.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("rules", "be kind", Expiry::Never)"#, $wait, "?;")]
            #[doc = concat!(r#"let mut rules = client.gets("rules")"#, $wait, r#"?.expect("it was stored");"#)]
            #[doc = concat!(r#"match client.get_if_changed("rules", rules.cas.unwrap_or_default())"#, $wait, "? {")]
            ///     IfChanged::Changed(newer) => rules = newer,
            ///     IfChanged::Same => println!("as before"),
            ///     IfChanged::Missing => println!("they were deleted, or have expired"),
            /// }
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * Those of `get`, and [`Error::Cas`](memcached2_proto::Error::Cas) if the version is 0, which is that of no item.
            fn get_if_changed(key: impl AsRef<[u8]>, cas: u64) -> $crate::command::IfChanged
                = $crate::command::GetIfChanged::new(&key, cas)?;

            /// Fetches the value of a key, and how long the item stays; needs memcached 1.6.10.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("greeting", "hello", Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"if let Some((value, ttl)) = client.get_with_ttl("greeting")"#, $wait, "? {")]
            ///     assert_eq!(value, "hello");
            ///     assert!(ttl.remaining() <= Some(Duration::from_secs(61)));
            /// }
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * Those of `get`, and [`Error::NoMeta`](memcached2_proto::Error::NoMeta) if the server does not speak meta.
            fn get_with_ttl(key: impl AsRef<[u8]>) -> Option<($crate::Value, $crate::command::meta::Ttl)>
                = $crate::command::GetWithTtl::new(&key)?;

            /// Fetches what the server says of an item without its value: size, flags, version, how long it stays, whether it was
            /// fetched before, and how long ago. `None` is a miss. Needs memcached 1.6.10.
            ///
            /// It does not count as a fetch. [`MetaGet`](memcached2_proto::command::meta::MetaGet) fetches a part of it, or more.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("greeting", "hello", Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"let item = client.metadata("greeting")"#, $wait, r#"?.expect("it was stored");"#)]
            /// assert_eq!((item.size, item.hit_before, item.value), (Some(5), Some(false), None));
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key.
            /// * [`Error::NoMeta`](memcached2_proto::Error::NoMeta) if the server does not speak meta.
            fn metadata(key: impl AsRef<[u8]>) -> Option<$crate::command::meta::MetaItem>
                = $crate::command::Metadata::new(&key)?;

            /// Fetches the values of many keys, from all servers at once; the results come in the order of the keys.
            ///
            /// The number of keys has no limit: requests are split into lines of about 8 KiB.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("a", 1, Duration::from_secs(60))"#, $wait, "?;")]
            #[doc = concat!(r#"let values = client.get_many(&["a", "b"])"#, $wait, "?.into_result()?;")]
            /// assert_eq!(values[0].as_ref().map(|value| value.parse()).transpose()?, Some(1));
            /// assert_eq!(values[1], None);
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// A failure of one server does not hide the values of the others: each key has a result of its own.
            /// [`BatchResult::into_result`](memcached2_proto::BatchResult::into_result) turns the first failure into an error.
            /// The method itself fails only for a wrong key; nothing is sent then.
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) if a key is empty, longer than 250 bytes or contains a blank
            ///   or control byte.
            /// * In the result of a key: [`Error::NoMemory`](memcached2_proto::Error::NoMemory) if there is no memory for
            ///   the value.
            fn get_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::operation::GetMany::new(keys)?;

            /// Fetches the values of many keys and the versions of the items; see `get_many`.
            ///
            /// # Errors
            ///
            /// * Those of `get_many`.
            fn gets_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::operation::GetMany::new(keys)?.with_cas();

            /// Fetches the values of many keys and gives the items a new expiry; see `get_many`. Needs memcached 1.5.3.
            ///
            /// # Errors
            ///
            /// * Those of `get_many`, and in the results [`Error::Expiry`](memcached2_proto::Error::Expiry) if the moment of
            ///   expiry is beyond 2038.
            fn gat_many(keys: &[impl AsRef<[u8]>], expiry: impl Into<$crate::Expiry>)
                -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::operation::GetMany::new(keys)?.touch(expiry);

            /// Fetches the values of many keys and the versions of the items, and gives them a new expiry; see
            /// `get_many`. Needs memcached 1.5.3.
            ///
            /// # Errors
            ///
            /// * Those of `gat_many`.
            fn gats_many(keys: &[impl AsRef<[u8]>], expiry: impl Into<$crate::Expiry>)
                -> $crate::BatchResult<Option<$crate::Value>>
                = $crate::operation::GetMany::new(keys)?.with_cas().touch(expiry);
        }
    };
}
