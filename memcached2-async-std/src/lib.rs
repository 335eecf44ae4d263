//! A memcached client for async-std, smol and other executors: any number of tasks share a connection to each server.
//!
//! ```no_run
//! use std::time::Duration;
//! use memcached2_async_std::Client;
//!
//! # async fn example() -> Result<(), memcached2_async_std::Error> {
//! let client = Client::new(["127.0.0.1:11211"])?;
//! client.set("greeting", "hello", Duration::from_secs(60)).await?;
//! if let Some(value) = client.get("greeting").await? {
//!     assert_eq!(value, "hello");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * A [`Client`] is made without a connection, so it is made while servers are down. It is cheap to clone, and any number
//!   of tasks can use it: they share a connection to each server, and their requests leave together. Large transfers have
//!   another connection, so that small requests do not wait for them.
//! * A future can be dropped, which cancels the call, or left unpolled at any point. Its reply is read and discarded;
//!   no other call waits for its caller.
//! * Every call ends by its deadline, 1 second unless [`Options::timeout`] says otherwise, connecting included.
//! * A miss is `Ok(None)`. An [`Error`] is something else, and [`Error::landed`] says whether the request may have taken
//!   effect.
//! * A server that has failed is left alone for a while ([`Options::reconnect`]), and its keys go to the others.
//! * [`Item`], [`MissOnError`] and [`Mapping`] wrap a client. An [`Observer`] is called for every request; the features
//!   `opentelemetry`, `tracing` and `metrics` come with one each.
//! * With the feature `tower`, a [`Client`] is a service, for [tower](https://docs.rs/tower)'s layers.
//!
//! The methods of [`Client`] are names for the most common operations; [`Client::run`] takes any [`Operation`], such as
//! [`proto::Store`] with flags. [A guide](proto::guide::choosing_a_client#the-calls) lists them.
//!
//! # Executors
//!
//! A connection is driven by a task. With the feature `async-std`, which is on by default, the task runs on async-std. Any other
//! executor is given as a [spawner](Builder::spawner), such as `|task| smol::spawn(task).detach()` or
//! `|task| async_global_executor::spawn(task).detach()`. Sockets and timers are those of async-io, which runs beside any
//! executor.
//!
//! async-std is discontinued (RUSTSEC-2025-0052). With `default-features = false` it is not compiled, and a client needs a
//! spawner; the feature `routing-all` brings back the rules of other clients, such as [`Selection::Ketama`].
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod executor;
mod over;
#[cfg(feature = "tower")]
mod service;
mod srv;
mod stream;
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
pub use memcached2_proto::routing::{Address, ServerId};
pub use memcached2_proto::shared::Records;
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
#[cfg(feature = "near-cache")]
pub use self::wrappers::NearCache;
#[cfg(feature = "other-clients")]
pub use self::wrappers::Values;
pub use self::wrappers::{Item, Lock, Mapping, MissOnError, Namespace, OneServer};

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
