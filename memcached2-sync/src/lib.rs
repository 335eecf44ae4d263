//! A blocking memcached client: pooled connections, deadlines, typed outcomes.
//!
//! ```no_run
//! use std::time::Duration;
//! use memcached2_sync::Client;
//!
//! let client = Client::new(["127.0.0.1:11211"])?;
//! client.set("greeting", "hello", Duration::from_secs(60))?;
//! if let Some(value) = client.get("greeting")? {
//!     assert_eq!(value, "hello");
//! }
//! # Ok::<(), memcached2_sync::Error>(())
//! ```
//!
//! * A [`Client`] is made without a connection, so it is made while servers are down. It is cheap to clone, and any number
//!   of threads can use it: a call takes a connection from a pool, or opens one.
//! * Every call ends by its deadline, 1 second unless [`Options::timeout`] says otherwise, connecting included.
//! * A miss is `Ok(None)`. An [`Error`] is something else, and [`Error::landed`] says whether the request may have taken
//!   effect.
//! * A server that has failed is left alone for a while ([`Options::reconnect`]), and its keys go to the others.
//! * [`Item`], [`MissOnError`] and [`Mapping`] wrap a client. An [`Observer`] is called for every request; the features
//!   `opentelemetry`, `tracing` and `metrics` come with one each.
//!
//! The methods of [`Client`] are names for the most common operations; [`Client::run`] takes any [`Operation`], such as
//! [`proto::Store`] with flags. [A guide](proto::guide::choosing_a_client#the-calls) lists them.
//! Who comes from another client finds what replaces its calls in [memcache](proto::guide::from_memcache), [pymemcache](proto::guide::from_pymemcache)
//! and [dalli](proto::guide::from_dalli).
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(unix)]
mod bell;
mod client;
mod fan_out;
mod opening;
mod pooled_connection;
mod records;
mod server_pool;
mod srv;
mod stream;
mod waiter;
mod wrappers;

pub use memcached2_proto as proto;
pub use memcached2_proto::command::meta::{MetaItem, Ttl};
pub use memcached2_proto::command::{
    Classes, Extstore, IfChanged, Lru, LruCrawler, SlabsAutomove, SlabsReassign, VersionText,
};
pub use memcached2_proto::credentials::ProviderError;
pub use memcached2_proto::namespace::LongKeys;
#[cfg(feature = "metrics")]
pub use memcached2_proto::observer::Metrics;
#[cfg(feature = "opentelemetry")]
pub use memcached2_proto::observer::OpenTelemetry;
#[cfg(feature = "tracing")]
pub use memcached2_proto::observer::Tracing;
pub use memcached2_proto::observer::{Event, OperationEvent, RequestOutcome, ServerEvent, ServerStatus};
pub use memcached2_proto::routing::ServerId;
pub use memcached2_proto::stats::{GroupedReport, PrefixCount, Report, SizeReport};
pub use memcached2_proto::stream::{DumpedItem, DumpedKey, Shutdown, WatchEvent, WatchKind, Watcher};
#[cfg(feature = "other-clients")]
pub use memcached2_proto::values::Codec;
#[cfg(feature = "json")]
pub use memcached2_proto::values::Json;
#[cfg(feature = "postcard")]
pub use memcached2_proto::values::Postcard;
#[cfg(feature = "zlib")]
pub use memcached2_proto::values::Zlib;
#[cfg(feature = "zstd")]
pub use memcached2_proto::values::Zstd;
pub use memcached2_proto::{
    BatchResult, Builder, Bytes, Credentials, Data, Error, Expiry, FromValue, Key, Landed, Limits, Observer, Operation,
    Options, OrMiss, Protocol, ReconnectPolicy, Router, Selection, Server, Store, ToValue, Value,
};

pub use self::client::Client;
pub use self::records::Records;
#[cfg(feature = "near-cache")]
pub use self::wrappers::NearCache;
#[cfg(feature = "other-clients")]
pub use self::wrappers::Values;
pub use self::wrappers::{Item, Lock, Mapping, MissOnError, Namespace, OneServer};

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
