//! The memcached protocol without its sockets: commands become bytes, bytes fed in pieces become typed responses.
//!
//! Programs use one of the transports, `memcached2-sync`, `memcached2-tokio` or `memcached2-async-std`, which are thin:
//! they connect, read, write, wait, and keep deadlines. Everything else is here, as values and state machines without
//! sockets, clocks and threads. So it can be tested with every conversation cut at every byte, and any event loop can
//! drive it.
//!
//! The [guides](guide) explain how to choose a client, failover, timeouts, sharing, testing and embedding, and what replaces the calls of
//! other clients.
//!
//! # The modules, by reader
//!
//! What most readers need is at the root: the basic types, the options of a client, the most common commands, a connection. The
//! rest is in modules:
//!
//! | you want to | look at |
//! |---|---|
//! | use a client | the root; [`command`] and [`operation`] for each [`Operation`] without a method of its own; [`stats`] for statistics; [`error`]; [`credentials`] |
//! | choose which server has a key, and when a server is tried again | [`routing`] |
//! | follow a list of servers that changes | [`topology`] |
//! | compute a value once for all who miss together | [`fetch`] |
//! | clear a part of a cache at once, or have keys of any length | [`namespace`] |
//! | serialize and compress values | `values`, with the features `json`, `postcard`, `zlib`, `zstd` and `other-clients` |
//! | limit how often something happens | [`rate_limit`] |
//! | keep values within the program for a short time | `near_cache`, with its feature |
//! | log, trace and count requests | [`observer`] |
//! | parse replies | [`reply`]: the grammar of one reply, and the incremental decoder that finds its end |
//! | drive a connection by your own loop | [`Connection`], the state machine: bytes out, bytes in, and who is waiting for which reply; [`connection`]; [`opening`], from the address of a server to a connection |
//! | write your own command or operation | [`Command`](command::Command), [`Progress`](call::Progress) |
//! | write a transport | [`call`]: an operation under way, with retry and failover; [`transport`] and [`shared`]: connections for callers that take turns, and for callers that share |
//!
//! Every client gets its methods from the lists in `operations/`, and its other shapes from [`wrappers`].
//!
//! Parsing replies and driving a connection need no feature. The rest, for clients, needs the feature `routing`, and each
//! [selection](Selection) with a digest its own feature.
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
//!   about a key also carries the number of its request ([`Opaque`](reply::Opaque)), or is followed by a reply that does. A returned
//!   key must be one that was requested. A byte that no request expects ends the connection. A connection is used again
//!   only while every byte read belongs to a request.
//! * **Every failure says whether the request may have landed**: [`Error::landed`]. A write that may have is never sent
//!   again, to the same server or to another; a read may be, once.
//! * **A server that is down delays one call for each retry**, about one a second, by the time to connect at most: it is not tried
//!   until its [retry](ReconnectPolicy) is due, and then one call tries it.
//! * **Linear and bounded.** The decoder remembers where it stopped, a value gets memory as its
//!   bytes come, and [`Limits`] bound what a hostile server can do.
//! * **A batch cannot deadlock.** [`Connection::write_slices`] offers no more bytes than a server accepts while its
//!   replies are not read.
//! * **Injection is impossible.** Keys, lengths, expiries and credentials are checked before a byte of a request is written.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(feature = "routing"), allow(dead_code, reason = "clients use it"))]

#[cfg(feature = "routing")]
mod builder;
#[cfg(feature = "routing")]
pub mod call;
pub mod command;
pub mod connection;
#[cfg(feature = "routing")]
pub mod credentials;
mod data;
#[cfg_attr(not(feature = "routing"), allow(unreachable_pub, reason = "`opening` exports it"))]
mod destination;
pub mod error;
#[cfg(feature = "routing")]
pub mod fetch;
mod few;
#[cfg(feature = "routing")]
pub mod guide;
#[cfg(feature = "routing")]
mod incidents;
mod key;
#[cfg(feature = "routing")]
mod large_keys;
mod limits;
#[cfg(feature = "routing")]
#[doc(hidden)]
pub mod lock;
mod lookup;
#[cfg(feature = "routing")]
pub mod namespace;
#[cfg(feature = "near-cache")]
#[cfg_attr(docsrs, doc(cfg(feature = "near-cache")))]
pub mod near_cache;
#[cfg(feature = "routing")]
pub mod observer;
#[cfg(feature = "routing")]
pub mod opening;
#[cfg(feature = "routing")]
pub mod operation;
#[cfg(feature = "routing")]
mod operations;
#[cfg(feature = "routing")]
mod options;
mod pool;
#[cfg(feature = "routing")]
pub mod rate_limit;
#[cfg(feature = "routing")]
mod replaceable;
pub mod reply;
mod request_buffer;
#[cfg(feature = "routing")]
pub mod routing;
#[cfg(feature = "routing")]
pub mod shared;
pub mod stats;
pub mod stream;
mod time;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
#[cfg(feature = "routing")]
pub mod topology;
pub mod transport;
#[cfg(feature = "routing")]
mod uri;
mod value;
#[cfg(any(feature = "json", feature = "postcard", feature = "zlib", feature = "zstd"))]
pub mod values;
#[cfg(feature = "routing")]
pub mod wrappers;

pub use bytes::Bytes;

#[cfg(feature = "routing")]
pub use self::builder::Builder;
#[cfg(feature = "routing")]
pub use self::call::Operation;
pub use self::command::{Delete, Get, Protocol, Store};
pub use self::connection::Connection;
#[cfg(feature = "routing")]
pub use self::credentials::Credentials;
pub use self::data::{Data, ToValue};
pub use self::error::{Error, Landed};
pub use self::key::Key;
pub use self::limits::Limits;
#[cfg(feature = "routing")]
pub use self::observer::Observer;
#[cfg(feature = "routing")]
pub use self::operation::BatchResult;
#[cfg(feature = "routing")]
pub use self::options::Options;
pub use self::reply::Reply;
#[cfg(feature = "routing")]
pub use self::routing::{ReconnectPolicy, Router, Selection, Server};
pub use self::time::{Expiry, Instant, Now};
pub use self::value::{FromValue, Value};
#[cfg(feature = "routing")]
pub use self::wrappers::OrMiss;
