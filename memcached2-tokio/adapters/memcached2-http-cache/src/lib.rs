//! Responses of [http-cache](http_cache) in memcached: a cache of HTTP that all instances of a program share.
//!
//! A [`MemcachedManager`] is the manager of an [`HttpCache`](http_cache::HttpCache), and so of the middleware for reqwest
//! (http-cache-reqwest), tower and others:
//!
//! ```
//! use std::time::Duration;
//! use http_cache::{CacheMode, HttpCache, HttpCacheOptions};
//! use memcached2_http_cache::MemcachedManager;
//! use memcached2_http_cache::memcached2_tokio::Client;
//!
//! # fn make() -> Result<HttpCache<MemcachedManager>, memcached2_http_cache::memcached2_tokio::Error> {
//! let client = Client::new(["127.0.0.1:11211"])?;
//! let manager = MemcachedManager::new(&client)?.keep_for(Duration::from_secs(24 * 60 * 60));
//! let cache = HttpCache { mode: CacheMode::Default, manager, options: HttpCacheOptions::default() };
//! # Ok(cache)
//! # }
//! # make().unwrap();
//! ```
//!
//! * A response is one item, in the format of postcard. One that cannot be read, of another version of this crate, say, is a miss.
//! * Keys are of any length, as addresses are: the SHA-256 of one that memcached does not take stands in for it.
//! * A response stays longer than it is fresh, so that it can be revalidated: until it is evicted, unless
//!   [`keep_for`](MemcachedManager::keep_for) says otherwise.
//! * The cache is a shared one, in the words of HTTP: leave `shared` of the
//!   [`CacheOptions`](http_cache::CacheOptions) true, as it is unless set, and no private response is stored.
//! * A response that is too large for the server, 1 MiB with its headers unless it was started with another `-I`, is not cached.
//! * A server that is lost is an error within the client's timeout, 1 second unless set, and http-cache then fails the request of the
//!   program. With [`miss_on_error`](MemcachedManager::miss_on_error) it goes on without the cache.

mod manager;

pub use http_cache;
pub use memcached2_tokio;

pub use self::manager::MemcachedManager;

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
