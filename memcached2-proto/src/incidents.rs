//! How often something has happened to a client after which the server of a key may be another one than before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a client has opened a connection, found a server down or back, or got another list of servers.
///
/// While the number stays the same no server was restarted and asked after that: it would have been connected to again. So the
/// version of an item still means the same. A server that restarts gives versions from 1 on again, to the same items perhaps.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct Incidents(Arc<AtomicU64>);

impl Incidents {
    #[cfg(feature = "near-cache")]
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
