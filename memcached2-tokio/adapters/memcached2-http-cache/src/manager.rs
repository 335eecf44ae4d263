//! The manager.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_cache::{CacheManager, HttpResponse, Result};
use http_cache_semantics::CachePolicy;
use memcached2_tokio::{Client, Error, Expiry, LongKeys, Namespace, OrMiss, Postcard};
use serde::{Deserialize, Serialize};

/// The name of the namespace. Its number changes with the format of what is stored, which is read without a check of types.
const NAME: &str = "http-cache:1";

/// The last second that memcached can store as a date of expiry: 2038-01-19 03:14:07 UTC.
const LAST_EXPIRY: Duration = Duration::from_secs(i32::MAX as u64);

/// A manager that keeps responses in memcached.
///
/// It is cheap to clone, and clones share the client's connections. It sends nothing until it is used.
///
/// # Errors
///
/// Of each call of [`CacheManager`] a [`memcached2_tokio::Error`], in a box, if a server cannot be reached, does not answer within the
/// client's timeout, or refuses the request.
///
/// ```
/// use http_cache::CacheManager as _;
/// use memcached2_http_cache::MemcachedManager;
/// use memcached2_http_cache::memcached2_tokio::Client;
///
/// async fn is_cached(manager: &MemcachedManager, url: &str) -> http_cache::Result<bool> {
///     Ok(manager.get(&format!("GET:{url}")).await?.is_some())
/// }
///
/// let manager = MemcachedManager::new(&Client::new(["cache1:11211", "cache2:11211"])?)?;
/// # let _ = is_cached(&manager, "https://example.com/");
/// # Ok::<(), memcached2_http_cache::memcached2_tokio::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemcachedManager {
    responses: Namespace,
    /// None is for ever.
    kept_for: Option<Duration>,
    misses_on_error: bool,
}

impl MemcachedManager {
    /// Returns a manager in the servers of this client. All managers with the same servers and the same prefix of the client share
    /// their responses.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the client's prefix is longer than 166 bytes.
    pub fn new(client: &Client) -> std::result::Result<Self, Error> {
        let responses = client.namespace(NAME)?.long_keys(LongKeys::Hash);
        Ok(Self { responses, kept_for: None, misses_on_error: false })
    }

    /// Sets how long a response stays, whether it is fresh or not; until it is evicted unless set, or if that is after 2038-01-19.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.kept_for = Some(time);
        self
    }

    /// Lets the program do without the cache while a server is lost: what [counts as a miss](Error::counts_as_miss) is one, and
    /// nothing is stored or deleted.
    ///
    /// A response that could not be deleted is found when the server is back, although the program has changed what it is about.
    #[must_use]
    pub fn miss_on_error(mut self) -> Self {
        self.misses_on_error = true;
        self
    }

    /// Removes all responses, by one request. Other programs may find them for a second more.
    ///
    /// # Errors
    ///
    /// Those of [`Namespace::clear`].
    pub async fn clear(&self) -> std::result::Result<(), Error> {
        self.responses.clear().await
    }

    fn or_miss<T>(&self, result: std::result::Result<T, Error>) -> std::result::Result<T, Error>
    where
        std::result::Result<T, Error>: OrMiss,
    {
        if self.misses_on_error { result.or_miss() } else { result }
    }

    /// When a response expires that is stored now.
    fn expiry(&self) -> Expiry {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.kept_for.filter(|time| now.saturating_add(*time) < LAST_EXPIRY).into()
    }

    async fn store(&self, key: &str, stored: &Stored) -> std::result::Result<(), Error> {
        match self.responses.set(key, Postcard(stored), self.expiry()).await {
            // The response before it must not stay. Most servers have deleted it already.
            Err(error) if is_too_large(&error) => self.responses.delete(key).await.map(drop),
            stored => stored,
        }
    }
}

impl CacheManager for MemcachedManager {
    async fn get(&self, cache_key: &str) -> Result<Option<(HttpResponse, CachePolicy)>> {
        let stored = self.or_miss(self.responses.get_as::<Option<Postcard<Stored>>>(cache_key).await)?;
        Ok(stored.flatten().map(|Postcard(Stored { response, policy })| (response, policy)))
    }

    async fn put(&self, cache_key: String, response: HttpResponse, policy: CachePolicy) -> Result<HttpResponse> {
        let stored = Stored { response, policy };
        self.or_miss(self.store(&cache_key, &stored).await)?;
        Ok(stored.response)
    }

    async fn delete(&self, cache_key: &str) -> Result<()> {
        self.or_miss(self.responses.delete(cache_key).await)?;
        Ok(())
    }
}

/// The item of a response.
#[derive(Serialize, Deserialize)]
struct Stored {
    response: HttpResponse,
    policy: CachePolicy,
}

/// Whether the client or the server, or a replica, does not take a value of this length.
fn is_too_large(error: &Error) -> bool {
    match error {
        Error::TooLarge { .. } => true,
        Error::Refused { line, .. } => line.contains("too large"),
        Error::Replicas { results, .. } => results.iter().flat_map(|result| result.as_ref().err()).any(is_too_large),
        _ => false,
    }
}
