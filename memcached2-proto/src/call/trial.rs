//! The servers that count as down and that a call tries.

use crate::router::{Router, ServerId};

/// What a call has claimed. Whatever it has not reported by its end, it gives back: it may have been dropped half-way,
/// and then the next call is to try.
#[derive(Debug)]
pub(super) struct Trials<'r> {
    router: &'r Router,
    /// Each server with the number of its trial.
    claimed: Vec<(ServerId, u64)>,
}

impl<'r> Trials<'r> {
    pub(super) fn new(router: &'r Router) -> Self {
        Self { router, claimed: Vec::new() }
    }

    pub(super) fn push(&mut self, server: ServerId, trial: u64) {
        self.claimed.push((server, trial));
    }

    /// Whether this call tries the server at a place.
    pub(super) fn holds(&self, place: usize) -> bool {
        self.claimed.iter().any(|(server, _)| server.index() == place)
    }

    /// Ends the trial of a server, whose outcome is known now.
    pub(super) fn take(&mut self, server: ServerId) -> Option<u64> {
        let at = self.claimed.iter().position(|(claimed, _)| *claimed == server)?;
        Some(self.claimed.swap_remove(at).1)
    }
}

impl Drop for Trials<'_> {
    fn drop(&mut self) {
        for (server, trial) in self.claimed.drain(..) {
            self.router.release(server, trial);
        }
    }
}
