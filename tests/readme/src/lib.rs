//! The examples of the workspace's README, and of the guides that show a client, compiled and run as tests.
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]

#[cfg(doctest)]
#[doc = include_str!("../../../memcached2-proto/src/guide/testing.md")]
pub mod testing {}
