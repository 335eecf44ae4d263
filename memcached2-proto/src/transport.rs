//! Looking names up, and connections for callers that take turns.
//!
//! For authors of a transport. [`shared`](crate::shared) has connections for callers that share them.

pub use crate::lookup::{Addresses, Lookup, Waiting};
pub use crate::pool::{Checkout, Pool, PoolLimits};
#[cfg(feature = "routing")]
pub use crate::replaceable::{ClosedFlag, Current, Replaceable};
pub use crate::time::time_to_wait;
