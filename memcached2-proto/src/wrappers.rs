//! Other shapes of a client, each written once and expanded by every transport: an item that remembers its key and
//! version, a client that treats failures as misses, and a dictionary on top of that.
//!
//! For authors of a transport: its `Item`, `MissOnError` and `Mapping` are made by macros on top of these.

mod item;
mod lock;
mod mapping;
mod miss_on_error;
mod namespace;
#[cfg(feature = "near-cache")]
mod near_cache;
mod one_server;
mod rate_limit;
#[cfg(feature = "other-clients")]
mod values;

pub use self::item::Fetched;
pub use self::miss_on_error::OrMiss;
#[cfg(feature = "other-clients")]
#[doc(hidden)]
pub use self::values::{Form, Formed};
