//! Caches of the crate [cached] in memcached: memoized functions whose results all instances of a program share.
//!
//! [`AsyncMemcachedCache`] is for functions that are async, on Tokio, and [`MemcachedCache`] for others. `#[concurrent_cached]` takes
//! either as its `ty`:
//!
//! ```
//! use std::time::Duration;
//! use cached::macros::concurrent_cached;
//! use memcached2_cached::memcached2_tokio::Client;
//! use memcached2_cached::{AsyncMemcachedCache, Error};
//!
//! #[concurrent_cached(
//!     ty = "AsyncMemcachedCache<u64, String>",
//!     create = r#"{ users().expect("the address and the name are right") }"#,
//!     map_error = "|error| error"
//! )]
//! async fn user_name(id: u64) -> Result<String, Error> {
//!     Ok(format!("user {id}")) // A slow query.
//! }
//!
//! fn users() -> Result<AsyncMemcachedCache<u64, String>, Error> {
//!     let client = Client::new(["127.0.0.1:11211"])?;
//!     Ok(AsyncMemcachedCache::new(&client, "user_name")?.with_ttl(Duration::from_secs(60)))
//! }
//! ```
//!
//! * A cache is a namespace of the client: `cache_clear` is one request however many items there are, and touches no other cache. Another
//!   program finds the old items for a second more, unless [`check_after`](AsyncMemcachedCache::check_after) says otherwise.
//! * A key is the text of the function's arguments, as `Display` writes it, of any length and with any characters: the SHA-256 of one
//!   that memcached does not take stands in for it.
//! * A value is stored as JSON. One that cannot be read, of an older version of a program, say, is a miss, and so is replaced; see
//!   [`with_strict_deserialization`](AsyncMemcachedCache::with_strict_deserialization).
//! * A server that is lost is an error within the client's timeout, [`Error`], which says whether the request may have taken effect.
//!   `map_error` makes it one of the function's own. Without the results of a cache a function must be called itself: the attribute keeps
//!   it as `user_name_no_cache`.
//! * `cache_set` and `cache_remove` return the value that was there, which they fetch before: another one can be stored in between.
//!   What `#[concurrent_cached]` does needs no such fetch.

#[cfg(feature = "async")]
mod asynchronous;
#[cfg(feature = "sync")]
mod blocking;
mod cache;
mod settings;

pub use cached;
pub use memcached2_proto::Error;
#[cfg(feature = "sync")]
pub use memcached2_sync;
#[cfg(feature = "async")]
pub use memcached2_tokio;

#[cfg(feature = "async")]
pub use self::asynchronous::AsyncMemcachedCache;
#[cfg(feature = "sync")]
pub use self::blocking::MemcachedCache;

/// The examples of the README, compiled as tests.
#[cfg(all(doctest, feature = "async"))]
#[doc = include_str!("../README.md")]
struct Readme;
