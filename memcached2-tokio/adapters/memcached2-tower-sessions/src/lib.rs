//! Sessions of [tower-sessions](tower_sessions_core) in memcached.
//!
//! A [`MemcachedStore`] is the store of a `SessionManagerLayer`, and so of axum and of all that is built on tower:
//!
//! ```
//! use memcached2_tower_sessions::MemcachedStore;
//! use memcached2_tower_sessions::memcached2_tokio::Client;
//! use tower_sessions::{Expiry, Session, SessionManagerLayer};
//!
//! async fn visits(session: Session) -> String {
//!     let visits = session.get::<u64>("visits").await.ok().flatten().unwrap_or(0) + 1;
//!     let kept = session.insert("visits", visits).await.is_ok();
//!     format!("visit {visits}, kept: {kept}")
//! }
//!
//! # fn app() -> Result<axum::Router, memcached2_tower_sessions::memcached2_tokio::Error> {
//! let client = Client::new(["127.0.0.1:11211"])?;
//! let day = time::Duration::days(1);
//! let sessions = SessionManagerLayer::new(MemcachedStore::new(client)).with_expiry(Expiry::OnInactivity(day));
//! let app = axum::Router::new().route("/", axum::routing::get(visits)).layer(sessions);
//! # Ok(app)
//! # }
//! # app().unwrap();
//! ```
//!
//! * A session is one item: its data and its date of expiry as JSON. The server removes it when it expires, so that there is
//!   nothing to clean up.
//! * The id of a session is what lets a browser in, so it stays with the browser: the key of the item is a SHA-256 of it, and the
//!   value does not contain it. No log, trace, error or dump of the server shows an id.
//! * memcached may evict a session before it expires, when its memory is full, and a restart loses all. Sessions that must not be
//!   lost are kept in a database, with this store as the first one of a
//!   [`CachingSessionStore`](tower_sessions_core::CachingSessionStore).
//! * While a server is down its sessions are looked for on the others, as all keys are, and what it has kept may be out of date
//!   when it is back. `Client::builder().failover(false)` fails these requests instead.

mod store;

pub use memcached2_tokio;
pub use tower_sessions_core;

pub use self::store::MemcachedStore;

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
