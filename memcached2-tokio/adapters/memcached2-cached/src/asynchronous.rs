//! The cache of functions that are async.

use std::fmt::Display;
use std::future::Future;

use cached::{ConcurrentCachedAsync, SerializeCachedAsync};
use memcached2_proto::{Error, Landed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::settings::{key, written};

crate::cache::cache!(AsyncMemcachedCache memcached2_tokio
    /// A cache in memcached for functions that are async, on Tokio.
    ///
    /// The documentation of the [crate](crate) says what keys and values look like.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cached::ConcurrentCachedAsync as _;
    /// use memcached2_cached::AsyncMemcachedCache;
    /// use memcached2_cached::memcached2_tokio::{Client, Error};
    ///
    /// async fn example(client: &Client) -> Result<(), Error> {
    ///     let visits = AsyncMemcachedCache::<String, u64>::new(client, "visits")?.with_ttl(Duration::from_secs(3600));
    ///     let page = "/index.html".to_owned();
    ///     let before = visits.async_cache_set(page.clone(), 7).await?;
    ///     assert_eq!(before, None);
    ///     assert_eq!(visits.async_cache_get(&page).await?, Some(7));
    ///     visits.async_cache_clear().await
    /// }
    /// ```
);

impl<K, V> AsyncMemcachedCache<K, V> {
    async fn get(&self, key: String) -> Result<Option<V>, Error>
    where
        V: DeserializeOwned,
    {
        match self.settings.expiry_of_hit() {
            Some(expiry) => self.settings.read(self.namespace.gat(key, expiry).await?, Landed::Unknown),
            None => self.settings.read(self.namespace.get(key).await?, Landed::NotSent),
        }
    }

    async fn remove(&self, key: String) -> Result<Option<V>, Error>
    where
        V: DeserializeOwned,
    {
        let found = self.namespace.get(&key).await?;
        // Of several callers it is the value of the one that deletes it.
        let is_ours = found.is_some() && self.namespace.delete(&key).await?;
        self.settings.read(found.filter(|_| is_ours), Landed::Unknown)
    }
}

impl<K: Display + Clone + Send, V: Serialize + DeserializeOwned> ConcurrentCachedAsync<K, V>
    for AsyncMemcachedCache<K, V>
{
    fn async_cache_get(&self, k: &K) -> impl Future<Output = Result<Option<V>, Error>> + Send {
        self.get(key(k))
    }

    fn async_cache_set(&self, k: K, v: V) -> impl Future<Output = Result<Option<V>, Error>> + Send {
        let (key, value) = (key(&k), written(&v));
        async move {
            let value = value?;
            let before = self.namespace.get(&key).await?;
            self.namespace.set(key, value, self.settings.expiry()).await?;
            // It is stored, whatever was there.
            Ok(self.settings.read(before, Landed::Unknown).unwrap_or_default())
        }
    }

    fn async_cache_remove(&self, k: &K) -> impl Future<Output = Result<Option<V>, Error>> + Send {
        self.remove(key(k))
    }

    fn async_cache_remove_entry(&self, k: &K) -> impl Future<Output = Result<Option<(K, V)>, Error>> + Send {
        let (key, k) = (key(k), k.clone());
        async { Ok(self.remove(key).await?.map(|value| (k, value))) }
    }

    fn async_cache_delete(&self, k: &K) -> impl Future<Output = Result<bool, Error>> + Send {
        self.namespace.delete(key(k))
    }

    fn async_cache_contains(&self, k: &K) -> impl Future<Output = Result<bool, Error>> + Send {
        self.namespace.exists(key(k))
    }

    fn async_cache_clear(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.namespace.clear()
    }

    fn async_cache_reset(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.namespace.clear()
    }
}

impl<K: Display + Clone + Send, V: Serialize + DeserializeOwned> SerializeCachedAsync<K, V>
    for AsyncMemcachedCache<K, V>
{
    fn async_cache_set_ref(&self, k: &K, v: &V) -> impl Future<Output = Result<(), Error>> + Send {
        let (key, value) = (key(k), written(v));
        async { self.namespace.set(key, value?, self.settings.expiry()).await }
    }
}
