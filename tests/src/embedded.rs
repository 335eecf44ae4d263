//! A memcached within the process of the test: its core, and sockets around it.
//!
//! [`EmbeddedServer`](crate::EmbeddedServer) serves sockets with threads. Below it is the [`Core`] with its
//! [`Session`]s, which does no I/O, starts no thread and reads no clock: a simulation or the test of an event loop hands
//! it bytes and the time, and runs the same way every time.
//!
//! ```
//! use memcached2_testkit::embedded::Core;
//!
//! let mut unix_seconds = 1_800_000_000;
//! let mut core = Core::new(unix_seconds);
//! let mut session = core.connect();
//!
//! session.feed(&mut core, b"set key 0 60 5\r\nval", unix_seconds);
//! assert_eq!(session.take_outgoing(), None);
//! session.feed(&mut core, b"ue\r\n", unix_seconds);
//! assert_eq!(session.take_outgoing().as_deref(), Some(&b"STORED\r\n"[..]));
//!
//! // A minute later the item has expired.
//! unix_seconds += 60;
//! session.feed(&mut core, b"get key\r\n", unix_seconds);
//! assert_eq!(session.take_outgoing().as_deref(), Some(&b"END\r\n"[..]));
//! ```

mod accept;
mod asked;
pub(crate) mod clock;
pub(crate) mod core;
mod difference;
pub(crate) mod faults;
mod place;
pub(crate) mod server;
pub(crate) mod setup;
mod shared;

pub use self::core::{Core, Session};
