//! The cache of other functions.

use std::fmt::Display;

use cached::{ConcurrentCached, SerializeCached};
use memcached2_proto::{Error, Landed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::settings::{key, written};

crate::cache::cache!(MemcachedCache memcached2_sync
    /// A cache in memcached for functions that are not async.
    ///
    /// The documentation of the [crate](crate) says what keys and values look like.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cached::ConcurrentCached as _;
    /// use memcached2_cached::MemcachedCache;
    /// use memcached2_cached::memcached2_sync::{Client, Error};
    ///
    /// fn example(client: &Client) -> Result<(), Error> {
    ///     let visits = MemcachedCache::<String, u64>::new(client, "visits")?.with_ttl(Duration::from_secs(3600));
    ///     let page = "/index.html".to_owned();
    ///     let before = visits.cache_set(page.clone(), 7)?;
    ///     assert_eq!(before, None);
    ///     assert_eq!(visits.cache_get(&page)?, Some(7));
    ///     visits.cache_clear()
    /// }
    /// ```
);

impl<K, V> MemcachedCache<K, V> {
    fn get(&self, key: String) -> Result<Option<V>, Error>
    where
        V: DeserializeOwned,
    {
        match self.settings.expiry_of_hit() {
            Some(expiry) => self.settings.read(self.namespace.gat(key, expiry)?, Landed::Unknown),
            None => self.settings.read(self.namespace.get(key)?, Landed::NotSent),
        }
    }

    fn remove(&self, key: &str) -> Result<Option<V>, Error>
    where
        V: DeserializeOwned,
    {
        let found = self.namespace.get(key)?;
        // Of several callers it is the value of the one that deletes it.
        let is_ours = found.is_some() && self.namespace.delete(key)?;
        self.settings.read(found.filter(|_| is_ours), Landed::Unknown)
    }
}

impl<K: Display + Clone, V: Serialize + DeserializeOwned> ConcurrentCached<K, V> for MemcachedCache<K, V> {
    fn cache_get(&self, k: &K) -> Result<Option<V>, Error> {
        self.get(key(k))
    }

    fn cache_set(&self, k: K, v: V) -> Result<Option<V>, Error> {
        let (key, value) = (key(&k), written(&v)?);
        let before = self.namespace.get(&key)?;
        self.namespace.set(key, value, self.settings.expiry())?;
        // It is stored, whatever was there.
        Ok(self.settings.read(before, Landed::Unknown).unwrap_or_default())
    }

    fn cache_remove(&self, k: &K) -> Result<Option<V>, Error> {
        self.remove(&key(k))
    }

    fn cache_remove_entry(&self, k: &K) -> Result<Option<(K, V)>, Error> {
        Ok(self.cache_remove(k)?.map(|value| (k.clone(), value)))
    }

    fn cache_delete(&self, k: &K) -> Result<bool, Error> {
        self.namespace.delete(key(k))
    }

    fn cache_contains(&self, k: &K) -> Result<bool, Error> {
        self.namespace.exists(key(k))
    }

    fn cache_clear(&self) -> Result<(), Error> {
        self.namespace.clear()
    }

    fn cache_reset(&self) -> Result<(), Error> {
        self.namespace.clear()
    }
}

impl<K: Display + Clone, V: Serialize + DeserializeOwned> SerializeCached<K, V> for MemcachedCache<K, V> {
    fn cache_set_ref(&self, k: &K, v: &V) -> Result<(), Error> {
        self.namespace.set(key(k), written(v)?, self.settings.expiry())
    }
}
