//! The examples of the workspace's README, and of the guides that show a client, compiled and run as tests.
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]

#[cfg(doctest)]
#[doc = include_str!("../../../memcached2-proto/src/guide/testing.md")]
pub mod testing {}

#[cfg(doctest)]
#[doc = include_str!("../../../memcached2-proto/src/guide/from_memcache.md")]
pub mod from_memcache {}

#[cfg(doctest)]
#[doc = include_str!("../../../memcached2-proto/src/guide/from_async_memcached.md")]
pub mod from_async_memcached {}

#[cfg(doctest)]
#[doc = include_str!("../../../memcached2-proto/src/guide/from_pymemcache.md")]
pub mod from_pymemcache {}

#[cfg(doctest)]
#[doc = include_str!("../../../memcached2-proto/src/guide/from_dalli.md")]
pub mod from_dalli {}
