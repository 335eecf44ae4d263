//! A memcached within the process of the test: its core, and sockets around it.
//!
//! [`EmbeddedServer`](crate::EmbeddedServer) serves sockets with threads. Below it is the [`Core`] with its
//! [`Session`]s, which does no I/O, starts no thread and reads no clock: a simulation or the test of an event loop hands
//! it bytes and the time, and runs the same way every time.
//!
//! ```
//! use std::error::Error;
//! use std::io::{IoSlice, Read};
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use memcached2_proto::{Connection, Expiry, Get, Limits, Now, Reply, Store};
//! use memcached2_testkit::embedded::{Core, Session};
//!
//! /// Carries requests to the session, and its replies back.
//! fn carry(
//!     connection: &mut Connection,
//!     (core, session): (&mut Core, &mut Session),
//!     unix_seconds: u64,
//! ) -> Result<(), Box<dyn Error>> {
//!     let mut slices = [IoSlice::new(&[])];
//!     while connection.outgoing(&mut slices) > 0 {
//!         session.feed(core, &slices[0], unix_seconds);
//!         let written = slices[0].len();
//!         slices = [IoSlice::new(&[])];
//!         connection.wrote(written);
//!     }
//!     while let Some(bytes) = session.take_outgoing() {
//!         let mut rest = &bytes[..];
//!         while !rest.is_empty() {
//!             let read = rest.read(connection.space())?;
//!             connection.filled(read)?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let mut unix_seconds = 1_800_000_000;
//! let mut core = Core::new(unix_seconds);
//! let mut session = core.connect();
//! let mut connection = Connection::new(Limits::default());
//! let now = Now::fixed(Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds));
//!
//! connection.submit(&Store::set("key", "value")?.expiry(Expiry::After(Duration::from_secs(60))), now, 0)?;
//! connection.submit(&Get::new("key")?, now, 1)?;
//! carry(&mut connection, (&mut core, &mut session), unix_seconds)?;
//! assert!(matches!(connection.next_reply()?, Some((0, Reply::Stored, true))));
//! assert!(matches!(connection.next_reply()?, Some((1, Reply::Value(0, value), true)) if value == "value"));
//!
//! // A minute later the item has expired.
//! unix_seconds += 60;
//! connection.submit(&Get::new("key")?, now, 2)?;
//! carry(&mut connection, (&mut core, &mut session), unix_seconds)?;
//! assert!(matches!(connection.next_reply()?, Some((2, Reply::Miss, true))));
//! # Ok(())
//! # }
//! ```

pub(crate) mod clock;
pub(crate) mod core;
mod place;
pub(crate) mod server;
pub(crate) mod setup;

pub use self::core::{Core, Session};
