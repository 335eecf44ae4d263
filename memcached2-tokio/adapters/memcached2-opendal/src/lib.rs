//! memcached as a service of [OpenDAL](https://opendal.apache.org): an `Operator` whose files are items of memcached.
//!
//! ```
//! use std::time::Duration;
//! use memcached2_opendal::Memcached2;
//! use opendal::Operator;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> opendal::Result<()> {
//! # let server = memcached2_testkit::EmbeddedServer::start();
//! # let address = server.address();
//! let builder = Memcached2::default().endpoint(&address).root("/builds").default_ttl(Duration::from_secs(24 * 60 * 60));
//! let operator = Operator::new(builder)?;
//!
//! operator.write("main.o", "an object file").await?;
//! assert_eq!(operator.read("main.o").await?.to_vec(), b"an object file");
//! assert_eq!(operator.stat("main.o").await?.content_length(), 14);
//! operator.delete("main.o").await?;
//! # Ok(())
//! # }
//! ```
//!
//! * Every operation ends by its deadline, 1 second unless the client or the URI of the server says otherwise, connecting included.
//! * An operation can be dropped at any point. Its reply is read and discarded, and never reaches another one.
//! * All operations share a connection to each server; several servers share the paths, and those of one that is down go to the others.
//! * A time to live of more than 30 days is kept.
//! * A path of any length and with any characters is a key: see [the rules](#paths-and-keys).
//!
//! # Operations
//!
//! | operation | what it does |
//! |---|---|
//! | `read`, a range, a suffix | fetches the whole item, and returns what was asked for |
//! | `stat` | fetches the length alone; from a server that does not speak meta (before memcached 1.6.10) the value, too |
//! | `write` | stores all pieces as one item when the writer is closed; with `if_not_exists` only if there is none |
//! | `delete` | deletes it; many paths are deleted together |
//! | `create_dir`, `list`, `copy`, `rename`, `presign` | unsupported: memcached lists keys only in a dump of a whole server |
//!
//! A file is lost when it expires or is evicted. There is no time of modification. A server takes items of up to 1 MiB unless it was
//! started with another `-I`; what is longer is refused, and the old value is gone then.
//!
//! # Paths and keys
//!
//! The key is the root and the path, percent-encoded: `/builds/` and `größe 1.o` give `builds/gr%C3%B6%C3%9Fe%201.o`. OpenDAL's own
//! service for memcached makes the same keys, so that either finds what the other has stored. A key of more than 250 bytes, with the
//! prefix of the client and the namespace, is replaced by its SHA-256 (see [`LongKeys::Hash`](memcached2_tokio::LongKeys::Hash)).
//!
//! # Errors
//!
//! | kind | when |
//! |---|---|
//! | `NotFound` | there is no such item |
//! | `ConditionNotMatch` | `if_not_exists`, and there is one |
//! | `RateLimited` | the limits of the client are reached, and it does not wait; temporary |
//! | `PermissionDenied` | the server has refused the user or the password, or asks for them |
//! | `ConfigInvalid` | no server, a text that is no address of one, a client that cannot be made, a time to live beyond 2038 |
//! | `RangeNotSatisfied` | the item is shorter than the range |
//! | `Unexpected` | all else |
//!
//! An error is temporary, so that OpenDAL's `RetryLayer` tries again, exactly if the request
//! [is safe to repeat](memcached2_tokio::Error::is_safe_to_retry): it was a read, was not sent, or was refused for now. The source of an
//! error is a [`memcached2_tokio::Error`], which says more.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod config;
mod error;
mod io;
mod service;

use opendal_core::OperatorRegistry;

pub use self::builder::Memcached2;
pub use self::config::Memcached2Config;

/// The scheme of the service in a URI, and its name.
pub const MEMCACHED2_SCHEME: &str = "memcached2";

/// Registers the scheme `memcached2`, for operators that are made from a URI or a table of options.
///
/// ```
/// use opendal::{Operator, OperatorRegistry};
///
/// memcached2_opendal::register_memcached2_service(OperatorRegistry::get());
/// let operator = Operator::from_uri("memcached2://cache1:11211/builds?default_ttl=24h")?;
/// assert_eq!(&*operator.info().root(), "/builds/");
/// # Ok::<(), opendal::Error>(())
/// ```
pub fn register_memcached2_service(registry: &OperatorRegistry) {
    registry.register::<Memcached2>(MEMCACHED2_SCHEME);
}

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
