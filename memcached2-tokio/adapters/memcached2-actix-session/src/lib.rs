//! Sessions of [actix-session](actix_session) in memcached.
//!
//! A [`MemcachedSessionStore`] is the store of a `SessionMiddleware`:
//!
//! ```no_run
//! use actix_session::{Session, SessionExt as _, SessionMiddleware};
//! use actix_web::{App, Error, HttpServer, cookie::Key, web};
//! use memcached2_actix_session::MemcachedSessionStore;
//! use memcached2_actix_session::memcached2_tokio::Client;
//!
//! async fn visits(session: Session) -> Result<String, Error> {
//!     let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
//!     session.insert("visits", visits)?;
//!     Ok(format!("visit {visits}"))
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let store = MemcachedSessionStore::new(Client::new(["127.0.0.1:11211"])?);
//!     let key = Key::generate(); // A program has it in its configuration: all instances need the same, and after a restart, too.
//!     let app = move || {
//!         let sessions = SessionMiddleware::new(store.clone(), key.clone());
//!         App::new().wrap(sessions).route("/", web::get().to(visits))
//!     };
//!     HttpServer::new(app).bind(("127.0.0.1", 8080))?.run().await?;
//!     Ok(())
//! }
//! ```
//!
//! * A session is one item, its state as JSON. The server removes it when its time is over, so that there is nothing to clean up.
//! * The key of the item is a SHA-256 of the session key, which is never stored: no log, trace, error or dump of the server shows it.
//! * Each worker of actix-web is a runtime of its own, and has its own connection to each server: eight workers and two servers
//!   are 16 connections.
//! * memcached may evict a session before its time is over, when its memory is full, and a restart loses all.
//! * While a server is down its sessions are looked for on the others, as all keys are, and what it has kept may be out of date
//!   when it is back. `Client::builder().failover(false)` fails these requests instead.

mod store;

pub use actix_session;
pub use memcached2_tokio;

pub use self::store::MemcachedSessionStore;

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
