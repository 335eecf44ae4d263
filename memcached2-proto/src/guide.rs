//! The guides: one page for each question that a reference does not answer.
//!
//! They hold for all clients, since all clients have the same methods and options. Their examples are compiled and run as
//! tests: those with a client where all crates are at hand (`tests/readme`), the others with this crate, which has no sockets. What
//! those import from `memcached2_proto` is in `memcached2_sync::proto` for a program that has only that crate, and likewise in the
//! other clients.

#[doc = include_str!("guide/choosing_a_client.md")]
pub mod choosing_a_client {}

#[doc = include_str!("guide/values.md")]
pub mod values {}

#[doc = include_str!("guide/failover.md")]
pub mod failover {}

#[doc = include_str!("guide/replicas.md")]
pub mod replicas {}

#[doc = include_str!("guide/stampedes.md")]
pub mod stampedes {}

#[doc = include_str!("guide/namespaces.md")]
pub mod namespaces {}

#[doc = include_str!("guide/limits_and_locks.md")]
pub mod limits_and_locks {}

#[doc = include_str!("guide/near_cache.md")]
pub mod near_cache {}

#[doc = include_str!("guide/timeouts.md")]
pub mod timeouts {}

#[doc = include_str!("guide/survival.md")]
pub mod survival {}

#[doc = include_str!("guide/tls.md")]
pub mod tls {}

#[doc = include_str!("guide/credentials.md")]
pub mod credentials {}

#[doc = include_str!("guide/sharing.md")]
pub mod sharing {}

#[cfg_attr(not(doctest), doc = include_str!("guide/testing.md"))]
pub mod testing {}

#[doc = include_str!("guide/embedding.md")]
pub mod embedding {}

#[doc = include_str!("guide/own_client.md")]
pub mod own_client {}

#[doc = include_str!("guide/from_python_memcached2.md")]
pub mod from_python_memcached2 {}

#[cfg_attr(not(doctest), doc = include_str!("guide/from_memcache.md"))]
pub mod from_memcache {}

#[cfg_attr(not(doctest), doc = include_str!("guide/from_async_memcached.md"))]
pub mod from_async_memcached {}

#[cfg_attr(not(doctest), doc = include_str!("guide/from_pymemcache.md"))]
pub mod from_pymemcache {}

#[cfg_attr(not(doctest), doc = include_str!("guide/from_dalli.md"))]
pub mod from_dalli {}

#[doc = include_str!("guide/protocol.md")]
pub mod protocol {}

#[doc = include_str!("guide/meta.md")]
pub mod meta {}

#[doc = include_str!("guide/glossary.md")]
pub mod glossary {}

#[doc = include_str!("guide/performance.md")]
#[doc = "\n# All clients, drawn\n"]
#[doc = include_str!("guide/contest.svg")]
#[doc = "\n# What one more costs, drawn\n"]
#[doc = include_str!("guide/growth.svg")]
pub mod performance {}
