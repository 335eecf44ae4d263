//! The servers that are down and that a call is to ask all the same.

use crate::router::{Router, ServerId};

/// What a call is to find out: whether servers that are down have come back. What it has not reported by its end it gives back,
/// for it may have been dropped half-way; then the next call does it.
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

    /// Whether this call asks the server at a place.
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
