//! How often something has happened to a client after which the server of a key may be another one than before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How often a client has opened a connection, found a server down or back, or got another list of servers.
///
/// While the number stays the same no server was restarted and asked after that: it would have been connected to again. So the
/// version of an item still means the same. A server that restarts gives versions from 1 on again, to the same items perhaps.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct Incidents(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    happened: AtomicU64,
    /// How many are happening: calls may go to the server of before, or to that of afterwards.
    happening: AtomicUsize,
}

/// Something that happens, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Incident<'i>(&'i Counts);

impl Incidents {
    /// The number, unless something happens at this moment.
    #[cfg(feature = "near-cache")]
    pub(crate) fn count(&self) -> Option<u64> {
        // In this order: what ends in between gives a number that is not the present one.
        let happened = self.0.happened.load(Ordering::SeqCst);
        (self.0.happening.load(Ordering::SeqCst) == 0).then_some(happened)
    }

    pub(crate) fn add(&self) {
        self.0.happened.fetch_add(1, Ordering::SeqCst);
    }

    /// Something begins.
    pub(crate) fn begin(&self) -> Incident<'_> {
        self.0.happening.fetch_add(1, Ordering::SeqCst);
        Incident(&self.0)
    }
}

impl Incident<'_> {
    /// It has not happened.
    pub(crate) fn cancel(self) {
        std::mem::ManuallyDrop::new(self).end();
    }

    fn end(&self) {
        self.0.happening.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Incident<'_> {
    fn drop(&mut self) {
        self.0.happened.fetch_add(1, Ordering::SeqCst);
        self.end();
    }
}
