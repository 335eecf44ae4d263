//! The memcached protocol without its sockets: commands become bytes, bytes fed in pieces become typed responses.
//!
//! Programs use one of the transports, `memcached2-sync`, `memcached2-tokio` or `memcached2-async-std`, which are thin:
//! they connect, read, write, wait, and keep deadlines. Everything else is here, as values and state machines without
//! sockets, clocks and threads. So it can be tested with every conversation cut at every byte, and any event loop can
//! drive it.
//!
//! The [guides](guide) explain how to choose a client, failover, timeouts, sharing, testing and embedding.
//!
//! # The pieces, from the bottom up
//!
//! | piece | what it is |
//! |---|---|
//! | [`Key`], [`Value`], [`Data`], [`Expiry`], [`Server`], [`Error`] | the basic types; a [`Key`] is checked when it is made |
//! | [`ToValue`], [`FromValue`] | what can be stored and read: bytes, text, numbers, and your own types |
//! | [`Reply`], [`Decoder`] | the grammar of one reply, and the incremental decoder that finds its end |
//! | [`Command`]: [`Get`], [`Store`], [`Delete`], [`Incr`], [`Decr`], [`Touch`], [`Version`], [`Stats`] and more, [`NoReply`] | a request and the type of its answer |
//! | [`Connection`] | the state machine: bytes out, bytes in, and who is waiting for which reply |
//! | [`TypedConnection`], [`Pending`] | the same with a handle for each request, which becomes its typed response |
//! | [`Opening`], [`Endpoint`] | from the address of a server to a connection that is ready for requests |
//! | [`Pool`], [`shared`] | idle connections for callers that take turns; one connection for callers that share |
//! | [`Report`] | the statistics of a server |
//! | [`Options`], [`Builder`] | how a client behaves |
//! | [`Router`], [`Selection`] | which server has a key, and the rule that decides it |
//! | [`Operation`]: any keyed command, [`GetMany`], [`SetMany`], [`DeleteMany`], [`AllServers`], [`RoutedBy`] | a request over any number of servers |
//! | [`Call`] | an operation under way: retry, failover, and the error of each part |
//! | [`Observer`] | is called for every request: logs, traces, metrics |
//!
//! Every client gets its methods from the lists in `operations/`, and its other shapes from `wrappers/`.
//!
//! # The loop
//!
//! A transport around a [`Connection`] repeats four steps: write what it offers, read into the space it gives, take the
//! replies, and after a failure ask which requests may have taken effect. Here a script takes the place of the socket:
//!
//! ```
//! use std::io::IoSlice;
//! use std::time::{Instant, SystemTime};
//! use memcached2_proto::{Connection, Get, Limits, Now, Reply};
//!
//! let mut connection = Connection::new(Limits::default());
//! let now = Now::new(Instant::now(), SystemTime::now);
//! connection.submit(&Get::new("greeting")?, now, 7)?;
//!
//! let mut slices = [IoSlice::new(&[]); 4];
//! assert_eq!(connection.write_slices(&mut slices), 1);
//! assert_eq!(&*slices[0], b"get greeting\r\n");
//! let written = slices[0].len();
//! connection.advance_written(written);
//!
//! for piece in ["VALUE greeting 0 5\r\nhel", "lo\r\nEND\r\n"] {
//!     assert_eq!(connection.next_reply()?, None);
//!     connection.read_buf()[..piece.len()].copy_from_slice(piece.as_bytes());
//!     connection.advance_read(piece.len())?;
//! }
//! let Some((7, Reply::Value(0, value), true)) = connection.next_reply()? else { panic!("the answer to request 7") };
//! assert_eq!(value, "hello");
//! assert!(connection.is_idle());
//! # Ok::<(), memcached2_proto::Error>(())
//! ```
//!
//! `examples/event_loop.rs` is the same with a real socket.
//!
//! # The promises
//!
//! * **Never out of step.** Replies are matched to requests by their order. Where the server speaks meta, each reply
//!   about a key also carries the number of its request ([`Opaque`]), or is followed by a reply that does. A returned
//!   key must be one that was requested. A byte that no request expects ends the connection. A connection is used again
//!   only while every byte read belongs to a request.
//! * **Every failure says whether the request may have landed**: [`Error::landed`]. A request that may have is not sent
//!   again, to the same server or to another.
//! * **No call waits for a server that is down**: it is not tried until its [retry](ReconnectPolicy) is due, and then
//!   by one call only.
//! * **Linear and bounded.** The decoder remembers where it stopped, the announced length of a value sizes its buffer
//!   once, and [`Limits`] bound what a hostile server can do.
//! * **A batch cannot deadlock.** [`Connection::write_slices`] offers no more bytes than a server accepts while its
//!   replies are not read.
//! * **Injection is impossible.** Keys, lengths and expiries are checked before a byte of a request is written.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "routing"), allow(dead_code, reason = "clients use it"))]

