//! What the two types of caches have in common, written once.

/// Expands a cache in the namespaces of a client.
macro_rules! cache {
    ($name:ident $client:ident $(#[$doc:meta])*) => {
        $(#[$doc])*
        pub struct $name<K, V> {
            namespace: $client::Namespace,
            settings: crate::settings::Settings,
            types: std::marker::PhantomData<fn(&K) -> V>,
        }

        impl<K, V> $name<K, V> {
            /// Returns the cache with this name in the servers of a client. Caches with the same name have the same items, also those of
            /// other programs.
            ///
            /// It sends nothing. Items never expire unless [`with_ttl`](Self::with_ttl) is called.
            ///
            /// # Errors
            ///
            /// [`Error::Key`](memcached2_proto::Error::Key) if the name is empty, contains a blank or control byte, or has more than
            /// 178 bytes with the client's prefix.
            pub fn new(client: &$client::Client, name: impl AsRef<[u8]>) -> Result<Self, memcached2_proto::Error> {
                let namespace = client.namespace(name)?.long_keys(memcached2_proto::namespace::LongKeys::Hash);
                let settings = crate::settings::Settings::default();
                Ok(Self { namespace, settings, types: std::marker::PhantomData })
            }

            /// Sets how long an item stays, rounded up to whole seconds; for ever with zero, or if it is after 2038-01-19.
            #[must_use]
            pub fn with_ttl(self, ttl: std::time::Duration) -> Self {
                self.settings.set_ttl(ttl);
                self
            }

            /// Sets whether a hit makes its item stay for the whole time again; it does not unless set.
            #[must_use]
            pub fn with_refresh_on_hit(self, refresh: bool) -> Self {
                self.settings.set_refreshes(refresh);
                self
            }

            /// Sets whether a stored value that cannot be read is an error, [`Error::Value`](memcached2_proto::Error::Value); it is a
            /// miss unless set.
            #[must_use]
            pub fn with_strict_deserialization(mut self, strict: bool) -> Self {
                self.settings.is_strict = strict;
                self
            }

            /// Sets for how long another program may find items that were cleared; 1 second unless set. With 0 each call asks the server
            /// first, which takes one request more.
            #[must_use]
            pub fn check_after(mut self, time: std::time::Duration) -> Self {
                self.namespace = self.namespace.check_after(time);
                self
            }
        }

        impl<K, V> std::fmt::Debug for $name<K, V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut fields = f.debug_struct(stringify!($name));
                fields.field("namespace", &self.namespace).field("settings", &self.settings).finish_non_exhaustive()
            }
        }

        impl<K, V> cached::ConcurrentCacheBase for $name<K, V> {
            type Error = memcached2_proto::Error;
        }

        impl<K, V> cached::ConcurrentCacheTtl for $name<K, V> {
            fn ttl(&self) -> Option<std::time::Duration> {
                self.settings.ttl()
            }

            fn set_ttl(&self, ttl: std::time::Duration) -> Option<std::time::Duration> {
                self.settings.set_ttl(ttl)
            }

            fn unset_ttl(&self) -> Option<std::time::Duration> {
                self.settings.set_ttl(std::time::Duration::ZERO)
            }
        }

        impl<K, V> cached::ConcurrentCacheRefreshOnHit for $name<K, V> {
            fn refresh_on_hit(&self) -> bool {
                self.settings.refreshes()
            }

            fn set_refresh_on_hit(&self, refresh: bool) -> bool {
                self.settings.set_refreshes(refresh)
            }
        }
    };
}

pub(crate) use cache;
