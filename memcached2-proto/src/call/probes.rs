//! The servers that are down and that a call probes.

use crate::routing::{Router, ServerId};

/// The probes that a call has claimed, to find out whether servers that are down have come back. When it is dropped it
/// gives back those without a result, so that the next call can probe.
#[derive(Debug)]
pub(super) struct Probes<'r> {
    router: &'r Router,
    /// Each server with the number of its probe.
    claimed: Vec<(ServerId, u64)>,
}

impl<'r> Probes<'r> {
    pub(super) fn new(router: &'r Router) -> Self {
        Self { router, claimed: Vec::new() }
    }

    pub(super) fn push(&mut self, server: ServerId, probe: u64) {
        self.claimed.push((server, probe));
    }

    /// Whether this call probes the server at this place.
    pub(super) fn holds(&self, place: usize) -> bool {
        self.claimed.iter().any(|(server, _)| server.index() == place)
    }

    /// Ends the probe of a server, whose result is known now.
    pub(super) fn take(&mut self, server: ServerId) -> Option<u64> {
        let at = self.claimed.iter().position(|(claimed, _)| *claimed == server)?;
        Some(self.claimed.swap_remove(at).1)
    }
}

impl Drop for Probes<'_> {
    fn drop(&mut self) {
        for (server, probe) in self.claimed.drain(..) {
            self.router.release(server, probe);
        }
    }
}
