//! The list of the methods that delete, touch and count.

/// Expands the methods that delete, touch and count.
#[doc(hidden)]
#[macro_export]
macro_rules! __update {
    ([$($async:tt)*] [$($await:tt)*] [$_fn:tt $wait:tt $begin:tt $end:tt] $expand:ident) => {
        $crate::$expand! { [$($async)*] [$($await)*]
            /// Deletes an item; `false` if there was none.
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key.
            fn delete(key: impl AsRef<[u8]>) -> bool = $crate::Delete::new(&key)?;

            /// Deletes an item if it has not changed since `gets` returned its version, `cas`; `false` if it is gone. Needs memcached
            /// 1.6.10.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("job", "1", Expiry::Never)"#, $wait, "?;")]
            #[doc = concat!(r#"let job = client.gets("job")"#, $wait, r#"?.expect("it was stored");"#)]
            #[doc = concat!(r#"match client.delete_cas("job", job.cas.unwrap_or_default())"#, $wait, " {")]
            ///     Ok(was_there) => assert!(was_there),
            ///     Err(Error::Exists { .. }) => println!("another client has stored it again"),
            ///     Err(error) => return Err(error),
            /// }
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// * [`Error::Exists`](memcached2_proto::Error::Exists) if the item has changed.
            /// * [`Error::Cas`](memcached2_proto::Error::Cas) if the version is 0, which is that of no item.
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key.
            /// * [`Error::NoMeta`](memcached2_proto::Error::NoMeta) if the server does not speak meta.
            fn delete_cas(key: impl AsRef<[u8]>, cas: u64) -> bool = $crate::command::DeleteCas::new(&key, cas)?;

            /// Deletes many items, on all servers at once; the results come in the order of the keys, `false` where there
            /// was no item.
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) for the first wrong key; nothing is sent then. All other errors
            ///   are in the results.
            fn delete_many(keys: &[impl AsRef<[u8]>]) -> $crate::BatchResult<bool>
                = $crate::operation::DeleteMany::new(keys)?;

            /// Deletes an item on every server: what to do before the list of servers changes, so that no old value comes
            /// back with it. The results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key. All other errors are in the results.
            fn delete_all(key: impl AsRef<[u8]>) -> $crate::BatchResult<bool>
                = $crate::operation::AllServers($crate::Delete::new(&key)?);

            /// Gives an item a new expiry; `false` if there is none.
            ///
            /// # Errors
            ///
            /// * [`Error::Key`](memcached2_proto::Error::Key) for a wrong key.
            /// * [`Error::Expiry`](memcached2_proto::Error::Expiry) if the moment of expiry is beyond 2038.
            fn touch(key: impl AsRef<[u8]>, expiry: impl Into<$crate::Expiry>) -> bool
                = $crate::command::Touch::new(&key, expiry)?;

            /// Adds `by` to a number that is stored as decimal text, and returns the sum; `None` if there is no item.
            ///
            /// Sums wrap at 64 bits (`doc/protocol.txt` of memcached 1.6.45, "Increment/Decrement"). The item keeps its expiry.
            ///
            #[doc = $begin]
            #[doc = concat!(r#"client.set("visits", 41, Duration::from_secs(3600))"#, $wait, "?;")]
            #[doc = concat!(r#"assert_eq!(client.incr("visits", 1)"#, $wait, "?, Some(42));")]
            #[doc = concat!(r#"assert_eq!(client.incr("missing", 1)"#, $wait, "?, None);")]
            #[doc = $end]
            ///
            /// # Errors
            ///
            /// If the error is a timeout or a lost connection, the number may have been added. Such a call is not repeated.
            ///
            /// * [`Error::NonNumeric`](memcached2_proto::Error::NonNumeric) if the stored text is no number.
            /// * [`Error::Key`](memcached2_proto::Error::Key) if the key is empty, longer than 250 bytes or contains a blank
            ///   or control byte.
            fn incr(key: impl AsRef<[u8]>, by: u64) -> Option<u64> = $crate::command::Incr::new(&key, by)?;

            /// Subtracts `by` from a number that is stored as decimal text, and returns the difference, which is never below
            /// 0; `None` if there is no item.
            ///
            /// # Errors
            ///
            /// * Those of `incr`.
            fn decr(key: impl AsRef<[u8]>, by: u64) -> Option<u64> = $crate::command::Decr::new(&key, by)?;
        }
    };
}