#[cfg(feature = "routing")]
mod builder;
#[cfg(feature = "routing")]
mod call;
mod command;
mod connection;
mod data;
mod error;
mod few;
#[cfg(feature = "routing")]
pub mod guide;
mod key;
mod limits;
mod lookup;
#[cfg(feature = "routing")]
mod observer;
#[cfg(feature = "routing")]
mod opening;
#[cfg(feature = "routing")]
mod operation;
#[cfg(feature = "routing")]
mod operations;
#[cfg(feature = "routing")]
mod options;
mod pool;
mod reply;
mod report;
mod request_buffer;
#[cfg(feature = "routing")]
mod router;
#[cfg(feature = "routing")]
pub mod shared;
mod time;
#[cfg(feature = "routing")]
mod uri;
mod value;
#[cfg(feature = "routing")]
mod wrappers;

pub use bytes::Bytes;

#[cfg(feature = "routing")]
pub use self::builder::Builder;
#[cfg(feature = "routing")]
pub use self::call::{Call, Fault, Operation, Plan, Progress, ServerBatch, SubRequest};
pub use self::command::*;
pub use self::connection::{Abandoned, Connection, ConnectionOptions, KnownProtocol, Pending, TypedConnection};
pub use self::data::{Data, ToValue};
pub use self::error::{CasProblem, Cause, Error, FailedRequest, KeyProblem, Landed, UriProblem};
pub use self::key::Key;
pub use self::limits::Limits;
pub use self::lookup::{Addresses, Lookup};
#[cfg(feature = "metrics")]
pub use self::observer::Metrics;
#[cfg(feature = "tracing")]
pub use self::observer::Tracing;
#[cfg(feature = "routing")]
pub use self::observer::{Attempt, Event, Observer, RequestOutcome, ServerEvent};
#[cfg(feature = "routing")]
pub use self::opening::{Destination, Endpoint, Opening, Step};
#[cfg(feature = "routing")]
pub use self::operation::{AllServers, BatchResult, DeleteMany, GetMany, RoutedBy, SetMany};
#[cfg(feature = "routing")]
pub use self::options::Options;
pub use self::pool::{Checkout, Pool, PoolLimits};
pub use self::reply::{Decoder, Expected, ExpectedKeys, Opaque, Reply, ReplyKind};
pub use self::report::{DumpedItem, GroupedReport, PrefixCount, Report, SizeReport, Statistic};
pub use self::request_buffer::RequestBuffer;
#[cfg(feature = "ketama")]
pub use self::router::KetamaMd5;
#[cfg(feature = "routing")]
pub use self::router::{
    BuildSelector, CMemcache, Crc, CustomReconnect, KeyHasher, OneAtATime, ReconnectPolicy, Router, RouterOptions,
    Selection, Selector, ServerId, UnknownSelection, UpperCrc, Zero,
};
pub use self::time::{Expiry, Instant, Now, time_to_wait};
#[cfg(feature = "routing")]
pub use self::uri::{Address, Server};
pub use self::value::{FromValue, Value};
#[cfg(feature = "routing")]
pub use self::wrappers::{Fetched, OrMiss};
